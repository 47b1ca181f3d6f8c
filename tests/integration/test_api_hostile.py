"""Requests that mean harm, against a served API with data that must survive them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest
import pytest_asyncio
import uvicorn

from api import schemas
from api.app import create_app
from api.settings import Settings
from deploy.embedded.ports import free_port
from sinks.clickhouse.migrator import migrate
from tests.readings import rows as make
from tests.readings.stores import Api, count, insert, serving

NOW = datetime(2050, 3, 30, 14, 5, 27, 312_000, UTC)
#: Ids that the event contract allows: any string of 1 to 128 characters.
IDS = [
    "'; DROP TABLE video_15m; --",
    "' OR '1'='1",
    "\\' OR 1=1 --",
    "{video:String}",
    "%s %(video)s {0} $1",
    "tab\there",
    "line\nbreak\r\n",
    "nul\0byte",
    "back\\slash\\N",
    "quote\"`'",
    "emoji 🎬 ünï",
    " lead and trail ",
    "..",
    "*",
    "a/b",
    "a%2Fb",
    "100%/25 %25",
    "//",
    "/live",
    "v:1:2{tag}",
    "a" * 128,
]
ROWS = [row for video in IDS for row in (
    make.view(video, NOW - timedelta(minutes=3), user_id=video),
    make.heartbeat(video, NOW - timedelta(minutes=2), 1.5),
    make.view(video, NOW - timedelta(days=3)),
    make.listed(video, f"Title of {video}", NOW - timedelta(days=9)),
)]  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(clickhouse_server: str, redis_server: str) -> AsyncIterator[Api]:
    url = f"{clickhouse_server.rstrip('/')}/hostile_{uuid4().hex[:8]}"
    migrate(url)
    await insert(url, ROWS)
    redis = redis_server.rpartition("/")[0] + "/3"
    await count(redis, ROWS, NOW)
    async with serving(lambda: NOW, clickhouse_url=url, redis_url=redis) as api:
        yield api


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("video", [video for video in IDS if video != ".."])
@pytest.mark.parametrize("period", ["1h", "7d", "24h"])
async def test_any_id_of_an_event_can_be_asked_for(api: Api, video: str, period: str) -> None:
    answer = await api.answer(f"/analytics/videos/{quote(video, safe='')}", period=period)
    assert answer["data"]["views"]["total"] == (2 if period == "7d" else 1)
    live = await api.data(f"/analytics/videos/{quote(video, safe='')}/live")
    assert live["id"] == video
    assert answer["data"]["engagement"]["averageWatchTime"] == (0.75 if period == "7d" else 1.5)


@pytest.mark.parametrize("period", ["1h", "7d"])
async def test_the_summary_names_them_as_they_are(api: Api, period: str) -> None:
    data = await api.data("/analytics/videos/summary", period=period)
    assert data["totalVideos"] == len(IDS)
    wanted = sorted(IDS)[:10]
    assert [top["id"] for top in data["topVideos"]] == wanted
    assert [top["title"] for top in data["topVideos"]] == [f"Title of {video}" for video in wanted]


SPITE = [
    "'; DROP TABLE video_15m; --",
    "1 UNION SELECT * FROM system.users",
    "{x:String}",
    "\0",
    "%00",
    "../..",
    "🎬",
]


@pytest.mark.parametrize(
    "name", ["period", "metrics", "groupBy", "compare", "start", "end", "timezone", "x'--"]
)
@pytest.mark.parametrize("value", SPITE)
async def test_spite_in_any_parameter_is_a_plain_400(api: Api, name: str, value: str) -> None:
    response = await api.get("/analytics/videos/a", **{name: value})
    assert response.status_code == 400
    schemas.ErrorResponse.model_validate(response.json())
    summary = await api.get("/analytics/videos/summary", **{name: value})
    assert summary.status_code == 400


async def test_ids_that_are_none_are_unknown(api: Api) -> None:
    for video in ("a" * 129, "no such video", "'", "\\"):
        response = await api.get(f"/analytics/videos/{quote(video, safe='')}")
        assert response.status_code == 404, video


async def test_an_id_that_is_no_text_does_no_harm(api: Api) -> None:
    response = await api.get("/analytics/videos/%ff%fe")
    assert response.status_code == 404


async def test_the_data_is_still_there(api: Api) -> None:
    data = await api.data("/analytics/videos/summary", period="30d")
    assert data["totalViews"] == 2 * len(IDS)


@pytest.fixture(scope="module")
def served() -> Iterator[int]:
    settings = Settings(
        clickhouse_url="http://127.0.0.1:9/x", redis_url="redis://127.0.0.1:9/0", log_level="ERROR"
    )
    port = free_port()
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    yield port
    server.should_exit = True
    thread.join()


async def _raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        await writer.drain()
        return await asyncio.wait_for(reader.read(200), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_megabyte_of_query_is_refused_and_the_server_goes_on(served: int) -> None:
    path = b"/analytics/videos/a?metrics=" + b"views," * 170_000
    answer = await _raw(served, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer[:12] in (b"HTTP/1.1 414", b"HTTP/1.1 400", b"")
    assert (await _raw(served, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "path",
    [b"/analytics/videos/../../etc/passwd", b"//analytics//videos", b"/analytics/%2e%2e%2f%2e%2e/etc/passwd"],
)
async def test_paths_that_climb_find_nothing(served: int, path: bytes) -> None:
    answer = await _raw(served, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
