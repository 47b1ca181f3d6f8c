"""Windows around the edge of what is kept: every answer is that of all events ever sent, or a refusal."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.parameters import Question, QuestionParser
from api.system_service import SystemService
from api.user_service import UserService
from sinks.clickhouse.client import connect
from sinks.clickhouse.instants import aware
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.system_reader import ClickHouseSystem
from sinks.clickhouse.user_reader import ClickHouseUsers
from streams.domain.errors import NotKeptError
from streams.domain.windows import kept_since, midnight, rfc3339
from tests.audience.comparison import differences
from tests.audience.landing import land
from tests.audience.world import ZONES, now_of, people, services
from tests.oracle import windows
from tests.oracle.system import Platform
from tests.oracle.users import Audience
from tests.readings import rows as make
from tests.readings.stores import insert, serving

#: Between changes of the clock in London and New York; the edge lies before the first in both and Lord Howe.
NOW = now_of("2050-11-08T08:07:41.250")
DAYS = 40
SINCE = kept_since(NOW, DAYS)
#: On either side of the edge, where retention cuts a day and where it does not.
AROUND = [SINCE + timedelta(hours=hours, minutes=15) for hours in (-63, -40, -22, -1, 21, 200)] + [SINCE]


async def expire(url: str, now: datetime) -> None:
    """Delete what the tables' TTLs delete by `now` if roll-ups are kept for `DAYS` days."""
    client = await connect(url)
    try:
        tables = await client.query(
            "SELECT name, create_table_query FROM system.tables"
            " WHERE database = currentDatabase() AND create_table_query LIKE '%toIntervalDay(1100)%'"
        )
        assert len(tables.result_rows) >= 10
        for name, created in tables.result_rows:
            (column,) = re.findall(r"TTL (.+?) \+ toIntervalDay\(1100\)", created)
            await client.command(
                f"DELETE FROM {name} WHERE toDateTime({column} + toIntervalDay({DAYS}), 'UTC')"
                " <= {now:DateTime}",
                parameters={"now": f"{now:%Y-%m-%d %H:%M:%S}"},
            )
        first = await client.query("SELECT min(bucket) FROM user_actions_15m")
        assert now - timedelta(days=DAYS + 1) <= aware(first.result_rows[0][0]) < SINCE
    finally:
        await client.close()


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[ClickHouseReader]:
    store = ClickHouseReader(url)
    yield store
    await store.close()


def ask(zone: str, start: datetime | None, end: datetime | None = None, now: datetime = NOW) -> Question:
    """Return a question about `all`, or about a window."""
    return QuestionParser(now, raw_retention_days=180, rollup_retention_days=DAYS).parse(
        period=None if start else "all",
        default="",
        start=rfc3339(start) if start else None,
        end=rfc3339(end) if end else None,
        zone=zone,
        compare="previous",
    )


def questions(rng: Random) -> Iterator[tuple[str, datetime | None, datetime | None]]:
    for zone in rng.sample(ZONES, 3):
        yield zone, None, None
    for start in AROUND:
        length = rng.choice((timedelta(minutes=15), timedelta(hours=25), timedelta(days=33)))
        yield rng.choice(ZONES), start, start + length


def truly(zone: str, start: datetime | None, end: datetime | None, ahead: timedelta) -> windows.Window:
    """Return the oracle's window: `all` begins with the first whole day, and only what is kept is before."""
    place = ZoneInfo(zone)
    if start is None:
        earliest = SINCE + ahead
        day = earliest.astimezone(place).date()
        starts = (midnight(day + timedelta(days=each), place) for each in (0, 1))
        return windows.period("all", NOW, place, min(each for each in starts if each >= earliest))
    assert end is not None
    window = windows.custom(start, end, place)
    return window if window.previous and window.previous.start >= SINCE else replace(window, previous=None)


