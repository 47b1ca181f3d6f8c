"""The SQL that answers questions about sessions. Values are bound; identifiers are written here.

A session is all rows of its id in `session_days`: one a UTC day, more while parts wait to be merged. It
belongs to the window in which its first event lies, however long it lasted. So the days around a window
are read as well, as far as `SESSION_SILENCE`. Narrowing those to ids that the window knows, or grouping
only ids that come twice, was tried with 43 million rows: both took longer than grouping all.

As of users (`user_queries.py`), there is a query of what was known before a day, and a twin that tells by how
much the answer differs since: it reads the sessions with an event since then.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import Any, Final

from sinks.clickhouse.instants import clock_parameters, indented, local_seconds, milliseconds, text
from sinks.clickhouse.queries import Query
from streams.domain.audience import BOUNCE_MS, SESSION_SILENCE
from streams.domain.local_time import clock
from streams.domain.windows import Window

#: Devices by their number in `session_days.first`.
DEVICES: Final = {1: "desktop", 2: "mobile", 3: "tablet", 4: "tv", 5: "other", 6: "unknown"}

#: What a session is, over the columns `opening_of`, `last_of` and so on that an inner query made.
_SESSION: Final = f"""\
    bitShiftRight(first_of, 64) AS opening,
    toInt64(bitShiftRight(opening, 4)) AS opened_ms,
    toUInt8(bitAnd(opening, 15)) AS device,
    toUInt64(bitAnd(first_of, 18446744073709551615)) AS user,
    toUnixTimestamp64Milli(last_of) - opened_ms AS duration_ms,
    page_views <= 1 AND duration_ms < {BOUNCE_MS} AND NOT watched AND acted = 0 AS bounced"""
_OPENED: Final = "opened_ms >= {start_ms:Int64} AND opened_ms < {end_ms:Int64}"
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


def _columns(form: str) -> str:
    """Return what is known of a session, each column's condition filled into `form`."""
    kinds = {
        "first_of": "min{}(first{})",
        "last_of": "max{}(last{})",
        "page_views": "sum{}(pages{})",
        "acted": "sum{}(actions{})",
        "watched": "max{}(played{})",
    }
    if not form:
        return "(" + ", ".join(each.format("", "") for each in kinds.values()) + ")"
    return "(" + ", ".join(each.format("If", f", {form}") for each in kinds.values()) + ")"


_THEN: Final = "day < {open:Date}"
#: Each session with an event since a day twice: as it is (`sign` 1), and as it was before (-1) if it was.
_CHANGES: Final = f"""\
SELECT
    state.1 AS sign,
    state.2.1 AS first_of,
    state.2.2 AS last_of,
    state.2.3 AS page_views,
    state.2.4 AS acted,
    state.2.5 = 1 AS watched,
{_SESSION}
FROM
(
    SELECT arrayJoin(arrayConcat([(toInt8(1), now)], if(known, [(toInt8(-1), then)], []))) AS state
    FROM
    (
        SELECT
            {_columns("")} AS now,
            {_columns(_THEN)} AS then,
            countIf({_THEN}) > 0 AS known
        FROM session_days
        WHERE day >= {{day_from:Date}} AND day <= {{day_to:Date}} AND session IN
        (
{{sessions}}
        )
        GROUP BY session
    )
)
WHERE {_OPENED}"""
_HEARD: Final = "SELECT session FROM session_days WHERE day >= {open:Date}"
_LATELY: Final = _CHANGES.replace("{sessions}", indented(_HEARD, 3))
_USER: Final = "toUInt64(bitAnd(first, 18446744073709551615))"
#: Distinct users need all sessions of those who were heard of since. The user of a session is that of its
#: first event, which is in one of its rows; events of a later day never change who that is.
_LATELY_WITH_ALL_OF_THEIR_USERS: Final = _CHANGES.replace(
    "{sessions}",
    indented(
        "SELECT session FROM session_days WHERE day >= {day_from:Date} AND day <= {day_to:Date}"
        f" AND {_USER} IN\n(\n    SELECT {_USER} FROM session_days WHERE day >= {{open:Date}}\n)",
        3,
    ),
)
_FRESH: Final = (
    "user IN (SELECT user FROM users FINAL WHERE first_seen >= {start:DateTime64(3, 'UTC')}"
    " AND first_seen < {end:DateTime64(3, 'UTC')})"
)
_HOUR: Final = f"intDiv({local_seconds('intDiv(opened_ms, 1000)')}, 3600) % 24"


def _parameters(window: Window, before: date | None = None) -> dict[str, Any]:
    first = window.start.astimezone(UTC).date()
    last = (window.end.astimezone(UTC) - timedelta(microseconds=1)).date() + SESSION_SILENCE
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
        f"FROM\n(\n{indented(_SESSIONS)}\n)\n"
        "GROUP BY device"
    )
    return Query(sql, _parameters(window, before))


def sessions_by_device_since(window: Window, day: date) -> Query:
    """Return, as `sessions_by_device` does, by how much it differs from what it told before a day."""
    sql = (
        "SELECT device, sum(toInt64(sign)) AS sessions, sum(sign * duration_ms) AS durations_ms\n"
        f"FROM\n(\n{indented(_LATELY)}\n)\n"
        "GROUP BY device"
    )
    return Query(sql, _parameters(window) | {"open": day})


def sessions_by_type_and_hour(window: Window, *, before: date | None = None) -> Query:
    """Return sums of sessions by `fresh` (the user was first seen in the window) and `hour` of the local day.

    Rows: `fresh`, `hour`, `sessions`, `durations_ms`, `page_views`, `bounces` and the distinct `users`.
    A user is either fresh or not, so users of an hour may be added up.
    """
    sql = (
        "SELECT fresh, hour, count() AS sessions, sum(duration_ms) AS durations_ms,\n"
        "    sum(page_views) AS page_views, sum(bounced) AS bounces, uniqExact(user) AS users\n"
        "FROM\n(\n"
        f"    SELECT {_FRESH} AS fresh, {_HOUR} AS hour, user, duration_ms, page_views, bounced\n"
        f"    FROM\n    (\n{indented(_SESSIONS, 2)}\n    )\n"
        ")\n"
        "GROUP BY fresh, hour"
    )
    parameters = _parameters(window, before) | {"start": text(window.start), "end": text(window.end)}
    return Query(sql, parameters | clock_parameters(clock(window.zone, window.start, window.end)))


def sessions_by_type_and_hour_since(window: Window, day: date) -> Query:
    """Return, as `sessions_by_type_and_hour` does, by how much it differs from what it told before a day."""
    sql = (
        "SELECT fresh, hour, sum(toInt64(sign)) AS sessions, sum(sign * duration_ms) AS durations_ms,\n"
        "    sum(sign * toInt64(page_views)) AS page_views, sum(sign * toInt64(bounced)) AS bounces,\n"
        "    toInt64(uniqExactIf(user, sign = 1)) - toInt64(uniqExactIf(user, sign = -1)) AS users\n"
        "FROM\n(\n"
        f"    SELECT sign, {_FRESH} AS fresh, {_HOUR} AS hour, user, duration_ms, page_views, bounced\n"
        f"    FROM\n    (\n{indented(_LATELY_WITH_ALL_OF_THEIR_USERS, 2)}\n    )\n"
        ")\n"
        "GROUP BY fresh, hour"
    )
    bound = _parameters(window) | {"start": text(window.start), "end": text(window.end), "open": day}
    return Query(sql, bound | clock_parameters(clock(window.zone, window.start, window.end)))
