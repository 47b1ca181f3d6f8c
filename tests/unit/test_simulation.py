"""Some episodes of the simulation of the exactly-once protocol; `python -m tests.simulation` runs more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.episode import Outcome, run, shrunk
from tests.simulation.faults import ALL
from tests.simulation.mutants import MUTANTS, first_found
from tests.simulation.storm import standstills
from tests.simulation.world import CHOICES

TESTS = Path(__file__).parents[1]


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


def test_no_partition_stands_still_for_long_while_workers_come_and_go_and_clickhouse_is_slow() -> None:
    """Nothing moves while the second worker has a partition: it lives for eight seconds.

    If takeovers begin anew at each rebalance, half of the partitions stand still for 80 s, and one for 150.
    """
    longest = sorted(
        still for seed in range(3) for still in standstills(seed, seconds=150, every=8, answer=1).values()
    )
    assert longest[len(longest) // 2] < 50
    assert longest[-1] < 110


@pytest.mark.parametrize(
    "mistake",
    [  # Of each kind one that is found soon, and not because everything stands still.
        "a block has another token each time",
        "a late beginning begins",
        "counters and cursor move in two steps",
        "a part of a recount is added twice",
        "marks are not compared",
        "a new leader is trusted",
    ],
)
def test_a_mistake_in_the_protocol_is_found(mistake: str) -> None:
    mutant = MUTANTS[mistake]
    assert first_found(mutant, 0, mutant.within)


def test_the_table_of_mistakes_names_what_there_is() -> None:
    for name, mutant in MUTANTS.items():
        assert set(mutant.faults) <= {fault.__name__ for fault in ALL}, name
        assert mutant.shape.keys() <= CHOICES.keys(), name
        assert mutant.held_by in ("", *MUTANTS), name
        assert bool(mutant.within) != bool(mutant.elsewhere), name
        if mutant.elsewhere:
            path, *_, test = mutant.elsewhere.split("::")
            assert f"def {test}(" in (TESTS / path).read_text(), name
