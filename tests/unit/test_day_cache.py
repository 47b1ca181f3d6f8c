"""The cache of results about days that are over is bounded, however large results are."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from sinks.clickhouse import day_cache
from sinks.clickhouse.day_cache import DayCache, Rows, Split
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader

SPLIT = Split(date(2026, 11, 27), 7, float("-inf"))


class Store:
    """Answers each query with as many rows as its parameter says, and counts queries."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def rows(self, query: Query) -> Rows:
        self.asked.append(query.sql)
        return [{"number": number} for number in range(query.parameters["rows"])]


class Asking:
    """Asks a cache, and tells whether that asked the store."""

    def __init__(self, clock: Any = lambda: 0.0) -> None:
        self._store = Store()
        self._cache = DayCache(cast(ClickHouseReader, self._store), clock=clock)

    async def misses(self, name: str, rows: int) -> bool:
        before = len(self._store.asked)
        assert len(await self._cache.rows(Query(name, {"rows": rows}), SPLIT)) == rows
        return len(self._store.asked) > before


async def test_the_least_recently_used_results_go_when_there_are_too_many_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(day_cache, "_MAX_ROWS", 100)
    asking = Asking()
    assert await asking.misses("a", 40) and await asking.misses("b", 60)
    assert not await asking.misses("a", 40) and not await asking.misses("b", 60)
    assert await asking.misses("c", 30)
    assert not await asking.misses("b", 60) and not await asking.misses("c", 30)
    assert await asking.misses("a", 40)


async def test_a_result_that_is_too_large_is_answered_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_cache, "_MAX_ROWS", 100)
    asking = Asking()
    assert await asking.misses("large", 101) and await asking.misses("large", 101)
    assert await asking.misses("small", 100) and not await asking.misses("small", 100)


async def test_a_result_that_is_renewed_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_cache, "_MAX_ROWS", 100)
    now = 0.0
    asking = Asking(lambda: now)
    await asking.misses("other", 30)
    for _ in range(5):
        now += day_cache.MAX_AGE_SECONDS / 10
        assert not await asking.misses("other", 30)
    now += day_cache.MAX_AGE_SECONDS
    for name in ("other", "renewed"):
        assert await asking.misses(name, 40)
    now += day_cache.MAX_AGE_SECONDS
    for name in ("other", "renewed"):
        assert await asking.misses(name, 50)
    assert not await asking.misses("other", 50) and not await asking.misses("renewed", 50)
