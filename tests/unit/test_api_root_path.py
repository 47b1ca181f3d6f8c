"""The API under a path of another server's, whether the proxy before it takes the path off or not."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import pytest
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from api.root_path import OWN, RootPath, path_of
from api.settings import Settings
from tests.readings.stores import NOWHERE, Api, serving

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
PUBLIC = "https://example.com/video/cloud"
UNDER = "/video/cloud"


def api(public_url: str) -> AbstractAsyncContextManager[Api]:
    return serving(lambda: NOW, public_url=public_url, **NOWHERE)


@pytest.mark.parametrize("asked", [UNDER, ""], ids=["with its path", "taken off by the proxy"])
async def test_its_documentation_works_under_a_path(asked: str) -> None:
    async with api(PUBLIC + "/") as served:
        entry = await served.client.get(f"{asked}/")
        assert entry.headers["location"] == f"{UNDER}/docs"
        page = (await served.client.get(f"{asked}/docs")).text
        # What a browser asks for next, through the proxy.
        linked = re.findall(r"""(?:src|href)="([^"]+)"|url: '([^']+)'""", page)
        addresses = [urljoin(f"{PUBLIC}/docs", one or other) for one, other in linked]
        assert len(addresses) >= 3
        for address in addresses:
            assert address.startswith(f"{PUBLIC}/")
            answer = await served.client.get(address.replace(PUBLIC, asked))
            assert answer.status_code == 200, address
        document = (await served.client.get(f"{asked}/openapi.json")).json()
        assert document["servers"] == [{"url": UNDER}]


@pytest.mark.parametrize("asked", [UNDER, ""])
async def test_it_answers_under_a_path_and_only_there(asked: str) -> None:
    async with api(PUBLIC) as served:
        assert (await served.client.get(f"{asked}/healthz")).status_code == 200
        assert (await served.client.get(f"{asked}/analytics/videos/summary")).status_code == 503
        assert (await served.client.get(f"{asked}/elsewhere")).status_code == 404
        assert (await served.client.get(f"{UNDER}s/healthz")).status_code == 404


@pytest.mark.parametrize("asked", ["/analytics", ""], ids=["with its path", "taken off by the proxy"])
async def test_its_path_may_be_that_of_its_own_endpoints(asked: str) -> None:
    async with api("https://example.com/analytics") as served:
        assert (await served.client.get(f"{asked}/healthz")).status_code == 200
        assert (await served.client.get(f"{asked}/analytics/videos/summary")).status_code == 503
        assert (await served.client.get(f"{asked}/elsewhere")).status_code == 404
        document = (await served.client.get(f"{asked}/openapi.json")).json()
        assert {path.split("/")[1] for path in document["paths"]} <= OWN


@pytest.mark.parametrize("asked", [f"{UNDER}/healthz", "/healthz"])
async def test_who_counts_and_logs_around_it_sees_what_was_asked(asked: str) -> None:
    inside = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        inside.append((scope["root_path"], scope["path"]))
        raise ConnectionError

    scope = {"type": "http", "path": asked, "root_path": ""}
    with pytest.raises(ConnectionError):
        await RootPath(application, UNDER)(scope, never, never)
    assert inside == [(UNDER, f"{UNDER}/healthz")]
    assert scope["path"] == asked


async def never(*_: object) -> Any:
    raise AssertionError


async def test_without_a_path_nothing_changes() -> None:
    for public in ("", "https://analytics.example.com/"):
        async with api(public) as served:
            assert (await served.client.get("/")).headers["location"] == "/docs"
            assert "servers" not in (await served.client.get("/openapi.json")).json()


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (None, ""),
        ("", ""),
        ("https://analytics.example.com", ""),
        ("http://localhost:8000/", ""),
        ("https://example.com/videocloud", "/videocloud"),
        ("https://example.com:8443/a/b/", "/a/b"),
    ],
)
def test_its_path(address: str | None, path: str) -> None:
    assert path_of(address) == path


@pytest.mark.parametrize(
    "wrong", ["analytics.example.com", "ftp://example.com", "https:///x", "https://example.com/?a=b", "/x"]
)
def test_what_is_no_address_is_said_at_the_start(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"https://example\.com/videocloud"):
        Settings(public_url=wrong)
