"""Both stores filled with the same rows, through the product's own sinks, and the API in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import httpx2
from redis.asyncio import Redis

from api.app import create_app
from api.settings import Settings
from sinks.base import Block, Books, Ledger, LiveBatch, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.redis.client import connect as connect_redis
from sinks.redis.ledger import RedisLedgers
from sinks.redis.sink import RedisLive
from streams.domain.aggregate import Live, fold_playback, fold_users
from streams.domain.rows import PlaybackRow, Row, UserRow
from tests.readings.rows import TABLES

#: Settings of an API whose stores are not running.
NOWHERE: Final[dict[str, Any]] = {
    "clickhouse_url": "http://127.0.0.1:9/none",
    "redis_url": "redis://127.0.0.1:9/0",
}
#: Seconds for which the API waits for a store in tests of other things: a busy machine may need more than the
#: default for an answer, and then the other store would give it.
PATIENCE: Final = 10.0


async def insert(url: str, rows: Iterable[Row]) -> None:
    """Insert rows into ClickHouse, one block a table."""
    client = await connect(url)
    try:
        sink = ClickHouseBlocks(client)
        for kind, table in TABLES.items():
            some = [row for row in rows if type(row) is kind]
            if some:
                partition = Partition("test", some[0].topic, 0)
                start, end = some[0].offset, some[-1].offset + 1
                chunks = [sink.encode(kind, some)]
                block = Block(partition, "test", table, kind, start, end, "", len(some), end, chunks)
                await sink.write(block)
    finally:
        await client.close()


async def fill(urls: Mapping[str, str], now: datetime, rows: Iterable[Row]) -> None:
    """Put the same rows into both stores, whose addresses have their names as settings of the API."""
    await insert(urls["clickhouse_url"], rows)
    await count(urls["redis_url"], rows, now)


async def count(url: str, rows: Iterable[Row], now: datetime, partitions: int = 2) -> None:
    """Count rows into Redis, spread over some partitions of both topics."""
    redis = connect_redis(url)
    try:
        since = int(now.timestamp()) // 60 - 120
        for number in range(partitions):
            mine = [row for row in rows if row.offset % partitions == number]
            views = [row for row in mine if isinstance(row, PlaybackRow)]
            reactions = [row for row in mine if isinstance(row, UserRow)]
            await _write(redis, "playback.events", number, fold_playback(views, since), len(views), now)
            await _write(redis, "user.events", number, fold_users(reactions, since), len(reactions), now)
    finally:
        await redis.aclose()


async def _write(redis: Redis, topic: str, number: int, live: Live, rows: int, now: datetime) -> None:
    partition = Partition("test", topic, number)
    ledgers = RedisLedgers(redis)
    epoch = (await ledgers.claim(partition)).epoch
    await ledgers.rewrite(partition, Ledger(epoch=epoch, generation=number, counted=0))
    batch = LiveBatch(partition, epoch, number, 0, 1, "", live, Books(rows, rows))
    await RedisLive(redis, now.timestamp).write(batch)


class Api:
    """A client of the API, answering decoded bodies."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **parameters: Any) -> httpx2.Response:
        """Send a GET request, and return the response as it is."""
        return await self.client.get(path, params=parameters or None)

    async def data(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Send a GET request that must succeed, and return the answer's `data`."""
        return (await self.answer(path, **parameters))["data"]  # type: ignore[no-any-return]

    async def answer(self, path: str, **parameters: Any) -> dict[str, Any]:
        """Send a GET request that must succeed, and return the answer's whole body."""
        response = await self.get(path, **parameters)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        assert body["success"] is True
        return body


@asynccontextmanager
async def serving(clock: Callable[[], datetime], **settings: Any) -> AsyncIterator[Api]:
    """Run the API in this process; `clock` is the present time for requests, and only for them."""
    calm = {"warm_up": False, "store_patience": PATIENCE}
    app = create_app(Settings(log_level="ERROR", **{**calm, **settings}), clock=clock)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
            yield Api(client)
