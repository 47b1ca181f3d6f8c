"""Compares roll-ups with the raw tables: the same query to both, and the differences.

The expected contents of a roll-up are what the SELECTs of its materialized views give for the raw rows. They
are read from the server, so nothing is defined twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Where
from sinks.clickhouse.client import available
from sinks.clickhouse.cluster import LOCAL
from sinks.clickhouse.instants import aware
from sinks.clickhouse.rollups import RAW, RollupQuery

_SINCE: Final = "occurred_at >= {since:DateTime('UTC')}"
#: Sums of floating point numbers depend on their order.
_TOLERANCE: Final = 1e-9
#: Checksums are sums of 64-bit numbers modulo this.
_CHECKSUMS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """The allowed range of a value, including both bounds."""

    lower: Any
    upper: Any

    def __str__(self) -> str:
        """Return the range as text."""
        return f"{self.lower} to {self.upper}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of a bucket that differs between raw rows and roll-up."""

    table: str
    bucket: datetime
    value: str
    raw: Any
    rolled_up: Any

    @property
    def gap(self) -> Any:
        """Return a signature of the difference, to compare with a later reading.

        It is what the roll-up lacks; both values if they are no integers; and for bounds, whether the upper
        one is exceeded. For missing or doubled rows it stays the same, however many rows arrive meanwhile.
        """
        if isinstance(self.raw, Bounds):
            return self.rolled_up > self.raw.upper
        if isinstance(self.raw, int) and isinstance(self.rolled_up, int):
            return (self.raw - self.rolled_up) % _CHECKSUMS
        return self.raw, self.rolled_up

    def __str__(self) -> str:
        """Return the difference as one line of text."""
        where = f"{self.table}, {self.bucket:%Y-%m-%d %H:%M}, {self.value}"
        return f"{where}: {self.rolled_up}, but {self.raw} by raw events"


