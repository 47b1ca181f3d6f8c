"""Local days and hours by numbers are those of the zone, wherever its clocks change."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.domain.local_time import clock, date_of, day_number, split_days
from streams.domain.windows import QUARTER

ZONES = (
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/London",
    "Africa/Casablanca",
    "Pacific/Apia",
)
instants = st.datetimes(datetime(2012, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, st.integers(1, 400 * 24 * 60), st.floats(0, 1), st.sampled_from(ZONES))
def test_the_clock_shows_what_the_zone_shows(start: datetime, minutes: int, share: float, name: str) -> None:
    zone = ZoneInfo(name)
    shown = clock(zone, start, start + timedelta(minutes=minutes))
    at = start + timedelta(minutes=int(minutes * share))
    offset = shown.offsets[bisect_right(shown.since, int(at.timestamp())) - 1]
    seconds = int(at.timestamp()) + offset
    local = at.astimezone(zone)
    assert date_of(seconds // 86400) == local.date()
    assert seconds // 3600 % 24 == local.hour


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("began", [timedelta(), timedelta(hours=13, minutes=7, seconds=5)])
def test_a_clock_changes_in_the_second_in_which_the_zone_does(name: str, began: timedelta) -> None:
    zone, start = ZoneInfo(name), datetime(2025, 1, 1, tzinfo=UTC) + began
    shown = clock(zone, start, start + timedelta(days=730))
    steady = ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Apia")
    # Twice a year; Morocco's clocks go back for Ramadan.
    assert len(shown.since) == (1 if name in steady else 5)
    for before, since, after in zip(shown.offsets, shown.since[1:], shown.offsets[1:], strict=False):
        for at, offset in ((since - 1, before), (since, after)):
            assert datetime.fromtimestamp(at, zone).utcoffset() == timedelta(seconds=offset)


@given(instants, st.integers(1, 60), st.sampled_from(ZONES))
@example(datetime(2011, 12, 28, tzinfo=UTC), 5, "Pacific/Apia")
@example(datetime(2026, 3, 28, tzinfo=UTC), 3, "Europe/London")
@example(datetime(2026, 10, 24, tzinfo=UTC), 3, "Atlantic/Azores")
def test_every_quarter_of_an_hour_is_in_its_local_day(start: datetime, days: int, name: str) -> None:
    zone = ZoneInfo(name)
    split = split_days(zone, start, start + timedelta(days=days))
    midnight = datetime(split.first.year, split.first.month, split.first.day, tzinfo=UTC)
    for place, (cut, before, after) in enumerate(zip(split.cuts, split.before, split.after, strict=True)):
        for slot in range(96):
            at = midnight + timedelta(days=place) + slot * QUARTER
            told = before if slot < cut else after
            assert date_of(told) == at.astimezone(zone).date(), at


def test_a_utc_day_is_one_local_day_only_in_utc() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert split_days(ZoneInfo("UTC"), start, start + timedelta(days=40)).trivial
    assert not split_days(ZoneInfo("Asia/Kolkata"), start, start + timedelta(days=1)).trivial


@pytest.mark.parametrize("number", [0, 1, 20_000])
def test_a_days_number_and_its_date_go_together(number: int) -> None:
    assert day_number(date_of(number)) == number
