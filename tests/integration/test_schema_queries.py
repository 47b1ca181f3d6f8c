"""The queries that the documents show: each runs, and answers what the documented examples say."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.monitoring.business import BUSINESS
from deploy.monitoring.grafana import Panel
from docs.schema_page import tables
from sinks.base import Block, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.sink import ClickHouseBlocks
from streams.domain.event_ids import SystemFolder, UserFolder
from streams.domain.examples import EVENTS, Example
from streams.domain.folding import Folder, Place, PlaybackFolder
from streams.domain.generations import Generations
from tests.world.feed import Taken

DOCS = Path(__file__).parents[2] / "docs"
_SECTION = re.compile(r"^## ([^\n]+)\n.*?^```sql\n(.*?)^```", re.DOTALL | re.MULTILINE)
QUERIES = dict(_SECTION.findall((DOCS / "queries.md").read_text("utf-8")))
VIDEO_MS = 600_000

Rows = list[dict[str, Any]]


def _moved(event: Example, shift_ms: int, now_ms: int) -> Example:
    """Return an example that happened ``shift_ms`` later and is sent now, its instants as epoch milliseconds.

    Sent now, because it is received now: an instant is corrected by what lies between the two.
    """
    moved = dict(event)
    for name in ("occurredAt", "startedAt"):
        if name in event:
            at = event[name]
            ms = at if isinstance(at, int) else round(datetime.fromisoformat(at).timestamp() * 1000)
            moved[name] = ms + shift_ms
    if "sentAt" in event:
        moved["sentAt"] = now_ms
    return moved


def _story(now_ms: int) -> list[Example]:
    """Return the documented events 40 minutes ago, and Ben's view like Ana's that a fatal error hit."""
    first = datetime.fromisoformat(EVENTS["view.attempt"]["occurredAt"]).timestamp() * 1000
    shift = now_ms - 40 * 60_000 - round(first)
    events = [_moved(event, shift, now_ms) for event in EVENTS.values()]
    for event in [event for event in events if event["type"].startswith("view.")]:
        ben = event | {"viewId": "view_ben", "userId": "usr_ben", "sessionId": "ses_ben"}
        events.append(ben | {"fatal": True} if event["type"] == "view.error" else ben)
    return events


def _folders() -> dict[tuple[str, ...], Folder]:
    def place(topic: str) -> Place:
        return Place("test", topic, 0)

    def memory() -> Generations[Any]:
        return Generations(floor=-1, capacity=1000, lifetime=1e9)

    return {
        ("view.",): PlaybackFolder(place("playback.events"), memory()),
        ("user.", "session.", "page.", "video."): UserFolder(place("user.events"), memory()),
        ("api.", "job", "storage.", "host.", "health."): SystemFolder(place("system.events"), memory()),
    }


async def _land(url: str, events: list[Example], now_ms: int) -> None:
    """Take events through the product's own folders and sink."""
    client = await connect(url)
    try:
        for prefixes, folder in _folders().items():
            values = [json.dumps(event).encode() for event in events if event["type"].startswith(prefixes)]
            records = [Taken(offset, now_ms, b"key", value) for offset, value in enumerate(values)]
            arrivals, rejected = folder.decode(records, 86_400_000)
            assert not rejected
            assert not folder.unknown(arrivals), "every view begins here"
            rows = folder.fold(arrivals).rows
            end, topic = len(records), folder.place.topic
            sink = ClickHouseBlocks(client)
            chunks = [sink.encode(folder.row, rows)]
            block = Block(
                Partition("test", topic, 0),
                "test",
                folder.table,
                folder.row,
                0,
                end,
                "",
                len(rows),
                end,
                chunks,
            )
            await sink.write(block)
    finally:
        await client.close()


@pytest.fixture(scope="module")
def database(clickhouse_server: str) -> Iterator[str]:
    """Yield the address of a database that holds the documented events."""
    name = f"queries_{uuid4().hex[:8]}"
    server = clickhouse_server.rstrip("/")
    migrate(f"{server}/{name}")
    now_ms = int(time.time() * 1000)
    asyncio.run(_land(f"{server}/{name}", _story(now_ms), now_ms))
    yield f"{server}/?database={name}"
    _sql(f"{server}/", f"DROP DATABASE {name} SYNC")


def _sql(url: str, statement: str) -> str:
    with urllib.request.urlopen(url, data=statement.encode(), timeout=60) as answer:
        return str(answer.read().decode())


def _ask(database: str, heading: str) -> Rows:
    settings = "default_format=JSON&output_format_json_quote_64bit_integers=0"
    rows: Rows = json.loads(_sql(f"{database}&{settings}", QUERIES[heading]))["data"]
    return rows


def test_there_are_ten_queries_and_each_is_asked_here() -> None:
    assert len(QUERIES) == 10
    asked = Path(__file__).read_text("utf-8")
    assert [heading for heading in QUERIES if f'_ask(database, "{heading}")' not in asked] == []


def test_views_per_hour_counts_both_views(database: str) -> None:
    rows = _ask(database, "Views per hour")
    assert sum(row["views"] for row in rows) == 2
    assert max(row["viewers"] for row in rows) == 2


def test_rebuffering_is_a_ratio_of_sums(database: str) -> None:
    (row,) = _ask(database, "Rebuffering by country and device")
    assert (row["country"], row["device"]) == ("DE", "mobile")
    assert row["watched_hours"] == pytest.approx(2 * 200 / 3600)
    assert row["buffering_rate"] == pytest.approx(380 / 200_380)


