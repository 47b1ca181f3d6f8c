"""The SQL that stands in for the live counters. `UPDATE_GOLDEN=1` writes the files anew: read the diff."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sinks.clickhouse import live_queries
from streams.domain.live import last_hour
from tests.golden import check_query

WINDOW = last_hour(datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC))
HOSTILE = "x' OR 1=1; DROP TABLE video_15m --"
CASES = {
    "minutes": live_queries.minutes(None, WINDOW),
    "minutes_of_video": live_queries.minutes(HOSTILE, WINDOW),
    "watching": live_queries.watching(None, WINDOW),
    "watching_video": live_queries.watching(HOSTILE, WINDOW),
    "surges": live_queries.trend_candidates(WINDOW),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sql_is_as_it_was_read_and_approved(name: str) -> None:
    assert HOSTILE not in CASES[name].sql
    check_query(f"live/{name}.sql", CASES[name])
