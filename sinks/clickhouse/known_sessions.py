"""Sessions before a day, in memory, and how events since then change sums over sessions.

Only arithmetic on the tables of `known_queries.py`. The results are the same rows as those of the queries
`*_since` in `session_queries.py`, which look the sessions up in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.day_cache import Rows
from sinks.clickhouse.hash_index import Flags, HashMap, HashSet, Numbers
from sinks.clickhouse.native_reader import Shape, Table
from streams.domain.local_time import Clock
from streams.domain.user_readings import BOUNCE_MS

#: A session over some days; `opening` has the time and the device of its beginning (`0003_sessions.sql`).
SESSION: Final = Shape(
    session="UInt64",
    opening="UInt64",
    user="UInt64",
    last_ms="Int64",
    pages="UInt32",
    acted="UInt8",
    watched="UInt8",
)
#: The columns of a session that sums by device need.
LENGTH: Final = Shape(session="UInt64", opening="UInt64", last_ms="Int64")
#: Only the id of a session.
ID: Final = Shape(session="UInt64")
#: Bit h of `bits`: a session of the user began in hour h of a local day of the window; and `EARLIER`.
VISITOR: Final = Shape(user="UInt64", bits="UInt32")
#: First seen before the window.
EARLIER: Final = 1 << 24
_HOURS: Final = 24
_HOUR_MS: Final = 3_600_000
_DEVICE_BITS: Final = 4
#: Row number of a session of which only the id is known.
_NO_ROW: Final = -1

Integers = NDArray[np.int64]


class KnownSessions:
    """Sessions before a day: whole ones with events in the week before it, and the ids of older ones."""

    def __init__(self, sessions: Table, older: Table) -> None:
        """Index tables of the shapes `SESSION` and `ID`; they may overlap, and should be sorted for speed."""
        ids = np.concatenate([sessions["session"], older["session"]])
        ids, first = np.unique(ids, return_index=True)
        self._ids = HashSet(ids)
        self._rows = np.where(first < len(sessions), first, _NO_ROW).astype(np.int32)
        self._sessions = sessions.without("session")

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._ids.nbytes + self._rows.nbytes + self._sessions.nbytes

    def since(self, recent: Table, start_ms: int, end_ms: int) -> RecentSessions | None:
        """Return the sessions of a window with events since the day.

        `recent` is a table of the shape `SESSION`, or `LENGTH` where that is enough. Returns None when a
        session goes on of which only the id is known.
        """
        known, at = self._ids.find(recent["session"])
        rows = self._rows.take(at)
        if np.any(rows == _NO_ROW):
            return None
        then = self._sessions.take(rows)
        unknown = np.ones(len(recent), np.bool_)
        unknown[known] = False
        opening = recent["opening"].copy()
        opening[known] = then["opening"]
        opened_ms = (opening >> np.uint64(_DEVICE_BITS)).view(np.int64)
        inside = (opened_ms >= start_ms) & (opened_ms < end_ms)
        return RecentSessions(recent, opening, opened_ms, inside, unknown, known, then)


@dataclass(frozen=True, slots=True)
class RecentSessions:
    """Sessions with events since a day; those `inside` a window count.

    `recent` has what came since, for all of them; `then` has the earlier values of those that were `known`
    before (row numbers in `recent`). Later events change neither the beginning and device of a session, nor
    its user.
    """

    recent: Table
    opening: Numbers
    opened_ms: Integers
    inside: Flags
    unknown: Flags
    known: NDArray[np.intp]
    then: Table

    def by_device(self) -> Rows:
        """Return the rows of `session_queries.sessions_by_device_since`."""
        devices = (self.opening & np.uint64((1 << _DEVICE_BITS) - 1)).astype(np.uint8)
        groups = _Groups(devices, self.inside)
        sums = groups.sums(sessions=self.unknown, durations_ms=self._added_ms())
        return [{"device": device, **row} for device, row in sums]

    def by_type_and_hour(self, visitors: HashMap, clock: Clock) -> Rows:
        """Return the rows of `session_queries.sessions_by_type_and_hour_since`.

        `visitors` are all users before the day, of the shape `VISITOR`; the window begins before that day.
        """
        users = self.recent["user"].copy()
        users[self.known] = self.then["user"]
        _, bits = visitors.find(users)
        hours = _hours(self.opened_ms, clock)
        kinds = (bits & EARLIER == 0) * np.uint8(_HOURS) + hours
        # A user who had a session in that hour before is counted already.
        unseen = self.unknown & (bits >> hours & 1 == 0)
        groups = _Groups(kinds, self.inside)
        sums = groups.sums(
            sessions=self.unknown,
            durations_ms=self._added_ms(),
            page_views=self.recent["pages"],
            bounces=self._bounces(),
        )
        visits = groups.different(users, unseen)
        return [
            {"fresh": kind // _HOURS, "hour": kind % _HOURS, "users": visited, **row}
            for (kind, row), visited in zip(sums, visits, strict=True)
        ]

    def _added_ms(self) -> Integers:
        """Return by how many milliseconds each session became longer."""
        added: Integers = self.recent["last_ms"] - self.opened_ms
        added[self.known] = self.recent["last_ms"][self.known] - self.then["last_ms"]
        return added

    def _bounces(self) -> Integers:
        """Return for each session 1 if it is a bounce now, less 1 if it was one before."""
        known, then = self.known, self.then
        pages = self.recent["pages"].astype(np.int64)
        more = self.recent["acted"] | self.recent["watched"]
        pages[known] += then["pages"]
        more[known] |= then["acted"] | then["watched"]
        bounces = _bounced(pages, self.recent["last_ms"] - self.opened_ms, more).astype(np.int64)
        bounces[known] -= _bounced(
            then["pages"], then["last_ms"] - self.opened_ms[known], then["acted"] | then["watched"]
        )
        return bounces


class _Groups:
    """A selection of a table's rows, sorted by group."""

    def __init__(self, groups: NDArray[np.uint8], some: Flags) -> None:
        """Sort the rows selected by `some` by their groups."""
        rows = np.flatnonzero(some)
        groups = groups.take(rows)
        order = np.argsort(groups, kind="stable")
        self._rows, groups = rows.take(order), groups.take(order)
        self._first = np.flatnonzero(np.diff(groups, prepend=groups[:1] + 1))
        self._present = groups.take(self._first).tolist()

    def sums(self, **columns: NDArray[Any]) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield each non-empty group, and the sums of columns over its rows."""
        sums = [
            np.add.reduceat(column.take(self._rows), self._first, dtype=np.int64).tolist()
            for column in columns.values()
        ]
        for group, *row in zip(self._present, *sums, strict=True):
            yield group, dict(zip(columns, row, strict=True))

    def different(self, column: Numbers, some: Flags) -> Iterator[int]:
        """Yield for each group the number of distinct values among its rows in `some`."""
        meant = some.take(self._rows)
        ends = np.cumsum(np.add.reduceat(meant, self._first, dtype=np.intp))
        pieces = np.split(column.take(self._rows.compress(meant)), ends)
        for _, values in zip(self._present, pieces, strict=False):
            values.sort()
            yield len(values[:1]) + int(np.count_nonzero(values[1:] != values[:-1]))


def _hours(at_ms: Integers, clock: Clock) -> NDArray[np.uint8]:
    """Return the local hours (0-23) of instants."""
    local = at_ms + 1000 * clock.offsets[0]
    for since, (before, after) in zip(clock.since[1:], pairwise(clock.offsets), strict=True):
        local += 1000 * (after - before) * (at_ms >= 1000 * since)
    hours: NDArray[np.uint8] = (local // _HOUR_MS % _HOURS).astype(np.uint8)
    return hours


def _bounced(pages: NDArray[Any], duration_ms: Integers, more: NDArray[np.uint8]) -> Flags:
    """Return which sessions are bounces; `more` is not 0 where there was an action or playback."""
    bounced: Flags = (pages <= 1) & (duration_ms < BOUNCE_MS) & (more == 0)
    return bounced
