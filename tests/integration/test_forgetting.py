"""`vca forget`: of a person nothing is left in any table, of everybody else everything, and books balance."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from deploy.operations import forget_command
from deploy.operations.forget_command import ForgetError
from deploy.operations.progress import Bar
from deploy.operations.rebuilding import Rebuild, RebuildError
from deploy.operations.verify import kept_sums, raw_rows
from sinks.base import Unavailable
from sinks.clickhouse.audit import Audit, Difference
from sinks.clickhouse.client import READING, connect
from sinks.clickhouse.forgetting import (
    PERSONAL,
    Forgetting,
    MutationFailedError,
    cluster_of,
    hashes_of,
    is_rebuilt,
)
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.rollups import ROLLUP_QUERIES, SUMS
from sinks.clickhouse.shadow import Shadow
from sinks.redis import keys
from sinks.redis.client import connect as connect_redis
from sinks.redis.holds import Turn
from streams.settings import Settings
from tests.audience.landing import land
from tests.audience.world import now_of, people, services
from tests.oracle.log import PLAYBACK, USERS, Accepted, user_of
from tests.readings import rows as make
from tests.readings.stores import insert
from tests.servers.clickhouse_cluster import ONE, clickhouse_cluster, lay

#: In the future, so that no retention touches the rows.
NOW = now_of("2050-11-20T08:07:41.250")
EARLY, EPOCH = NOW - timedelta(days=100), datetime(1970, 1, 1, tzinfo=UTC)
WHOLE = date(2000, 1, 1)
#: Some of their sessions go on as `user_3-in`, who signed in.
PERSON = "user_3"


class WithoutKeeper:
    """A client of a cluster whose only node runs every statement by itself, for want of Keeper."""

    def __init__(self, client: Any) -> None:
        self._client, self.spread = client, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def command(self, sql: str, **arguments: Any) -> Any:
        self.spread += re.findall(r"ALTER TABLE (\w+ ON CLUSTER '\w+')", sql)
        return await self._client.command(re.sub(r" ON CLUSTER '\w+'", "", sql), **arguments)


@dataclass
class World:
    """A database with a world in it, and who looks at it."""

    client: Any
    url: str
    database: str
    accepted: list[Accepted]

    async def ask(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in (await self.client.query(sql, parameters=parameters)).result_rows]

    async def forgetting(self, *users: str) -> Forgetting:
        hashes = await hashes_of(self.client, users)
        return Forgetting(self.client, self.database, hashes, await cluster_of(self.client))

    async def places(self, ids: list[str]) -> set[tuple[str, str]]:
        """Return table and column of every place where one of some ids is, whole or as its hash.

        All columns of all tables that keep something are looked at: those of tables to come as well.
        """
        columns = await self.ask(
            "SELECT table, name, type FROM system.columns WHERE database = {database:String}"
            " AND table IN (SELECT name FROM system.tables"
            " WHERE database = {database:String} AND engine LIKE '%MergeTree')",
            database=self.database,
        )
        hashes = await hashes_of(self.client, ids)
        found = set()
        for table, column, kind in columns:
            wanted: list[Any]
            if re.match(r"String|LowCardinality\(String\)", kind):
                wanted, condition = ids, f"toString({column}) IN {{wanted:Array(String)}}"
            elif re.match(r"UInt(64|128)|SimpleAggregateFunction\(\w+, UInt(64|128)\)", kind):
                low = f"toUInt64(bitAnd({column}, 18446744073709551615))"
                wanted, condition = hashes, f"{low} IN {{wanted:Array(UInt64)}}"
            else:
                assert not re.search("user|session|owner", column), f"{table}.{column}: how is it searched?"
                continue
            ((rows,),) = await self.ask(f"SELECT count() FROM {table} WHERE {condition}", wanted=wanted)
            if rows:
                found.add((table.removesuffix("_local"), column))
        return found

    async def others(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return all rows of persons that are not the one, merged; sessions of several are left out."""
        (mine,) = await hashes_of(self.client, [PERSON])
        shared = await hashes_of(self.client, ["a long one", *_sessions(self.accepted, PERSON)])
        return {
            table: await self.ask(f"SELECT {sql} ORDER BY ALL", mine=mine, person=PERSON, shared=shared)
            for table, sql in {
                "playback_events": "* FROM playback_events WHERE user_id != {person:String}",
                "user_events": "* FROM user_events WHERE user_id != {person:String}",
                "view_starts": "* FROM view_starts WHERE user_id != {person:String}",
                "signups": "* FROM signups WHERE user != {mine:UInt64}",
                "users": "user, min(first_seen) FROM users WHERE user != {mine:UInt64} GROUP BY user",
                "user_days": "day, user, groupBitOr(slots) FROM user_days WHERE user != {mine:UInt64}"
                " GROUP BY day, user",
                "session_days": "day, session, min(first), max(last), sum(pages), sum(actions), max(played)"
                " FROM session_days WHERE session NOT IN {shared:Array(UInt64)} GROUP BY day, session",
            }.items()
        }

    async def unexplained(self) -> tuple[list[Any], list[Difference]]:
        """Return what `vca verify` would call a difference, and the sums that it says to be kept."""
        audit = Audit(self.client, self.database)
        forgotten, booked = await audit.forgotten(), await audit.ingested()
        wrong: list[Any] = []
        for topic, table in ((PLAYBACK, "playback_events"), (USERS, "user_events")):
            rows = await audit.rows(table, booked)
            wrong += raw_rows(booked, rows, topic, forgotten.rows, whole=True).differences
        kept: list[Difference] = []
        for question in ROLLUP_QUERIES:
            rest, sums = kept_sums((await audit.rollup(question, EARLY)).values(), forgotten)
            wrong, kept = wrong + rest, kept + sums
        return wrong, kept


