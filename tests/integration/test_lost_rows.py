"""A ClickHouse whose machine lost power, and with it the last inserts, while a worker lived."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.base import Unexpected
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.memory import MemoryStore
from streams.assignment import Fetched, Stores
from streams.bundles import Bundles
from tests.integration.test_torn_inserts import counts, running
from tests.pipeline import bench
from tests.pipeline.bench import Bench, Log, view


async def _parts(client: AsyncClient) -> set[Path]:
    found = await client.query("SELECT path FROM system.parts WHERE active AND database = currentDatabase()")
    return {Path(path) for (path,) in found.result_rows}


async def _stored(worker: Bench, end: int) -> None:
    async with asyncio.timeout(20):
        while worker.worker.safe < end:
            await asyncio.sleep(0.01)


def _rows_in(client: AsyncClient, make: Callable[..., Stores]) -> Callable[..., Stores]:
    """Return a function that makes stores whose rows are in ClickHouse, and everything else in memory."""

    def stores_of(*arguments: Any) -> Stores:
        blocks, archive, stores = ClickHouseBlocks(client), ClickHouseArchive(client), make(*arguments)
        bundles = Bundles(stores.bundles.store, stores.ledgers, blocks, archive)
        return replace(stores, blocks=blocks, archive=archive, bundles=bundles)

    return stores_of


async def test_a_block_that_a_power_cut_lost_is_there_before_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, log = servers.clickhouse(free_port(), tmp_path / "data"), Log()
    for n in range(9):
        for event in view(f"v{n}", int(time.time() * 1000) - 60_000):
            log.append(event, event["occurredAt"] + 20)
    url, worker = f"{server.address}/lost", Bench(log, MemoryStore())
    monkeypatch.setattr(bench, "NOW", time.time())
    with running(server, tmp_path):
        migrate(url)
        client = await connect(url)
        monkeypatch.setattr(bench, "stores_of", _rows_in(client, bench.stores_of))
        await client.command("SYSTEM STOP MERGES")
        await worker.restart()
        await worker.worker.process(Fetched(0, log.read(0, 18)))
        await _stored(worker, 18)
        once, before = await counts(client), await _parts(client)
        await worker.worker.process(Fetched(18, log.read(18, 18)))
        await _stored(worker, 36)
        lost = await _parts(client) - before
    for part in lost:
        shutil.rmtree(part)
    await worker.worker.process(Fetched(36, log.read(36, 18)))  # While the machine starts.
    await asyncio.sleep(0.1)
    with running(server, tmp_path):
        async with asyncio.timeout(30):
            while not worker.failures:
                await asyncio.sleep(0.01)
        assert isinstance(worker.failures[0], Unexpected)
        assert await counts(client) == once
        worker.die()
        await worker.run([18])
        await _stored(worker, 54)
        assert await counts(client) == {table: 3 * n for table, n in once.items()}
        await client.close()
