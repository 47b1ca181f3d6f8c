"""The SQL about retention. Values are bound; identifiers are spelled here.

A cohort is the users whose first event was on one local day. The cuts of UTC days into local days are bound
as numbers (`local_time.split_days`), so each row of `user_days` becomes one or two local days.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from sinks.clickhouse.instants import LocalDays, clock_parameters, indented, local_seconds, text
from sinks.clickhouse.queries import Query
from streams.domain.local_time import DaySplit, clock, day_number, split_days
from streams.domain.user_readings import DAYS_LATER
from streams.domain.windows import Window, midnight

_DAY: Final = timedelta(days=1)


def cohorts_from(window: Window) -> datetime:
    """Return the beginning of the first cohort that a window's retention needs: 30 days before it."""
    day = window.start.astimezone(window.zone).date() - timedelta(days=max(DAYS_LATER))
    return midnight(day, window.zone)


#: Users first seen in or up to 30 days before a window: their local day's number, and whether it was inside.
_NEWCOMERS: Final = (
    f"SELECT user, intDiv({local_seconds('toUnixTimestamp(first_seen)')}, 86400) AS cohort,"
    " first_seen >= {start:DateTime64(3, 'UTC')} AS inside\n"
    "FROM users FINAL\n"
    "WHERE first_seen >= {reach:DateTime64(3, 'UTC')} AND first_seen < {end:DateTime64(3, 'UTC')}"
)


#: The same for users first seen since a midnight, found among the few users with rows since then.
_NEWCOMERS_SINCE: Final = (
    f"SELECT user, intDiv({local_seconds('toUnixTimestamp(min(first_seen))')}, 86400) AS cohort,"
    " min(first_seen) >= {start:DateTime64(3, 'UTC')} AS inside\n"
    "FROM users\n"
    "WHERE user IN (SELECT user FROM users WHERE first_seen >= {open:DateTime64(3, 'UTC')})\n"
    "GROUP BY user\n"
    "HAVING min(first_seen) >= greatest({open:DateTime64(3, 'UTC')}, {reach:DateTime64(3, 'UTC')})"
    " AND min(first_seen) < {end:DateTime64(3, 'UTC')}"
)


def cohort_sizes(window: Window, *, before: datetime | None = None, since: datetime | None = None) -> Query:
    """Return `cohort` (number of the local day), `inside` and `users` of every cohort.

    With `before` or `since`, a UTC midnight, only users first seen before or since then count.
    """
    newcomers = _NEWCOMERS if since is None else _NEWCOMERS_SINCE
    sql = (
        f"SELECT cohort, inside, count() AS users\nFROM\n(\n{indented(newcomers)}\n)\nGROUP BY cohort, inside"
    )
    parameters = _newcomers(window, before)
    return Query(sql, parameters if since is None else parameters | {"open": text(since)})


def _newcomers(window: Window, before: datetime | None) -> dict[str, Any]:
    begin = cohorts_from(window)
    return {
        "reach": text(begin),
        "start": text(window.start),
        "end": text(window.end if before is None else min(window.end, before)),
        **clock_parameters(clock(window.zone, begin, window.end)),
    }


def cohort_returns(window: Window, before: datetime) -> Query:
    """Return, by `cohort` and `inside`, how many were active on exactly that local day + N, as `later_N`.

    Only whole local days that were over at `before`, a UTC midnight, count; later days are not read. Local
    days begin on quarters of an hour, so the roll-up has them exactly.
    """
    begin, over = cohorts_from(window), _first_not_over(window, before)
    end = min(_last_return(window), midnight(over, window.zone))
    return _returns(
        _NEWCOMERS,
        split_days(window.zone, begin, max(begin + _DAY, end)),
        "local < {over:Int32}",
        _newcomers(window, before) | {"over": day_number(over)},
    )


def cohort_returns_since(window: Window, before: datetime) -> Query | None:
    """Return `cohort_returns` on local days that ended since; None when no day did."""
    over, today = _first_not_over(window, before), window.as_of.astimezone(window.zone).date()
    begin, end = midnight(over, window.zone), min(_last_return(window), midnight(today, window.zone))
    if begin >= end:
        return None
    return _returns(
        _SEEN_THEN,
        split_days(window.zone, begin, end),
        "local >= {over:Int32} AND local < {today:Int32}",
        _newcomers(window, None) | {"over": day_number(over), "today": day_number(today)},
    )


def _first_not_over(window: Window, instant: datetime) -> date:
    """Return the local day of an instant: all earlier days are over."""
    return instant.astimezone(window.zone).date()


def _last_return(window: Window) -> datetime:
    return window.end + timedelta(days=max(DAYS_LATER) + 1)


_WITHIN: Final = "day >= {first_day:Date} AND day <= {last_day:Date}"
#: As `_NEWCOMERS`, but only users with rows on the days that are read.
_SEEN_THEN: Final = (
    f"SELECT user, intDiv({local_seconds('toUnixTimestamp(min(first_seen))')}, 86400) AS cohort,"
    " min(first_seen) >= {start:DateTime64(3, 'UTC')} AS inside\n"
    "FROM users\n"
    f"WHERE user IN (SELECT user FROM user_days WHERE {_WITHIN})\n"
    "GROUP BY user\n"
    "HAVING min(first_seen) >= {reach:DateTime64(3, 'UTC')}"
    " AND min(first_seen) < {end:DateTime64(3, 'UTC')}"
)


def _returns(newcomers: str, split: DaySplit, these: str, bound: dict[str, Any]) -> Query:
    """Return the query that counts returns on local days that meet a condition, within a split."""
    local = LocalDays(split)
    last = split.first + timedelta(days=len(split.cuts) - 1)
    parameters = bound | {"first_day": split.first, "last_day": last} | local.parameters
    days = f"SELECT user, {local.first} AS local\nFROM user_days\nWHERE {_WITHIN}"
    if not split.trivial:
        days += (
            f" AND {local.head} != 0\n"
            "UNION ALL\n"
            f"SELECT user, {local.second} AS local\n"
            f"FROM user_days\nWHERE {_WITHIN} AND {local.head} != slots"
        )
    bits = ", ".join(f"later = {later}, {1 << place}" for place, later in enumerate(DAYS_LATER))
    counts = ", ".join(
        f"countIf(bitTest(kept, {place})) AS later_{later}" for place, later in enumerate(DAYS_LATER)
    )
    sql = (
        f"SELECT cohort, inside, {counts}\n"
        "FROM\n(\n"
        "    SELECT user, cohort, inside,\n"
        f"        groupBitOr(toUInt8(multiIf({bits}, 0))) AS kept\n"
        "    FROM\n    (\n"
        "        SELECT user, cohort, inside, local - cohort AS later\n"
        f"        FROM\n        (\n{indented(days, 3)}\n        ) AS days\n"
        f"        INNER JOIN\n        (\n{indented(newcomers, 3)}\n        ) AS newcomers USING (user)\n"
        f"        WHERE later IN ({', '.join(map(str, DAYS_LATER))}) AND {these}\n"
        "    )\n"
        "    GROUP BY user, cohort, inside\n"
        ")\n"
        "GROUP BY cohort, inside"
    )
    return Query(sql, parameters)
