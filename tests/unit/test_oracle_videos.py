"""The oracle itself, against cases worked out by hand."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.oracle.log import CATALOG, PLAYBACK, USERS, Log, Record, read
from tests.oracle.videos import bitrate, change, engagement, is_known, summary, sums, video_analytics
from tests.oracle.views import Facts, country, facts, parts_touched
from tests.oracle.windows import Span, Window, bucket, buckets, custom, period

UTC_ZONE = ZoneInfo("UTC")
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


def ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def playback(
    kind: str, seconds: float, seq: int, *, view: str = "w", received: float | None = None, **fields: Any
) -> Record:
    """Make a record of a view of video `v`, `seconds` after noon."""
    at = ms(NOON) + round(seconds * 1000)
    event = {"eventId": f"{view}{seq}", "type": kind, "occurredAt": at, "videoId": "v", "viewId": view,
             "seq": seq,
             "sessionId": "s", "userId": f"user of {view}"}  # fmt: skip
    event |= (
        {"watchedMs": 0, "rebufferMs": 0, "rebufferCount": 0} if kind in ("view.progress", "view.end") else {}
    )
    timestamp = at if received is None else ms(NOON) + round(received * 1000)
    return Record(PLAYBACK, view.encode(), json.dumps(event | fields).encode(), timestamp)


def told(*records: Record) -> tuple[Log, Facts]:
    log = read(list(records))
    return log, facts(log)


def day(log_and_facts: tuple[Log, Facts], **how: Any) -> dict[str, Any]:
    """Answer for video `v` on the day of the view."""
    window = period("1d", NOON + timedelta(hours=6), UTC_ZONE)
    return video_analytics(*log_and_facts, "v", window, NOON + timedelta(hours=6), **how)


START = ms(NOON)
LENGTH = Record(
    CATALOG, b"v", json.dumps({"videoId": "v", "title": "V", "durationMs": 100_000}).encode(), START - 1
)


def test_a_view_from_attempt_to_end_gives_every_number() -> None:
    answer = day(
        told(
            LENGTH,
            playback("view.attempt", 0, 0, country="uk", device="tv", platform="web"),
            playback("view.start", 2, 1, startupMs=2000, country="uk", device="tv", platform="web"),
            playback("view.progress", 12, 2, startedAt=START + 2000, watchedMs=9000, rebufferMs=1000,
                     rebufferCount=1, bitrateKbps=2000, fromMs=0, toMs=9000),
            playback("view.end", 33, 3, startedAt=START + 2000, watchedMs=30_000, rebufferMs=1000,
                     rebufferCount=1, bitrateKbps=3000, fromMs=9000, toMs=30_000, reason="exited"),
        )
    )  # fmt: skip
    assert (answer["views"]["total"], answer["views"]["unique"], answer["views"]["change"]) == (1, 1, None)
    assert answer["views"]["byCountry"] == {"UK": 1}
    assert (answer["views"]["byDevice"], answer["views"]["byPlatform"]) == ({"tv": 1}, {"web": 1})
    assert answer["engagement"]["averageWatchTime"] == 30
    assert answer["engagement"]["completionRate"] == 0
    assert answer["performance"]["bufferingRate"] == Fraction(1, 31)
    assert answer["performance"]["averageBitrate"] == "2700k"  # (2000 x 9 + 3000 x 21) / 30
    assert answer["performance"]["errorRate"] == 0
    noon = [entry for entry in answer["views"]["timeline"] if entry["views"]]
    assert noon == [{"date": "2026-06-15T12:00:00Z", "views": 1, "unique": 1}]
    assert len(answer["views"]["timeline"]) == 24


def test_totals_count_what_raises_the_largest_whatever_the_order() -> None:
    def at(seconds: int, seq: int, watched: int) -> Record:
        return playback("view.progress", seconds, seq, startedAt=START, watchedMs=watched)

    log, found = told(at(10, 1, 10_000), at(30, 3, 30_000), at(20, 2, 20_000), at(40, 4, 35_000))
    watched = [(fact.at - START, fact.amount) for fact in found.facts if fact.measure == "watched_ms"]
    assert watched == [(10_000, 10_000), (30_000, 20_000), (40_000, 5_000)]


def test_a_repeat_and_an_event_64_behind_do_not_count() -> None:
    log, _ = told(
        *(playback("view.progress", 0, seq, startedAt=START) for seq in (0, 70, 7, 7, 6, 70, 71, 8)),
    )
    assert [accepted.event["seq"] for accepted in log.accepted] == [0, 70, 7, 71, 8]
    assert (log.repeated, log.late) == ({PLAYBACK: 2}, {PLAYBACK: 1})


def test_the_same_event_id_counts_once_for_a_user_and_again_for_another() -> None:
    def like(user: str) -> Record:
        event = {"eventId": "e", "type": "video.like", "occurredAt": START, "sessionId": "s", "videoId": "v"}
        return Record(USERS, user.encode(), json.dumps(event | {"userId": user}).encode(), START)

    answer = day(told(like("a"), like("b"), like("a")))
    assert answer["engagement"]["likes"] == 2
    assert answer["views"]["total"] == 0


def test_clocks_are_corrected_by_when_the_client_sent() -> None:
    # The client's clock is an hour ahead; it sent 3 s after the event, which arrived at noon.
    hour = 3600
    (accepted,) = read(
        [playback("view.progress", hour, 1, received=0, sentAt=START + (hour + 3) * 1000,
                  startedAt=START + (hour - 50) * 1000)]
    ).accepted  # fmt: skip
    assert accepted.at == START - 3000
    assert accepted.started_at == START - 53_000


@pytest.mark.parametrize(("ahead", "corrected"), [(300, 300), (300.001, 0), (9999, 0), (-9999, -9999)])
def test_a_clock_more_than_five_minutes_ahead_is_not_believed(ahead: float, corrected: float) -> None:
    (accepted,) = read([playback("view.attempt", ahead, 0, received=0)]).accepted
    assert accepted.at == START + round(corrected * 1000)


def test_what_is_older_than_the_retention_is_a_dead_letter() -> None:
    limit = -180 * 86_400
    log = read(
        [
            playback("view.attempt", limit, 0, received=0),
            playback("view.attempt", limit - 0.001, 1, received=0),
        ]
    )
    assert [accepted.event["seq"] for accepted in log.accepted] == [0]
    assert [reason for _, reason in log.dead] == ["TooOld"]


def test_the_first_event_that_knows_the_start_starts_the_view_with_its_audience() -> None:
    answer = day(
        told(
            playback(
                "view.progress", 20, 2, startedAt=START + 5000, watchedMs=1, userId="late", device="tablet"
            ),
            playback("view.start", 7, 1, startupMs=1, userId="early", device="mobile"),
        )
    )
    assert answer["views"]["total"] == 1
    assert answer["views"]["byDevice"] == {"tablet": 1}


def test_attempts_are_implied_by_starts_and_fatal_errors_and_counted_once() -> None:
    _, found = told(
        playback("view.start", 5, 1, view="a", startupMs=0),
        playback("view.attempt", 1, 0, view="a"),
        playback("view.error", 7, 0, view="b", code="x", fatal=True),
        playback("view.error", 8, 1, view="b", code="x", fatal=True),
        playback("view.error", 9, 0, view="c", code="x", fatal=False),
        playback("view.attempt", 3, 0, view="d"),
        playback("view.error", 9, 1, view="d", code="x", fatal=True, startedAt=START + 4000),
        playback("view.error", 60, 0, view="e", code="x", fatal=True, startedAt=START + 50_000),
    )
    attempts = sorted(
        (fact.at - START, fact.measure) for fact in found.facts if fact.measure in ("attempts", "fatals")
    )
    assert attempts == [
        (3000, "attempts"), (3000, "fatals"), (5000, "attempts"), (7000, "attempts"), (7000, "fatals"),
        (50_000, "attempts"), (50_000, "fatals"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("end", "complete"),
    [
        ({"toMs": 95_000, "reason": "exited"}, 1),
        ({"toMs": 94_999, "reason": "exited"}, 0),
        ({"reason": "ended"}, 1),
        ({"toMs": 500_000, "reason": "exited"}, 1),
    ],
)
def test_a_view_is_complete_at_95_percent_or_when_it_ended(end: dict[str, Any], complete: int) -> None:
    answer = day(told(LENGTH, playback("view.start", 0, 0, startupMs=0), playback("view.end", 9, 1, **end)))
    assert answer["engagement"]["completionRate"] == complete


def test_completion_that_is_known_before_the_start_counts_with_it() -> None:
    late_start = told(playback("view.end", 9, 1, reason="ended"), playback("view.start", 0, 0, startupMs=0))
    assert day(late_start)["engagement"]["completionRate"] == 1
    never = told(playback("view.end", 9, 1, reason="ended"))
    assert (day(never)["views"]["total"], day(never)["engagement"]["completionRate"]) == (0, None)


def test_live_video_has_no_completion_rate() -> None:
    live = Record(CATALOG, b"v", b'{"videoId": "v", "title": "V", "live": true}', START)
    answer = day(
        told(live, playback("view.start", 0, 0, startupMs=0), playback("view.end", 9, 1, reason="ended"))
    )
    assert answer["engagement"]["completionRate"] is None


def test_the_start_tells_the_length_else_the_catalog_of_that_moment() -> None:
    def share(*records: Record) -> dict[str, int]:
        _, found = told(*records)
        return dict(sums(found.facts, Span(NOON, NOON + timedelta(days=1))))

    start = playback("view.start", 0, 0, startupMs=0)
    longer = playback("view.start", 0, 0, startupMs=0, durationMs=200_000)
    half = playback("view.progress", 50, 1, startedAt=START, fromMs=0, toMs=50_000)
    again = playback("view.progress", 60, 2, startedAt=START, fromMs=40_000, toMs=60_000)
    assert (share(LENGTH, start, half)["parts"], share(LENGTH, longer, half)["parts"]) == (50, 25)
    assert share(LENGTH, start, half, again)["parts"] == 60
    # Not known at first: the stretch before does not count, the view is sized once it is.
    assert (share(start, half)["parts"], share(start, half)["sized"]) == (0, 0)
    assert (share(start, half, LENGTH, again)["parts"], share(start, half, LENGTH, again)["sized"]) == (20, 1)


@pytest.mark.parametrize(
    ("stretch", "length", "parts"),
    [
        ((0, 1000), 100_000, {0}),
        ((0, 1001), 100_000, {0, 1}),
        ((999, 1000), 100_000, {0}),
        ((99_000, 200_000), 100_000, {99}),
        ((100_000, 200_000), 100_000, set()),
        ((5, 5), 100_000, set()),
        ((9, 5), 100_000, set()),
        ((0, 1), 1, set(range(100))),
        ((1, 2), 3, set(range(33, 67))),
    ],
)
def test_parts_share_a_moment_with_the_stretch(
    stretch: tuple[int, int], length: int, parts: set[int]
) -> None:
    assert parts_touched(*stretch, length) == parts


def test_countries_are_two_ascii_letters() -> None:
    told_as = {
        "us": "US",
        "UK": "GB",
        "gb": "GB",
        "ß": "unknown",
        "usa": "unknown",
        "1A": "unknown",
        None: "unknown",
    }
    assert {name: country(name) for name in told_as} == told_as


def test_the_summary_pools_over_videos_and_orders_the_top() -> None:
    def like(video: str, number: int) -> Record:
        event = {
            "eventId": f"{number}",
            "type": "video.like",
            "occurredAt": START,
            "sessionId": "s",
            "videoId": video,
        }
        return Record(USERS, b"u", json.dumps(event | {"userId": "u"}).encode(), START)

    log, found = told(
        LENGTH,
        playback("view.start", 0, 0, view="1", startupMs=0),
        playback("view.start", 0, 0, view="2", startupMs=0),
        playback("view.end", 90, 1, view="2", startedAt=START, watchedMs=60_000, toMs=50_000, fromMs=0,
                 reason="ended"),
        playback("view.start", 0, 0, view="3", startupMs=0, videoId="b"),
        playback("view.start", 0, 0, view="4", startupMs=0, videoId="a"),
        like("b", 1), like("v", 2), like("unwatched", 3),
    )  # fmt: skip
    answer = summary(log, found, period("1d", NOON, UTC_ZONE), NOON + timedelta(hours=1))
    assert (answer["totalVideos"], answer["totalViews"], answer["totalWatchTime"]) == (3, 4, 60)
    assert answer["averageEngagement"] == {
        "watchTime": 15, "completionRate": Fraction(1, 4), "likes": Fraction(2, 3), "comments": 0
    }  # fmt: skip
    assert [(top["id"], top["title"], top["views"]) for top in answer["topVideos"]] == [
        ("v", "V", 2), ("a", None, 1), ("b", None, 1)
    ]  # fmt: skip
    # v: half of the content in one of two views, 1 like on 2 views.
    assert answer["topVideos"][0]["engagement"] == Fraction(8, 10) * Fraction(1, 4) + Fraction(
        2, 10
    ) * Fraction(1, 2)
    assert answer["topVideos"][1]["engagement"] is None
    assert answer["trends"] == {"views": None, "watchTime": None, "engagement": None}


def test_change_compares_equally_long_elapsed_stretches() -> None:
    def start(hours: float, name: str) -> Record:
        return playback("view.start", hours * 3600, 0, view=name, startupMs=0)

    # Today 2 views by 14:00; yesterday 1 before 14:00 and 3 after: only the first is compared with.
    views = told(
        start(-23, "1"), start(-20, "2"), start(-19, "3"), start(-18, "4"), start(0, "5"), start(1, "6")
    )
    window = period("1d", NOON, UTC_ZONE)
    answer = video_analytics(*views, "v", window, NOON + timedelta(hours=2))
    assert answer["views"]["change"] == 1
    assert "change" not in video_analytics(*views, "v", window, NOON, compare=False)["views"]


def test_ratios_of_nothing_are_none() -> None:
    assert (change(5, 0), change(None, 1), bitrate({"bitrate_weight": 0, "bitrate_ms": 0})) == (
        None,
        None,
        None,
    )
    assert engagement({"parts": 0, "sized": 0, "likes": 1, "comments": 0, "shares": 0, "views": 1}) is None


def test_a_video_is_known_by_the_catalog_or_by_what_happened_to_it() -> None:
    tried = playback("view.attempt", 0, 0, videoId="tried")
    left = playback("view.end", 1, 0, view="x", videoId="left", reason="exited")
    log, found = told(LENGTH, tried, left)
    assert [is_known(log, found, video) for video in ("v", "tried", "left", "nobody")] == [
        True,
        True,
        False,
        False,
    ]


def test_calendar_periods_end_at_tonights_midnight_of_the_zone() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    # 20:00 UTC is already tomorrow there; midnight is at 18:30 UTC.
    window = period("7d", datetime(2026, 6, 15, 20, tzinfo=UTC), kolkata)
    assert window.span == Span(
        datetime(2026, 6, 9, 18, 30, tzinfo=UTC), datetime(2026, 6, 16, 18, 30, tzinfo=UTC)
    )
    assert window.previous == Span(datetime(2026, 6, 2, 18, 30, tzinfo=UTC), window.span.start)


def test_days_on_which_clocks_change_have_23_or_25_hours() -> None:
    york = ZoneInfo("America/New_York")
    autumn = period("1d", datetime(2026, 11, 1, 18, tzinfo=UTC), york).span
    assert autumn.end - autumn.start == timedelta(hours=25)
    hours = buckets(autumn, "hour", york)
    assert len(hours) == 25
    assert hours[1:3] == ("2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00")
    # Of the day of 25 hours the first 24 are compared with the day before.
    over = Window(autumn, period("1d", datetime(2026, 11, 1, 18, tzinfo=UTC), york).previous, york)
    compared = over.elapsed(datetime(2026, 11, 3, tzinfo=UTC))
    assert compared
    assert [span.end - span.start for span in compared] == [timedelta(hours=24)] * 2
    spring = period("1d", datetime(2026, 3, 8, 18, tzinfo=UTC), york).span
    assert len(buckets(spring, "hour", york)) == 23


def test_rolling_periods_end_at_the_next_full_minute() -> None:
    window = period("1h", datetime(2026, 6, 15, 12, 34, 56, tzinfo=UTC), UTC_ZONE)
    assert window.span == Span(
        datetime(2026, 6, 15, 11, 35, tzinfo=UTC), datetime(2026, 6, 15, 12, 35, tzinfo=UTC)
    )
    assert buckets(window.span, "hour", UTC_ZONE) == ("2026-06-15T11:00:00Z", "2026-06-15T12:00:00Z")


def test_everything_starts_with_the_day_of_the_first_data() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    window = period("all", NOON, kolkata, first=datetime(2026, 6, 13, 20, tzinfo=UTC))
    assert window.span == Span(
        datetime(2026, 6, 13, 18, 30, tzinfo=UTC), datetime(2026, 6, 15, 18, 30, tzinfo=UTC)
    )
    assert window.previous is None


def test_what_is_compared_ends_at_a_full_minute_or_quarter() -> None:
    now = datetime(2026, 6, 15, 12, 34, 56, tzinfo=UTC)
    lengths = [
        (spans[0].end - spans[0].start)
        for name in ("1d", "7d")
        if (spans := period(name, now, UTC_ZONE).elapsed(now))
    ]
    assert lengths == [timedelta(hours=12, minutes=34), timedelta(days=6, hours=12, minutes=30)]


def test_weeks_are_named_by_their_monday() -> None:
    assert bucket(datetime(2026, 11, 22, 23, 59, tzinfo=UTC), "week", UTC_ZONE) == "2026-11-16"
    assert (
        bucket(datetime(2026, 11, 22, 23, 59, tzinfo=UTC), "week", ZoneInfo("Asia/Kolkata")) == "2026-11-23"
    )


def test_windows_are_half_open() -> None:
    window: Window = custom(NOON, NOON + timedelta(seconds=1), UTC_ZONE)
    assert (START in window.span, START + 999 in window.span, START + 1000 in window.span) == (
        True,
        True,
        False,
    )
    assert window.previous == Span(NOON - timedelta(seconds=1), NOON)


def test_the_oracle_and_the_worlds_know_nothing_of_the_product() -> None:
    modules = [
        path for name in ("oracle", "world") for path in (Path(__file__).parents[1] / name).glob("*.py")
    ]
    assert len(modules) > 8
    imported = {
        name.split(".")[0]
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & {"streams", "sinks", "api", "deploy"}
