"""Prefetches results about users for the days that are over, so that no request waits for them.

After its start, and when a day ends, the caches of a process (`sinks/clickhouse/day_cache.py`) are empty. So
a background task fills them: for the windows and time zones that were requested within the last day, and for
the defaults. It prefetches the windows of the next day some minutes before that begins, and renews old
entries.

It limits its load: one query at a time, and after reading it rests for ten times as long as that took. Each
process has its own caches, and so prefetches for itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

import structlog

from api.parameters import Question
from api.tasks import stop
from api.user_service import ENGAGEMENT, window_of
from streams.domain.definitions import USERS
from streams.domain.errors import NotKeptError, StoreUnavailableError
from streams.domain.metrics import groups_of
from streams.domain.windows import ALL, CALENDAR, UTC_ZONE, Window, kept_since

_log = structlog.get_logger(__name__)

#: How often it checks whether there is something to prefetch, which takes one small query.
TICK_SECONDS: Final = 5.0
#: It rests this many times as long as it read.
_REST_FACTOR: Final = 10
#: Pauses after a failure of the store, and after an unexpected error.
_RETRY_SECONDS: Final = 30.0
_FAILED_SECONDS: Final = 300.0
#: How long before a day begins its windows are prefetched; entries are valid for longer.
LEAD: Final = timedelta(minutes=5)
#: How often prefetched windows are checked for entries to renew.
RENEW_SECONDS: Final = 60.0
#: A habit is dropped this long after its last request; and the oldest ones if there are more than
#: `MAX_HABITS`.
HABIT_SECONDS: Final = 25 * 3600.0
MAX_HABITS: Final = 16

Split = TypeVar("Split", bound=Hashable)


class Prefetcher(Protocol[Split]):
    """Fills the caches of days that are over; methods that read may raise `StoreUnavailableError`."""

    async def first(self) -> datetime | None:
        """Return the instant of the first event of any user; None when there is none."""

    async def prefetch_split(self, now: datetime) -> Split | None:
        """Return the split to prefetch for; None while the days that are over change."""

    async def prefetch(self, window: Window, parts: Collection[str], split: Split) -> None:
        """Prefetch what parts of answers about a window need of those days, unless it is cached."""

    def mark_prefetched(self, split: Split) -> None:
        """Note that everything for a split was prefetched."""


@dataclass(frozen=True, slots=True)
class _Habit:
    """A question that is asked repeatedly, without its time."""

    period: str
    zone: ZoneInfo
    compare: bool
    parts: frozenset[str]

    def question(self, now: datetime, since: datetime) -> Question:
        """Return the question as it is asked at `now`, when data are kept since `since`."""
        # Single events matter only for windows that are no calendar days.
        return Question(
            self.period, None, None, self.zone, self.compare, now, raw_since=since, kept_since=since
        )


_USUAL: Final = (
    _Habit("30d", UTC_ZONE, True, frozenset(groups_of(USERS, None))),
    _Habit("7d", UTC_ZONE, False, frozenset({ENGAGEMENT})),
)


class WarmUp(Generic[Split]):
    """Prefetches in the background of `open`, for questions that `note` was called with."""

    def __init__(
        self,
        prefetcher: Prefetcher[Split],
        clock: Callable[[], datetime],
        *,
        retention_days: int,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read nothing yet. `clock` returns aware UTC, the time of answers; `seconds` is monotonic.

        `retention_days` is for how many days the data are kept.
        """
        self._prefetcher = prefetcher
        self._clock = clock
        self._retention_days = retention_days
        self._seconds = seconds
        self._habits: OrderedDict[_Habit, float] = OrderedDict()
        self._first: datetime | None = None
        self._first_of: Split | None = None
        self._read: Hashable = None
        self._read_at = float("-inf")

    def note(self, question: Question, parts: Collection[str]) -> None:
        """Note a question; only calendar periods and `all` become habits."""
        if question.period in CALENDAR or question.period == ALL:
            habit = _Habit(question.period, question.zone, question.compare, frozenset(parts))
            self._habits[habit] = self._seconds()
            self._habits.move_to_end(habit)
            while len(self._habits) > MAX_HABITS:
                self._habits.popitem(last=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Prefetch in the background; at the end, a running query is cancelled."""
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
                rest, away = max(TICK_SECONDS, _REST_FACTOR * took), False
            except StoreUnavailableError as error:
                if not away:
                    _log.info("the cache is not warmed while the store does not answer", reason=str(error))
                rest, away = _RETRY_SECONDS, True
            except Exception:
                _log.exception("reading ahead failed", again_in_seconds=_FAILED_SECONDS)
                rest = _FAILED_SECONDS
            await asyncio.sleep(rest)

    async def once(self) -> float:
        """Prefetch what is not cached yet; return for how many seconds it read.

        Raises `StoreUnavailableError` when the store cannot be read.
        """
        now = self._clock()
        split = await self._prefetcher.prefetch_split(now)
        if split is None:
            return 0.0
        began = self._seconds()
        if split != self._first_of:
            # An older event may have arrived, so the first day of data is read again.
            self._first, self._first_of = None, split
        windows = [*await self._windows(now), *await self._windows(now + LEAD)]
        # During a day, only `as_of` of a window changes.
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
        """Return the windows of recent habits at an instant, the latest habit first, and of the defaults."""
        oldest = self._seconds() - HABIT_SECONDS
        habits = [habit for habit, at in reversed(self._habits.items()) if at >= oldest]
        windows = []
        for habit in dict.fromkeys((*habits, *_USUAL)):
            question = habit.question(now, kept_since(now, self._retention_days))
            if question.needs_first and self._first is None:
                self._first = await self._prefetcher.first()
            with suppress(NotKeptError):
                windows.append((window_of(question, habit.parts, self._first), habit.parts))
        return windows