def _sessions(accepted: list[Accepted], person: str) -> set[str]:
    return {
        each.event["sessionId"]
        for each in accepted
        if "sessionId" in each.event and user_of(each.event) == person
    }


@pytest.fixture(scope="module")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest_asyncio.fixture
async def world(
    request: pytest.FixtureRequest, clickhouse_server: str, clickhouse_database: str
) -> AsyncIterator[World]:
    """Yield a world on one server, or on the `cluster` that a test asks for."""
    spread = getattr(request, "param", "") == "cluster"
    if spread:
        url = lay(request.getfixturevalue("cluster_server"), ONE, clickhouse_database)
    else:
        url = f"{clickhouse_server}/{clickhouse_database}"
        migrate(url)
    rng = Random(11)
    accepted = people(rng, NOW, sessions=120, days=25) + services(rng, NOW, events=30, days=25)
    await land(url, accepted, rng, first=100_000)
    late = NOW - timedelta(hours=30)
    await insert(
        url,
        [
            # It began on the day before.
            make.view("clip", late, user_id=PERSON, session_id="a long one", d_completions=1),
            make.heartbeat(
                "clip",
                late + timedelta(hours=20),
                40,
                user_id=PERSON,
                session_id="a long one",
                started_at=late,
            ),
            make.view("clip", late, user_id="other"),
            make.reaction("clip", late, user_id=PERSON, session_id="a long one"),
            make.reaction("clip", late, "user.signup", user_id=PERSON, session_id="a long one"),
            make.reaction("clip", late, user_id="other"),
            make.listed("clip", "A clip", late),
        ],
    )
    client = await connect(url, settings=READING)
    yield World(WithoutKeeper(client) if spread else client, url, clickhouse_database, accepted)
    await client.close()


async def rebuild(world: World) -> None:
    """Make every roll-up anew, as `vca rebuild rollups` does."""
    shadow = Shadow(world.client, world.database)
    assert not await is_rebuilt(world.client)
    await shadow.create()
    try:
        assert await is_rebuilt(world.client)
        for piece in await shadow.pieces():
            await shadow.fill(piece, {})
        for table, partition, filled in await shadow.parts(EPOCH):
            await shadow.replace_partition(table, partition, filled)
    finally:
        await shadow.drop()


