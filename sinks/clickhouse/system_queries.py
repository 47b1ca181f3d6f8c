"""The SQL about the platform itself. Values are bound; identifiers are spelled here.

Whole minutes of a window are read from the tables by minute, and what lies between an edge and the next
minute from `system_events`, so every edge is exact.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from sinks.clickhouse.instants import indented, ranges, text
from sinks.clickhouse.queries import Query
from streams.domain.system_readings import JOB, PROBE, REQUEST, STORAGE, UNTIMED_JOB
from streams.domain.windows import Stretch, Window, ceiling, floor

#: Endpoints in an answer, at most.
MAX_ENDPOINTS: Final = 1000
_MINUTE: Final = timedelta(minutes=1)
_QUANTILES: Final = "(0.95, 0.99)"
_COLUMNS: Final = "minute, kind, name, events, errors, duration_ms, bytes"
#: One raw event as a row of `system_1m`, or two: the same expressions as its materialized views.
_RAW: Final = f"""\
SELECT
    toStartOfMinute(toDateTime(occurred_at)) AS minute,
    kind,
    multiIf(type = '{REQUEST}', endpoint, type = '{JOB}', toString(job_type), toString(op)) AS name,
    toUInt64(1) AS events,
    toUInt64(multiIf(type = '{REQUEST}', status >= 500, type = '{JOB}', state = 'failed', NOT ok)) AS errors,
    if(type = '{REQUEST}' OR state = 'finished', system_events.duration_ms, 0) AS duration_ms,
    system_events.bytes AS bytes
FROM system_events
ARRAY JOIN if(
    type = '{JOB}' AND state = 'finished' AND system_events.duration_ms = 0,
    ['{JOB}', '{UNTIMED_JOB}'],
    [toString(type)]
) AS kind
WHERE (type != '{JOB}' OR state IN ('finished', 'failed')) AND """


def _minutes(stretch: Stretch) -> tuple[list[Stretch], list[Stretch]]:
    """Split a stretch into whole minutes and the ragged rest."""
    inner = Stretch(ceiling(stretch.start, _MINUTE), floor(stretch.end, _MINUTE))
    if inner.start >= inner.end:
        return [], [stretch]
    edges = [Stretch(stretch.start, inner.start), Stretch(inner.end, stretch.end)]
    return [inner], [edge for edge in edges if edge.start < edge.end]


def _events(window: Window, *kinds: str) -> tuple[str, dict[str, Any]]:
    """Return the rows of some kinds of events in a window, as a subquery with the columns of `system_1m`."""
    whole, ragged = _minutes(window.whole)
    parameters: dict[str, Any] = {"kinds": list(kinds)}
    branches = []
    if whole:
        where = ranges("minute", whole, parameters, "whole")
        branches.append(
            f"SELECT {_COLUMNS}\nFROM system_1m\nWHERE kind IN {{kinds:Array(String)}} AND {where}"
        )
    if ragged:
        where = ranges("occurred_at", ragged, parameters, "ragged")
        branches.append(f"{_RAW}kind IN {{kinds:Array(String)}} AND {where}")
    return indented("\nUNION ALL\n".join(branches)), parameters


def first_minute() -> Query:
    """Return `first`, the earliest minute with data, in epoch seconds; null without one."""
    return Query("SELECT toUnixTimestamp(minOrNull(minute)) AS first FROM system_1m", {})


def sums_by_kind(window: Window) -> Query:
    """Return `kind`, `events`, `errors`, `duration_ms` of requests, jobs and storage operations."""
    rows, parameters = _events(window, REQUEST, JOB, STORAGE)
    sql = (
        "SELECT kind, sum(events) AS events, sum(errors) AS errors, sum(duration_ms) AS duration_ms\n"
        f"FROM\n(\n{rows}\n)\n"
        "GROUP BY kind"
    )
    return Query(sql, parameters)


def minutes_up(window: Window) -> Query:
    """Return one row: `minutes` with a probe, and those of them in which no probe failed (`up`)."""
    rows, parameters = _events(window, PROBE)
    sql = (
        "SELECT count() AS minutes, countIf(failed = 0) AS up\n"
        "FROM\n(\n"
        "    SELECT minute, sum(errors) AS failed\n"
        f"    FROM\n    (\n{indented(rows)}\n    )\n"
        "    GROUP BY minute\n"
        ")"
    )
    return Query(sql, parameters)


def response_times(window: Window) -> Query:
    """Return one row: `quantiles`, the 95th and 99th percentile of requests in ms; NaN (null) without any."""
    whole, ragged = _minutes(window.whole)
    parameters: dict[str, Any] = {}
    branches = []
    if whole:
        where = ranges("minute", whole, parameters, "whole")
        branches.append(f"SELECT durations\nFROM latency_1m\nWHERE {where}")
    if ragged:
        where = ranges("occurred_at", ragged, parameters, "ragged")
        branches.append(
            f"SELECT quantilesBFloat16State{_QUANTILES}(duration_ms) AS durations\n"
            f"FROM system_events\nWHERE type = '{REQUEST}' AND {where}"
        )
    rows = indented("\nUNION ALL\n".join(branches))
    return Query(
        f"SELECT quantilesBFloat16Merge{_QUANTILES}(durations) AS quantiles\nFROM\n(\n{rows}\n)", parameters
    )


def newest_samples(window: Window) -> Query:
    """Return the newest sample of every host with one in the window; of two at one time, the later id."""
    sql = (
        "SELECT cpu, load, memory_used_bytes, memory_total_bytes, storage_used_bytes, storage_total_bytes\n"
        "FROM host_samples\n"
        "WHERE (host, occurred_at) IN\n(\n"
        f"    SELECT host, max(occurred_at) FROM host_samples WHERE {_BETWEEN} GROUP BY host\n"
        ")\n"
        "ORDER BY host, event_id DESC\n"
        "LIMIT 1 BY host"
    )
    return Query(sql, {"start": text(window.start), "end": text(window.end)})


_BETWEEN: Final = "occurred_at >= {start:DateTime64(3, 'UTC')} AND occurred_at < {end:DateTime64(3, 'UTC')}"


def sums_by_name(window: Window) -> Query:
    """Return sums of requests, jobs and storage operations, in all (`whole` = 1) and by name.

    Rows: `whole`, `kind`, `name` (endpoint, job type, read or write), `events`, `errors`, `duration_ms`,
    `bytes`; of requests the thousand endpoints with most of them.
    """
    rows, parameters = _events(window, REQUEST, JOB, UNTIMED_JOB, STORAGE)
    sql = (
        "SELECT grouping(name) AS whole, kind, name, sum(events) AS events, sum(errors) AS errors,\n"
        "    sum(duration_ms) AS duration_ms, sum(bytes) AS bytes\n"
        f"FROM\n(\n{rows}\n)\n"
        "GROUP BY GROUPING SETS ((kind), (kind, name))\n"
        "ORDER BY whole DESC, events DESC, name\n"
        # The answer drops types of jobs, because it knows those that wait, too.
        f"LIMIT {MAX_ENDPOINTS} BY whole, kind, if(kind = '{REQUEST}', '', name)"
    )
    return Query(sql, parameters)


def current_jobs() -> Query:
    """Return `job_type`, `queued` and `started`: jobs whose newest event says so."""
    sql = (
        "SELECT job_type, countIf(state = 0) AS queued, countIf(state = 1) AS started\n"
        "FROM\n(\n"
        "    SELECT job_type, bitAnd(latest, 3) AS state\n"
        "    FROM jobs FINAL\n"
        ")\n"
        "GROUP BY job_type"
    )
    return Query(sql, {})
