"""Lanes: in order for each partition, two at once, and nothing is swallowed."""

from __future__ import annotations

import asyncio

import pytest

from streams.lanes import Lanes
from tests.waiting import turns


class Work:
    """Notes what begins and ends; a batch ends when it is let go."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def take(self, key: str, batch: int) -> None:
        name = f"{key}{batch}"
        gate = self.gates.setdefault(name, asyncio.Event())
        self.seen.append(f"+{name}")
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.seen.append(f"!{name}")
            raise
        self.seen.append(f"-{name}")

    async def let(self, *names: str) -> None:
        for name in names:
            self.gates.setdefault(name, asyncio.Event()).set()
        await turns()


async def feed(lanes: Lanes[str, int], *batches: tuple[str, int]) -> None:
    async with lanes:
        for key, batch in batches:
            await lanes.submit(key, batch)


async def test_a_partition_has_one_batch_at_work_and_another_partition_goes_on() -> None:
    work = Work()
    feeding = asyncio.create_task(feed(Lanes(work.take), ("a", 0), ("b", 0), ("a", 1), ("b", 1)))
    await work.let()
    assert work.seen == ["+a0", "+b0"], "two at once, and no more"
    await work.let("b0")
    assert work.seen[2:] == ["-b0"], "the next is a's, whose turn it is not"
    await work.let("a0")
    assert work.seen[3:] == ["-a0", "+a1", "+b1"]
    await work.let("b1", "a1")
    await feeding
    assert sorted(work.seen[6:]) == ["-a1", "-b1"], "what is at work is waited for"


async def test_what_a_batch_ends_with_is_raised() -> None:
    async def fail(_key: str, _batch: int) -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        await feed(Lanes(fail), ("a", 0), ("a", 1))
    with pytest.raises(RuntimeError, match="a fault"):
        await feed(Lanes(fail), ("a", 0))


async def test_what_is_at_work_is_cut_short_with_its_owner() -> None:
    work = Work()
    feeding = asyncio.create_task(feed(Lanes(work.take), ("a", 0), ("b", 0), ("a", 1)))
    await work.let()
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    assert sorted(work.seen) == ["!a0", "!b0", "+a0", "+b0"]
