"""Real workers at their limits: a store that takes nothing, and a producer that sends rubbish."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, wait_until
from streams.exit_codes import REFUSED
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.platform import Platform, platform
from tests.oracle.log import PLAYBACK, USERS, Record
from tests.pipeline.bench import view

pytestmark = pytest.mark.slow

_SMALL = {"BUFFER_BYTES": "1000000", "FETCH_BYTES": "65536"}
_VIEWS = 5_000
_EVENTS = _VIEWS * 6


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("limits")) as running:
        yield running


def _records(name: str, views: int) -> list[Record]:
    now = int(time.time() * 1000) - 60_000
    return [
        Record(PLAYBACK, event["viewId"].encode(), msgspec.json.encode(event), event["occurredAt"] + 20)
        for n in range(views)
        for event in view(f"{name}-{n}", now)
    ]


def _counted(running: Platform) -> int:
    """Return how many playback records the live counters have."""
    return sum(int(ledger.get("counted", 0)) for ledger in _ledgers(running).values())


def _ledgers(running: Platform) -> dict[str, Any]:
    import redis

    with redis.Redis.from_url(running.endpoints["REDIS_URL"], decode_responses=True) as store:
        return {key: store.hgetall(key) for key in store.scan_iter(f"vc:{{*{PLAYBACK}*}}:ledger")}


async def _stands_still(running: Platform) -> int:
    """Wait until the worker has taken nothing for two seconds; return how much it took."""
    deadline, before, since = time.monotonic() + 60, -1, time.monotonic()
    while time.monotonic() - since < 2 or before <= 3_000:
        assert time.monotonic() < deadline, "the worker went on reading"
        if (now := _counted(running)) != before:
            before, since = now, time.monotonic()
        await asyncio.sleep(0.1)
    return before


def _lag(port: int) -> float:
    """Return the records of the topic that the worker says are not in both stores."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    (found,) = (family for family in families if family.name == "videocloud_lag_records")
    return sum(sample.value for sample in found.samples if sample.labels["topic"] == PLAYBACK)


def _memory(worker: Child) -> int:
    return int(psutil.Process(worker.pid).memory_info().rss)


async def test_a_stopped_clickhouse_stops_the_reading_and_memory_stays_flat(servers: Cluster) -> None:
    clickhouse, port = servers.servers["CLICKHOUSE_URL"].pid, free_port()
    with servers.working(**_SMALL, WORKER_METRICS_PORT=str(port)) as worker:
        async with platform(servers.endpoints) as running:
            await running.send(_records("warm", 500))
            await running.caught_up()
            os.kill(clickhouse, signal.SIGSTOP)
            try:
                before = _memory(worker)
                await running.send(_records("flood", _VIEWS))
                taken = await _stands_still(running)
                # A megabyte of rows, and what was fetched; the topic has ten times as much.
                assert 3_000 < taken < 3_000 + _EVENTS / 3
                assert _memory(worker) - before < 12_000_000
                # What comes while the worker reads nothing is told too, by the stand-in but for a batch.
                await running.send(_records("later", 200))
                async with asyncio.timeout(20):
                    while _lag(port) <= _EVENTS:
                        await asyncio.sleep(0.5)
            finally:
                os.kill(clickhouse, signal.SIGCONT)
            await running.caught_up()
            assert running.stored()[PLAYBACK] == _EVENTS + 3_000 + 1_200


async def test_too_many_dead_letters_end_the_worker_with_a_status_of_its_own(servers: Cluster) -> None:
    rubbish = [Record(USERS, b"u", b'{"type": "user.nap"}', int(time.time() * 1000))] * 300
    async with platform(servers.endpoints) as running:
        await running.send(rubbish)
        with servers.working(DEAD_LETTER_SHARE="0.5", DEAD_LETTER_WINDOW="100") as worker:
            assert wait_until(time.monotonic() + 30, lambda: worker.exit_code is not None, None)
            assert worker.exit_code == REFUSED
        said = servers.log()
        assert "of_the_last" in said and "UnknownType" in said and USERS in said
        assert "DEAD_LETTER_SHARE=0" in said
        assert await running.dead_letters() == {}

        with servers.working():
            await running.caught_up()
        assert sum((await running.dead_letters()).values()) == 300