async def test_users_are_counted_whole_or_not_at_all(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    url, rng = f"{clickhouse_server}/{clickhouse_database}", Random(6)
    migrate(url)
    accepted = people(rng, NOW, sessions=200)
    await land(url, accepted, rng)
    await expire(url, NOW)
    truth = Audience(accepted)
    outcomes: dict[str, list[datetime]] = {"told": [], "refused": []}
    async with reading(url) as store:
        service = UserService(ClickHouseUsers(store))
        for zone, start, end in questions(rng):
            asked = ask(zone, start, end)
            for groups in (["activity"], ["growth", "retention"]):
                ahead = timedelta(days=8) if "activity" in groups else timedelta()
                window = truly(zone, start, end, ahead)
                try:
                    answer = (await service.users(asked, groups))["data"]
                except NotKeptError:
                    outcomes["refused"].append(start or NOW)
                    assert "activity" in groups or window.span.start < SINCE
                    continue
                outcomes["told"].append(start or NOW)
                every = truth.users(window, NOW)
                expected = {group: every[group] for group in groups}
                assert not list(differences(answer, expected)), (zone, start, end, groups)
            window = truly(zone, start, end, timedelta(days=8))
            try:
                answer = (await service.engagement(asked))["data"]
            except NotKeptError:
                assert window.span.start < SINCE + timedelta(days=8)
            else:
                assert not list(differences(answer, truth.engagement(window))), (zone, start, end)
    assert min(outcomes["told"]) == SINCE and min(outcomes["refused"]) == AROUND[0]


async def test_the_platform_is_counted_whole_or_not_at_all(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    url, rng = f"{clickhouse_server}/{clickhouse_database}", Random(7)
    migrate(url)
    accepted = services(rng, NOW, events=1000)
    await land(url, accepted, rng)
    await insert(url, [make.reaction("v", NOW - timedelta(days=age)) for age in range(60)])
    await expire(url, NOW)
    truth = Platform(accepted)
    refused = 0
    async with reading(url) as store:
        service = SystemService(ClickHouseSystem(store))
        for zone, start, end in questions(rng):
            window = truly(zone, start, end, timedelta())
            try:
                answer = (await service.performance(ask(zone, start, end)))["data"]
            except NotKeptError:
                assert window.span.start < SINCE
                refused += 1
                continue
            assert not list(differences(answer, truth.performance(window, NOW))), (zone, start, end)
            health = (await service.health(ask(zone, start, end)))["data"]
            assert health["uptime"] == pytest.approx(truth.health(window)["uptime"], abs=1e-6)
    assert refused == sum(start < SINCE for start in AROUND)


async def test_videos_are_counted_whole_or_not_at_all(
    clickhouse_server: str, clickhouse_database: str, redis_server: str, tmp_path: Path
) -> None:
    url, rng = f"{clickhouse_server}/{clickhouse_database}", Random(8)
    migrate(url)
    starts = [NOW - timedelta(hours=hours) for hours in range(1, 75 * 24, 5)]
    starts = [start.replace(minute=rng.randrange(60)) for start in starts]
    rows = [make.view("v", start, user_id=f"u{rng.randrange(9)}") for start in starts]
    await insert(url, [*rows, *(make.reaction("v", start) for start in starts)])
    await expire(url, NOW)
    settings: dict[str, Any] = {
        "clickhouse_url": url,
        "redis_url": redis_server,
        "rollup_retention_days": DAYS,
        "export_dir": str(tmp_path),
    }
    paths: dict[str, Callable[[Any], tuple[int, float | None]]] = {
        "/analytics/videos/v": lambda data: (data["views"]["total"], data["views"]["change"]),
        "/analytics/videos/summary": lambda data: (data["totalViews"], data["trends"]["views"]),
    }

    def seen(span: windows.Span) -> int:
        return sum(span.start <= start < span.end for start in starts)

    async with serving(lambda: NOW, **settings) as client:
        for zone, start, end in questions(rng):
            window = truly(zone, start, end, timedelta())
            given = {"start": rfc3339(start), "end": rfc3339(end)} if start and end else {"period": "all"}
            for path, told in paths.items():
                response = await client.get(path, timezone=zone, **given)
                if window.span.start < SINCE:
                    assert response.status_code == 400
                    error = response.json()["error"]
                    assert error["code"] == "ANALYTICS_DATA_UNAVAILABLE"
                    assert error["details"]["since"] == rfc3339(SINCE)
                    continue
                total, change = told(response.json()["data"])
                assert total == seen(window.span)
                compared = window.elapsed(NOW)
                now, before = (seen(span) for span in compared) if compared else (0, 0)
                assert change == (pytest.approx((now - before) / before, abs=1e-6) if before else None)
        for kind, days in {"video": 0, "user": 8, "system": 0}.items():
            for early in (timedelta(minutes=15), timedelta()):
                begin = rfc3339(SINCE + timedelta(days=days) - early)
                order = {"type": kind, "format": "csv", "start": begin, "end": rfc3339(NOW)}
                response = await client.client.post("/analytics/export", json=order)
                assert response.status_code == (400 if early else 202), response.text


def test_edges_are_those_of_the_clock_of_utc_and_far_enough_from_what_is_deleted() -> None:
    for now in (NOW, NOW.replace(hour=0, minute=0, second=0, microsecond=0), NOW.replace(hour=23, minute=59)):
        gone = now - timedelta(days=DAYS)
        assert timedelta(days=2) < kept_since(now, DAYS) - gone <= timedelta(days=3)
        assert kept_since(now, DAYS).astimezone(UTC).hour == 0
