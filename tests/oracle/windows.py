"""Windows and buckets of time, half-open, in any time zone.

`1d`, `7d`, `30d` are calendar days in the requested time zone, today included; `1h` and `24h` are rolling
and end at the next full minute; `all` starts with the day of the first data and has no previous window; a
custom window has any start and end.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAYS = {"1d": 1, "7d": 7, "30d": 30}
_HOURS = {"1h": 1, "24h": 24}
#: Every zone's hours, days and weeks begin on a whole quarter of an hour of UTC.
QUARTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until before `end`, both in UTC."""

    start: datetime
    end: datetime

    def __contains__(self, at_ms: int) -> bool:
        """Say whether an instant in epoch milliseconds lies within."""
        return ms(self.start) <= at_ms < ms(self.end)


@dataclass(frozen=True, slots=True)
class Window:
    """The requested span, and the previous span that it is compared with."""

    span: Span
    previous: Span | None
    zone: ZoneInfo

    def elapsed(self, now: datetime) -> tuple[Span, Span] | None:
        """Return the elapsed part of the window, and an equally long part from the start of the previous one.

        Now is rounded down to the minute, in windows over 48 hours to the quarter of an hour. Of a day of 25
        hours, only the first 24 are compared with a previous day of 24.
        """
        if self.previous is None:
            return None
        end = self.span.end
        if now < end:
            step = 60 if end - self.span.start <= timedelta(hours=48) else 900
            end = datetime.fromtimestamp(now.timestamp() // step * step, UTC)
        length = max(timedelta(), end - self.span.start)
        length = min(length, self.previous.end - self.previous.start)
        return (
            Span(self.span.start, self.span.start + length),
            Span(self.previous.start, self.previous.start + length),
        )


def period(name: str, now: datetime, zone: ZoneInfo, first: datetime | None = None) -> Window:
    """Return the window of a named period; `first` is when the first data is from, for `all`."""
    now = now.astimezone(UTC)
    if name in _HOURS:
        end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        length = timedelta(hours=_HOURS[name])
        return Window(Span(end - length, end), Span(end - 2 * length, end - length), zone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    if name == "all":
        end = _midnight(tomorrow, zone)
        start = _midnight((first or now).astimezone(zone).date(), zone)
        return Window(Span(start, end), None, zone)
    days = timedelta(days=_DAYS[name])
    start = _midnight(tomorrow - days, zone)
    return Window(
        Span(start, _midnight(tomorrow, zone)), Span(_midnight(tomorrow - 2 * days, zone), start), zone
    )


def custom(start: datetime, end: datetime, zone: ZoneInfo) -> Window:
    """Return the window from `start` until before `end`; its previous is as long and ends where it starts."""
    span = Span(start.astimezone(UTC), end.astimezone(UTC))
    return Window(span, Span(span.start - (span.end - span.start), span.start), zone)


def bucket(at: datetime, group: str, zone: ZoneInfo) -> str:
    """Name the hour (by its beginning), day or week (by its Monday) of an instant, on the zone's clocks."""
    local = at.astimezone(zone)
    if group == "hour":
        hour = local.replace(minute=0, second=0, microsecond=0).isoformat()
        return hour.replace("+00:00", "Z")
    day = local.date()
    return (day - timedelta(days=day.weekday()) if group == "week" else day).isoformat()


@lru_cache(maxsize=256)
def buckets(span: Span, group: str, zone: ZoneInfo) -> tuple[str, ...]:
    """Name every bucket that the span touches, in order."""
    names: dict[str, None] = {}
    at = span.start
    while at < span.end:
        names[bucket(at, group, zone)] = None
        at += QUARTER - timedelta(seconds=at.timestamp() % 900)
    return tuple(names)


@lru_cache(maxsize=1_000_000)
def bucket_ms(quarter: int, group: str, zone: ZoneInfo) -> str:
    """Name the bucket of a quarter of an hour, counted from the epoch."""
    return bucket(datetime.fromtimestamp(quarter * 900, UTC), group, zone)


def default_group(span: Span) -> str:
    """Return the grouping of a timeline when the request names none."""
    return "hour" if span.end - span.start <= timedelta(hours=48) else "day"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


@lru_cache(maxsize=100_000)
def ms(at: datetime) -> int:
    """Return an instant as epoch milliseconds."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
