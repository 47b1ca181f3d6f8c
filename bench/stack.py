"""Stand-in servers, a filled topic and worker processes for the benchmarks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from rich.progress import Progress

from bench.events import playback
from deploy.embedded import servers
from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child
from sinks.clickhouse.migrator import migrate
from streams.settings import Settings
from streams.topics import create_topics

PARTITIONS = 4
#: Views under way in the log at any time are this times ten: a heartbeat comes every ten seconds.
LOG_RATE = 5_000.0


#: A temporary folder may be in memory, where a file costs nothing, or where it costs ten times as much.
_FOLDERS = Path(".run")


@dataclass
class Stack:
    """Running servers, their processes, and settings that name them."""

    settings: Settings
    environment: dict[str, str]
    children: dict[str, Child]
    folder: Path

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds each server has used."""
        return {name: cpu_seconds(child.pid) for name, child in self.children.items()}


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, of a process and its children."""
    process = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])


@contextmanager
def stack(*, kafka: bool = False) -> Iterator[Stack]:
    """Start broker, Redis and ClickHouse stand-ins in a folder of their own, migrated, with topics.

    With `kafka`, the broker is Apache Kafka. The folder is below `.run`, on the disk that `make up` uses.
    """
    _FOLDERS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="bench-", dir=_FOLDERS) as name:
        folder = Path(name).resolve()
        wanted = {
            "broker": _kafka(folder) if kafka else servers.broker(free_port()),
            "redis": servers.redis(free_port(), folder / "redis"),
            "clickhouse": servers.clickhouse(free_port(), folder / "clickhouse"),
        }
        children: dict[str, Child] = {}
        try:
            for each, server in wanted.items():
                children[each] = servers.start(server, folder)
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": wanted["broker"].address,
                "REDIS_URL": wanted["redis"].address,
                "CLICKHOUSE_URL": f"{wanted['clickhouse'].address}/videocloud",
                "TOPIC_PARTITIONS": str(PARTITIONS),
                "SESSION_TIMEOUT": "6",
                "REBALANCE_TIMEOUT": "3",
            }
            os.environ.update(environment)
            settings = Settings()
            migrate(settings.clickhouse_url)
            asyncio.run(create_topics(settings))
            yield Stack(settings, environment, children, folder)
        finally:
            for child in reversed(list(children.values())):
                child.stop(5.0)


def _kafka(folder: Path) -> servers.Server:
    return nodes(jars.fetch(), folder / "kafka", [(free_port(), free_port())])[0]


async def fill(bootstrap: str, topic: str, count: int, *, title: str) -> None:
    """Put `count` playback events into a topic, ending now in the log's own time."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=False, acks=1)
    await producer.start()
    partitioner, numbers = DefaultPartitioner(), list(range(PARTITIONS))
    batches = {number: producer.create_batch() for number in numbers}
    start_ms = int((time.time() - count / LOG_RATE) * 1000)
    sent = []

    async def send(number: int) -> None:
        batches[number].close()
        sent.append(await producer.send_batch(batches[number], topic, partition=number))
        batches[number] = producer.create_batch()

    with Progress() as progress:
        task = progress.add_task(title, total=count)
        for done, (key, value, at) in enumerate(playback(count, start_ms=start_ms, rate=LOG_RATE)):
            number = partitioner(key, numbers, numbers)
            if batches[number].append(key=key, value=value, timestamp=at) is None:
                await send(number)
                batches[number].append(key=key, value=value, timestamp=at)
            if not done % 10_000:
                progress.update(task, completed=done)
        for number in numbers:
            if batches[number].record_count():
                await send(number)
        await asyncio.gather(*sent)
        progress.update(task, completed=count)
    await producer.stop()


@contextmanager
def process(
    stack: Stack, arguments: Sequence[str], log: str, *, python: str | None = None
) -> Iterator[psutil.Popen]:
    """Run a Python module or program beside the servers, and end it afterwards."""
    with (stack.folder / log).open("wb") as output:
        child = psutil.Popen(
            [python or sys.executable, *arguments],
            env={**os.environ, **stack.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(15)
            except psutil.TimeoutExpired:
                child.kill()
