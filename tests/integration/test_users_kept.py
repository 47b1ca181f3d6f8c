"""What is kept of days that are over: right while events of today come, forgotten when a late one does."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from api.user_service import ENGAGEMENT, UserService
from api.warm_up import WarmUp
from sinks.clickhouse.client import connect
from sinks.clickhouse.day_cache import DayCache, Split
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.native_reader import Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.user_reader import ClickHouseUsers
from streams.domain.definitions import USERS
from streams.domain.errors import StoreUnavailableError
from streams.domain.metrics import groups_of
from streams.domain.windows import named
from tests.audience.comparison import differences
from tests.audience.landing import land
from tests.audience.world import HOUR, asked, now_of, people
from tests.oracle import windows
from tests.oracle.log import Accepted
from tests.oracle.users import Audience
from tests.waiting import turns, until

#: In New York and in Kolkata, another day is over by then than in UTC.
NOW = now_of("2050-11-20T20:07:41.250")
ZONES = ("UTC", "America/New_York", "Asia/Kolkata")
PERIODS = ("1d", "30d", "all")


class Counting(ClickHouseReader):
    """Counts the queries over days that are over, which are those that could be kept.

    And those that look up today's sessions among all days.
    """

    asked = 0
    sessions_looked_up = 0

    def __init__(self, url: str) -> None:
        super().__init__(url)
        #: Rows of each table that was read.
        self.tables: list[int] = []

    async def table(self, asked: TableQuery) -> Table:
        table = await super().table(asked)
        self.tables.append(len(table))
        return table

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        late = any(name in query.parameters for name in ("open", "day0", "today"))
        self.asked += not late and "user_actions" not in query.sql and "minOrNull" not in query.sql
        self.sessions_looked_up += "then_ms" in query.sql
        return await super().rows(query)


@dataclass
class World:
    url: str
    store: Counting
    service: UserService
    landed: list[Accepted]
    truth: Audience

    async def land(self, some: list[Accepted]) -> None:
        await land(self.url, some, Random(1), first=len(self.landed))
        self.landed += some
        self.truth = Audience(self.landed)

    async def command(self, sql: str, *tables: str) -> None:
        client = await connect(self.url)
        for table in tables:
            await client.command(sql.format(table))
        await client.close()

    async def wrong(self, zone: str, period: str, now: datetime = NOW) -> list[str]:
        """Return where the answers are not those of a recount of all that has landed."""
        truth, question = self.truth, asked(period, zone, now)
        window = windows.period(period, now, ZoneInfo(zone), truth.first if period == "all" else None)
        users = (await self.service.users(question, groups_of(USERS, None)))["data"]
        engagement = (await self.service.engagement(question))["data"]
        return [
            *differences(users, truth.users(window, now), f"{zone} {period}"),
            *differences(engagement, truth.engagement(window), f"{zone} {period}"),
        ]


@pytest_asyncio.fixture
async def world(clickhouse_server: str, clickhouse_database: str) -> AsyncIterator[World]:
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    store = Counting(url)
    kept = DayCache(store, settle_seconds=0, quiet_seconds=0)
    yield World(url, store, UserService(ClickHouseUsers(store, kept)), [], Audience([]))
    await store.close()


def going_on(event: Accepted, rng: Random) -> Accepted:
    """Return an event of the same session, today."""
    at = int(NOW.timestamp() * 1000) - rng.randrange(20 * HOUR)
    return replace(event, event=event.event | {"eventId": f"{rng.getrandbits(60):x}"}, at=at)


def _day(event: Accepted) -> date:
    return datetime.fromtimestamp(event.at / 1000, UTC).date()


@dataclass
class Ahead:
    """Reads ahead for all that is asked here; `looks` tells what of who was known was kept."""

    warm_up: WarmUp[Split]
    looks: list[bool]

    async def read(self) -> None:
        await self.warm_up.once()
        self.looks.clear()


def reading_ahead(world: World, memory: int) -> Ahead:
    """Have a world's answers told from so many bytes of memory, as far as that was read ahead."""
    looks: list[bool] = []
    known = KnownAudience(world.store, KnownCache(memory, on_lookup=looks.append))
    users = ClickHouseUsers(world.store, DayCache(world.store, settle_seconds=0, quiet_seconds=0), known)
    world.service = UserService(users)
    warm_up = WarmUp(users, lambda: NOW, retention_days=1100)
    for zone in ZONES:
        for period in PERIODS:
            warm_up.note(asked(period, zone, NOW), [*groups_of(USERS, None), ENGAGEMENT])
    return Ahead(warm_up, looks)


