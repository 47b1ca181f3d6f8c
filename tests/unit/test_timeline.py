"""Timelines leave nothing out, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.errors import InvalidPeriodError
from streams.domain.timeline import GroupBy, Timeline, group_by_of, timeline
from streams.domain.windows import PERIODS, Window, custom, named
from tests.unit.test_windows import INSTANTS, ZONES, at

NOW = at("2024-03-30T14:05:27")


def of(period: str, group_by: str | None = None, now: datetime = NOW, zone: str = "UTC") -> Timeline:
    window = named(period, zone=ZoneInfo(zone), now=now)
    return timeline(window, group_by_of(group_by, window))


def own(start: str, end: str, zone: str = "UTC") -> Window:
    return custom(at(start), at(end), zone=ZoneInfo(zone), now=at(end) + timedelta(days=1))


def test_seven_days_are_seven_dates() -> None:
    assert of("7d").keys == tuple(f"2024-03-{day}" for day in range(24, 31))


def test_a_day_is_twenty_four_hours_by_default() -> None:
    keys = of("1d").keys
    assert len(keys) == 24
    assert keys[:2] == ("2024-03-30T00:00:00Z", "2024-03-30T01:00:00Z")


def test_two_days_are_grouped_by_hour_and_more_by_day() -> None:
    assert group_by_of(None, own("2024-03-01", "2024-03-03")) is GroupBy.HOUR
    assert group_by_of(None, own("2024-03-01", "2024-03-03T00:00:01")) is GroupBy.DAY


def test_a_rolling_day_touches_twenty_five_hours() -> None:
    keys = of("24h").keys
    assert len(keys) == 25
    assert keys[0] == "2024-03-29T14:00:00Z"


def test_weeks_are_named_by_their_monday() -> None:
    assert of("30d", "week").keys == ("2024-02-26", "2024-03-04", "2024-03-11", "2024-03-18", "2024-03-25")


def test_the_hour_that_comes_twice_is_there_twice() -> None:
    keys = of("1d", now=at("2024-11-03T18:00"), zone="America/New_York").keys
    assert len(keys) == 25
    assert keys[1:3] == ("2024-11-03T01:00:00-04:00", "2024-11-03T01:00:00-05:00")


def test_the_hour_that_is_skipped_is_not_there() -> None:
    keys = of("1d", now=at("2024-03-10T18:00"), zone="America/New_York").keys
    assert len(keys) == 23
    assert keys[1:3] == ("2024-03-10T01:00:00-05:00", "2024-03-10T03:00:00-04:00")


def test_hours_of_india_begin_at_half_past() -> None:
    points = of("1d", zone="Asia/Kolkata")
    assert points.edges[0] == int(at("2024-03-29T18:30").timestamp())
    assert points.keys[0] == "2024-03-30T00:00:00+05:30"


def test_days_of_a_window_across_the_change_of_clocks_are_local() -> None:
    points = of("7d", now=at("2024-03-12T18:00"), zone="America/New_York")
    assert points.keys == tuple(f"2024-03-{day:02}" for day in range(6, 13))
    lengths = [b - a for a, b in zip(points.edges, points.edges[1:], strict=False)]
    assert sorted(set(lengths)) == [23 * 3600, 24 * 3600]
    assert lengths[4] == 23 * 3600


def test_an_island_that_moves_its_clocks_by_half_an_hour() -> None:
    points = of("1d", now=at("2024-04-06T16:00"), zone="Australia/Lord_Howe")
    assert points.edges[-1] + 3600 - points.edges[0] == 24.5 * 3600
    assert len(points.keys) == len(set(points.keys)) == 25


@given(
    now=INSTANTS,
    period=st.sampled_from([period for period in PERIODS if period != "all"]),
    group_by=st.sampled_from(list(GroupBy)),
    zone=st.sampled_from(ZONES),
)
def test_points_are_gapless_and_hold_every_instant(
    now: datetime, period: str, group_by: GroupBy, zone: str
) -> None:
    window = named(period, zone=ZoneInfo(zone), now=now)
    points = timeline(window, group_by)
    assert points.edges[0] <= window.start.timestamp()
    assert points.edges[-1] < window.end.timestamp()
    assert list(points.edges) == sorted(set(points.edges))
    assert len(points.keys) == len(set(points.keys)) == len(points.edges)
    for edge, key in zip(points.edges, points.keys, strict=True):
        local = datetime.fromtimestamp(max(edge, window.start.timestamp()), UTC).astimezone(ZoneInfo(zone))
        if group_by is GroupBy.HOUR:
            assert datetime.fromisoformat(key).timestamp() == edge
        elif group_by is GroupBy.DAY:
            assert key == local.date().isoformat()
        else:
            assert key == (local.date() - timedelta(days=local.weekday())).isoformat()
        assert points.keys[points.index(edge)] == key
    assert points.index(window.end.timestamp() - 0.001) == len(points.keys) - 1


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(InvalidPeriodError) as caught:
        group_by_of("month", own("2024-03-01", "2024-03-03"))
    assert caught.value.details["allowed"] == ["hour", "day", "week"]


def test_more_points_than_anybody_draws_are_refused() -> None:
    with pytest.raises(InvalidPeriodError):
        timeline(own("2019-01-01", "2024-01-01"), GroupBy.HOUR)
    assert len(timeline(own("2019-01-01", "2024-01-01"), GroupBy.DAY).keys) == 1826
