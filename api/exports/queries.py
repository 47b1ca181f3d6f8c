"""The SQL of exports. Values are bound; identifiers come from `columns` and the registries.

Columns of a result have the names of the file. For formats that spreadsheets open, texts that they would take
for formulas are escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from api.exports.columns import SYSTEM_COLUMNS, USER, USER_COLUMNS, VIDEO, VIDEO_COLUMNS
from api.exports.orders import Order
from sinks.clickhouse.facts import OUTSIDE, Facts
from sinks.clickhouse.instants import (
    INSTANT,
    clock_parameters,
    indented,
    local_seconds,
    milliseconds,
    ranges,
    text,
)
from sinks.clickhouse.queries import Query
from sinks.clickhouse.user_queries import ACTIONS
from streams.domain.local_time import clock, day_number, split_days
from streams.domain.system_readings import JOB, PROBE, REQUEST, STORAGE, UNTIMED_JOB
from streams.domain.user_readings import DAYS_LATER, SESSION_SILENCE
from streams.domain.windows import QUARTER, Stretch, Window, ceiling, floor, midnight

_DAY: Final = timedelta(days=1)
_COMMA: Final = ",\n    "


def statement(order: Order) -> Query:
    """Return the query of an order."""
    if order.kind == VIDEO:
        return _videos(order)
    return _users(order) if order.kind == USER else _systems(order)


def _local(seconds: str) -> str:
    """Return the expression for the number of the local day of epoch seconds."""
    return f"intDiv({local_seconds(seconds)}, 86400)"


def _harmless(column: str, order: Order) -> str:
    """Return a text column, with an apostrophe before texts that a spreadsheet would take for formulas."""
    if not order.spreadsheet:
        return column
    return f"if(match({column}, '^[=+@\\\\t\\\\r\\\\n-]'), concat('''', {column}), {column})"


class _DailyFacts(Facts):
    """The facts of all videos, with the number of the local day of each."""

    def _select(self, at: str, piece: str, values: dict[str, str]) -> str:
        day = _local(f"toUnixTimestamp({at})")
        return f"{super()._select(at, piece, values)},\n    {day} AS local,\n    '' AS viewer"


_TITLES: Final = (
    "SELECT video_id, argMax(title, (received_at, offset)) AS newest, "
    "argMax(live, (received_at, offset)) AS on_air\n"
    "FROM video_catalog\nGROUP BY video_id\nHAVING NOT argMax(deleted, (received_at, offset))"
)


def _videos(order: Order) -> Query:
    window = order.window
    formulas = {name: each for group in order.metrics for name, each in VIDEO_COLUMNS[group].items()}
    measures = sorted({measure for each in formulas.values() for measure in each.measures})
    facts = _DailyFacts(window, measures, compare=False, video=False)
    rows = facts.sql
    if "views" in order.metrics:
        # Viewers are counted with views, on the local day of the start.
        zeros = ", ".join(f"0 AS {name}" for name in measures)
        rows += indented(
            f"\nUNION ALL\nSELECT 1 AS piece, video_id, {zeros},\n"
            f"    {_local('toUnixTimestamp(started_at)')} AS local, user_id AS viewer\n"
            "FROM view_starts\n"
            f"WHERE started_at >= {{start:{INSTANT}}} AND started_at < {{end:{INSTANT}}}"
        )
    columns = [f"{formula.sql} AS c_{name}" for name, formula in formulas.items()]
    columns.append("uniqExactIf(viewer, viewer != '') AS viewers")
    counted = (
        f"SELECT local, video_id,\n    {_COMMA.join(columns)}\n"
        f"FROM\n(\n{rows}\n)\nWHERE piece != {OUTSIDE}\nGROUP BY local, video_id\n"
        f"HAVING {' + '.join(f'sum({name})' for name in measures)} > 0"
    )
    shown = [
        "toDate32(toInt32(counted.local)) AS date",
        f"{_harmless('counted.video_id', order)} AS videoId",
        # Nothing is joined where the catalog knows nothing; a title may be empty.
        f"if(titles.video_id = '', NULL, {_harmless('newest', order)}) AS title",
    ]
    for name in formulas:
        value = f"c_{name}" if _is_count(name) else f"round(c_{name}, 6)"
        shown.append(
            f"if(on_air, NULL, {value}) AS {name}" if name == "completionRate" else f"{value} AS {name}"
        )
        if name == "views":
            shown.append("viewers AS uniqueViewers")
    sql = (
        f"SELECT {', '.join(shown)}\n"
        f"FROM\n(\n{indented(counted)}\n) AS counted\n"
        f"LEFT JOIN\n(\n{indented(_TITLES)}\n) AS titles ON titles.video_id = counted.video_id\n"
        "ORDER BY counted.local, counted.video_id"
    )
    return Query(sql, facts.parameters | clock_parameters(clock(window.zone, window.start, window.end)))


def _is_count(name: str) -> bool:
    return name in {"views", "completions", "likes", "comments", "shares", "attempts", "failedViews"}


class _Days:
    """The local days that a window touches and that have begun."""

    def __init__(self, window: Window) -> None:
        self.zone = window.zone
        self.today = window.as_of.astimezone(window.zone).date()
        self.first = min(window.start.astimezone(window.zone).date(), self.today)
        last = (window.end - timedelta(microseconds=1)).astimezone(window.zone).date()
        self.last = max(self.first, min(last, self.today))
        self.start = midnight(self.first, window.zone)
        self.end = self.after(0)

    def after(self, days: int) -> datetime:
        """Return the end of the last day, or of a later one."""
        return midnight(self.last + (days + 1) * _DAY, self.zone)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the values that the branches bind."""
        return {
            "start": text(self.start),
            "end": text(self.end),
            "start_ms": milliseconds(self.start),
            "end_ms": milliseconds(self.end),
            "silence_from": self.first - SESSION_SILENCE - _DAY,
            "silence_to": self.last + SESSION_SILENCE + _DAY,
            "first": day_number(self.first),
            "last": day_number(self.last),
            "today": day_number(self.today),
            **clock_parameters(clock(self.zone, self.start - 2 * _DAY, self.end + 2 * _DAY)),
        }


