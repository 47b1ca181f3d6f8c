"""Rebuilds roll-ups in a shadow database, and then replaces the old ones.

The shadow database gets an empty copy of every roll-up and every materialized view, and raw tables that store
nothing (engine Null). Raw rows inserted there are rolled up by the same SELECTs. `REPLACE PARTITION` then
replaces the old parts by the new ones, one month of a table at a time, each atomically. The table itself
stays, and with it the deduplication tokens of all its blocks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Where
from sinks.clickhouse.client import available
from sinks.clickhouse.rollups import NOT_ROLLED_UP, RAW

#: Every row must count here, even identical ones, and at once: no deduplication, no asynchronous inserts.
_FILL: Final = {
    "async_insert": 0,
    "insert_deduplicate": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 0,
    "throw_on_max_partitions_per_insert_block": 0,
}
#: Queries for rows from before the raw events, in tables without monthly partitions.
_OLD_ROWS: Final = {
    "users": "SELECT user, min(first_seen) FROM {db}.users GROUP BY user"
    " HAVING min(first_seen) < {before:DateTime('UTC')}",
    "jobs": "SELECT job_type, job, max(latest) FROM {db}.jobs GROUP BY job_type, job"
    " HAVING intDiv(max(latest), 4000) < toUnixTimestamp({before:DateTime('UTC')})",
    "signups": "SELECT * FROM {db}.signups WHERE signed_up < {before:DateTime('UTC')}",
    "all_videos_15m": "SELECT * FROM {db}.all_videos_15m WHERE bucket < {before:DateTime('UTC')}",
    "activity_days": "SELECT * FROM {db}.activity_days WHERE day < toDate({before:DateTime('UTC')})",
}
#: In these tables, old rows that the raw rows rebuilt would be doubled, so they are deleted first.
_SUMMED: Final = {
    "signups": "signed_up < {before:DateTime('UTC')}",
    "all_videos_15m": "bucket < {before:DateTime('UTC')}",
    "activity_days": "day < toDate({before:DateTime('UTC')})",
}
#: Column by which a large raw table is cut into shares: its sorting key, if that is fine enough.
_CUT_BY: Final = {"playback_events": "video_id", "user_events": "user_id", "system_events": "event_id"}
_ROWS_AT_ONCE: Final = 3_000_000
#: Partitions in one statement that has bounds for each: a statement is limited to 256 KB.
_MOVED_AT_ONCE: Final = 500
_END: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a raw table that one statement inserts: share number `share` of `of` in a month."""

    table: str
    month: int
    share: int
    of: int
    rows: int


