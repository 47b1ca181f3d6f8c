"""Rows about users and sessions made into readings. Pure.

Rows for the days before a day and rows of the difference since then are added up (`user_reader.py`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sinks.clickhouse.day_cache import Rows
from sinks.clickhouse.session_queries import DEVICES
from streams.domain.local_time import date_of
from streams.domain.user_readings import (
    ACTIVE_DAYS,
    DAYS_LATER,
    ActivityReading,
    Cohort,
    EngagementReading,
    GrowthReading,
    HourReading,
    SessionSums,
)

_LATER: Final = {later: f"later_{later}" for later in DAYS_LATER}
#: Nobody came back, however much later.
_NONE: Final = dict.fromkeys(DAYS_LATER, 0)


def activity(active: Mapping[str, int], sessions: Rows, actions: Mapping[str, int]) -> ActivityReading:
    """Return the activity reading: `active` are users by stretch, `sessions` sums by device."""
    devices: Counter[str] = Counter()
    for row in sessions:
        devices[DEVICES[row["device"]]] += row["sessions"]
    return ActivityReading(
        active={name: active[name] for name in ACTIVE_DAYS},
        sessions=devices.total(),
        durations_ms=_sum(sessions, "durations_ms"),
        devices={device: count for device, count in devices.items() if count},
        actions=actions,
    )


def growth(users: Mapping[str, int], before: Rows, sources_since: Rows, newcomers: Rows) -> GrowthReading:
    """Return the growth reading: `before` are new users by source and in all, `newcomers` cohorts since."""
    new = _sum([row for row in before if row["everyone"]], "users")
    new += _sum([row for row in newcomers if row["inside"]], "users")
    sources: Counter[str] = Counter()
    for row in [row for row in before if not row["everyone"]] + sources_since:
        sources[row["source"]] += row["users"]
    return GrowthReading(
        active=users["active"],
        new=new,
        previous=users.get("previous"),
        lost=users.get("lost"),
        sources={source: count for source, count in sources.items() if source and count},
    )


def retention(sizes: Rows, returns: Rows) -> Sequence[Cohort]:
    """Return the cohorts in order of days: their sizes, and how many came back on later days."""
    users: defaultdict[tuple[int, int], int] = defaultdict(int)
    for row in sizes:
        users[row["cohort"], row["inside"]] += row["users"]
    kept: dict[tuple[int, int], dict[int, int]] = {}
    for row in returns:
        key = row["cohort"], row["inside"]
        before = kept.get(key, _NONE)
        kept[key] = {later: before[later] + row[name] for later, name in _LATER.items()}
    return [
        Cohort(date_of(cohort), bool(inside), size, kept.get((cohort, inside), _NONE))
        for (cohort, inside), size in sorted(users.items())
    ]


def engagement(rows: Rows) -> EngagementReading:
    """Return the engagement reading, from sums by type of user and hour of the day."""
    by_type: dict[bool, Rows] = {True: [], False: []}
    by_hour: defaultdict[int, Rows] = defaultdict(list)
    for row in rows:
        by_type[bool(row["fresh"])].append(row)
        by_hour[row["hour"]].append(row)
    return EngagementReading(
        new=_sessions(by_type[True]),
        returning=_sessions(by_type[False]),
        hours={hour: _hour(its) for hour, its in by_hour.items()},
    )


def _sessions(rows: Rows) -> SessionSums:
    return SessionSums(*(_sum(rows, name) for name in ("sessions", "durations_ms", "page_views", "bounces")))


def _hour(rows: Rows) -> HourReading:
    sessions = _sum(rows, "sessions")
    return HourReading(_sum(rows, "users"), sessions, sessions - _sum(rows, "bounces"))


def _sum(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum([row[name] for row in rows])
