"""Readings from Redis: the last hour, from the live counters of every partition."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from sinks.base import Asked, unheard
from sinks.redis import keys
from sinks.redis.client import Patience
from streams.domain.errors import StoreUnavailableError
from streams.domain.measures import Sums
from streams.domain.timeline import Timeline
from streams.domain.video_readings import Catalog, RankedVideo, SummaryReading, VideoReading
from streams.domain.windows import Window

_STORE: Final = "redis"
_TOP: Final = 10
#: Videos summed by one script call: a script holds up everybody else.
_VIDEOS_AT_ONCE: Final = 100
_SUMMED: Final = ("comments", "completions", "likes", "parts", "shares", "sized", "views", "watched_ms")
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Minutes:
    """The minutes of a window (since the epoch), and the cuts of what it is compared with."""

    first: int
    start: int
    cut: int
    end: int

    @classmethod
    def of(cls, window: Window, compare: bool) -> _Minutes:
        """Take a window apart; raise `StoreUnavailableError` when it is not one of whole, live minutes."""
        before = window.before if compare else None
        first = before.start if before else window.start
        if any(instant.timestamp() % 60 for instant in (first, window.start, window.end)) or (
            window.as_of - first > timedelta(seconds=keys.LIVE_SECONDS)
        ):
            raise StoreUnavailableError(_STORE, "the window is not live")
        cut = window.elapsed.end if before else window.end
        return cls(*(_minute(each) for each in (first, window.start, cut, window.end)))

    def fold(
        self, cells: Iterable[tuple[int, Counter[str]]]
    ) -> tuple[Counter[str], Counter[str], Counter[str]]:
        """Add minutes up: the whole window, its elapsed part, and as long a stretch before."""
        total, elapsed, before = Counter[str](), Counter[str](), Counter[str]()
        for minute, cell in cells:
            if minute >= self.start:
                total.update(cell)
                if minute < self.cut:
                    elapsed.update(cell)
            elif minute < self.first + self.cut - self.start:
                before.update(cell)
        return total, elapsed, before


class RedisReader:
    """`VideoReader` on Redis, for windows of the last hour in whole minutes.

    Counters of all partitions are added up. When no partition is known, or one of them is just being
    rebuilt, the live window is not whole, and the reader says so: `StoreUnavailableError`.
    """

    def __init__(
        self, redis: Any, catalog: Catalog, *, patience: Patience | None = None, asked: Asked = unheard
    ) -> None:
        """Use a client that answers bytes; `catalog` tells which videos are live.

        A server that does not answer within the patience, a second without one, is given up. `asked` is told
        of each question.
        """
        self._redis = redis
        self._catalog = catalog
        self._patience = patience or Patience()
        self._asked = asked
        folder = files("sinks.redis.scripts")
        self._video = (folder / "read_video.lua").read_text("utf-8")
        self._totals = (folder / "read_totals.lua").read_text("utf-8")
        self._videos = (folder / "read_videos.lua").read_text("utf-8")

    async def ready(self) -> None:
        """Raise `StoreUnavailableError` unless the server answers."""
        async with self._answering():
            await self._redis.exists(keys.LOGS)

    async def video(
        self, video_id: str, window: Window, timeline: Timeline, measures: Collection[str], compare: bool
    ) -> VideoReading:
        """See `VideoReader.video`."""
        minutes = _Minutes.of(window, compare)
        edges = [max(minutes.start, edge // 60) for edge in timeline.edges] + [minutes.end]
        answers = await self.ask(self._video, window.as_of, video_id, minutes.first, minutes.end, *edges)
        cells = [cell for answer in answers for cell in _cells(answer[0])]
        total, elapsed, before = minutes.fold(cells)
        points: dict[int, Counter[str]] = {}
        for minute, cell in cells:
            if minute >= minutes.start:
                points.setdefault(timeline.index(minute * 60), Counter()).update(cell)
        users: list[set[bytes]] = [set() for _ in timeline.edges]
        for answer in answers:
            for mine, found in zip(users, answer[1], strict=True):
                mine.update(found)
        return VideoReading(
            total=_only(total, measures),
            elapsed=_only(elapsed, measures),
            before=_only(before, measures) if compare and window.previous else None,
            unique=len(set().union(*users)),
            points={position: _only(cell, measures) for position, cell in points.items()},
            unique_points={position: len(found) for position, found in enumerate(users)},
            countries=_dimension(total, "country:"),
            devices=_dimension(total, "device:"),
            platforms=_dimension(total, "platform:"),
        )

    async def summary(self, window: Window, compare: bool) -> SummaryReading:
        """See `VideoReader.summary`."""
        minutes = _Minutes.of(window, compare)
        answers, live = await asyncio.gather(
            self.ask(self._totals, window.as_of, minutes.first, minutes.start, minutes.end), self._live()
        )
        total, elapsed, before = minutes.fold(cell for answer in answers for cell in _cells(answer[0]))
        views = Counter[str]()
        for answer in answers:
            for video, score in _pairs(answer[1]):
                views[video] += int(score)
        viewed = sorted((count for count in views.values() if count > 0), reverse=True)
        least = viewed[:_TOP][-1] if viewed else 0
        candidates = {video for video, count in views.items() if count > 0 and count >= least}
        others = {video for video, count in views.items() if count <= 0}
        wanted = candidates | others | (views.keys() & (live or ()))
        sums = await self._sums(sorted(wanted), window.as_of, minutes)
        ranked = sorted(
            candidates, key=lambda video: (-views[video], -sums[video].get("watched_ms", 0), video)
        )
        reactions = {
            name: total[name] - sum(sums[video].get(name, 0) for video in others)
            for name in ("likes", "comments")
        }
        recorded = None
        if live is not None:
            recorded = {
                name: total[name] - sum(sums[video].get(name, 0) for video in views.keys() & live)
                for name in ("views", "completions")
            }
        return SummaryReading(
            videos=len(viewed),
            total=_only(total, _SUMMED),
            elapsed=_only(elapsed, _SUMMED),
            before=_only(before, _SUMMED) if compare and window.previous else None,
            recorded=recorded,
            reactions=reactions,
            top=tuple(RankedVideo(video, sums[video]) for video in ranked[:_TOP]),
        )

    async def _live(self) -> frozenset[str] | None:
        try:
            return frozenset(await self._catalog.live())
        except StoreUnavailableError:
            return None

    async def _sums(self, videos: Sequence[str], now: datetime, minutes: _Minutes) -> dict[str, Counter[str]]:
        """Return the window's sums of some videos."""
        found = {video: Counter[str]() for video in videos}
        for begin in range(0, len(videos), _VIDEOS_AT_ONCE):
            some = videos[begin : begin + _VIDEOS_AT_ONCE]
            answers = await self.ask(
                self._videos, now, minutes.start, minutes.end, len(_SUMMED), *_SUMMED, *some
            )
            for answer in answers:
                for video, values in zip(some, answer, strict=True):
                    found[video].update(dict(zip(_SUMMED, values, strict=True)))
        return found

    async def ask(self, script: str, now: datetime, *arguments: Any) -> list[Any]:
        """Run a script on every partition that is alive, in one round trip, and return the answers."""
        async with self._answering():
            since = now.timestamp() - keys.LIVE_SECONDS
            tags = [tag.decode() for tag in await self._redis.zrangebyscore(keys.LOGS, since, "+inf")]
            if not tags:
                raise StoreUnavailableError(_STORE, "no partition has live counters")
            # A generation that changes in between makes the script answer nothing.
            generations = await self._pipelined(("HGET", keys.ledger(tag), "generation") for tag in tags)
            answers = await self._pipelined(
                (
                    *("EVAL", script, 1, keys.ledger(tag)),
                    *(int(generation or 0), keys.prefix(tag, int(generation or 0)), *arguments),
                )
                for tag, generation in zip(tags, generations, strict=True)
            )
        if None in answers:
            raise StoreUnavailableError(_STORE, "the live window is being rebuilt")
        return answers

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        """Bound what is done by the patience, and tell of it."""
        began, answered = asyncio.get_running_loop().time(), False
        try:
            async with self._patience.answering():
                try:
                    yield
                except StoreUnavailableError:
                    # The server answered; what it has is not enough.
                    answered = True
                    raise
            answered = True
        finally:
            self._asked(_STORE, asyncio.get_running_loop().time() - began, answered)

    async def _pipelined(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute()
        return answers


def _minute(instant: datetime) -> int:
    return int(instant.timestamp()) // 60


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[str, bytes]]:
    for place in range(0, len(flat), 2):
        yield flat[place].decode(), flat[place + 1]


def _cells(answer: Sequence[Any]) -> list[tuple[int, Counter[str]]]:
    return [(minute, Counter({name: int(value) for name, value in _pairs(flat)})) for minute, flat in answer]


def _only(sums: Counter[str], measures: Collection[str]) -> Sums:
    return {name: sums[name] for name in measures}


def _dimension(sums: Counter[str], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count for name, count in sums.items() if name.startswith(prefix) and count
    }
