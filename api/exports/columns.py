"""The metrics of each type of export, and the columns of each metric, in order.

| type | a row is | window |
|---|---|---|
| `video` | a video and a day of the time zone with anything in it | exact, like the API's answers |
| `user` | a day of the time zone, none left out | whole days: all that the window touches |
| `system` | a quarter of an hour (UTC), none left out | whole quarters: all that the window touches |

Days and quarters that have not begun are left out. Ratios come with their numerators and denominators, so
that rows can be added up. Names and definitions are those of `docs/metrics.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streams.domain import definitions
from streams.domain.measures import Formula, Total
from streams.domain.metrics import some_of

VIDEO, USER, SYSTEM = "video", "user", "system"
TYPES: Final = (VIDEO, USER, SYSTEM)

#: Over sums of the columns of `video_15m`, by metric and column.
VIDEO_COLUMNS: Final[dict[str, dict[str, Formula]]] = {
    "views": {"views": definitions.VIEWS},
    "engagement": {
        "watchTime": definitions.WATCH_TIME,
        "averageWatchTime": definitions.AVERAGE_WATCH_TIME,
        "completions": Total(("completions",)),
        "completionRate": definitions.COMPLETION_RATE,
        "likes": Total(("likes",)),
        "comments": Total(("comments",)),
        "shares": Total(("shares",)),
        "engagement": definitions.ENGAGEMENT,
    },
    "performance": {
        "bufferingTime": Total(("rebuffer_ms",), per=1000),
        "bufferingRate": definitions.BUFFERING_RATE,
        "averageBitrateKbps": definitions.BITRATE,
        "attempts": Total(("attempts",)),
        "failedViews": Total(("fatals",)),
        "errorRate": definitions.ERROR_RATE,
    },
}
#: Expressions over the columns that `queries` makes for every day.
USER_COLUMNS: Final = {
    "activity": {
        "activeUsers": "active",
        "sessions": "sessions",
        "averageSessionDuration": "round(session_ms / 1000 / nullIf(sessions, 0), 6)",
        "pageViews": "page_views",
        "uploads": "uploads",
        "comments": "comments",
        "likes": "likes",
        "shares": "shares",
    },
    "growth": {"newUsers": "fresh", "returningUsers": "greatest(active - fresh, 0)"},
    "retention": {
        "cohortUsers": "fresh",
        **{
            f"day{days}{what}": f"if(local + {days} < {{today:Int64}}, {value}, NULL)"
            for days in (1, 7, 30)
            for what, value in (
                ("Users", f"later_{days}"),
                ("", f"round(later_{days} / nullIf(fresh, 0), 6)"),
            )
        },
    },
}
#: Expressions over the columns that `queries` makes for every quarter of an hour.
SYSTEM_COLUMNS: Final = {
    "api": {
        "requests": "requests",
        "requestErrors": "request_errors",
        "averageResponseTimeMs": "round(request_ms / nullIf(requests, 0), 3)",
        "p95ResponseTimeMs": "if(requests = 0, NULL, round(times[1], 3))",
        "p99ResponseTimeMs": "if(requests = 0, NULL, round(times[2], 3))",
    },
    "processing": {
        "jobsFinished": "jobs_ended - jobs_failed",
        "jobsFailed": "jobs_failed",
        "averageJobTime": "round(job_ms / 1000 / nullIf(jobs_ended - jobs_failed - jobs_untimed, 0), 6)",
    },
    "storage": {
        "reads": "reads",
        "writes": "writes",
        "storageErrors": "storage_errors",
        "bytesRead": "bytes_read",
        "bytesWritten": "bytes_written",
    },
    "uptime": {"probes": "probes", "probesFailed": "probes_failed"},
}
METRICS: Final = {
    VIDEO: tuple(VIDEO_COLUMNS),
    USER: tuple(USER_COLUMNS),
    SYSTEM: tuple(SYSTEM_COLUMNS),
}


def metrics_of(kind: str, asked: Iterable[str] | None) -> tuple[str, ...]:
    """Return the metrics of an export in their own order, all when None is asked.

    Raises InvalidMetricsError for one that the type does not have, and for none at all.
    """
    return some_of(METRICS[kind], asked, f"metrics of a {kind} export")
