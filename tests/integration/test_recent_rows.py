"""Rows that are read again only where they changed, on real tables with parts of inserts and merges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random
from zoneinfo import ZoneInfo

import pytest_asyncio
from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse import known_queries, known_sessions, known_users
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.native_reader import Shape, Table, TableQuery
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.recent_rows import RecentRows, block_numbers
from streams.domain.windows import named

TODAY = date(2050, 11, 20)
WINDOW = named("30d", zone=ZoneInfo("UTC"), now=datetime(2050, 11, 20, 12, tzinfo=UTC))
KEYS = 40

Query = Callable[[int | None], TableQuery]


@dataclass
class Tables:
    """Sessions and users of today, and of the day before, which has parts of its own and shares some."""

    client: AsyncClient
    reader: ClickHouseReader
    rng: Random

    async def insert(self, most: int = 5) -> None:
        keys = self.rng.sample(range(KEYS), self.rng.randrange(1, most))
        day = self.rng.choice((TODAY, TODAY, TODAY, date(2050, 11, 19), date(2050, 10, 2)))
        rows = ", ".join(
            f"('{day}', {key}, bitShiftLeft(toUInt128({self.rng.randrange(99)}), 68) + {key},"
            f" '{day} 00:00:{self.rng.randrange(60):02d}',"
            f" {self.rng.randrange(3)}, {self.rng.randrange(2)}, 0)"
            for key in keys
        )
        await self.client.command(
            f"INSERT INTO session_days (day, session, first, last, pages, actions, played) VALUES {rows}"
        )
        rows = ", ".join(
            f"('{day}', {key}, bitShiftLeft(toUInt128(1), {self.rng.randrange(96)}))" for key in keys
        )
        await self.client.command(f"INSERT INTO user_days (day, user, slots) VALUES {rows}")

    async def merge(self) -> None:
        for table in ("session_days", "user_days"):
            await self.client.command(f"OPTIMIZE TABLE {table} PARTITION 205011 FINAL")

    async def replace(self) -> None:
        """Put the same rows into new parts, as a rebuild does."""
        for table in ("session_days", "user_days"):
            await self.client.command(f"CREATE TABLE {table}_shadow AS {table}")
            await self.client.command(f"INSERT INTO {table}_shadow SELECT * FROM {table}")
            await self.client.command(f"ALTER TABLE {table} REPLACE PARTITION 205011 FROM {table}_shadow")
            await self.client.command(f"DROP TABLE {table}_shadow SYNC")


def sessions(block: int | None) -> TableQuery:
    return known_queries.sessions_since(TODAY, TODAY, block)


def users(block: int | None) -> TableQuery:
    return known_queries.users_since({"active": WINDOW.whole}, WINDOW, TODAY, block)


BOTH: tuple[tuple[Shape, Query], ...] = ((known_sessions.RECENT, sessions), (known_users.RECENT, users))


@pytest_asyncio.fixture
async def tables(clickhouse_server: str, clickhouse_database: str) -> AsyncIterator[Tables]:
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    client, reader = await connect(url), ClickHouseReader(url)
    yield Tables(client, reader, Random(5))
    await reader.close()
    await client.close()


def content(table: Table | RecentRows, shape: Shape) -> dict[int, tuple[int, ...]]:
    columns = [table[name].tolist() for name in shape.kinds if name != "block"]
    rows = list(zip(*columns, strict=True))
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row[1:] for row in rows}


async def test_what_is_kept_is_what_the_table_has(tables: Tables) -> None:
    (row,) = await tables.reader.rows(block_numbers())
    assert row == {"numbered": 1}
    kept = [(RecentRows(shape), shape, query) for shape, query in BOTH]
    steps = [tables.insert] * 6 + [tables.merge]
    for turn in range(60):
        for _ in range(tables.rng.randrange(3)):
            await tables.rng.choice(steps)()
        if turn == 30:
            await tables.replace()
        for rows, shape, query in kept:
            rows.update(await tables.reader.table(query(rows.block)))
            everything = await tables.reader.table(query(None))
            assert content(rows, shape) == content(everything, shape), turn
            assert (len(rows) > 0) == (rows.block > 0)
    assert all(len(rows) > KEYS // 2 for rows, _, _ in kept)


async def test_a_few_new_rows_are_read_alone(tables: Tables) -> None:
    for table in ("session_days", "user_days"):
        await tables.client.command(f"SYSTEM STOP MERGES {table}")
    for _ in range(30):
        await tables.insert(KEYS)
    for slots, (shape, query) in enumerate(BOTH, 1):
        rows = RecentRows(shape)
        rows.update(await tables.reader.table(query(rows.block)))
        assert len(rows) > 30
        assert not len(await tables.reader.table(query(rows.block)))
        await tables.client.command(
            "INSERT INTO session_days (day, session, first, last, pages, actions, played)"
            f" VALUES ('{TODAY}', 3, 9, '{TODAY} 00:00:59', {slots}, 0, 0)"
        )
        await tables.client.command(
            f"INSERT INTO user_days (day, user, slots) VALUES ('{TODAY}', 3, {slots})"
        )
        assert content(await tables.reader.table(query(rows.block)), shape).keys() == {3}


async def test_what_is_inserted_and_merged_meanwhile_is_read_in_the_end(tables: Tables) -> None:
    busy = True

    async def write() -> None:
        while busy:
            await tables.insert()

    async def merge() -> None:
        while busy:
            await tables.merge()

    async def read(shape: Shape, query: Query) -> None:
        rows, before = RecentRows(shape), dict[int, tuple[int, ...]]()
        for _ in range(120):
            rows.update(await tables.reader.table(query(rows.block)))
            found = content(rows, shape)
            # Nothing is lost: keys stay, and bits, sums and the last instant only grow.
            assert before.keys() <= found.keys()
            assert all(found[key][-1] | was[-1] == found[key][-1] for key, was in before.items())
            before = found
        last.append((rows, shape, query))

    last: list[tuple[RecentRows, Shape, Query]] = []
    others = [asyncio.create_task(each()) for each in (write, write, merge)]
    await asyncio.gather(*(read(shape, query) for shape, query in BOTH))
    busy = False
    await asyncio.gather(*others)
    for rows, shape, query in last:
        rows.update(await tables.reader.table(query(rows.block)))
        everything = await tables.reader.table(query(None))
        assert content(rows, shape) == content(everything, shape)
