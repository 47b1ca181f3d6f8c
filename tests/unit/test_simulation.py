"""Some episodes of the simulation of the exactly-once protocol; `python -m tests.simulation` runs more."""

from __future__ import annotations

import pytest

from tests.simulation.episode import Outcome, run, shrunk
from tests.simulation.mutants import MUTANTS


def _report(failed: Outcome) -> str:
    """Return the end of a trace, and what is wrong after it."""
    least = shrunk(failed)
    return "\n".join([*least.trace[-80:], f"seed {least.seed}:", *least.problems])


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_every_promise_is_kept_whatever_fails(first: int) -> None:
    for seed in range(first, first + 20):
        outcome = run(seed)
        assert not outcome.problems, _report(outcome)
        assert outcome.records


def test_a_seed_gives_the_same_episode_again() -> None:
    one, another = run(14, traced=True), run(14, traced=True)
    assert one.trace == another.trace
    assert len(one.trace) > 100


@pytest.mark.parametrize(
    "mistake",
    [
        "counters and cursor move in two steps",
        "a recount adds to what is read",
        "a block has another token each time",
    ],
)
def test_a_mistake_in_the_protocol_is_found(mistake: str) -> None:
    mutant = MUTANTS[mistake]
    with mutant.make():
        assert any(run(seed, only=mutant.faults).problems for seed in range(20))
