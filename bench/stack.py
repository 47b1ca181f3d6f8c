"""Stand-in servers, a filled topic, workers and an API for the benchmarks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psutil
from rich.progress import Progress

from bench.events import playback
from bench.load import Load
from deploy.embedded import servers
from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.stack import command_line
from sinks.clickhouse.migrator import migrate
from streams.settings import Settings
from streams.topics import create_topics

PARTITIONS = 4
#: Events a second of log time. Views under way are ten times as many: each sends an event every ten seconds.
LOG_RATE = 5_000.0

#: Folder for the servers' data: on the disk that `make up` uses, or BENCH_DIR. The cost of creating a file
#: differs tenfold and more between file systems, and an insert creates over a hundred files.
_FOLDERS = Path(os.environ.get("BENCH_DIR", ".run"))
#: Longest time for workers to form a group, and for an API to start, in seconds.
_GATHER_SECONDS: Final = 90.0
#: The group counts as formed when all workers were ready in this many checks, half a second apart.
_LOOKS: Final = 4


@dataclass(frozen=True)
class Stack:
    """Running servers, their processes, and settings that name them."""

    settings: Settings
    environment: dict[str, str]
    children: dict[str, Child]
    folder: Path

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds each server has used."""
        return {name: cpu_seconds(child.pid) for name, child in self.children.items()}

    def with_environment(self, environment: Mapping[str, str]) -> Stack:
        """Return the same servers, with variables added to or replaced in the programs' environment."""
        told = self.environment | dict(environment)
        return replace(self, environment=told, settings=_settings(told))

    def afresh(self, number: int) -> Stack:
        """Return the same servers with empty stores, for another run over the same topic; 1 is the first."""
        stack = self.with_environment(
            {
                "REDIS_URL": _with_path(self.settings.redis_url, str(number)),
                "CLICKHOUSE_URL": _with_path(self.settings.clickhouse_url, f"run_{number}"),
                "CONSUMER_GROUP": f"{self.settings.consumer_group}-{number}",
            }
        )
        migrate(stack.settings.clickhouse_url)
        return stack


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def _settings(environment: Mapping[str, str]) -> Settings:
    told: dict[str, Any] = {name.lower(): value for name, value in environment.items()}
    return Settings(**{name: value for name, value in told.items() if name in Settings.model_fields})


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and its children."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


@contextmanager
def stack(
    *, kafka: bool = False, broker: bool = True, partitions: int = PARTITIONS, data: Path | None = None
) -> Iterator[Stack]:
    """Start broker, Redis and ClickHouse stand-ins in a folder of their own, migrated, with topics.

    With `kafka`, the broker is Apache Kafka; without `broker` there is neither broker nor topics. The folder
    is removed at the end; if `data` is given, ClickHouse keeps its files there instead.
    """
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=_FOLDERS) as name:
        folder = Path(name).resolve()
        wanted = {
            "redis": servers.redis(free_port(), folder / "redis"),
            "clickhouse": servers.clickhouse(free_port(), data or folder / "clickhouse"),
        }
        if broker:
            wanted["broker"] = _kafka(folder) if kafka else servers.broker(free_port())
        children: dict[str, Child] = {}
        try:
            for each, server in wanted.items():
                children[each] = servers.start(server, folder)
            environment = {
                **module_environment(),
                "REDIS_URL": wanted["redis"].address,
                "CLICKHOUSE_URL": f"{wanted['clickhouse'].address}/videocloud",
                "TOPIC_PARTITIONS": str(partitions),
                "SESSION_TIMEOUT": "6",
                "REBALANCE_TIMEOUT": "3",
            }
            if broker:
                environment["KAFKA_BOOTSTRAP_SERVERS"] = wanted["broker"].address
            settings = _settings(environment)
            migrate(settings.clickhouse_url)
            if broker:
                asyncio.run(create_topics(settings))
            yield Stack(settings, environment, children, folder)
        finally:
            for child in reversed(list(children.values())):
                child.stop(5.0)


def _kafka(folder: Path) -> servers.Server:
    return nodes(jars.fetch(), folder / "kafka", [(free_port(), free_port())])[0]


async def fill(stack: Stack, count: int, *, rate: float = LOG_RATE, under_way: bool = True) -> None:
    """Put `count` playback events into their topic, `rate` a second in the log's own time, ending now.

    With `under_way`, the first views have begun before, and a worker looks them up; else they begin here.
    """
    async with _load(stack) as load:
        events = playback(count, start_ms=_begin_ms(count, rate), rate=rate, under_way=under_way)
        await _gather_events(load, events, count)


