"""The SQL of users and sessions before a day, and since that day, as tables for arithmetic in memory.

Tables before the day are read for one window and cached (`known_cache.py`); tables since the day are read for
each answer. The window begins before that day or with it, and ends at a later midnight of its zone. Its edges
are whole quarters of an hour, and so are those of the stretches it is compared with. Rows have the meaning of
those in `user_queries.py` and `session_queries.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from sinks.clickhouse import known_sessions, known_users
from sinks.clickhouse.instants import LocalDays, clock_parameters, indented, text
from sinks.clickhouse.native_reader import Shape, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.recent_rows import COLUMN, Since
from sinks.clickhouse.session_queries import HOUR, SESSIONS, reach
from sinks.clickhouse.user_queries import Flags
from streams.domain.local_time import clock, split_days
from streams.domain.user_readings import SESSION_SILENCE
from streams.domain.windows import UTC_ZONE, Stretch, Window, midnight

#: Limit of cached tables; it is one more than may be cached, to detect larger tables.
_LIMIT: Final = "LIMIT {most:UInt64}"


def users_before(stretches: Mapping[str, Stretch], window: Window, day: date) -> TableQuery:
    """Return all users known before a day, and when they were active: the shape `known_users.KNOWN`."""
    active = Flags(stretches, day)
    sql = (
        f"SELECT\n    {known_users.KNOWN.columns({'user': 'user', 'bits': 'groupBitOr(active)'})}\n"
        "FROM\n(\n"
        f"{indented(active.sql)}\n"
        "    UNION ALL\n"
        "    SELECT user, toUInt8(if(first_seen < {start:DateTime64(3, 'UTC')},"
        f" {known_users.EARLIER}, 0)) AS active\n"
        "    FROM users\n"
        "    WHERE first_seen < {midnight:DateTime64(3, 'UTC')}\n"
        "    UNION ALL\n"
        f"    SELECT user, toUInt8({known_users.SIGNED_UP}) AS active\n"
        "    FROM signups\n"
        "    WHERE signed_up < {midnight:DateTime64(3, 'UTC')}\n"
        ")\n"
        "GROUP BY user\n"
        f"ORDER BY user\n{_LIMIT}"
    )
    bound = {"start": text(window.start), "midnight": text(midnight(day, UTC_ZONE))}
    return TableQuery(Query(sql, active.parameters | bound), known_users.KNOWN)


def users_since(
    stretches: Mapping[str, Stretch], window: Window, day: date, block: int | None = None
) -> TableQuery:
    """Return users active since a day in one of the stretches: the shape `known_users.RECENT`.

    With `block`, only those with activity in blocks after it (`recent_rows.py`). With None, which is for
    tables whose blocks tell nothing, that column is 0.
    """
    active = Flags(stretches, since=Since(day, block))
    split = split_days(window.zone, midnight(day, UTC_ZONE), window.end)
    days = LocalDays(split)
    local = days.first if split.trivial else f"if({days.head} != 0, {days.first}, {days.second})"
    columns = {"user": "user", "day": "min(local)", "active": "groupBitOr(active)", COLUMN: f"max({COLUMN})"}
    sql = (
        f"SELECT\n    {known_users.RECENT.columns(columns)}\n"
        "FROM\n(\n"
        f"    SELECT user, active, {local} AS local, {COLUMN}\n"
        f"    FROM\n    (\n{indented(active.sql, 2)}\n    )\n"
        ")\n"
        "GROUP BY user"
    )
    return TableQuery(Query(sql, active.parameters | days.parameters), known_users.RECENT)


def signups_since(day: date) -> Query:
    """Return all `users` who signed up since a day, by the `source` of their first signup since then."""
    sql = (
        "SELECT first_source AS source, groupArray(user) AS users\n"
        "FROM\n(\n"
        "    SELECT user, toString(argMin(source, (signed_up, source))) AS first_source\n"
        "    FROM signups\n"
        "    WHERE signed_up >= {open:DateTime64(3, 'UTC')}\n"
        "    GROUP BY user\n"
        ")\n"
        "GROUP BY source"
    )
    return Query(sql, {"open": text(midnight(day, UTC_ZONE))})


_SESSION: Final = {
    "session": "session",
    "opening": "bitShiftRight(min(first), 64)",
    "user": "bitAnd(min(first), 18446744073709551615)",
    "last_ms": "toUnixTimestamp64Milli(max(last))",
    "pages": "sum(pages)",
    "acted": "sum(actions) > 0",
    "watched": "max(played)",
}


def _sessions(
    where: str,
    more: str,
    bound: Mapping[str, Any],
    shape: Shape = known_sessions.SESSION,
    block: str = "0",
) -> TableQuery:
    columns = shape.columns(_SESSION | {COLUMN: f"max({block})"})
    sql = f"SELECT\n    {columns}\nFROM session_days\nWHERE {where}\nGROUP BY session{more}"
    return TableQuery(Query(sql, dict(bound)), shape)


def sessions_before(window: Window, day: date) -> tuple[TableQuery, TableQuery]:
    """Return the sessions before a day that may go on: shapes `known_sessions.SESSION` and `ID`.

    The first table has whole sessions with events within `SESSION_SILENCE` before the day; the second has the
    ids of earlier ones.
    """
    bound = {"day_from": reach(window)["day_from"], "lately": day - SESSION_SILENCE, "open": day}
    lately = "day >= {lately:Date} AND day < {open:Date}"
    whole = (
        "day >= {day_from:Date} AND day < {open:Date}\n"
        f"    AND session IN (SELECT session FROM session_days WHERE {lately})"
    )
    order = f"\nORDER BY session\n{_LIMIT}"
    before = "day >= {day_from:Date} AND day < {lately:Date}"
    return _sessions(whole, order, bound), _sessions(before, order, bound, known_sessions.ID)


def sessions_since(last: date, day: date, block: int | None = None) -> TableQuery:
    """Return sessions with events since a day, and none after a last day: shape `known_sessions.RECENT`.

    With `block`, only those with events in blocks after it, as in `users_since`.
    """
    since = Since(day, block)
    where = f"day >= {{open:Date}} AND day <= {{day_to:Date}}{since.condition('session_days', 'session')}"
    bound = {"open": day, "day_to": last} | since.parameters
    return _sessions(where, "", bound, known_sessions.RECENT, since.block)


def visitors_before(window: Window, day: date) -> TableQuery:
    """Return all users before a day with the hours of their sessions: the shape `known_sessions.VISITOR`."""
    columns = {"user": "user", "bits": "groupBitOr(mark)"}
    sql = (
        f"SELECT\n    {known_sessions.VISITOR.columns(columns)}\n"
        "FROM\n(\n"
        f"    SELECT user, bitShiftLeft(toUInt32(1), {HOUR}) AS mark\n"
        f"    FROM\n    (\n{indented(SESSIONS, 2)}\n    )\n"
        "    UNION ALL\n"
        f"    SELECT user, toUInt32({known_sessions.EARLIER}) AS mark\n"
        "    FROM users\n"
        "    WHERE first_seen < {start:DateTime64(3, 'UTC')}\n"
        ")\n"
        "GROUP BY user\n"
        f"ORDER BY user\n{_LIMIT}"
    )
    bound = reach(window, day) | {"start": text(window.start)}
    bound |= clock_parameters(clock(window.zone, window.start, window.end))
    return TableQuery(Query(sql, bound), known_sessions.VISITOR)
