"""What older versions left in Redis is read, and gone on with (tests/frozen/README.md says who wrote it)."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from api.exports.jobs import Jobs, Status
from api.exports.orders import from_json as read_order
from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.base import BlockId, Books, Held, LiveBatch, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.redis.bundles import RedisBundles
from sinks.redis.holds import HeldByAnother, Holds
from sinks.redis.ledger import RedisLedgers, ledger_key, read_ledgers
from sinks.redis.sink import RedisLive
from streams.domain.aggregate import Live
from streams.ledger import is_bundle_in_doubt, plan_recovery
from tests.pipeline.fold import block_of
from tests.readings.stores import serving

FROZEN = Path(__file__).parents[1] / "frozen"
PARTITION = Partition("oldCluster", "playback.events", 0)
#: The block in doubt, and up to where rows are in.
START, END, LANDED = 9, 18, 9
SECRET = "vca_frozenfrozenfrozenfrozenfrozenfr"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield a Redis of its own: what was left is all that there is."""
    folder = tmp_path_factory.mktemp("frozen")
    redis = servers.redis(free_port(), folder / "data")
    child = servers.start(redis, folder)
    yield redis.address
    child.kill()


def value_of(kept: Any) -> Any:
    return base64.b64decode(kept["base64"]) if isinstance(kept, dict) else kept


@pytest_asyncio.fixture(params=["before_bundles", "with_bundles"])
async def left(request: pytest.FixtureRequest, server: str) -> AsyncIterator[tuple[Redis, dict[str, Any]]]:
    """Put what a build left into Redis; yield a client, and what is known of it."""
    world = json.loads((FROZEN / f"{request.param}.json").read_text())
    redis = Redis.from_url(server)
    await redis.flushall()
    for key, ((kind, kept),) in ((key, held.items()) for key, held in world["keys"].items()):
        if kind == "hash":
            await redis.hset(key, mapping={name: value_of(value) for name, value in kept.items()})
        elif kind == "zset":
            await redis.zadd(key, dict(kept))
        elif kind == "set":
            await redis.sadd(key, *kept)
        else:
            await redis.set(key, value_of(kept))
    yield redis, {**world, "name": request.param}
    await redis.aclose()


async def test_a_ledger_tells_where_to_go_on_and_takes_what_comes_next(
    left: tuple[Redis, dict[str, Any]],
) -> None:
    redis, _ = left
    ledgers = RedisLedgers(redis)
    (found,) = (await read_ledgers(redis)).items()
    assert found[0] == PARTITION and found[1][1] == Books(read=18, stored=18)
    ledger = await ledgers.claim(PARTITION)
    assert (ledger.topic_ids, ledger.incarnation, ledger.generation) == (("Rd_YqMOoQwai-2ObnPBiuw",), 0, 0)
    going_on = plan_recovery(ledger, LANDED)
    assert (going_on.why, going_on.position, going_on.mark) == ("resume", START, "m9")
    assert going_on.pending_block == (START, END)
    block = replace(block_of(PARTITION, [], START, END), log=PARTITION.cluster)
    await ledgers.begin(block, ledger.epoch, going_on.mark)
    await ledgers.finish(block, ledger.epoch)
    live = RedisLive(redis)
    await live.write(
        LiveBatch(PARTITION, ledger.epoch, ledger.generation, END, 20, "m", Live(), Books(read=2, repeated=2))
    )
    after = await ledgers.read(PARTITION)
    assert (after.done, after.block_to, after.counted, after.bundle) == (True, END, 20, "")
    ((_, books),) = (await read_ledgers(redis)).values()
    assert books == Books(read=20, stored=18, repeated=2)


