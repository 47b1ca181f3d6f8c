"""The SQL about sessions. Values are bound; identifiers are spelled here.

A session is all rows of its id in `session_days`: one per UTC day, more while parts are unmerged. It belongs
to the window of its first event, however long it lasted. So the days around a window are read as well, up to
`SESSION_SILENCE`. Restricting those to ids in the window, or grouping only ids that occur twice, was tried
with 43 million rows: both took longer than grouping all.

As for users (`user_queries.py`), there is a query for the days before a day, and a twin with the difference
since, which reads the sessions with an event since then.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Any, Final

from sinks.clickhouse.instants import clock_parameters, indented, local_seconds, milliseconds, text
from sinks.clickhouse.queries import Query
from streams.domain.local_time import clock
from streams.domain.user_readings import BOUNCE_MS, SESSION_SILENCE
from streams.domain.windows import Window

#: Devices by their number in `session_days.first`.
DEVICES: Final = {1: "desktop", 2: "mobile", 3: "tablet", 4: "tv", 5: "other", 6: "unknown"}

_OPENED: Final = "opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}"
#: A window's sessions, whole.
SESSIONS: Final = f"""\
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


_AROUND: Final = "day >= {day_from:Date} AND day <= {day_to:Date}"
_SINCE: Final = "day >= {open:Date}"
_THEN: Final = "day < {open:Date}"
#: The user of a row of `session_days`: the lower half of `first`.
_ROW_USER: Final = "toUInt64(first)"


def _lately(more: str = "") -> str:
    """Return the sessions of a window with an event since a day.

    Columns: `known`, whether it has earlier events; `added_ms`, its growth since; and those of `more`.
    Later events change neither the beginning and device of a session, nor its user.
    """
    return (
        "SELECT\n"
        "    toInt64(bitShiftRight(first_of, 68)) AS opened_ms,\n"
        "    toUInt8(bitAnd(bitShiftRight(first_of, 64), 15)) AS device,\n"
        "    toUInt64(first_of) AS user,\n"
        "    toUnixTimestamp64Milli(last_of) AS last_ms,\n"
        "    toUnixTimestamp64Milli(last_then) AS then_ms,\n"
        "    last_ms - if(known, then_ms, opened_ms) AS added_ms,\n"
        "    *\n"
        "FROM\n(\n"
        f"    SELECT min(first) AS first_of, min(day) < {{open:Date}} AS known,\n"
        f"        max(last) AS last_of, maxIf(last, {_THEN}) AS last_then{more}\n"
        "    FROM session_days\n"
        f"    WHERE {_AROUND} AND session IN (SELECT session FROM session_days WHERE {_SINCE})\n"
        "    GROUP BY session\n"
        ")\n"
        f"WHERE {_OPENED}"
    )


#: Aggregates that decide whether a session was a bounce before, and is one now.
_BOUNCES: Final = f""",
        sum(pages) AS pages_of, sumIf(pages, {_THEN}) AS pages_then,
        sum(actions) AS acted, sumIf(actions, {_THEN}) AS acted_then,
        max(played) = 1 AS watched, maxIf(played, {_THEN}) = 1 AS watched_then"""
_BOUNCED: Final = (
    f"pages_of <= 1 AND last_ms - opened_ms < {BOUNCE_MS} AND NOT watched AND acted = 0",
    f"known AND pages_then <= 1 AND then_ms - opened_ms < {BOUNCE_MS} AND NOT watched_then"
    " AND acted_then = 0",
)
#: A user with a session in the window who was not seen before it was first seen inside.
_FRESH: Final = "user NOT IN (SELECT user FROM users WHERE first_seen < {start:DateTime64(3, 'UTC')})"


def _hour(opened_ms: str) -> str:
    return f"intDiv({local_seconds(f'intDiv({opened_ms}, 1000)')}, 3600) % 24"


#: The hour, on the clock of a zone, in which a session began.
HOUR: Final = _hour("opened_ms")
#: The local hour of a row of `session_days`; for the first row of a session, the hour of the session.
_ROW_HOUR: Final = _hour("bitShiftRight(first, 68)")