_USER_SUMS: Final = (
    *("active", "fresh", "sessions", "session_ms", "page_views"),
    *ACTIONS,
    *(f"later_{days}" for days in DAYS_LATER),
)
_NEWCOMERS: Final = (
    f"SELECT user, {_local('toUnixTimestamp(first_seen)')} AS local\n"
    f"FROM users FINAL\nWHERE first_seen >= {{start:{INSTANT}}} AND first_seen < {{end:{INSTANT}}}"
)
_SESSIONS: Final = """\
SELECT
    toInt64(bitShiftRight(bitShiftRight(min(first), 64), 4)) AS opened_ms,
    toUnixTimestamp64Milli(max(last)) - opened_ms AS duration_ms,
    sum(pages) AS viewed
FROM session_days
WHERE day >= {silence_from:Date} AND day <= {silence_to:Date}
GROUP BY session
HAVING opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}"""


def _users(order: Order) -> Query:
    days = _Days(order.window)
    parameters = days.parameters
    wanted = set(order.metrics)
    branches = [
        _daily(
            "SELECT {first:Int64} + number AS local FROM numbers(toUInt64({last:Int64} - {first:Int64} + 1))",
            {},
        )
    ]
    if wanted & {"activity", "growth"}:
        active = _active_days(days, days.start, days.end, parameters, "active")
        branches.append(_daily(active, {"active": "uniqExact(user)"}))
    if wanted & {"growth", "retention"}:
        branches.append(_daily(_NEWCOMERS, {"fresh": "count()"}))
    if "activity" in wanted:
        branches += _visits()
    if "retention" in wanted:
        branches.append(_returns(days, parameters))
    union = indented("\nUNION ALL\n".join(branches))
    sums = ",\n    ".join(f"toInt64(sum({name})) AS {name}" for name in _USER_SUMS)
    grouped = f"SELECT local,\n    {sums}\nFROM\n(\n{union}\n)\nGROUP BY local"
    shown = [f"{sql} AS {name}" for group in order.metrics for name, sql in USER_COLUMNS[group].items()]
    sql = (
        f"SELECT toDate32(toInt32(local)) AS date,\n    {_COMMA.join(shown)}\n"
        f"FROM\n(\n{indented(grouped)}\n)\n"
        "WHERE local >= {first:Int64} AND local <= {last:Int64}\nORDER BY local"
    )
    return Query(sql, parameters)


def _daily(rows: str, sums: Mapping[str, str]) -> str:
    """Return a branch: `local`, and a column for every sum, 0 for those not in `sums`."""
    columns = ", ".join(f"toInt64({sums.get(name, '0')}) AS {name}" for name in _USER_SUMS)
    return f"SELECT toInt64(local) AS local, {columns}\nFROM\n(\n{indented(rows)}\n)\nGROUP BY local"


def _active_days(days: _Days, start: datetime, end: datetime, parameters: dict[str, Any], name: str) -> str:
    """Return `user` and `local` of all active days; a day may occur twice."""
    split = split_days(days.zone, start, end)
    parameters |= {
        f"{name}_from": split.first,
        f"{name}_to": split.first + timedelta(days=len(split.cuts) - 1),
        f"{name}_before": list(split.before),
        f"{name}_after": list(split.after),
        f"{name}_heads": [(1 << cut) - 1 for cut in split.cuts],
    }
    number = f"toUInt16(day - {{{name}_from:Date}}) + 1"
    head = f"bitAnd(slots, {{{name}_heads:Array(UInt128)}}[{number}])"
    source = f"FROM user_days\nWHERE day >= {{{name}_from:Date}} AND day <= {{{name}_to:Date}}"
    return (
        f"SELECT user, {{{name}_before:Array(Int32)}}[{number}] AS local\n{source} AND {head} != 0\n"
        "UNION ALL\n"
        f"SELECT user, {{{name}_after:Array(Int32)}}[{number}] AS local\n{source} AND {head} != slots"
    )


