"""What `ClickHouseUsers` does while its store is away."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from sinks.clickhouse.day_cache import DayCache
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.user_reader import ClickHouseUsers
from streams.domain.errors import StoreUnavailableError
from streams.domain.windows import UTC_ZONE, named

NOW = datetime(2024, 3, 30, 14, 5, tzinfo=UTC)


class Store:
    """Answers which days are over, until it is away."""

    away = False

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailableError("clickhouse", "refused")
        return [{f"before{n}": 0 for n in range(3)}]


async def test_a_store_that_is_away_is_raised_and_nothing_else_is_logged() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    store = Store()
    reader = cast(ClickHouseReader, store)
    days = DayCache(reader)
    await days.split(NOW.date())
    store.away = True
    users, window = ClickHouseUsers(reader, days), named("7d", zone=UTC_ZONE, now=NOW)
    for read in (users.activity, users.growth, users.retention, users.engagement):
        with pytest.raises(StoreUnavailableError):
            await read(window)
    gc.collect()
    await asyncio.sleep(0)
    assert said == []
