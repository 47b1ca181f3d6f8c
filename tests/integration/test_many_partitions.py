"""What reading the live counters of many partitions costs Redis, of which few have anything to read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.redis.client import connect
from sinks.redis.live_reader import RedisLiveReader
from sinks.redis.reader import RedisReader
from streams.domain.live import last_hour
from streams.domain.rows import Row
from streams.domain.timeline import GroupBy, timeline
from streams.domain.windows import UTC_ZONE, named
from tests.readings import rows as make
from tests.readings.catalogs import LiveOnly
from tests.readings.stores import count

#: In the future, since Redis forgets minutes by its own clock.
NOW = datetime(2050, 3, 30, 14, 5, 27, 312_000, UTC)
#: Of playback, and as many of users, which have no counters at all.
PARTITIONS = 20


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a Redis that belongs to one test."""
    server = servers.redis(free_port(), tmp_path / "redis")
    child = servers.start(server, tmp_path)
    yield server.address
    child.kill()


async def _reads(redis: Redis) -> int:
    stats: dict[str, Any] = await redis.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("hmget", "hgetall", "sunion"))


@pytest.mark.parametrize("what", ["live", "video live", "video"])
async def test_partitions_without_anything_to_read_cost_redis_little(redis_url: str, what: str) -> None:
    redis = connect(redis_url)
    made: list[Row] = [
        make.view("seen", NOW, view_id=f"view-{n}", user_id=f"u{n}") for n in range(PARTITIONS)
    ]
    made += [make.view("rare", NOW, view_id="one")]
    for number, row in enumerate(made):
        row.offset = number
    await count(redis_url, made, NOW, partitions=PARTITIONS)
    reader, hour = RedisReader(redis, LiveOnly()), named("1h", zone=UTC_ZONE, now=NOW)
    live = RedisLiveReader(reader)
    before = await _reads(redis)
    if what == "live":
        found = (await live.everything(last_hour(NOW))).minutes
        views, reading = sum(minute["views"] for minute in found.values()), PARTITIONS
    elif what == "video live":
        found = (await live.video("rare", last_hour(NOW))).minutes
        views, reading = sum(minute["views"] for minute in found.values()), 1
    else:
        answer = await reader.video("rare", hour, timeline(hour, GroupBy.HOUR), ("views",), False)
        views, reading = answer.total["views"], 1
        assert answer.unique == 1
    assert views == (PARTITIONS + 1 if what == "live" else 1)
    # Each script reads its ledger; those of partitions with something read every minute of the hour.
    scripts = 3 if what == "live" else 1
    assert await _reads(redis) - before <= scripts * 2 * PARTITIONS + reading * 65
    await redis.aclose()
