"""Workers on in-memory stores, reading a log kept in a list: the whole pipeline without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from faust.types import TP

from sinks.base import Partition, Unavailable
from sinks.memory import (
    MemoryArchive,
    MemoryBlocks,
    MemoryBundles,
    MemoryLedgers,
    MemoryLive,
    MemoryStore,
)
from streams.assignment import Assignment, Fetched, Limits, LogBounds, MakeFolder, Stores
from streams.bundles import Bundles
from streams.domain.arrivals import Rejected
from streams.domain.folding import PlaybackFolder
from streams.domain.generations import Generations
from streams.pace import Pace
from streams.partition import PartitionWorker
from streams.pipeline import Pipeline
from streams.rejections import Rejections
from tests.waiting import turns, until

DAY_MS = 86_400_000
TOPIC = "playback.events"
NOW = 1_795_000_000.0


@dataclass(frozen=True)
class Raw:
    """A record as a Kafka client gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass
class Log:
    """One partition of a topic."""

    records: list[Raw] = field(default_factory=list)
    start: int = 0
    #: Kafka's id of the topic; empty as with a broker that has no topic ids.
    topic_id: str = ""

    def append(self, value: dict[str, Any] | bytes, timestamp: int, key: bytes | None = b"view") -> None:
        """Add a record."""
        raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
        self.records.append(Raw(self.start + len(self.records), timestamp, key, raw))

    @property
    def seen(self) -> LogBounds:
        """The bounds of the log as a broker reports them."""
        return LogBounds(self.topic_id, self.start, self.start + len(self.records))

    def read(self, offset: int, count: int) -> list[Raw]:
        """Return up to `count` records from an offset on."""
        return [r for r in self.records if r.offset >= offset][:count]


@dataclass
class Letters:
    """Dead letters in a list."""

    sent: list[tuple[int, str]] = field(default_factory=list)

    async def send(self, partition: Partition, rejected: Sequence[Rejected]) -> None:
        """Keep offset and error of each."""
        self.sent += [(letter.record.offset, letter.error) for letter in rejected]


def stores_of(store: MemoryStore, letters: Letters) -> Stores:
    """Return every store that a worker reads or writes."""
    blocks, ledgers, archive = MemoryBlocks(store), MemoryLedgers(store), MemoryArchive(store)
    return Stores(
        live=MemoryLive(store),
        blocks=blocks,
        ledgers=ledgers,
        bundles=Bundles(MemoryBundles(store), ledgers, blocks, archive),
        archive=archive,
        dead_letters=letters,
    )


def _folders(lifetime: float = 1e9) -> MakeFolder:
    return lambda place, floor: PlaybackFolder(
        place, Generations(floor=floor, capacity=10_000, lifetime=lifetime)
    )


class Broker:
    """A broker of one topic, each of whose partitions is `log`.

    The next answer of `topic_ids` waits for `slow`. The first `away` calls of `cluster_id` raise Unavailable.
    """

    def __init__(self, log: Log) -> None:
        self.log = log
        self.slow: asyncio.Event | None = None
        self.sought: list[int] = []
        self.away = 0

    async def cluster_id(self) -> str:
        if self.away:
            self.away -= 1
            raise Unavailable("Kafka: away", "kafka")
        return "cluster"

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought.append(offset)

    async def log_bounds(self, tp: TP) -> LogBounds:
        return self.log.seen

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        told = {TOPIC: self.log.topic_id} if TOPIC in topics else {}
        slow, self.slow = self.slow, None
        if slow:
            await slow.wait()
        return told


def pipeline_of(
    broker: Broker, store: MemoryStore, failures: list[BaseException], pace: Pace | None = None
) -> Pipeline:
    """Return the pipeline of a worker of playback events."""
    return Pipeline(
        broker,
        stores_of(store, Letters()),
        {TOPIC: _folders()},
        Limits(50, 180 * DAY_MS),
        pace or Pace(1000.0, 0.001),
        clock=lambda: NOW,
        on_failure=failures.append,
    )


async def taken(pipeline: Pipeline, tps: set[TP]) -> dict[TP, int]:
    """Take partitions over; return the offset that was sought of each."""
    offsets: dict[TP, int] = {}

    async def seek(some: Mapping[TP, int]) -> None:
        offsets.update(some)

    await pipeline.take_over(tps, seek)
    return offsets


