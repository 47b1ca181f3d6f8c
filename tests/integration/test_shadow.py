"""Roll-ups built beside and put in place hold what the raw rows say, and know every block of before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient

from deploy.operations.rebuilding import Rebuild, RebuildError, whole_months
from sinks.base import Block, Partition, Where
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse.audit import Audit
from sinks.clickhouse.kept import first_instant, gaps
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.rollups import ROLLUP_QUERIES
from sinks.clickhouse.shadow import Piece, Shadow
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.redis import keys
from sinks.redis.client import connect as connect_redis
from sinks.redis.ledger import RedisLedgers, ledger_key
from streams.domain.rows import PlaybackRow, UserRow
from tests.pipeline.bench import Log, view
from tests.pipeline.fold import fold_log

NOW = float(int(time.time()))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HERE = ("c", "playback.events", 0)
USERS = ("c", "user.events", 0)
#: What is wrong when `video_15m` is told too much: the days are fed by it.
VIDEOS = {"video_15m", "video_days", "all_videos_15m"}


class Tables:
    """A migrated database, and the sink that fills it."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        self.client, self.database = client, database
        self.blocks = ClickHouseBlocks(client)
        self.shadow = Shadow(client, database)
        self.audit = Audit(client, database)

    async def views(self, start: int, views: int, at: float = NOW - 600) -> Block:
        """Insert a block of whole views, six rows each, from an offset on."""
        log = Log(start=start)
        for n in range(views):
            for event in view(f"v{start}-{n}", int(at * 1000)):
                log.append(event, event["occurredAt"] + 20)
        rows = fold_log(log)
        return await self._insert(HERE, "playback_events", PlaybackRow, rows, start, start + len(rows))

    async def likes(self, start: int, count: int, kind: str = "video.like", at: float = NOW - 600) -> Block:
        """Insert a block of likes, which are all alike but for their ids."""
        rows = [
            UserRow(
                *(*USERS, offset, f"e{offset}", kind, round(at * 1000), round(at * 1000), 0),
                *("s", "u", True, "DE", "tv", "web", "vid", "", "organic"),
            )
            for offset in range(start, start + count)
        ]
        return await self._insert(USERS, "user_events", UserRow, rows, start, start + count)

    async def _insert(
        self, where: tuple[str, str, int], table: str, row: Any, rows: list[Any], start: int, end: int
    ) -> Block:
        chunk = self.blocks.encode(
            row,
            [
                msgspec.structs.replace(each, log=where[0], topic=where[1], partition=where[2])
                for each in rows
            ],
        )
        block = Block(Partition(*where), where[0], table, row, start, end, "m", len(rows), end, [chunk])
        await self.blocks.write(block)
        return block

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in (await self.client.query(sql)).result_rows]

    async def sums(self) -> list[tuple[Any, ...]]:
        return await self.ask("SELECT sum(views), sum(watched_ms), sum(likes) FROM video_15m")

    async def wrong(self) -> set[str]:
        """Return the roll-ups that are not what their views make of the raw rows."""
        return {q.table for q in ROLLUP_QUERIES if await self.audit.rollup(q, EPOCH)}

    async def rebuild(self, ends: dict[tuple[str, str, int], int], since: datetime = EPOCH) -> None:
        await self.shadow.create()
        for piece in await self.shadow.pieces():
            await self.shadow.fill(piece, ends)
        for table, partition, filled in await self.shadow.parts(since):
            await self.shadow.replace_partition(table, partition, filled)


@pytest.fixture
async def tables(clickhouse_server: str, clickhouse_database: str) -> AsyncIterator[Tables]:
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    migrate(url)
    client = await clickhouse.connect(url)
    found = Tables(client, clickhouse_database)
    yield found
    await found.shadow.drop()
    await client.close()


async def test_what_is_wrong_is_found_and_right_again_and_old_blocks_are_still_known(tables: Tables) -> None:
    block, other = await tables.views(0, 5), await tables.likes(0, 7)
    assert await tables.sums() == [(5, 20_000, 7)]
    assert await tables.wrong() == set()

    await tables.client.command("INSERT INTO video_15m (video_id, bucket, views) VALUES ('vid', now(), 3)")
    # Not TRUNCATE: with its parts a table forgets the blocks that made them.
    await tables.client.command("DELETE FROM view_starts WHERE 1", settings={"mutations_sync": 1})
    await tables.client.command("INSERT INTO signups VALUES (1, now64(3), 'made up')")
    assert await tables.wrong() == {*VIDEOS, "view_starts", "signups"}

    await tables.rebuild({HERE: 30, USERS: 7})
    assert await tables.wrong() == set()
    assert await tables.ask("SELECT count() FROM view_starts") == [(5,)]

    # A worker that slept, or an answer that was lost: the same blocks under the same tokens.
    for again in (block, other):
        await tables.blocks.write(again)
    assert await tables.sums() == [(5, 20_000, 7)]
    # And new ones count.
    await tables.views(30, 2)
    assert await tables.sums() == [(7, 28_000, 7)]
    assert await tables.wrong() == set()


