"""The SQL about users. Values are bound; identifiers are spelled here.

Users are 64-bit hashes (`0004_users.sql`). Activity in whole quarters of an hour is read from `user_days`;
what lies between an edge and the next quarter is read from the raw events. A user may come from both: flags
are combined with OR, so no user counts twice. Unmerged rows are merged by `GROUP BY user`, or by `FINAL`.

Distinct users cannot be added up over days, but a count can be split by the time of their last event. A query
with `before` gives the result for the days before one, which hardly ever changes and is cached
(`day_cache.py`); its twin `*_since` gives the difference of the full result from that. It reads only users
with events since then: all others add the same to both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sinks.clickhouse.instants import indented, ranges, text
from sinks.clickhouse.queries import Query
from sinks.clickhouse.recent_rows import COLUMN, Since
from streams.domain.windows import QUARTER, Stretch, Window, ceiling, cover, floor

#: Both have `user_id` and `occurred_at`; together they have every event of a person.
_RAW: Final = ("playback_events", "user_events")
_NOBODY: Final = "SELECT toUInt64(0) AS user, toUInt8(0) AS active LIMIT 0"
_NOBODY_EVER: Final = "SELECT toDate(0) AS day, toUInt64(0) AS user, toUInt8(0) AS active LIMIT 0"
_DAY: Final = timedelta(days=1)
#: More stretches than this do not fit into the flags of a user.
MAX_STRETCHES: Final = 6
ACTIONS: Final = {
    "uploads": "video.upload",
    "comments": "video.comment",
    "likes": "video.like",
    "shares": "video.share",
}


def first_active() -> Query:
    """Return `first`, the quarter of an hour with the first event that is kept (epoch s); null without one.

    `users` tells of earlier events as well, of which retention has deleted everything else: whoever came back
    then would be missing, and not be told from those who did not.
    """
    quarter = "toUnixTimestamp(toDateTime(day, 'UTC')) + 900 * (bitCount(bitXor(slots, slots - 1)) - 1)"
    sql = f"SELECT minOrNull({quarter}) AS first FROM user_days WHERE day = (SELECT min(day) FROM user_days)"
    return Query(sql, {})


def flag_numbers(stretches: Mapping[str, Stretch]) -> dict[str, int]:
    """Return the number of the flag of each stretch, by its name; equal stretches share one."""
    numbers = {each: number for number, each in enumerate(dict.fromkeys(stretches.values()))}
    assert len(numbers) <= MAX_STRETCHES
    return {name: numbers[each] for name, each in stretches.items()}


def _counts(stretches: Mapping[str, Stretch], churn: tuple[str, str] | None, flags: str) -> dict[str, str]:
    """Return the columns of `active_users` over the flags of each user."""
    bit = {name: f"bitTest({flags}, {number})" for name, number in flag_numbers(stretches).items()}
    counts = {name: f"countIf({test})" for name, test in bit.items()}
    if churn:
        before, now = churn
        counts["lost"] = f"countIf({bit[before]} AND NOT {bit[now]})"
    return counts


def active_users(
    stretches: Mapping[str, Stretch], *, churn: tuple[str, str] | None = None, before: date | None = None
) -> Query:
    """Return one row with the distinct users of each stretch, by its name (an identifier of the caller's).

    The stretches may overlap; there are `MAX_STRETCHES` at most. With `churn=(before, now)` the column `lost`
    counts those active in stretch `before` and not in stretch `now`. With `before`, days from that one on are
    left out; stretches must then be whole quarters of an hour.
    """
    source = Flags(stretches, before)
    columns = [f"{count} AS {name}" for name, count in _counts(stretches, churn, "flags").items()]
    sql = (
        f"SELECT {', '.join(columns)}\n"
        "FROM\n(\n"
        "    SELECT user, groupBitOr(active) AS flags\n"
        f"    FROM\n    (\n{indented(source.sql, 2)}\n    )\n"
        "    GROUP BY user\n"
        ")"
    )
    return Query(sql, source.parameters)


def active_users_since(
    stretches: Mapping[str, Stretch], day: date, *, churn: tuple[str, str] | None = None
) -> Query:
    """Return one row: `active_users` less its result before `day`. Stretches are whole quarters."""
    source = Flags(stretches, active_since=day)
    now, then = (_counts(stretches, churn, flags) for flags in ("flags", "flags_before"))
    columns = [f"toInt64({now[name]}) - toInt64({then[name]}) AS {name}" for name in now]
    sql = (
        f"SELECT {', '.join(columns)}\n"
        "FROM\n(\n"
        "    SELECT user, groupBitOr(active) AS flags,"
        " groupBitOrIf(active, day < {open:Date}) AS flags_before\n"
        f"    FROM\n    (\n{indented(source.sql, 2)}\n    )\n"
        "    GROUP BY user\n"
        ")"
    )
    return Query(sql, source.parameters | {"open": day})


#: Users with events since a day.
_HEARD: Final = "SELECT user FROM user_days WHERE day >= {open:Date}"


class Flags:
    """Rows of `user` and `active`: bit n says that the user was active in the stretch of that number.

    With `before`, days from that one on are left out. With `since`, only what that selects is read, and there
    are the columns `day`, `slots` and `block`. With `active_since`, there are only rows of users with events
    since that day, and there is a column `day`.
    """

    def __init__(
        self,
        stretches: Mapping[str, Stretch],
        before: date | None = None,
        active_since: date | None = None,
        since: Since | None = None,
    ) -> None:
        """Number the stretches as `flag_numbers` does."""
        self.parameters: dict[str, Any] = dict(since.parameters) if since else {}
        self._before = before
        self._since = since
        self._active_since = active_since
        self._numbered = [
            (n, each) for n, each in enumerate(dict.fromkeys(stretches.values())) if each.start < each.end
        ]
        self.sql = "\nUNION ALL\n".join(self._branches()) or (_NOBODY_EVER if active_since else _NOBODY)

    def _bind(self, kind: str, value: object) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def _branches(self) -> Iterator[str]:
        covered = [(number, *cover([each])) for number, each in self._numbered]
        whole = [(number, stretch) for number, inner, _ in covered for stretch in inner]
        if whole:
            conditions = [(number, self._days(stretch)) for number, stretch in whole]
            first = min(stretch.start for _, stretch in whole).astimezone(UTC).date()
            last = _last_day(max(stretch.end for _, stretch in whole))
            if self._before is not None:
                last = min(last, self._before - _DAY)
            if self._since is not None:
                first = max(first, self._since.day)
            within = f"day >= {self._bind('Date', first)} AND day <= {self._bind('Date', last)}"
            flags = f"{_flags(conditions)} AS active"
            if self._active_since is None:
                more = changed = ""
                if self._since is not None:
                    more = f"day, slots, {self._since.block} AS {COLUMN}, "
                    changed = self._since.condition("user_days", "user")
                yield f"SELECT {more}user, {flags}\nFROM user_days\nWHERE {within} AND active != 0{changed}"
            else:
                # PREWHERE leaves few rows, so the flags are computed last.
                yield f"SELECT day, user, {flags}\nFROM user_days\nPREWHERE {within} AND user IN ({_HEARD})"
        edges = list(dict.fromkeys(stretch for _, _, ragged in covered for stretch in ragged))
        if not edges:
            return
        assert not (self._before or self._since or self._active_since), (
            "only whole quarters can be split by days"
        )
        moments = [
            (number, ranges("occurred_at", [each], self.parameters, f"stretch{number}_"))
            for number, each in self._numbered
        ]
        where = ranges("occurred_at", edges, self.parameters, "edge")
        for table in _RAW:
            yield (
                f"SELECT sipHash64(user_id) AS user, {_flags(moments)} AS active\nFROM {table}\nWHERE {where}"
            )

    def _days(self, stretch: Stretch) -> str:
        """Return the condition that a row of `user_days` lies in a stretch of whole quarters of an hour."""
        opening, closing = ceiling(stretch.start, _DAY), floor(stretch.end, _DAY)
        if opening > closing:
            return self._part(stretch.start, stretch.end)
        conditions = []
        if stretch.start < opening:
            conditions.append(self._part(stretch.start, opening))
        if opening < closing:
            between = (
                f"day >= {self._bind('Date', opening.date())} AND day < {self._bind('Date', closing.date())}"
            )
            conditions.append(between)
        if closing < stretch.end:
            conditions.append(self._part(closing, stretch.end))
        return " OR ".join(f"({condition})" for condition in conditions)

    def _part(self, start: datetime, end: datetime) -> str:
        """Return the condition for a part of one UTC day."""
        midnight_before = floor(start, _DAY)
        low, high = (start - midnight_before) // QUARTER, (end - midnight_before) // QUARTER
        mask = (1 << high) - (1 << low)
        return (
            f"day = {self._bind('Date', midnight_before.date())}"
            f" AND bitAnd(slots, {self._bind('UInt128', mask)}) != 0"
        )


def _flags(conditions: list[tuple[int, str]]) -> str:
    return f"toUInt8({' + '.join(f'{1 << number} * ({condition})' for number, condition in conditions)})"


def _last_day(end: datetime) -> date:
    """Return the UTC day of the last instant before `end`."""
    return (end.astimezone(UTC) - timedelta(microseconds=1)).date()


_NEW: Final = (
    "SELECT user FROM users FINAL WHERE first_seen >= {start:DateTime64(3, 'UTC')}"
    " AND first_seen < {end:DateTime64(3, 'UTC')}"
)


def new_users(window: Window, *, before: datetime | None = None) -> Query:
    """Return the new `users` of a window: by `source`, of those who signed up; and all (`everyone` = 1).

    With `before`, a UTC midnight, the result is the one at that time.
    """
    end = window.end if before is None else min(window.end, before)
    known = "" if before is None else " AND signed_up < {before:DateTime64(3, 'UTC')}"
    parameters = {"start": text(window.start), "end": text(end)}
    if before is not None:
        parameters["before"] = text(before)
    sql = (
        f"SELECT 1 AS everyone, '' AS source, count() AS users FROM ({_NEW})\n"
        "UNION ALL\n"
        "SELECT 0 AS everyone, first_source AS source, count() AS users\n"
        "FROM\n(\n"
        "    SELECT user, toString(argMin(source, (signed_up, source))) AS first_source\n"
        "    FROM signups\n"
        f"    WHERE user IN ({_NEW}){known}\n"
        "    GROUP BY user\n"
        ")\n"
        "GROUP BY source"
    )
    return Query(sql, parameters)


_NEW_AGAIN: Final = (
    "SELECT user FROM users\n"
    "WHERE user IN (SELECT user FROM signups WHERE signed_up >= {open:DateTime64(3, 'UTC')})\n"
    "GROUP BY user HAVING min(first_seen) >= {start:DateTime64(3, 'UTC')}"
    " AND min(first_seen) < {end:DateTime64(3, 'UTC')}"
)


def sources_since(window: Window, midnight: datetime) -> Query:
    """Return by source the difference in new `users` from the result of `new_users` before a midnight.

    A user who was new before may have signed up only now: then `source` counts one more.
    """
    sql = (
        "SELECT change.1 AS source, sum(toInt64(change.2)) AS users\n"
        "FROM\n(\n"
        "    SELECT arrayJoin(arrayConcat([(latest, 1)], if(known, [(earlier, -1)], []))) AS change\n"
        "    FROM\n    (\n"
        "        SELECT user, toString(argMin(source, (signed_up, source))) AS latest,\n"
        "            toString(argMinIf(source, (signed_up, source),"
        " signed_up < {open:DateTime64(3, 'UTC')})) AS earlier,\n"
        "            countIf(signed_up < {open:DateTime64(3, 'UTC')}) > 0 AS known\n"
        "        FROM signups\n"
        f"        WHERE user IN\n        (\n{indented(_NEW_AGAIN, 3)}\n        )\n"
        "        GROUP BY user\n"
        "    )\n"
        ")\n"
        "GROUP BY source"
    )
    parameters = {"start": text(window.start), "end": text(window.end), "open": text(midnight)}
    return Query(sql, parameters)


def actions(window: Window) -> Query:
    """Return one row: how often people uploaded, commented, liked and shared in a window."""
    whole, ragged = cover([window.whole])
    parameters: dict[str, Any] = {}
    branches = []
    if whole:
        where = ranges("bucket", whole, parameters, "whole")
        branches.append(f"SELECT {', '.join(ACTIONS)} FROM user_actions_15m WHERE {where}")
    if ragged:
        where = ranges("occurred_at", ragged, parameters, "ragged")
        columns = (f"toUInt64(type = '{event}') AS {name}" for name, event in ACTIONS.items())
        types = ", ".join(f"'{event}'" for event in ACTIONS.values())
        branches.append(f"SELECT {', '.join(columns)} FROM user_events WHERE {where} AND type IN ({types})")
    rows = "\nUNION ALL\n".join(branches)
    sums = ", ".join(f"sum({name}) AS {name}" for name in ACTIONS)
    return Query(f"SELECT {sums}\nFROM\n(\n{indented(rows)}\n)", parameters)
