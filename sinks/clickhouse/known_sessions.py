"""Sessions known before a day, in memory, and what events since change about sums over sessions.

Everything here is arithmetic on tables that `known_queries.py` asks for. What is returned are rows as those
of the queries `*_since` in `session_queries.py`, which look up the same in the store.
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

#: What a session has been, in some days; `opening` is when and on what it began (`0003_sessions.sql`).
SESSION: Final = Shape(
    session="UInt64",
    opening="UInt64",
    user="UInt64",
    last_ms="Int64",
    pages="UInt32",
    acted="UInt8",
    watched="UInt8",
)
#: How long it has been, as far as one is heard of: enough for sums by device.
LENGTH: Final = Shape(session="UInt64", opening="UInt64", last_ms="Int64")
#: Only the id of one.
ID: Final = Shape(session="UInt64")
#: Bit h of `bits`: a session of the user began in that hour of a local day of the window; and the one below.
VISITOR: Final = Shape(user="UInt64", bits="UInt32")
#: First seen before the window.
EARLIER: Final = 1 << 24
_HOURS: Final = 24
_HOUR_MS: Final = 3_600_000
_DEVICE_BITS: Final = 4
#: Instead of the number of its row, where only the id of a session is known.
_NO_ROW: Final = -1

Integers = NDArray[np.int64]


class KnownSessions:
    """Sessions known before a day: whole if they were heard of in the week before it, else their ids."""

    def __init__(self, sessions: Table, older: Table) -> None:
        """Take tables of the shapes `SESSION` and `ID`; they may overlap, and are soonest merged in order."""
        ids = np.concatenate([sessions["session"], older["session"]])
        ids, first = np.unique(ids, return_index=True)
        self._ids = HashSet(ids)
        self._rows = np.where(first < len(sessions), first, _NO_ROW).astype(np.int32)
        self._sessions = sessions.without("session")

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._ids.nbytes + self._rows.nbytes + self._sessions.nbytes

    def since(self, heard: Table, start_ms: int, end_ms: int) -> LateSessions | None:
        """Return those of a window that were heard of since the day.

        They are told by a table of the shape `SESSION`, or `LENGTH` for what needs no more. None is returned
        when one comes back of which only the id is known.
        """
        known, at = self._ids.find(heard["session"])
        rows = self._rows.take(at)
        if np.any(rows == _NO_ROW):
            return None
        then = self._sessions.take(rows)
        unknown = np.ones(len(heard), np.bool_)
        unknown[known] = False
        opening = heard["opening"].copy()
        opening[known] = then["opening"]
        opened_ms = (opening >> np.uint64(_DEVICE_BITS)).view(np.int64)
        inside = (opened_ms >= start_ms) & (opened_ms < end_ms)
        return LateSessions(heard, opening, opened_ms, inside, unknown, known, then)


@dataclass(frozen=True, slots=True)
class LateSessions:
    """Sessions heard of since a day: those `inside` a window count.

    `heard` tells what came since, of all; and `then` what those that were `known` before, by their numbers,
    had been. An event of a later day changes neither when and on what a session began, nor whose it is.
    """

    heard: Table
    opening: Numbers
    opened_ms: Integers
    inside: Flags
    unknown: Flags
    known: NDArray[np.intp]
    then: Table

    def by_device(self) -> Rows:
        """Return what `session_queries.sessions_by_device_since` tells."""
        devices = (self.opening & np.uint64((1 << _DEVICE_BITS) - 1)).astype(np.uint8)
        groups = _Groups(devices, self.inside)
        sums = groups.sums(sessions=self.unknown, durations_ms=self._added_ms())
        return [{"device": device, **row} for device, row in sums]

    def by_type_and_hour(self, visitors: HashMap, clock: Clock) -> Rows:
        """Return what `session_queries.sessions_by_type_and_hour_since` tells.

        `visitors` are everybody known before, of the shape `VISITOR`; the window begins before that day.
        """
        users = self.heard["user"].copy()
        users[self.known] = self.then["user"]
        _, bits = visitors.find(users)
        hours = _hours(self.opened_ms, clock)
        kinds = (bits & EARLIER == 0) * np.uint8(_HOURS) + hours
        # Who had a session in that hour before counts no more.
        unseen = self.unknown & (bits >> hours & 1 == 0)
        groups = _Groups(kinds, self.inside)
        sums = groups.sums(
            sessions=self.unknown,
            durations_ms=self._added_ms(),
            page_views=self.heard["pages"],
            bounces=self._bounces(),
        )
        visits = groups.different(users, unseen)
        return [
            {"fresh": kind // _HOURS, "hour": kind % _HOURS, "users": visited, **row}
            for (kind, row), visited in zip(sums, visits, strict=True)
        ]

    def _added_ms(self) -> Integers:
        """Return by how much each became longer."""
        added: Integers = self.heard["last_ms"] - self.opened_ms
        added[self.known] = self.heard["last_ms"][self.known] - self.then["last_ms"]
        return added

    def _bounces(self) -> Integers:
        """Return 1 for each that is a bounce now, less 1 where it was one before."""
        known, then = self.known, self.then
        pages = self.heard["pages"].astype(np.int64)
        more = self.heard["acted"] | self.heard["watched"]
        pages[known] += then["pages"]
        more[known] |= then["acted"] | then["watched"]
        bounces = _bounced(pages, self.heard["last_ms"] - self.opened_ms, more).astype(np.int64)
        bounces[known] -= _bounced(
            then["pages"], then["last_ms"] - self.opened_ms[known], then["acted"] | then["watched"]
        )
        return bounces


class _Groups:
    """Some of a table's rows, in order of the groups that they are in."""

    def __init__(self, groups: NDArray[np.uint8], some: Flags) -> None:
        """Take the group of every row, and which rows are meant."""
        rows = np.flatnonzero(some)
        groups = groups.take(rows)
        order = np.argsort(groups, kind="stable")
        self._rows, groups = rows.take(order), groups.take(order)
        self._first = np.flatnonzero(np.diff(groups, prepend=groups[:1] + 1))
        self._present = groups.take(self._first).tolist()

    def sums(self, **columns: NDArray[Any]) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield each group that there is, and the sums of columns over its rows."""
        sums = [
            np.add.reduceat(column.take(self._rows), self._first, dtype=np.int64).tolist()
            for column in columns.values()
        ]
        for group, *row in zip(self._present, *sums, strict=True):
            yield group, dict(zip(columns, row, strict=True))

    def different(self, column: Numbers, some: Flags) -> Iterator[int]:
        """Yield how many different values some rows of each group have."""
        meant = some.take(self._rows)
        ends = np.cumsum(np.add.reduceat(meant, self._first, dtype=np.intp))
        pieces = np.split(column.take(self._rows.compress(meant)), ends)
        for _, values in zip(self._present, pieces, strict=False):
            values.sort()
            yield len(values[:1]) + int(np.count_nonzero(values[1:] != values[:-1]))


def _hours(at_ms: Integers, clock: Clock) -> NDArray[np.uint8]:
    """Return the hours on the clock of a zone."""
    local = at_ms + 1000 * clock.offsets[0]
    for since, (before, after) in zip(clock.since[1:], pairwise(clock.offsets), strict=True):
        local += 1000 * (after - before) * (at_ms >= 1000 * since)
    hours: NDArray[np.uint8] = (local // _HOUR_MS % _HOURS).astype(np.uint8)
    return hours


def _bounced(pages: NDArray[Any], duration_ms: Integers, more: NDArray[np.uint8]) -> Flags:
    """Return which sessions are bounces; `more` is not 0 where there was an action or playback."""
    bounced: Flags = (pages <= 1) & (duration_ms < BOUNCE_MS) & (more == 0)
    return bounced
