"""A store that takes nothing stops the reading: what a worker holds is bounded, over all its partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import pytest
from faust.types import TP

from sinks.base import LiveBatch, Partition, Unavailable
from sinks.memory import MemoryStore
from streams.assignment import Fetched
from streams.budget import Budget
from streams.pace import Pace
from streams.retry import Released, Retry
from tests.pipeline.bench import NOW, TOPIC, Bench, Broker, Log, pipeline_of, taken, view
from tests.waiting import turns, until

_ROW = 300
_LIMIT = 40 * _ROW
_BATCH = 10


def _log(name: str, views: int) -> Log:
    log = Log()
    for n in range(views):
        for event in view(f"{name}-{n}", int(NOW * 1000) - 600_000):
            log.append(event, event["occurredAt"] + 20)
    return log


class _Down(MemoryStore):
    """Stores of which ClickHouse is down until told otherwise."""

    def __init__(self) -> None:
        super().__init__(fault=self._fault)
        self.down = True

    def _fault(self, step: str) -> None:
        if self.down and step == "insert":
            raise Unavailable("down")


async def _partitions(store: MemoryStore, pace: Pace, count: int, views: int) -> list[Bench]:
    benches = []
    for number in range(count):
        bench = Bench(_log(f"p{number}", views), store, block_rows=1_000_000, pace=pace)
        bench.partition = Partition("cluster", TOPIC, number)
        await bench.restart()
        benches.append(bench)
    return benches


async def _read(bench: Bench) -> None:
    position = 0
    while batch := bench.log.read(position, _BATCH):
        await bench.worker.process(Fetched(position, batch))
        position = batch[-1].offset + 1


async def _stands_still(benches: list[Bench]) -> int:
    """Wait until no partition moves any more; return how many records were folded."""
    before = -1
    while (now := sum(bench.worker.position for bench in benches)) != before:
        before = now
        await turns(200)
    return now


async def test_partitions_share_one_bound_and_all_arrives_when_the_store_is_back() -> None:
    store, pace = _Down(), Pace(1000.0, 0.001, buffer_bytes=_LIMIT)
    benches = await _partitions(store, pace, count=6, views=20)
    reading = asyncio.gather(*map(_read, benches))

    await _stands_still(benches)
    assert not reading.done()
    assert _LIMIT <= pace.budget.used < _LIMIT + 6 * _BATCH * 2 * _ROW

    store.down = False
    await asyncio.wait_for(reading, 30)
    for bench in benches:
        await bench.worker.give_up()
    rows = store.tables["playback_events"]
    assert len(rows) == len({(row.partition, row.offset) for row in rows}) == 6 * 20 * 6
    assert pace.budget.used == 0


async def test_a_partition_that_is_given_up_gives_its_share_back() -> None:
    store, pace = _Down(), Pace(1000.0, 0.001, buffer_bytes=_LIMIT)
    benches = await _partitions(store, pace, count=2, views=20)
    reading = asyncio.gather(*map(_read, benches), return_exceptions=True)
    await _stands_still(benches)
    for bench in benches:
        bench.worker.retry.release()
        bench.worker.abandon()
    assert all(isinstance(end, Released) for end in await asyncio.wait_for(reading, 30))
    await asyncio.sleep(0)
    assert pace.budget.used == 0


async def test_whoever_holds_rows_is_told_once_that_there_is_no_room_and_others_wait_for_it() -> None:
    budget, told = Budget(10), asyncio.Event()
    budget.subscribe(told)
    budget.reserve(9)
    assert not told.is_set()
    budget.reserve(1)
    assert told.is_set()
    told.clear()
    budget.reserve(5)
    assert not told.is_set()
    waiting = asyncio.create_task(budget.wait_for_room())
    for released, has_room in ((5, False), (1, True)):
        budget.release(released)
        await asyncio.sleep(0)
        assert waiting.done() == has_room
    budget.unsubscribe(told)
    budget.reserve(1)
    assert not told.is_set()


async def test_a_block_in_doubt_is_gathered_though_nothing_else_has_room() -> None:
    store = _Down()
    first = Bench(_log("doubt", 20), store, block_rows=1_000_000)
    await first.restart()
    await first.worker.process(Fetched(0, first.log.read(0, 60)))
    await until(lambda: not store.ledgers[first.partition].done)
    first.worker.retry.release()
    first.worker.abandon()

    pace = Pace(1000.0, 0.001, buffer_bytes=_LIMIT)
    pace.budget.reserve(_LIMIT)
    store.down = False
    heir = Bench(first.log, store, block_rows=1_000_000, pace=pace)
    position = await heir.restart()
    await asyncio.wait_for(heir.worker.process(Fetched(position, heir.log.read(position, 60))), 30)
    await heir.worker.give_up()
    assert len(store.tables["playback_events"]) == 60


async def test_whoever_waits_for_a_store_is_not_taken_for_stalled() -> None:
    retry = Retry(partition=0)

    async def silent() -> None:
        await asyncio.sleep(60)

    waiting = asyncio.create_task(_forever(retry, silent()))
    await asyncio.sleep(0)
    now = asyncio.get_running_loop().time()
    assert not retry.is_waiting(now + 1)
    assert retry.is_waiting(now + 10)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not retry.is_waiting(now + 10)


async def test_one_store_that_answers_does_not_hide_that_another_fails() -> None:
    retry = Retry(partition=0)
    failed = asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise Unavailable("clickhouse", "down")

    async def succeed() -> None:
        return None

    failing = asyncio.create_task(retry.forever(fail, "insert"))
    await failed.wait()
    await retry.forever(succeed, "count")
    assert retry.is_waiting(asyncio.get_running_loop().time())
    retry.release()
    with pytest.raises(Released):
        await failing
    assert not retry.is_waiting(asyncio.get_running_loop().time())


async def _forever(retry: Retry, answer: Awaitable[None]) -> None:
    await retry.forever(lambda: answer, "ask")


async def test_no_position_is_judged_while_one_partition_waits() -> None:
    store, failures = _Down(), list[BaseException]()
    broker = Broker(_log("p", views=1))
    pipeline = pipeline_of(broker, store, failures)
    first, second = TP(TOPIC, 0), TP(TOPIC, 1)
    await taken(pipeline, {first, second})
    assert pipeline.positions() == {first: 0, second: 0}

    await pipeline.process(first, Fetched(0, broker.log.records))
    await until(lambda: not pipeline.positions())
    store.down = False
    await until(pipeline.positions)
    assert pipeline.positions() == {first: len(broker.log.records), second: 0}
    await pipeline.give_up({first, second})
    assert failures == []


async def test_a_block_that_waits_for_its_turn_gathers_what_comes_meanwhile() -> None:
    store, pace = MemoryStore(), Pace(1000.0, 0.001)
    (bench,) = await _partitions(store, pace, count=1, views=5)
    for _ in range(2):
        await pace.slots.acquire()  # Two inserts of other partitions are under way.
    await _read(bench)
    await asyncio.sleep(0.05)
    await turns()
    assert not store.tokens
    pace.slots.release()
    await asyncio.wait_for(bench.worker.give_up(), 30)
    assert len(store.tokens) == 1
    assert len(store.tables["playback_events"]) == 5 * 6


async def test_a_batch_that_ends_after_its_partition_was_given_up_holds_no_memory() -> None:
    store, pace, go = MemoryStore(), Pace(14.0, 0.05), asyncio.Event()
    (bench,) = await _partitions(store, pace, count=1, views=3)

    async def slow(_batch: LiveBatch) -> None:
        await go.wait()

    bench.worker._stores.live.write = slow  # type: ignore[assignment, method-assign]
    taking = asyncio.create_task(bench.worker.process(Fetched(0, bench.log.records)))
    await turns()
    await bench.worker.give_up()
    go.set()
    with suppress(Released):
        await taking
    assert pace.budget.used == 0
