"""The roll-ups: by which query each is compared with the raw tables, and what the other tables are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.domain.measures import MEASURES
from streams.domain.metrics import SUMMARY_MEASURES

#: The raw tables; their rows are compared with `ingested_offsets`.
RAW: Final = ("playback_events", "user_events", "system_events")
#: Every table that is neither raw nor a roll-up with a query below, and the reason.
NOT_ROLLED_UP: Final[Mapping[str, str]] = {
    "video_catalog": "keeps the newest version of a video only: there is nothing to count",
    "ingested_offsets": "the books: raw rows and the ledgers are held against them",
    "schema_migrations": "what `vca migrate` did, which `vca doctor` looks at",
    "activity": "keeps nothing: a step between raw tables and roll-ups",
    "forgotten_rows": "what `vca forget` removed: raw rows are held against it, with the books",
}
#: Roll-ups without user ids: they keep the contributions of persons whom `vca forget` removed.
SUMS: Final = frozenset({"video_15m", "video_days", "all_videos_15m", "user_actions_15m", "activity_days"})


@dataclass(frozen=True, slots=True)
class RollupQuery:
    """The query to compare a roll-up by: `values` by `bucket`, after merging its rows as readers do."""

    table: str
    bucket: str
    values: Mapping[str, str]
    #: Subquery that merges rows of one key, for engines that merge later; {source} is the table.
    merged: str = "{source}"
    #: For values that depend on how rows were cut into blocks: their source if each row is a block of its
    #: own. One block of all rows gives the lower bound.
    upper_bound: str = ""


def _sums(*names: str) -> dict[str, str]:
    return {name: f"sum({name})" for name in names}


def _rows(*columns: str) -> dict[str, str]:
    return {"rows": "count()", "checksum": f"sum(cityHash64({', '.join(columns)}))"}


ROLLUP_QUERIES: Final = (
    RollupQuery(
        "video_15m",
        "bucket",
        _sums(*MEASURES)
        | {"checksum": "sum(cityHash64(video_id, country, device, platform) * (views + watched_ms + likes))"},
    ),
    RollupQuery(
        "view_starts",
        "toStartOfHour(started_at)",
        _rows(
            *("video_id", "view_id", "user_id", "session_id", "started_at", "country", "device", "platform")
        ),
    ),
    RollupQuery(
        "session_days",
        "toDateTime(day, 'UTC')",
        {"sessions": "count()", **_sums("pages", "actions"), **_rows("session", "first", "last", "played")},
        "(SELECT day, session, min(first) AS first, max(last) AS last, sum(pages) AS pages,"
        " sum(actions) AS actions, max(played) AS played FROM {source} GROUP BY day, session)",
    ),
    RollupQuery(
        "users",
        "toStartOfDay(first_seen)",
        _rows("user", "first_seen"),
        "(SELECT user, min(first_seen) AS first_seen FROM {source} GROUP BY user)",
    ),
    RollupQuery(
        "user_days",
        "toDateTime(day, 'UTC')",
        _rows("user", "slots"),
        "(SELECT day, user, groupBitOr(slots) AS slots FROM {source} GROUP BY day, user)",
    ),
    RollupQuery("signups", "toStartOfDay(signed_up)", _rows("user", "signed_up", "source")),
    RollupQuery(
        "video_days",
        "toDateTime(day, 'UTC')",
        _sums(*SUMMARY_MEASURES) | {"checksum": "sum(cityHash64(video_id) * (views + watched_ms + likes))"},
    ),
    RollupQuery("all_videos_15m", "bucket", _sums(*SUMMARY_MEASURES)),
    RollupQuery("user_actions_15m", "bucket", _sums("uploads", "comments", "likes", "shares")),
    RollupQuery(
        "system_1m",
        "toStartOfHour(minute)",
        _sums("events", "errors", "duration_ms", "bytes")
        | {"checksum": "sum(cityHash64(minute, kind, name, service) * events)"},
    ),
    RollupQuery(
        "latency_1m",
        "toStartOfHour(minute)",
        {"quantiles": "toString(quantilesBFloat16Merge(0.95, 0.99)(durations))"},
    ),
    RollupQuery(
        "jobs",
        "toStartOfDay(toDateTime(intDiv(latest, 4000), 'UTC'))",
        _rows("job_type", "job", "latest"),
        "(SELECT job_type, job, max(latest) AS latest FROM {source} GROUP BY job_type, job)",
    ),
    RollupQuery(
        "host_samples",
        "toStartOfHour(occurred_at)",
        _rows(
            *("host", "occurred_at", "event_id", "service", "cpu", "load"),
            *("memory_used_bytes", "memory_total_bytes", "storage_used_bytes", "storage_total_bytes"),
        ),
    ),
    RollupQuery(
        "activity_days",
        "toDateTime(day, 'UTC')",
        _sums("events"),
        upper_bound="(SELECT toDate(occurred_at) AS day, 1 AS events FROM playback_events"
        " UNION ALL SELECT toDate(occurred_at) AS day, 1 AS events FROM user_events)",
    ),
)
