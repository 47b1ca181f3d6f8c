"""The business dashboard: SQL on the documented tables, with the formulas of the metric registry."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana import Dashboard, Panel, Row, Target
from streams.domain import definitions as of

_BUCKETS: Final = "FROM video_15m WHERE $__timeFilter(bucket)"
#: As in the API's summary: live videos have no completion rate.
_RECORDED: Final = (
    f"{_BUCKETS} AND video_id NOT IN ( SELECT video_id FROM video_catalog GROUP BY video_id"
    " HAVING argMax(live AND NOT deleted, (received_at, offset)) )"
)
_STARTS: Final = "FROM view_starts WHERE $__timeFilter(started_at)"
_EVENTS: Final = "FROM playback_events WHERE $__timeFilter(occurred_at)"


def _sql(
    title: str, query: str, unit: str = "short", kind: str = "timeseries", width: int = 8, about: str = ""
) -> Panel:
    return Panel(title, (Target(query),), unit, kind, width, about, source="clickhouse")


def _over_time(title: str, formula: str, unit: str, by: str = "") -> Panel:
    """Return a panel of a formula over `video_15m`, by the interval that suits the time range."""
    column, grouped = (f", {by}", f", {by}") if by else ("", "")
    query = (
        f"SELECT $__timeInterval(bucket) AS time{column}, {formula} AS value {_BUCKETS}"
        f" GROUP BY time{grouped} ORDER BY time"
    )
    return _sql(title, query, unit)


def _now(title: str, query: str, unit: str = "short") -> Panel:
    return _sql(title, query, unit, kind="stat", width=4)


BUSINESS: Final = Dashboard(
    "videocloud-business",
    "Business",
    "Views, audience, quality and users, read from ClickHouse. Definitions: docs/metrics.md.",
    (
        Row(
            "Selected time range",
            (
                _now("Views", f"SELECT {of.VIEWS.sql} {_BUCKETS}"),
                _now("Viewers", f"SELECT uniqExact(user_id) {_STARTS}"),
                _now("Watch time", f"SELECT {of.WATCH_TIME.sql} {_BUCKETS}", "s"),
                _now("Completion rate", f"SELECT {of.COMPLETION_RATE.sql} {_RECORDED}", "percentunit"),
                _now("Buffering rate", f"SELECT {of.BUFFERING_RATE.sql} {_BUCKETS}", "percentunit"),
                _now("Error rate", f"SELECT {of.ERROR_RATE.sql} {_BUCKETS}", "percentunit"),
            ),
        ),
        Row(
            "Audience",
            (
                _over_time("Views", of.VIEWS.sql, "short"),
                _sql(
                    "Concurrent viewers",
                    "SELECT toStartOfMinute(occurred_at) AS time, uniqExact(video_id, view_id) AS viewers"
                    f" {_EVENTS} GROUP BY time ORDER BY time",
                    about="Views with an event in the minute. Reads raw events: select a few hours at most.",
                ),
                _over_time("Watch time", of.WATCH_TIME.sql, "s"),
                _sql(
                    "Top videos",
                    "SELECT any(title) AS title, id, sum(n) AS views, sum(seconds) AS watched FROM ("
                    f" SELECT video_id AS id, {of.VIEWS.sql} AS n, {of.WATCH_TIME.sql} AS seconds {_BUCKETS}"
                    " GROUP BY id ) AS sums LEFT JOIN ("
                    " SELECT video_id AS id, argMax(title, (received_at, offset)) AS title FROM video_catalog"
                    " GROUP BY id ) AS catalog USING (id)"
                    " GROUP BY id ORDER BY views DESC, watched DESC LIMIT 20",
                    kind="table",
                    width=12,
                ),
                _sql(
                    "Countries",
                    f"SELECT country, {of.VIEWS.sql} AS n, {of.AVERAGE_WATCH_TIME.sql} AS seconds_a_view,"
                    f" {of.BUFFERING_RATE.sql} AS buffering {_BUCKETS}"
                    " GROUP BY country ORDER BY n DESC LIMIT 20",
                    kind="table",
                    width=12,
                ),
            ),
        ),
        Row(
            "Quality",
            (
                _over_time("Buffering rate by device", of.BUFFERING_RATE.sql, "percentunit", by="device"),
                _over_time("Error rate by platform", of.ERROR_RATE.sql, "percentunit", by="platform"),
                _over_time("Bitrate", of.BITRATE.sql, "Kbits"),
                _sql(
                    "Time to the first frame",
                    "SELECT $__timeInterval(occurred_at) AS time, quantile(0.5)(startup_ms) AS p50,"
                    f" quantile(0.95)(startup_ms) AS p95 {_EVENTS} AND type = 'view.start'"
                    " GROUP BY time ORDER BY time",
                    "ms",
                ),
                _sql(
                    "Playback errors",
                    "SELECT code, platform, uniqExact(video_id, view_id) AS views_hit,"
                    f" uniqExactIf((video_id, view_id), fatal) AS views_ended {_EVENTS}"
                    " AND type = 'view.error' GROUP BY code, platform ORDER BY views_hit DESC LIMIT 20",
                    kind="table",
                    width=16,
                ),
            ),
        ),
        Row(
            "Users",
            (
                _sql(
                    "Active users by day",
                    "SELECT toDateTime(day) AS time, uniqExact(user) AS users FROM user_days"
                    " WHERE day >= toDate($__fromTime) AND day <= toDate($__toTime)"
                    " GROUP BY day ORDER BY time",
                ),
                _sql(
                    "Sign-ups by source",
                    "SELECT $__timeInterval(signed_up) AS time, source, uniqExact(user) AS users FROM signups"
                    " WHERE $__timeFilter(signed_up) GROUP BY time, source ORDER BY time",
                ),
                _sql(
                    "Likes, comments, shares, uploads",
                    "SELECT $__timeInterval(bucket) AS time, sum(likes) AS liked, sum(comments) AS commented,"
                    " sum(shares) AS shared, sum(uploads) AS uploaded FROM user_actions_15m"
                    " WHERE $__timeFilter(bucket) GROUP BY time ORDER BY time",
                ),
            ),
        ),
        Row(
            "Platform",
            (
                _sql(
                    "Requests and errors",
                    "SELECT $__timeInterval(minute) AS time, sum(events) AS requests, sum(errors) AS failed"
                    " FROM system_1m WHERE kind = 'api.request' AND $__timeFilter(minute)"
                    " GROUP BY time ORDER BY time",
                ),
                _sql(
                    "Response time",
                    "WITH quantilesBFloat16Merge(0.95, 0.99)(durations) AS both"
                    " SELECT $__timeInterval(minute) AS time, both[1] AS p95, both[2] AS p99"
                    " FROM latency_1m WHERE $__timeFilter(minute)"
                    " GROUP BY time ORDER BY time",
                    "ms",
                ),
                _sql(
                    "Current jobs",
                    "SELECT job_type, countIf(bitAnd(newest, 3) = 0) AS queued,"
                    " countIf(bitAnd(newest, 3) = 1) AS started"
                    " FROM ( SELECT job_type, job, max(latest) AS newest FROM jobs GROUP BY job_type, job )"
                    " GROUP BY job_type ORDER BY job_type",
                    kind="table",
                ),
            ),
        ),
    ),
    span="now-24h",
    refresh="1m",
)