async def test_a_hold_is_kept_and_ends(left: tuple[Redis, dict[str, Any]]) -> None:
    redis, _ = left
    ledgers = RedisLedgers(redis)
    # As `vca rebuild` of both builds writes it; when it ends is told in milliseconds.
    until = int(time.time() * 1000) + 60_000
    await redis.hset(ledger_key(PARTITION), mapping={"hold": "rebuild 18b0c2d3e4f5a6b7", "hold_until": until})
    ledger = await ledgers.claim(PARTITION)
    in_doubt = replace(block_of(PARTITION, [], START, END), log=PARTITION.cluster)
    await ledgers.begin(in_doubt, ledger.epoch, "m9")
    await ledgers.finish(in_doubt, ledger.epoch)
    following = replace(in_doubt, start=END, end=20)
    with pytest.raises(Held):
        await ledgers.begin(following, ledger.epoch, "m18")
    with pytest.raises(HeldByAnother, match="rebuild 18b0c2d3e4f5a6b7"):
        await Holds(redis, "another").take([PARTITION])
    await redis.hset(ledger_key(PARTITION), "hold_until", until - 120_000)
    await ledgers.begin(following, ledger.epoch, "m18")
    assert (await ledgers.read(PARTITION)).block_to == 20


async def test_a_bundle_is_settled_and_sent_once(
    left: tuple[Redis, dict[str, Any]], clickhouse_server: str, clickhouse_database: str
) -> None:
    redis, world = left
    ledger = await RedisLedgers(redis).claim(PARTITION)
    if world["name"] == "before_bundles":
        assert not ledger.bundle and not is_bundle_in_doubt(ledger, LANDED)
        return
    assert is_bundle_in_doubt(ledger, LANDED)
    bundles = RedisBundles(redis)
    assert await bundles.settle("bundle:2c0a97d3993346f49193ed7cbd2fb5dc") is None
    bundle = await bundles.settle(ledger.bundle)
    assert bundle is not None and bundle.blocks == (BlockId(PARTITION.cluster, PARTITION, START, END),)
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    migrate(url)
    async with await connect(url) as client:
        for _ in range(2):
            await ClickHouseBlocks(client).send(ledger.bundle, bundle.packed)
        found = await client.query(
            "SELECT count(), min(offset), max(offset), uniqExact(view_id), any(video_id) FROM playback_events"
        )
    assert found.result_rows == [(world["block_rows"], START, END - 1, 2, "vid")]


async def test_live_counters_and_keys_are_known_to_the_api(
    left: tuple[Redis, dict[str, Any]], server: str, clickhouse_server: str, clickhouse_database: str
) -> None:
    _, world = left
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    migrate(url)
    now = datetime.fromtimestamp(world["seen_ms"] / 1000 + 1, UTC)
    settings = {"redis_url": server, "clickhouse_url": url, "require_key": True}
    async with serving(lambda: now, **settings) as api:
        assert (await api.get("/analytics/live")).status_code == 401
        api.client.headers["Authorization"] = f"Bearer {SECRET}"
        live = await api.data("/analytics/live")
        assert live["concurrentViewers"] == 3
        assert sum(minute["views"] for minute in live["timeline"]) == 3
        # A moment later the minute is over, and Redis alone answers for the hour.
    later = datetime.fromtimestamp((world["minute"] + 1) * 60, UTC)
    async with serving(lambda: later, **settings) as api:
        api.client.headers["Authorization"] = f"Bearer {SECRET}"
        answer = await api.answer("/analytics/videos/vid", period="1h")
        assert answer["meta"]["source"] == "redis"
        assert (answer["data"]["views"]["total"], answer["data"]["views"]["unique"]) == (3, 3)


async def test_exports_are_there_and_those_that_wait_are_made(left: tuple[Redis, dict[str, Any]]) -> None:
    jobs = Jobs(left[0])
    done = await jobs.find("exp_done")
    assert done is not None
    assert (done.status, done.rows, done.bytes, done.extension) == (Status.COMPLETED, 85, 12_224, "csv")
    taken = await jobs.take()
    assert taken is not None and taken.id == "exp_queued"
    order = read_order(taken.order)
    assert (order.kind, order.metrics, order.format) == ("video", ("views", "engagement"), "csv")
    assert order.window.start == datetime(2026, 11, 23, tzinfo=UTC)
    assert order.window.zone.key == "Europe/Berlin"
    assert await jobs.complete(taken.id, 1, 2)
    assert await jobs.secret() == left[1]["keys"]["vc:{exports}:secret"]["string"]
