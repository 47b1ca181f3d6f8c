"""Readings made into answers: names, orders, zeros and nulls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from api import answers, schemas, video_answers
from streams.domain.definitions import VIDEO
from streams.domain.metrics import GROUPS
from streams.domain.timeline import GroupBy, timeline
from streams.domain.video_readings import RankedVideo, SummaryReading, VideoReading
from streams.domain.windows import Window, named

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
WEEK = named("7d", zone=ZoneInfo("UTC"), now=NOW)
DAYS = timeline(WEEK, GroupBy.DAY)
EMPTY = VideoReading(total={}, elapsed={}, before={}, unique=0)
FULL = VideoReading(
    total={
        "views": 10,
        "completions": 4,
        "watched_ms": 90_000,
        "rebuffer_ms": 10_000,
        "bitrate_weight": 180_000_000,
        "bitrate_ms": 72_000,
        "attempts": 12,
        "fatals": 3,
        "likes": 2,
        "comments": 1,
    },
    elapsed={"views": 9},
    before={"views": 6},
    unique=7,
    points={
        0: {"views": 4, "watched_ms": 1_500, "attempts": 5, "fatals": 1},
        6: {"views": 6, "completions": 3},
    },
    unique_points={0: 3, 6: 5},
    countries={"UK": 1, "US": 4, "GB": 3, "unknown": 2},
    devices={"tv": 5, "desktop": 5},
    platforms={"web": 10},
)


def video(reading: VideoReading, window: Window = WEEK, **options: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"groups": GROUPS[VIDEO], "compare": True, "live": False} | options
    return video_answers.video(reading, window, timeline(window, GroupBy.DAY), **given)


def test_a_full_answer() -> None:
    data = video(FULL)
    assert data["period"] == {
        "start": "2024-03-24T00:00:00Z",
        "end": "2024-03-31T00:00:00Z",
        "previous": {"start": "2024-03-17T00:00:00Z", "end": "2024-03-24T00:00:00Z"},
    }
    views, engagement, performance = (data[group] for group in GROUPS[VIDEO])
    assert views["total"] == 10
    assert views["change"] == 0.5
    assert list(views["byCountry"].items()) == [("UK", 4), ("US", 4), ("unknown", 2)]
    assert list(views["byDevice"]) == ["desktop", "tv"]
    assert views["timeline"][0] == {"date": "2024-03-24", "views": 4, "unique": 3}
    assert views["timeline"][1] == {"date": "2024-03-25", "views": 0, "unique": 0}
    assert engagement["averageWatchTime"] == 9
    assert engagement["completionRate"] == 0.4
    assert [engagement[name] for name in ("likes", "comments", "shares")] == [2, 1, 0]
    assert engagement["timeline"][0] == {
        "date": "2024-03-24",
        "watchTime": 1.5,
        "completionRate": 0.0,
    }
    assert engagement["timeline"][6]["completionRate"] == 0.5
    assert performance["bufferingRate"] == 0.1
    assert performance["averageBitrate"] == "2500k"
    assert performance["errorRate"] == 0.25
    assert performance["timeline"][0]["errorRate"] == 0.2
    assert performance["timeline"][6]["errorRate"] is None
    schemas.Video.model_validate(data)


def test_counts_are_zero_and_ratios_null_when_nothing_happened() -> None:
    data = video(EMPTY)
    assert data["views"] | {"timeline": []} == {
        "total": 0,
        "unique": 0,
        "change": None,
        "byCountry": {},
        "byDevice": {},
        "byPlatform": {},
        "timeline": [],
    }
    assert data["engagement"] | {"timeline": []} == {
        "averageWatchTime": None,
        "completionRate": None,
        "likes": 0,
        "comments": 0,
        "shares": 0,
        "timeline": [],
    }
    assert data["performance"]["averageBitrate"] is None
    assert len(data["views"]["timeline"]) == len(DAYS.keys) == 7
    schemas.Video.model_validate(data)


def test_live_videos_and_unknown_ones_have_no_completion() -> None:
    for live in (True, None):
        engagement = video(FULL, live=live)["engagement"]
        assert engagement["completionRate"] is None
        assert {point["completionRate"] for point in engagement["timeline"]} == {None}


def test_without_comparison_its_fields_are_left_out() -> None:
    data = video(FULL, compare=False)
    assert "previous" not in data["period"]
    assert "change" not in data["views"]


def test_groups_that_were_not_asked_for_are_left_out() -> None:
    assert list(video(FULL, groups=("performance",))) == ["period", "performance"]


def test_everything_has_nothing_before() -> None:
    reading = VideoReading(total={"views": 3}, elapsed={"views": 3}, before=None, unique=1)
    data = video(reading, named("all", zone=ZoneInfo("UTC"), now=NOW, first=NOW))
    assert data["period"]["previous"] is None
    assert data["views"]["change"] is None


SUMMARY = SummaryReading(
    videos=4,
    total={"views": 20, "watched_ms": 400_000, "likes": 9},
    elapsed={"views": 20, "watched_ms": 300_000, "parts": 900, "sized": 10},
    before={"views": 10, "watched_ms": 400_000, "parts": 500, "sized": 10},
    recorded={"views": 16, "completions": 4},
    reactions={"likes": 6, "comments": 1},
    top=(
        RankedVideo("a", {"views": 15, "watched_ms": 60_500, "parts": 500, "sized": 10, "likes": 3}),
        RankedVideo("b", {"views": 5}),
    ),
)


def test_a_summary() -> None:
    data = video_answers.summary(SUMMARY, {"a": "First"}, compare=True)
    assert data == {
        "totalVideos": 4,
        "totalViews": 20,
        "totalWatchTime": 400,
        "averageEngagement": {"watchTime": 20, "completionRate": 0.25, "likes": 1.5, "comments": 0.25},
        "topVideos": [
            {"id": "a", "title": "First", "views": 15, "watchTime": 60.5, "engagement": 0.44},
            {"id": "b", "title": None, "views": 5, "watchTime": 0, "engagement": None},
        ],
        "trends": {"views": 1, "watchTime": -0.25, "engagement": 0.8},
    }
    schemas.Summary.model_validate(data)


def test_a_summary_of_nothing() -> None:
    nothing = SummaryReading(0, {}, {}, None, {}, {}, ())
    data = video_answers.summary(nothing, {}, compare=True)
    assert data["averageEngagement"] == {
        "watchTime": None,
        "completionRate": None,
        "likes": None,
        "comments": None,
    }
    assert data["trends"] == {"views": None, "watchTime": None, "engagement": None}
    assert "trends" not in video_answers.summary(nothing, {}, compare=False)
    schemas.Summary.model_validate(data)


def test_the_envelope_says_when_and_from_where() -> None:
    body = answers.envelope({}, WEEK, "clickhouse")
    assert body["meta"] == {
        "asOf": "2024-03-30T14:05:27.312Z",
        "partial": True,
        "timezone": "UTC",
        "source": "clickhouse",
    }
    schemas.Meta.model_validate(body["meta"])
