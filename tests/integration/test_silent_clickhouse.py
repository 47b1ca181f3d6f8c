"""A ClickHouse that takes connections and says nothing is given up in time, and asked again."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Block, Partition, Unavailable
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.client import SILENCE_SECONDS, connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.sink import ClickHouseBlocks
from streams.retry import Retry
from tests.faults.proxy import Proxy, Trick, http_is_whole
from tests.pipeline.bench import Log, view
from tests.pipeline.fold import block_of, fold_log

PATIENCE = 0.5


@pytest.fixture
def proxy(clickhouse_server: str) -> Iterator[Proxy]:
    proxy = Proxy(urlsplit(clickhouse_server).port or 8123, http_is_whole)
    yield proxy
    proxy.close()


@pytest_asyncio.fixture
async def client(
    proxy: Proxy, clickhouse_server: str, clickhouse_database: str
) -> AsyncIterator[AsyncClient]:
    migrate(f"{clickhouse_server}/{clickhouse_database}")
    address = f"http://127.0.0.1:{proxy.port}/{clickhouse_database}"
    client = await connect(f"{address}?send_receive_timeout={PATIENCE}")
    yield client
    await client.close()


def block(sink: ClickHouseBlocks) -> Block:
    log = Log()
    for event in view("view", int(time.time() * 1000) - 60_000):
        log.append(event, event["occurredAt"] + 20)
    return block_of(Partition("cluster", "playback.events", 0), fold_log(log), 0, len(log.records), sink)


async def test_an_insert_is_tried_again_in_time_and_counts_once(proxy: Proxy, client: AsyncClient) -> None:
    blocks, tries = ClickHouseBlocks(client), list[float]()
    sent = block(blocks)

    async def write() -> None:
        began = time.monotonic()
        # It takes the block, and the answer does not come.
        proxy.delay = 0.0 if tries else 60.0
        try:
            await blocks.write(sent)
        finally:
            tries.append(time.monotonic() - began)

    await Retry().forever(write, "insert")
    # A busy machine may need more than the second try: its insert takes as long as the patience.
    assert len(tries) >= 2 and PATIENCE <= tries[0] < 10 * PATIENCE
    rows = await client.query(
        "SELECT (SELECT count() FROM playback_events), (SELECT sum(views) FROM video_15m)"
    )
    assert rows.result_rows[0] == (sent.rows, 1)


@pytest.mark.parametrize("packed", [False, True])
async def test_the_client_itself_repeats_no_insert(
    proxy: Proxy, client: AsyncClient, clickhouse_database: str, packed: bool
) -> None:
    """Only who knows the epochs may repeat it: after a long sleep, ClickHouse has forgotten its token."""
    patient = await connect(f"http://127.0.0.1:{proxy.port}/{clickhouse_database}")
    try:
        blocks = ClickHouseBlocks(patient)
        sent = block(blocks)
        trap = proxy.set(b"insert_deduplication_token", Trick.LOSE_ANSWER)
        with pytest.raises(Unavailable):
            await (blocks.send("bundle:a", blocks.pack([sent])) if packed else blocks.write(sent))
        assert trap.sprung.is_set()
    finally:
        await patient.close()


async def test_a_look_up_is_given_up_in_time(proxy: Proxy, client: AsyncClient) -> None:
    proxy.delay, began = 60.0, time.monotonic()
    with pytest.raises(Unavailable):
        await ClickHouseArchive(client).next_offset("cluster", "playback.events", 0)
    assert PATIENCE <= time.monotonic() - began < 10 * PATIENCE


async def test_a_slow_server_with_many_queries_is_not_taken_for_a_silent_one(
    proxy: Proxy, clickhouse_database: str
) -> None:
    address = f"http://127.0.0.1:{proxy.port}/{clickhouse_database}"
    reader = ClickHouseReader(address, ping_timeout=2.0, connections=8)
    try:
        await reader.rows(Query("SELECT 1", {}))
        proxy.delay = 1.1  # Also of the answers to pings.
        slow = Query("SELECT sleep(2.5) AS n", {})
        assert await asyncio.gather(*(reader.rows(slow) for _ in range(8))) == [[{"n": 0}]] * 8
    finally:
        await reader.close()


def test_a_worker_waits_for_a_minute() -> None:
    assert inspect.signature(connect).parameters["read_timeout"].default == SILENCE_SECONDS == 60
