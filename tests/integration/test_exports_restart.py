"""An export whose process dies is finished by the next one, whether it was asked to stop or not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, module_environment
from deploy.embedded.stack import command_line
from sinks.clickhouse.migrator import migrate
from tests.readings import rows as make
from tests.readings.stores import insert


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Child]]:
    """Yield a ClickHouse with one row, which nobody else asks: a test may have it wait, and go on."""
    folder = tmp_path_factory.mktemp("restart")
    server = servers.clickhouse(free_port(), folder / "clickhouse")
    child = servers.start(server, folder)
    try:
        migrate(server.address)
        asyncio.run(insert(server.address, [make.view("clip", datetime.now(UTC) - timedelta(days=2))]))
        yield server.address, child
    finally:
        child.kill()


@asynccontextmanager
async def api(environment: dict[str, str], log: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, Child]]:
    port = free_port()
    child = Child("api", command_line("api", "--port", str(port)), log, environment)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await client.get("/healthz")
                        break
                    except httpx2.TransportError:
                        await asyncio.sleep(0.1)
            yield client, child
    finally:
        child.kill()


async def ended(child: Child) -> None:
    async with asyncio.timeout(20):
        while child.exit_code is None:
            await asyncio.sleep(0.05)


async def until(client: httpx2.AsyncClient, export: str, status: str) -> dict[str, Any]:
    async with asyncio.timeout(40):
        while True:
            answer = (await client.get(f"/analytics/export/{export}")).json()
            if answer.get("data", {}).get("status") == status:
                return answer["data"]  # type: ignore[no-any-return]
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_export_outlives_its_process(
    clickhouse: tuple[str, Child], redis_server: str, tmp_path: Path, number: signal.Signals
) -> None:
    address, server = clickhouse
    redis_url = redis_server.rpartition("/")[0] + "/6"
    environment = {
        **module_environment(),
        "CLICKHOUSE_URL": address,
        "REDIS_URL": redis_url,
        "EXPORT_DIR": str(tmp_path / "exports"),
    }
    environment.pop("API_KEY", None)
    async with api(environment, tmp_path / "first.log") as (client, child):
        # It cannot get on.
        os.kill(server.pid, signal.SIGSTOP)
        response = await client.post("/analytics/export", json={"type": "video", "period": "7d"})
        export = response.json()["data"]["exportId"]
        await until(client, export, "processing")
        os.kill(child.pid, number)
        await ended(child)
    os.kill(server.pid, signal.SIGCONT)
    if number is signal.SIGKILL:
        # Nobody gave it back: half a minute later its lease is over.
        redis = Redis.from_url(redis_url)
        assert await redis.zscore("vc:{exports}:open", export)
        await redis.zadd("vc:{exports}:open", {export: 0}, xx=True)
        await redis.aclose()
    async with api(environment, tmp_path / "second.log") as (client, _):
        told = await until(client, export, "completed")
        assert told["rows"] == 1
        file = await client.get(told["downloadUrl"].partition("//")[2].partition("/")[2])
        assert "clip" in file.text
