"""What a memory says of clocks that are ahead, when there are more of them than it can tell apart."""

from __future__ import annotations

import pytest

from streams.domain.generations import Generations


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Generations[str]:
    monkeypatch.setattr("streams.domain.generations.MAX_AHEAD", 3)
    return Generations(floor=10, capacity=10, lifetime=1.0)


def seen(memory: Generations[str], *claimed: int) -> list[bool]:
    return [memory.may_have_seen(at, 0) for at in claimed]


def test_few_clocks_that_are_ahead_are_told_apart(memory: Generations[str]) -> None:
    memory.add_ahead([100, 200, 300])
    assert seen(memory, 10, 100, 200, 300) == [True] * 4
    assert seen(memory, 11, 150, 301) == [False] * 3


def test_of_more_everything_up_to_the_latest_is_looked_up(memory: Generations[str]) -> None:
    memory.add_ahead([100, 200, 300, 400])
    assert seen(memory, 11, 100, 399, 400) == [True] * 4
    assert not memory.may_have_seen(401, 0)
    # What is looked up anyway takes no place.
    memory.add_ahead([100, 200, 300, 390, 500])
    assert seen(memory, 390, 400, 500) == [True] * 3
    assert seen(memory, 401, 501) == [False] * 2


def test_those_of_its_own_events_are_bounded_when_it_rotates(memory: Generations[str]) -> None:
    for at in (100, 200, 300, 400):
        memory.put(("video", str(at)), "state")
        memory.observe(at, at)
    memory.rotate(1_000)
    assert seen(memory, 11, 400) == [True] * 2
    assert not memory.may_have_seen(401, 0)


def test_a_memory_that_has_every_key_looks_up_nothing_until_it_forgets_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.domain.generations.MAX_AHEAD", 3)
    memory: Generations[str] = Generations(floor=-1, capacity=10, lifetime=1.0)
    for at in (100, 200, 300, 400):
        memory.put(("video", str(at)), "state")
        memory.observe(at, at)
    memory.rotate(1_000)
    assert not memory.may_have_seen(100, 0)
    memory.rotate(2_000)
    # The keys of before the first rotation are gone, and with them the list of their times.
    assert seen(memory, 100, 399, 400) == [True] * 3
    assert not memory.may_have_seen(401, 0)