class Bench:
    """One partition's worker with its surroundings; `restart` makes a new one on the same stores."""

    def __init__(
        self,
        log: Log,
        store: MemoryStore,
        *,
        block_rows: int = 50,
        lifetime: float = 1e9,
        pace: Pace | None = None,
        rejections: Rejections | None = None,
    ) -> None:
        self.log, self.store = log, store
        self.pace, self._rejections = pace, rejections or Rejections()
        self.letters = Letters()
        self.failures: list[BaseException] = []
        self.sought: list[int] = []
        self.partition = Partition("cluster", TOPIC, 0)
        self._block_rows, self._lifetime = block_rows, lifetime

    async def restart(self) -> int:
        """Take the partition over with a new worker; return the offset from which it reads."""
        self.failures.clear()
        self.sought.clear()
        self.worker = PartitionWorker(
            Assignment(
                self.partition,
                _folders(self._lifetime),
                stores_of(self.store, self.letters),
                Limits(self._block_rows, 180 * DAY_MS, self._rejections),
                self.pace or Pace(1000.0, 0.001),
                clock=lambda: NOW,
                seek=self._seek,
                log_bounds=self._log_bounds,
                on_failure=self.failures.append,
            )
        )
        await self.worker.take_over(self.log.topic_id)
        return self.worker.next_fetch

    async def die_in_insert(self, size: int, more: int, step: str) -> None:
        """Store the first `size` records as a block, and die at a step of the insert of the next one.

        Needs blocks of `size` rows; `more` records are read for the next one, which is in doubt then.
        """
        await self.restart()
        await self.worker.process(Fetched(0, self.log.read(0, size)))
        await until(lambda: self.store.ledgers[self.partition].landed == size)
        self.store.fault = failing(step)
        await self.worker.process(Fetched(size, self.log.read(size, more)))
        await until(lambda: not self.store.ledgers[self.partition].done)
        await turns()
        self.die()

    def die(self) -> None:
        """End the worker where it is, as if its process died."""
        self.worker.retry.release()
        self.worker.abandon()
        self.store.fault = lambda _: None

    async def _seek(self, offset: int) -> None:
        self.sought.append(offset)

    async def _log_bounds(self) -> LogBounds:
        return self.log.seen

    async def run(self, cuts: Sequence[int]) -> None:
        """Read the log to its end in batches of the given sizes, over and over; then flush."""
        position = await self.restart()
        turn = 0
        while batch := self.log.read(position, cuts[turn % len(cuts)]):
            turn += 1
            await self.worker.process(Fetched(position, batch))
            if self.sought:
                position = self.sought.pop()
                continue
            position = batch[-1].offset + 1
            await asyncio.sleep(0)
            if self.failures:
                raise self.failures[0]
        await self.worker.give_up()
        if self.failures:
            raise self.failures[0]


def failing(step: str) -> Callable[[str], None]:
    """Return a fault of a store at one step."""

    def fault(at: str) -> None:
        if at == step:
            raise Unavailable(step)

    return fault


def view(view_id: str, at_ms: int, events: int = 6, video_id: str = "vid") -> list[dict[str, Any]]:
    """Return the events of one view, a heartbeat every second."""
    common = {"videoId": video_id, "viewId": view_id, "sessionId": f"s-{view_id}", "userId": f"u-{view_id}"}
    result: list[dict[str, Any]] = []
    for seq in range(events):
        event = {"eventId": f"{view_id}-{seq}", "occurredAt": at_ms + 1000 * seq, "seq": seq, **common}
        if seq == 0:
            event["type"] = "view.attempt"
        elif seq == 1:
            event |= {"type": "view.start", "startupMs": 100, "durationMs": 10_000}
        else:
            watched = 1000 * (seq - 1)
            event |= {
                "type": "view.progress",
                "startedAt": at_ms + 1000,
                "watchedMs": watched,
                "rebufferMs": 10 * seq,
                "rebufferCount": 1,
                "bitrateKbps": 2000,
                "fromMs": watched - 1000,
                "toMs": watched,
            }
        result.append(event)
    return result
