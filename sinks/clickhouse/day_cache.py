"""A cache of query results about days that are over, valid until one of those days changes.

Every accepted event of a person adds to `activity_days` at its own day (`0006_whole_days.sql`), in the same
insert as everything else. So the sum over the days before a day is their version: it changes as soon as a
late event belongs to one of them, and then cached results are invalid.

Late events mostly belong to yesterday, and some platforms have one every second. While they arrive, the split
between cached and current days is a day or two earlier (`DayCache.split`), where nothing changes.

This module caches results; `known_cache.py` caches the users and sessions behind them. `api/warm_up.py`
prefetches both. When a day ends, or late events stop, the previous split is used for a while, until results
for the new one are prefetched.

Two rules keep results of a half-finished insert out of the cache. The tables that an insert feeds do not
change at the same instant, so a result is cached only if the version has been the same for `SETTLED_SECONDS`;
and an insert that was interrupted and repaired later is seen after `MAX_AGE_SECONDS`.
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
from sinks.single_flight import SingleFlight

#: Longer than an insert into all tables takes.
SETTLED_SECONDS: Final = 5.0
MAX_AGE_SECONDS: Final = 600.0
#: Days without a change for this long count as quiet.
QUIET_SECONDS: Final = 60.0
#: Prefetching renews an entry after this share of its maximum age.
RENEW_SHARE: Final = 0.75
#: The earliest split is this many days before today.
_MAX_DAYS_BACK: Final = 2
#: Results in the cache, and rows of all of them, at most: a row takes 280 bytes, and a result for years has
#: thousands.
_MAX_ENTRIES: Final = 500
_MAX_ROWS: Final = 200_000

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Split:
    """The days before `day`, with the `version` of their contents, first seen at `since`."""

    day: date
    version: int
    since: float


@dataclass(frozen=True, slots=True)
class _Version:
    version: int
    since: float
    changed: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Entry:
    version: tuple[date, int]
    at: float
    rows: Rows


class DayCache:
    """Runs queries about the days before a split, and caches their results."""

    def __init__(
        self,
        store: ClickHouseReader,
        *,
        settle_seconds: float = SETTLED_SECONDS,
        max_age: float = MAX_AGE_SECONDS,
        quiet_seconds: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Query through `store`; all times are in seconds. `on_lookup` is called with True for a hit."""
        self._store = store
        self._settle_seconds = settle_seconds
        self._max_age = max_age
        self._quiet_seconds = quiet_seconds
        self._clock = clock
        self._on_lookup = on_lookup
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._row_count = 0
        self._queries = SingleFlight[Rows]()
        self._versions: dict[date, _Version] = {}
        self._version_queries = SingleFlight[dict[date, _Version]]()
        self._prefetched: dict[date, int] = {}

    async def split(self, today: date) -> Split:
        """Return the split between cached and current days: today, or earlier.

        Raises `StoreUnavailableError` when the store cannot be read, because entries may be outdated then.
        Concurrent calls share one query, because an answer has several parts.
        """
        return self._choose_split(
            today, await self._version_queries.run(today, lambda: self._read_versions(today))
        )

    def last_split(self, today: date) -> Split | None:
        """Return the last known split, if it was read on this day."""
        return (
            self._choose_split(today, self._versions) if today == next(iter(self._versions), None) else None
        )

    def _choose_split(self, today: date, seen: dict[date, _Version]) -> Split:
        quiet = self._quiet_days(seen)
        # Without quiet days nothing can be cached, and the shortest current part is today.
        newest = quiet[0] if quiet else today
        if self._clock() - seen[newest].since < 2 * self._quiet_seconds:
            newest = next((day for day in quiet if self._prefetched.get(day) == seen[day].version), newest)
        return _split(newest, seen)

    async def prefetch_split(self, today: date) -> Split | None:
        """Return the split to prefetch for; None while no result could be cached.

        Raises `StoreUnavailableError` when the store cannot be read.
        """
        seen = await self._version_queries.run(today, lambda: self._read_versions(today))
        quiet = self._quiet_days(seen)
        if not quiet or self._clock() - seen[quiet[0]].since < self._settle_seconds:
            return None
        return _split(quiet[0], seen)

    def mark_prefetched(self, split: Split) -> None:
        """Note that the usual results for a split were prefetched, so that answers use this split."""
        days = {day: version for day, version in self._prefetched.items() if day in self._versions}
        self._prefetched = days | {split.day: split.version}

    async def rows(self, query: Query, split: Split, *, prefetch: bool = False) -> Rows:
        """Return the rows of a query that reads only days before the split, from the cache or the store.

        With `prefetch`, entries are renewed before they expire, and `on_lookup` is not called. Raises
        `StoreUnavailableError` when the store cannot be read.
        """
        version = (split.day, split.version)
        key = (query.sql, repr(query.parameters))
        max_age = self._max_age * RENEW_SHARE if prefetch else self._max_age
        kept = self._entries.get(key)
        known = kept is not None and kept.version == version and self._clock() - kept.at < max_age
        if not prefetch:
            self._on_lookup(known)
        if kept is not None and known:
            self._entries.move_to_end(key)
            return kept.rows
        began = self._clock()
        rows = await self._queries.run((*key, version), lambda: self._store.rows(query))
        if began - split.since >= self._settle_seconds:
            self._keep(key, _Entry(version, began, rows))
        return rows

    def _keep(self, key: tuple[str, str], entry: _Entry) -> None:
        """Add an entry, and drop those that were used least recently, as far as there are too many."""
        if replaced := self._entries.pop(key, None):
            self._row_count -= len(replaced.rows)
        self._entries[key] = entry
        self._row_count += len(entry.rows)
        while len(self._entries) > _MAX_ENTRIES or self._row_count > _MAX_ROWS:
            _, dropped = self._entries.popitem(last=False)
            self._row_count -= len(dropped.rows)

    async def _read_versions(self, today: date) -> dict[date, _Version]:
        days = [today - timedelta(days=back) for back in range(_MAX_DAYS_BACK + 1)]
        sums = ", ".join(f"sumIf(events, day < {{day{n}:Date}}) AS before{n}" for n in range(len(days)))
        sql = f"SELECT {sums} FROM activity_days WHERE day < {{day0:Date}}"
        (row,) = await self._store.rows(Query(sql, {f"day{n}": day for n, day in enumerate(days)}))
        now = self._clock()
        self._versions = {day: self._next_version(day, row[f"before{n}"], now) for n, day in enumerate(days)}
        return self._versions

    def _quiet_days(self, seen: dict[date, _Version]) -> list[date]:
        """Return possible splits whose earlier days are quiet, the latest first."""
        now = self._clock()
        return [day for day in seen if now - seen[day].changed >= self._quiet_seconds]

    def _next_version(self, day: date, version: int, now: float) -> _Version:
        """Return the state of the days before a day, given their version now."""
        seen = self._versions.get(day)
        if seen is None:
            return _Version(version, now)
        return seen if seen.version == version else _Version(version, now, changed=now)


def _split(day: date, seen: dict[date, _Version]) -> Split:
    return Split(day, seen[day].version, seen[day].since)