#: Users and the hours in which their sessions began before a day, where another session may have begun since
#: in the same hour. User and hour of a row are those of its session only if it is the first row, so the rows
#: only select sessions to check. The expensive hour is computed only for rows of these users.
_SEEN: Final = f"""\
SELECT toUInt64(first_of) AS user, {HOUR} AS hour
FROM
(
    SELECT min(first) AS first_of, toInt64(bitShiftRight(first_of, 68)) AS opened_ms
    FROM session_days
    WHERE day >= {{day_from:Date}} AND {_THEN} AND session IN
    (
        SELECT session
        FROM session_days
        PREWHERE day >= {{day_first:Date}} AND {_THEN}
            AND {_ROW_USER} IN (SELECT {_ROW_USER} FROM session_days WHERE {_SINCE})
        WHERE ({_ROW_USER}, {_ROW_HOUR}) IN
        (
            SELECT {_ROW_USER}, {_ROW_HOUR} FROM session_days WHERE {_SINCE}
        )
    )
    GROUP BY session
)
WHERE {_OPENED}"""


def last_day(window: Window) -> date:
    """Return the last day to read of a window's sessions."""
    return (window.end.astimezone(UTC) - timedelta(microseconds=1)).date() + SESSION_SILENCE


def reach(window: Window, before: date | None = None) -> dict[str, Any]:
    """Return the bound edges of a window, and the days to read of its sessions: none from `before` on."""
    first, last = window.start.astimezone(UTC).date(), last_day(window)
    return {
        "start_ms": milliseconds(window.start),
        "end_ms": milliseconds(window.end),
        "day_from": first - SESSION_SILENCE,
        "day_to": last if before is None else min(last, before - timedelta(days=1)),
    }


def sessions_by_device(window: Window, *, before: date | None = None) -> Query:
    """Return `device` (a key of `DEVICES`), `sessions` and `durations_ms`, a row a device."""
    sql = (
        "SELECT device, count() AS sessions, sum(duration_ms) AS durations_ms\n"
        f"FROM\n(\n{indented(SESSIONS)}\n)\n"
        "GROUP BY device"
    )
    return Query(sql, reach(window, before))


def sessions_by_device_since(window: Window, day: date) -> Query:
    """Return the difference of `sessions_by_device` from its result before a day."""
    sql = (
        "SELECT device, countIf(NOT known) AS sessions, sum(added_ms) AS durations_ms\n"
        f"FROM\n(\n{indented(_lately())}\n)\n"
        "GROUP BY device"
    )
    return Query(sql, reach(window) | {"open": day})


def sessions_by_type_and_hour(window: Window, *, before: date | None = None) -> Query:
    """Return sums of sessions by `fresh` (the user was first seen in the window) and `hour` of the local day.

    Rows: `fresh`, `hour`, `sessions`, `durations_ms`, `page_views`, `bounces` and the distinct `users`.
    A user is either fresh or not, so users of an hour may be added up.
    """
    sql = (
        "SELECT fresh, hour, count() AS sessions, sum(duration_ms) AS durations_ms,\n"
        "    sum(page_views) AS page_views, sum(bounced) AS bounces, uniqExact(user) AS users\n"
        "FROM\n(\n"
        f"    SELECT {_FRESH} AS fresh, {HOUR} AS hour, user, duration_ms, page_views, bounced\n"
        f"    FROM\n    (\n{indented(SESSIONS, 2)}\n    )\n"
        ")\n"
        "GROUP BY fresh, hour"
    )
    parameters = reach(window, before) | {"start": text(window.start)}
    return Query(sql, parameters | clock_parameters(clock(window.zone, window.start, window.end)))


def sessions_by_type_and_hour_since(window: Window, day: date) -> Query:
    """Return the difference of `sessions_by_type_and_hour` from its result before a day."""
    now, then = _BOUNCED
    sql = (
        "SELECT fresh, hour, countIf(NOT known) AS sessions, sum(added_ms) AS durations_ms,\n"
        "    sum(toInt64(pages_of) - toInt64(pages_then)) AS page_views,\n"
        f"    toInt64(countIf({now}))\n"
        f"        - toInt64(countIf({then})) AS bounces,\n"
        "    uniqExactIf(user, NOT known AND NOT seen) AS users\n"
        "FROM\n(\n"
        f"    SELECT *, {_FRESH} AS fresh, {HOUR} AS hour, (user, hour) IN\n"
        f"    (\n{indented(_SEEN, 2)}\n    ) AS seen\n"
        f"    FROM\n    (\n{indented(_lately(_BOUNCES), 2)}\n    )\n"
        ")\n"
        "GROUP BY fresh, hour"
    )
    bound = reach(window) | {
        "day_first": window.start.astimezone(UTC).date(),
        "start": text(window.start),
        "open": day,
    }
    return Query(sql, bound | clock_parameters(clock(window.zone, window.start, window.end)))
