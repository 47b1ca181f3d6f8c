"""Sessions before a day, in memory, and how events since then change sums over sessions.

Only arithmetic on the tables of `known_queries.py`. The results are the same rows as those of the queries
`*_since` in `session_queries.py`, which look the sessions up in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.day_cache import Rows
from sinks.clickhouse.hash_index import Flags, HashMap, HashSet, Numbers, Places, distinct_by_group
from sinks.clickhouse.native_reader import Shape, Table
from sinks.clickhouse.recent_rows import RecentRows
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
#: The same, over the days since a day.
RECENT: Final = Shape(**SESSION.kinds, block="UInt64")
#: Only the id of a session.
ID: Final = Shape(session="UInt64")
#: Bit h of `bits`: a session of the user began in hour h of a local day of the window; and `EARLIER`.
VISITOR: Final = Shape(user="UInt64", bits="UInt32")
#: First seen before the window.
EARLIER: Final = 1 << 24
_HOURS: Final = 24
_HOUR_MS: Final = 3_600_000
_DEVICE_BITS: Final = 4
#: For how many last days the sessions of today are kept. Windows that end tonight, in any time zone, need
#: two; others may end on any day of the next year.
_LAST_DAYS: Final = 4
#: Row number of a session of which only the id is known, and of one that is not known.
_NO_ROW: Final = -1
_UNKNOWN: Final = -2

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
        self._recent: dict[date, RecentRows] = {}

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        recent = sum(rows.nbytes for rows in self._recent.values())
        return self._ids.nbytes + self._rows.nbytes + self._sessions.nbytes + recent

    def recent(self, last: date) -> RecentRows:
        """Return the sessions with events since the day, up to a last day, as they were read last.

        They are kept for the few last days that were asked for most recently.
        """
        rows = self._recent.pop(last, None)
        self._recent[last] = RecentRows(RECENT) if rows is None else rows
        if len(self._recent) > _LAST_DAYS:
            del self._recent[next(iter(self._recent))]
        return self._recent[last]

    def since(self, recent: RecentRows, start_ms: int, end_ms: int) -> RecentSessions | None:
        """Return the sessions of a window with events since the day, from rows of the shape `RECENT`.

        Returns None when a session goes on of which only the id is known.
        """

        def look_up(rows: Places) -> tuple[NDArray[Any], ...]:
            here, at = self._ids.find(recent["session"].take(rows))
            found = np.full(len(rows), _UNKNOWN, np.int32)
            found[here] = self._rows.take(at)
            return (found,)

        (rows,) = recent.looked_up(self, look_up)
        known = np.flatnonzero(rows != _UNKNOWN)
        rows = rows.take(known)
        if np.any(rows == _NO_ROW):
            return None
        then = self._sessions.take(rows)
        opened_ms = _opened_ms(recent["opening"])
        opened_ms[known] = _opened_ms(then["opening"])
        # Instants before the window become large numbers.
        inside = (opened_ms - start_ms).view(np.uint64) < np.uint64(end_ms - start_ms)
        return RecentSessions(recent, opened_ms, inside, known, then)


@dataclass(frozen=True, slots=True)
class RecentSessions:
    """Sessions with events since a day; those `inside` a window count.

    `recent` has what came since, for all of them; `then` has the earlier values of those that were `known`
    before (row numbers in `recent`). Later events change neither the beginning and device of a session, nor
    its user.

    What changed is the sum over all sessions as they are now, less the sum over the known ones as they were.
    """

    recent: RecentRows
    opened_ms: Integers
    inside: Flags
    known: NDArray[np.intp]
    then: Table

    def by_device(self) -> Rows:
        """Return the rows of `session_queries.sessions_by_device_since`."""
        devices = _devices(self.recent["opening"])
        devices[self.known] = _devices(self.then["opening"])
        groups = self._groups(devices, 1 << _DEVICE_BITS)
        sums = self._added(groups, self.recent["last_ms"] - self.opened_ms)
        return [{"device": device, **row} for device, row in groups.rows(**sums)]

    def by_type_and_hour(self, visitors: HashMap, clock: Clock) -> Rows:
        """Return the rows of `session_queries.sessions_by_type_and_hour_since`.

        `visitors` are all users before the day, of the shape `VISITOR`; the window begins before that day.
        """
        users = self.recent["user"].copy()
        users[self.known] = self.then["user"]
        _, bits = self.recent.looked_up(visitors, lambda rows: visitors.find(users.take(rows)))
        hours = _hours(self.opened_ms, clock)
        groups = self._groups((bits & EARLIER == 0) * np.uint8(_HOURS) + hours, 2 * _HOURS)
        # A user who had a session in that hour before is counted already.
        unseen = bits >> hours & 1 == 0
        unseen[self.known] = False
        lasted_ms = self.recent["last_ms"] - self.opened_ms
        return [
            {"fresh": kind // _HOURS, "hour": kind % _HOURS, **row}
            for kind, row in groups.rows(
                users=groups.different(users, unseen),
                **self._added(groups, lasted_ms),
                page_views=groups.sums(self.recent["pages"].astype(np.int64)),
                bounces=self._bounces(groups, lasted_ms),
            )
        ]

    def _groups(self, numbers: NDArray[np.uint8], count: int) -> _Groups:
        """Return the sessions by group, from the number of each one's group."""
        return _Groups(np.where(self.inside, numbers, np.uint8(count)), count)

    def _added(self, groups: _Groups, lasted_ms: Integers) -> dict[str, Integers]:
        """Return by group how many sessions were added, and how many milliseconds."""
        before = groups.of(self.known)
        return {
            "sessions": groups.counts - before.counts,
            "durations_ms": groups.sums(lasted_ms) - before.sums(self._lasted_then_ms()),
        }

    def _lasted_then_ms(self) -> Integers:
        """Return for each known session how many milliseconds it had lasted."""
        return self.then["last_ms"] - _opened_ms(self.then["opening"])

    def _bounces(self, groups: _Groups, lasted_ms: Integers) -> Integers:
        """Return by group how many more sessions are bounces now than were before."""
        known, then = self.known, self.then
        more_then = then["acted"] | then["watched"]
        pages, more = self.recent["pages"].copy(), self.recent["acted"] | self.recent["watched"]
        pages[known] += then["pages"]
        more[known] |= more_then
        now = np.flatnonzero(_bounced(pages, lasted_ms, more))
        before = known[_bounced(then["pages"], self._lasted_then_ms(), more_then)]
        return groups.of(now).counts - groups.of(before).counts


