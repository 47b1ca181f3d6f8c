"""Producers with transactions, as Flink and Kafka Streams are: what they abort was never said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from confluent_kafka import Producer

from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import free_port
from deploy.embedded.servers import Server
from deploy.operations import lag_command
from streams.settings import Settings
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.foreign import view_start
from tests.e2e.platform import Platform, platform
from tests.oracle.log import PLAYBACK

pytestmark = pytest.mark.slow

if missing := jars.missing():
    pytest.skip(missing, allow_module_level=True)

#: Views of a transaction.
VIEWS = 40
#: In which the watchdog looks often enough to end a worker that takes nothing of what waits for six seconds.
LOOKS_SECONDS = 11


def broker(folder: Path) -> Server:
    (node,) = nodes(jars.fetch(), folder / "kafka", [(free_port(), free_port())])
    return node


def producer(running: Platform, name: str) -> Producer:
    made = Producer(
        {
            "bootstrap.servers": running.endpoints["KAFKA_BOOTSTRAP_SERVERS"],
            "transactional.id": name,
            "batch.num.messages": 7,
            "compression.type": "lz4",
        }
    )
    made.init_transactions(30)
    return made


def send(by: Producer, prefix: str) -> None:
    """Send views within the transaction that is open, and see to it that the broker has them."""
    for number in range(VIEWS):
        view = f"{prefix}-{number}"
        by.produce(PLAYBACK, key=view, value=view_start(view, "clip"))
    assert by.flush(30) == 0


async def lag(servers: Cluster) -> int:
    """Return how many records `vca lag` says are behind."""
    addresses = servers.endpoints
    settings = Settings(
        kafka_bootstrap_servers=addresses["KAFKA_BOOTSTRAP_SERVERS"], redis_url=addresses["REDIS_URL"]
    )
    return sum(each.records for each in await lag_command.read(settings))


async def total(running: Platform, period: str) -> int:
    answer = await running.ask("/analytics/videos/clip", period=period)
    return int(answer.data["views"]["total"]) if answer.status == 200 else 0


async def counted(running: Platform, expected: int) -> None:
    """Wait until both stores have so many views, and see that it stays so."""
    async with asyncio.timeout(60):
        while [await total(running, period) for period in ("1h", "1d")] != [expected] * 2:
            await asyncio.sleep(0.2)
    await asyncio.sleep(0.5)
    assert [await total(running, period) for period in ("1h", "1d")] == [expected] * 2


async def test_what_was_aborted_does_not_count_and_what_is_open_does_not_yet(tmp_path: Path) -> None:
    with cluster(tmp_path, broker(tmp_path)) as servers:
        async with platform(servers.endpoints) as running:
            servers.worker(STALL_SECONDS="6")
            one, other = (producer(running, name) for name in ("one", "other"))
            one.begin_transaction()
            send(one, "first")
            one.commit_transaction(30)
            await counted(running, VIEWS)

            # Two at a time, whose record batches lie among each other.
            one.begin_transaction()
            other.begin_transaction()
            send(one, "aborted")
            send(other, "kept")
            send(one, "aborted-too")
            await asyncio.sleep(1)
            assert await total(running, "1h") == VIEWS  # Both are open.
            one.abort_transaction(30)
            other.commit_transaction(30)
            await counted(running, 2 * VIEWS)

            # Behind the last records are markers, and soon what is open: neither is anything to be taken.
            assert await lag(servers) == 0
            one.begin_transaction()
            send(one, "open")
            await asyncio.sleep(LOOKS_SECONDS)
            assert servers.workers[-1].exit_code is None, servers.log()
            one.commit_transaction(30)
            await counted(running, 3 * VIEWS)
            assert await lag(servers) == 0

            # Whoever takes over reads on behind the markers, and what was aborted is no second time either.
            servers.workers[-1].kill()
            one.begin_transaction()
            send(one, "while nobody was there")
            one.abort_transaction(30)
            one.begin_transaction()
            send(one, "while nobody was there")
            one.commit_transaction(30)
            servers.worker()
            await counted(running, 4 * VIEWS)
            assert "Traceback" not in servers.log()
