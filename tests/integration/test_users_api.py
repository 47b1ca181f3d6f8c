"""The four endpoints of users and of the platform over HTTP: parameters, defaults, errors, shapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from api import schemas_system, schemas_users
from api.schemas import Model
from sinks.clickhouse.migrator import migrate
from streams.domain.windows import PERIODS
from tests.audience.landing import land
from tests.audience.world import now_of, people, services
from tests.readings.stores import Api, serving

NOW = now_of("2050-11-20T08:07:41.250")
ENDPOINTS: dict[str, type[Model]] = {
    "/analytics/users": schemas_users.UsersResponse,
    "/analytics/users/engagement": schemas_users.UserEngagementResponse,
    "/analytics/system/health": schemas_system.SystemHealthResponse,
    "/analytics/system/performance": schemas_system.SystemPerformanceResponse,
}
HOSTILE = "x') OR 1=1; DROP TABLE users --"


@pytest.fixture(scope="module")
def landed(clickhouse_server: str, module_database: str) -> str:
    """Put one world into ClickHouse for all tests, none of which changes it; return its address."""
    url = f"{clickhouse_server}/{module_database}"
    migrate(url)
    rng = Random(5)
    asyncio.run(land(url, people(rng, NOW, sessions=60) + services(rng, NOW, events=200), rng))
    return url


@pytest_asyncio.fixture
async def api(landed: str, redis_server: str) -> AsyncIterator[Api]:
    async with serving(lambda: NOW, clickhouse_url=landed, redis_url=redis_server) as client:
        yield client


async def test_answers_are_what_the_document_says(api: Api) -> None:
    for path, model in ENDPOINTS.items():
        for period in ("1h", "24h", "1d", "7d", "30d", "all"):
            body = await api.answer(path, period=period, timezone="America/New_York")
            model.model_validate(body)
            assert body["meta"]["source"] == "clickhouse"
            assert body["meta"]["timezone"] == "America/New_York"


@pytest.mark.parametrize(
    ("path", "period"),
    [
        ("/analytics/users", "30d"),
        ("/analytics/users/engagement", "7d"),
        ("/analytics/system/health", "24h"),
        ("/analytics/system/performance", "1h"),
    ],
)
async def test_without_a_window_the_references_period_is_taken(api: Api, path: str, period: str) -> None:
    assert await api.answer(path) == await api.answer(path, period=period)


async def test_metrics_choose_groups(api: Api) -> None:
    whole = await api.data("/analytics/users")
    assert list(whole) == ["activity", "growth", "retention"]
    some = await api.data("/analytics/users", metrics="retention,activity")
    assert some == {name: whole[name] for name in ("activity", "retention")}
    assert await api.data("/analytics/users", metrics=["retention", "activity"]) == some


async def test_without_a_comparison_there_is_no_churn(api: Api) -> None:
    whole = await api.data("/analytics/users", metrics="growth")
    alone = await api.data("/analytics/users", metrics="growth", compare="none")
    assert alone["growth"] == {name: value for name, value in whole["growth"].items() if name != "churnRate"}


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("/analytics/users", {"period": "2d"}, "ANALYTICS_INVALID_PERIOD"),
        ("/analytics/users", {"metrics": "views"}, "ANALYTICS_INVALID_METRICS"),
        ("/analytics/users", {"metrics": HOSTILE}, "ANALYTICS_INVALID_METRICS"),
        ("/analytics/users", {"timezone": HOSTILE}, "ANALYTICS_INVALID_PERIOD"),
        ("/analytics/users/engagement", {"metrics": "activity"}, "ANALYTICS_INVALID_PARAMETER"),
        ("/analytics/system/health", {"start": HOSTILE, "end": HOSTILE}, "ANALYTICS_INVALID_PERIOD"),
        ("/analytics/system/health", {"perod": "24h"}, "ANALYTICS_INVALID_PARAMETER"),
        ("/analytics/system/performance", {"period": HOSTILE}, "ANALYTICS_INVALID_PERIOD"),
    ],
)
async def test_what_is_not_a_question_is_refused(
    api: Api, path: str, parameters: dict[str, str], code: str
) -> None:
    response = await api.get(path, **parameters)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code


async def test_edges_within_a_quarter_are_refused_where_single_events_are_gone(api: Api) -> None:
    async def ask(metrics: str, start: str, end: str) -> Any:
        return await api.get("/analytics/users", metrics=metrics, start=start, end=end)

    # The window's own events are kept, those of a day before its end are not.
    ragged = ("2050-05-24T14:00:00Z", "2050-05-24T18:00:01Z")
    response = await ask("activity", *ragged)
    assert response.status_code == 400
    assert response.json()["error"]["details"]["parameter"] == "end"
    assert (await ask("growth", *ragged)).status_code == 200
    assert (await ask("activity", ragged[0], "2050-05-24T18:15:00Z")).status_code == 200


@pytest.mark.parametrize("period", PERIODS)
async def test_every_period_is_answered_however_briefly_single_events_are_kept(
    landed: str, redis_server: str, period: str
) -> None:
    settings: dict[str, Any] = {"clickhouse_url": landed, "redis_url": redis_server}
    async with serving(lambda: NOW, **settings, raw_retention_days=3) as client:
        for path in ENDPOINTS:
            response = await client.get(path, period=period)
            assert response.status_code == 200, response.text


async def test_without_clickhouse_the_answer_is_503(redis_server: str) -> None:
    settings: dict[str, Any] = {"clickhouse_url": "http://127.0.0.1:9/none", "redis_url": redis_server}
    async with serving(lambda: NOW, **settings, store_patience=0.5) as alone:
        for path in ENDPOINTS:
            response = await alone.get(path)
            assert response.status_code == 503, path
            assert response.json()["error"]["code"] == "ANALYTICS_DATA_UNAVAILABLE"
            assert response.headers["Retry-After"]