@pytest.mark.parametrize("memory", [0, 1 << 24])
async def test_answers_are_right_as_events_come_and_late_ones_too(world: World, memory: int) -> None:
    ahead = reading_ahead(world, memory)
    rng = Random(11)
    everything = people(rng, NOW, sessions=260)
    lately = [event for event in everything if 0 < (NOW.date() - _day(event)).days <= 6]
    everything += [going_on(event, rng) for event in rng.sample(lately, 12)]
    today = [event for event in everything if _day(event) >= NOW.date()]
    before = [event for event in everything if _day(event) < NOW.date()]
    assert len(today) > 20
    late = [before.pop(rng.randrange(len(before))) for _ in range(len(before) // 5)]
    rng.shuffle(today)
    half = len(today) // 2
    for turn, some in enumerate((before, today[:half], late, today[half:])):
        await world.land(some)
        await ahead.read()
        world.store.sessions_looked_up = 0
        # Every period in one zone, and in another the next time: three times are all there is.
        chosen = [(period, ZONES[(turn + place) % 3]) for place, period in enumerate(PERIODS)]
        for period, zone in chosen:
            assert not await world.wrong(zone, period), len(world.landed)
        # Memory tells of sessions that went on through midnight, too, but not of windows that begin after it.
        looked_up = [
            (period, zone) for period, zone in chosen if not memory or (period == "1d" and zone != "UTC")
        ]
        assert world.store.sessions_looked_up == 2 * len(looked_up)
        assert ahead.looks
        assert set(ahead.looks) == {memory > 0}


async def test_answers_are_right_after_each_of_many_inserts_and_read_only_what_changed(
    world: World,
) -> None:
    ahead = reading_ahead(world, 1 << 24)
    rng = Random(19)
    everything = people(rng, NOW, sessions=500)
    lately = [event for event in everything if 0 < (NOW.date() - _day(event)).days <= 6]
    today = [event for event in everything if _day(event) >= NOW.date()]
    today += [going_on(event, rng) for event in rng.sample(lately, 12)]
    rng.shuffle(today)
    await world.land([event for event in everything if _day(event) < NOW.date()])
    half = len(today) // 2
    await world.land(today[:half])
    # Otherwise ClickHouse merges so little at once, and all of it is in a part with something new.
    tables = "session_days", "user_days"
    await world.command("SYSTEM STOP MERGES {}", *tables)
    await ahead.read()
    read = []
    for turn, begin in enumerate(range(half, len(today), 8)):
        await world.land(today[begin : begin + 8])
        if turn == 12:
            await world.command("SYSTEM START MERGES {}", *tables)
            await world.command("OPTIMIZE TABLE {} FINAL", *tables)
            await world.command("SYSTEM STOP MERGES {}", *tables)
        world.store.tables.clear()
        assert not await world.wrong(ZONES[turn % 3], "30d"), turn
        read.append(sum(world.store.tables))
    assert set(ahead.looks) == {True}
    # What has changed since two answers ago is read, or what was merged.
    assert len(read) > 20
    assert max(read[:12]) < 100 < read[12]


async def test_what_is_too_much_for_clickhouse_keeps_nothing_else_from_being_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = reading_ahead(world, 1 << 24)
    await world.land(people(Random(41), NOW, sessions=60))

    async def table(packed: TableQuery) -> Table:
        raise StoreUnavailableError("clickhouse", "memory limit exceeded")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "table", table)
        await ahead.read()
        read = world.store.asked
        assert not await world.wrong("UTC", "30d")
        assert world.store.asked == read
    assert not any(ahead.looks)


async def test_a_session_that_comes_back_after_weeks_is_the_same_one(world: World) -> None:
    ahead = reading_ahead(world, 1 << 24)
    everything = people(Random(31), NOW, sessions=60)
    weeks = timedelta(days=20), timedelta(days=28)
    first = next(event for event in everything if weeks[0] < NOW.date() - _day(event) < weeks[1])
    again = going_on(first, Random(1))
    await world.land(everything)
    await ahead.read()
    assert not await world.wrong("UTC", "30d")
    assert all(ahead.looks)
    await world.land([again])
    assert not await world.wrong("UTC", "30d")


async def test_an_event_of_weeks_ahead_belongs_to_no_session_of_now_whatever_is_in_memory(
    world: World,
) -> None:
    """Its producer's clock is wrong; a window's sessions are read for seven days after it."""
    everything = people(Random(31), NOW, sessions=60)
    lately = next(event for event in everything if _day(event) == NOW.date())
    at = lately.at + 20 * 24 * HOUR
    await world.land([*everything, replace(lately, event=lately.event | {"eventId": "ahead"}, at=at)])

    async def answers() -> list[Any]:
        question = asked("30d", "UTC", NOW)
        groups = groups_of(USERS, None)
        return [await world.service.users(question, groups), await world.service.engagement(question)]

    looked_up = await answers()
    ahead = reading_ahead(world, 1 << 24)
    await ahead.read()
    assert await answers() == looked_up
    assert all(ahead.looks)


async def test_who_compares_with_nothing_does_not_answer_for_who_compares(world: World) -> None:
    await world.land(people(Random(41), NOW, sessions=60))
    users = world.service.reader
    window = named("30d", zone=ZoneInfo("UTC"), now=NOW)
    alone = await users.growth(window)
    assert alone.previous
    both = await asyncio.gather(users.growth(replace(window, previous=None)), users.growth(window))
    assert [*both] == [replace(alone, previous=None, lost=None), alone]


async def test_days_that_are_over_are_read_again_only_after_a_late_event(world: World) -> None:
    everything = people(Random(5), NOW, sessions=150)
    today = [event for event in everything if _day(event) >= NOW.date()]
    *before, late = [event for event in everything if _day(event) < NOW.date()]
    await world.land(before)
    assert not await world.wrong("UTC", "30d")
    first = world.store.asked
    assert first > 0
    await world.land(today)
    assert not await world.wrong("UTC", "30d")
    assert world.store.asked == first
    await world.land([late])
    assert not await world.wrong("UTC", "30d")
    assert world.store.asked == 2 * first


async def test_late_events_of_yesterday_do_not_make_everything_be_read_again(world: World) -> None:
    world.service = UserService(ClickHouseUsers(world.store, DayCache(world.store, settle_seconds=0)))
    rng = Random(23)
    everything = people(rng, NOW, sessions=200)
    yesterday = NOW.date() - timedelta(days=1)
    late = [event for event in everything if _day(event) == yesterday]
    assert len(late) > 20
    await world.land([event for event in everything if _day(event) < yesterday])
    await world.land([event for event in everything if _day(event) > yesterday])
    rng.shuffle(late)
    asked = []
    for number in range(4):
        await world.land(late[number::4])
        before = world.store.asked
        for zone in ZONES:
            assert not await world.wrong(zone, "30d")
        asked.append(world.store.asked - before)
    # First, all that is kept of the days before today; then, of those before yesterday.
    assert asked[0] >= asked[1] > asked[2] == asked[3] == 0


async def test_the_first_question_reads_only_today_after_it_was_read_ahead(world: World) -> None:
    await world.land(people(Random(17), NOW, sessions=150))
    users = ClickHouseUsers(world.store, DayCache(world.store, settle_seconds=0, quiet_seconds=0))
    warm_up = WarmUp(users, lambda: NOW, retention_days=1100)
    for zone in ZONES:
        for period in ("7d", "all"):
            warm_up.note(asked(period, zone, NOW), [*groups_of(USERS, None), ENGAGEMENT])
    await warm_up.once()
    read = world.store.asked
    assert read > 0
    world.service = UserService(users)
    for zone in ZONES:
        for period in ("7d", "all"):
            assert not await world.wrong(zone, period)
    assert world.store.asked == read


async def test_nobody_waits_when_a_day_ends(world: World) -> None:
    seconds = 0.0
    evening = now_of("2050-11-20T23:57:00.000")
    await world.land(people(Random(29), evening, sessions=150))
    kept = DayCache(world.store, settle_seconds=5, quiet_seconds=60, clock=lambda: seconds)
    users = ClickHouseUsers(world.store, kept)
    now = evening
    warm_up = WarmUp(users, lambda: now, retention_days=1100, seconds=lambda: seconds)
    world.service = UserService(users, warm_up.note)

    async def read_by_a_question() -> int:
        before = world.store.asked
        assert not await world.wrong("UTC", "30d", now)
        return world.store.asked - before

    assert await read_by_a_question() > 1
    seconds += 10
    await warm_up.once()
    assert await read_by_a_question() == 0
    seconds, now = seconds + 200, now + timedelta(seconds=200)
    assert await read_by_a_question() == 0
    # The day that has just ended is not settled yet.
    await warm_up.once()
    assert await read_by_a_question() == 0
    seconds, now = seconds + 6, now + timedelta(seconds=6)
    await warm_up.once()
    assert await read_by_a_question() == 0
    # What has been kept for long is read again before it is too old.
    seconds += 500
    await warm_up.once()
    seconds += 590
    assert await read_by_a_question() == 0


class Store:
    """Answers a number that may change, and a version of the days."""

    def __init__(self) -> None:
        self.version, self.number, self.asked = 1, 1, 0
        self.older = 1

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        if "activity_days" in query.sql:
            return [{"before0": self.version, "before1": self.older, "before2": 1}]
        self.asked += 1
        return [{"number": self.number}]


async def test_nothing_is_kept_before_it_has_settled_nor_for_ever() -> None:
    store, now, hits = Store(), 0.0, list[bool]()
    kept = DayCache(
        store,  # type: ignore[arg-type]
        settle_seconds=5,
        max_age=60,
        quiet_seconds=0,
        clock=lambda: now,
        on_lookup=hits.append,
    )
    day = date(2050, 11, 20)

    async def number() -> int:
        rows = await kept.rows(Query("SELECT number", {}), await kept.split(day))
        return rows[0]["number"]  # type: ignore[no-any-return]

    # Seen before the rest of its insert has landed.
    assert await number() == 1
    store.number = 2
    assert await number() == 2
    now = 5
    assert await number() == 2
    store.number = 3
    assert (await number(), store.asked) == (2, 3)
    store.version = 2
    assert (await number(), store.asked) == (3, 4)
    now = 11
    assert (await number(), store.asked) == (3, 5)
    store.number = 4
    now = 70
    assert (await number(), store.asked) == (3, 5)
    now = 71
    assert (await number(), store.asked) == (4, 6)
    # Another day is another question.
    day += timedelta(days=1)
    assert await number() == 4
    assert store.asked == 7
    assert (hits.count(False), hits.count(True)) == (7, 2)


async def test_the_split_is_where_nothing_has_changed_for_a_while() -> None:
    store, now = Store(), 0.0
    kept = DayCache(store, quiet_seconds=60, clock=lambda: now)  # type: ignore[arg-type]
    today = date(2050, 11, 20)

    async def split() -> int:
        return (today - (await kept.split(today)).day).days

    assert await split() == 0
    now, store.version = 10, 2
    assert await split() == 1
    now, store.version = 69, 3
    assert await split() == 1
    now, store.version, store.older = 80, 4, 2
    assert await split() == 2
    # Those before yesterday are quiet first: the late event of today's split came later.
    now, store.version = 100, 5
    assert await split() == 2
    now = 140
    assert await split() == 1
    now = 160
    assert await split() == 0


async def test_answers_go_on_with_what_was_read_ahead_until_the_newer_rest_was() -> None:
    store, now = Store(), 0.0
    kept = DayCache(store, quiet_seconds=60, clock=lambda: now)  # type: ignore[arg-type]
    today = date(2050, 11, 20)

    async def ready() -> None:
        split = await kept.prefetch_split(today)
        assert split is not None
        kept.mark_prefetched(split)

    async def split() -> int:
        return (today - (await kept.split(today)).day).days

    assert await kept.prefetch_split(today) is None, "nothing is kept before it has settled"
    now = 5
    await ready()
    today += timedelta(days=1)
    store.older, store.version = store.version, 2
    # The day before has not been read ahead: until then, the one before that is as exact.
    assert await split() == 1
    now = 10
    await ready()
    assert await split() == 0
    # But nobody waits for ever for a reading that does not come.
    today += timedelta(days=1)
    store.older, store.version = store.version, 3
    assert await split() == 1
    now = 10 + 119
    assert await split() == 1
    now = 10 + 120
    assert await split() == 0
    # What was read ahead before a late event is no longer it.
    await ready()
    now, store.version = 140, 4
    assert await split() == 1
    now = 201
    assert await split() == 1
    await ready()
    assert await split() == 0


class Slow:
    """Says how the days are, from the second time on only once something else has been asked."""

    def __init__(self) -> None:
        self.version, self.looks = 1, 0
        self.days: list[date] = []
        self._other = asyncio.Event()

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        if "activity_days" not in query.sql:
            self._other.set()
            if "open" in query.parameters:
                self.days.append(query.parameters["open"])
            return []
        self.looks += 1
        if self.looks > 1:
            async with asyncio.timeout(30):
                await self._other.wait()
        return [{"before0": self.version, "before1": 1, "before2": 1}]


async def test_the_day_is_asked_for_beside_the_days_and_what_was_read_for_another_is_not_told() -> None:
    today, yesterday = NOW.date(), NOW.date() - timedelta(days=1)
    store = Slow()
    users = ClickHouseUsers(store, DayCache(store, settle_seconds=0, quiet_seconds=60))  # type: ignore[arg-type]
    window = named("30d", zone=ZoneInfo("UTC"), now=NOW)
    for version, days in ((1, [today]), (1, [today]), (2, [today, yesterday])):
        store.version, store.days = version, []
        await users.engagement(window)
        assert store.days == days
    assert store.looks == 3


class Failing:
    """Answers the first look at the days; later ones fail after some seconds, and all else after 0.02."""

    def __init__(self, later: float) -> None:
        self.looks = 0
        self._later = later

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        if "activity_days" not in query.sql:
            await asyncio.sleep(0.02)
        elif self.looks:
            await asyncio.sleep(self._later)
        else:
            self.looks = 1
            return [{"before0": 1, "before1": 1, "before2": 1}]
        raise StoreUnavailableError("clickhouse", "fails")


@pytest.mark.parametrize("later", [0, 0.04])
async def test_nothing_is_left_behind_where_the_store_fails_while_it_is_read(later: float) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    store = Failing(later)
    users = ClickHouseUsers(store, DayCache(store))  # type: ignore[arg-type]
    window = named("30d", zone=ZoneInfo("UTC"), now=NOW)
    before = asyncio.all_tasks()
    for ask in (users.activity, users.growth, users.retention, users.engagement):
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await ask(window)
    await until(lambda: asyncio.all_tasks() == before)
    gc.collect()
    await turns()
    assert said == []