@pytest.mark.parametrize("world", ["server", "cluster"], indirect=True)
async def test_of_a_person_nothing_is_left_anywhere_and_of_everybody_else_all(world: World) -> None:
    mine = _sessions(world.accepted, PERSON)
    others = {user_of(each.event): each for each in world.accepted if "sessionId" in each.event}.keys() - {
        PERSON
    }
    shared = {name for other in others for name in _sessions(world.accepted, other)} & mine
    assert shared and mine - shared
    wanted = [PERSON, "a long one", *(mine - shared)]
    forgetting, others_before = await world.forgetting(PERSON), await world.others()
    before = await forgetting.row_counts()
    assert min(before.values()) > 0
    assert {table for table, _ in await world.places(wanted)} == set(PERSONAL)
    assert await world.unexplained() == ([], [])
    assert f"{PERSON}-in" in await forgetting.others_in_sessions()
    assert (await forgetting.owned(), await (await world.forgetting("o")).owned()) == (0, 1)
    version = "SELECT sum(events) FROM activity_days WHERE day < {today:Date}"
    kept_by_the_api = await world.ask(version, today=NOW.date())

    told: list[str] = []
    await forgetting.remove(WHOLE, told.append)

    assert told == list(PERSONAL)
    assert await world.places(wanted) == set()
    assert await forgetting.row_counts() == dict.fromkeys(PERSONAL, 0)
    assert await world.others() == others_before
    assert await world.ask(version, today=NOW.date()) > kept_by_the_api
    wrong, kept = await world.unexplained()
    assert wrong == []
    assert {each.table for each in kept} == SUMS
    ((events,),) = await world.ask("SELECT sum(rows) FROM forgotten_rows")
    assert events == before["playback_events"] + before["user_events"]
    if isinstance(world.client, WithoutKeeper):
        assert {name.split()[0] for name in world.client.spread} == {f"{table}_local" for table in PERSONAL}

    if not isinstance(world.client, WithoutKeeper):
        await rebuild(world)
        assert await world.unexplained() == ([], []), "sums are made without what was forgotten"

    # What somebody else loses is found all the same, also on these days.
    table = "user_events_local" if isinstance(world.client, WithoutKeeper) else "user_events"
    await world.client.command(
        f"ALTER TABLE {table} DELETE WHERE user_id = 'other'", settings={"mutations_sync": 2}
    )
    wrong, _ = await world.unexplained()
    assert any("by ClickHouse's books, less" in str(each) for each in wrong)