def _visits() -> Iterator[str]:
    """Return sessions by the day of their first event, and actions by their own."""
    opened = _local("intDiv(opened_ms, 1000)")
    sessions = f"SELECT {opened} AS local, duration_ms, viewed\nFROM\n(\n{indented(_SESSIONS)}\n)"
    yield _daily(
        sessions, {"sessions": "count()", "session_ms": "sum(duration_ms)", "page_views": "sum(viewed)"}
    )
    done = (
        f"SELECT {_local('toUnixTimestamp(bucket)')} AS local, "
        + ", ".join(f"{name} AS n_{name}" for name in ACTIONS)
        + f"\nFROM user_actions_15m\nWHERE bucket >= {{start:{INSTANT}}} AND bucket < {{end:{INSTANT}}}"
    )
    yield _daily(done, {name: f"sum(n_{name})" for name in ACTIONS})


def _returns(days: _Days, parameters: dict[str, Any]) -> str:
    """Return how many of each day's newcomers were active on exactly that day + N."""
    active = _active_days(days, days.start, days.after(max(DAYS_LATER)), parameters, "return")
    cohorts = _NEWCOMERS.replace(" AS local", " AS cohort")
    pairs = (
        "SELECT DISTINCT user, cohort AS local, days.local - cohort AS later\n"
        f"FROM\n(\n{indented(active)}\n) AS days\n"
        f"INNER JOIN\n(\n{indented(cohorts)}\n) AS newcomers USING (user)\n"
        f"WHERE later IN ({', '.join(map(str, DAYS_LATER))})"
    )
    return _daily(pairs, {f"later_{later}": f"countIf(later = {later})" for later in DAYS_LATER})


_SYSTEM_SUMS: Final = {
    "requests": f"sumIf(events, kind = '{REQUEST}')",
    "request_errors": f"sumIf(errors, kind = '{REQUEST}')",
    "request_ms": f"sumIf(duration_ms, kind = '{REQUEST}')",
    "jobs_ended": f"sumIf(events, kind = '{JOB}')",
    "jobs_failed": f"sumIf(errors, kind = '{JOB}')",
    "jobs_untimed": f"sumIf(events, kind = '{UNTIMED_JOB}')",
    "job_ms": f"sumIf(duration_ms, kind = '{JOB}')",
    "reads": f"sumIf(events, kind = '{STORAGE}' AND name = 'read')",
    "writes": f"sumIf(events, kind = '{STORAGE}' AND name = 'write')",
    "storage_errors": f"sumIf(errors, kind = '{STORAGE}')",
    "bytes_read": f"sumIf(bytes, kind = '{STORAGE}' AND name = 'read')",
    "bytes_written": f"sumIf(bytes, kind = '{STORAGE}' AND name = 'write')",
    "probes": f"sumIf(events, kind = '{PROBE}')",
    "probes_failed": f"sumIf(errors, kind = '{PROBE}')",
}


def _systems(order: Order) -> Query:
    window = order.window
    start = min(floor(window.start, QUARTER), floor(window.as_of, QUARTER))
    end = max(min(ceiling(window.end, QUARTER), ceiling(window.as_of, QUARTER)), start + QUARTER)
    parameters: dict[str, Any] = {
        "first": int(start.timestamp()),
        "count": (end - start) // QUARTER,
    }
    where = ranges("minute", [Stretch(start, end)], parameters, "window")
    quarter = "toUInt32(toUnixTimestamp(toStartOfFifteenMinutes(minute))) AS quarter"
    sums = ",\n    ".join(f"{sql} AS {name}" for name, sql in _SYSTEM_SUMS.items())
    counted = f"SELECT {quarter},\n    {sums}\nFROM system_1m\nWHERE {where}\nGROUP BY quarter"
    times = (
        f"SELECT {quarter}, quantilesBFloat16Merge(0.95, 0.99)(durations) AS times\n"
        f"FROM latency_1m\nWHERE {where}\nGROUP BY quarter"
    )
    shown = [f"{sql} AS {name}" for group in order.metrics for name, sql in SYSTEM_COLUMNS[group].items()]
    sql = (
        f"SELECT toDateTime64(quarter, 3, 'UTC') AS time,\n    {_COMMA.join(shown)}\n"
        "FROM\n(\n    SELECT toUInt32({first:UInt32} + number * 900) AS quarter\n"
        "    FROM numbers({count:UInt64})\n) AS every\n"
        f"LEFT JOIN\n(\n{indented(counted)}\n) AS counted USING (quarter)\n"
        f"LEFT JOIN\n(\n{indented(times)}\n) AS latencies USING (quarter)\n"
        "ORDER BY quarter"
    )
    return Query(sql, parameters)
