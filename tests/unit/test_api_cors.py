"""Pages of other origins may ask where the API names their origin, and nowhere else. It needs no store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from api import schemas
from api.cors import EXPOSED, parse_origins
from api.settings import Settings
from tests.readings.pages import PAGE, hidden
from tests.readings.stores import NOWHERE, Api, serving

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
SUMMARY, EXPORT, HEALTHY = "/analytics/videos/summary", "/analytics/export", "/healthz"
LOCAL, FOREIGN = "http://localhost:5173", "https://evil.example.com"
ALLOWED, REQUESTED = "access-control-allow-origin", "Access-Control-Request-Method"


def api(origins: str = f"{PAGE}, {LOCAL}", **settings: Any) -> AbstractAsyncContextManager[Api]:
    return serving(lambda: NOW, cors_origins=origins, **NOWHERE, **settings)


async def preflight(api: Api, path: str, origin: str, method: str, headers: str = "") -> httpx2.Response:
    asked = {"Origin": origin, REQUESTED: method, "Access-Control-Request-Headers": headers}
    return await api.client.options(path, headers=asked)


@pytest.mark.parametrize("origin", [PAGE, LOCAL])
@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        (SUMMARY, "GET", "authorization"),
        (SUMMARY, "HEAD", "x-api-key,if-none-match"),
        (EXPORT, "POST", "authorization,content-type,traceparent"),
    ],
)
async def test_a_page_may_ask_with_its_key(origin: str, path: str, method: str, headers: str) -> None:
    # The key itself comes with the request: browsers ask beforehand without one.
    async with api(api_key="secret") as served:
        answer = await preflight(served, path, origin, method, headers)
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == origin
    assert answer.headers["access-control-allow-headers"] == headers
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("origin", "method"),
    [(FOREIGN, "GET"), ("null", "GET"), (f"{PAGE}.evil.example.com", "GET"), (PAGE, "DELETE"), (PAGE, "PUT")],
)
async def test_others_may_not(origin: str, method: str) -> None:
    async with api() as served:
        refused = await preflight(served, SUMMARY, origin, method)
        answer = await served.client.get(HEALTHY, headers={"Origin": origin})
    assert refused.status_code == 400
    body = schemas.ErrorResponse.model_validate(refused.json())
    assert "CORS_ORIGINS" in body.error.message
    if origin != PAGE:
        assert ALLOWED not in refused.headers
        # It is answered, as to a caller that is no browser, and the browser keeps that from the page.
        assert answer.status_code == 200
        assert ALLOWED not in answer.headers
        assert "Origin" in answer.headers["vary"]


async def test_a_page_can_read_what_went_wrong() -> None:
    async with api(api_key="secret") as served:
        key = {"Origin": PAGE, "X-API-Key": "secret"}
        for path, status, headers in (
            (SUMMARY, 401, {"Origin": PAGE}),
            (f"{SUMMARY}?period=8d", 400, key),
            ("/analytics/nothing", 404, key),
            (SUMMARY, 503, key),
            (f"{SUMMARY}?period={'7' * 9000}", 414, key),
            (HEALTHY, 200, key),
        ):
            answer = await served.client.get(path, headers=headers)
            assert (path, answer.status_code) == (path, status)
            assert hidden(answer) == set()
            assert answer.headers["x-request-id"]


async def test_without_origins_no_page_but_its_own_may_read() -> None:
    async with api("") as served:
        answer = await served.client.get(HEALTHY, headers={"Origin": PAGE})
        asked = await preflight(served, SUMMARY, PAGE, "GET")
    assert answer.status_code == 200
    assert asked.status_code == 405
    assert not [
        name for each in (answer, asked) for name in each.headers if name.startswith("access-control")
    ]


async def test_all_origins_may_be_let_in() -> None:
    async with api("*") as served:
        asked = await preflight(served, SUMMARY, "null", "GET", "authorization")
        answer = await served.client.get(HEALTHY, headers={"Origin": FOREIGN})
    assert (asked.status_code, asked.headers[ALLOWED]) == (200, "*")
    assert answer.headers[ALLOWED] == "*"
    assert answer.headers["access-control-expose-headers"] == ", ".join(EXPOSED)


async def test_what_browsers_ask_beforehand_is_not_counted_as_a_request() -> None:
    def counted(metrics: str) -> list[str]:
        return [line for line in metrics.splitlines() if 'method="OPTIONS"' in line]

    async with api() as served:
        before = counted((await served.get("/metrics")).text)
        await preflight(served, SUMMARY, PAGE, "GET")
        assert counted((await served.get("/metrics")).text) == before


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        (" , ", ()),
        ("*", ("*",)),
        (f" {PAGE} ,{LOCAL},", (PAGE, LOCAL)),
        ("https://[::1]:8443", ("https://[::1]:8443",)),
        ("http://a.example:443,https://b.example:80", ("http://a.example:443", "https://b.example:80")),
    ],
)
def test_origins_are_read(text: str, origins: tuple[str, ...]) -> None:
    assert parse_origins(text) == origins
    assert Settings(cors_origins=text).cors_origins == text


@pytest.mark.parametrize(
    "text",
    [
        "dash.example.com",
        "https://dash.example.com/",
        "https://dash.example.com/path",
        "https://dash.example.com?x",
        "https://",
        "ftp://dash.example.com",
        "https://Dash.example.com",
        "https://*.example.com",
        "https://user@dash.example.com",
        "https://dash.example.com:port",
        "https://dash.example.com:443",
        "http://dash.example.com:80",
        f"{PAGE} {LOCAL}",
        "null",
    ],
)
def test_what_no_browser_would_send_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValidationError, match="CORS_ORIGINS|cors_origins"):
        Settings(cors_origins=text)
