"""Answers from memory, while others are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sinks.clickhouse import known_audience
from sinks.clickhouse.day_cache import Split
from sinks.clickhouse.instants import milliseconds
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.known_sessions import RECENT, KnownSessions, RecentSessions
from sinks.clickhouse.native_reader import Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.recent_rows import RecentRows
from streams.domain.windows import named
from tests.audience.tables import table
from tests.waiting import until

SPLIT = Split(date(2050, 11, 20), 1, 0.0)
WINDOW = named("30d", zone=ZoneInfo("UTC"), now=datetime(2050, 11, 20, 12, tzinfo=UTC))
START = milliseconds(WINDOW.start)

Since = Callable[[KnownSessions, RecentRows, int, int], RecentSessions | None]


class Store:
    """Knows no sessions, and hears of one more each time."""

    sessions = 0

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        return [{"numbered": 1}]

    async def table(self, asked: TableQuery) -> Table:
        if asked.shape is not RECENT:
            return table(asked.shape, [])
        self.sessions += 1
        return table(RECENT, [(self.sessions, (START << 4) + 1, 7, START, 1, 0, 0, self.sessions)])


async def test_nothing_is_written_while_a_thread_reads_for_somebody_who_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_audience, "_FEW", -1)
    audience = KnownAudience(Store(), KnownCache(1 << 20))  # type: ignore[arg-type]
    await audience.prefetch(WINDOW, {}, ["activity"], SPLIT)
    started, go_on, lengths = Event(), Event(), list[int]()
    since: Since = KnownSessions.since

    def slowly(self: KnownSessions, recent: RecentRows, start_ms: int, end_ms: int) -> RecentSessions | None:
        lengths.append(len(recent))
        started.set()
        assert go_on.wait(10)
        lengths.append(len(recent))
        return since(self, recent, start_ms, end_ms)

    monkeypatch.setattr(KnownSessions, "since", slowly)
    gone = asyncio.create_task(audience.sessions(WINDOW, SPLIT))
    await until(started.is_set)
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    other = asyncio.create_task(audience.sessions(WINDOW, SPLIT))
    await asyncio.sleep(0.05)
    go_on.set()
    assert await other == [{"device": 1, "sessions": 3, "durations_ms": 0}]
    assert lengths == [2, 2, 3, 3]
