"""Live answers of one moment are read once, from the store that can answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import structlog
from structlog.testing import capture_logs

from api.live_service import LiveService
from streams.domain.errors import StoreUnavailableError
from streams.domain.live import LiveReading
from streams.domain.video_readings import CatalogEntry
from streams.domain.windows import Window

NOW = datetime(2026, 11, 27, 9, 30, 12, tzinfo=UTC)


class Readings:
    """A store whose readings are numbered, as their viewers; it takes a moment, or is away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.read: list[str | None] = []
        self.is_away = is_away

    async def everything(self, window: Window) -> LiveReading:
        return await self._reading(None)

    async def video(self, video_id: str, window: Window) -> LiveReading:
        return await self._reading(video_id)

    async def _reading(self, video_id: str | None) -> LiveReading:
        self.read.append(video_id)
        number = len(self.read)
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailableError("redis", "away")
        return LiveReading(number)


class Listed:
    """A catalog that lists every video, without a title."""

    async def entry(self, video_id: str) -> CatalogEntry:
        return CatalogEntry(listed=True)

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        return {}

    async def live(self) -> Collection[str]:
        return []

    async def first(self) -> datetime | None:
        return None


async def test_requests_at_the_same_time_share_one_reading_of_each_question() -> None:
    counters, store = Readings(), Readings()
    live = LiveService(counters, store, Listed())
    answers = await asyncio.gather(
        *(live.everything(NOW) for _ in range(50)), *(live.video("a", NOW) for _ in range(50))
    )
    assert counters.read == [None, "a"]
    assert [answer["data"]["concurrentViewers"] for answer in answers] == [1] * 50 + [2] * 50

    # Those that come later read anew, and so do those of the next minute.
    later = await asyncio.gather(live.everything(NOW), live.everything(NOW + timedelta(minutes=1)))
    assert [answer["data"]["concurrentViewers"] for answer in later] == [3, 4]
    assert store.read == []


async def test_while_one_store_is_away_the_other_is_read_once_for_all() -> None:
    counters, store = Readings(is_away=True), Readings()
    live = LiveService(counters, store, Listed())
    answers = await asyncio.gather(*(live.everything(NOW) for _ in range(50)))
    assert {answer["meta"]["source"] for answer in answers} == {"clickhouse"}
    assert (counters.read, store.read) == ([None], [None])


async def test_streams_do_not_fill_the_log_while_a_store_is_away() -> None:
    live = LiveService(Readings(is_away=True), Readings(), Listed())
    # Whatever a test before this one made of the logs.
    structlog.reset_defaults()
    with capture_logs() as logs:
        for second in range(150):
            for video in ("a", "b", "c"):
                await live.video(video, NOW + timedelta(seconds=second))
    assert [line["reason"] for line in logs] == ["redis: away"] * 3
