"""Live data from ClickHouse, for times when the live counters cannot be read."""

from __future__ import annotations

import asyncio

from sinks.clickhouse import live_queries
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.live import MEASURES, Candidate, LiveReading
from streams.domain.windows import Window


class ClickHouseLiveReader:
    """`LiveReader` on ClickHouse, as new as its newest block: a few seconds behind the live counters."""

    def __init__(self, reader: ClickHouseReader) -> None:
        """Query through a `ClickHouseReader`."""
        self._reader = reader

    async def everything(self, window: Window) -> LiveReading:
        """See `LiveReader.everything`."""
        reading, rows = await asyncio.gather(
            self._read(None, window), self._reader.rows(live_queries.trend_candidates(window))
        )
        candidates = tuple(Candidate(row["video_id"], row["recent"], row["before"]) for row in rows)
        return LiveReading(reading.watching, reading.minutes, candidates)

    async def video(self, video_id: str, window: Window) -> LiveReading:
        """See `LiveReader.video`."""
        return await self._read(video_id, window)

    async def _read(self, video_id: str | None, window: Window) -> LiveReading:
        rows, (now,) = await asyncio.gather(
            self._reader.rows(live_queries.minutes(video_id, window)),
            self._reader.rows(live_queries.watching(video_id, window)),
        )
        minutes = {row["minute"]: {name: row[name] for name in MEASURES} for row in rows}
        return LiveReading(now["watching"], minutes)
