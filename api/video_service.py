"""Answers about videos: from live counters for the last hour, from ClickHouse for everything else.

Each is the fallback of the other where possible: ClickHouse answers the last hour while Redis is down or its
window is incomplete; Redis answers it while ClickHouse is down, with the cached catalog.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import structlog

from api import video_answers
from api.answers import LIVE, STORE, Data, envelope
from api.parameters import Question
from sinks.single_flight import let_go
from streams.domain.definitions import VIDEO
from streams.domain.errors import StoreUnavailableError, UnknownVideoError
from streams.domain.metrics import measures_of
from streams.domain.timeline import Timeline, group_by_of, timeline
from streams.domain.video_readings import Catalog, CatalogEntry, SummaryReading, VideoReader, VideoReading
from streams.domain.windows import Window

_log = structlog.get_logger(__name__)

NOTHING_RECENT: Final = "no catalog, and nothing of this video in the last hour"


@dataclass(frozen=True, slots=True)
class VideoService:
    """Answers questions about videos.

    `live` reads the last hour, with the catalog in `remembered`, which is a cache; `store` reads every
    window, with `catalog`. Every method raises `RequestError` for an invalid question, and
    `StoreUnavailableError` when no store can answer.
    """

    live: VideoReader
    store: VideoReader
    catalog: Catalog
    remembered: Catalog

    async def video(
        self, video_id: str, question: Question, groups: Collection[str], group_by: str | None
    ) -> Data:
        """Answer `GET /analytics/videos/{id}`."""
        entry: CatalogEntry | None = None
        if question.needs_first:
            entry = await self.catalog.entry(video_id)
        window = question.window(entry.first if entry else None)
        points = timeline(window, group_by_of(group_by, window))
        measures = measures_of(VIDEO, groups)
        if question.live:
            try:
                answer = await self._live_video(video_id, window, points, measures, question.compare)
            except StoreUnavailableError as error:
                _log.info("the last hour is read from ClickHouse instead of Redis", reason=str(error))
            else:
                return _video_answer(video_id, *answer, window, points, groups, question.compare, LIVE)
        known, reading = await asyncio.gather(
            _known(entry) if entry else self.catalog.entry(video_id),
            self.store.video(video_id, window, points, measures, question.compare),
        )
        return _video_answer(video_id, known, reading, window, points, groups, question.compare, STORE)

    async def _live_video(
        self, video_id: str, window: Window, points: Timeline, measures: Collection[str], compare: bool
    ) -> tuple[CatalogEntry | None, VideoReading]:
        """Read the last hour from Redis; the entry is None when the catalog cannot be read."""
        asking = asyncio.create_task(self.remembered.entry(video_id))
        try:
            reading = await self.live.video(video_id, window, points, measures, compare)
        except BaseException:
            # The fallback reads the catalog itself: no request waits for the same silent store twice.
            let_go(asking)
            raise
        try:
            entry = await asking
        except StoreUnavailableError as error:
            if reading.empty:
                raise StoreUnavailableError(LIVE, NOTHING_RECENT) from error
            return None, reading
        if not entry.known and not reading.empty:
            # Its first events are in Redis and on their way to ClickHouse.
            entry = CatalogEntry(first=window.start)
        return entry, reading

    async def summary(self, question: Question) -> Data:
        """Answer `GET /analytics/videos/summary`."""
        window = question.window(await self.catalog.first() if question.needs_first else None)
        if question.live:
            try:
                reading = await self.live.summary(window, question.compare)
            except StoreUnavailableError as error:
                _log.info("the last hour is read from ClickHouse instead of Redis", reason=str(error))
            else:
                return await self._summary_answer(reading, self.remembered, window, question, LIVE)
        reading = await self.store.summary(window, question.compare)
        return await self._summary_answer(reading, self.catalog, window, question, STORE)

    async def _summary_answer(
        self, reading: SummaryReading, catalog: Catalog, window: Window, question: Question, source: str
    ) -> Data:
        try:
            titles = await catalog.titles([ranked.id for ranked in reading.top])
        except StoreUnavailableError:
            if source == STORE:
                raise
            titles = {}
        return envelope(video_answers.summary(reading, titles, compare=question.compare), window, source)


async def _known(entry: CatalogEntry) -> CatalogEntry:
    return entry


def _video_answer(
    video_id: str,
    entry: CatalogEntry | None,
    reading: VideoReading,
    window: Window,
    points: Timeline,
    groups: Collection[str],
    compare: bool,
    source: str,
) -> Data:
    """Make the answer; raise `UnknownVideoError` for an unknown video."""
    if entry is not None and not entry.known:
        raise UnknownVideoError(video_id)
    live = entry.live if entry is not None else None
    data = video_answers.video(reading, window, points, groups, compare=compare, live=live)
    return envelope(data, window, source)
