"""Answers about days that are over, kept as long as nothing changes about those days.

Every accepted event of a person adds to `activity_days` at its own day (`0006_whole_days.sql`), in the insert
that adds it to everything else. So the sum over the days before a day is another one as soon as a late
event touches one of them, and then what was kept is asked for anew.

Late events mostly belong to yesterday, and some platforms have one every second. While they come, what is
kept is split off a day or two earlier (`KeptRows.split`), where nothing changes.

Two things keep a half-landed insert from being kept. Tables that an insert feeds are not changed at the same
instant, so an answer is kept only when the sum has been the same for `SETTLED_SECONDS`; and an insert that
was cut off and repaired later is known again after `LONGEST_SECONDS`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.shared import Shared

#: An insert into all tables takes less.
SETTLED_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 600.0
#: Days before one that have not changed for so long are taken for days that stay as they are.
QUIET_SECONDS: Final = 60.0
#: How many days before today may be split off at the earliest.
_BACK: Final = 2
#: Answers kept at most: a window of ninety days is some kilobytes.
_MOST: Final = 500

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Split:
    """The days before `day`, and what stands for their contents: the `version`, seen first at `since`."""

    day: date
    version: int
    since: float


@dataclass(frozen=True, slots=True)
class _Seen:
    version: int
    since: float
    changed: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Kept:
    version: tuple[date, int]
    at: float
    rows: Rows


class KeptRows:
    """Runs queries that read nothing of a day and later, or remembers what they told."""

    def __init__(
        self,
        store: ClickHouseReader,
        *,
        settled: float = SETTLED_SECONDS,
        longest: float = LONGEST_SECONDS,
        quiet: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        looked: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Ask through `store`; `clock` gives seconds. `looked` is told whether an answer was kept."""
        self._store = store
        self._settled = settled
        self._longest = longest
        self._quiet = quiet
        self._clock = clock
        self._looked = looked
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._asking = Shared[Rows]()
        self._seen: dict[date, _Seen] = {}
        self._looking = Shared[Split]()

    async def split(self, today: date) -> Split:
        """Return where to split what is kept from what is asked anew: at today, or earlier.

        Raises `StoreUnavailableError` when the store cannot be asked: what is kept may be outdated then.
        All who ask while the question is on its way share it, as an answer has several parts.
        """
        return await self._looking.ask(today, lambda: self._look(today))

    async def rows(self, query: Query, split: Split) -> Rows:
        """Return the rows of a query that reads nothing of the day of a split and later.

        Raises `StoreUnavailableError` when the store cannot be asked.
        """
        version = (split.day, split.version)
        key = (query.sql, repr(query.parameters))
        kept = self._kept.get(key)
        known = kept is not None and kept.version == version and self._clock() - kept.at < self._longest
        self._looked(known)
        if kept is not None and known:
            self._kept.move_to_end(key)
            return kept.rows
        began = self._clock()
        rows = await self._asking.ask((*key, version), lambda: self._store.rows(query))
        if began - split.since >= self._settled:
            self._kept[key] = _Kept(version, began, rows)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return rows

    async def _look(self, today: date) -> Split:
        days = [today - timedelta(days=back) for back in range(_BACK + 1)]
        sums = ", ".join(f"sumIf(events, day < {{day{n}:Date}}) AS before{n}" for n in range(len(days)))
        sql = f"SELECT {sums} FROM activity_days WHERE day < {{day0:Date}}"
        (row,) = await self._store.rows(Query(sql, {f"day{n}": day for n, day in enumerate(days)}))
        now = self._clock()
        self._seen = {day: self._now(day, row[f"before{n}"], now) for n, day in enumerate(days)}
        quiet = (day for day in days if now - self._seen[day].changed >= self._quiet)
        # Where nothing is quiet nothing can be kept, and the shortest rest is today.
        day = next(quiet, today)
        return Split(day, self._seen[day].version, self._seen[day].since)

    def _now(self, day: date, version: int, now: float) -> _Seen:
        """Return what is known of the days before a day, now that they have a version."""
        seen = self._seen.get(day)
        if seen is None:
            return _Seen(version, now)
        return seen if seen.version == version else _Seen(version, now, changed=now)
