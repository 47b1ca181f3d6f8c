"""Local time of a zone as numbers, from which a store computes local days and hours.

Stores get numbers and never zone names, so that no two time-zone databases can disagree. A local day is
given by its number, the days from 1970-01-01 to its date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from streams.domain.windows import QUARTER, midnight

_DAY: Final = timedelta(days=1)
_EPOCH_DAY: Final = date(1970, 1, 1)
_ALL_SLOTS: Final = 96


@dataclass(frozen=True, slots=True)
class Clock:
    """UTC offsets in a stretch of time: `offsets[i]` seconds from `since[i]` (epoch seconds) on."""

    since: tuple[int, ...]
    offsets: tuple[int, ...]


@lru_cache(maxsize=256)
def clock(zone: ZoneInfo, start: datetime, end: datetime) -> Clock:
    """Return the clock of a zone for all instants in `[start, end]`."""
    since, offsets = [int(start.timestamp()) - 1], [_offset(start, zone)]
    at = start
    while at < end:
        following = min(at + _DAY, end)
        if _offset(following, zone) != offsets[-1]:
            change = _change(at, following, zone)
            since.append(int(change.timestamp()))
            offsets.append(_offset(change, zone))
        at = following
    return Clock(tuple(since), tuple(offsets))


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the second in `(before, after]` at which the zone's offset becomes that of `after`."""
    low, high = int(before.timestamp()), int(after.timestamp())
    late = _offset(after, zone)
    while low + 1 < high:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == late:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)


def day_number(day: date) -> int:
    """Return the days from 1970-01-01 to a date."""
    return (day - _EPOCH_DAY).days


def date_of(number: int) -> date:
    """Return the date of a day's number."""
    return _EPOCH_DAY + timedelta(days=number)


@dataclass(frozen=True, slots=True)
class DaySplit:
    """How UTC days lie in local days: one entry for each UTC day from `first` on.

    Of the 96 quarters of an hour of the n-th UTC day, the first `cuts[n]` belong to local day `before[n]`
    and the others to local day `after[n]` (numbers as of `day_number`).
    """

    first: date
    cuts: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def trivial(self) -> bool:
        """Say whether every UTC day is one local day."""
        return all(cut == _ALL_SLOTS for cut in self.cuts)


@lru_cache(maxsize=256)
def split_days(zone: ZoneInfo, start: datetime, end: datetime) -> DaySplit:
    """Return how the UTC days that `[start, end)` touches lie in the local days of a zone.

    No zone has had two midnights in one UTC day since 2012, so two local days are enough. (Until 2011 the
    clocks of Newfoundland went back from 00:01, so that a day began twice.)
    """
    first = start.astimezone(UTC).date()
    at = datetime(first.year, first.month, first.day, tzinfo=UTC)
    cuts, before, after = [], [], []
    while at < end:
        day = at.astimezone(zone).date()
        following = midnight(day + _DAY, zone)
        if following <= at:
            # The calendar skipped a day: Samoa went from 29 to 31 December 2011.
            following = at + _DAY
        cut = min((following - at) // QUARTER, _ALL_SLOTS)
        cuts.append(cut)
        before.append(day_number(day))
        after.append(day_number(following.astimezone(zone).date()) if cut < _ALL_SLOTS else day_number(day))
        at += _DAY
    return DaySplit(first, tuple(cuts), tuple(before), tuple(after))
