"""Reads both stores and compares them, while the pipeline runs.

Stores that change cannot be read at one moment. Values that changed between two readings are therefore read
again, a few times, and only a value that differs every time by the same amount counts as a difference.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from deploy.operations.lag import cursors
from deploy.operations.verify import (
    Booking,
    Check,
    balance,
    kept_sums,
    lasting,
    offsets,
    raw_rows,
    shortened,
    steady,
    window,
)
from sinks.base import BEYOND_ALL, Books, Ledger, Partition, log_name
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.audit import Audit
from sinks.clickhouse.kept import first_instant
from sinks.clickhouse.rollups import ROLLUP_QUERIES, RollupQuery
from sinks.redis.ledger import RedisLedgers, read_ledgers
from sinks.redis.window import RedisWindow, expected
from streams.domain.aggregate import MINUTE_MS, Live, fold_playback, fold_users
from streams.domain.rows import PlaybackRow, UserRow
from streams.settings import Settings

_TRIES: Final = 4
_PAUSE: Final = 0.7
#: Minutes of the live window that are compared: those that every late event still reaches.
_MINUTES: Final = 60
_AHEAD: Final = 6
#: Partitions whose live counters are compared at a time: the rows of an hour of each are in memory.
_AT_ONCE: Final = 4

Ledgers = dict[Partition, tuple[Ledger, Books]]
Progress = Callable[[str], None]


class Verification:
    """Compares the data of one installation's stores."""

    def __init__(self, settings: Settings, cluster: str, redis: Any, clickhouse: Any, audit: Audit) -> None:
        """Compare the partitions of a Kafka cluster; `redis` answers bytes."""
        self._settings, self._cluster, self._redis = settings, cluster, redis
        self._clickhouse, self._audit = clickhouse, audit
        self._archive = ClickHouseArchive(clickhouse)
        self._window, self._store = RedisWindow(redis), RedisLedgers(redis)

    async def run(self, since: datetime | None, say: Progress) -> list[Check]:
        """Run every comparison; roll-ups from `since` on, or as far back as raw events reach."""
        first = await first_instant(self._clickhouse)
        horizon = datetime.now(UTC) - timedelta(days=self._settings.raw_retention_days)
        whole = first is None or first >= horizon
        oldest = datetime(1970, 1, 1, tzinfo=UTC) if whole else horizon
        say("ledgers and books")
        checks = await self._ledgers()
        say("raw rows")
        checks += await self._raw(whole)
        say("live counters")
        checks.append(await self._live())
        start = oldest if since is None else max(since, oldest)
        for query in ROLLUP_QUERIES:
            say(query.table)
            check = await self._rollup(query, start)
            if start == horizon:
                check.notes.append(f"compared from {start:%Y-%m-%d} on: raw events reach no further back")
            checks.append(check)
        return checks

    async def _read(self) -> Ledgers:
        return {
            where: found
            for where, found in (await read_ledgers(self._redis)).items()
            if where.cluster == self._cluster
        }

    async def _ledgers(self) -> list[Check]:
        landed = Check("ledger against ClickHouse's offsets")
        books = Check("books")
        left: set[Partition] | None = None
        found: dict[Partition, tuple[list[str], list[str]]] = {}
        for attempt in range(_TRIES):
            before = await self._read()
            booked: Booking = await self._audit.ingested()
            after = await self._read()
            still = steady(*({where: each[0] for where, each in some.items()} for some in (before, after)))
            wanted = set(before) if left is None else left
            for where in wanted & still:
                ledger, own = after[where]
                # Counted goes on while blocks stand still: its books are those of the later reading.
                found[where] = (offsets(where, ledger, booked), balance(where, ledger, own, booked))
            left = (wanted - still) | {where for where in wanted & still if any(found[where])}
            if not left:
                break
            await asyncio.sleep(_PAUSE * (attempt > 0))
        for where in sorted(found, key=str):
            landed.compared += 1
            books.compared += 1
            landed.differences += found[where][0]
            books.differences += found[where][1]
        if moving := (left or set()) - found.keys():
            landed.notes.append(f"{len(moving)} partitions moved all the time and were not compared")
        return [landed, books]

    async def _raw(self, whole: bool) -> list[Check]:
        settings, checks = self._settings, []
        for topic, table in (
            (settings.topic_playback, "playback_events"),
            (settings.topic_users, "user_events"),
            (settings.topic_systems, "system_events"),
        ):
            for attempt in range(_TRIES):
                booked = await self._audit.ingested()
                forgotten = await self._audit.forgotten()
                rows = await self._audit.rows(table, booked)
                check = raw_rows(booked, rows, topic, forgotten.rows, whole=whole)
                if not check.differences:
                    break
                await asyncio.sleep(_PAUSE * (attempt > 0))
            check.differences = shortened(check.differences)
            checks.append(check)
        return checks

    async def _live(self) -> Check:
        check = Check("live counters against a recount")
        topics = {
            self._settings.topic_playback: ("playback_events", PlaybackRow, fold_playback),
            self._settings.topic_users: ("user_events", UserRow, fold_users),
        }
        slots = asyncio.Semaphore(_AT_ONCE)

        async def compare(where: Partition) -> list[str] | None:
            async with slots:
                return await self._live_of(where, *topics[where.topic])

        places = [where for where in sorted(await self._read(), key=str) if where.topic in topics]
        for where, differences in zip(places, await asyncio.gather(*map(compare, places)), strict=True):
            if differences is None:
                check.notes.append(f"{where}: ClickHouse did not catch up with Redis; see `vca lag`")
            else:
                check.compared += 1
                check.differences += differences
        check.differences = shortened(check.differences)
        return check

    async def _live_of(self, where: Partition, table: str, row: Any, fold: Any) -> list[str] | None:
        """Compare a partition's window; None when ClickHouse does not catch up with Redis in time."""
        first = int(time.time()) // 60 - _MINUTES + 1
        end = first + _MINUTES + _AHEAD
        read = await self._window.read(where, first, end)
        if read is None:
            return []
        ledger = await self._landed(where, read.counted)
        if ledger is None:
            return None
        live = Live()
        for incarnation in range(ledger.incarnation + 1):
            # Records of the topic before it was created anew were counted, too.
            before = read.counted if incarnation == ledger.incarnation else BEYOND_ALL
            log = log_name(where.cluster, incarnation)
            async for rows in self._archive.recent(
                table, row, log, where.topic, where.number, before=before, since=first * MINUTE_MS
            ):
                fold(rows, first, live)
        return window(where, read, expected(live, read.counted, first, end))

    async def _landed(self, where: Partition, offset: int) -> Ledger | None:
        for _ in range(_TRIES * 4):
            ledger = await self._store.read(where)
            if cursors(ledger)[1] >= offset:
                return ledger
            await asyncio.sleep(_PAUSE / 2)
        return None

    async def _rollup(self, query: RollupQuery, since: datetime) -> Check:
        check = Check(f"{query.table} against raw events", compared=len(query.values))
        readings = [await self._audit.rollup(query, since)]
        while readings[-1] and len(readings) < _TRIES:
            await asyncio.sleep(_PAUSE * (len(readings) > 1))
            readings.append(await self._audit.rollup(query, since))
        differences, moving = lasting(readings)
        if differences:
            differences, kept = kept_sums(differences, await self._audit.forgotten())
            if kept:
                check.notes.append(
                    f"{len(kept)} sums have more than raw events, on days of which `vca forget` removed"
                    " events: they stay, until `vca rebuild rollups`"
                )
        check.differences = shortened(str(each) for each in differences)
        if moving:
            check.notes.append(f"{moving} values moved all the time and were not compared")
        return check
