"""Answers about days that are over, kept as long as nothing changes about those days.

Every accepted event of a person adds to `activity_days` at its own day (`0006_whole_days.sql`), in the insert
that adds it to everything else. So the sum over the days before a day is another one as soon as a late
event touches one of them, and then what was kept is asked for anew.

Two things keep a half-landed insert from being kept. Tables that an insert feeds are not changed at the same
instant, so an answer is kept only when the sum has been the same for `SETTLED_SECONDS`; and an insert that
was cut off and repaired later is known again after `LONGEST_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader

#: An insert into all tables takes less.
SETTLED_SECONDS: Final = 5.0
LONGEST_SECONDS: Final = 600.0
#: Answers kept at most: a window of ninety days is some kilobytes.
_MOST: Final = 500

Rows = list[dict[str, Any]]


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
        clock: Callable[[], float] = time.monotonic,
        looked: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Ask through `store`; `clock` gives seconds. `looked` is told whether an answer was kept."""
        self._store = store
        self._settled = settled
        self._longest = longest
        self._clock = clock
        self._looked = looked
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._asking: dict[tuple[str, str, tuple[date, int]], asyncio.Task[Rows]] = {}
        self._versions: dict[date, tuple[int, float]] = {}
        self._looking: dict[date, asyncio.Task[tuple[float, tuple[date, int]]]] = {}

    async def rows(self, query: Query, day: date) -> Rows:
        """Return the rows of a query that reads nothing of `day` and later.

        Raises `StoreUnavailableError` when the store cannot be asked: what is kept may be outdated then.
        """
        since, version = await self._version(day)
        key = (query.sql, repr(query.parameters))
        kept = self._kept.get(key)
        known = kept is not None and kept.version == version and self._clock() - kept.at < self._longest
        self._looked(known)
        if kept is not None and known:
            self._kept.move_to_end(key)
            return kept.rows
        # All who ask the same meanwhile wait for one answer.
        asking = self._asking.get((*key, version))
        if asking is None:
            asking = asyncio.create_task(self._store.rows(query))
            self._asking[*key, version] = asking
            asking.add_done_callback(lambda _: self._asking.pop((*key, version), None))
        began = self._clock()
        rows = await asyncio.shield(asking)
        if began - since >= self._settled:
            self._kept[key] = _Kept(version, began, rows)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return rows

    async def _version(self, day: date) -> tuple[float, tuple[date, int]]:
        """Return what stands for the days before a day just now, and since when it was the same.

        All who ask while the question is on its way share it: an answer has several parts.
        """
        looking = self._looking.get(day)
        if looking is None:
            looking = self._looking[day] = asyncio.create_task(self._look(day))
            looking.add_done_callback(lambda _: self._looking.pop(day, None))
        return await asyncio.shield(looking)

    async def _look(self, day: date) -> tuple[float, tuple[date, int]]:
        sql = "SELECT sum(events) AS version FROM activity_days WHERE day < {day:Date}"
        ((version,),) = [row.values() for row in await self._store.rows(Query(sql, {"day": day}))]
        seen, since = self._versions.get(day, (None, 0.0))
        if seen != version:
            since = self._clock()
            self._versions = {each: kept for each, kept in self._versions.items() if each >= day}
            self._versions[day] = (version, since)
        return since, (day, version)