class Audit:
    """Compares roll-ups with the raw rows."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        """Use a client bound to the analytics database of that name."""
        self._client, self._database = client, database

    async def rollup(self, query: RollupQuery, since: datetime) -> dict[tuple[datetime, str], Difference]:
        """Return the differences of a roll-up, by bucket (from `since` on) and name of the value.

        The raw tables must be complete from `since` on. Rows that arrive between the two queries differ for a
        moment: then run it again.
        """
        raw = self._raw(query.table, await self._views(), _SINCE)
        known = ""
        if query.table == "users":
            # A user may have events in the window and before; only the roll-up has the first one.
            known = (
                " AND user NOT IN (SELECT user FROM users"
                " GROUP BY user HAVING min(first_seen) < {since:DateTime('UTC')})"
            )
        names = list(query.values)
        values = ", ".join(f"{expression} AS v{n}" for n, expression in enumerate(query.values.values()))

        def side(source: str, condition: str) -> str:
            merged = query.merged.replace("{source}", source)
            return (
                f"SELECT toDateTime({query.bucket}, 'UTC') AS at, {values} FROM {merged}"
                f" WHERE at >= {{since:DateTime('UTC')}}{condition} GROUP BY at"
            )

        least = await self._values(side(f"({raw})", known), since)
        rolled_up = await self._values(side(query.table, ""), since)
        # Read last: a roll-up never exceeds the bound from raw rows that are read later.
        most = await self._values(side(query.upper_bound, ""), since) if query.upper_bound else least
        differences = {}
        nothing: tuple[Any, ...] = (0,) * len(names)
        for at in sorted(least.keys() | rolled_up.keys()):
            low, mine, high = (found.get(at, nothing) for found in (least, rolled_up, most))
            for n, name in enumerate(names):
                allowed = Bounds(low[n], high[n]) if query.upper_bound else low[n]
                if not _allows(allowed, mine[n]):
                    differences[at, name] = Difference(query.table, at, name, allowed, mine[n])
        return differences

    async def rows_query(self, table: str, condition: str) -> tuple[tuple[str, ...], str]:
        """Return a roll-up's columns, and the query that makes its rows from raw rows that meet a condition.

        The condition may use any column that all raw tables of the roll-up have.
        """
        views = await self._views()
        return _columns(views[table]), self._raw(table, views, condition)

    async def _values(self, sql: str, since: datetime) -> dict[datetime, tuple[Any, ...]]:
        with available():
            result = await self._client.query(sql, parameters={"since": since})
        return {aware(row[0]): tuple(row[1:]) for row in result.result_rows}

    async def ingested(self) -> dict[Where, Ingested]:
        """Return offsets and rows in `ingested_offsets` by log, topic and partition."""
        with available():
            result = await self._client.query(
                "SELECT log, topic, partition, max(next_offset), sum(rows)"
                " FROM ingested_offsets GROUP BY log, topic, partition"
            )
        return {(log, topic, number): Ingested(*rest) for log, topic, number, *rest in result.result_rows}

    async def rows(self, table: str, booked: Mapping[Where, Ingested]) -> dict[Where, tuple[int, int]]:
        """Return by partition a raw table's rows before `next_offset`, and how many distinct records."""
        names = [f"{log}/{topic}/{number}" for log, topic, number in booked]
        ends = [each.next_offset for each in booked.values()]
        with available():
            result = await self._client.query(
                f"SELECT log, topic, partition, count(), uniqExact(offset) FROM {table}"
                " WHERE offset < transform(concat(log, '/', topic, '/', toString(partition)),"
                " {names:Array(String)}, {ends:Array(UInt64)}, toUInt64(0))"
                " GROUP BY log, topic, partition",
                parameters={"names": names, "ends": ends},
            )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in result.result_rows}

    async def forgotten(self) -> Forgotten:
        """Return what `vca forget` removed."""
        with available():
            result = await self._client.query(
                "SELECT log, topic, partition, sum(rows), groupUniqArray(day) FROM forgotten_rows"
                " GROUP BY log, topic, partition"
            )
        rows = {(log, topic, number): int(rows) for log, topic, number, rows, _ in result.result_rows}
        return Forgotten(rows, frozenset(day for row in result.result_rows for day in row[-1]))

    async def _views(self) -> dict[str, list[_View]]:
        """Return the materialized views by their target table."""
        with available():
            result = await self._client.query(
                "SELECT create_table_query, as_select FROM system.tables"
                " WHERE database = {database:String} AND engine = 'MaterializedView'",
                parameters={"database": self._database},
            )
        found: dict[str, list[_View]] = {}
        # On a cluster, the views of a node read its local tables; without the suffix they apply to all
        # shards.
        told = [[re.sub(rf"{LOCAL}\b", "", text) for text in row] for row in result.result_rows]
        for create, select in told:
            head = create.removesuffix(select)
            target = re.search(r"\bTO (?:`?\w+`?\.)?`?(\w+)`?\s*\(", head)
            if target is not None:
                columns = tuple(re.findall(r"`(\w+)` ", head[target.end() - 1 :]))
                found.setdefault(target[1], []).append(_View(columns, select))
        return found

    def _raw(self, table: str, views: Mapping[str, list[_View]], condition: str) -> str:
        """Return the query that makes a roll-up's rows from raw rows that meet a condition."""
        columns = _columns(views.get(table, ()))
        selects = []
        for view in views.get(table, ()):
            select = view.select
            for name in RAW:
                select = self._replaced(select, name, f"(SELECT * FROM {name} WHERE {condition})")
            for name in views:
                # A roll-up of another roll-up, or of the table `activity`.
                if name != table and self._replaced(select, name, "") != select:
                    select = self._replaced(select, name, f"({self._raw(name, views, condition)})")
            # A view may fill some columns only; the others are 0.
            mine = ", ".join(name if name in view.columns else f"0 AS {name}" for name in columns)
            selects.append(f"SELECT {mine} FROM ({select})")
        return " UNION ALL ".join(selects)

    def _replaced(self, select: str, name: str, by: str) -> str:
        pattern = rf"\bFROM `?{re.escape(self._database)}`?\.`?{name}`?(?!\w)"
        return re.sub(pattern, lambda _: f"FROM {by}", select)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `vca forget` removed: raw rows by log, topic and partition, and the affected days (UTC)."""

    rows: Mapping[Where, int]
    days: frozenset[date]


@dataclass(frozen=True, slots=True)
class Ingested:
    """A partition in `ingested_offsets`: the offset after its last row, and its number of rows."""

    next_offset: int
    rows: int


@dataclass(frozen=True, slots=True)
class _View:
    columns: tuple[str, ...]
    select: str


def _columns(views: Iterable[_View]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for view in views for column in view.columns))


def _allows(allowed: Any, value: Any) -> bool:
    if isinstance(allowed, Bounds):
        return bool(allowed.lower <= value <= allowed.upper)
    return _equal(allowed, value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return bool(abs(one - other) <= _TOLERANCE * max(1.0, abs(one), abs(other)))
    return bool(one == other)
