"""The Redis side on a real cluster of three nodes: counters, answers, keys, limits and exports' jobs.

That ledger and live counters keep their contract there is said by `tests/contract/test_stores.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio
from redis import Redis, RedisCluster

from api.exports.jobs import Job, Jobs, Status, new_id
from deploy.embedded.probes import redis_answers
from deploy.operations import examining
from sinks.base import Books, Ledger, LiveBatch, Partition, Unavailable
from sinks.redis import keys
from sinks.redis.client import at_node, connect
from sinks.redis.ledger import RedisLedgers, ledger_key
from sinks.redis.reader import RedisReader
from sinks.redis.sink import RedisLive
from streams.domain.aggregate import Live, fold_playback
from streams.domain.errors import StoreUnavailableError
from streams.settings import Settings
from tests.commands import invoke
from tests.readings import rows as make
from tests.readings.stores import count, serving

NOW = datetime(2050, 3, 30, 14, 5, 27, tzinfo=UTC)
LIVE, SUMMARY = "/analytics/live", "/analytics/videos/summary?period=1h"
PARTITIONS = 6


def rows(views: int) -> list[Any]:
    random = Random(views)
    starts = [NOW - timedelta(minutes=50 * random.random()) for _ in range(views)]
    return [make.view(f"v{n % 5}", at, view_id=f"view-{n}", user_id=f"u{n}") for n, at in enumerate(starts)]


@pytest.fixture
def cluster(redis_cluster_server: str) -> Iterator[Any]:
    """Yield a client of the emptied cluster."""
    parts = urlsplit(redis_cluster_server)
    with closing(RedisCluster(parts.hostname, parts.port or 6379)) as client:
        client.flushall(target_nodes=RedisCluster.PRIMARIES)
        yield client


@pytest_asyncio.fixture
async def redis(cluster: Any, redis_cluster_server: str) -> AsyncIterator[Any]:
    client = connect(redis_cluster_server, connect_timeout=10, read_timeout=20)
    yield client
    await client.aclose()


def settings(url: str, **others: Any) -> dict[str, Any]:
    return {"redis_url": url, "clickhouse_url": "http://127.0.0.1:9/none", **others}


async def test_answers_add_up_over_the_nodes(cluster: Any, redis_cluster_server: str) -> None:
    made = rows(200)
    await count(redis_cluster_server, made, NOW, PARTITIONS)
    holders = {
        cluster.get_node_from_key(keys.ledger(keys.tag("test", "playback.events", number))).port
        for number in range(PARTITIONS)
    }
    assert len(holders) == 3, "the partitions are not spread, and this test shows nothing"
    async with serving(lambda: NOW, **settings(redis_cluster_server)) as api:
        everything, video = await api.answer(LIVE), await api.answer("/analytics/videos/v1/live")
        summary = await api.answer(SUMMARY)
        hour = await api.data("/analytics/videos/v1?period=1h")
    assert {answer["meta"]["source"] for answer in (everything, video, summary)} == {"redis"}
    assert sum(point["views"] for point in everything["data"]["timeline"]) == 200
    assert sum(point["views"] for point in video["data"]["timeline"]) == 40
    assert (summary["data"]["totalViews"], summary["data"]["totalVideos"]) == (200, 5)
    assert hour["views"]["unique"] == 40


async def test_keys_and_limits_work_as_on_one_server(cluster: Any, redis_cluster_server: str) -> None:
    await count(redis_cluster_server, rows(10), NOW, PARTITIONS)
    variables = {"REDIS_URL": redis_cluster_server}
    made = await asyncio.to_thread(invoke, variables, "keys", "create", "dashboards")
    assert made.exit_code == 0, made.output
    headers = {"X-API-Key": made.stdout.strip()}
    limited = settings(redis_cluster_server, require_key=True, rate_limit="3/minute")
    async with serving(lambda: NOW, **limited) as one, serving(lambda: NOW, **limited) as two:
        assert (await one.get(SUMMARY)).status_code == 401
        answers = [await api.client.get(SUMMARY, headers=headers) for api in (one, two, one, two)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]


async def test_many_may_begin_at_once(cluster: Any, redis_cluster_server: str) -> None:
    """A worker takes over all its partitions with its first commands."""
    before = [0] * 32
    for _ in range(5):
        fresh = connect(redis_cluster_server, connect_timeout=10, read_timeout=20)
        ledgers = RedisLedgers(fresh)
        claims = (ledgers.claim(Partition("c", topic, n)) for topic in "abcd" for n in range(8))
        epochs = [ledger.epoch for ledger in await asyncio.gather(*claims)]
        await fresh.aclose()
        assert all(epoch > old for epoch, old in zip(epochs, before, strict=True))
        before = epochs


def _job(status: Status = Status.QUEUED) -> Job:
    return Job(new_id(), "{}", "csv", status, NOW, NOW + timedelta(hours=1))


async def test_an_export_is_taken_once_and_told_to_its_end(redis: Any) -> None:
    first, second = Jobs(redis), Jobs(redis)
    job = _job()
    await first.add(job)
    taken = [found for jobs in (first, second) if (found := await jobs.take())]
    assert [found.id for found in taken] == [job.id]
    assert await first.renew(job.id, 5, 50)
    assert not await second.renew(job.id, 1, 1)
    assert await first.complete(job.id, 9, 90)
    found = await second.find(job.id)
    assert found is not None and (found.status, found.rows, found.bytes) == (Status.COMPLETED, 9, 90)
    given = _job()
    await first.add(given)
    assert await first.take() == await first.find(given.id)
    await first.release(given.id)
    again = await second.take()
    assert again is not None and again.id == given.id
    await second.fail(given.id, "too long")
    failed = await first.find(given.id)
    assert failed is not None and (failed.status, failed.reason) == (Status.FAILED, "too long")
    assert await first.secret() == await second.secret()


class Move:
    """A slot on its way from one node to another, key by key, as `redis-cli --cluster reshard` moves it."""

    def __init__(self, cluster: Any, key: str) -> None:
        self.slot = cluster.keyslot(key)
        source = cluster.get_node_from_key(key)
        target = next(node for node in cluster.get_primaries() if node.port != source.port)
        self.source: Any = Redis(source.host, source.port)
        self.target: Any = Redis(target.host, target.port)
        self.nodes: list[Any] = [Redis(node.host, node.port) for node in cluster.get_primaries()]
        both: tuple[Any, Any] = (self.source, self.target)
        self.ids = [node.execute_command("CLUSTER MYID").decode() for node in both]

    def begin(self) -> list[bytes]:
        self.target.execute_command("CLUSTER SETSLOT", self.slot, "IMPORTING", self.ids[0])
        self.source.execute_command("CLUSTER SETSLOT", self.slot, "MIGRATING", self.ids[1])
        return list(self.source.execute_command("CLUSTER GETKEYSINSLOT", self.slot, 1000))

    def move(self, *names: bytes) -> None:
        pool = self.target.connection_pool.connection_kwargs
        for name in names:
            self.source.execute_command("MIGRATE", pool["host"], pool["port"], name, 0, 1000)

    def end(self) -> None:
        for node in (self.target, self.source, *self.nodes):
            node.execute_command("CLUSTER SETSLOT", self.slot, "NODE", self.ids[1])

    def close(self) -> None:
        for node in (self.source, self.target, *self.nodes):
            node.close()


@pytest.mark.parametrize("ledger_first", [True, False])
async def test_a_slot_that_moves_makes_writers_and_readers_wait_and_costs_no_count(
    cluster: Any, redis: Any, redis_cluster_server: str, ledger_first: bool
) -> None:
    partition = Partition(f"c{uuid4().hex[:8]}", "playback.events", 0)
    ledgers, live = RedisLedgers(redis), RedisLive(redis, NOW.timestamp)
    epoch = (await ledgers.claim(partition)).epoch
    await ledgers.rewrite(partition, Ledger(epoch=epoch, counted=0))

    def batch(start: int, views: int) -> LiveBatch:
        increments: Live = fold_playback(rows(views), int(NOW.timestamp()) // 60 - 120)
        return LiveBatch(partition, epoch, 0, start, start + views, "", increments, Books(views, views))

    await live.write(batch(0, 30))
    moving = Move(cluster, ledger_key(partition))
    names = await asyncio.to_thread(moving.begin)
    ledger = ledger_key(partition).encode()
    others = [name for name in names if name != ledger]
    assert len(others) > 20
    first, rest = ([ledger], others) if ledger_first else (others[::2], [ledger, *others[1::2]])
    await asyncio.to_thread(moving.move, *first)
    with pytest.raises(Unavailable, match="moving"):
        await live.write(batch(30, 40))
    with pytest.raises(Unavailable, match="moving"):
        await live.rebuild(partition, epoch, 1, 1, batch(30, 40).live)
    async with serving(lambda: NOW, **settings(redis_cluster_server)) as api:
        # ClickHouse would stand in; here there is none.
        assert (await api.get(SUMMARY)).status_code == 503
        await asyncio.to_thread(moving.move, *rest)
        await asyncio.to_thread(moving.end)
        await live.write(batch(30, 40))
        await live.write(batch(30, 40))
        assert (await api.data(SUMMARY))["totalViews"] == 70
        assert (await ledgers.claim(partition)).counted == 70
    moving.close()


def test_the_probe_of_vca_up_knows_a_cluster(redis_cluster_server: str) -> None:
    assert redis_answers(redis_cluster_server)
    assert not redis_answers("redis://127.0.0.1:1/0?cluster=true")


async def test_the_doctor_looks_at_every_master(cluster: Any, redis_cluster_server: str) -> None:
    nodes = sorted(f"{node.host}:{node.port}" for node in cluster.get_primaries())
    odd = cluster.get_node(node_name=nodes[-1])
    cluster.config_set("maxmemory-policy", "allkeys-lru", target_nodes=odd)
    try:
        found = await examining.redis(Settings(redis_url=redis_cluster_server))
    finally:
        cluster.config_set("maxmemory-policy", "noeviction", target_nodes=odd)
    told = {each.name: (each.verdict, each.found) for each in found}
    assert told["cluster"] == ("OK", "ok, 3 masters")
    assert told["slots"] == ("OK", "16384 of 16384 slots assigned")
    assert told["replicas"] == ("WARN", f"none of {', '.join(nodes)}")
    assert told[f"eviction of {nodes[-1]}"] == ("WARN", "allkeys-lru")
    # Nothing is kept on disk here, by none of them.
    failed = {each.name for each in found if each.verdict == "FAIL"}
    assert failed == {f"append-only file of {node}" for node in nodes}
    assert told["role"] == ("OK", "master (3 masters)")


async def test_the_doctor_says_that_slots_are_missing_or_that_nobody_answers(
    cluster: Any, redis_cluster_server: str
) -> None:
    first, *_, last = sorted(cluster.get_primaries(), key=lambda node: node.port)
    cluster.execute_command("CLUSTER DELSLOTS", 16_383, target_nodes=last)
    try:
        # The node itself knows at once.
        url = redis_cluster_server.replace(str(first.port), str(last.port))
        found = {each.name: each for each in await examining.redis(Settings(redis_url=url))}
        assert (found["slots"].verdict, found["slots"].found) == ("FAIL", "16383 of 16384 slots assigned")
    finally:
        cluster.execute_command("CLUSTER ADDSLOTS", 16_383, target_nodes=last)
        deadline = time.monotonic() + 15
        while cluster.execute_command("CLUSTER INFO", target_nodes=last)["cluster_state"] != "ok":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    (away,) = await examining.redis(Settings(redis_url="redis://127.0.0.1:1/0?cluster=true"))
    assert (away.name, away.verdict) == ("reachable", "FAIL")


def test_a_node_of_a_cluster_is_reached_as_the_one_that_was_named() -> None:
    url = "rediss://user:secret@one:6379/0?ssl_ca_certs=/ca.pem"
    assert at_node(url, "10.0.0.2:7001") == "rediss://user:secret@10.0.0.2:7001/0?ssl_ca_certs=/ca.pem"
    assert at_node("redis://one:6379/0", "fd00::2:7001") == "redis://[fd00::2]:7001/0"


async def test_a_cluster_that_is_away_is_unavailable(redis: Any) -> None:
    lost = connect("redis://127.0.0.1:1/0?cluster=true", connect_timeout=0.5)
    with pytest.raises(Unavailable):
        await RedisLedgers(lost).claim(Partition("c", "t", 0))
    with pytest.raises(StoreUnavailableError):
        await Jobs(lost).find("exp_1")
    await lost.aclose()


async def test_a_store_that_answers_too_little_is_not_counted_as_away(redis: Any) -> None:
    told: list[tuple[str, bool]] = []

    def asked(store: str, seconds: float, answered: bool) -> None:
        assert seconds >= 0
        told.append((store, answered))

    away = connect("redis://127.0.0.1:1/0?cluster=true", connect_timeout=0.5)
    for client, why in ((redis, "no partition has live counters"), (away, "cannot be connected")):
        with pytest.raises(StoreUnavailableError, match=why):
            await RedisReader(client, None, on_query=asked).run_script("return 1", NOW)  # type: ignore[arg-type]
    await away.aclose()
    assert told == [("redis", True), ("redis", False)]


async def test_the_api_says_that_a_cluster_is_away() -> None:
    away = settings("redis://127.0.0.1:1/0?cluster=true", store_patience=0.5, rate_limit="none")
    async with serving(lambda: NOW, **away) as api:
        assert (await api.get(SUMMARY)).status_code == 503
