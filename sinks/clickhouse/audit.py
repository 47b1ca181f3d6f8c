"""Roll-ups held against the raw tables: the same question to both, and where the answers differ.

What a roll-up should hold is what its materialized views say of the raw rows, in their own words: their
SELECTs are read from the server, so that nothing is defined twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.client import available
from sinks.clickhouse.cluster import LOCAL

#: Raw tables by the topic's kind, held against ClickHouse's books.
RAW: Final = ("playback_events", "user_events", "system_events")
#: Every table that is neither raw nor a roll-up with a question below, and why it has none.
NOT_ROLLED_UP: Final[Mapping[str, str]] = {
    "video_catalog": "keeps the newest version of a video only: there is nothing to count",
    "ingested_offsets": "the books: raw rows and the ledgers are held against them",
    "schema_migrations": "what `vca migrate` did, which `vca doctor` looks at",
    "activity": "keeps nothing: a step between raw tables and roll-ups",
    "forgotten_rows": "what `vca forget` removed: raw rows are held against it, with the books",
}
#: Roll-ups in which nobody can be found: they keep what they have of somebody whom `vca forget` removed.
SUMS: Final = frozenset({"video_15m", "video_days", "all_videos_15m", "user_actions_15m", "activity_days"})
_SINCE: Final = "occurred_at >= {since:DateTime('UTC')}"
#: Sums of floating point numbers depend on their order.
_TOLERANCE: Final = 1e-9
#: Checksums are sums of 64-bit numbers that run over.
_CHECKSUMS: Final = 1 << 64


#: Log, topic and partition.
Where = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a roll-up: `values` by `bucket`, of its rows merged as its readers merge them."""

    table: str
    bucket: str
    values: Mapping[str, str]
    #: Merges rows of one key, where the engine may not have done so yet; {source} is the table.
    merged: str = "{source}"
    #: Where values depend on how rows were cut into blocks: what they are if each row is a block of its own.
    #: Those of one block of all rows are the least.
    at_most: str = ""


def _sums(*names: str) -> dict[str, str]:
    return {name: f"sum({name})" for name in names}


def _rows(*columns: str) -> dict[str, str]:
    return {"rows": "count()", "checksum": f"sum(cityHash64({', '.join(columns)}))"}


QUESTIONS: Final = (
    Question(
        "video_15m",
        "bucket",
        _sums(
            *("attempts", "fatals", "views", "completions", "sized", "parts", "watched_ms", "rebuffer_ms"),
            *("rebuffers", "bitrate_weight", "bitrate_ms", "likes", "comments", "shares"),
        )
        | {"checksum": "sum(cityHash64(video_id, country, device, platform) * (views + watched_ms + likes))"},
    ),
    Question(
        "view_starts",
        "toStartOfHour(started_at)",
        _rows(
            *("video_id", "view_id", "user_id", "session_id", "started_at", "country", "device", "platform")
        ),
    ),
    Question(
        "session_days",
        "toDateTime(day, 'UTC')",
        {"sessions": "count()", **_sums("pages", "actions"), **_rows("session", "first", "last", "played")},
        "(SELECT day, session, min(first) AS first, max(last) AS last, sum(pages) AS pages,"
        " sum(actions) AS actions, max(played) AS played FROM {source} GROUP BY day, session)",
    ),
    Question(
        "users",
        "toStartOfDay(first_seen)",
        _rows("user", "first_seen"),
        "(SELECT user, min(first_seen) AS first_seen FROM {source} GROUP BY user)",
    ),
    Question(
        "user_days",
        "toDateTime(day, 'UTC')",
        _rows("user", "slots"),
        "(SELECT day, user, groupBitOr(slots) AS slots FROM {source} GROUP BY day, user)",
    ),
    Question("signups", "toStartOfDay(signed_up)", _rows("user", "signed_up", "source")),
    Question(
        "video_days",
        "toDateTime(day, 'UTC')",
        _sums(
            *("views", "completions", "sized", "parts", "watched_ms", "likes", "comments", "shares"),
        )
        | {"checksum": "sum(cityHash64(video_id) * (views + watched_ms + likes))"},
    ),
    Question(
        "all_videos_15m",
        "bucket",
        _sums("views", "completions", "sized", "parts", "watched_ms", "likes", "comments", "shares"),
    ),
    Question("user_actions_15m", "bucket", _sums("uploads", "comments", "likes", "shares")),
    Question(
        "system_1m",
        "toStartOfHour(minute)",
        _sums("events", "errors", "duration_ms", "bytes")
        | {"checksum": "sum(cityHash64(minute, kind, name, service) * events)"},
    ),
    Question(
        "latency_1m",
        "toStartOfHour(minute)",
        {"quantiles": "toString(quantilesBFloat16Merge(0.95, 0.99)(durations))"},
    ),
    Question(
        "jobs",
        "toStartOfDay(toDateTime(intDiv(latest, 4000), 'UTC'))",
        _rows("job_type", "job", "latest"),
        "(SELECT job_type, job, max(latest) AS latest FROM {source} GROUP BY job_type, job)",
    ),
    Question(
        "host_samples",
        "toStartOfHour(occurred_at)",
        _rows(
            *("host", "occurred_at", "event_id", "service", "cpu", "load"),
            *("memory_used_bytes", "memory_total_bytes", "storage_used_bytes", "storage_total_bytes"),
        ),
    ),
    Question(
        "activity_days",
        "toDateTime(day, 'UTC')",
        _sums("events"),
        at_most="(SELECT toDate(occurred_at) AS day, 1 AS events FROM playback_events"
        " UNION ALL SELECT toDate(occurred_at) AS day, 1 AS events FROM user_events)",
    ),
)


