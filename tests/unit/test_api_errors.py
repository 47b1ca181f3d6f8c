"""Every error has one shape, says what to do, and tells nothing of the inside. It needs no store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from api import schemas
from api.errors import FRAMEWORK, TABLE
from api.limits import RateLimit
from api.routes import health
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain import errors as domain
from tests.readings.stores import NOWHERE, Api, serving

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
VIDEO, SUMMARY = "/analytics/videos/vid_1", "/analytics/videos/summary"


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(lambda: NOW, **NOWHERE) as api:
        yield api


async def refused(api: Api, path: str, status: int, code: str, **parameters: Any) -> dict[str, Any]:
    response = await api.get(path, **parameters)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    body = response.json()
    schemas.ErrorResponse.model_validate(body)
    assert body["error"]["code"] == code
    assert body["error"]["details"]["requestId"] == response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"period": "8d"}, "period"),
        ({"period": ""}, "period"),
        ({"period": "7D"}, "period"),
        ({"period": "7d'; DROP TABLE video_15m; --"}, "period"),
        ({"timezone": "Mars/Phobos"}, "timezone"),
        ({"timezone": "../../../etc/passwd"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"groupBy": "month"}, "groupBy"),
        ({"compare": "yes"}, "compare"),
        ({"start": "2024-03-01T00:00:00Z"}, "end"),
        ({"end": "2024-03-01T00:00:00Z"}, "start"),
        ({"start": "yesterday", "end": "2024-03-01T00:00:00Z"}, "start"),
        ({"start": "2024-03-01T00:00:00Z", "end": "2024-03-01"}, "end"),
        ({"start": "2024-03-02T00:00:00Z", "end": "2024-03-01T00:00:00Z"}, "start"),
        ({"start": "2024-03-01T00:00:00Z", "end": "2024-03-02T00:00:00Z", "period": "7d"}, "period"),
        ({"start": "2022-06-01T00:00:00Z", "end": "2024-03-02T00:00:00Z", "groupBy": "hour"}, "groupBy"),
        ({"start": "2023-03-01T00:00:00.001Z", "end": "2024-03-02T00:00:00Z"}, "start"),
    ],
)
async def test_an_invalid_period_is_refused_by_name(api: Api, parameters: dict[str, str], named: str) -> None:
    error = await refused(api, VIDEO, 400, "ANALYTICS_INVALID_PERIOD", **parameters)
    assert error["details"]["parameter"] == named
    assert named in error["message"] or "points" in error["message"] or "period" in error["message"]


@pytest.mark.parametrize("path", [VIDEO, SUMMARY, "/analytics/users", "/analytics/system/health"])
async def test_a_window_that_begins_before_what_is_kept_is_refused_with_when_that_begins(
    api: Api, path: str
) -> None:
    asked = {"start": "2014-06-01T00:00:00Z", "end": "2024-03-02T00:00:00Z"}
    error = await refused(api, path, 400, "ANALYTICS_DATA_UNAVAILABLE", **asked)
    assert error["details"]["parameter"] == "start"
    assert error["details"]["since"] in error["message"]


@pytest.mark.parametrize("asked", ["", "view", "views,,engagement", "views;DROP", "activity"])
async def test_invalid_metrics_are_refused(api: Api, asked: str) -> None:
    error = await refused(api, VIDEO, 400, "ANALYTICS_INVALID_METRICS", metrics=asked)
    assert error["details"]["allowed"] == ["views", "engagement", "performance"]


async def test_half_a_character_in_a_body_is_refused_like_any_other_mistake(api: Api) -> None:
    response = await api.client.post(
        "/analytics/export",
        content=rb'{"type": "video", "metrics": ["\ud800"]}',
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 400
    schemas.ErrorResponse.model_validate(response.json())
    assert response.json()["error"]["code"] == "ANALYTICS_INVALID_METRICS"


async def test_a_slash_too_many_sends_nobody_elsewhere(api: Api) -> None:
    response = await api.client.get(f"{SUMMARY}/", headers={"Host": "evil.example"})
    assert (response.status_code, response.headers.get("location")) == (404, None)
    assert response.json()["error"]["code"] == "ANALYTICS_NOT_FOUND"


async def test_a_parameter_that_nobody_knows_is_refused_by_name(api: Api) -> None:
    error = await refused(api, VIDEO, 400, "ANALYTICS_INVALID_PARAMETER", perod="7d")
    assert "'perod'" in error["message"]
    assert error["details"]["allowed"] == sorted(
        ["period", "start", "end", "timezone", "compare", "metrics", "groupBy"]
    )
    await refused(api, SUMMARY, 400, "ANALYTICS_INVALID_PARAMETER", groupBy="day")


async def test_a_parameter_given_twice_is_refused(api: Api) -> None:
    error = await refused(api, f"{VIDEO}?period=7d&period=30d", 400, "ANALYTICS_INVALID_PARAMETER")
    assert error["details"]["parameter"] == "period"


@pytest.mark.parametrize(
    "path", [VIDEO, SUMMARY, f"{VIDEO}?period=1h", f"{SUMMARY}?period=1h", f"{VIDEO}?period=all"]
)
async def test_stores_that_are_down_are_503_with_a_time_to_retry(api: Api, path: str) -> None:
    response = await api.get(path)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    error = response.json()["error"]
    assert error["code"] == "ANALYTICS_DATA_UNAVAILABLE"
    assert not re.search("127|redis|clickhouse|connect", error["message"], re.IGNORECASE)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "ANALYTICS_NOT_FOUND"),
        ("GET", "/analytics/videos", 404, "ANALYTICS_NOT_FOUND"),
        ("GET", "/analytics/videos/../../etc/passwd", 404, "ANALYTICS_NOT_FOUND"),
        ("GET", "/analytics%2Fvideos/a", 404, "ANALYTICS_NOT_FOUND"),
        ("POST", VIDEO, 405, "ANALYTICS_METHOD_NOT_ALLOWED"),
        ("DELETE", SUMMARY, 405, "ANALYTICS_METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_the_framework_refuses_has_the_same_shape(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    response = await api.client.request(method, path)
    assert response.status_code == status
    schemas.ErrorResponse.model_validate(response.json())
    assert response.json()["error"]["code"] == code


async def test_a_query_string_without_end_is_refused(api: Api) -> None:
    await refused(api, f"{VIDEO}?metrics={'views,' * 9_000}", 414, "ANALYTICS_TOO_LARGE")


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (b"type=video", {"content-type": "application/x-www-form-urlencoded"}, "Content-Type"),
        (b"<video/>", {"content-type": "application/xml"}, "Content-Type"),
        (b"", JSON, "JSON object"),
        (b"[]", JSON, "JSON object"),
        (b'{"type":', JSON, "not JSON"),
        (b"\xff\xfe", JSON, "not JSON"),
        (b"[" * 60_000, JSON, ""),
        (b'{"type": "video", "metrics": [' + b",".join([b'"views"'] * 6000) + b"]}", JSON, "metrics"),
        (b'{"type": NaN}', JSON, "type"),
    ],
)
async def test_a_body_that_asks_for_nothing_is_a_plain_400(
    api: Api, content: bytes, headers: dict[str, str], said: str
) -> None:
    response = await api.client.post("/analytics/export", content=content, headers=headers)
    assert response.status_code == 400
    schemas.ErrorResponse.model_validate(response.json())
    assert response.json()["error"]["code"] == "ANALYTICS_INVALID_PARAMETER"
    assert said in response.json()["error"]["message"]


async def test_a_body_without_end_is_refused_before_it_is_read(api: Api) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b" " * 1000

    for content in (endless(), b" " * 70_000):
        response = await api.client.post("/analytics/export", content=content, headers=JSON)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "ANALYTICS_TOO_LARGE"
    assert sent < 100_000


async def test_the_documentation_page_needs_no_other_server(api: Api) -> None:
    page = (await api.get("/docs")).text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) == 3
    assert "//" not in "".join(files)
    for path in files:
        assert (await api.get(path)).status_code == 200


async def test_an_id_that_no_event_can_have_is_unknown(api: Api) -> None:
    await refused(api, f"/analytics/videos/{'v' * 129}", 404, "ANALYTICS_DATA_UNAVAILABLE")


async def test_a_fault_of_ours_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*arguments: object) -> None:
        raise RuntimeError("secret: password=hunter2")

    monkeypatch.setattr("api.video_service.VideoService.summary", broken)
    error = await refused(api, SUMMARY, 500, "ANALYTICS_INTERNAL_ERROR")
    assert "hunter2" not in str(error)


async def test_a_harmless_request_id_is_kept_and_another_is_not(api: Api) -> None:
    kept = await api.client.get("/healthz", headers={"X-Request-Id": "trace-1.2:3"})
    assert kept.headers["x-request-id"] == "trace-1.2:3"
    for hostile in ("a b", "x" * 65, "<script>", '"'):
        given = await api.client.get("/healthz", headers={"X-Request-Id": hostile})
        assert re.fullmatch("[0-9a-f]{32}", given.headers["x-request-id"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Basic dmNhX2tleQ=="}, 401),
        ({"X-API-Key": "vca_keyy"}, 401),
        ({"X-API-Key": "schlüssel".encode().decode("latin-1")}, 401),
        ({"X-API-Key": "vca_key"}, 503),
        ({"Authorization": "Bearer vca_key"}, 503),
    ],
)
async def test_the_key_is_asked_for(headers: dict[str, str], status: int) -> None:
    async with serving(lambda: NOW, api_key="vca_key", **NOWHERE) as api:
        response = await api.client.get(
            SUMMARY, headers=[(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
        )
        assert response.status_code == status
        schemas.ErrorResponse.model_validate(response.json())
        if status == 401:
            error = response.json()["error"]
            assert error["code"] == "ANALYTICS_UNAUTHORIZED"
            sent = headers and headers.get("Authorization") not in ("Bearer ", "Basic dmNhX2tleQ==")
            assert error["message"].startswith("This key is not known" if sent else "Send your API key")
            assert response.headers["www-authenticate"] == "Bearer"
        assert "vca_key" not in response.text
        for path in ("/healthz", "/docs", "/openapi.json", "/metrics"):
            assert (await api.get(path)).status_code == 200


@pytest.mark.parametrize("content", [b'{"type":', b"\xff\xfe", b"[]", b'{"type": "video"}'])
async def test_the_key_is_asked_for_before_the_body_is_read(content: bytes) -> None:
    async with serving(lambda: NOW, api_key="vca_key", **NOWHERE) as api:
        response = await api.client.post("/analytics/export", content=content, headers=JSON)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "ANALYTICS_UNAUTHORIZED")


@pytest.mark.parametrize(
    ("content", "status"), [(b'{"type":', 400), (b"[]", 400), (b'{"type": "user"}', 503)]
)
async def test_a_request_with_a_body_counts_once_towards_the_limit(
    content: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    async def hit(self: RateLimit, key_id: str) -> tuple[bool, None]:
        counted.append(key_id)
        return True, None

    monkeypatch.setattr(RateLimit, "hit", hit)
    async with serving(lambda: NOW, api_key="vca_key", **NOWHERE) as api:
        keyed = {**JSON, "X-API-Key": "vca_key"}
        response = await api.client.post("/analytics/export", content=content, headers=keyed)
    assert (response.status_code, len(counted)) == (status, 1)


async def test_the_process_lives_while_no_store_does(api: Api) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok", "stores": {}}
    ready = await api.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"status": "unavailable", "stores": {"clickhouse": False, "redis": False}}


async def test_who_asks_often_whether_stores_answer_does_not_keep_them_busy(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, began, queries, every = health._answer, list[Any](), list[Any](), asyncio.Event()

    async def counted(asked: Any) -> Any:
        began.append(asked)
        if len(began) == 2 * 50:
            every.set()
        return await probe(asked)

    async def rows(_: ClickHouseReader, query: Any) -> Any:
        queries.append(query)
        await every.wait()
        raise domain.StoreUnavailableError("clickhouse", "away")

    monkeypatch.setattr(health, "_answer", counted)
    monkeypatch.setattr(ClickHouseReader, "rows", rows)
    answers = await asyncio.gather(*(api.get("/readyz") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {503}
    assert len(queries) == 1


async def test_requests_are_counted_by_route(api: Api) -> None:
    await api.get(VIDEO, period="8d")
    await api.get("/nothing/of/the/kind")
    text = (await api.get("/metrics")).text
    assert re.search(
        r'videocloud_api_requests_total\{method="GET",route="/analytics/videos/\{id\}",status="400"\}', text
    )
    assert 'route="unmatched",status="404"' in text


async def test_the_front_page_is_the_documentation(api: Api) -> None:
    response = await api.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


def test_every_domain_error_of_a_caller_has_a_code() -> None:
    for kind in domain.RequestError.__subclasses__():
        assert kind in TABLE
    assert all(code.startswith("ANALYTICS_") for _, code in TABLE.values())
    assert all(code.startswith("ANALYTICS_") for code in FRAMEWORK.values())
