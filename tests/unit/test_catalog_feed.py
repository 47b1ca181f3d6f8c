"""A worker knows the lengths of videos in the catalog, whatever their records' clocks say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sinks.memory import MemoryArchive, MemoryStore
from streams import catalog
from streams.catalog import CatalogFeed
from streams.domain.rows import CatalogRow

NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


def _row(video: str, partition: int, offset: int, at_ms: int, duration_ms: int = 60_000) -> CatalogRow:
    source = ("cluster", "video.catalog", partition, offset)
    times = (at_ms, at_ms, 0)
    return CatalogRow(*source, "", "catalog.entry", *times, video, "", duration_ms, "", 0, False, False)


async def _until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not what():
            await asyncio.sleep(0.001)


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
        await _until(lambda: feed.length_ms("early") == 60_000)
        rows.append(_row("of another partition", 1, 0, then))
        await _until(lambda: feed.length_ms("of another partition") == 60_000)
        rows.append(_row("of the same", 0, 1, then))
        await _until(lambda: feed.length_ms("of the same") == 60_000)
    finally:
        reading.cancel()