async def test_a_run_that_was_cut_short_is_run_again_and_books_still_balance(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetting, others_before = await world.forgetting(PERSON), await world.others()
    delete = Forgetting._delete

    for stop in ("session_days", "playback_events"):

        async def gone(self: Forgetting, table: str, condition: str, stop: str = stop) -> None:
            if table == stop:
                raise Unavailable("ClickHouse: gone", "clickhouse")
            await delete(self, table, condition)

        with monkeypatch.context() as patch:
            patch.setattr(Forgetting, "_delete", gone)
            with pytest.raises(Unavailable):
                await forgetting.remove(WHOLE, lambda _: None)
    await forgetting.remove(WHOLE, lambda _: None)
    assert await forgetting.row_counts() == dict.fromkeys(PERSONAL, 0)
    assert await world.others() == others_before
    assert (await world.unexplained())[0] == []

    # Who comes back is known again, and can be forgotten again.
    later = [make.reaction("clip", NOW, user_id=PERSON), make.view("clip", NOW, user_id=PERSON)]
    await insert(world.url, later)
    assert (
        (await forgetting.row_counts())["user_events"]
        == (await forgetting.row_counts())["playback_events"]
        == 1
    )
    assert await forgetting.last_seen() == NOW
    await forgetting.remove(WHOLE, lambda _: None)
    assert await forgetting.row_counts() == dict.fromkeys(PERSONAL, 0)
    assert await forgetting.last_seen() is None
    assert (await world.unexplained())[0] == []


async def test_while_somebody_is_forgotten_nothing_is_rebuilt_that_would_bring_them_back(
    world: World, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(clickhouse_url=world.url, redis_url=redis_server)
    reached, go_on, delete = asyncio.Event(), asyncio.Event(), Forgetting._delete

    async def waiting(self: Forgetting, table: str, condition: str) -> None:
        reached.set()
        await go_on.wait()
        await delete(self, table, condition)

    monkeypatch.setattr(Forgetting, "_delete", waiting)
    running = asyncio.create_task(
        forget_command.run(settings, [PERSON], Bar(None), NOW, delete=True, anyway=True)
    )
    await reached.wait()
    redis = connect_redis(redis_server)
    try:
        rebuilding = Rebuild(redis, Shadow(world.client, world.database), "c", Bar(None))
        with pytest.raises(RebuildError, match="vca forget"):
            await rebuilding.run(None)
        go_on.set()
        known = await running
        assert known.removed and known.rows["user_events"] > 0
        assert set((await (await world.forgetting(PERSON)).row_counts()).values()) == {0}
        await rebuilding.run(None)
        assert set((await (await world.forgetting(PERSON)).row_counts()).values()) == {0}
    finally:
        await redis.aclose()


async def test_nobody_is_forgotten_while_a_rebuild_is_running_or_was_interrupted(
    world: World, redis_server: str
) -> None:
    settings = Settings(clickhouse_url=world.url, redis_url=redis_server)
    forgetting = await world.forgetting(PERSON)
    before = await forgetting.row_counts()
    redis = connect_redis(redis_server)
    shadow = Shadow(world.client, world.database)

    async def forget() -> None:
        await forget_command.run(settings, [PERSON], Bar(None), NOW, delete=True, anyway=True)

    try:
        async with Turn(redis, keys.REBUILD, "a rebuild that only begins"):
            with pytest.raises(ForgetError, match="vca rebuild rollups"):
                await forget()
        await shadow.create()
        with pytest.raises(ForgetError, match="vca rebuild rollups"):
            await forget()
        await shadow.drop()
        assert await forgetting.row_counts() == before
        await forget()
        assert set((await forgetting.row_counts()).values()) == {0}
    finally:
        await shadow.drop()
        await redis.aclose()


async def test_a_person_who_comes_back_while_being_forgotten_is_told_of(
    world: World, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(clickhouse_url=world.url, redis_url=redis_server)
    remove = Forgetting.remove

    async def removing(self: Forgetting, whole: date, done: Callable[[str], None]) -> None:
        await remove(self, whole, done)
        await insert(world.url, [make.reaction("clip", NOW, user_id=PERSON)])

    monkeypatch.setattr(Forgetting, "remove", removing)
    with pytest.raises(ForgetError, match="1 in user_events are left. Run this again"):
        await forget_command.run(settings, [PERSON], Bar(None), NOW, delete=True, anyway=True)
    monkeypatch.undo()
    # An hour later it is still too early.
    soon = NOW + timedelta(hours=1)
    with pytest.raises(ForgetError, match="Run this after"):
        await forget_command.run(settings, [PERSON], Bar(None), soon, delete=True, anyway=False)
    later = NOW + timedelta(hours=3)
    assert (await forget_command.run(settings, [PERSON], Bar(None), later, delete=True, anyway=False)).removed
    assert (await world.unexplained())[0] == []


async def test_a_mutation_that_fails_again_and_again_is_told_instead_of_waited_for(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    await insert(url, [make.view("clip", NOW, user_id=PERSON)])
    async with await connect(url, settings=READING) as client:
        await client.command(
            "ALTER TABLE users DELETE WHERE throwIf(user >= 0, 'no space')", settings={"mutations_sync": 0}
        )
        forgetting = Forgetting(client, clickhouse_database, await hashes_of(client, [PERSON]))
        with pytest.raises(MutationFailedError, match="change of users .*no space.*KILL MUTATION"):
            await asyncio.wait_for(forgetting.remove(WHOLE, lambda _: None), 20)

        await client.command("KILL MUTATION WHERE database = currentDatabase() AND table = 'users' SYNC")
        await forgetting.remove(WHOLE, lambda _: None)
        assert await forgetting.row_counts() == dict.fromkeys(PERSONAL, 0)