@dataclass(frozen=True, slots=True)
class Between:
    """What a value may be, both ends included."""

    least: Any
    most: Any

    def __str__(self) -> str:
        """Say it in a few words."""
        return f"{self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of a bucket of which raw rows and roll-up say different things."""

    table: str
    bucket: datetime
    value: str
    raw: Any
    rolled_up: Any

    @property
    def gap(self) -> Any:
        """Return what the roll-up lacks; where that is no number, what both say; of bounds, which is passed.

        Of rows that are missing or double it is the same at every reading, however many come meanwhile.
        """
        if isinstance(self.raw, Between):
            return self.rolled_up > self.raw.most
        if isinstance(self.raw, int) and isinstance(self.rolled_up, int):
            return (self.raw - self.rolled_up) % _CHECKSUMS
        return self.raw, self.rolled_up

    def __str__(self) -> str:
        """Say it in a line."""
        where = f"{self.table}, {self.bucket:%Y-%m-%d %H:%M}, {self.value}"
        return f"{where}: {self.rolled_up}, but {self.raw} by raw events"


class Audit:
    """Compares roll-ups with what their views make of the raw rows."""

    def __init__(self, client: AsyncClient, database: str) -> None:
        """Use a client bound to the analytics database of that name."""
        self._client, self._database = client, database

    async def rollup(self, question: Question, since: datetime) -> dict[tuple[datetime, str], Difference]:
        """Return where a roll-up differs, by bucket (from `since` on) and value.

        The raw tables must be whole from `since` on. Rows that land between the two readings differ for a
        moment: ask again.
        """
        raw = self._raw(question.table, await self._views(), _SINCE)
        known = ""
        if question.table == "users":
            # A user of old has events in the window as well; the roll-up alone knows since when.
            known = (
                " AND user NOT IN (SELECT user FROM users"
                " GROUP BY user HAVING min(first_seen) < {since:DateTime('UTC')})"
            )
        names = list(question.values)
        values = ", ".join(f"{expression} AS v{n}" for n, expression in enumerate(question.values.values()))

        def side(source: str, condition: str) -> str:
            merged = question.merged.replace("{source}", source)
            return (
                f"SELECT toDateTime({question.bucket}, 'UTC') AS at, {values} FROM {merged}"
                f" WHERE at >= {{since:DateTime('UTC')}}{condition} GROUP BY at"
            )

        least = await self._values(side(f"({raw})", known), since)
        rolled_up = await self._values(side(question.table, ""), since)
        # Read last: a roll-up never has more than the raw rows of a moment later allow.
        most = await self._values(side(question.at_most, ""), since) if question.at_most else least
        differences = {}
        nothing: tuple[Any, ...] = (0,) * len(names)
        for at in sorted(least.keys() | rolled_up.keys()):
            low, mine, high = (found.get(at, nothing) for found in (least, rolled_up, most))
            for n, name in enumerate(names):
                allowed = Between(low[n], high[n]) if question.at_most else low[n]
                if not _allows(allowed, mine[n]):
                    differences[at, name] = Difference(question.table, at, name, allowed, mine[n])
        return differences

    async def recipe(self, table: str, condition: str) -> tuple[tuple[str, ...], str]:
        """Return a roll-up's columns, and a query that makes its rows of the raw rows that meet a condition.

        It may be a condition on any column that the raw tables behind the roll-up have all.
        """
        views = await self._views()
        return _columns(views[table]), self._raw(table, views, condition)

    async def _values(self, sql: str, since: datetime) -> dict[datetime, tuple[Any, ...]]:
        with available():
            result = await self._client.query(sql, parameters={"since": since})
        return {_aware(row[0]): tuple(row[1:]) for row in result.result_rows}

    async def booked(self) -> dict[Where, Booked]:
        """Return ClickHouse's own books by log, topic and partition."""
        with available():
            result = await self._client.query(
                "SELECT log, topic, partition, max(next_offset), sum(rows)"
                " FROM ingested_offsets GROUP BY log, topic, partition"
            )
        return {(log, topic, number): Booked(*rest) for log, topic, number, *rest in result.result_rows}

    async def rows(self, table: str, booked: Mapping[Where, Booked]) -> dict[Where, tuple[int, int]]:
        """Return a raw table's rows of each partition up to its books, and of how many records they are."""
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
        """Return what `vca forget` has removed."""
        with available():
            result = await self._client.query(
                "SELECT log, topic, partition, sum(rows), groupUniqArray(day) FROM forgotten_rows"
                " GROUP BY log, topic, partition"
            )
        rows = {(log, topic, number): int(rows) for log, topic, number, rows, _ in result.result_rows}
        return Forgotten(rows, frozenset(day for row in result.result_rows for day in row[-1]))

    async def first_instant(self) -> datetime | None:
        """Return when the first event occurred that a roll-up knows of; None when there is none."""
        with available():
            result = await self._client.query(
                "SELECT min(at), count() FROM"
                " (SELECT toDateTime(min(day), 'UTC') AS at FROM user_days HAVING count() > 0"
                " UNION ALL SELECT min(minute) FROM system_1m HAVING count() > 0"
                " UNION ALL SELECT min(bucket) FROM video_15m HAVING count() > 0)"
            )
        first, found = result.result_rows[0]
        return _aware(first) if found else None

    async def _views(self) -> dict[str, list[_View]]:
        """Return the materialized views by the table that they feed."""
        with available():
            result = await self._client.query(
                "SELECT create_table_query, as_select FROM system.tables"
                " WHERE database = {database:String} AND engine = 'MaterializedView'",
                parameters={"database": self._database},
            )
        found: dict[str, list[_View]] = {}
        # On a cluster the views of a node are about its own tables; what they say of one is true of all.
        told = [[re.sub(rf"{LOCAL}\b", "", text) for text in row] for row in result.result_rows]
        for create, select in told:
            head = create.removesuffix(select)
            target = re.search(r"\bTO (?:`?\w+`?\.)?`?(\w+)`?\s*\(", head)
            if target is not None:
                columns = tuple(re.findall(r"`(\w+)` ", head[target.end() - 1 :]))
                found.setdefault(target[1], []).append(_View(columns, select))
        return found

    def _raw(self, table: str, views: Mapping[str, list[_View]], condition: str) -> str:
        """Return a query that makes a roll-up's rows from the raw rows that meet a condition."""
        columns = _columns(views.get(table, ()))
        selects = []
        for view in views.get(table, ()):
            select = view.select
            for name in RAW:
                select = self._replaced(select, name, f"(SELECT * FROM {name} WHERE {condition})")
            for name in views:
                # A roll-up of a roll-up, or of the step between.
                if name != table and self._replaced(select, name, "") != select:
                    select = self._replaced(select, name, f"({self._raw(name, views, condition)})")
            # A view may feed some columns only; the others stay 0.
            mine = ", ".join(name if name in view.columns else f"0 AS {name}" for name in columns)
            selects.append(f"SELECT {mine} FROM ({select})")
        return " UNION ALL ".join(selects)

    def _replaced(self, select: str, name: str, by: str) -> str:
        pattern = rf"\bFROM `?{re.escape(self._database)}`?\.`?{name}`?(?!\w)"
        return re.sub(pattern, lambda _: f"FROM {by}", select)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `vca forget` removed: raw rows by log, topic and partition, and the days (UTC) that it touched."""

    rows: Mapping[Where, int]
    days: frozenset[date]


@dataclass(frozen=True, slots=True)
class Booked:
    """What ClickHouse has written down of a partition: offset after its last row, and how many rows."""

    next_offset: int
    rows: int


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


@dataclass(frozen=True, slots=True)
class _View:
    columns: tuple[str, ...]
    select: str


def _columns(views: Iterable[_View]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for view in views for column in view.columns))


def _allows(allowed: Any, value: Any) -> bool:
    if isinstance(allowed, Between):
        return bool(allowed.least <= value <= allowed.most)
    return _equal(allowed, value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return bool(abs(one - other) <= _TOLERANCE * max(1.0, abs(one), abs(other)))
    return bool(one == other)