@dataclass(frozen=True)
class _Groups:
    """The groups of a table's rows, by number below `count`; rows that do not count have `count` itself."""

    numbers: NDArray[np.uint8]
    count: int

    def of(self, rows: NDArray[np.intp]) -> _Groups:
        """Return the groups of some rows."""
        return _Groups(self.numbers.take(rows), self.count)

    @cached_property
    def counts(self) -> Integers:
        """Return the number of rows of each group."""
        return np.bincount(self.numbers, minlength=self.count)[: self.count]

    def sums(self, column: Integers) -> Integers:
        """Return the sum of a column over the rows of each group."""
        sums = np.zeros(self.count + 1, np.int64)
        np.add.at(sums, self.numbers, column)
        return sums[: self.count]

    def different(self, column: Numbers, some: Flags) -> Integers:
        """Return for each group the number of distinct values among its rows in `some`."""
        rows = np.flatnonzero(some)
        numbers = self.numbers.take(rows)
        return distinct_by_group(column.take(rows), numbers, self.count + 1)[: self.count]

    def rows(self, **columns: Integers) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield each group with rows, and its value in each column."""
        present = np.flatnonzero(self.counts)
        values = [column.take(present).tolist() for column in columns.values()]
        for group, *row in zip(present.tolist(), *values, strict=True):
            yield group, dict(zip(columns, row, strict=True))


def _opened_ms(openings: Numbers) -> Integers:
    """Return the instants of beginnings of sessions."""
    return (openings >> np.uint64(_DEVICE_BITS)).view(np.int64)


def _devices(openings: Numbers) -> NDArray[np.uint8]:
    """Return the devices of beginnings of sessions."""
    return openings.astype(np.uint8) & np.uint8((1 << _DEVICE_BITS) - 1)


def _hours(at_ms: Integers, clock: Clock) -> NDArray[np.uint8]:
    """Return the local hours (0-23) of instants."""
    local = at_ms + 1000 * clock.offsets[0]
    for since, (before, after) in zip(clock.since[1:], pairwise(clock.offsets), strict=True):
        local += 1000 * (after - before) * (at_ms >= 1000 * since)
    # 32 bits suffice for the hours since 1970, and NumPy's % takes several times as long as its //.
    hours = (local // _HOUR_MS).astype(np.uint32)
    hours -= hours // np.uint32(_HOURS) * np.uint32(_HOURS)
    return hours.astype(np.uint8)


def _bounced(pages: NDArray[Any], duration_ms: Integers, more: NDArray[np.uint8]) -> Flags:
    """Return which sessions are bounces; `more` is not 0 where there was an action or playback."""
    bounced: Flags = (pages <= 1) & (duration_ms < BOUNCE_MS) & (more == 0)
    return bounced
