"""What is trending: how far the last ten minutes are above what the fifty before let expect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sinks.redis import keys
from streams.domain.live import (
    MAX_TRENDING,
    MIN_RECENT,
    WATCHING,
    Candidate,
    last_hour,
    ranked,
    recent_start,
    trend,
)

#: Nine and a half of the last ten minutes are over.
WINDOW = last_hour(datetime(2024, 3, 30, 14, 5, 30, tzinfo=UTC))


def test_the_hour_ends_with_the_running_minute() -> None:
    assert (WINDOW.start, WINDOW.end) == (
        datetime(2024, 3, 30, 13, 6, tzinfo=UTC),
        datetime(2024, 3, 30, 14, 6, tzinfo=UTC),
    )
    assert recent_start(WINDOW) == datetime(2024, 3, 30, 13, 56, tzinfo=UTC)


def test_the_live_counters_and_the_definition_agree_on_who_is_watching() -> None:
    assert timedelta(milliseconds=keys.WATCHING_MS) == WATCHING


@pytest.mark.parametrize(
    ("recent", "before", "wanted"),
    [
        # 9.5 of 50 minutes: 0.19 of the views before are expected.
        (19, 100, 0.0),
        (38, 100, 19 / 20**0.5),
        (10, 0, 10.0),
        (0, 100, -19 / 20**0.5),
    ],
)
def test_the_trend_is_in_standard_deviations_above_the_expected_views(
    recent: int, before: int, wanted: float
) -> None:
    assert trend(Candidate("v", recent, before), WINDOW) == pytest.approx(wanted, abs=1e-12)


def test_steady_videos_and_those_of_hardly_any_views_do_not_trend() -> None:
    candidates = [
        Candidate("rising", 40, 100),
        Candidate("steady", 19, 100),
        Candidate("falling", 5, 100),
        Candidate("few", MIN_RECENT - 1, 0),
        Candidate("enough", MIN_RECENT, 0),
    ]
    assert [each.id for each, _ in ranked(candidates, WINDOW)] == ["rising", "enough"]


def test_equal_trends_are_ordered_by_id_and_only_ten_are_told() -> None:
    candidates = [Candidate(f"v{number:02}", 5, 0) for number in reversed(range(30))]
    assert [each.id for each, _ in ranked(candidates, WINDOW)] == [f"v{n:02}" for n in range(MAX_TRENDING)]
