"""Readings of videos from Redis: the last hour, from the live counters of all partitions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from sinks.base import QueryObserver, ignore_query
from sinks.redis import keys, sizes
from sinks.redis.client import CircuitBreaker
from sinks.redis.scripts import source
from streams.domain.errors import StoreUnavailableError
from streams.domain.measures import Sums
from streams.domain.metrics import SUMMARY_MEASURES
from streams.domain.timeline import Timeline
from streams.domain.video_readings import TOP_VIDEOS, Catalog, RankedVideo, SummaryReading, VideoReading
from streams.domain.windows import Window

_STORE: Final = "redis"
#: Videos summed by one script call: a script blocks all other clients.
_VIDEOS_AT_ONCE: Final = 100
#: How many minutes are sampled to estimate what all would cost; and more cells than any partition has.
_SAMPLES: Final = 6
_NO_SAMPLE: Final = 1 << 50
#: No event is later than this (epoch ms).
_NEVER: Final = 1 << 50
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Minutes:
    """The minutes (since the epoch) of a window, of its elapsed part, and of the stretch before."""

    first: int
    start: int
    cut: int
    end: int

    @classmethod
    def of(cls, window: Window, compare: bool) -> _Minutes:
        """Return the minutes of a window; raise `StoreUnavailableError` unless they are whole and live."""
        before = window.before if compare else None
        first = before.start if before else window.start
        if any(instant.timestamp() % 60 for instant in (first, window.start, window.end)) or (
            window.as_of - first > timedelta(seconds=keys.LIVE_SECONDS)
        ):
            raise StoreUnavailableError(
                _STORE, "the window is too old for live counters, or not whole minutes"
            )
        cut = window.elapsed.end if before else window.end
        return cls(*(minute_of(each) for each in (first, window.start, cut, window.end)))

    def fold(
        self, cells: Iterable[tuple[int, Counter[str]]]
    ) -> tuple[Counter[str], Counter[str], Counter[str]]:
        """Return sums over the window, over its elapsed part, and over the equally long stretch before."""
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

    Counters of all partitions are added up. When no partition is known, or one of them is just being rebuilt,
    the live window is incomplete, and the reader raises `StoreUnavailableError`; also when they are so many
    that Redis would be busy with them for long.
    """

    def __init__(
        self,
        redis: Any,
        catalog: Catalog,
        *,
        breaker: CircuitBreaker | None = None,
        on_query: QueryObserver = ignore_query,
    ) -> None:
        """Use a client that returns bytes; `catalog` tells which videos are live.

        `breaker` bounds the time of a query, by default to a second; `on_query` is called after each query.
        """
        self._redis = redis
        self._catalog = catalog
        self._breaker = breaker or CircuitBreaker()
        self._on_query = on_query
        self._video = source("read_video", ["cells"])
        self._totals = source("read_totals", ["cells"])
        self._videos = source("read_videos")
        self._sizes = source("read_sizes")

    async def ready(self) -> None:
        """Raise `StoreUnavailableError` unless the server answers."""
        async with self._query():
            await self._redis.exists(keys.LOGS)

    async def video(
        self, video_id: str, window: Window, timeline: Timeline, measures: Collection[str], compare: bool
    ) -> VideoReading:
        """See `VideoReader.video`."""
        minutes = _Minutes.of(window, compare)
        edges = [max(minutes.start, edge // 60) for edge in timeline.edges] + [minutes.end]
        answers = await self.run_script(
            self._video, window.as_of, video_id, minutes.first, minutes.end, *edges
        )
        cells = [cell for answer in answers for cell in _cells(answer[0])]
        total, elapsed, before = minutes.fold(cells)
        points: dict[int, Counter[str]] = {}
        for minute, cell in cells:
            if minute >= minutes.start:
                points.setdefault(timeline.index(minute * 60), Counter()).update(cell)
        users: list[set[str]] = [set() for _ in timeline.edges]
        for answer in answers:
            for mine, found in zip(users, answer[1], strict=True):
                mine.update(found)
        return VideoReading(
            total=_pick(total, measures),
            elapsed=_pick(elapsed, measures),
            before=_pick(before, measures) if compare and window.previous else None,
            unique=len(set().union(*users)),
            points={position: _pick(cell, measures) for position, cell in points.items()},
            unique_points={position: len(found) for position, found in enumerate(users)},
            countries=_dimension(total, "country:"),
            devices=_dimension(total, "device:"),
            platforms=_dimension(total, "platform:"),
        )

    async def summary(self, window: Window, compare: bool) -> SummaryReading:
        """See `VideoReader.summary`; raise `StoreUnavailableError` if too many videos were watched."""
        minutes = _Minutes.of(window, compare)
        await self.check_size(window.as_of, minutes.start, minutes.end)
        answers, live = await asyncio.gather(
            self._run(self._totals, window.as_of, minutes.first, minutes.start, minutes.end),
            self._live(),
        )
        cells = (cell for answer in answers.values() for cell in _cells(answer[0]))
        total, elapsed, before = minutes.fold(cells)
        views = Counter[str]()
        for _, found in answers.values():
            for video, score in pairs(found):
                views[video] += int(score)
        viewed = sorted((count for count in views.values() if count > 0), reverse=True)
        least = viewed[:TOP_VIDEOS][-1] if viewed else 0
        candidates = {video for video, count in views.items() if count > 0 and count >= least}
        others = {video for video, count in views.items() if count <= 0}
        wanted = candidates | others | (views.keys() & (live or ()))
        where = {
            tag: [video for video in found[::2] if video in wanted] for tag, (_, found) in answers.items()
        }
        sums = await self._sums(wanted, where, window.as_of, minutes)
        ranked = sorted(
            candidates, key=lambda video: (-views[video], -sums[video].get("watched_ms", 0), video)
        )

        def without(name: str, videos: Collection[str]) -> int:
            # Never negative: the sums of videos are read later than the total, and may have more.
            return max(0, total[name] - sum(sums[video].get(name, 0) for video in videos))

        reactions = {name: without(name, others) for name in ("likes", "comments")}
        recorded = None
        if live is not None:
            recorded = {name: without(name, views.keys() & live) for name in ("views", "completions")}
        return SummaryReading(
            videos=len(viewed),
            total=_pick(total, SUMMARY_MEASURES),
            elapsed=_pick(elapsed, SUMMARY_MEASURES),
            before=_pick(before, SUMMARY_MEASURES) if compare and window.previous else None,
            recorded=recorded,
            reactions=reactions,
            top=tuple(RankedVideo(video, sums[video]) for video in ranked[:TOP_VIDEOS]),
        )

    async def check_size(self, now: datetime, first: int, end: int, watched_since: int | None = None) -> None:
        """Raise `StoreUnavailableError` if reading all videos would keep Redis from its other work for long.

        All videos with a measure from the minute `first` up to `end` would be added up; with `watched_since`
        (epoch ms), the viewers of all videos with a later event would be counted as well.
        """
        apart = max(1, (end - first) // _SAMPLES)
        asked = partial(self.run_script, self._sizes, now, first, end, apart)
        since = _NEVER if watched_since is None else watched_since
        found = await asked(_NO_SAMPLE, since)
        watched = sum(each[3] for each in found)
        if watched > sizes.MOST_WATCHED:
            raise _too_many(f"{watched:,} of all partitions at the moment")
        different = cells = sum(each[0] for each in found)
        if cells > sizes.FEW_CELLS and not sizes.too_many(cells, 0):
            # Views are spread over partitions by their ids, so the largest partition tells about all.
            found = await asked(max(each[0] for each in found), since)
            sample = max(found, key=lambda each: each[1])[:3]
            different = sizes.estimate_pairs(cells, sample, end - first, -(-(end - first) // apart))
        if sizes.too_many(cells, different):
            raise _too_many(f"about {different:,} of all partitions")

    async def _live(self) -> frozenset[str] | None:
        try:
            return frozenset(await self._catalog.live())
        except StoreUnavailableError:
            return None

    async def _sums(
        self, videos: Iterable[str], where: Mapping[str, Sequence[str]], now: datetime, minutes: _Minutes
    ) -> dict[str, Counter[str]]:
        """Return the sums of videos over the window; `where` says which of them are in a tag's partition."""
        if sum(map(len, where.values())) > sizes.MOST_SUMS:
            raise _too_many("many of them equally often, or only liked")
        found = {video: Counter[str]() for video in videos}
        arguments = (minutes.start, minutes.end, len(SUMMARY_MEASURES), *SUMMARY_MEASURES)
        for begin in range(0, max(map(len, where.values()), default=0), _VIDEOS_AT_ONCE):
            some = {tag: mine[begin : begin + _VIDEOS_AT_ONCE] for tag, mine in where.items()}
            some = {tag: mine for tag, mine in some.items() if mine}
            for tag, answer in (await self._run(self._videos, now, *arguments, more=some)).items():
                for video, values in zip(some[tag], answer, strict=True):
                    found[video].update(dict(zip(SUMMARY_MEASURES, values, strict=True)))
        return found

    async def run_script(self, script: str, now: datetime, *arguments: Any) -> list[Any]:
        """Run a read script on every announced partition, in one round trip; return its decoded answers."""
        return list((await self._run(script, now, *arguments)).values())

    async def _run(
        self, script: str, now: datetime, *arguments: Any, more: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Any]:
        """Run a read script; return its answers by tag.

        With `more`, only the partitions of these tags are read, each with its own further arguments. Scripts
        answer MessagePack: redis-py takes microseconds for each element of an ordinary answer.
        """
        async with self._query():
            since = now.timestamp() - keys.ANNOUNCED_SECONDS
            tags = [tag.decode() for tag in await self._redis.zrangebyscore(keys.LOGS, since, "+inf")]
            if not tags:
                raise StoreUnavailableError(_STORE, "no partition has live counters")
            if len(tags) > sizes.MOST_PARTITIONS:
                raise StoreUnavailableError(
                    _STORE, f"{len(tags):,} partitions have live counters: another store answers sooner"
                )
            if more is not None:
                tags = [tag for tag in tags if tag in more]
            # If the generation changes in between, the script returns nothing.
            generations = await self._pipelined(("HGET", keys.ledger(tag), "generation") for tag in tags)
            answers = await self._pipelined(
                (
                    *("EVAL", script, 1, keys.ledger(tag)),
                    *(int(generation or 0), keys.prefix(tag, int(generation or 0)), *arguments),
                    *(more[tag] if more is not None else ()),
                )
                for tag, generation in zip(tags, generations, strict=True)
            )
        if None in answers:
            raise StoreUnavailableError(_STORE, "the live window is being rebuilt")
        return {tag: msgspec.msgpack.decode(answer) for tag, answer in zip(tags, answers, strict=True)}

    @asynccontextmanager
    async def _query(self) -> AsyncIterator[None]:
        """Bound the calls inside by the breaker, and report them to `on_query`."""
        began, answered = asyncio.get_running_loop().time(), False
        try:
            async with self._breaker.guard():
                try:
                    yield
                except StoreUnavailableError:
                    # The server answered, but its data is incomplete.
                    answered = True
                    raise
            answered = True
        finally:
            self._on_query(_STORE, asyncio.get_running_loop().time() - began, answered)

    async def _pipelined(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute()
        return answers


def minute_of(instant: datetime) -> int:
    """Return the minute of an instant, since the epoch."""
    return int(instant.timestamp()) // 60


def _too_many(what: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        _STORE, f"so many videos were watched ({what}) that another store answers sooner"
    )


def pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return a flat list of names and values as pairs."""
    return zip(flat[::2], flat[1::2], strict=True)


def _cells(answer: Sequence[Any]) -> list[tuple[int, Counter[str]]]:
    return [(minute, Counter({name: int(value) for name, value in pairs(flat)})) for minute, flat in answer]


def _pick(sums: Counter[str], measures: Collection[str]) -> Sums:
    return {name: sums[name] for name in measures}


def _dimension(sums: Counter[str], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count for name, count in sums.items() if name.startswith(prefix) and count
    }
