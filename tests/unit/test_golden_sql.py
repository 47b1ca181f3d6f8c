"""The SQL of each kind of question, as it is sent. `UPDATE_GOLDEN=1` writes the files anew: read the diff."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sinks.clickhouse import queries
from sinks.clickhouse.queries import Query
from streams.domain.definitions import VIDEO
from streams.domain.metrics import measures_of
from streams.domain.timeline import group_by_of, timeline
from streams.domain.windows import Window, custom, named, zone_of
from tests.golden import FOLDER, check_query

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
HOSTILE = "x' OR 1=1; DROP TABLE video_15m --"


def video(window: Window, groups: tuple[str, ...] | None = None, compare: bool = True) -> Query:
    points = timeline(window, group_by_of(None, window))
    return queries.video_sums(HOSTILE, window, points, measures_of(VIDEO, groups), compare)


def window(period: str) -> Window:
    return named(period, zone=zone_of("UTC"), now=NOW)


OWN = custom(
    datetime(2024, 3, 1, 0, 0, 0, 1000, UTC),
    datetime(2024, 3, 1, 0, 5, tzinfo=UTC),
    zone=zone_of("UTC"),
    now=NOW,
)
CASES = {
    "video_24h": video(window("24h")),
    "video_30d_views": video(window("30d"), ("views",)),
    "video_7d_performance_alone": video(window("7d"), ("performance",), compare=False),
    "video_within_a_quarter": video(OWN),
    "video_uniques": queries.video_uniques(
        HOSTILE, window("7d"), timeline(window("7d"), group_by_of(None, window("7d")))
    ),
    "summary_30d": queries.summary_sums(window("30d")),
    "summary_24h": queries.summary_sums(window("24h")),
    "trends_30d": queries.summary_trends(window("30d")),
    "trends_24h": queries.summary_trends(window("24h")),
    "catalog_entry": queries.catalog_entry(HOSTILE),
    "catalog_titles": queries.catalog_titles([HOSTILE]),
    "live_videos": queries.live_videos(),
    "first_data": queries.first_data(),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sql_is_as_it_was_read_and_approved(name: str) -> None:
    check_query(f"sql/{name}.sql", CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_nothing_of_a_question_is_in_the_statement(name: str) -> None:
    assert "DROP" not in CASES[name].sql


@pytest.mark.parametrize("name", ["summary_30d", "video_30d_views", "video_7d_performance_alone"])
def test_long_windows_read_no_raw_events(name: str) -> None:
    assert "playback_events" not in CASES[name].sql
    assert "user_events" not in CASES[name].sql


def test_there_is_a_file_for_every_case_and_no_other() -> None:
    assert {path.stem for path in (FOLDER / "sql").iterdir()} == set(CASES)
