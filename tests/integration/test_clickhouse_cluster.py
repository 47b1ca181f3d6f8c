"""The tables of a cluster, run as far as one server can: what is inserted and asked goes through them.

What one server cannot show (replicas, Keeper, the way to another node) is said in docs/clickhouse-cluster.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.httpclient import HttpClient

from deploy.operations.rebuilding import Rebuild, RebuildError
from sinks.base import Block, Partition, Unavailable
from sinks.clickhouse import sink as sinks
from sinks.clickhouse.analyst import admit
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.audit import Audit
from sinks.clickhouse.client import READING, connect
from sinks.clickhouse.cluster import Cluster
from sinks.clickhouse.day_cache import DayCache
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.migrator import migrate, migrations
from sinks.clickhouse.native_writer import Columns
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.replicas import CONSISTENT
from sinks.clickhouse.rollups import ROLLUP_QUERIES
from sinks.clickhouse.shadow import Shadow
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.clickhouse.user_reader import ClickHouseUsers
from sinks.redis.client import connect as connect_redis
from streams.domain.errors import MigrationError
from streams.domain.rows import PlaybackRow
from streams.domain.windows import named
from tests.audience.landing import land
from tests.audience.world import now_of, people, services
from tests.readings import rows as make
from tests.readings.stores import insert, serving
from tests.servers.clickhouse_cluster import (
    ONE,
    TWO,
    alone,
    clickhouse_cluster,
    lay,
    lay_over,
    send,
    statements,
)

NOW = now_of("2024-03-30T14:05:27")
OLD = "start=2024-02-01T00:00:07Z&end=2024-03-30T09:13:21Z"
AT_ONCE = {"mutations_sync": 2}
ASKED = [
    f"/analytics/{path}{'&' if '?' in path else '?'}{window}"
    for path in (
        "videos/summary",
        "videos/clip",
        "users?metrics=activity,growth,retention",
        "users/engagement",
        "system/health",
        "system/performance",
    )
    for window in ("period=7d", "period=30d&timezone=America/New_York", OLD)
] + ["/analytics/live", "/analytics/videos/clip/live"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


def rows() -> list[Any]:
    recent = NOW - timedelta(hours=3)
    return [
        make.view("clip", recent, d_completions=1),
        make.view("clip", NOW - timedelta(minutes=4), user_id="other"),
        make.view("clip", recent - timedelta(days=9)),
        make.heartbeat("clip", NOW - timedelta(seconds=9), 12.5),
        make.reaction("clip", recent),
        make.listed("clip", "A clip", NOW - timedelta(days=30)),
        make.listed("stage", "A stage", NOW - timedelta(days=30), live=True),
    ]


async def fill(url: str) -> None:
    rng = Random(11)
    await land(url, people(rng, NOW, sessions=120) + services(rng, NOW, events=400), rng)
    await insert(url, rows())


@pytest.fixture(scope="module")
def databases(server: str) -> dict[str, str]:
    """Make the same world three times: on a server, on one shard, and on two that both have all of it."""
    plain = f"{server}/plain"
    migrate(plain, raw_retention_days=18_000, rollup_retention_days=18_000)
    one = lay(server, ONE, "sharded")
    for url in (plain, one):
        asyncio.run(fill(url))
    return {"plain": plain, ONE: one, TWO: lay_over(server, TWO, "doubled", "sharded")}


async def answers(url: str) -> dict[str, Any]:
    nowhere = "redis://127.0.0.1:1/0"
    async with serving(lambda: NOW, clickhouse_url=url, redis_url=nowhere, store_patience=5) as api:
        return {question: await api.data(question) for question in ASKED}


async def test_every_question_is_answered_through_the_cluster_as_by_one_server(
    databases: dict[str, str],
) -> None:
    plain, sharded = await answers(databases["plain"]), await answers(databases[ONE])
    assert plain["/analytics/videos/clip?period=7d"]["views"]["total"] == 2
    assert sharded == plain


async def test_shards_are_merged_before_anything_is_counted_once(databases: dict[str, str]) -> None:
    """Both shards hold every row: sums double, and what is distinct does not."""
    plain, doubled = await answers(databases["plain"]), await answers(databases[TWO])
    video = "/analytics/videos/clip?period=7d"
    assert doubled[video]["views"]["total"] == 2 * plain[video]["views"]["total"]
    assert doubled[video]["views"]["unique"] == plain[video]["views"]["unique"]
    users = "/analytics/users?metrics=activity,growth,retention&period=30d&timezone=America/New_York"
    for part in ("activeUsers", "growth", "retention"):
        assert doubled[users].get(part) == plain[users].get(part)
    assert (
        doubled["/analytics/live"]["concurrentViewers"] == plain["/analytics/live"]["concurrentViewers"] > 0
    )
    jobs = "/analytics/system/performance?period=30d&timezone=America/New_York"
    assert doubled[jobs]["processing"].keys() == plain[jobs]["processing"].keys()
    for kind, there in doubled[jobs]["processing"].items():
        here = plain[jobs]["processing"][kind]
        assert {name: there[name] for name in there if name in ("queued", "started")} == {
            name: here[name] for name in here if name in ("queued", "started")
        }


@pytest.mark.parametrize("which", ["plain", ONE, TWO])
async def test_memory_tells_what_the_shards_tell(databases: dict[str, str], which: str) -> None:
    looks: list[bool] = []
    store = ClickHouseReader(databases[which])
    memory = KnownAudience(store, KnownCache(1 << 24, on_lookup=looks.append))
    told = ClickHouseUsers(store, DayCache(store, settle_seconds=0, quiet_seconds=0), memory)
    asked = ClickHouseUsers(store)
    window = named("30d", zone=ZoneInfo("America/New_York"), now=NOW)
    try:
        split = await told.prefetch_split(NOW)
        assert split is not None
        await told.prefetch(window, ("activity", "growth", "retention", "engagement"), split)
        assert await told.activity(window) == await asked.activity(window)
        assert await told.growth(window) == await asked.growth(window)
        assert await told.retention(window) == await asked.retention(window)
        assert await told.engagement(window) == await asked.engagement(window)
    finally:
        await store.close()
    assert looks
    assert all(looks)


async def test_roll_ups_are_verified_over_all_shards(databases: dict[str, str]) -> None:
    client = await connect(databases[ONE], settings=READING)
    audit, since = Audit(client, databases[ONE].rpartition("/")[2]), NOW - timedelta(days=100)
    try:
        for question in ROLLUP_QUERIES:
            assert await audit.rollup(question, since) == {}, question.table
        # It would have found what is missing.
        await client.command("ALTER TABLE view_starts_local DELETE WHERE user_id = 'other'", settings=AT_ONCE)
        (starts,) = (question for question in ROLLUP_QUERIES if question.table == "view_starts")
        assert await audit.rollup(starts, since) != {}
    finally:
        await client.close()


async def test_a_cluster_is_not_rebuilt_as_if_it_were_one_server(
    databases: dict[str, str], redis_server: str
) -> None:
    client, redis = await connect(databases[ONE]), connect_redis(redis_server)
    try:
        rebuild = Rebuild(redis, Shadow(client, databases[ONE].rpartition("/")[2]), "cluster", NoSteps())
        with pytest.raises(RebuildError, match="Re-process"):
            await rebuild.run(None)
    finally:
        await client.close()
        await redis.aclose()


class NoSteps:
    """Shows nothing."""

    def total(self, rows: int) -> None:
        raise AssertionError("nothing is to be done")

    done = total

    def say(self, text: str) -> None:
        raise AssertionError(text)


@pytest.fixture
def local_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block take the short way, for want of another node to take the long one to."""
    monkeypatch.setitem(sinks.SHARDED, "prefer_localhost_replica", 1)


