"""What the OpenAPI document promises, held by schemathesis: no 500, no answer that it does not tell of.

Examples are derived from the document and always the same, so a failure is the fault of a change.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import httpx2
import hypothesis
import pytest
import schemathesis
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from api.settings import Settings
from deploy.embedded.ports import free_port
from sinks.clickhouse.migrator import migrate
from tests.audience.landing import land
from tests.audience.world import people, services
from tests.readings import rows as make
from tests.readings.stores import PATIENCE, count, insert

KEY = "vca_key-of-the-environment"
CONFIG = schemathesis.Config.from_dict(
    {
        "auth": {"openapi": {"HTTPBearer": {"bearer": KEY}}},
        "generation": {"deterministic": True, "max-examples": 12, "no-shrink": True},
        # Whether a window is right depends on other parameters, which a schema cannot say: 400 is right then.
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
)
DOCUMENT = schemathesis.openapi.from_dict(create_app(Settings(log_level="ERROR")).openapi(), config=CONFIG)


class FirstEvents:
    """ASGI middleware: ends a stream of events after its first piece, which would never end by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream, over = False, asyncio.Event()

        async def sending(message: Message) -> None:
            nonlocal stream
            if over.is_set():
                return
            if message["type"] == "http.response.start":
                stream = any(b"text/event-stream" in value for _, value in message["headers"])
            elif stream and message.get("body"):
                message["more_body"] = False
                over.set()
            await send(message)

        async def receiving() -> Message:
            if stream:
                await over.wait()
                return {"type": "http.disconnect"}
            return await receive()

        await self._app(scope, receiving, sending if scope["type"] == "http" else send)


@pytest.fixture(scope="module")
def address(
    clickhouse_server: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Serve the API on both stores with a small world in them."""
    url = f"{clickhouse_server.rstrip('/')}/openapi_{uuid4().hex[:8]}"
    redis = redis_server.rpartition("/")[0] + "/4"
    migrate(url)
    now = datetime.now(UTC)

    async def fill() -> None:
        rng = Random(3)
        await land(url, people(rng, now, sessions=30) + services(rng, now, events=100), rng)
        rows = [
            make.view("0", now - timedelta(minutes=3)),
            make.heartbeat("0", now - timedelta(minutes=2), 1.5),
            make.listed("0", "A title", now - timedelta(days=9)),
        ]
        await insert(url, rows)
        await count(redis, rows, now)

    asyncio.run(fill())
    settings = Settings(
        clickhouse_url=url,
        redis_url=redis,
        api_key=KEY,
        rate_limit="none",
        store_patience=PATIENCE,
        log_level="CRITICAL",
        export_dir=str(tmp_path_factory.mktemp("exports")),
    )
    port = free_port()
    config = uvicorn.Config(
        FirstEvents(create_app(settings)), host="127.0.0.1", port=port, log_level="critical"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@DOCUMENT.parametrize()
@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))
def test_every_answer_is_one_that_the_document_tells_of(case: schemathesis.Case[Any], address: str) -> None:
    case.call_and_validate(base_url=address)


#: Paths that are asked with GET, those that the document leaves out among them.
ASKED = [path for path, operations in DOCUMENT.raw_schema["paths"].items() if "get" in operations]
ASKED += ["/metrics", "/docs", "/openapi.json", "/", "/nothing", "/analytics/export"]
#: What tells one answer from another, and its time.
OWN = {"date", "x-request-id", "etag"}


@pytest.mark.parametrize("path", [path for path in ASKED if not path.endswith("/stream")])
def test_head_tells_what_get_would_without_a_body(path: str, address: str) -> None:
    with httpx2.Client(base_url=address, headers={"X-API-Key": KEY, "Accept-Encoding": "gzip"}) as client:
        asked = path.replace("{id}", "0")
        head, get = client.head(asked), client.get(asked)
        assert (head.status_code, head.content) == (get.status_code, b"")
        told, expected = ({n: v for n, v in each.headers.items() if n not in OWN} for each in (head, get))
        # A moment later, the same with another `asOf` may be some bytes longer; metrics count themselves.
        lengths = [int(each.pop("content-length")) for each in (told, expected)]
        assert abs(lengths[1] - lengths[0]) <= (9 if path != "/metrics" else 5_000)
        assert told == expected


def test_head_is_no_operation_of_the_document() -> None:
    assert not [path for path, operations in DOCUMENT.raw_schema["paths"].items() if "head" in operations]
