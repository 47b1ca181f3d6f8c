"""Answers about days that are over, kept as long as nothing changes about those days.

Every accepted event of a person adds to `activity_days` at its own day (`0006_whole_days.sql`), in the insert
that adds it to everything else. So the sum over the days before a day is another one as soon as a late
event touches one of them, and then what was kept is asked for anew.

Late events mostly belong to yesterday, and some platforms have one every second. While they come, what is
kept is split off a day or two earlier (`DayCache.split`), where nothing changes.

The answers are kept here; whom they were about, in `known_cache.py`. What is kept can be read ahead
(`api/warm_up.py`). When a day ends, or days that are over have become quiet again, answers go on with what
was read before until the newer rest has been read, for a while.

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
from sinks.single_flight import SingleFlight

#: An insert into all tables takes less.
SETTLED_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 600.0
#: Days before one that have not changed for so long are taken for days that stay as they are.
QUIET_SECONDS: Final = 60.0
#: What is read ahead is read again after this share of the time that it may be kept.
RENEWED: Final = 0.75
#: How many days before today may be split off at the earliest.
_BACK: Final = 2
#: Answers kept at most: a window of ninety days is some kilobytes.
_MAX_ENTRIES: Final = 500

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


class DayCache:
    """Runs queries that read nothing of a day and later, or remembers what they told."""

    def __init__(
        self,
        store: ClickHouseReader,
        *,
        settled: float = SETTLED_SECONDS,
        longest: float = LONGEST_SECONDS,
        quiet: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Ask through `store`; `clock` gives seconds. `on_lookup` is told whether an answer was kept."""
        self._store = store
        self._settled = settled
        self._longest = longest
        self._quiet = quiet
        self._clock = clock
        self._on_lookup = on_lookup
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._asking = SingleFlight[Rows]()
        self._seen: dict[date, _Seen] = {}
        self._looking = SingleFlight[dict[date, _Seen]]()
        self._read_ahead: dict[date, int] = {}

    async def split(self, today: date) -> Split:
        """Return where to split what is kept from what is asked anew: at today, or earlier.

        Raises `StoreUnavailableError` when the store cannot be asked: what is kept may be outdated then.
        All who ask while the question is on its way share it, as an answer has several parts.
        """
        return self._where(today, await self._looking.run(today, lambda: self._look(today)))

    def last(self, today: date) -> Split | None:
        """Return where to split as far as was seen last, if that was on this day."""
        return self._where(today, self._seen) if today == next(iter(self._seen), None) else None

    def _where(self, today: date, seen: dict[date, _Seen]) -> Split:
        quiet = self._quiet_days(seen)
        # Where nothing is quiet nothing can be kept, and the shortest rest is today.
        newest = quiet[0] if quiet else today
        if self._clock() - seen[newest].since < 2 * self._quiet:
            newest = next((day for day in quiet if self._read_ahead.get(day) == seen[day].version), newest)
        return _split(newest, seen)

    async def newest(self, today: date) -> Split | None:
        """Return where it is worth while to split, ready or not; None while nothing would be kept.

        Raises `StoreUnavailableError` when the store cannot be asked.
        """
        seen = await self._looking.run(today, lambda: self._look(today))
        quiet = self._quiet_days(seen)
        if not quiet or self._clock() - seen[quiet[0]].since < self._settled:
            return None
        return _split(quiet[0], seen)

    def ready(self, split: Split) -> None:
        """Take note that what is usually asked of the days before a split was read, so answers can use it."""
        days = {day: version for day, version in self._read_ahead.items() if day in self._seen}
        self._read_ahead = days | {split.day: split.version}

    async def rows(self, query: Query, split: Split, *, ahead: bool = False) -> Rows:
        """Return the rows of a query that reads nothing of the day of a split and later.

        Who reads `ahead` also reads what will have been kept too long soon, and is no look that counts.
        Raises `StoreUnavailableError` when the store cannot be asked.
        """
        version = (split.day, split.version)
        key = (query.sql, repr(query.parameters))
        longest = self._longest * RENEWED if ahead else self._longest
        kept = self._kept.get(key)
        known = kept is not None and kept.version == version and self._clock() - kept.at < longest
        if not ahead:
            self._on_lookup(known)
        if kept is not None and known:
            self._kept.move_to_end(key)
            return kept.rows
        began = self._clock()
        rows = await self._asking.run((*key, version), lambda: self._store.rows(query))
        if began - split.since >= self._settled:
            self._kept[key] = _Kept(version, began, rows)
            while len(self._kept) > _MAX_ENTRIES:
                self._kept.popitem(last=False)
        return rows

    async def _look(self, today: date) -> dict[date, _Seen]:
        days = [today - timedelta(days=back) for back in range(_BACK + 1)]
        sums = ", ".join(f"sumIf(events, day < {{day{n}:Date}}) AS before{n}" for n in range(len(days)))
        sql = f"SELECT {sums} FROM activity_days WHERE day < {{day0:Date}}"
        (row,) = await self._store.rows(Query(sql, {f"day{n}": day for n, day in enumerate(days)}))
        now = self._clock()
        self._seen = {day: self._now(day, row[f"before{n}"], now) for n, day in enumerate(days)}
        return self._seen

    def _quiet_days(self, seen: dict[date, _Seen]) -> list[date]:
        """Return the days before which nothing has changed for a while, the latest first."""
        now = self._clock()
        return [day for day in seen if now - seen[day].changed >= self._quiet]

    def _now(self, day: date, version: int, now: float) -> _Seen:
        """Return what is known of the days before a day, now that they have a version."""
        seen = self._seen.get(day)
        if seen is None:
            return _Seen(version, now)
        return seen if seen.version == version else _Seen(version, now, changed=now)


def _split(day: date, seen: dict[date, _Seen]) -> Split:
    return Split(day, seen[day].version, seen[day].since)
