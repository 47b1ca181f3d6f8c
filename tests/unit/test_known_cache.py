"""What is kept of who was known: for how long, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sinks.clickhouse.day_cache import Split
from sinks.clickhouse.known_cache import KnownCache

TODAY = date(2050, 11, 20)
SPLIT = Split(TODAY, 1, 0.0)


@dataclass(frozen=True)
class Thing:
    name: str
    nbytes: int = 40


class Memory:
    """A `KnownCache` of 100 bytes, and what was read into it."""

    def __init__(self, most: int = 100) -> None:
        self.now = 0.0
        self.looks: list[bool] = []
        self.read: list[tuple[str, int]] = []
        self.kept = KnownCache(most, max_age=60, clock=lambda: self.now, on_lookup=self.looks.append)

    async def keep(self, name: str, split: Split = SPLIT, nbytes: int = 40) -> None:
        async def read(room: int) -> Thing | None:
            self.read.append((name, room))
            return Thing(name, nbytes) if nbytes <= room else None

        await self.kept.refresh(name, split, read)

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


async def test_what_takes_more_than_its_rows_did_is_not_kept() -> None:
    memory = Memory()

    async def read(room: int) -> Thing:
        return Thing("a", room + 1)

    await memory.kept.refresh("a", SPLIT, read)
    assert not memory.has("a")


async def test_what_cannot_be_renewed_serves_until_it_is_too_old() -> None:
    memory = Memory()
    await memory.keep("a")

    async def read(room: int) -> Thing | None:
        return None

    for now in (46, 59):
        memory.now = now
        await memory.kept.refresh("a", SPLIT, read)
        assert memory.has("a")
    memory.now = 60
    await memory.kept.refresh("a", SPLIT, read)
    assert not memory.has("a")


async def test_without_memory_nothing_is_read() -> None:
    memory = Memory(0)
    await memory.keep("a")
    assert memory.read == []
    full = Memory()
    await full.keep("a", nbytes=100)
    await full.keep("b")
    assert full.read == [("a", 100)]


async def test_what_is_of_other_days_makes_room() -> None:
    memory = Memory()
    await memory.keep("a")
    await memory.keep("b")
    tomorrow = Split(date(2050, 11, 21), 1, 0.0)
    await memory.keep("c", tomorrow)
    assert memory.read[-1] == ("c", 100)
    assert memory.has("c", tomorrow)
    assert [memory.has(name) for name in ("a", "b")].count(True) == 1