@pytest_asyncio.fixture
async def client(server: str) -> AsyncIterator[Any]:
    """Yield a client of an empty database on one shard."""
    url = lay(server, ONE, f"empty_{uuid4().hex[:8]}")
    client = await connect(url, settings=CONSISTENT)
    yield client
    await client.close()


def block(shard: int) -> Block:
    """Return a block of the world's playback rows; its token is another one with every call."""
    some = [row for row in rows() if isinstance(row, PlaybackRow)]
    start, end = some[0].offset, some[-1].offset + 1
    partition = Partition("test", some[0].topic, some[0].partition)
    chunks = [Columns(PlaybackRow).encode(some)]
    return Block(
        partition, "test", "playback_events", PlaybackRow, start, end, "", len(some), end, chunks, shard
    )


async def counts(client: Any) -> list[int]:
    tables = ("playback_events", "video_15m", "view_starts", "user_days", "session_days")
    answers = [await client.query(f"SELECT count() FROM {table}_local") for table in tables]
    return [int(answer.result_rows[0][0]) for answer in answers]


async def test_a_block_counts_once_in_every_table_of_its_shard(client: Any, local_path: None) -> None:
    blocks = ClickHouseBlocks(client, ONE)
    sent = block(1)
    await blocks.write(sent)
    once = await counts(client)
    assert min(once) > 0
    await blocks.write(sent)
    await blocks.write(sent)
    assert await counts(client) == once
    await blocks.write(block(1))
    assert (await counts(client))[0] == 2 * once[0]


