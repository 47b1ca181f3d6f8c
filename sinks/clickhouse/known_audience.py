"""By how much answers about users differ since a day, told from memory of who was known before it.

Every method but `keep` returns the rows of its twin among the queries `*_since`, or None where what it takes
is not kept: then those queries look it up in the store. Only what was heard of since is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping
from datetime import date
from typing import Final, TypeVar

import structlog

from sinks.clickhouse import known_queries
from sinks.clickhouse.day_cache import Rows, Split
from sinks.clickhouse.hash_index import HashMap
from sinks.clickhouse.instants import milliseconds
from sinks.clickhouse.known_cache import K, Known, KnownCache
from sinks.clickhouse.known_sessions import LENGTH, SESSION, KnownSessions, LateSessions
from sinks.clickhouse.known_users import KnownUsers, LateUsers, Signups
from sinks.clickhouse.native_reader import Shape, Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.session_queries import reach
from sinks.clickhouse.user_queries import flag_numbers
from sinks.single_flight import SingleFlight
from streams.domain.errors import StoreUnavailableError
from streams.domain.local_time import clock, day_number
from streams.domain.windows import UTC_ZONE, Stretch, Window, aligned, midnight

_log = structlog.get_logger(__name__)

T = TypeVar("T")

#: Rows that are told from in the event loop: see `_told`.
_FEW: Final = 100_000

Stretches = Mapping[str, Stretch]


class KnownAudience:
    """Asks through a `ClickHouseReader`, and remembers in a `KnownCache`.

    Every method raises `StoreUnavailableError` when the store cannot be asked.
    """

    def __init__(self, store: ClickHouseReader, kept: KnownCache) -> None:
        """Ask through `store`, which stays its owner's to close."""
        self._store = store
        self._kept = kept
        self._users = SingleFlight[LateUsers]()
        self._signups = SingleFlight[Rows]()

    async def keep(self, window: Window, stretches: Stretches, parts: Collection[str], split: Split) -> None:
        """Read ahead what parts of answers about a window take, and the stretches it is compared with."""
        if not _fits(window, stretches, split.day):
            return
        if {"activity", "growth", "retention"} & set(parts):
            users = known_queries.known(stretches, window, split.day)
            await self._keep(_users(window, stretches, split), users, split, KnownUsers)
        if "engagement" in parts:
            visitors = known_queries.visitors(window, split.day)
            await self._keep(_visitors(window, split), visitors, split, HashMap.of)
        if {"activity", "engagement"} & set(parts):
            await self._keep_sessions(window, split)

    async def _keep(
        self, key: Hashable, asked: TableQuery, split: Split, make: Callable[[Table], Known]
    ) -> None:
        async def read(room: int) -> Known | None:
            table = await self._read(asked, room)
            return None if table is None else await asyncio.to_thread(make, table)

        await self._kept.keep(key, split, read)

    async def _keep_sessions(self, window: Window, split: Split) -> None:
        late, older = known_queries.sessions(window, split.day)

        async def read(room: int) -> Known | None:
            sessions = await self._read(late, room)
            ids = None if sessions is None else await self._read(older, room - sessions.nbytes)
            if sessions is None or ids is None:
                return None
            return await asyncio.to_thread(KnownSessions, sessions, ids)

        await self._kept.keep(_sessions(window, split), split, read)

    async def _read(self, asked: TableQuery, room: int) -> Table | None:
        """Return a table, unless its rows take more than so many bytes or cannot be had now."""
        most = max(0, room) // asked.shape.row_bytes
        query = Query(asked.query.sql, asked.query.parameters | {"most": most + 1})
        try:
            table = await self._store.table(TableQuery(query, asked.shape))
        except StoreUnavailableError as error:
            # Too much for ClickHouse, maybe; what else is read ahead does not wait for it.
            _log.warning("who was known before today is not kept", reason=str(error))
            return None
        return table if len(table) <= most else None

    async def active(
        self, window: Window, stretches: Stretches, left: tuple[str, str] | None, split: Split
    ) -> Rows | None:
        """See `user_queries.active_users_since`."""
        late = await self._late_users(window, stretches, split)
        return None if late is None else late.counts(flag_numbers(stretches), left)

    async def newcomers(self, window: Window, stretches: Stretches, split: Split) -> Rows | None:
        """See `cohort_queries.cohort_sizes`, of those first seen since."""
        late = await self._late_users(window, stretches, split)
        return None if late is None else late.cohorts()

    async def sources(self, window: Window, stretches: Stretches, split: Split) -> Rows | None:
        """See `user_queries.sources_since`."""
        known = self._known_users(window, stretches, split)
        if known is None:
            return None
        signups, late = await asyncio.gather(
            self._signed_up(known, split), self._heard(known, window, stretches, split)
        )
        return late.sources(signups)

    async def _signed_up(self, known: KnownUsers, split: Split) -> Signups:
        query = known_queries.signups(split.day)
        rows = await self._signups.run(split.day, lambda: self._store.rows(query))
        return await _told(sum(len(row["users"]) for row in rows), lambda: known.signups(rows))

    async def sessions(self, window: Window, split: Split) -> Rows | None:
        """See `session_queries.sessions_by_device_since`."""
        return await self._of_sessions(window, split, LENGTH, LateSessions.by_device)

    async def engagement(self, window: Window, split: Split) -> Rows | None:
        """See `session_queries.sessions_by_type_and_hour_since`."""
        visitors = self._kept_of(window, {}, _visitors(window, split), HashMap, split)
        if visitors is None:
            return None
        on_the_wall = clock(window.zone, window.start, window.end)
        return await self._of_sessions(
            window, split, SESSION, lambda late: late.by_type_and_hour(visitors, on_the_wall)
        )

    async def _of_sessions(
        self, window: Window, split: Split, shape: Shape, told: Callable[[LateSessions], Rows]
    ) -> Rows | None:
        """Return what is told of the sessions that were heard of since a split, in a shape."""
        known = self._kept_of(window, {}, _sessions(window, split), KnownSessions, split)
        if known is None:
            return None
        heard = await self._store.table(known_queries.sessions_heard(split.day, shape))

        def tell() -> Rows | None:
            late = known.since(heard, milliseconds(window.start), milliseconds(window.end))
            return None if late is None else told(late)

        return await _told(len(heard), tell)

    async def _late_users(self, window: Window, stretches: Stretches, split: Split) -> LateUsers | None:
        known = self._known_users(window, stretches, split)
        return None if known is None else await self._heard(known, window, stretches, split)

    def _known_users(self, window: Window, stretches: Stretches, split: Split) -> KnownUsers | None:
        return self._kept_of(window, stretches, _users(window, stretches, split), KnownUsers, split)

    async def _heard(
        self, known: KnownUsers, window: Window, stretches: Stretches, split: Split
    ) -> LateUsers:
        """Return who was heard of since a split; all parts of an answer share it."""

        async def late() -> LateUsers:
            heard = await self._store.table(known_queries.heard(stretches, window, split.day))
            return await _told(len(heard), lambda: known.since(heard, _end(window)))

        return await self._users.run((_users(window, stretches, split), split), late)

    def _kept_of(
        self, window: Window, stretches: Stretches, key: Hashable, kind: type[K], split: Split
    ) -> K | None:
        fits = _fits(window, stretches, split.day)
        return self._kept.get(key, kind, split) if fits else None


