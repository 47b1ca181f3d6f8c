"""Periods, instants and what is compared with what, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.errors import InvalidPeriodError, NotKeptError
from streams.domain.windows import (
    PERIODS,
    QUARTER,
    Stretch,
    Window,
    aligned,
    cover,
    custom,
    instant_of,
    kept_since,
    named,
    quarters,
    rfc3339,
    within,
    zone_of,
)

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(period: str, now: datetime = NOW, zone: str = "UTC", first: datetime | None = None) -> Window:
    return named(period, zone=ZoneInfo(zone), now=now, first=first)


def test_seven_days_are_those_of_the_references_example() -> None:
    week = window("7d")
    assert (week.start, week.end) == (at("2024-03-24"), at("2024-03-31"))
    assert week.previous == Stretch(at("2024-03-17"), at("2024-03-24"))
    assert week.partial


def test_rolling_periods_end_at_the_next_full_minute() -> None:
    hour = window("1h")
    assert (hour.start, hour.end) == (at("2024-03-30T13:06"), at("2024-03-30T14:06"))
    assert hour.previous == Stretch(at("2024-03-30T12:06"), at("2024-03-30T13:06"))
    assert window("24h").start == at("2024-03-29T14:06")


def test_an_event_of_this_very_instant_is_inside() -> None:
    assert window("1h", at("2024-03-30T14:05")).end == at("2024-03-30T14:06")


@pytest.mark.parametrize(
    ("now", "zone", "hours", "previous_hours"),
    [
        ("2024-03-10T18:00", "America/New_York", 23, 24),
        ("2024-03-11T18:00", "America/New_York", 24, 23),
        ("2024-11-03T18:00", "America/New_York", 25, 24),
        ("2024-11-04T18:00", "America/New_York", 24, 25),
        ("2024-10-06T10:00", "Australia/Lord_Howe", 23.5, 24),
        ("2024-04-26T10:00", "Africa/Cairo", 23, 24),
        ("2024-11-03T18:00", "Asia/Kolkata", 24, 24),
    ],
)
def test_a_calendar_day_is_as_long_as_it_is(now: str, zone: str, hours: float, previous_hours: float) -> None:
    day = window("1d", at(now), zone)
    assert day.end - day.start == timedelta(hours=hours)
    assert day.previous is not None
    assert day.previous.length == timedelta(hours=previous_hours)
    assert day.previous.end == day.start


def test_days_begin_at_midnight_of_the_zone() -> None:
    assert window("1d", NOW, "Asia/Kolkata").start == at("2024-03-29T18:30")
    assert window("1d", NOW, "Asia/Kathmandu").start == at("2024-03-29T18:15")
    assert window("1d", at("2024-03-30T19:00"), "Asia/Kolkata").start == at("2024-03-30T18:30")


def test_everything_begins_with_the_day_of_the_first_data_and_has_nothing_before() -> None:
    everything = window("all", first=at("2023-12-05T17:30"))
    assert (everything.start, everything.end) == (at("2023-12-05"), at("2024-03-31"))
    assert everything.previous is None
    assert everything.before is None


def test_everything_of_nothing_is_today() -> None:
    assert window("all").start == at("2024-03-30")


def test_a_window_that_is_not_over_is_compared_with_as_much_of_the_one_before() -> None:
    day = window("1d")
    assert day.elapsed == Stretch(at("2024-03-30"), at("2024-03-30T14:05"))
    assert day.before == Stretch(at("2024-03-29"), at("2024-03-29T14:05"))


def test_long_windows_are_compared_to_the_quarter_of_an_hour() -> None:
    week = window("7d")
    assert week.elapsed.end == at("2024-03-30T14:00")
    assert week.before == Stretch(at("2024-03-17"), at("2024-03-23T14:00"))


def test_a_window_that_is_over_is_compared_whole() -> None:
    own = custom(at("2024-03-01T00:00:30"), at("2024-03-04"), zone=ZoneInfo("UTC"), now=NOW)
    assert own.elapsed == own.whole
    assert own.before == own.previous
    assert not own.partial


def test_a_long_day_is_not_compared_with_more_than_the_short_one_before() -> None:
    late = window("1d", at("2024-11-04T04:30"), "America/New_York")
    assert late.end - late.start == timedelta(hours=25)
    assert late.elapsed.length == timedelta(hours=24)
    assert late.before == late.previous


def test_just_after_midnight_nothing_has_elapsed() -> None:
    day = window("1d", at("2024-03-30T00:00:30"))
    assert day.elapsed.length == timedelta(0)


INSTANTS = st.integers(1_100_000_000_000, 2_200_000_000_000).map(
    lambda milliseconds: datetime.fromtimestamp(milliseconds / 1000, UTC)
)


@given(now=INSTANTS, period=st.sampled_from(PERIODS), zone=st.sampled_from(ZONES))
def test_windows_hold_now_and_compare_equal_lengths(now: datetime, period: str, zone: str) -> None:
    found = window(period, now, zone)
    assert found.start <= now < found.end
    assert found.start <= found.elapsed.end <= now + timedelta(minutes=1)
    if found.previous is not None:
        assert found.before is not None
        assert found.previous.end == found.start
        assert found.before.length == found.elapsed.length
        assert found.before.end <= found.previous.end


@st.composite
def disjoint(draw: st.DrawFn) -> list[Stretch]:
    edges = draw(st.lists(st.integers(0, 40_000_000), min_size=2, max_size=12))
    edges = sorted(edge // 900_000 * 900_000 if draw(st.booleans()) else edge for edge in edges)
    instants = [at("2024-01-01") + timedelta(milliseconds=edge) for edge in edges]
    pairs = zip(instants, instants[1:], strict=False)
    return [Stretch(start, end) for start, end in pairs if start < end and draw(st.booleans())]


@given(disjoint())
def test_whole_quarters_and_ragged_edges_cover_exactly_what_is_asked(stretches: list[Stretch]) -> None:
    whole, ragged = cover(stretches)
    assert sum((each.length for each in stretches), timedelta()) == sum(
        (each.length for each in whole + ragged), timedelta()
    )
    probes = {edge for each in stretches + whole + ragged for edge in (each.start, each.end)}
    probes |= {probe - timedelta(milliseconds=1) for probe in probes}
    for probe in probes:
        wanted = sum(each.start <= probe < each.end for each in stretches)
        assert sum(each.start <= probe < each.end for each in whole + ragged) == wanted
    for each in whole:
        assert not each.start.timestamp() % 900 and not each.end.timestamp() % 900
    cut = quarters(ragged)
    assert cut == sorted(set(cut))
    for quarter in cut:
        assert not any(each.start < quarter + QUARTER and quarter < each.end for each in whole)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024-03-24T00:00:00Z", "2024-03-24T00:00:00Z"),
        ("2024-03-24t05:30:00.1239+05:30", "2024-03-24T00:00:00.123Z"),
        ("2024-03-24 00:00:00-04:00", "2024-03-24T04:00:00Z"),
    ],
)
def test_instants_are_rfc_3339(text: str, wanted: str) -> None:
    assert rfc3339(instant_of(text, "start")) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-03-24", "2024-03-24T00:00:00", "2024-02-30T00:00:00Z", "2024-03-24T25:00:00Z"]
    + ["2024-W12-7T00:00:00Z", "20240324T000000Z", "2024-03-24T00:00:00 02:00", "0001-01-01T00:00:00+14:00"]
    + ["2024-03-24T00:00:00Z; DROP TABLE x", "2024-03-24T00:00:00Z\n", "٢٠٢٤-03-24T00:00:00Z"],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidPeriodError) as caught:
        instant_of(text, "end")
    assert caught.value.details == {"parameter": "end"}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2024-03-02", "2024-03-02"),
        ("2024-03-02", "2024-03-01"),
        ("1999-12-31", "2024-03-01"),
        ("2024-03-31", "2024-04-01"),
        ("2024-03-01", "2025-04-01"),
        ("2001-03-01", "2024-04-01"),
    ],
)
def test_windows_that_make_no_sense_are_refused(start: str, end: str) -> None:
    with pytest.raises(InvalidPeriodError):
        custom(at(start), at(end), zone=ZoneInfo("UTC"), now=NOW)


@pytest.mark.parametrize(
    "name", ["", "utc+1", "../../etc/passwd", "Europe/Lundon", "/etc/localtime", "UTC\0"]
)
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidPeriodError):
        zone_of(name)


@given(disjoint())
def test_a_stretch_is_aligned_when_nothing_of_it_is_ragged(stretches: list[Stretch]) -> None:
    for stretch in stretches:
        assert aligned(stretch) == (not cover([stretch])[1])


SINCE = at("2024-03-10")


@pytest.mark.parametrize(
    ("zone", "first", "start"),
    [
        ("UTC", "2024-03-09T23:59", "2024-03-10"),
        ("UTC", "2024-03-12T10:00", "2024-03-12"),
        # The clock goes forward that day: the next one begins an hour earlier.
        ("America/New_York", "2024-03-01", "2024-03-10T05:00"),
        ("America/New_York", "2024-03-10T04:00", "2024-03-10T05:00"),
        ("America/New_York", "2024-03-11T05:00", "2024-03-11T04:00"),
        ("Asia/Kolkata", "2024-03-01", "2024-03-10T18:30"),
    ],
)
def test_everything_begins_with_the_first_whole_day_that_is_kept(zone: str, first: str, start: str) -> None:
    everything = within(window("all", zone=zone, first=at(first)), SINCE)
    assert everything.start == at(start)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("period", [*PERIODS, None])
def test_no_window_and_nothing_that_it_is_compared_with_begins_before_what_is_kept(
    period: str | None, zone: str
) -> None:
    place = ZoneInfo(zone)
    asked = (
        window(period, zone=zone, first=at("2020-01-01"))
        if period
        else custom(at("2024-03-13T10:07"), at("2024-03-16"), zone=place, now=NOW)
    )
    for hours in range(-40 * 24, -24):
        since = at("2024-03-30") + timedelta(hours=hours)
        try:
            found = within(asked, since)
        except NotKeptError as error:
            assert period != "all" and asked.start < since
            assert error.details["since"] == rfc3339(since)
            continue
        assert found.start >= since and (period == "all" or found.whole == asked.whole)
        assert found.previous is None or found.previous.start >= since
        if asked.previous is not None and asked.previous.start >= since:
            assert found.previous == asked.previous


def test_what_an_answer_reads_ahead_of_its_window_must_be_kept_as_well() -> None:
    asked = custom(at("2024-03-11"), at("2024-03-12"), zone=ZoneInfo("UTC"), now=NOW)
    assert within(asked, SINCE, timedelta(days=1)).previous == asked.previous
    with pytest.raises(NotKeptError):
        within(asked, SINCE, timedelta(days=1, minutes=1))


def test_the_day_that_is_so_long_ago_and_the_two_after_it_do_not_count_as_kept() -> None:
    assert kept_since(at("2024-03-30T23:59"), 20) == at("2024-03-13")
    assert kept_since(at("2024-03-31"), 20) == at("2024-03-14")