@asynccontextmanager
async def filled_at_once(stack: Stack, count: int, *, rate: float = LOG_RATE) -> AsyncIterator[Load]:
    """Make `count` events, and yield the load that holds them; its `flush` sends them.

    Unlike with `fill`, every view begins with its first event, so that a worker looks up none.
    """
    async with _load(stack, hold=True) as load:
        events = playback(count, start_ms=_begin_ms(count, rate), rate=rate, under_way=False)
        await _gather_events(load, events, count)
        yield load


def _begin_ms(count: int, rate: float) -> int:
    return int((time.time() - count / rate) * 1000)


def _load(stack: Stack, *, hold: bool = False) -> Load:
    told = stack.settings
    return Load(told.kafka_bootstrap_servers, told.topic_playback, told.topic_partitions, hold=hold)


async def _gather_events(load: Load, events: Iterable[tuple[bytes, bytes, int]], count: int) -> None:
    with Progress() as progress:
        task = progress.add_task("making events", total=count)
        for done, (key, value, at) in enumerate(events):
            await load.add(key, value, at)
            if not done % 10_000:
                progress.update(task, completed=done)
        progress.update(task, completed=count)


@contextmanager
def process(
    stack: Stack, arguments: Sequence[str], log: str, *, python: str | None = None
) -> Iterator[psutil.Popen]:
    """Run a Python module or program beside the servers, and end it afterwards."""
    with (stack.folder / log).open("wb") as output:
        child = psutil.Popen(
            [python or sys.executable, *arguments],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **stack.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            with suppress(psutil.NoSuchProcess):
                child.terminate()
                try:
                    child.wait(15)
                except psutil.TimeoutExpired:
                    child.kill()


@dataclass(frozen=True)
class Worker:
    """A running worker, its log, and the address of its metrics and health."""

    process: psutil.Popen
    log: Path
    address: str

    def check(self) -> None:
        """If the worker has ended, end the benchmark with the end of the worker's log."""
        if self.process.poll() is not None:
            raise SystemExit(f"the worker ended: {self.log.read_text()[-2000:]}")


@contextmanager
def workers(stack: Stack, count: int = 1) -> Iterator[list[Worker]]:
    """Run workers, and yield them once their partitions are assigned."""
    with ExitStack() as stopping:
        running = []
        for number in range(count):
            port, log = free_port(), f"worker-{number}-{time.monotonic_ns()}.log"
            told = stack.with_environment({"WORKER_METRICS_PORT": str(port)})
            child = stopping.enter_context(process(told, ["-m", "deploy.cli", "worker"], log))
            running.append(Worker(child, stack.folder / log, f"http://127.0.0.1:{port}"))
        _gather(running)
        yield running


def _gather(running: Sequence[Worker]) -> None:
    until, looks = time.monotonic() + _GATHER_SECONDS, 0
    while looks < _LOOKS:
        if time.monotonic() > until:
            raise SystemExit(f"the workers did not gather: {running[0].log.read_text()[-2000:]}")
        for each in running:
            each.check()
        ready = all(http_answers(f"{each.address}/readyz") for each in running)
        looks = looks + 1 if ready else 0
        time.sleep(0.5)


@contextmanager
def api(stack: Stack, environment: Mapping[str, str] | None = None) -> Iterator[tuple[str, Child]]:
    """Run an API without keys and limits; yield its address and its process."""
    port = free_port()
    told = {
        **stack.environment,
        # Empty: none; a key that happens to be in this environment is not asked for.
        "API_KEY": "",
        "RATE_LIMIT": "none",
        "LOG_LEVEL": "ERROR",
        "SELF_REPORTING": "false",
        "EXPORT_DIR": str(stack.folder / "exports"),
        **(environment or {}),
    }
    child = Child("api", command_line("api", "--port", str(port)), stack.folder / "api.log", told)
    address = f"http://127.0.0.1:{port}"
    try:
        if not wait_until(
            time.monotonic() + _GATHER_SECONDS, lambda: http_answers(f"{address}/healthz"), child
        ):
            raise SystemExit(f"the API did not get ready:\n{child.tail()}")
        yield address, child
    finally:
        child.stop(10)
