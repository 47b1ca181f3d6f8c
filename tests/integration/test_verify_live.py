"""`vca verify` compares live counters with the raw events of all that a topic was."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from deploy.operations.verifying import Verification
from sinks.base import Books, Ledger, LiveBatch, Partition
from sinks.clickhouse.audit import Audit
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.migrator import migrate
from sinks.redis.client import connect as connect_redis
from sinks.redis.ledger import RedisLedgers
from sinks.redis.sink import RedisLive
from streams.domain.aggregate import fold_playback
from streams.settings import Settings
from tests.readings import rows as make
from tests.readings.stores import insert


async def test_events_of_a_topic_before_it_was_created_anew_are_no_difference(
    redis_server: str, clickhouse_server: str, clickhouse_database: str
) -> None:
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    await asyncio.to_thread(migrate, url)
    now = datetime.now(UTC)
    views = [make.view("v", now - timedelta(minutes=minutes)) for minutes in (5, 6)]
    await insert(url, views)
    redis, clickhouse = connect_redis(redis_server), await connect_clickhouse(url)
    partition = Partition("test", "playback.events", 0)
    try:
        ledgers = RedisLedgers(redis)
        epoch = (await ledgers.claim(partition)).epoch
        # The rows are of the first incarnation, and the worker counted them again for the second.
        ledger = Ledger(epoch=epoch, incarnation=1, generation=7, counted=0, block_from=0, block_to=2)
        await ledgers.rewrite(partition, ledger)
        live = fold_playback(views, int(now.timestamp()) // 60 - 120)
        counters = RedisLive(redis, now.timestamp)
        await counters.write(LiveBatch(partition, epoch, 7, 0, 1, "", live, Books()))
        verification = Verification(
            Settings(), "test", redis, clickhouse, Audit(clickhouse, clickhouse_database)
        )
        check = await verification._live()
        assert check.compared == 1 and check.differences == []
        await counters.write(LiveBatch(partition, epoch, 7, 1, 2, "", live, Books()))
        assert "views of video v: 2 in Redis, 1 by raw events" in " ".join(
            (await verification._live()).differences
        )
    finally:
        await redis.unlink("vc:{test/playback.events/0}:ledger")
        await clickhouse.close()
        await redis.aclose()
