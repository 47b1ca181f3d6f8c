"""Users known before a day, in memory, and how users active since then change counts of users.

Only arithmetic on the tables of `known_queries.py`. The results are the same rows as those of the queries
`*_since` in `user_queries.py` and `cohort_queries.py`, which look the users up in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.day_cache import Rows
from sinks.clickhouse.hash_index import HashMap, Numbers, Places, contained
from sinks.clickhouse.native_reader import Shape, Table
from sinks.clickhouse.recent_rows import RecentRows

#: All users known before a day. Bit n of `bits`: active in the n-th stretch; and the two bits below.
KNOWN: Final = Shape(user="UInt64", bits="UInt8")
#: First seen before the window.
EARLIER: Final = 1 << 6
SIGNED_UP: Final = 1 << 7
#: Users active since a day: the number of their first local day since, and bits of stretches as above.
RECENT: Final = Shape(user="UInt64", day="Int32", active="UInt8", block="UInt64")


class KnownUsers:
    """All users known before a day, for one window, which begins before that day or with it."""

    def __init__(self, known: Table) -> None:
        """Index a table of the shape `KNOWN`, in order of users."""
        self._users = HashMap.of(known)
        #: The users active since the day, as they were read last.
        self.recent = RecentRows(RECENT)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._users.nbytes + self.recent.nbytes

    def since(self, recent: RecentRows, end: int) -> RecentUsers:
        """Return the users active since the day, from rows of the shape `RECENT`.

        `end` is the number of the first local day after the window.
        """

        def look_up(rows: Places) -> tuple[NDArray[Any], ...]:
            return self._users.find(recent["user"].take(rows))

        known, before = recent.looked_up(self, look_up)
        new = np.flatnonzero((recent["day"] < end) & ~known)
        return RecentUsers(
            before.copy(), recent["active"].copy(), recent["user"].take(new), recent["day"].take(new)
        )

    def signups(self, rows: Sequence[Mapping[str, Any]]) -> Signups:
        """Return signups since the day, from rows of `signups_since`."""
        given = [np.array(row["users"], np.uint64) for row in rows]
        users = np.concatenate([np.empty(0, np.uint64), *given])
        sources = np.repeat(np.arange(len(rows)), [len(some) for some in given])
        known, bits = self._users.find(users)
        # A user who signed up before keeps that source.
        first = known & (bits & (EARLIER | SIGNED_UP) == 0)
        counted = np.bincount(sources[first], minlength=len(rows))
        return Signups([row["source"] for row in rows], counted, users[~known], sources[~known])


@dataclass(frozen=True, slots=True)
class Signups:
    """Signups since a day, by source.

    `counted` has, by index in `names`, the counted signups of users known before; `unknown` are the other
    users, and `sources` the indexes of theirs.
    """

    names: Sequence[str]
    counted: NDArray[np.intp]
    unknown: Numbers
    sources: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RecentUsers:
    """Users active since a day.

    `before` has their bits before that day, `active` the bits of stretches since; `new` are users never seen
    before, and `days` the local days of their first event.
    """

    before: NDArray[np.uint8]
    active: NDArray[np.uint8]
    new: Numbers
    days: NDArray[np.int32]

    def counts(self, numbers: Mapping[str, int], churn: tuple[str, str] | None) -> Rows:
        """Return the row of `user_queries.active_users_since`; `numbers` has the bit of each stretch."""
        now = self.before | self.active

        def more(name: str) -> int:
            bit = 1 << numbers[name]
            return _count(now & bit) - _count(self.before & bit)

        row = {name: more(name) for name in numbers}
        if churn:
            row["lost"] = _lost(now, numbers, churn) - _lost(self.before, numbers, churn)
        return [row]

    def cohorts(self) -> Rows:
        """Return the rows of `cohort_queries.cohort_sizes` with `since`."""
        cohorts, users = np.unique(self.days, return_counts=True)
        return [
            {"cohort": int(cohort), "inside": 1, "users": int(count)}
            for cohort, count in zip(cohorts, users, strict=True)
        ]

    def sources(self, signups: Signups) -> Rows:
        """Return the rows of `user_queries.sources_since`."""
        new = contained(self.new, signups.unknown)
        counts = signups.counted + np.bincount(signups.sources[new], minlength=len(signups.names))
        return [
            {"source": source, "users": users}
            for source, users in zip(signups.names, counts.tolist(), strict=True)
            if users
        ]


def _count(some: NDArray[Any]) -> int:
    """Return how many values are not 0."""
    return int(np.count_nonzero(some))


def _lost(flags: NDArray[np.uint8], numbers: Mapping[str, int], churn: tuple[str, str]) -> int:
    before, now = (1 << numbers[name] for name in churn)
    return _count(flags & (before | now) == before)
