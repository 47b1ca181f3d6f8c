"""What is kept of who was known: for how long, and how much of it; and when memory does not suffice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from sinks.clickhouse.kept import Split
from sinks.clickhouse.kept_known import KeptKnown
from sinks.clickhouse.known_sessions import ID, SESSION, KnownSessions

TODAY = date(2050, 11, 20)
SPLIT = Split(TODAY, 1, 0.0)
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Thing:
    name: str
    nbytes: int = 40


class Memory:
    """A `KeptKnown` of 100 bytes, and what was read into it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks: list[bool] = []
        self.read: list[tuple[str, int]] = []
        self.kept = KeptKnown(100, longest=60, clock=lambda: self.now, looked=self.looks.append)

    async def keep(self, name: str, split: Split = SPLIT, nbytes: int = 40) -> None:
        async def read(room: int) -> Thing | None:
            self.read.append((name, room))
            return Thing(name, nbytes) if nbytes <= room else None

        await self.kept.keep(name, split, read)

    def has(self, name: str, split: Split = SPLIT) -> bool:
        return self.kept.get(name, Thing, split) is not None


async def test_what_is_kept_serves_until_its_days_change_or_it_is_old() -> None:
    memory = Memory()
    assert not memory.has("a")
    await memory.keep("a")
    memory.now = 59
    assert memory.has("a")
    assert not memory.has("a", Split(TODAY, 2, 0.0))
    assert not memory.has("a", Split(date(2050, 11, 21), 1, 0.0))
    memory.now = 60
    assert not memory.has("a")
    assert memory.looks == [False, True, False, False, False]


async def test_it_is_read_again_before_it_is_too_old_and_when_its_days_change() -> None:
    memory = Memory()
    await memory.keep("a")
    memory.now = 44
    await memory.keep("a")
    assert len(memory.read) == 1
    memory.now = 46
    await memory.keep("a")
    assert len(memory.read) == 2
    await memory.keep("a", Split(TODAY, 2, 46))
    assert len(memory.read) == 3


async def test_nothing_of_the_same_days_makes_room_for_something_else() -> None:
    memory = Memory()
    for name in ("a", "b", "c"):
        await memory.keep(name)
    assert memory.read == [("a", 100), ("b", 60), ("c", 20)]
    assert [memory.has(name) for name in ("a", "b", "c")] == [True, True, False]
    # What did not fit is not read again and again.
    memory.now = 50
    await memory.keep("c")
    assert len(memory.read) == 3


async def test_what_is_of_other_days_makes_room() -> None:
    memory = Memory()
    await memory.keep("a")
    await memory.keep("b")
    tomorrow = Split(date(2050, 11, 21), 1, 0.0)
    await memory.keep("c", tomorrow)
    assert memory.read[-1] == ("c", 100)
    assert memory.has("c", tomorrow)
    assert [memory.has(name) for name in ("a", "b")].count(True) == 1


def _session(session: int, opened_ms: int, last_ms: int) -> tuple[int, ...]:
    return (session, opened_ms * 16 + 1, 7, last_ms, 1, 0, 0)


def test_a_session_that_goes_on_counts_once_and_is_as_long_as_both_parts() -> None:
    known = KnownSessions(
        np.array([_session(5, DAY_MS - 4000, DAY_MS - 1000)], SESSION.dtype), np.array([(5,), (9,)], ID.dtype)
    )
    heard = np.array([_session(5, DAY_MS, DAY_MS + 2000), _session(6, DAY_MS, DAY_MS + 500)], SESSION.dtype)
    late = known.since(heard, 0, 2 * DAY_MS)
    assert late is not None
    assert late.by_device() == [{"device": 1, "sessions": 1, "durations_ms": 3000 + 500}]
    # It began before the second day.
    late = known.since(heard, DAY_MS, 2 * DAY_MS)
    assert late is not None
    assert late.by_device() == [{"device": 1, "sessions": 1, "durations_ms": 500}]


def test_a_session_of_which_only_the_id_is_known_is_a_question_for_the_store() -> None:
    known = KnownSessions(np.empty(0, SESSION.dtype), np.array([(5,), (9,)], ID.dtype))
    assert known.since(np.array([_session(9, DAY_MS, DAY_MS)], SESSION.dtype), 0, 2 * DAY_MS) is None
