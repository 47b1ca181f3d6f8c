"""The SQL that stands in for the live counters. `UPDATE_GOLDEN=1` writes the files anew: read the diff."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sinks.clickhouse import live_queries
from streams.domain.live import last_hour

GOLDEN = Path(__file__).parents[1] / "golden" / "live"
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
    query = CASES[name]
    assert HOSTILE not in query.sql
    bound = json.dumps(query.parameters, indent=1, ensure_ascii=False)
    text = f"{query.sql}\n\n/* bound:\n{bound}\n*/\n"
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text