async def test_blocks_of_several_partitions_count_once_in_every_table_of_their_shard(
    client: Any, local_path: None
) -> None:
    blocks, sent = ClickHouseBlocks(client, ONE), [block(1), block(1)]
    packed = blocks.pack(sent)
    await blocks.send("bundle:1", packed)
    once = await counts(client)
    assert once[0] == sum(each.rows for each in sent)
    await blocks.send("bundle:1", packed)
    assert await counts(client) == once


async def test_a_partition_stays_on_the_shard_that_has_its_rows(client: Any, local_path: None) -> None:
    alone, blocks = ClickHouseBlocks(client), ClickHouseBlocks(client, TWO)
    assert await alone.find_shard("test", "playback.events", 3) == 0
    fresh = [await blocks.find_shard("test", "playback.events", number) for number in range(6)]
    assert sorted(fresh) == [1, 1, 1, 2, 2, 2]
    sent, elsewhere = block(1), 0
    there = sent.partition
    while await blocks.find_shard("test", f"topic {elsewhere}", there.number) == 1:
        elsewhere += 1
    await ClickHouseBlocks(client, ONE).write(sent)
    assert await blocks.find_shard("test", there.topic, there.number) == 1
    archive = ClickHouseArchive(client)
    assert await archive.next_offset("test", there.topic, there.number) == sent.end
    place = ("test", there.topic, there.number)
    assert await archive.ends([place]) == {place: sent.end}


async def test_a_block_goes_the_way_that_every_try_goes(client: Any) -> None:
    # The shard is this server, and nobody listens where it would send the block to.
    with pytest.raises(Unavailable, match="127.0.0.1:9000"):
        await ClickHouseBlocks(client, ONE).write(block(1))
    assert max(await counts(client)) == 0


async def test_a_block_without_a_shard_is_refused_not_split(server: str, databases: dict[str, str]) -> None:
    client = await connect(databases[TWO])
    with pytest.raises(DatabaseError, match="more than one shard and no sharding key"):
        await ClickHouseBlocks(client).write(replace(block(0)))
    with pytest.raises(DatabaseError, match="Shard id should be range"):
        await ClickHouseBlocks(client, TWO).write(block(3))
    with pytest.raises(DatabaseError, match="Shard id should be range"):
        await ClickHouseBlocks(client, TWO).send("bundle:1", ClickHouseBlocks(client, TWO).pack([block(3)]))
    await client.close()


def test_every_statement_for_a_real_cluster_is_sound_sql(server: str) -> None:
    sent = statements("analytics", "videocloud")
    assert len(sent) > 40
    for statement in sent:
        told = send(server, f"EXPLAIN AST {statement}")
        # The stand-in shows nothing of an INSERT; one that does not parse is an error here as well.
        assert told.strip() or "INSERT INTO" in statement, statement
    with pytest.raises(HTTPError):
        send(server, "EXPLAIN AST INSERT INTO video_days SELECT FROM WHERE")


