"""Who was known before a day, in memory, and what those heard of since change about counts of users.

Everything here is arithmetic on tables that `known_queries.py` asks for. What is returned are rows as those
of the queries `*_since` in `user_queries.py` and `cohort_queries.py`, which look up the same in the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.hashes import Hashes, Marked
from sinks.clickhouse.kept import Rows
from sinks.clickhouse.packed import Shape, Table

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
        self._users = Marked.of(known)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._users.nbytes

    def since(self, heard: Table, end: int) -> LateUsers:
        """Return who was heard of since the day, from a table of the shape `HEARD`.

        `end` is the number of the first local day after the window.
        """
        known, before = self._users.find(heard["user"].copy())
        return LateUsers(self._users, before, heard["active"].copy(), heard[~known & (heard["day"] < end)])


@dataclass(frozen=True, slots=True)
class LateUsers:
    """Users heard of since a day.

    Their bits `before` it, the stretches in which they were `active` since, the rows of those who are `new`;
    and everybody who was `known`.
    """

    known: Marked
    before: NDArray[np.uint8]
    active: NDArray[np.uint8]
    new: Table

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
        cohorts, users = np.unique(self.new["day"], return_counts=True)
        return [
            {"cohort": int(cohort), "inside": 1, "users": int(count)}
            for cohort, count in zip(cohorts, users, strict=True)
        ]

    def sources(self, signups: Iterable[Mapping[str, Any]]) -> Rows:
        """Return what `user_queries.sources_since` tells.

        `signups` are all `users` who signed up since the day, by `source`. Who has signed up before stays
        with that source.
        """
        new, counts = Hashes(np.sort(self.new["user"])), Counter[str]()
        for row in signups:
            users = np.array(row["users"], np.uint64)
            known, bits = self.known.find(users)
            counts[row["source"]] += _count(known & (bits & (EARLIER | SIGNED_UP) == 0))
            counts[row["source"]] += len(new.find(users[~known])[0])
        return [{"source": source, "users": users} for source, users in counts.items() if users]


def _count(some: NDArray[Any]) -> int:
    """Return how many are not 0."""
    return int(np.count_nonzero(some))


def _lost(flags: NDArray[np.uint8], numbers: Mapping[str, int], left: tuple[str, str]) -> int:
    before, now = (1 << numbers[name] for name in left)
    return _count(flags & (before | now) == before)
