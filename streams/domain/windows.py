"""Windows of time: what `period`, `start`, `end` and `timezone` mean.

All windows are half-open, `[start, end)`, in aware UTC. Nothing here reads a clock: `now` is an argument.

| period | window |
|---|---|
| `1h`, `24h` | rolling; ends at the next full minute |
| `1d`, `7d`, `30d` | calendar days of the time zone, today included; ends at tonight's midnight |
| `all` | from midnight of the day of the first data to tonight's midnight; nothing before it |
| `start` + `end` | as given, to the millisecond |

No window begins before the data that are kept (`within`), and none is compared with what was before them.

A calendar day has 23 or 25 hours where the clocks change, and `previous` is as many calendar days.

**Equally long stretches.** A window that is not over yet is not compared with a whole one before it:
`change` and `trends` compare `elapsed`, which is `[start, c)`, with `before`, which begins at
`previous.start` and is exactly as long. `c` is the end of a window that is over; else it is `now` rounded
down to the minute, or to the quarter of an hour for windows longer than 48 hours, so that long windows
are answered from the roll-ups. Neither stretch is ever longer than `previous`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from streams.domain.errors import InvalidPeriodError, NotKeptError

ROLLING: Final = {"1h": timedelta(hours=1), "24h": timedelta(hours=24)}
CALENDAR: Final = {"1d": 1, "7d": 7, "30d": 30}
ALL: Final = "all"
PERIODS: Final = (*ROLLING, *CALENDAR, ALL)

#: The zone in which stores have their days.
UTC_ZONE: Final = ZoneInfo("UTC")
#: Width of a roll-up, and the coarsest step on which every time zone's days begin (since 2000).
QUARTER: Final = timedelta(minutes=15)
#: Up to this long, windows are grouped by hour and compared to the minute.
SHORT: Final = timedelta(hours=48)
_MINUTE: Final = timedelta(minutes=1)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST: Final = timedelta(days=3660)
_FARTHEST: Final = timedelta(days=366)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A half-open stretch of time, `[start, end)`, in UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Return its length."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Window:
    """A window of time, and what it is compared with.

    `previous` is None when there is nothing before. `as_of` is the `now` it was made with.
    """

    start: datetime
    end: datetime
    previous: Stretch | None
    zone: ZoneInfo
    as_of: datetime
    period: str | None = None

    @property
    def whole(self) -> Stretch:
        """Return the window as a bare stretch."""
        return Stretch(self.start, self.end)

    @property
    def partial(self) -> bool:
        """Say whether the window is not over yet."""
        return self.end > self.as_of

    @property
    def elapsed(self) -> Stretch:
        """Return the part of the window that is compared with `before`; it may be empty."""
        if self.partial:
            step = _MINUTE if self.end - self.start <= SHORT else QUARTER
            end = max(self.start, floor(self.as_of, step))
        else:
            end = self.end
        if self.previous is not None:
            end = min(end, self.start + self.previous.length)
        return Stretch(self.start, end)

    @property
    def before(self) -> Stretch | None:
        """Return the stretch of `previous` that is exactly as long as `elapsed`."""
        if self.previous is None:
            return None
        return Stretch(self.previous.start, self.previous.start + self.elapsed.length)


def floor(instant: datetime, step: timedelta) -> datetime:
    """Round down to a multiple of `step` since 1970."""
    return instant - (instant - _EPOCH) % step


def ceiling(instant: datetime, step: timedelta) -> datetime:
    """Round up to a multiple of `step` since 1970."""
    return instant + (_EPOCH - instant) % step


@lru_cache(maxsize=4096)
def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins in a time zone, also where the clocks skip midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name; raise InvalidPeriodError when there is none."""
    if name not in _zone_names():
        raise InvalidPeriodError(
            "timezone must be an IANA name such as UTC, Europe/London or Asia/Kolkata.", parameter="timezone"
        )
    return ZoneInfo(name)


def instant_of(text: str, parameter: str) -> datetime:
    """Read an RFC 3339 instant, cut to the millisecond; raise InvalidPeriodError naming the parameter."""
    wrong = InvalidPeriodError(
        f"{parameter} must be an RFC 3339 instant such as 2024-03-24T00:00:00Z "
        "(in a query string, write the + of an offset as %2B).",
        parameter=parameter,
    )
    if not _RFC3339.fullmatch(text):
        raise wrong
    try:
        read = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong from None
    return floor(read, timedelta(milliseconds=1))


def rfc3339(instant: datetime) -> str:
    """Write an instant in UTC, with milliseconds only where there are any."""
    spec = "milliseconds" if instant.microsecond else "seconds"
    return instant.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")


