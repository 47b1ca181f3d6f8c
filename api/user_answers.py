"""Readings of users made into the `data` of answers, as in the API reference. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from api.answers import Data, ordered, ratio
from streams.domain.user_readings import (
    DAYS_LATER,
    ActivityReading,
    Cohort,
    EngagementReading,
    GrowthReading,
    HourReading,
    SessionSums,
)
from streams.domain.windows import Window, midnight

#: The source of new users without a signup or without a source.
UNKNOWN: Final = "unknown"


def activity(reading: ActivityReading) -> Data:
    """Answer about active users, sessions and actions; durations in seconds."""
    return {
        "activeUsers": dict(reading.active),
        "sessions": {
            "total": reading.sessions,
            "averageDuration": ratio(reading.durations_ms / 1000, reading.sessions),
            "byDevice": ordered(reading.devices),
        },
        "actions": dict(reading.actions),
    }


def growth(reading: GrowthReading, *, compare: bool) -> Data:
    """Answer about new, returning and lost users; `churnRate` only if `compare`."""
    # Never negative: these counts are read one after the other, and later ones may have more users.
    answer: Data = {"newUsers": reading.new, "returningUsers": max(0, reading.active - reading.new)}
    if compare:
        answer["churnRate"] = None if reading.previous is None else ratio(reading.lost or 0, reading.previous)
    sources = dict(reading.sources)
    untold = max(0, reading.new - sum(reading.sources.values()))
    sources[UNKNOWN] = sources.get(UNKNOWN, 0) + untold
    answer["bySource"] = ordered(sources)
    return answer


def retention(cohorts: Sequence[Cohort], window: Window) -> Data:
    """Answer how many users came back on exactly the N-th day after their first.

    `cohorts` lists those of the window, null where day N is not over yet. The headline pools every cohort,
    also of days before the window, whose day N lies in the window as a whole and is over.
    """
    days = _Days(window)
    return {
        **{f"day{later}": _pooled(cohorts, later, days) for later in DAYS_LATER},
        "cohorts": [
            {"date": cohort.day.isoformat()}
            | {
                f"day{later}": ratio(cohort.returned[later], cohort.size)
                if cohort.day.toordinal() + later < days.today
                else None
                for later in DAYS_LATER
            }
            for cohort in cohorts
            if cohort.inside
        ],
    }


class _Days:
    """Local days by their ordinals: `today`, and the whole days of a window that are over.

    Those are the days in `[first, end)`. A day is over if it is before today, because it ends at midnight.
    """

    def __init__(self, window: Window) -> None:
        """Compute the days of a window."""
        first = window.start.astimezone(window.zone).date()
        self.first = first.toordinal() + (midnight(first, window.zone) < window.start)
        self.today = window.as_of.astimezone(window.zone).toordinal()
        self.end = min(self.today, window.end.astimezone(window.zone).toordinal())


def _pooled(cohorts: Iterable[Cohort], later: int, days: _Days) -> float | None:
    size = kept = 0
    for cohort in cohorts:
        if days.first <= cohort.day.toordinal() + later < days.end:
            size += cohort.size
            kept += cohort.returned[later]
    return ratio(kept, size)


def engagement(reading: EngagementReading) -> Data:
    """Answer about sessions: in all, by type of user, and by the hour of their beginning."""
    everyone = reading.new + reading.returning
    return {
        "engagement": {
            "averageSessionDuration": ratio(everyone.durations_ms / 1000, everyone.sessions),
            "pagesPerSession": ratio(everyone.pages, everyone.sessions),
            "bounceRate": ratio(everyone.bounced, everyone.sessions),
            "byUserType": {"new": _by_type(reading.new), "returning": _by_type(reading.returning)},
            "byTimeOfDay": [_by_hour(hour, reading.hours.get(hour, HourReading())) for hour in range(24)],
        }
    }


def _by_type(sums: SessionSums) -> Data:
    return {
        "sessionDuration": ratio(sums.durations_ms / 1000, sums.sessions),
        "pagesPerSession": ratio(sums.pages, sums.sessions),
    }


def _by_hour(hour: int, reading: HourReading) -> Data:
    return {
        "hour": hour,
        "users": reading.users,
        "engagement": ratio(reading.engaged, reading.sessions),
    }
