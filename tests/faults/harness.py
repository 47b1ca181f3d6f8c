"""One harness for every fault: a steady, known stream of events, repeated faults, then a verdict.

An `Episode` has topics, a database and workers of its own on shared servers. While its producer sends at a
steady rate, a fault happens at seeded random moments. After each fault, the harness measures the time until
both stores have the records sent just after the fault. In the end both stores must match the oracle exactly.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx2 as httpx
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.exceptions import RedisError

from deploy.embedded.ports import free_port
from sinks.clickhouse.migrator import migrate
from streams.settings import Settings
from streams.topics import cluster_id, create_topics
from tests.faults.machines import Crew
from tests.faults.servers import Servers
from tests.faults.traffic import Mix, Traffic, paced
from tests.faults.truth import Verdict, judge
from tests.oracle.log import PLAYBACK, SYSTEM, USERS, Record

SESSION_SECONDS = 3.0

_CAUGHT_UP_SECONDS = 120.0
#: Recovery is complete when both stores have all records sent up to this many seconds after a fault began.
_AFTER = 0.3


@dataclass
class Fault:
    """A fault (`strike` returns when the cause is gone), and the setting in which it happens."""

    name: str
    strike: Callable[[Episode], Awaitable[None]]
    workers: int = 1
    nodes: int = 1
    mix: Mix = field(default_factory=Mix)
    #: The goal for the time from the fault's beginning to recovery, in seconds, if it has one.
    goal: float | None = None
    #: Partitions of each topic.
    partitions: int = 3
    #: The fault needs brokers that the tests have started themselves.
    breaks_brokers: bool = False
    #: Longest time between two faults.
    pause: float = 1.5
    rate: float = 150.0
    #: Replicas of each partition; 0 for one on each node.
    replicas: int = 0
    #: Seconds after which a worker without heartbeats loses its partitions.
    session: float = SESSION_SECONDS


@dataclass
class Report:
    """The results of an episode."""

    fault: str
    seed: int
    verdict: Verdict
    recoveries: list[float]
    #: Records that retention deleted before they were read, and how many losses the workers' logs report.
    gone: int = 0
    admitted: int = 0

    @property
    def sound(self) -> bool:
        """Say whether the stores hold the truth and every loss was admitted."""
        return self.verdict.sound and self.gone == self.admitted

    def line(self) -> str:
        """Return the results in one line."""
        times = sorted(self.recoveries)
        middle = times[len(times) // 2] if times else 0.0
        told = self.verdict
        text = (
            f"{self.fault:<34} seed {self.seed:<6} sent {told.sent:>6}  faults {len(times):>3}"
            f"  lost {len(told.lost):>3}  double {len(told.double):>3}  differs {len(told.differs):>3}"
            f"  recovery {middle:5.1f} s, worst {max(times, default=0.0):5.1f} s"
        )
        return text + (f"  gone {self.gone}, admitted {self.admitted}" if self.gone or self.admitted else "")


class Episode:
    """One run of one fault, with the methods that faults use."""

    producer: AIOKafkaProducer

    def __init__(self, servers: Servers, fault: Fault, seed: int, folder: Path) -> None:
        """Prepare an episode in a folder of its own."""
        self.servers, self.fault, self.seed, self.folder = servers, fault, seed, folder
        self.rng = Random(f"{fault.name}/{seed}")
        self.end = f".{uuid4().hex[:8]}"
        self.database = f"faults_{self.end[1:]}"
        self.since_minute = int(time.time()) // 60
        self.rate = fault.rate
        self._delivered: list[tuple[str, int, int, Record]] = []
        #: Number of faults so far.
        self.struck = 0
        #: How often the log of each topic's partition was replaced.
        self.incarnations: Counter[tuple[str, int]] = Counter()
        self._pending: list[tuple[Record, asyncio.Future[Any]]] = []
        #: Offset after the newest acknowledged record, by topic and partition.
        self.ends: dict[tuple[str, int], int] = {}
        self.traffic = Traffic(seed, replace(fault.mix))
        self._running = asyncio.Event()
        self._running.set()
        #: Topic, partition and offset of records that retention deleted before a worker read them.
        self.gone: set[tuple[str, int, int]] = set()
        self.crew = Crew(self._environment(), folder)
        self.settings = Settings.model_validate(
            {
                "kafka_bootstrap_servers": servers.bootstrap,
                **{f"topic_{n}": f"{t}{self.end}" for n, t in _TOPICS.items()},
                "topic_partitions": fault.partitions,
                "topic_replication": fault.replicas or len(servers.nodes) or 1,
            }
        )

    def _environment(self) -> dict[str, str]:
        self.metrics_port = free_port()
        # Several workers on one machine cannot share the port.
        alone = {"WORKER_METRICS_PORT": str(self.metrics_port)} if self.fault.workers == 1 else {}
        return {
            **alone,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.bootstrap,
            "REDIS_URL": f"redis://127.0.0.1:{self.servers.redis_proxy.port}/0",
            "CLICKHOUSE_URL": f"http://127.0.0.1:{self.servers.clickhouse_proxy.port}/{self.database}",
            "CONSUMER_GROUP": f"faults{self.end}",
            "SESSION_TIMEOUT": str(self.fault.session),
            "REBALANCE_TIMEOUT": str(SESSION_SECONDS),
            "TOPIC_PARTITIONS": str(self.fault.partitions),
            **{f"TOPIC_{n.upper()}": f"{t}{self.end}" for n, t in _TOPICS.items()},
        }

    # --- methods for faults ------------------------------------------------------------------

    async def moment(self, longest: float) -> None:
        """Wait for a random moment."""
        await asyncio.sleep(self.rng.random() * longest)

    def any_worker(self) -> int:
        """Choose a worker."""
        return self.rng.choice(self.crew.numbers)

    def pause(self) -> None:
        """Pause the producer."""
        self._running.clear()

    def go_on(self) -> None:
        """Resume the producer."""
        self._running.set()

    async def reconnect(self) -> None:
        """Give the producer a new session with the brokers."""
        await self.producer.stop()
        self.producer = await self._connect()

    async def acknowledged(self) -> None:
        """Wait until the broker has acknowledged everything sent so far."""
        await asyncio.gather(*(future for _, future in self._pending))
        self._settle()

    def topic(self, name: str) -> str:
        """Return a topic's name in this episode."""
        return name + self.end

    async def sql(self, statement: str) -> str:
        """Run a statement on ClickHouse itself, past the proxy."""
        url = f"{self.servers.clickhouse.server.address}/?{urlencode({'database': self.database})}"
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(url, content=statement.encode())
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    async def positions(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (counted, stored) offsets by topic and partition; unknown ones are left out."""
        found: dict[tuple[str, int], tuple[int, int]] = {}
        store = redis.asyncio.Redis.from_url(
            self.servers.redis.server.address, decode_responses=True, socket_timeout=1.0
        )
        with suppress(RedisError, OSError):
            async with store, store.pipeline(transaction=False) as pipe:
                wheres = list(self.ends)
                for topic, number in wheres:
                    key = f"vc:{{{self.servers.cluster}/{topic}/{number}}}:ledger"
                    pipe.hmget(key, "counted", "block_to", "done", "block_from", "incarnation")
                for where, (counted, block_to, done, block_from, incarnation) in zip(
                    wheres, await pipe.execute(), strict=True
                ):
                    stored = block_to if done == "1" else block_from
                    if int(incarnation or 0) == self.incarnations[where]:
                        found[where] = (int(counted or 0), int(stored or 0))
        return found

    async def recovered(self, ends: dict[tuple[str, int], int], timeout: float) -> None:
        """Wait until both stores have everything up to the given ends."""
        deadline = time.monotonic() + timeout
        while True:
            at = await self.positions()
            behind = {w: (at.get(w), end) for w, end in ends.items() if min(at.get(w, (0, 0))) < end}
            if not behind:
                return
            assert time.monotonic() < deadline, (
                f"{self.fault.name}, seed {self.seed}: not recovered in {timeout:g} s; (counted, stored),"
                f" end: {behind}; logs in {self.folder}"
            )
            await asyncio.sleep(0.05)

    # --- the run ------------------------------------------------------------------------------

    async def run(self, faults: int, told: Callable[[str], None] = lambda _: None) -> Report:
        """Run the episode with a number of faults; `told` gets a line after each."""
        recoveries: list[float] = []
        async with self._started() as background:
            for number in range(faults):
                await self.moment(self.fault.pause)
                began = time.monotonic()
                await self.fault.strike(self)
                self.struck += 1
                await asyncio.sleep(max(0.0, began + _AFTER - time.monotonic()))
                for task in background:
                    if task.done():
                        task.result()
                await self.acknowledged()
                await self.recovered(dict(self.ends), _CAUGHT_UP_SECONDS)
                recoveries.append(time.monotonic() - began)
                told(f"{self.fault.name}: {number + 1} of {faults}, {recoveries[-1]:.1f} s")
            self.pause()
            await asyncio.sleep(0.05)
            await self.acknowledged()
            await self.recovered(dict(self.ends), _CAUGHT_UP_SECONDS)
            admitted = await self._admitted()
        verdict = await asyncio.to_thread(
            judge,
            self.delivered(),
            f"{self.servers.clickhouse.server.address}/{self.database}",
            self.servers.redis.server.address,
            self.servers.cluster,
            self.since_minute,
            self.end,
        )
        verdict.differs += await self._dead_letters()
        return Report(self.fault.name, self.seed, verdict, recoveries, len(self.gone), admitted)

    def delivered(self) -> list[Record]:
        """Return the records that the stores must reflect, in the order of delivery."""
        return [record for *_, record in self._delivered_and_kept()]

    async def _dead_letters(self) -> list[str]:
        """Return which dead letters are missing or unexpected; repeats of an expected one are allowed."""
        expected = Counter(
            (topic, record.value or b"") for topic, *_, record in self._delivered_and_kept() if record.fault
        )
        found = await dead_letters(
            self.servers.bootstrap, self.topic("events.deadletter"), self.fault.partitions
        )
        wrong = [f"dead letter missing: {value[:60]!r} of {topic}" for topic, value in expected - found]
        return wrong + [
            f"dead letter too much: {value[:60]!r} of {topic}" for topic, value in found - expected
        ]

    def _delivered_and_kept(self) -> list[tuple[str, int, int, Record]]:
        return [sent for sent in self._delivered if sent[:3] not in self.gone]

    async def _admitted(self) -> int:
        """Return the number of lost records that the workers' logs report."""
        found = 0
        for number in range(1, 100):
            file = self.crew.log(number)
            if not file.exists():
                break
            for line in file.read_text(errors="replace").splitlines():
                if "records lost to retention" in line:
                    found += int(line.split('"lost": ', 1)[1].split(",", 1)[0].rstrip("}"))
        return found

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[list[asyncio.Task[None]]]:
        await self._prepare()
        for _ in range(self.fault.workers):
            self.crew.hire()
        background = [asyncio.create_task(self.crew.supervise())]
        try:
            self.producer = await self._connect()
            background.append(asyncio.create_task(self._produce()))
            # Wait until the first records have passed through the whole pipeline.
            await asyncio.sleep(0.5)
            await self.acknowledged()
            await self.recovered(dict(self.ends), 60.0)
            yield background
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await self.producer.stop()
            self.crew.stop()

    async def _prepare(self) -> None:
        await asyncio.to_thread(migrate, f"{self.servers.clickhouse.server.address}/{self.database}")
        await create_topics(self.settings)
        self.servers.cluster = await cluster_id(self.settings)

    async def _connect(self) -> AIOKafkaProducer:
        # The client's errors about brokers that are down are expected.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.servers.bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            max_request_size=16 * 1024 * 1024,
            # Longer than any fault keeps a broker down.
            request_timeout_ms=90_000,
            retry_backoff_ms=50,
            metadata_max_age_ms=5_000,
        )
        await producer.start()
        return producer

    async def _produce(self) -> None:
        due, rate = paced(self.rate, time.monotonic()), self.rate
        while True:
            if not self._running.is_set() or rate != self.rate:
                await self._running.wait()
                due, rate = paced(self.rate, time.monotonic()), self.rate
            await asyncio.sleep(max(0.0, next(due) - time.monotonic()))
            record = self.traffic.next(int(time.time() * 1000))
            future = await self.producer.send(
                self.topic(record.topic), record.value, key=record.key, timestamp_ms=record.timestamp
            )
            self._pending.append((record, future))
            if len(self._pending) > 50:
                self._settle()

    def _settle(self) -> None:
        """Record which sends were acknowledged, in the order of sending."""
        waiting = []
        for record, future in self._pending:
            if not future.done():
                waiting.append((record, future))
                continue
            at = future.result()
            self._delivered.append((at.topic, at.partition, at.offset, record))
            where = (at.topic, at.partition)
            self.ends[where] = max(self.ends.get(where, 0), at.offset + 1)
        self._pending = waiting


async def dead_letters(bootstrap: str, topic: str, partitions: int) -> Counter[tuple[str, bytes]]:
    """Count dead letters by source topic and value; count each source record once."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, max_partition_fetch_bytes=1 << 25, fetch_max_bytes=1 << 26
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        read_to = dict.fromkeys(places, 0)
        found: dict[tuple[bytes, ...], tuple[str, bytes]] = {}
        while any(read_to[place] < ends[place] for place in places):
            for place, letters in (await consumer.getmany(timeout_ms=200)).items():
                read_to[place] = letters[-1].offset + 1
                for letter in letters:
                    headers = dict(letter.headers)
                    origin = tuple(headers[f"source-{n}"] for n in ("topic", "partition", "offset"))
                    value = letter.value or b""
                    found[*origin, value] = (headers["source-topic"].decode(), value)
        return Counter(found.values())
    finally:
        await consumer.stop()


_TOPICS = {
    "playback": PLAYBACK,
    "users": USERS,
    "systems": SYSTEM,
    "catalog": "video.catalog",
    "deadletter": "events.deadletter",
}
SEED = int(os.environ.get("TEST_SEED", "1"))
