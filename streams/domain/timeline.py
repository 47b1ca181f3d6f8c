"""Timelines: all hours, days or weeks of a window in its time zone.

Only this module computes the edges; stores get them as numbers. So both stores cut time alike, and no two
time-zone databases can disagree.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from streams.domain.errors import InvalidPeriodError
from streams.domain.windows import QUARTER, SHORT, Window, midnight

#: More points than this are refused: nobody draws so many, and each costs memory in a store.
MAX_POINTS: Final = 10_000


class GroupBy(StrEnum):
    """How wide a point of a timeline is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The points of a timeline.

    `edges` has the beginning of each point, in epoch seconds; the first may lie before the window, and the
    last point ends with the window. `keys` names the points in the time zone: the day, the week's Monday
    (`YYYY-MM-DD`), or the beginning of the hour (RFC 3339 with the offset in force, `Z` for none).
    """

    edges: tuple[int, ...]
    keys: tuple[str, ...]

    def index(self, second: float) -> int:
        """Return the point in which an epoch second of the window lies."""
        return max(0, bisect_right(self.edges, second) - 1)


def group_by_of(text: str | None, window: Window) -> GroupBy:
    """Read `groupBy`; without one, hours up to 48 of them, else days.

    Raises InvalidPeriodError for a name that is not one.
    """
    if text is None:
        return GroupBy.HOUR if window.end - window.start <= SHORT else GroupBy.DAY
    try:
        return GroupBy(text)
    except ValueError:
        allowed = [each.value for each in GroupBy]
        raise InvalidPeriodError(
            f"groupBy must be one of {', '.join(allowed)}.", parameter="groupBy", allowed=allowed
        ) from None


def timeline(window: Window, group_by: GroupBy) -> Timeline:
    """Return all points of a window; raise InvalidPeriodError when there would be more than 10,000."""
    narrowest = timedelta(hours=1) if group_by is GroupBy.HOUR else timedelta(hours=23)
    if (window.end - window.start) / narrowest > MAX_POINTS:
        raise InvalidPeriodError(
            f"That is more than {MAX_POINTS:,} points: choose a wider groupBy or a shorter window.",
            parameter="groupBy",
        )
    if group_by is GroupBy.HOUR:
        edges = _hours(window.start, window.end, window.zone)
        local = (edge.astimezone(window.zone).isoformat() for edge in edges)
        return Timeline(_seconds(edges), tuple(hour.replace("+00:00", "Z") for hour in local))
    step = 7 if group_by is GroupBy.WEEK else 1
    day = window.start.astimezone(window.zone).date()
    if group_by is GroupBy.WEEK:
        day -= timedelta(days=day.weekday())
    days = []
    while midnight(day, window.zone) < window.end:
        days.append(day)
        day += timedelta(days=step)
    edges = [midnight(day, window.zone) for day in days]
    return Timeline(_seconds(edges), tuple(day.isoformat() for day in days))


def _seconds(edges: list[datetime]) -> tuple[int, ...]:
    return tuple(int(edge.timestamp()) for edge in edges)


def _hours(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return the beginnings of local hours; where the clocks change, an hour begins as well.

    Zones whose offset is not whole hours (India, Nepal) have hours that begin at :30 or :15 in UTC.
    """
    local = start.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    edge = start - past
    if _offset(edge, zone) != local.utcoffset():
        edge = _change(edge, zone)
    edges = []
    while edge < end:
        edges.append(edge)
        after = edge + timedelta(hours=1, minutes=-edge.astimezone(zone).minute)
        edge = after if _offset(after, zone) == _offset(edge, zone) else _change(edge, zone)
    return edges


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _change(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the quarter of an hour within the next hour at which the zone's offset changes."""
    before = _offset(instant, zone)
    instant = instant.astimezone(UTC)
    while _offset(instant, zone) == before:
        instant += QUARTER
    return instant