def named(period: str, *, zone: ZoneInfo, now: datetime, first: datetime | None = None) -> Window:
    """Return the window of a named period.

    `first` is the instant of the first data, for `all`; None when there is none yet.
    Raises InvalidPeriodError for a name that is not in `PERIODS`.
    """
    today = now.astimezone(zone).date()
    tonight = midnight(today + timedelta(days=1), zone)
    if period in ROLLING:
        length, end = ROLLING[period], floor(now, _MINUTE) + _MINUTE
        previous = Stretch(end - 2 * length, end - length)
        return Window(end - length, end, previous, zone, now, period)
    if period in CALENDAR:
        days = timedelta(days=CALENDAR[period])
        begin = today + timedelta(days=1) - days
        start = midnight(begin, zone)
        return Window(start, tonight, Stretch(midnight(begin - days, zone), start), zone, now, period)
    if period == ALL:
        begin = min(today, first.astimezone(zone).date()) if first else today
        return Window(midnight(begin, zone), tonight, None, zone, now, period)
    raise InvalidPeriodError(
        f"period must be one of {', '.join(PERIODS)}.", parameter="period", allowed=list(PERIODS)
    )


def custom(start: datetime, end: datetime, *, zone: ZoneInfo, now: datetime) -> Window:
    """Return the window from `start` to `end`; `previous` is the stretch of the same length before it.

    Raises InvalidPeriodError when it is empty, longer than ten years, begins before 2000 or after now,
    or ends more than a year from now.
    """
    if start >= end:
        raise InvalidPeriodError("start must be before end.", parameter="start")
    if start < _EARLIEST:
        raise InvalidPeriodError("start must not be before 2000-01-01T00:00:00Z.", parameter="start")
    if start > now:
        raise InvalidPeriodError("start must not be in the future.", parameter="start")
    if end > now + _FARTHEST:
        raise InvalidPeriodError("end must be at most a year from now.", parameter="end")
    if end - start > _LONGEST:
        raise InvalidPeriodError("A window may be ten years long at most.", parameter="end")
    return Window(start, end, Stretch(start - (end - start), start), zone, now)


def kept_since(now: datetime, days: int) -> datetime:
    """Return the UTC midnight from which on tables that keep rows for so many days have all of them.

    They lose the day that is so long ago as a whole. One day later, because a day is that of the server's
    time zone there, and exports begin with whole days of another one; and another, because what is asked for
    now may be read tomorrow.
    """
    return midnight((now.astimezone(UTC) - timedelta(days=days)).date() + timedelta(days=3), UTC_ZONE)


def within(window: Window, since: datetime, ahead: timedelta = timedelta()) -> Window:
    """Return the part of a window whose numbers are right if data are kept since `since`.

    `ahead` is for how long before the window its data are read as well. `all` begins with the first day
    that is kept as a whole; `previous` is None unless it is kept. Raises NotKeptError for any other window
    that begins too early.
    """
    earliest = since + ahead
    if window.start < earliest and window.period == ALL:
        day = earliest.astimezone(window.zone).date()
        begin = day if midnight(day, window.zone) >= earliest else day + timedelta(days=1)
        window = replace(window, start=midnight(begin, window.zone))
    if window.start < earliest or window.start >= window.end:
        raise NotKeptError(
            f"Data are kept since {rfc3339(earliest)}, and this window begins before.",
            parameter="period" if window.period else "start",
            since=rfc3339(earliest),
        )
    if window.previous is not None and window.previous.start < since:
        window = replace(window, previous=None)
    return window


def cover(stretches: Iterable[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """Split stretches into whole quarters of an hour and the ragged rest.

    Returns `(whole, ragged)`: together they cover exactly what the stretches cover, each instant once
    (the stretches must not overlap). The edges of `whole` are quarters of an hour; each of `ragged` lies
    next to an edge of a stretch that is none. Both are in order, neighbours joined.
    """
    whole: list[Stretch] = []
    ragged: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.start):
        inner = Stretch(ceiling(stretch.start, QUARTER), floor(stretch.end, QUARTER))
        if inner.start < inner.end:
            parts = [(ragged, stretch.start, inner.start), (whole, inner.start, inner.end)]
            parts += [(ragged, inner.end, stretch.end)]
        else:
            parts = [(ragged, stretch.start, stretch.end)]
        for into, start, end in parts:
            if start == end:
                continue
            if into and into[-1].end == start:
                start = into.pop().start
            into.append(Stretch(start, end))
    return whole, ragged


def aligned(stretch: Stretch) -> bool:
    """Say whether both edges are whole quarters of an hour, so that `cover` finds nothing ragged."""
    return not (stretch.start - _EPOCH) % QUARTER and not (stretch.end - _EPOCH) % QUARTER


def quarters(stretches: Iterable[Stretch]) -> list[datetime]:
    """Return the beginnings of the quarters of an hour that stretches touch, in order."""
    touched: set[datetime] = set()
    for stretch in stretches:
        quarter = floor(stretch.start, QUARTER)
        while quarter < stretch.end:
            touched.add(quarter)
            quarter += QUARTER
    return sorted(touched)
