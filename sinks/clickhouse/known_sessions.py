"""Sessions known before a day, in memory, and what events since change about sums over sessions.

Everything here is arithmetic on tables that `known_queries.py` asks for. What is returned are rows as those
of the queries `*_since` in `session_queries.py`, which look up the same in the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.hashes import Hashes, Marked, Numbers
from sinks.clickhouse.kept import Rows
from sinks.clickhouse.packed import Shape, Table
from streams.domain.audience import BOUNCE_MS
from streams.domain.local_time import Clock

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
#: Only the id of one.
ID: Final = Shape(session="UInt64")
#: Bit h of `bits`: a session of the user began in that hour of a local day of the window; and the one below.
VISITOR: Final = Shape(user="UInt64", bits="UInt32")
#: First seen before the window.
EARLIER: Final = 1 << 24
_HOURS: Final = 24
_DEVICE_BITS: Final = 4

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


class KnownSessions:
    """Sessions known before a day: whole if they were heard of in the week before it, else their ids."""

    def __init__(self, sessions: Table, older: Table) -> None:
        """Take tables of the shapes `SESSION` and `ID`, in order of sessions; they may overlap."""
        self._ids = Hashes(sessions["session"].copy())
        self._sessions = sessions
        self._older = Hashes(older["session"].copy())

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._ids.nbytes + self._sessions.nbytes + self._older.nbytes

    def since(self, heard: Table, start_ms: int, end_ms: int) -> LateSessions | None:
        """Return those of a window that were heard of since the day, from a table of the shape `SESSION`.

        None when one comes back of which only the id is known.
        """
        ids = heard["session"].copy()
        known, at = self._ids.find(ids)
        unknown = np.ones(len(ids), np.bool_)
        unknown[known] = False
        if len(self._older.find(ids[unknown])[0]):
            return None
        then = self._sessions[at]
        opening = heard["opening"].copy()
        opening[known] = then["opening"]
        opened_ms = (opening >> np.uint64(_DEVICE_BITS)).astype(np.int64)
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
        sums = self._sums(devices, sessions=self.unknown, durations_ms=self._added_ms())
        return [{"device": device, **row} for device, row in sums]

    def by_type_and_hour(self, visitors: Marked, clock: Clock) -> Rows:
        """Return what `session_queries.sessions_by_type_and_hour_since` tells.

        `visitors` are everybody known before, of the shape `VISITOR`; the window begins before that day.
        """
        users = self.heard["user"].copy()
        users[self.known] = self.then["user"]
        _, bits = visitors.find(users)
        fresh, hours = bits & EARLIER == 0, _hours(self.opened_ms, clock)
        groups = fresh * np.uint8(_HOURS) + hours
        # Who had a session in that hour before counts no more.
        unseen = self.inside & self.unknown & (bits >> hours & 1 == 0)
        visits = {group: _different(users[which]) for group, which in _grouped(groups, unseen)}
        sums = self._sums(
            groups,
            sessions=self.unknown,
            durations_ms=self._added_ms(),
            page_views=self.heard["pages"],
            bounces=self._bounces(),
        )
        return [
            {"fresh": group // _HOURS, "hour": group % _HOURS, "users": visits.get(group, 0), **row}
            for group, row in sums
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

    def _sums(
        self, groups: NDArray[np.uint8], **columns: NDArray[Any]
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield the sums of columns by group, of the sessions inside."""
        values = {name: column.astype(np.int64) for name, column in columns.items()}
        for group, which in _grouped(groups, self.inside):
            yield group, {name: int(column[which].sum()) for name, column in values.items()}


def _grouped(groups: NDArray[np.uint8], some: Flags) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield each group that some have, and the numbers of those."""
    numbers = np.flatnonzero(some)
    numbers = numbers[np.argsort(groups[numbers], kind="stable")]
    present, first = np.unique(groups[numbers], return_index=True)
    for group, which in zip(present, np.split(numbers, first[1:]), strict=False):
        yield int(group), which


def _different(users: Numbers) -> int:
    """Return how many different ones there are, of one at least."""
    users = np.sort(users)
    return 1 + int(np.count_nonzero(users[1:] != users[:-1]))


def _hours(at_ms: Integers, clock: Clock) -> NDArray[np.uint8]:
    """Return the hours on the clock of a zone."""
    seconds = at_ms // 1000
    number = np.searchsorted(np.array(clock.since), seconds, side="right") - 1
    local = seconds + np.array(clock.offsets)[np.maximum(number, 0)]
    hours: NDArray[np.uint8] = (local // 3600 % _HOURS).astype(np.uint8)
    return hours


def _bounced(pages: NDArray[Any], duration_ms: Integers, more: NDArray[np.uint8]) -> Flags:
    """Return which sessions are bounces; `more` is not 0 where there was an action or playback."""
    bounced: Flags = (pages <= 1) & (duration_ms < BOUNCE_MS) & (more == 0)
    return bounced
