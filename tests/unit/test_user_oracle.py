"""The oracle of users and of the platform against cases worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle import windows
from tests.oracle.log import PLAYBACK, SYSTEM, USERS, Accepted
from tests.oracle.system import Platform, quantile, size
from tests.oracle.users import Audience

NOW = datetime(2024, 3, 30, 14, tzinfo=UTC)
ZONE = ZoneInfo("UTC")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(f"2024-{text}").replace(tzinfo=UTC).timestamp() * 1000)


def did(text: str, user: str, session: str, kind: str = "page.view", **fields: Any) -> Accepted:
    topic = PLAYBACK if kind.startswith("view.") else USERS
    event = {"type": kind, "sessionId": session, "userId": user, "device": "tv"} | fields
    return Accepted(topic, event, ms(text), None, None)


STORY = [
    # Ann signs up on the 20th, comes back the day after, and a week later.
    did("03-20T10:00", "ann", "a1", "user.signup", source="social"),
    did("03-20T10:00:20", "ann", "a1"),
    did("03-21T23:59:50", "ann", "a2"),
    did("03-22T00:00:10", "ann", "a2", "view.progress"),
    did("03-27T09:00", "ann", "a3", "video.like"),
    # Bob is seen once, and bounces.
    did("03-20T12:00", "bob", "b1", device="desktop"),
    # Cy is new this week.
    did("03-28T12:00", "cy", "c1"),
    did("03-28T12:00:05", "cy", "c1"),
]


def week() -> windows.Window:
    return windows.period("7d", NOW, ZONE)


def test_users_of_a_week() -> None:
    answer = Audience(STORY).users(week(), NOW)
    assert answer["activity"] == {
        "activeUsers": {"daily": 0, "weekly": 2, "monthly": 3},
        "sessions": {"total": 2, "averageDuration": 2.5, "byDevice": {"tv": 2}},
        "actions": {"uploads": 0, "comments": 0, "likes": 1, "shares": 0},
    }
    assert answer["growth"] == {
        "newUsers": 1,
        "returningUsers": 1,
        "churnRate": 0.5,
        "bySource": {"unknown": 1},
    }
    # Day 7 of 20 March is the 27th: Ann came, Bob did not. Day 1 of the 28th is over, and nobody came.
    assert answer["retention"] == {
        "day1": 0.0,
        "day7": 0.5,
        "day30": None,
        "cohorts": [{"date": "2024-03-28", "day1": 0.0, "day7": None, "day30": None}],
    }


def test_sessions_of_the_month() -> None:
    answer = Audience(STORY).engagement(windows.period("30d", NOW, ZONE))["engagement"]
    # 20 s, 20 s over midnight, 0 s, 0 s and 5 s; one bounce: Bob's. Cy saw two pages.
    assert answer["averageSessionDuration"] == 9
    assert answer["pagesPerSession"] == 1
    assert answer["bounceRate"] == 0.2
    assert answer["byTimeOfDay"][23] == {"hour": 23, "users": 1, "engagement": 1.0}
    assert answer["byTimeOfDay"][12] == {"hour": 12, "users": 2, "engagement": 0.5}
    assert answer["byUserType"]["returning"] == {"sessionDuration": None, "pagesPerSession": None}


def told(text: str, kind: str, **fields: Any) -> Accepted:
    return Accepted(SYSTEM, {"type": kind, "eventId": text} | fields, ms(text), None, None)


def test_the_platform_in_a_day() -> None:
    request = {"endpoint": "/videos", "status": 200}
    events = [
        told("03-30T10:00:00", "health.probe", ok=True),
        told("03-30T10:00:59", "health.probe", ok=False),
        told("03-30T10:01:00", "health.probe", ok=True),
        told("03-30T10:02", "api.request", durationMs=10, **request),
        told("03-30T10:03", "api.request", durationMs=30, **request | {"status": 500}),
        told("03-30T10:04", "job", jobType="video", jobId="j", state="started"),
        told("03-30T10:05", "job", jobType="video", jobId="k", state="finished", durationMs=4000),
        told("03-30T10:05:30", "job", jobType="video", jobId="l", state="finished"),
        told("03-30T10:06", "storage.op", op="write", ok=True, bytes=36_000_000),
    ]
    window = windows.custom(
        datetime(2024, 3, 30, 10, tzinfo=UTC), datetime(2024, 3, 30, 11, tzinfo=UTC), ZONE
    )
    health = Platform(events).health(window)
    assert health["uptime"] == 0.5
    assert health["responseTime"] == {"average": 20, "p95": 30, "p99": 30}
    assert health["errors"]["rate"] == 0.2
    performance = Platform(events).performance(window, NOW)
    assert performance["processing"]["videos"] == {"queued": 0, "processing": 1, "averageTime": 4}
    assert performance["storage"]["bandwidth"] == {"in": "10KB/s", "out": "0B/s"}


def test_a_quantile_is_a_value_that_came() -> None:
    assert quantile([float(value) for value in range(1, 101)], 0.95) == 95
    assert quantile([5.0], 0.99) == 5
    assert quantile([], 0.5) is None


def test_sizes_go_to_the_next_unit_at_a_thousand() -> None:
    assert [size(999.9), size(999.96), size(1e9), size(0)] == ["999.9B", "1KB", "1GB", "0B"]