def test_the_retention_curve_ends_where_the_viewers_left(database: str) -> None:
    rows = _ask(database, "Audience retention of a video")
    left_at = EVENTS["view.end"]["toMs"] * 100 / VIDEO_MS
    assert [row["part"] for row in rows] == [part for part in range(100) if part < left_at]
    assert {row["share_of_views"] for row in rows} == {1.0}


def test_new_users_are_told_by_their_source(database: str) -> None:
    (row,) = _ask(database, "Where new users come from")
    assert row == {"source": "referral", "new_users": 1, "watched": 1, "share": 1}


def test_endpoints_are_told_with_their_quantiles(database: str) -> None:
    (row,) = _ask(database, "Slowest endpoints")
    assert (row["endpoint"], row["requests"], row["errors"]) == ("/videos/{id}", 1, 0)
    assert row["p50_p95_p99_ms"] == [12.4, 12.4, 12.4]


def test_everyone_is_active_in_the_week_of_their_first_event(database: str) -> None:
    rows = _ask(database, "Weekly cohorts")
    assert sum(row["active"] for row in rows if row["week"] == 0) == 3


def test_two_views_ran_at_once(database: str) -> None:
    rows = _ask(database, "Concurrent viewers by minute")
    assert max(row["concurrent_views"] for row in rows) == 2
    assert max(row["viewers"] for row in rows) == 2


def test_one_error_hit_both_views_and_ended_one(database: str) -> None:
    rows = _ask(database, "Playback errors")
    assert rows == [{"code": "SEGMENT_TIMEOUT", "platform": "ios", "views_hit": 2, "views_ended": 1}]


def test_start_up_and_bitrate_are_those_of_the_events(database: str) -> None:
    starts = "SELECT type, d_views, startup_ms FROM playback_events WHERE d_views > 0"
    assert _sql(f"{database}&default_format=TSV", starts).splitlines() == ["view.start\t1\t1120"] * 2
    (row,) = _ask(database, "Start-up time and bitrate")
    assert row["startup_p50_p90_p99_ms"] == [1120, 1120, 1120]
    assert (row["median_kbps"], row["mean_kbps"]) == (2500, 2500)


def test_the_books_balance_until_a_row_is_there_twice(database: str) -> None:
    rows = _ask(database, "Do the books balance?")
    stored = {row["topic"]: row["rows_stored"] for row in rows}
    assert stored == {"playback.events": 10, "user.events": 8, "system.events": 5}
    assert all(row["balanced"] for row in rows)
    names = ", ".join(name for table in tables() if table.name == "user_events" for name, *_ in table.columns)
    # No other test here reads the raw user events.
    _sql(database, f"INSERT INTO user_events ({names}) SELECT {names} FROM user_events WHERE offset = 0")
    rows = _ask(database, "Do the books balance?")
    assert {row["topic"] for row in rows if not row["balanced"]} == {"user.events"}


def test_the_tables_of_the_document_are_those_of_the_database(database: str) -> None:
    columns = _sql(
        f"{database}&default_format=TSV",
        "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
        " AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase()"
        " AND engine NOT IN ('MaterializedView', 'View') AND name != 'schema_migrations')",
    )
    made = {tuple(line.split("\t")) for line in columns.splitlines()}
    told = {(table.name, name) for table in tables() for name, *_ in table.columns}
    assert told == made


def _filled(sql: str) -> str:
    """Fill in Grafana's macros as its ClickHouse data source does, for the last two hours."""
    begin, end = "(now() - INTERVAL 2 HOUR)", "now()"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {begin} AND \1 <= {end}", sql)
    sql = re.sub(r"\$__timeInterval\((\w+)\)", r"toStartOfInterval(toDateTime(\1), INTERVAL 60 second)", sql)
    return sql.replace("$__fromTime", begin).replace("$__toTime", end)


@pytest.mark.parametrize("panel", BUSINESS.panels, ids=lambda panel: panel.title)
def test_every_picture_of_the_business_dashboard_has_something_to_show(database: str, panel: Panel) -> None:
    settings = "default_format=JSON&output_format_json_quote_64bit_integers=0"
    for target in panel.targets:
        answer = json.loads(_sql(f"{database}&{settings}", _filled(target.query)))
        assert answer["data"], target.query
        columns = [column["name"] for column in answer["meta"]]
        assert columns[0] == "time" or panel.kind != "timeseries"
        if panel.kind == "stat":
            assert answer["data"][0][columns[0]] is not None


def test_the_completion_rate_of_the_business_dashboard_is_that_of_the_summary_without_live_videos(
    database: str,
) -> None:
    (panel,) = (panel for panel in BUSINESS.panels if panel.title == "Completion rate")
    query = _filled(panel.targets[0].query)
    before = float(_sql(database, query))
    columns = "log, topic, partition, offset, event_id, type, received_at, video_id, live, deleted"
    _sql(
        database,
        f"INSERT INTO video_catalog ({columns}) VALUES ('test', 'video.catalog', 0, 0, '', 'catalog.entry',"
        " now(), 'on_air', true, false)",
    )
    _sql(
        database,
        "INSERT INTO video_15m (bucket, video_id, country, device, platform, views, completions)"
        " VALUES (toStartOfFifteenMinutes(now()), 'on_air', 'DE', 'tv', 'tv', 10, 3)",
    )
    assert float(_sql(database, query)) == before