async def test_what_depends_on_how_blocks_were_cut_is_held_between_the_least_and_the_most(
    tables: Tables,
) -> None:
    # Twelve rows of one session: a row of `activity` for each of the two blocks, twelve if each came alone.
    await tables.likes(0, 6)
    await tables.likes(6, 6)
    assert await tables.ask("SELECT sum(events) FROM activity_days") == [(2,)]
    assert await tables.wrong() == set()

    await tables.client.command("INSERT INTO activity_days SELECT max(day), 10 FROM activity_days")
    assert await tables.wrong() == set()
    await tables.client.command("INSERT INTO activity_days SELECT max(day), 1 FROM activity_days")
    (question,) = (each for each in ROLLUP_QUERIES if each.table == "activity_days")
    (found,) = (await tables.audit.rollup(question, EPOCH)).values()
    assert str(found).endswith("events: 13, but 1 to 12 by raw events")
    await tables.client.command("DELETE FROM activity_days WHERE 1", settings={"mutations_sync": 1})
    (found,) = (await tables.audit.rollup(question, EPOCH)).values()
    assert str(found).endswith("events: 0, but 1 to 12 by raw events")


async def test_rows_are_taken_in_by_offset_each_once_though_they_look_alike(tables: Tables) -> None:
    await tables.likes(0, 4)
    shadow = tables.shadow
    await shadow.create()
    for piece in await shadow.pieces():
        await shadow.fill(piece, {USERS: 2})
    await shadow.advance({USERS: 2}, {USERS: 3})
    await shadow.advance({USERS: 3}, {USERS: 4})
    await tables.likes(4, 5)
    found = await tables.ask(f"SELECT sum(likes) FROM {shadow.name}.user_actions_15m")
    assert found == [(4,)]
    assert await tables.ask(f"SELECT sum(likes) FROM {shadow.name}.video_15m") == [(4,)]


async def test_bounds_of_hundreds_of_partitions_are_told_to_clickhouse(tables: Tables) -> None:
    await tables.likes(0, 4)
    others = {(f"cluster-with-a-long-id-{n}", "user.events", n) for n in range(1, 1_200)}
    shadow = tables.shadow
    await shadow.create()
    for piece in await shadow.pieces():
        await shadow.fill(piece, {USERS: 2} | dict.fromkeys(others, 2))
    await shadow.advance({USERS: 2} | dict.fromkeys(others, 2), {USERS: 4} | dict.fromkeys(others, 9))
    assert await tables.ask(f"SELECT sum(likes) FROM {shadow.name}.user_actions_15m") == [(4,)]


