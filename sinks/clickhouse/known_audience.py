"""Differences of answers about users since a day, computed from cached users and sessions of the days before.

Each method but `prefetch` returns the rows of the corresponding query `*_since`, or None if the cache lacks
what it needs: then that query is run instead. From the store, only rows since the day are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Final, TypeVar

import structlog

from sinks.clickhouse import known_queries
from sinks.clickhouse.day_cache import Rows, Split
from sinks.clickhouse.hash_index import HashMap
from sinks.clickhouse.instants import milliseconds
from sinks.clickhouse.known_cache import K, Known, KnownCache
from sinks.clickhouse.known_sessions import KnownSessions, RecentSessions
from sinks.clickhouse.known_users import KnownUsers, RecentUsers, Signups
from sinks.clickhouse.native_reader import Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.recent_rows import RecentRows, block_numbers
from sinks.clickhouse.session_queries import last_day, reach
from sinks.clickhouse.user_queries import flag_numbers
from sinks.single_flight import SingleFlight, shared_result
from streams.domain.errors import StoreUnavailableError
from streams.domain.local_time import clock, day_number
from streams.domain.windows import UTC_ZONE, Stretch, Window, aligned, midnight

_log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Rows that are processed in the event loop: see `_compute`.
_FEW: Final = 100_000

Stretches = Mapping[str, Stretch]


class KnownAudience:
    """Queries through a `ClickHouseReader`, and keeps earlier users and sessions in a `KnownCache`.

    Every method raises `StoreUnavailableError` when the store cannot be read.
    """

    def __init__(self, store: ClickHouseReader, cache: KnownCache) -> None:
        """Query through `store`, which the caller closes."""
        self._store = store
        self._cache = cache
        self._reads = SingleFlight[None]()
        self._users = SingleFlight[RecentUsers]()
        self._signups = SingleFlight[Rows]()
        self._numbered: bool | None = None

    async def prefetch(
        self, window: Window, stretches: Stretches, parts: Collection[str], split: Split
    ) -> None:
        """Prefetch what `parts` of answers about a window and its stretches need.

        With it, today's rows are read, so that an answer needs only what changed since.
        """
        if not _fits(window, stretches, split.day):
            return
        if {"activity", "growth", "retention"} & set(parts):
            key = _users(window, stretches, split)
            asked = known_queries.users_before(stretches, window, split.day)
            await self._prefetch(key, asked, split, KnownUsers)
            users = self._cache.peek(key, KnownUsers, split)
            if users is not None and not len(users.recent):
                with suppress(StoreUnavailableError):  # The next answer reads them.
                    await self._users_since(users, window, stretches, split)
        if "engagement" in parts:
            visitors = known_queries.visitors_before(window, split.day)
            await self._prefetch(_visitors(window, split), visitors, split, HashMap.of)
        if {"activity", "engagement"} & set(parts):
            await self._prefetch_sessions(window, split)
            sessions = self._cache.peek(_sessions(window, split), KnownSessions, split)
            if sessions is not None and not len(sessions.recent(last_day(window))):
                with suppress(StoreUnavailableError):
                    await self._sessions_since(sessions, window, split, lambda recent: None)

    async def _prefetch(
        self, key: Hashable, asked: TableQuery, split: Split, make: Callable[[Table], Known]
    ) -> None:
        async def read(max_bytes: int) -> Known | None:
            table = await self._read(asked, max_bytes)
            return None if table is None else await asyncio.to_thread(make, table)

        await self._cache.refresh(key, split, read)

    async def _prefetch_sessions(self, window: Window, split: Split) -> None:
        newer, older = known_queries.sessions_before(window, split.day)

        async def read(max_bytes: int) -> Known | None:
            sessions = await self._read(newer, max_bytes)
            ids = None if sessions is None else await self._read(older, max_bytes - sessions.nbytes)
            if sessions is None or ids is None:
                return None
            return await asyncio.to_thread(KnownSessions, sessions, ids)

        await self._cache.refresh(_sessions(window, split), split, read)

    async def _read(self, asked: TableQuery, max_bytes: int) -> Table | None:
        """Return a table; None if it takes more than `max_bytes`, or cannot be read now."""
        max_rows = max(0, max_bytes) // asked.shape.row_bytes
        query = Query(asked.query.sql, asked.query.parameters | {"most": max_rows + 1})
        try:
            table = await self._store.table(TableQuery(query, asked.shape))
        except StoreUnavailableError as error:
            # It may be too much for ClickHouse; the rest is prefetched nevertheless.
            _log.warning(
                "known users could not be cached; queries read them from ClickHouse", reason=str(error)
            )
            return None
        return table if len(table) <= max_rows else None

    async def active(
        self, window: Window, stretches: Stretches, churn: tuple[str, str] | None, split: Split
    ) -> Rows | None:
        """See `user_queries.active_users_since`."""
        users = await self._recent_users(window, stretches, split)
        return None if users is None else users.counts(flag_numbers(stretches), churn)

    async def newcomers(self, window: Window, stretches: Stretches, split: Split) -> Rows | None:
        """See `cohort_queries.cohort_sizes` with `since`."""
        users = await self._recent_users(window, stretches, split)
        return None if users is None else users.cohorts()

    async def sources(self, window: Window, stretches: Stretches, split: Split) -> Rows | None:
        """See `user_queries.sources_since`."""
        known = self._known_users(window, stretches, split)
        if known is None:
            return None
        signups, users = await asyncio.gather(
            self._signed_up(known, split), self._users_since(known, window, stretches, split)
        )
        return users.sources(signups)

    async def _signed_up(self, known: KnownUsers, split: Split) -> Signups:
        query = known_queries.signups_since(split.day)
        rows = await self._signups.run(split.day, lambda: self._store.rows(query))
        return await _compute(sum(len(row["users"]) for row in rows), lambda: known.signups(rows))

    async def sessions(self, window: Window, split: Split) -> Rows | None:
        """See `session_queries.sessions_by_device_since`."""
        return await self._of_sessions(window, split, RecentSessions.by_device)

    async def engagement(self, window: Window, split: Split) -> Rows | None:
        """See `session_queries.sessions_by_type_and_hour_since`."""
        visitors = self._cached(window, {}, _visitors(window, split), HashMap, split)
        if visitors is None:
            return None
        on_the_wall = clock(window.zone, window.start, window.end)
        return await self._of_sessions(
            window, split, lambda sessions: sessions.by_type_and_hour(visitors, on_the_wall)
        )

    async def _of_sessions(
        self, window: Window, split: Split, rows_of: Callable[[RecentSessions], Rows]
    ) -> Rows | None:
        """Return `rows_of` the sessions with events since a split."""
        known = self._cached(window, {}, _sessions(window, split), KnownSessions, split)
        if known is None:
            return None

        def compute(recent: RecentRows) -> Rows | None:
            sessions = known.since(recent, milliseconds(window.start), milliseconds(window.end))
            return None if sessions is None else rows_of(sessions)

        return await self._sessions_since(known, window, split, compute)

    async def _sessions_since(
        self, known: KnownSessions, window: Window, split: Split, compute: Callable[[RecentRows], T]
    ) -> T:
        """Compute something of the sessions with events since a split."""
        query = partial(known_queries.sessions_since, last_day(window), split.day)
        return await self._up_to_date(known.recent(last_day(window)), query, compute)

    async def _recent_users(self, window: Window, stretches: Stretches, split: Split) -> RecentUsers | None:
        known = self._known_users(window, stretches, split)
        return None if known is None else await self._users_since(known, window, stretches, split)

    def _known_users(self, window: Window, stretches: Stretches, split: Split) -> KnownUsers | None:
        return self._cached(window, stretches, _users(window, stretches, split), KnownUsers, split)

    async def _users_since(
        self, known: KnownUsers, window: Window, stretches: Stretches, split: Split
    ) -> RecentUsers:
        """Return the users with events since a split, which all parts of an answer share."""
        query = partial(known_queries.users_since, stretches, window, split.day)

        def compute(recent: RecentRows) -> RecentUsers:
            return known.since(recent, _end(window))

        return await self._users.run(known, lambda: self._up_to_date(known.recent, query, compute))

    async def _up_to_date(
        self,
        recent: RecentRows,
        query: Callable[[int | None], TableQuery],
        compute: Callable[[RecentRows], T],
    ) -> T:
        """Bring rows up to date, and compute something of them.

        `query` returns the query for what changed after a block. Concurrent answers share it.
        """

        async def read() -> None:
            if self._numbered is None:
                (row,) = await self._store.rows(block_numbers())
                self._numbered = bool(row["numbered"])
            changed = await self._store.table(query(recent.block if self._numbered else None))
            update = recent.update if self._numbered else recent.replace
            await _with_lock(recent, len(changed), lambda: update(changed))

        await self._reads.run(recent, read)
        return await _with_lock(recent, 0, lambda: compute(recent))

    def _cached(
        self, window: Window, stretches: Stretches, key: Hashable, kind: type[K], split: Split
    ) -> K | None:
        fits = _fits(window, stretches, split.day)
        return self._cache.get(key, kind, split) if fits else None


async def _compute(rows: int, compute: Callable[[], T]) -> T:
    """Run a computation over `rows` rows; in a thread if they are so many that other requests would wait.

    A hundred thousand rows take about five milliseconds. A thread adds about one: it waits for the
    interpreter lock when it starts, and again when it ends.
    """
    return compute() if rows <= _FEW else await asyncio.to_thread(compute)


async def _with_lock(recent: RecentRows, more_rows: int, compute: Callable[[], T]) -> T:
    """Run a computation over rows with their lock, to its end: a caller that is cancelled leaves it alone."""

    async def run() -> T:
        async with recent.lock:
            return await _compute(len(recent) + more_rows, compute)

    return await shared_result(asyncio.create_task(run()))


def _users(window: Window, stretches: Stretches, split: Split) -> Hashable:
    """Return the cache key of users."""
    return "users", window.whole, tuple(stretches.items()), window.zone.key, split.day


def _visitors(window: Window, split: Split) -> Hashable:
    return "visitors", window.whole, window.zone.key, split.day


def _sessions(window: Window, split: Split) -> Hashable:
    # Shared by all windows that begin on one day, in any zone.
    return "sessions", reach(window)["day_from"], split.day


def _fits(window: Window, stretches: Stretches, day: date) -> bool:
    """Say whether a window meets the conditions of `known_queries.py`."""
    at_midnight = window.end == midnight(window.end.astimezone(window.zone).date(), window.zone)
    quarters = all(map(aligned, [window.whole, *stretches.values()]))
    return at_midnight and quarters and window.start <= midnight(day, UTC_ZONE) < window.end


def _end(window: Window) -> int:
    """Return the number of the first local day after a window."""
    return day_number(window.end.astimezone(window.zone).date())