def test_a_fill_puts_what_all_shards_have_on_one(server: str, databases: dict[str, str]) -> None:
    name = databases[ONE].rpartition("/")[2]
    statement = "INSERT INTO signups SELECT user + 1, signed_up, source FROM signups"
    (fill,) = Cluster(ONE, name).spread(statement, frozenset({"signups"}))
    here = f"{server}/?database={name}"
    before = int(send(here, "SELECT count() FROM signups"))
    send(here, fill)
    assert int(send(here, "SELECT count() FROM signups")) == 2 * before > 0


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run statements as on a server without Keeper; return those that are no SELECT, as they were sent."""
    command, found = HttpClient.command, list[str]()

    def run_alone(self: HttpClient, cmd: str, *arguments: Any, **others: Any) -> Any:
        if not cmd.startswith("SELECT"):
            found.append(cmd)
        return command(self, alone(cmd), *arguments, **others)

    monkeypatch.setattr(HttpClient, "command", run_alone)
    return found


def shape(server: str, database: str) -> str:
    """Return how every table of a database is made, but for those that record the migrations."""
    made = send(
        server,
        f"SELECT name, create_table_query FROM system.tables WHERE database = '{database}'"
        " AND name != 'schema_migrations' ORDER BY name FORMAT TSV",
    )
    return made.replace(database, "db")


def test_a_cluster_is_migrated_once_and_on_every_node(server: str, sent: list[str]) -> None:
    name = f"migrated_{uuid4().hex[:8]}"
    options = {"cluster": ONE, "raw_retention_days": 18_000, "rollup_retention_days": 18_000}
    options |= {"deduplication_window": 1000, "analyst_password": "it's"}
    applied: Any = migrate(f"{server}/{name}", **options)  # type: ignore[arg-type]
    assert applied == [migration.name for migration in migrations()]
    changes = [each for each in sent if not each.lstrip().startswith("INSERT INTO")]
    assert len(changes) > 40
    assert [each for each in changes if f"ON CLUSTER '{ONE}'" not in each] == []
    lay(server, ONE, laid := f"laid_{uuid4().hex[:8]}")
    assert shape(server, name) == shape(server, laid)
    sent.clear()
    assert migrate(f"{server}/{name}", **options) == []  # type: ignore[arg-type]
    # The database, the analyst (whom this server refuses), and the table of migrations.
    assert len(sent) == 3


def test_the_migration_of_a_cluster_may_be_killed_at_any_statement(
    server: str, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    run_alone, left = HttpClient.command, 0

    def until_killed(self: HttpClient, cmd: str, *arguments: Any, **others: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return run_alone(self, cmd, *arguments, **others)

    whole, killed = f"whole_{uuid4().hex[:8]}", f"killed_{uuid4().hex[:8]}"
    migrate(f"{server}/{whole}", cluster=ONE)
    monkeypatch.setattr(HttpClient, "command", until_killed)
    for statements_done in range(1, 400, 11):
        left = statements_done
        try:
            migrate(f"{server}/{killed}", cluster=ONE)
        except Killed:
            continue
        break
    else:
        pytest.fail("it never came to its end")
    left = -1
    assert migrate(f"{server}/{killed}", cluster=ONE) == []
    assert shape(server, killed) == shape(server, whole)


def test_a_cluster_that_is_not_set_up_gets_nothing(server: str, sent: list[str]) -> None:
    with pytest.raises(MigrationError, match="knows no cluster 'other'"):
        migrate(f"{server}/refused", cluster="other", analyst_password="any")
    assert sent == []


def test_the_analyst_of_a_cluster_is_made_on_every_node_by_sound_sql(server: str) -> None:
    told: list[str] = []
    recording: Any = SimpleNamespace(command=told.append)
    assert admit(recording, "videocloud", r"a 'quoted\ one", f"ON CLUSTER '{ONE}'")
    assert len(told) == 6
    for statement in told:
        assert f" ON CLUSTER '{ONE}' " in statement
        assert send(server, f"EXPLAIN AST {statement}").strip(), statement
