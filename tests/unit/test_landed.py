"""Whether ClickHouse has just the rows that a partition's worker knows of."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from sinks.base import Fenced, Partition, Unavailable, Unexpected
from sinks.memory import MemoryArchive, MemoryLedgers, MemoryStore
from streams import landed
from streams.landed import Landed, check

_PLACE = ("cluster", "playback.events", 0)


class _Archive(MemoryArchive):
    """The end of one partition's rows, `behind` by that of a replica for those who do not wait for it."""

    def __init__(self, end: int) -> None:
        super().__init__(MemoryStore())
        self.end, self.behind, self.asked, self.seconds = end, end, 0, 0.0
        self.now = 0.0

    async def next_offset(self, log: str, topic: str, partition: int) -> int | None:
        return self.end or None

    async def ends(self, places: Any) -> dict[tuple[str, str, int], int]:
        self.asked += 1
        await asyncio.sleep(0)
        self.now += self.seconds
        return {_PLACE: self.behind} if self.behind else {}


async def _known(archive: _Archive, end: int, most: int) -> tuple[Landed, MemoryLedgers]:
    ledgers, partition = MemoryLedgers(MemoryStore()), Partition(*_PLACE)
    epoch = (await ledgers.claim(partition)).epoch
    return Landed(archive, ledgers, "cluster", partition, epoch, end=end, most=most), ledgers


async def test_who_was_seen_a_moment_ago_is_not_asked_again_unless_an_answer_failed_to_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = _Archive(50)
    monkeypatch.setattr(landed, "loop_time", lambda: archive.now)
    known, _ = await _known(archive, 50, 50)
    assert not known.is_certain
    for _ in range(3):
        await known.check()
    assert (archive.asked, known.is_certain) == (1, True)
    known.doubt()
    await known.check()
    assert archive.asked == 2


@pytest.mark.parametrize("found", [0, 49, 61])
async def test_rows_that_are_missing_or_too_many_are_unexpected(found: int) -> None:
    known, _ = await _known(_Archive(found), 50, 60)
    with pytest.raises(Unexpected, match=f"end at offset {found}"):
        await known.check()
    assert not known.is_certain


@pytest.mark.parametrize("found", [50, 55, 60])
async def test_a_block_in_doubt_may_be_there_or_not(found: int) -> None:
    known, _ = await _known(_Archive(found), 50, 60)
    await known.check()


async def test_rows_of_another_owner_are_no_wonder() -> None:
    known, ledgers = await _known(_Archive(70), 50, 50)
    await ledgers.claim(known.partition)
    with pytest.raises(Fenced):
        await known.check()


async def test_a_replica_that_is_behind_is_waited_for() -> None:
    archive = _Archive(50)
    archive.behind = 40
    known, _ = await _known(archive, 50, 50)
    await known.check()
    assert known.is_certain


async def test_a_block_that_is_inserted_while_clickhouse_is_asked_is_not_missed() -> None:
    archive = _Archive(50)
    known, _ = await _known(archive, 50, 50)
    asking = asyncio.create_task(known.check())
    await asyncio.sleep(0)
    known.expect(60)
    known.note(60)
    await asking


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, 1), (1.9, 1), (2.1, 2)])
async def test_an_answer_that_took_too_long_is_not_trusted_at_once_and_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch, seconds: float, asked: int
) -> None:
    archive = _Archive(50)
    archive.seconds = seconds
    monkeypatch.setattr(landed, "loop_time", lambda: archive.now)
    known, _ = await _known(archive, 50, 50)
    await known.check()
    assert archive.asked == asked


async def test_partitions_of_one_worker_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _Archive(50)
    monkeypatch.setattr(landed, "loop_time", lambda: archive.now)
    known, ledgers = await _known(archive, 50, 50)
    other = Landed(archive, ledgers, "cluster", Partition("cluster", "user.events", 3), 1, end=0, most=0)
    await ledgers.claim(other.partition)  # That one moved to another worker, which is no wonder.
    await check([known, other])
    assert archive.asked == 1
    await check([])
    away = SimpleNamespace(ends=_away)
    apart = Landed(away, ledgers, "cluster", known.partition, known.epoch, end=0, most=0)
    with pytest.raises(Unavailable):
        await apart.check()


async def _away(_: Any) -> Any:
    raise Unavailable("away")
