"""What is trending: how far the last ten minutes are above what the fifty before let expect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sinks.redis import keys
from streams.domain.live import LEAST, RANKED, WATCHING, Surge, last_hour, ranked, recent_start, trend

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
    assert trend(Surge("v", recent, before), WINDOW) == pytest.approx(wanted, abs=1e-12)


def test_steady_videos_and_those_of_hardly_any_views_do_not_trend() -> None:
    surges = [
        Surge("rising", 40, 100),
        Surge("steady", 19, 100),
        Surge("falling", 5, 100),
        Surge("few", LEAST - 1, 0),
        Surge("enough", LEAST, 0),
    ]
    assert [surge.id for surge, _ in ranked(surges, WINDOW)] == ["rising", "enough"]


def test_equal_trends_are_ordered_by_id_and_only_ten_are_told() -> None:
    surges = [Surge(f"v{number:02}", 5, 0) for number in reversed(range(30))]
    assert [surge.id for surge, _ in ranked(surges, WINDOW)] == [f"v{n:02}" for n in range(RANKED)]
