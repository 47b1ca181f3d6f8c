"""When people watch: by the hour and the day of the week in their own time zone."""

from __future__ import annotations

from bisect import bisect
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from deploy.traffic.events import DAY_MS, HOUR_MS
from deploy.traffic.places import PLACES, Place

# Relative traffic by local hour. The evening peak is about ten times the level of the small hours, as in the
# day curves published by streaming services and internet exchanges; on days off the day begins later.
_WORKDAY: Final = (
    (0.62, 0.38, 0.24, 0.17, 0.15, 0.19, 0.32, 0.48, 0.58, 0.62, 0.66, 0.74)
    + (0.88, 0.84, 0.78, 0.80, 0.92, 1.10, 1.28, 1.46, 1.60, 1.62, 1.36, 0.96)
)  # fmt: skip
_DAY_OFF: Final = (
    (0.84, 0.58, 0.38, 0.25, 0.18, 0.17, 0.22, 0.34, 0.54, 0.78, 0.98, 1.08)
    + (1.16, 1.18, 1.20, 1.22, 1.26, 1.32, 1.42, 1.54, 1.62, 1.58, 1.34, 1.02)
)  # fmt: skip
#: Monday first.
_WEEK: Final = (0.97, 0.95, 0.96, 1.0, 1.06, 0.96, 0.94)
_MEAN: Final = (sum(_WEEK[:5]) * sum(_WORKDAY) + sum(_WEEK[5:]) * sum(_DAY_OFF)) / (7 * 24)
#: Upper bound of an hour's weight, for rejection sampling.
PEAK: Final = 2.3


@lru_cache(maxsize=65_536)
def weight(place: Place, hour: int) -> float:
    """Return how busy `place` is in the UTC hour that starts `hour` hours after the epoch; 1 on average."""
    # The middle of the hour, because some zones are half an hour off.
    local = datetime.fromtimestamp(hour * 3600 + 1800, UTC).astimezone(ZoneInfo(place.zone))
    curve = _DAY_OFF if local.weekday() >= 5 else _WORKDAY
    share = local.minute / 60
    between = curve[local.hour] * (1 - share) + curve[(local.hour + 1) % 24] * share
    return between * _WEEK[local.weekday()] / _MEAN


@lru_cache(maxsize=8_192)
def _day(place: Place, day: int) -> tuple[float, ...]:
    """Return the running totals of the 24 hourly weights of a UTC day."""
    return tuple(accumulate(weight(place, day * 24 + hour) for hour in range(24)))


def day_factor(place: Place, day: int) -> float:
    """Return how busy `place` is on the UTC day `day` days after the epoch; 1 on average."""
    return _day(place, day)[-1] / 24


def moment(rng: Random, place: Place, day: int) -> int:
    """Return an epoch ms in the UTC day, likelier when the people of `place` are watching."""
    totals = _day(place, day)
    hour = min(bisect(totals, rng.random() * totals[-1]), 23)
    return day * DAY_MS + hour * HOUR_MS + int(rng.random() * HOUR_MS)


@lru_cache(maxsize=2_048)
def world_load(hour: int) -> float:
    """Return how busy the whole platform is in a UTC hour, all places together; 1 on average."""
    total = sum(place.share for place in PLACES)
    return sum(place.share * weight(place, hour) for place in PLACES) / total
