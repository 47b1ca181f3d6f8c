"""Who was known before a day, in memory, and what those heard of since change about counts of users.

Everything here is arithmetic on tables that `known_queries.py` asks for. What is returned are rows as those
of the queries `*_since` in `user_queries.py` and `cohort_queries.py`, which look up the same in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.day_cache import Rows
from sinks.clickhouse.hash_index import HashMap, HashSet, Numbers
from sinks.clickhouse.native_reader import Shape, Table

#: Everybody known before a day. Bit n of `bits`: active in the n-th stretch; and those below.
KNOWN: Final = Shape(user="UInt64", bits="UInt8")
#: First seen before the window.
EARLIER: Final = 1 << 6
SIGNED_UP: Final = 1 << 7
#: Everybody heard of since a day: the number of the first local day then, and the stretches as above.
HEARD: Final = Shape(user="UInt64", day="Int32", active="UInt8")


class KnownUsers:
    """Everybody known before a day, for one window. The window begins before that day, or with it."""

    def __init__(self, known: Table) -> None:
        """Take a table of the shape `KNOWN`, in order of users."""
        self._users = HashMap.of(known)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._users.nbytes

    def since(self, heard: Table, end: int) -> LateUsers:
        """Return who was heard of since the day, from a table of the shape `HEARD`.

        `end` is the number of the first local day after the window.
        """
        known, before = self._users.find(heard["user"])
        new = np.flatnonzero((heard["day"] < end) & ~known)
        return LateUsers(before, heard["active"], heard["user"].take(new), heard["day"].take(new))

    def signups(self, rows: Sequence[Mapping[str, Any]]) -> Signups:
        """Return who signed up since the day; rows tell all `users` who did, by `source`."""
        given = [np.array(row["users"], np.uint64) for row in rows]
        users = np.concatenate([np.empty(0, np.uint64), *given])
        sources = np.repeat(np.arange(len(rows)), [len(some) for some in given])
        known, bits = self._users.find(users)
        # Who has signed up before stays with that source.
        first = known & (bits & (EARLIER | SIGNED_UP) == 0)
        counted = np.bincount(sources[first], minlength=len(rows))
        return Signups([row["source"] for row in rows], counted, users[~known], sources[~known])


@dataclass(frozen=True, slots=True)
class Signups:
    """Who signed up since a day, by the numbers of `names` of sources.

    How many of those known before count, and who was `unknown` with the `sources` of these.
    """

    names: Sequence[str]
    counted: NDArray[np.intp]
    unknown: Numbers
    sources: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class LateUsers:
    """Users heard of since a day.

    Their bits `before` it, the stretches in which they were `active` since, those who are `new` with the
    local `days` of that.
    """

    before: NDArray[np.uint8]
    active: NDArray[np.uint8]
    new: Numbers
    days: NDArray[np.int32]

    def counts(self, numbers: Mapping[str, int], left: tuple[str, str] | None) -> Rows:
        """Return what `user_queries.active_users_since` tells; `numbers` are those of stretches, by name."""
        now = self.before | self.active

        def more(name: str) -> int:
            bit = 1 << numbers[name]
            return _count(now & bit) - _count(self.before & bit)

        row = {name: more(name) for name in numbers}
        if left:
            row["lost"] = _lost(now, numbers, left) - _lost(self.before, numbers, left)
        return [row]

    def cohorts(self) -> Rows:
        """Return what `cohort_queries.cohort_sizes` tells since a day."""
        cohorts, users = np.unique(self.days, return_counts=True)
        return [
            {"cohort": int(cohort), "inside": 1, "users": int(count)}
            for cohort, count in zip(cohorts, users, strict=True)
        ]

    def sources(self, signups: Signups) -> Rows:
        """Return what `user_queries.sources_since` tells."""
        new, _ = HashSet(np.sort(self.new)).find(signups.unknown)
        counts = signups.counted + np.bincount(signups.sources.take(new), minlength=len(signups.names))
        return [
            {"source": source, "users": users}
            for source, users in zip(signups.names, counts.tolist(), strict=True)
            if users
        ]


def _count(some: NDArray[Any]) -> int:
    """Return how many are not 0."""
    return int(np.count_nonzero(some))


def _lost(flags: NDArray[np.uint8], numbers: Mapping[str, int], left: tuple[str, str]) -> int:
    before, now = (1 << numbers[name] for name in left)
    return _count(flags & (before | now) == before)
