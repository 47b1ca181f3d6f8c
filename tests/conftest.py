"""Fixtures for tests that need servers.

Each of ``broker``, ``redis_server`` and ``clickhouse_server`` yields the address of a running server, started
at the first use and stopped at the end of the session; an address in the environment
(TEST_KAFKA_BOOTSTRAP_SERVERS, TEST_REDIS_URL, TEST_CLICKHOUSE_URL) is used instead. All tests of a session
share the servers: use names of your own (topics, key prefixes, databases), or ``clickhouse_database``, or
``module_database`` if the tests of a module only read data that was inserted once.

``stack`` is a whole `vca up` in a folder of its own, shared by the tests of one module.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import hypothesis
import pytest

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, module_environment, wait_until
from tests.servers.folders import live_in_memory
from tests.servers.given import forget_the_platform, given
from tests.servers.redis_cluster import redis_cluster

# Before pytest imports any test module.
forget_the_platform()
live_in_memory()
# Worlds of events are many objects without cycles: at its defaults the collector took a fifth of the time.
gc.set_threshold(50_000, 20, 50)
# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")


def pytest_collection_finish() -> None:
    """Exempt the objects of all imported test modules from garbage collection."""
    gc.freeze()


def _serve(server: servers.Server, logs: Path) -> Iterator[str]:
    child = servers.start(server, logs)
    try:
        yield server.address
    finally:
        child.stop(server.stop_grace)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield ``host:port`` of a Kafka broker."""
    if address := given("KAFKA_BOOTSTRAP_SERVERS"):
        yield address
        return
    yield from _serve(servers.broker(free_port()), tmp_path_factory.mktemp("broker"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a Redis."""
    if address := given("REDIS_URL"):
        yield address
        return
    folder = tmp_path_factory.mktemp("redis")
    yield from _serve(servers.redis(free_port(), folder / "data"), folder)


@pytest.fixture(scope="session")
def redis_cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a Redis Cluster of three nodes; TEST_REDIS_CLUSTER_URL names one to use instead."""
    if address := given("REDIS_CLUSTER_URL"):
        yield address
        return
    with redis_cluster(tmp_path_factory.mktemp("redis-cluster")) as address:
        yield address


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the HTTP URL of a ClickHouse."""
    if address := given("CLICKHOUSE_URL"):
        yield address
        return
    folder = tmp_path_factory.mktemp("clickhouse")
    yield from _serve(servers.clickhouse(free_port(), folder / "data"), folder)


def _clickhouse(url: str, sql: str) -> None:
    query = urlencode({"query": sql})
    urllib.request.urlopen(f"{url.rstrip('/')}/?{query}", data=b"", timeout=30).close()


def _database(server: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    _clickhouse(server, f"CREATE DATABASE {name}")
    yield name
    _clickhouse(server, f"DROP DATABASE {name} SYNC")


@pytest.fixture
def clickhouse_database(clickhouse_server: str) -> Iterator[str]:
    """Yield the name of an empty ClickHouse database, dropped after the test."""
    yield from _database(clickhouse_server)


@pytest.fixture(scope="module")
def module_database(clickhouse_server: str) -> Iterator[str]:
    """Yield the name of a ClickHouse database, empty at first, that all tests of a module share."""
    yield from _database(clickhouse_server)


class Stack:
    """A running `vca up`. ``endpoints`` holds its addresses and the API's key by their environment names."""

    def __init__(
        self, run_dir: Path, arguments: tuple[str, ...] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.run_dir = run_dir
        self.output = run_dir / "up.log"
        self.endpoints: dict[str, str] = {}
        self.up: Child | None = None
        self._command = [sys.executable, "-m", "deploy.cli", "up", "--run-dir", str(run_dir), *arguments]
        # No system events other than those that tests send, no rate limit, and no answer from the other store
        # because the machine is busy.
        quiet = {"SELF_REPORTING": "false", "RATE_LIMIT": "none", "STORE_PATIENCE": "10"}
        self._environment = {**module_environment(), **quiet, **(environment or {})}

    def start(self, timeout: float = 60.0) -> None:
        """Start the stack and wait until it is ready; raise AssertionError with its output if it fails."""
        ready = self.run_dir / "endpoints.env"
        ready.unlink(missing_ok=True)
        if self.up is not None:
            self.up.stop(0)
        self.up = Child("up", self._command, self.output, self._environment)
        if not wait_until(time.monotonic() + timeout, ready.exists, self.up):
            self.stop()
            raise AssertionError(f"vca up did not get ready:\n{self.output.read_text()}")
        self.endpoints = dict(line.split("=", 1) for line in ready.read_text().splitlines())

    def pids(self) -> dict[str, int]:
        """Return the process ids by name: supervisor, broker, redis, clickhouse, worker, api."""
        pids: dict[str, int] = json.loads((self.run_dir / "pids.json").read_text())
        return pids

    def pid(self, name: str) -> int:
        """Return the id of one process."""
        return self.pids()[name]

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process; return its process id."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def restarted(self, name: str, old: int, timeout: float = 60.0) -> int:
        """Wait until the supervisor has restarted a process; return its new id."""
        deadline = time.monotonic() + timeout
        while self.pids().get(name, old) == old:
            assert time.monotonic() < deadline, f"{name} was not started again:\n{self.output.read_text()}"
            time.sleep(0.05)
        return self.pid(name)

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        return (self.run_dir / "logs" / f"{name}.log").read_text(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 60.0) -> int:
        """Stop the stack as Ctrl-C (SIGINT) or SIGTERM would, and return its exit code."""
        up = self.up
        assert up is not None, "start it first"
        if up.exit_code is None:
            os.kill(up.pid, number)
        wait_until(time.monotonic() + timeout, lambda: up.exit_code is not None, None)
        up.stop(0)
        assert up.exit_code is not None
        return up.exit_code


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a whole running stack: servers, one worker, the API."""
    running = Stack(tmp_path_factory.mktemp("stack") / ".run", ("--api-port", str(free_port())))
    running.start()
    try:
        yield running
    finally:
        running.stop()