class Shadow:
    """The shadow database."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        """Prepare for a database; the client's user must be allowed to create and drop others."""
        self._client = client
        self._database, self.name = database, f"{database}_rebuild"

    async def is_spread(self) -> bool:
        """Say whether the tables are on a cluster, where this kind of rebuild is not possible."""
        return bool(
            await self._query(
                "SELECT 1 FROM system.tables"
                " WHERE database = {database:String} AND engine = 'Distributed' LIMIT 1",
                database=self._database,
            )
        )

    async def create(self) -> None:
        """Create the database anew, with empty tables."""
        await self.drop()
        await self._command(f"CREATE DATABASE {self.name}")
        tables = await self._query(
            "SELECT name, engine FROM system.tables WHERE database = {database:String}"
            " AND engine NOT IN ('View', 'MaterializedView') AND NOT is_temporary",
            database=self._database,
        )
        self.rollups: tuple[str, ...] = tuple(
            sorted(
                name
                for name, engine in tables
                if engine.endswith("MergeTree") and name not in NOT_ROLLED_UP and name not in RAW
            )
        )
        for name, _ in tables:
            if name in RAW or name in NOT_ROLLED_UP:
                source = f"SELECT * FROM {self._database}.{name} WHERE 0"
                await self._command(f"CREATE TABLE {self.name}.{name} ENGINE = Null AS {source}")
            else:
                await self._command(f"CREATE TABLE {self.name}.{name} AS {self._database}.{name}")
        views = await self._query(
            "SELECT create_table_query FROM system.tables"
            " WHERE database = {database:String} AND engine = 'MaterializedView'",
            database=self._database,
        )
        mine = re.compile(rf"(?<![\w.])`?{re.escape(self._database)}`?\.")
        for (create,) in views:
            await self._command(mine.sub(f"{self.name}.", create))

    async def drop(self) -> None:
        """Drop the database."""
        await self._command(f"DROP DATABASE IF EXISTS {self.name} SYNC")

    async def pieces(self) -> list[Piece]:
        """Return all raw rows, cut into pieces to fill."""
        rows = await self._query(
            "SELECT table, toUInt32(partition_id) AS month, sum(rows) FROM system.parts"
            " WHERE database = {database:String} AND table IN {tables:Array(String)} AND active"
            " GROUP BY table, month ORDER BY month, table",
            database=self._database,
            tables=list(RAW),
        )
        found = []
        for table, month, count in rows:
            shares = -(-count // _ROWS_AT_ONCE)
            found += [Piece(table, month, share, shares, count // shares) for share in range(shares)]
        return found

    async def fill(self, piece: Piece, ends: Mapping[Where, int]) -> None:
        """Roll up a piece: its rows before the end in `ends`, and all rows of partitions without an end."""
        share = ""
        if piece.of > 1:
            share = f" AND cityHash64({_CUT_BY[piece.table]}) % {piece.of} = {piece.share}"
        await self._insert(
            piece.table,
            f"toYYYYMM(occurred_at) = {{month:UInt32}} AND offset < {_bound('ends', _END)}{share}",
            month=piece.month,
            **_arrays("ends", ends),
        )

    async def advance(self, starts: Mapping[Where, int], ends: Mapping[Where, int]) -> None:
        """Roll up the rows of each partition from its start to its end offset."""
        # Literal bounds let ClickHouse skip parts and granules without these offsets.
        moved = [(where, starts[where], end) for where, end in ends.items() if end > starts[where]]
        for begin in range(0, len(moved), _MOVED_AT_ONCE):
            await self._insert_between(moved[begin : begin + _MOVED_AT_ONCE])

    async def _insert_between(self, moved: Sequence[tuple[Where, int, int]]) -> None:
        between = " OR ".join(
            f"(partition = {number} AND offset >= {first} AND offset < {end}"
            f" AND topic = {{topic{n}:String}} AND log = {{log{n}:String}})"
            for n, ((_, _, number), first, end) in enumerate(moved)
        )
        names = {f"topic{n}": topic for n, ((_, topic, _), _, _) in enumerate(moved)}
        logs = {f"log{n}": log for n, ((log, _, _), _, _) in enumerate(moved)}
        for table in RAW:
            await self._insert(table, between, **names, **logs)

    async def copy_old_rows(self, before: datetime) -> None:
        """Copy rows from before a time, in tables without monthly partitions.

        For users and jobs, older raw rows do no harm: their aggregates only become more complete.
        """
        for table in self.rollups:
            if table in _SUMMED:
                delete = f"ALTER TABLE {self.name}.{table} DELETE WHERE {_SUMMED[table]}"
                await self._command(delete, {"mutations_sync": 1}, before=before)
        for table in self.rollups:
            if table in _OLD_ROWS:
                select = _OLD_ROWS[table].replace("{db}", self._database)
                await self._command(f"INSERT INTO {self.name}.{table} {select}", _FILL, before=before)

    async def parts(self, since: datetime) -> list[tuple[str, str, bool]]:
        """Return table and partition to replace, and whether the shadow has rows; False empties it."""
        rows = await self._query(
            "SELECT table, partition_id, countIf(database = {shadow:String}) FROM system.parts"
            " WHERE database IN ({database:String}, {shadow:String}) AND table IN {tables:Array(String)}"
            " AND active AND rows > 0"
            " AND (partition_id = 'all' OR toUInt32OrZero(partition_id) >= {month:UInt32})"
            " GROUP BY table, partition_id ORDER BY table, partition_id",
            database=self._database,
            shadow=self.name,
            tables=list(self.rollups),
            month=_month(since),
        )
        # A table without monthly partitions and without a query in `_OLD_ROWS` is not replaced.
        whole = since.year <= 1970
        return [
            (table, partition, bool(mine))
            for table, partition, mine in rows
            if whole or partition != "all" or table in _OLD_ROWS
        ]

    async def replace_partition(self, table: str, partition: str, filled: bool) -> None:
        """Replace a partition of the real table; if not `filled`, drop it."""
        if filled:
            how = f"REPLACE PARTITION ID '{partition}' FROM {self.name}.{table}"
        else:
            how = f"DROP PARTITION ID '{partition}'"
        await self._command(f"ALTER TABLE {self._database}.{table} {how}")

    async def _insert(self, table: str, condition: str, **parameters: Any) -> None:
        # Not as a command: its parameters are in the URL, and those of hundreds of partitions are too long.
        with available():
            await self._client.raw_query(
                f"INSERT INTO {self.name}.{table} SELECT * FROM {self._database}.{table} WHERE {condition}",
                parameters=parameters,
                settings=dict(_FILL),
            )

    async def _command(self, sql: str, settings: Mapping[str, int] | None = None, **parameters: Any) -> None:
        with available():
            await self._client.command(sql, parameters=parameters or None, settings=dict(settings or {}))

    async def _query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with available():
            result = await self._client.query(sql, parameters=parameters)
        return [tuple(row) for row in result.result_rows]


def _month(instant: datetime) -> int:
    return instant.year * 100 + instant.month


def _bound(name: str, otherwise: int) -> str:
    """Return the expression for the bound of a row's partition, `otherwise` for one without."""
    return (
        f"transform(concat(log, '/', topic, '/', toString(partition)), {{{name}_of:Array(String)}},"
        f" {{{name}:Array(UInt64)}}, toUInt64({otherwise}))"
    )


def _arrays(name: str, bounds: Mapping[Where, int]) -> dict[str, Any]:
    return {
        f"{name}_of": [f"{log}/{topic}/{number}" for log, topic, number in bounds],
        name: list(bounds.values()),
    }
