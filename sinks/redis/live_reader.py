"""Live data from the live counters of all partitions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sinks.redis import keys
from sinks.redis.reader import RedisReader, minute_of, pairs
from sinks.redis.scripts import source
from streams.domain.live import (
    AHEAD,
    MAX_CANDIDATES,
    MAX_TRENDING,
    MEASURES,
    MIN_RECENT,
    Candidate,
    LiveReading,
    ranked,
    recent_start,
)
from streams.domain.windows import Window

#: Videos looked up at first. If that does not settle it, all others together cost little more.
_VIDEOS_AT_FIRST: Final = 100
#: Surges that were looked up less than this ago are not looked up again, nor within so many times as long as
#: the look took.
CANDIDATES_FRESH: Final = timedelta(seconds=5)
CANDIDATES_SHARE: Final = 20


class RedisLiveReader:
    """`LiveReader` on Redis. A view is in one partition, by its id, so counters can be added up."""

    def __init__(self, reader: RedisReader) -> None:
        """Read through a `RedisReader`, which knows the partitions."""
        self._reader = reader
        self._lock = asyncio.Lock()
        self._candidates_at = self._candidates_end = datetime.min.replace(tzinfo=UTC)
        self._fresh_for = CANDIDATES_FRESH
        self._candidates: tuple[Candidate, ...] = ()
        self._live = source("read_live")
        self._views = source("read_views")

    async def everything(self, window: Window) -> LiveReading:
        """See `LiveReader.everything`; raise `StoreUnavailableError` also if too many videos are watched.

        Candidates, the slowest part, may be `CANDIDATES_FRESH` old, or as old as `CANDIDATES_SHARE` looks for
        them take; but they are never those of an earlier minute.
        """
        async with self._lock:
            # Views recent a moment ago may be views `before` once the minute has turned.
            fresh = timedelta() <= window.as_of - self._candidates_at < self._fresh_for
            stale = not fresh or window.end != self._candidates_end
            clock = asyncio.get_running_loop().time
            began = clock()
            watching, minutes, answers = await self._read("", window, candidates=stale)
            if stale:
                self._candidates = await self._find_candidates(_recent(answers), window)
                self._candidates_at, self._candidates_end = window.as_of, window.end
                took = timedelta(seconds=clock() - began)
                self._fresh_for = max(CANDIDATES_FRESH, CANDIDATES_SHARE * took)
            return LiveReading(watching, minutes, self._candidates)

    async def video(self, video_id: str, window: Window) -> LiveReading:
        """See `LiveReader.video`."""
        watching, minutes, _ = await self._read(video_id, window, candidates=False)
        return LiveReading(watching, minutes)

    async def _read(
        self, video_id: str, window: Window, *, candidates: bool
    ) -> tuple[int, dict[int, Counter[str]], list[Any]]:
        now = int(window.as_of.timestamp() * 1000)
        since, until = now - keys.WATCHING_MS, now + AHEAD // timedelta(milliseconds=1)
        recent = recent_start(window) if candidates else window.end
        bounds = (minute_of(window.start), minute_of(recent), minute_of(window.end))
        if not video_id:
            await self._reader.check_size(window.as_of, *bounds[1:], watched_since=since)
        answers = await self._reader.run_script(self._live, window.as_of, *bounds, since, until, video_id)
        minutes: dict[int, Counter[str]] = {}
        for answer in answers:
            for minute, *values in answer[1]:
                minutes.setdefault(minute, Counter()).update(dict(zip(MEASURES, values, strict=True)))
        return sum(answer[0] for answer in answers), minutes, answers

    async def _find_candidates(self, recent: Counter[str], window: Window) -> tuple[Candidate, ...]:
        """Look up views `before`, for the most viewed videos first, until no other one can be ranked."""
        wanted = sorted(
            (video for video in recent if recent[video] >= MIN_RECENT), key=lambda v: (-recent[v], v)
        )
        found: list[Candidate] = []
        for some in (wanted[:_VIDEOS_AT_FIRST], wanted[_VIDEOS_AT_FIRST:MAX_CANDIDATES]):
            best = ranked(found, window)
            # A trend never exceeds the number of recent views.
            if not some or (len(best) == MAX_TRENDING and best[-1][1] > recent[some[0]]):
                break
            before = await self._before(some, window)
            found += [
                Candidate(video, recent[video], views) for video, views in zip(some, before, strict=True)
            ]
        return tuple(found)

    async def _before(self, videos: Sequence[str], window: Window) -> list[int]:
        bounds = (minute_of(window.start), minute_of(recent_start(window)))
        answers = await self._reader.run_script(self._views, window.as_of, *bounds, *videos)
        return [sum(views) for views in zip(*answers, strict=True)]


def _recent(answers: Sequence[Any]) -> Counter[str]:
    """Return the sum of recent views by video."""
    recent = Counter[str]()
    for answer in answers:
        for video, views in pairs(answer[2]):
            recent[video] += int(views)
    return recent
