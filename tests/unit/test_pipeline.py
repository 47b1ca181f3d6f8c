"""The partitions of one worker: who is at work, and who is let go of."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from faust.types import TP

from sinks.memory import MemoryArchive, MemoryBlocks, MemoryLedgers, MemoryLive, MemoryStore
from streams.blocks import Pace
from streams.domain.folding import PlaybackFolder
from streams.domain.generations import Generations
from streams.pipeline import Pipeline
from streams.work import Fetched, Limits, LogSeen, Stores
from tests.pipeline.bench import NOW, Letters, Log, view

_TP = TP("playback.events", 0)


class Broker:
    """One partition. An answer to which topic it is of may be slow: the next one comes with `slow`."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.slow: asyncio.Event | None = None
        self.sought: list[int] = []

    async def cluster_id(self) -> str:
        return "cluster"

    async def seek(self, tp: TP, offset: int) -> None:
        self.sought.append(offset)

    async def look(self, tp: TP) -> LogSeen:
        return LogSeen(self.log.topic_id, self.log.start, self.log.start + len(self.log.records))

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        told = {_TP.topic: self.log.topic_id} if _TP.topic in topics else {}
        slow, self.slow = self.slow, None
        if slow:
            await slow.wait()
        return told


def _pipeline(broker: Broker, store: MemoryStore, failures: list[BaseException]) -> Pipeline:
    return Pipeline(
        broker,
        Stores(MemoryLive(store), MemoryBlocks(store), MemoryLedgers(store), MemoryArchive(store), Letters()),
        {
            _TP.topic: lambda place, floor: PlaybackFolder(
                place, Generations(floor=floor, capacity=10_000, lifetime=1e9)
            )
        },
        Limits(50, 180 * 86_400_000),
        Pace(1000.0, 0.001),
        clock=lambda: NOW,
        on_failure=failures.append,
    )


def _log(topic_id: str, views: int) -> Log:
    log = Log(topic_id=topic_id)
    for n in range(views):
        for event in view(f"{topic_id}{n}", int(NOW * 1000) - 600_000):
            log.append(event, event["occurredAt"])
    return log


async def test_a_worker_that_is_refused_does_not_take_its_heir_along() -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = _pipeline(broker, store, failures)
    await pipeline.take_over({_TP})
    broker.log.topic_id = "first"
    slow = broker.slow = asyncio.Event()
    comparing = asyncio.create_task(pipeline.compare_logs())
    await asyncio.sleep(0)
    broker.log.topic_id = ""
    assert await pipeline.take_over({_TP}) == {_TP: 0}
    slow.set()
    await comparing
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    assert pipeline.positions() == {_TP: len(broker.log.records)}
    await pipeline.give_up({_TP})
    assert failures == []


async def test_an_exchanged_topic_is_read_from_its_start_at_the_second_look() -> None:
    broker, store, failures = Broker(_log("first", 3)), MemoryStore(), list[BaseException]()
    pipeline = _pipeline(broker, store, failures)
    await pipeline.take_over({_TP})
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    broker.log = _log("second", 5)
    await pipeline.process(_TP, Fetched(18, broker.log.read(18, 50)))
    for sought in ([], [0]):
        await pipeline.compare_logs()
        assert broker.sought == sought
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    await pipeline.give_up({_TP})
    assert len(store.tables["playback_events"]) == 6 * (3 + 5)
    assert failures == []
