"""A worker knows the lengths of videos in the catalog, whatever their records' clocks say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from sinks.base import Unavailable, Where
from sinks.memory import MemoryArchive, MemoryStore
from streams import catalog
from streams.catalog import CatalogFeed
from streams.domain.catalog import Catalog
from streams.domain.rows import CatalogRow
from tests.logs import captured
from tests.waiting import until

NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


def _row(video: str, partition: int, offset: int, at_ms: int, duration_ms: int = 60_000) -> CatalogRow:
    source = ("cluster", "video.catalog", partition, offset)
    times = (at_ms, at_ms, 0)
    return CatalogRow(*source, "", "catalog.entry", *times, video, "", duration_ms, "", 0, False, False)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(NOW_MS + 72 * HOUR_MS, NOW_MS, id="after one whose clock was three days ahead"),
        pytest.param(NOW_MS, NOW_MS - HOUR_MS, id="of a partition that is an hour behind"),
    ],
)
async def test_an_entry_is_known_though_one_with_a_later_time_came_before(
    first: int, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_REFRESH_SECONDS", 0.001)
    store = MemoryStore()
    rows = store.tables["video_catalog"]
    feed = CatalogFeed(MemoryArchive(store))
    rows.append(_row("early", 0, 0, first))
    reading = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.length_ms("early") == 60_000)
        rows.append(_row("of another partition", 1, 0, then))
        await until(lambda: feed.length_ms("of another partition") == 60_000)
        rows.append(_row("of the same", 0, 1, then))
        await until(lambda: feed.length_ms("of the same") == 60_000)
    finally:
        reading.cancel()


class Away(MemoryArchive):
    """ClickHouse, which is away for some questions."""

    questions, until = 0, 0

    async def catalog(self, since: int, ends: Mapping[Where, int]) -> list[CatalogRow]:
        self.questions += 1
        if self.questions <= self.until:
            raise Unavailable("ClickHouse: away", "clickhouse")
        return await super().catalog(since, ends)


async def test_while_clickhouse_is_away_what_is_known_stays_and_afterwards_all_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "_REFRESH_SECONDS", 0.001)
    told = captured(monkeypatch, "streams.catalog.log")
    store = MemoryStore()
    away = Away(store)
    feed = CatalogFeed(away)
    store.tables["video_catalog"].append(_row("early", 0, 0, NOW_MS))
    # It is away from the start, and once more later.
    away.until = 3
    reading = asyncio.create_task(feed.run())
    try:
        await until(lambda: feed.length_ms("early") == 60_000)
        assert [line["error"] for line in told] == ["ClickHouse: away"] * 3
        away.until = away.questions + 3
        feed.update([_row("of an own partition", 1, 0, NOW_MS)])
        store.tables["video_catalog"].append(_row("of another one", 2, 0, NOW_MS - HOUR_MS))
        await until(lambda: len(told) >= 5)
        assert (feed.length_ms("early"), feed.length_ms("of an own partition")) == (60_000, 60_000)
        await until(lambda: feed.length_ms("of another one") == 60_000)
    finally:
        reading.cancel()


async def test_other_tasks_have_their_turn_while_a_large_catalog_is_read() -> None:
    store = MemoryStore()
    store.tables["video_catalog"] += [_row(f"video {number}", 0, number, NOW_MS) for number in range(12_000)]
    feed = CatalogFeed(MemoryArchive(store))
    reading = asyncio.create_task(feed.run())
    try:
        turns = 0
        while not feed.length_ms("video 11999"):
            await asyncio.sleep(0)
            turns += feed.length_ms("video 0") > 0
        assert turns > 2, "all was read in one turn"
    finally:
        reading.cancel()


@pytest.mark.parametrize(
    ("before", "after", "length_ms"),
    [
        pytest.param((NOW_MS, 5), (NOW_MS, 6), 2, id="by offset at the same time"),
        pytest.param((NOW_MS, 6), (NOW_MS, 5), 1, id="not the older of the same time"),
        pytest.param((NOW_MS, 2**40), (NOW_MS + 1, 0), 2, id="by time before all else"),
        pytest.param((NOW_MS, 0), (-1, 9), 1, id="not one without a time"),
        pytest.param((-1, 0), (-1, 1), 2, id="of two without a time the later"),
    ],
)
def test_the_newest_version_of_a_video_counts(
    before: tuple[int, int], after: tuple[int, int], length_ms: int
) -> None:
    known = Catalog()
    for number, (at, offset) in enumerate((before, after), 1):
        known.update([_row("video", 0, offset, at, number)])
    assert known.length_ms("video") == length_ms
    assert known.length_ms("another") == 0


def test_a_length_may_be_as_long_as_a_column_takes_and_a_deleted_video_has_none() -> None:
    known = Catalog()
    known.update([_row("video", 0, 1, NOW_MS, 2**64 - 1)])
    assert known.length_ms("video") == 2**64 - 1
    known.update([msgspec.structs.replace(_row("video", 0, 2, NOW_MS), deleted=True)])
    assert known.length_ms("video") == 0
