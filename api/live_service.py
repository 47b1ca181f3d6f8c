"""Live answers: from the live counters, or from ClickHouse while they cannot be read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from api.answers import LIVE, STORE, Data, envelope
from api.video_service import NOTHING_RECENT
from sinks.single_flight import SingleFlight
from streams.domain import definitions
from streams.domain.errors import StoreUnavailableError, UnknownVideoError
from streams.domain.live import LiveReader, LiveReading, last_hour, ranked
from streams.domain.measures import Total
from streams.domain.metrics import rounded, value
from streams.domain.video_readings import Catalog, CatalogEntry
from streams.domain.windows import Window, rfc3339

_log = structlog.get_logger(__name__)
_LIKES: Final = Total(("likes",))
#: It is logged this often that Redis is not read: each stream reads it every second.
_TELL_EVERY: Final = timedelta(minutes=1)


@dataclass(slots=True)
class LiveService:
    """Answers with live data.

    `live` reads the counters, `store` is its fallback, `catalog` is a cache. Requests at the same time share
    one reading. Every method raises `StoreUnavailableError` when no store can answer.
    """

    live: LiveReader
    store: LiveReader
    catalog: Catalog
    _readings: SingleFlight[tuple[LiveReading, str]] = field(default_factory=SingleFlight, repr=False)
    #: When it was last logged that Redis is not read.
    _told_at: datetime = field(default=datetime.min.replace(tzinfo=UTC), repr=False)

    async def everything(self, now: datetime) -> Data:
        """Answer `GET /analytics/live`."""
        window = last_hour(now)
        reading, source = await self._read(None, window)
        trending = ranked(reading.candidates, window)
        try:
            titles = await self.catalog.titles([candidate.id for candidate, _ in trending])
        except StoreUnavailableError:
            titles = {}
        data = _now(reading, window) | {
            "trending": [
                {
                    "id": candidate.id,
                    "title": titles.get(candidate.id),
                    "views": candidate.recent,
                    "viewsBefore": candidate.before,
                    "trend": rounded(trend),
                }
                for candidate, trend in trending
            ]
        }
        return envelope(data, window, source)

    async def video(self, video_id: str, now: datetime) -> Data:
        """Answer `GET /analytics/videos/{id}/live`; raise `UnknownVideoError` for an unknown one."""
        window = last_hour(now)
        (reading, source), entry = await asyncio.gather(self._read(video_id, window), self._entry(video_id))
        if entry is None and reading.empty:
            raise StoreUnavailableError(source, NOTHING_RECENT)
        if entry is not None and not entry.known and reading.empty:
            raise UnknownVideoError(video_id)
        title = entry.title if entry is not None else None
        return envelope({"id": video_id, "title": title} | _now(reading, window), window, source)

    async def _read(self, video_id: str | None, window: Window) -> tuple[LiveReading, str]:
        """Return the reading of a video, or of all, and which store it is from."""
        return await self._readings.run((video_id, window.start), lambda: self._read_alone(video_id, window))

    async def _read_alone(self, video_id: str | None, window: Window) -> tuple[LiveReading, str]:
        try:
            return await _ask(self.live, video_id, window), LIVE
        except StoreUnavailableError as error:
            if window.as_of - self._told_at >= _TELL_EVERY:
                self._told_at = window.as_of
                _log.info("live data is read from ClickHouse instead of Redis", reason=str(error))
            return await _ask(self.store, video_id, window), STORE

    async def _entry(self, video_id: str) -> CatalogEntry | None:
        """Return the catalog entry of a video; None when the catalog cannot be read."""
        try:
            return await self.catalog.entry(video_id)
        except StoreUnavailableError:
            return None


async def _ask(reader: LiveReader, video_id: str | None, window: Window) -> LiveReading:
    return await (reader.everything(window) if video_id is None else reader.video(video_id, window))


def _now(reading: LiveReading, window: Window) -> Data:
    """Return concurrent viewers, and the hour by the minute: sixty points, the last one incomplete."""
    first = int(window.start.timestamp()) // 60
    last = int(window.end.timestamp()) // 60
    return {
        "period": {"start": rfc3339(window.start), "end": rfc3339(window.end)},
        "concurrentViewers": reading.watching,
        "timeline": [
            {
                "minute": rfc3339(datetime.fromtimestamp(minute * 60, UTC)),
                "views": value(definitions.VIEWS, reading.minutes.get(minute, {})),
                "watchTime": value(definitions.WATCH_TIME, reading.minutes.get(minute, {})),
                "likes": value(_LIKES, reading.minutes.get(minute, {})),
            }
            for minute in range(first, last)
        ],
    }