async def test_what_raw_events_do_not_have_any_more_stays(tables: Tables) -> None:
    old = NOW - 100 * 86_400
    await tables.likes(0, 3, at=old)
    await tables.likes(3, 2, "user.signup", at=old)
    await tables.likes(5, 2, "user.signup")
    before = {
        table: await tables.ask(f"SELECT * FROM {table} ORDER BY ALL") for table in ("users", "signups")
    }
    await tables.client.command("TRUNCATE TABLE user_events")
    await tables.likes(10, 4)
    since = datetime.fromtimestamp(NOW, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if datetime.fromtimestamp(NOW - 600, UTC) < since:
        since -= timedelta(days=1)
    await tables.shadow.create()
    for piece in await tables.shadow.pieces():
        await tables.shadow.fill(piece, {})
    await tables.shadow.copy_old_rows(since)
    for table, partition, filled in await tables.shadow.parts(since):
        await tables.shadow.replace_partition(table, partition, filled)
    # Three likes of old times, four of now; sign-ups of now were not in the raw events.
    for table in ("user_actions_15m", "video_days", "all_videos_15m"):
        assert await tables.ask(f"SELECT sum(likes) FROM {table}") == [(7,)]
    assert await tables.ask("SELECT min(first_seen) FROM users") == [(before["users"][0][1],)]
    assert await tables.ask("SELECT count() FROM signups") == [(2,)]


class Silent:
    """Nobody is told anything."""

    def total(self, rows: int) -> None: ...
    def done(self, rows: int) -> None: ...
    def say(self, text: str) -> None: ...


async def test_a_block_in_doubt_that_no_worker_ends_stops_the_rebuild_and_nothing_is_changed(
    tables: Tables, redis_server: str
) -> None:
    redis = connect_redis(redis_server)
    try:
        block = await tables.views(0, 5)
        await tables.client.command(
            "INSERT INTO video_15m (video_id, bucket, views) VALUES ('vid', now(), 3)"
        )
        partition = Partition(f"c{uuid4().hex[:8]}", "playback.events", 0)
        ledgers = RedisLedgers(redis)
        ledger = await ledgers.claim(partition)
        await ledgers.rewrite(partition, replace(ledger, counted=30, block_from=0, block_to=0))
        doubt = replace(block, partition=partition)
        await ledgers.begin(doubt, ledger.epoch, "")
        with pytest.raises(RebuildError, match="no worker ends it; nothing was changed"):
            await Rebuild(redis, tables.shadow, partition.cluster, Silent(), drain=0.3).run(None)
        assert await tables.wrong() == VIDEOS
        # Inserts are not held any more, and the second database is gone.
        await ledgers.finish(doubt, ledger.epoch)
        await ledgers.begin(replace(doubt, start=30, end=31), ledger.epoch, "")
        assert await tables.ask(f"EXISTS DATABASE {tables.shadow.name}") == [(0,)]
    finally:
        await redis.aclose()


class Halting(Shadow):
    """Waits after its first piece."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        super().__init__(client, database)
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def fill(self, piece: Piece, ends: Mapping[Where, int]) -> None:
        await super().fill(piece, ends)
        self.reached.set()
        await self.go_on.wait()


async def begun(redis: Any, tables: Tables, cluster: str = "c") -> tuple[Halting, asyncio.Task[float]]:
    """Return a rebuild that waits after its first piece."""
    halting = Halting(tables.client, tables.database)
    running = asyncio.create_task(Rebuild(redis, halting, cluster, Silent()).run(None))
    await halting.reached.wait()
    return halting, running


async def test_a_second_rebuild_is_refused_while_one_is_running(tables: Tables, redis_server: str) -> None:
    redis = connect_redis(redis_server)
    try:
        await tables.views(0, 5)
        await tables.likes(0, 7)
        first, running = await begun(redis, tables)
        with pytest.raises(RebuildError, match="another .* is running"):
            await Rebuild(redis, tables.shadow, "c", Silent()).run(None)
        first.go_on.set()
        await running
        assert await tables.wrong() == set()
        assert await tables.sums() == [(5, 20_000, 7)]
        # It has come to its end.
        await Rebuild(redis, tables.shadow, "c", Silent()).run(None)
        assert await redis.exists(keys.REBUILD) == 0
    finally:
        await redis.aclose()


async def test_a_rebuild_that_stood_still_while_another_began_changes_nothing(
    tables: Tables, redis_server: str
) -> None:
    redis = connect_redis(redis_server)
    try:
        await tables.views(0, 5)
        await tables.likes(0, 7)
        frozen, running = await begun(redis, tables)
        # Its turn has expired.
        await redis.hset(keys.REBUILD, "hold_until", 0)
        other, later = await begun(redis, tables)
        frozen.go_on.set()
        with pytest.raises(RebuildError, match="nothing was changed"):
            await running
        # Neither its database nor its turn is ended by the one before.
        other.go_on.set()
        await later
        assert await tables.wrong() == set()
        assert await tables.sums() == [(5, 20_000, 7)]
    finally:
        await redis.aclose()


async def test_a_log_that_is_new_since_a_rebuild_began_stops_it_and_nothing_is_changed(
    tables: Tables, redis_server: str
) -> None:
    redis = connect_redis(redis_server)
    new = Partition(f"c{uuid4().hex[:8]}", "playback.events", 0)
    try:
        await tables.views(0, 5)
        await tables.client.command(
            "INSERT INTO video_15m (video_id, bucket, views) VALUES ('vid', now(), 3)"
        )
        halting, running = await begun(redis, tables, new.cluster)
        await RedisLedgers(redis).claim(new)
        halting.go_on.set()
        with pytest.raises(RebuildError, match=f"{new.cluster}.* is new since.*nothing was changed"):
            await running
        assert await tables.wrong() == VIDEOS
        assert await tables.ask(f"EXISTS DATABASE {tables.shadow.name}") == [(0,)]
    finally:
        await redis.delete(ledger_key(new))
        await redis.aclose()


class Slow(Shadow):
    """Loses the hold of a ledger while it puts the first month in place."""

    def __init__(self, client: AsyncClient, database: str, redis: Any, ledger: str) -> None:
        super().__init__(client, database)
        self._redis, self._ledger = redis, ledger

    async def replace_partition(self, table: str, partition: str, filled: bool) -> None:
        await self._redis.hset(self._ledger, "hold_until", 0)
        await super().replace_partition(table, partition, filled)


async def test_a_hold_that_expired_while_months_were_put_in_place_is_told(
    tables: Tables, redis_server: str
) -> None:
    redis = connect_redis(redis_server)
    partition = Partition(f"c{uuid4().hex[:8]}", "playback.events", 0)
    try:
        await tables.views(0, 5)
        await RedisLedgers(redis).claim(partition)
        slow = Slow(tables.client, tables.database, redis, ledger_key(partition))
        with pytest.raises(RebuildError, match="rows of that time may be missing.*run this again"):
            await Rebuild(redis, slow, partition.cluster, Silent()).run(None)
        # No hold is left, and nothing hinders the next run.
        assert not await redis.hexists(ledger_key(partition), "hold")
        await Rebuild(redis, tables.shadow, partition.cluster, Silent()).run(None)
        assert await tables.wrong() == set()
    finally:
        await redis.delete(ledger_key(partition))
        await redis.aclose()


async def test_a_block_that_a_cluster_of_before_left_in_doubt_is_rolled_up(
    tables: Tables, redis_server: str
) -> None:
    redis = connect_redis(redis_server)
    partition = Partition(*HERE)
    try:
        block = await tables.views(0, 5)
        later = await tables.views(30, 2)
        ledgers = RedisLedgers(redis)
        ledger = await ledgers.claim(partition)
        await ledgers.rewrite(partition, replace(ledger, counted=42, block_from=0, block_to=block.end))
        # The worker was ended between the insert and the ledger, and then Kafka was another one.
        await ledgers.begin(later, ledger.epoch, "")
        await Rebuild(redis, tables.shadow, f"c{uuid4().hex[:8]}", Silent()).run(None)
        assert await tables.wrong() == set()
        assert await tables.sums() == [(7, 28_000, 0)]
    finally:
        await redis.delete(ledger_key(partition))
        await redis.aclose()


async def test_who_was_seen_before_all_that_is_kept_is_known_after_a_rebuild(
    tables: Tables, redis_server: str
) -> None:
    """With one retention for raw events and roll-ups, only `users` and `signups` know of older times."""
    redis = connect_redis(redis_server)
    try:
        await tables.likes(0, 2, "user.signup", at=NOW - 100 * 86_400)
        await tables.likes(2, 1)
        first_seen = "SELECT min(first_seen) FROM users"
        known = await tables.ask(first_seen)
        for table, at in (
            ("user_events", "occurred_at"),
            ("user_days", "day"),
            ("session_days", "day"),
            ("activity_days", "day"),
        ):
            # As the TTLs do.
            await tables.client.command(f"DELETE FROM {table} WHERE {at} < now() - INTERVAL 90 DAY")
        since = whole_months(await first_instant(tables.client), 90, datetime.fromtimestamp(NOW, UTC))
        assert since is not None
        await Rebuild(redis, tables.shadow, f"c{uuid4().hex[:8]}", Silent()).run(since)
        assert await tables.ask(first_seen) == known
        assert await tables.ask("SELECT count() FROM signups") == [(2,)]
    finally:
        await redis.aclose()


@pytest.mark.parametrize("kept_days", [60, 0])
async def test_months_whose_raw_events_are_gone_stay_whatever_the_settings_say(
    tables: Tables, redis_server: str, kept_days: int
) -> None:
    """The tables keep raw events for a shorter time than this machine's setting, or did until lately."""
    redis = connect_redis(redis_server)
    try:
        for number, days in enumerate((100, 70, 1)):
            await tables.likes(2 * number, 2, at=NOW - days * 86_400)
        assert await gaps(tables.client) == []
        await tables.client.command(
            "DELETE FROM user_events WHERE occurred_at < now() - INTERVAL {days:Int64} DAY",
            parameters={"days": kept_days},
        )
        kept = await tables.sums()

        async def rebuild() -> None:
            first, now = await first_instant(tables.client), datetime.fromtimestamp(NOW, UTC)
            since = whole_months(first, 180, now, await gaps(tables.client))
            await Rebuild(redis, tables.shadow, f"c{uuid4().hex[:8]}", Silent()).run(since)

        if kept_days:
            await rebuild()
        else:
            with pytest.raises(RebuildError, match="A raw table is empty"):
                await rebuild()
        assert await tables.sums() == kept == [(0, 0, 6)]
    finally:
        await redis.aclose()