async def _told(rows: int, tell: Callable[[], T]) -> T:
    """Return what is told of so many rows: in a thread, if it would keep other requests waiting.

    A hundred thousand take some five milliseconds. A thread costs an answer one, for it has to wait for the
    interpreter once it has begun, and again to be heard.
    """
    return tell() if rows <= _FEW else await asyncio.to_thread(tell)


def _users(window: Window, stretches: Stretches, split: Split) -> Hashable:
    """Return under what users are kept."""
    return "users", window.whole, tuple(stretches.items()), window.zone.key, split.day


def _visitors(window: Window, split: Split) -> Hashable:
    return "visitors", window.whole, window.zone.key, split.day


def _sessions(window: Window, split: Split) -> Hashable:
    # Of all windows that begin on one day, in any zone.
    return "sessions", reach(window)["day_from"], split.day


def _fits(window: Window, stretches: Stretches, day: date) -> bool:
    """Say whether the arithmetic is right for a window: see `known_queries.py`."""
    at_midnight = window.end == midnight(window.end.astimezone(window.zone).date(), window.zone)
    quarters = all(map(aligned, [window.whole, *stretches.values()]))
    return at_midnight and quarters and window.start <= midnight(day, UTC_ZONE) < window.end


def _end(window: Window) -> int:
    """Return the number of the first local day after a window."""
    return day_number(window.end.astimezone(window.zone).date())
