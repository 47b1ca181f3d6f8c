"""The SQL that answers questions about sessions. Values are bound; identifiers are written here.

A session is all rows of its id in `session_days`: one a UTC day, more while parts wait to be merged. It
belongs to the window in which its first event lies, however long it lasted. So the days around a window
are read as well, as far as `SESSION_SILENCE`. Narrowing those to ids that the window knows, or grouping
only ids that come twice, was tried with 43 million rows: both took longer than grouping all.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any, Final

from sinks.clickhouse.instants import clock_parameters, indented, local_seconds, milliseconds, text
from sinks.clickhouse.queries import Query
from streams.domain.audience import BOUNCE_MS, SESSION_SILENCE
from streams.domain.local_time import clock
from streams.domain.windows import Window

#: Devices by their number in `session_days.first`.
DEVICES: Final = {1: "desktop", 2: "mobile", 3: "tablet", 4: "tv", 5: "other", 6: "unknown"}

_SESSIONS: Final = f"""\
SELECT
    bitShiftRight(min(first), 64) AS opening,
    toInt64(bitShiftRight(opening, 4)) AS opened_ms,
    toUInt8(bitAnd(opening, 15)) AS device,
    toUInt64(bitAnd(min(first), 18446744073709551615)) AS user,
    toUnixTimestamp64Milli(max(last)) - opened_ms AS duration_ms,
    sum(pages) AS page_views,
    page_views <= 1 AND duration_ms < {BOUNCE_MS} AND max(played) = 0 AND sum(actions) = 0 AS bounced
FROM session_days
WHERE day >= {{day_from:Date}} AND day <= {{day_to:Date}}
GROUP BY session
HAVING opened_ms >= {{start_ms:Int64}} AND opened_ms < {{end_ms:Int64}}"""


def _parameters(window: Window) -> dict[str, Any]:
    first = window.start.astimezone(UTC).date()
    last = (window.end.astimezone(UTC) - timedelta(microseconds=1)).date()
    return {
        "start_ms": milliseconds(window.start),
        "end_ms": milliseconds(window.end),
        "day_from": first - SESSION_SILENCE,
        "day_to": last + SESSION_SILENCE,
    }


def sessions_by_device(window: Window) -> Query:
    """Return `device` (a key of `DEVICES`), `sessions` and `durations_ms`, a row a device."""
    sql = (
        "SELECT device, count() AS sessions, sum(duration_ms) AS durations_ms\n"
        f"FROM\n(\n{indented(_SESSIONS)}\n)\n"
        "GROUP BY device"
    )
    return Query(sql, _parameters(window))


def sessions_by_type_and_hour(window: Window) -> Query:
    """Return sums of sessions by `fresh` (the user was first seen in the window) and `hour` of the local day.

    Rows: `fresh`, `hour`, `sessions`, `durations_ms`, `page_views`, `bounces` and the distinct `users`.
    A user is either fresh or not, so users of an hour may be added up.
    """
    hour = f"intDiv({local_seconds('intDiv(opened_ms, 1000)')}, 3600) % 24"
    new = (
        "SELECT user FROM users FINAL WHERE first_seen >= {start:DateTime64(3, 'UTC')}"
        " AND first_seen < {end:DateTime64(3, 'UTC')}"
    )
    sql = (
        "SELECT fresh, hour, count() AS sessions, sum(duration_ms) AS durations_ms,\n"
        "    sum(page_views) AS page_views, sum(bounced) AS bounces, uniqExact(user) AS users\n"
        "FROM\n(\n"
        f"    SELECT user IN ({new}) AS fresh, {hour} AS hour, user, duration_ms, page_views, bounced\n"
        f"    FROM\n    (\n{indented(_SESSIONS, 2)}\n    )\n"
        ")\n"
        "GROUP BY fresh, hour"
    )
    parameters = _parameters(window) | {"start": text(window.start), "end": text(window.end)}
    return Query(sql, parameters | clock_parameters(clock(window.zone, window.start, window.end)))
