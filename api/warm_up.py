"""What answers about users need of the days that are over, read ahead, so that nobody waits for it.

A process that has just started, and each one when a day ends, has nothing of what it keeps
(`sinks/clickhouse/day_cache.py`). So a task in the background reads it: for the windows and time zones that
were asked for within the last day, and for those that are asked for by default. It reads the windows of the
day to come some minutes before that day begins, and again what has been kept for long.

It is polite: one query at a time, and after reading it rests for ten times as long as that took. Each process
keeps for itself and so reads for itself, whenever its own look finds something to read.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

import structlog

from api.parameters import Question
from api.tasks import stop
from api.user_service import ENGAGEMENT
from streams.domain.errors import StoreUnavailableError
from streams.domain.metrics import USERS, groups_of
from streams.domain.windows import ALL, CALENDAR, UTC_ZONE, Window, named

_log = structlog.get_logger(__name__)

#: How often it is looked whether there is something to read: a look is one small query.
TICK_SECONDS: Final = 5.0
#: Of the time, reading ahead takes one part in so many at most.
_REST_FACTOR: Final = 10
#: After a failure of the store, and after one that nobody foresaw.
_RETRY_SECONDS: Final = 30.0
_FAILED_SECONDS: Final = 300.0
#: So long before a day begins, its windows are read. What is kept is kept for longer.
LEAD: Final = timedelta(minutes=5)
#: What was read is looked through again after so long, for what has been kept too long by then.
RENEW_SECONDS: Final = 60.0
#: What nobody has asked for so long is forgotten; so is what was asked longest ago of more than so many.
HABIT_SECONDS: Final = 25 * 3600.0
MAX_HABITS: Final = 16

Split = TypeVar("Split", bound=Hashable)


class Prefetcher(Protocol[Split]):
    """Keeps what the days before a day told; every method that reads may raise `StoreUnavailableError`."""

    async def first(self) -> datetime | None:
        """Return the instant of the first event of any user; None when there is none."""

    async def prefetch_split(self, now: datetime) -> Split | None:
        """Return what stands for the days that are over as they are now; None while they are changing."""

    async def prefetch(self, window: Window, parts: Collection[str], split: Split) -> None:
        """Read what parts of answers about a window need of those days, unless it is kept."""

    def mark_prefetched(self, split: Split) -> None:
        """Take note that everything was read."""


@dataclass(frozen=True, slots=True)
class _Habit:
    """A question that is asked again and again, but for when."""

    period: str
    zone: ZoneInfo
    compare: bool
    parts: frozenset[str]


_USUAL: Final = (
    _Habit("30d", UTC_ZONE, True, frozenset(groups_of(USERS, None))),
    _Habit("7d", UTC_ZONE, False, frozenset({ENGAGEMENT})),
)


class WarmUp(Generic[Split]):
    """Reads ahead in the background of `open`, for what it is told of by `note`."""

    def __init__(
        self,
        prefetcher: Prefetcher[Split],
        clock: Callable[[], datetime],
        *,
        seconds: Callable[[], float] = time.monotonic,
        tick: float = TICK_SECONDS,
    ) -> None:
        """Read nothing yet. `clock` returns aware UTC, as that of the answers does."""
        self._prefetcher = prefetcher
        self._clock = clock
        self._seconds = seconds
        self._tick = tick
        self._habits: OrderedDict[_Habit, float] = OrderedDict()
        self._first: datetime | None = None
        self._first_of: Split | None = None
        self._read: Hashable = None
        self._read_at = float("-inf")

    def note(self, question: Question, parts: Collection[str]) -> None:
        """Take note of a question; those of days that do not move, and those by the minute, are no habit."""
        if question.period in CALENDAR or question.period == ALL:
            habit = _Habit(question.period, question.zone, question.compare, frozenset(parts))
            self._habits[habit] = self._seconds()
            self._habits.move_to_end(habit)
            while len(self._habits) > MAX_HABITS:
                self._habits.popitem(last=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Read ahead in the background; at the end, what is being read is given up."""
        reading = asyncio.create_task(self._run(), name="warm-up")
        try:
            yield
        finally:
            await stop(reading)

    async def _run(self) -> None:
        away = False
        while True:
            try:
                took = await self.once()
                rest, away = max(self._tick, _REST_FACTOR * took), False
            except StoreUnavailableError as error:
                if not away:
                    _log.info("nothing is read ahead while the store is away", reason=str(error))
                rest, away = _RETRY_SECONDS, True
            except Exception:
                _log.exception("reading ahead failed", again_in_seconds=_FAILED_SECONDS)
                rest = _FAILED_SECONDS
            await asyncio.sleep(rest)

    async def once(self) -> float:
        """Read what is not kept yet; return for how many seconds it read.

        Raises `StoreUnavailableError` when the store cannot be asked.
        """
        now = self._clock()
        split = await self._prefetcher.prefetch_split(now)
        if split is None:
            return 0.0
        began = self._seconds()
        if split != self._first_of:
            # The first day is another one once an older event has landed.
            self._first, self._first_of = None, split
        windows = [*await self._windows(now), *await self._windows(now + LEAD)]
        # As a day goes on, nothing of a window changes but when it was asked.
        about: dict[Hashable, tuple[Window, frozenset[str]]] = {}
        for window, parts in windows:
            about.setdefault((window.whole, window.previous, window.zone.key, parts), (window, parts))
        reads = (split, frozenset(about))
        if reads == self._read and began - self._read_at < RENEW_SECONDS:
            return 0.0
        for window, parts in about.values():
            await self._prefetcher.prefetch(window, parts, split)
        self._prefetcher.mark_prefetched(split)
        self._read, self._read_at = reads, began
        return self._seconds() - began

    async def _windows(self, now: datetime) -> Sequence[tuple[Window, frozenset[str]]]:
        """Return the windows that were asked lately, as they are at an instant, the latest first."""
        oldest = self._seconds() - HABIT_SECONDS
        habits = [habit for habit, at in reversed(self._habits.items()) if at >= oldest]
        windows = []
        for habit in dict.fromkeys((*habits, *_USUAL)):
            if habit.period == ALL and self._first is None:
                self._first = await self._prefetcher.first()
            window = named(habit.period, zone=habit.zone, now=now, first=self._first)
            windows.append((window if habit.compare else replace(window, previous=None), habit.parts))
        return windows
