"""Readings of users made into answers: names, orders, zeros and nulls."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from api import schemas_system, schemas_users, user_answers
from streams.domain.user_readings import (
    ActivityReading,
    Cohort,
    EngagementReading,
    GrowthReading,
    HourReading,
    SessionSums,
    active_stretches,
)
from streams.domain.windows import Window, custom, named
from tests.unit.test_golden_reference import shape

REFERENCE = Path(__file__).parents[1] / "golden" / "users_reference"
UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
WEEK = named("7d", zone=UTC_ZONE, now=NOW)

ACTIVITY = ActivityReading(
    active={"daily": 2, "weekly": 5, "monthly": 9},
    sessions=4,
    durations_ms=10_000,
    devices={"tv": 1, "desktop": 2, "mobile": 1, "other": 0},
    actions={"uploads": 1, "comments": 0, "likes": 3, "shares": 2},
)
GROWTH = GrowthReading(active=10, new=4, previous=8, lost=2, sources={"social": 1, "organic": 2})
ENGAGEMENT = EngagementReading(
    new=SessionSums(2, 8_000, 6, 1),
    returning=SessionSums(2, 40_000, 4, 0),
    hours={14: HourReading(3, 4, 3)},
)


def cohort(day: date, size: int, *kept: int, inside: bool = True) -> Cohort:
    return Cohort(day, inside, size, dict(zip((1, 7, 30), kept, strict=True)))


def test_activity() -> None:
    data = user_answers.activity(ACTIVITY)
    assert data["sessions"]["averageDuration"] == 2.5
    assert list(data["sessions"]["byDevice"].items()) == [("desktop", 2), ("mobile", 1), ("tv", 1)]
    nothing = replace(ACTIVITY, sessions=0, durations_ms=0, devices={})
    assert user_answers.activity(nothing)["sessions"] == {"total": 0, "averageDuration": None, "byDevice": {}}


def test_new_users_without_a_source_are_unknown() -> None:
    data = user_answers.growth(GROWTH, compare=True)
    assert data == {
        "newUsers": 4,
        "returningUsers": 6,
        "churnRate": 0.25,
        "bySource": {"organic": 2, "social": 1, "unknown": 1},
    }
    told = replace(GROWTH, sources={"unknown": 1, "organic": 2})
    assert user_answers.growth(told, compare=True)["bySource"] == {"organic": 2, "unknown": 2}


def test_counts_are_never_negative_while_users_come_between_two_queries() -> None:
    for told in (replace(GROWTH, active=3), replace(GROWTH, new=2, sources={"social": 1, "organic": 2})):
        data = user_answers.growth(told, compare=True)
        assert data["returningUsers"] >= 0
        assert min(data["bySource"].values()) >= 0


def test_churn_needs_somebody_before() -> None:
    assert user_answers.growth(replace(GROWTH, previous=0, lost=0), compare=True)["churnRate"] is None
    assert user_answers.growth(replace(GROWTH, previous=None, lost=None), compare=True)["churnRate"] is None
    assert "churnRate" not in user_answers.growth(GROWTH, compare=False)


def test_a_cohort_whose_day_is_not_over_has_no_share_yet() -> None:
    days = [cohort(date(2024, 3, 24), 4, 2, 1, 0), cohort(date(2024, 3, 29), 4, 3, 0, 0)]
    first, last = user_answers.retention(days, WEEK)["cohorts"]
    # 24 March + 7 is tomorrow, and 29 March + 1 is today.
    assert first == {"date": "2024-03-24", "day1": 0.5, "day7": None, "day30": None}
    assert last == {"date": "2024-03-29", "day1": None, "day7": None, "day30": None}


def test_the_headline_pools_cohorts_whose_day_lies_in_the_window_and_is_over() -> None:
    days = [
        cohort(date(2024, 3, 16), 100, 90, 90, 0, inside=False),  # day 7 is the last before the window
        cohort(date(2024, 3, 17), 10, 9, 5, 0, inside=False),  # day 7 is the window's first
        cohort(date(2024, 3, 22), 10, 9, 4, 0, inside=False),  # day 7 is yesterday
        cohort(date(2024, 3, 23), 30, 6, 30, 0, inside=False),  # day 7 is today; day 1 the window's first
        cohort(date(2024, 3, 28), 10, 6, 0, 0),  # day 1 is yesterday
        cohort(date(2024, 3, 29), 10, 10, 0, 0),  # day 1 is today
    ]
    data = user_answers.retention(days, WEEK)
    assert data["day7"] == 0.45
    assert data["day1"] == pytest.approx((6 + 6) / 40)
    assert data["day30"] is None
    assert [each["date"] for each in data["cohorts"]] == ["2024-03-28", "2024-03-29"]


def test_both_parts_of_a_cohort_at_the_edge_are_pooled_and_one_is_listed() -> None:
    noon = datetime(2024, 3, 10, 12, tzinfo=UTC)
    window = custom(noon, noon + timedelta(days=2), zone=UTC_ZONE, now=NOW)
    days = [cohort(date(2024, 3, 10), 1, 0, 0, 0, inside=False), cohort(date(2024, 3, 10), 3, 3, 0, 0)]
    data = user_answers.retention(days, window)
    assert data["day1"] == 0.75
    assert data["cohorts"] == [{"date": "2024-03-10", "day1": 1.0, "day7": 0.0, "day30": None}]


def test_engagement() -> None:
    data = user_answers.engagement(ENGAGEMENT)["engagement"]
    assert data["averageSessionDuration"] == 12
    assert data["pagesPerSession"] == 2.5
    assert data["bounceRate"] == 0.25
    assert data["byUserType"]["new"] == {"sessionDuration": 4.0, "pagesPerSession": 3.0}
    assert [each["hour"] for each in data["byTimeOfDay"]] == list(range(24))
    assert data["byTimeOfDay"][14] == {"hour": 14, "users": 3, "engagement": 0.75}
    assert data["byTimeOfDay"][3] == {"hour": 3, "users": 0, "engagement": None}


def lengths(window: Window) -> dict[str, timedelta]:
    return {name: stretch.end - stretch.start for name, stretch in active_stretches(window).items()}


def test_the_last_days_are_calendar_days_up_to_a_midnight() -> None:
    # The clocks of New York go forward on 10 March 2024: that day has 23 hours.
    now = datetime(2024, 3, 10, 20, tzinfo=UTC)
    found = lengths(named("7d", zone=ZoneInfo("America/New_York"), now=now))
    assert found == {
        "daily": timedelta(hours=23),
        "weekly": timedelta(hours=7 * 24 - 1),
        "monthly": timedelta(hours=30 * 24 - 1),
    }
    rolling = lengths(named("24h", zone=ZoneInfo("America/New_York"), now=now))
    # It ends at 20:01, and single events of a week ago may be gone.
    minute = timedelta(minutes=1)
    assert rolling == {
        "daily": timedelta(1),
        "weekly": timedelta(7) + minute,
        "monthly": timedelta(30) + minute,
    }


def test_the_last_days_end_tonight_at_the_latest() -> None:
    window = custom(NOW - timedelta(3), NOW + timedelta(100), zone=UTC_ZONE, now=NOW)
    assert active_stretches(window)["daily"].end == datetime(2024, 3, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "told", "model"),
    [
        ("users", schemas_users.USERS_EXAMPLE, schemas_users.UsersResponse),
        ("engagement", schemas_users.ENGAGEMENT_EXAMPLE, schemas_users.UserEngagementResponse),
        ("health", schemas_system.HEALTH_EXAMPLE, schemas_system.SystemHealthResponse),
        ("performance", schemas_system.PERFORMANCE_EXAMPLE, schemas_system.SystemPerformanceResponse),
    ],
)
def test_the_documented_examples_are_the_references(
    name: str, told: dict[str, Any], model: type[BaseModel]
) -> None:
    reference = json.loads((REFERENCE / f"{name}.json").read_text())
    assert {key: value for key, value in told.items() if key != "meta"} == reference
    model.model_validate(told)


def test_the_answers_have_the_references_fields_in_their_order() -> None:
    reference = json.loads((REFERENCE / "users.json").read_text())["data"]
    over = [cohort(date(2024, 1, 28), 4, 2, 1, 1)]
    window = custom(
        datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 20, tzinfo=UTC), zone=UTC_ZONE, now=NOW
    )
    data = {
        "activity": user_answers.activity(ACTIVITY),
        "growth": user_answers.growth(GROWTH, compare=True),
        "retention": user_answers.retention(over, window),
    }
    wanted = json.dumps(shape(reference))
    made = json.dumps(shape(data))
    for free in ('"organic"', '"referral"', '"social"', '"unknown"', '"desktop"', '"mobile"', '"tv"'):
        wanted, made = wanted.replace(f', {free}: "number"', ""), made.replace(f', {free}: "number"', "")
    assert made == wanted

    reference = json.loads((REFERENCE / "engagement.json").read_text())["data"]
    data = user_answers.engagement(ENGAGEMENT)
    data["engagement"]["byTimeOfDay"] = data["engagement"]["byTimeOfDay"][14:15]
    assert json.dumps(shape(data)) == json.dumps(shape(reference))
