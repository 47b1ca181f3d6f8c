"""Readings of users and sessions from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, TypeVar

from sinks.clickhouse import cohort_queries, session_queries, user_queries, user_readings
from sinks.clickhouse.day_cache import DayCache, Rows, Split
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.single_flight import SingleFlight, let_go
from streams.domain.user_readings import (
    ActivityReading,
    Cohort,
    EngagementReading,
    GrowthReading,
    active_stretches,
)
from streams.domain.windows import UTC_ZONE, Stretch, Window, aligned, midnight

A = TypeVar("A")

_CHURN = ("previous", "active")


@dataclass(frozen=True, slots=True)
class _BaselineQueries:
    """The cached queries of a window, over the days before a day."""

    window: Window
    day: date

    @property
    def midnight(self) -> datetime:
        return midnight(self.day, UTC_ZONE)

    def active(self) -> Query:
        stretches = _stretches(self.window)
        return user_queries.active_users(stretches, churn=_churn(stretches), before=self.day)

    def sessions(self) -> Query:
        return session_queries.sessions_by_device(self.window, before=self.day)

    def new(self) -> Query:
        return user_queries.new_users(self.window, before=self.midnight)

    def cohorts(self) -> Query:
        return cohort_queries.cohort_sizes(self.window, before=self.midnight)

    def returns(self) -> Query:
        return cohort_queries.cohort_returns(self.window, self.midnight)

    def engagement(self) -> Query:
        return session_queries.sessions_by_type_and_hour(self.window, before=self.day)

    def for_parts(self, parts: Collection[str]) -> Iterator[Query]:
        """Yield the queries that parts of answers need: `activity`, `growth`, `retention`, `engagement`."""
        if {"activity", "growth"} & set(parts):
            yield self.active()
        if "activity" in parts:
            yield self.sessions()
        if "growth" in parts:
            yield self.new()
        if "retention" in parts:
            yield self.cohorts()
            yield self.returns()
        if "engagement" in parts:
            yield self.engagement()


class ClickHouseUsers:
    """`UserReader` on ClickHouse, through the connections of a `ClickHouseReader`.

    For windows of whole quarters of an hour, an answer is the sum of two parts: the cached result for the
    days that are over (`day_cache.py`), and today's difference. That is computed from cached users and
    sessions (`known_audience.py`) if they are there, otherwise by the store.
    """

    def __init__(
        self, store: ClickHouseReader, days: DayCache | None = None, known: KnownAudience | None = None
    ) -> None:
        """Query through `store`, which the caller closes; `days` and `known` are the caches."""
        self._store = store
        self._days = days or DayCache(store)
        self._known = known or KnownAudience(store, KnownCache(0))
        self._counts = SingleFlight[dict[str, int]]()
        self._cohorts = SingleFlight[Rows]()

    async def first(self) -> datetime | None:
        """See `UserReader.first`."""
        (row,) = await self._store.rows(user_queries.first_active())
        return None if row["first"] is None else datetime.fromtimestamp(row["first"], UTC)

    async def prefetch_split(self, now: datetime) -> Split | None:
        """Return the split to prefetch for; None while no result could be cached.

        Raises `StoreUnavailableError` when the store cannot be read, as `prefetch` does.
        """
        return await self._days.prefetch_split(now.astimezone(UTC).date())

    async def prefetch(self, window: Window, parts: Collection[str], split: Split) -> None:
        """Prefetch what parts of answers about a window need of the days before a split, one by one."""
        for query in _BaselineQueries(window, split.day).for_parts(parts):
            await self._days.rows(query, split, prefetch=True)
        await self._known.prefetch(window, _stretches(window), parts, split)

    def mark_prefetched(self, split: Split) -> None:
        """Note that the usual results for a split were prefetched."""
        self._days.mark_prefetched(split)

    async def _with_difference(
        self,
        before: Query,
        since: Callable[[], Query],
        known: Callable[[], Awaitable[Rows | None]],
        split: Split,
    ) -> Rows:
        """Return the rows for the days before a day, followed by the rows of the difference since."""
        first, then = await asyncio.gather(self._days.rows(before, split), self._since(since, known))
        return [*first, *then]

    async def _since(self, query: Callable[[], Query], known: Callable[[], Awaitable[Rows | None]]) -> Rows:
        """Return the rows of the difference since a day, from the cache or else from the store."""
        rows = await known()
        return await self._store.rows(query()) if rows is None else rows

    async def _at_split(self, window: Window, read: Callable[[Window, Split], Coroutine[Any, Any, A]]) -> A:
        """Run `read` with the current split: the current UTC day, or somewhat earlier.

        The store must be asked for the split. Meanwhile `read` runs with the last one, because it hardly ever
        changes; when it has changed, that result is discarded.
        """
        today = window.as_of.astimezone(UTC).date()
        last = self._days.last_split(today)
        if last is None:
            return await read(window, await self._days.split(today))
        reading = asyncio.create_task(read(window, last))
        try:
            split = await self._days.split(today)
            if split == last:
                return await reading
        finally:
            let_go(reading)
        return await read(window, split)

    async def _active(self, window: Window, stretches: Mapping[str, Stretch], split: Split) -> dict[str, int]:
        """Return the distinct users of some stretches of a window; `lost` where `previous` is one of them."""
        every = _stretches(window)
        if not all(map(aligned, every.values())):
            churn = _churn(stretches)
            return (await self._store.rows(user_queries.active_users(stretches, churn=churn)))[0]
        # One query for all stretches costs little more, and activity and growth share it.
        key = (tuple(every.items()), window.zone.key, split)
        return await self._counts.run(key, lambda: self._counted(window, split))

    async def _newcomers(self, window: Window, split: Split) -> Rows:
        """Return cohorts of users first seen since a day, which growth and retention share."""
        key = (window.whole, window.zone.key, split)
        query = partial(
            cohort_queries.cohort_sizes, window, since=_BaselineQueries(window, split.day).midnight
        )
        known = self._known.newcomers
        return await self._cohorts.run(
            key, lambda: self._since(query, partial(known, window, _stretches(window), split))
        )

    async def _counted(self, window: Window, split: Split) -> dict[str, int]:
        stretches = _stretches(window)
        churn = _churn(stretches)
        rows = await self._with_difference(
            _BaselineQueries(window, split.day).active(),
            partial(user_queries.active_users_since, stretches, split.day, churn=churn),
            partial(self._known.active, window, stretches, churn, split),
            split,
        )
        return {name: sum(row[name] for row in rows) for name in rows[0]}

    async def activity(self, window: Window) -> ActivityReading:
        """See `UserReader.activity`."""
        return await self._at_split(window, self._activity)

    async def _activity(self, window: Window, split: Split) -> ActivityReading:
        active, sessions, (actions,) = await asyncio.gather(
            self._active(window, active_stretches(window), split),
            self._with_difference(
                _BaselineQueries(window, split.day).sessions(),
                partial(session_queries.sessions_by_device_since, window, split.day),
                partial(self._known.sessions, window, split),
                split,
            ),
            self._store.rows(user_queries.actions(window)),
        )
        return user_readings.activity(active, sessions, actions)

    async def growth(self, window: Window) -> GrowthReading:
        """See `UserReader.growth`."""
        return await self._at_split(window, self._growth)

    async def _growth(self, window: Window, split: Split) -> GrowthReading:
        told = _BaselineQueries(window, split.day)
        users, new, sources, newcomers = await asyncio.gather(
            self._active(window, _compared(window), split),
            self._days.rows(told.new(), split),
            self._since(
                partial(user_queries.sources_since, window, told.midnight),
                partial(self._known.sources, window, _stretches(window), split),
            ),
            self._newcomers(window, split),
        )
        return user_readings.growth(users, new, sources, newcomers)

    async def retention(self, window: Window) -> Sequence[Cohort]:
        """See `UserReader.retention`."""
        return await self._at_split(window, self._retention)

    async def _retention(self, window: Window, split: Split) -> Sequence[Cohort]:
        before = _BaselineQueries(window, split.day)
        # Returns on a local day count once it is over, and one may have ended since the split.
        lately = cohort_queries.cohort_returns_since(window, before.midnight)
        sizes, sizes_since, returns, returns_since = await asyncio.gather(
            self._days.rows(before.cohorts(), split),
            self._newcomers(window, split),
            self._days.rows(before.returns(), split),
            self._store.rows(lately) if lately else asyncio.sleep(0, Rows()),
        )
        return user_readings.retention([*sizes, *sizes_since], [*returns, *returns_since])

    async def engagement(self, window: Window) -> EngagementReading:
        """See `UserReader.engagement`."""
        return await self._at_split(window, self._engagement)

    async def _engagement(self, window: Window, split: Split) -> EngagementReading:
        rows = await self._with_difference(
            _BaselineQueries(window, split.day).engagement(),
            partial(session_queries.sessions_by_type_and_hour_since, window, split.day),
            partial(self._known.engagement, window, split),
            split,
        )
        return user_readings.engagement(rows)


def _compared(window: Window) -> dict[str, Stretch]:
    """Return the stretches that growth compares: the window, and the one before it if there is one."""
    stretches = {"active": window.whole}
    return stretches | {"previous": window.previous} if window.previous else stretches


def _stretches(window: Window) -> dict[str, Stretch]:
    """Return all stretches whose users are counted for a window."""
    return active_stretches(window) | _compared(window)


def _churn(stretches: Mapping[str, Stretch]) -> tuple[str, str] | None:
    """Return the stretches to compare for lost users; None without a previous window."""
    return _CHURN if "previous" in stretches else None
