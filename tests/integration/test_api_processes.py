"""`vca api --processes 2` as it runs: what the processes share, and how HEAD ends over real connections."""

from __future__ import annotations

import http.client
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx2
import psutil
import pytest

from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.stack import command_line
from sinks.clickhouse.migrator import migrate
from tests.commands import invoke

LIMIT = 12
HEALTH = "/analytics/system/health"


@dataclass(frozen=True, slots=True)
class Api:
    """A running API of two processes."""

    port: int
    process: psutil.Process
    redis: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self) -> str:
        """Return a new API key, which has asked nothing yet."""
        arguments = ["keys", "create", "processes", "--scope", "system", "--scope", "read"]
        return invoke({"REDIS_URL": self.redis}, *arguments).stdout.strip()

    def connections(self, stack: ExitStack) -> list[http.client.HTTPConnection]:
        """Return a connection to each of the processes; the kernel decides who accepts one."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            opened = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=10) for _ in range(8)]
            for each in opened:
                stack.enter_context(closing(each)).connect()
            assert [status(each, "GET", "/healthz") for each in opened] == [200] * 8
            accepted = self._accepted()
            by_process = {accepted[each.sock.getsockname()[1]]: each for each in opened if each.sock}
            if len(by_process) == 2:
                return list(by_process.values())
        raise AssertionError("one process accepts everything")

    def _accepted(self) -> dict[int, int]:
        """Return which process has the connection from a port."""
        return {
            connection.raddr.port: process.pid
            for process in self.process.children(recursive=True)
            for connection in process.net_connections("tcp4")
            if connection.raddr
        }


def status(connection: http.client.HTTPConnection, method: str, path: str, key: str = "") -> int:
    connection.request(method, path, headers={"X-API-Key": key})
    response = connection.getresponse()
    response.read()
    return response.status


@pytest.fixture(scope="module")
def api(redis_server: str, clickhouse_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, port = tmp_path_factory.mktemp("api"), free_port()
    database = f"{clickhouse_server.rstrip('/')}/test_{uuid4().hex[:12]}"
    migrate(database)
    environment = {
        **module_environment(),
        "CLICKHOUSE_URL": database,
        "REDIS_URL": redis_server,
        "REQUIRE_KEY": "true",
        "RATE_LIMIT": f"{LIMIT}/hour",
        "SELF_REPORTING": "false",
        "EXPORT_DIR": str(folder / "exports"),
    }
    child = Child(
        "api", command_line("api", "--processes", "2", "--port", str(port)), folder / "api.log", environment
    )
    api = Api(port, psutil.Process(child.pid), redis_server)
    try:
        ready = wait_until(time.monotonic() + 60, lambda: http_answers(f"{api.address}/healthz"), child)
        assert ready, child.tail()
        yield api
    finally:
        child.stop(10)


def test_processes_share_the_limit(api: Api) -> None:
    key = api.key()
    with ExitStack() as stack:
        both = api.connections(stack)
        statuses = [status(both[number % 2], "GET", HEALTH, key) for number in range(LIMIT)]
        assert statuses == [200] * LIMIT
        assert [status(each, "GET", HEALTH, key) for each in both] == [429, 429]
        # HEAD is a question as well.
        assert [status(each, "HEAD", HEALTH, key) for each in both] == [429, 429]


def test_head_of_a_stream_ends_with_its_headers(api: Api) -> None:
    with httpx2.Client(base_url=api.address, headers={"X-API-Key": api.key()}, timeout=10) as client:
        for _ in range(2):
            answer = client.head("/analytics/live/stream")
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["content-type"].startswith("text/event-stream")
        # The connection goes on, and nobody listens any more.
        until = time.monotonic() + 10
        while "videocloud_api_live_streams 0.0" not in (told := client.get("/metrics").text):
            assert time.monotonic() < until, told


@pytest.mark.parametrize("processes", [1, 2])
def test_an_api_that_was_told_to_end_has_not_failed(processes: int, tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, **module_environment(), "EXPORT_DIR": str(tmp_path / "exports")}
    environment |= {"CLICKHOUSE_URL": "http://127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9"}
    command = command_line("api", "--processes", str(processes), "--port", str(port))
    process = subprocess.Popen(command, env={**environment, "SELF_REPORTING": "false"})
    try:
        address = f"http://127.0.0.1:{port}/healthz"
        assert wait_until(time.monotonic() + 60, lambda: http_answers(address), None)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
