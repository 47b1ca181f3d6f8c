"""A live window is counted again beside the one that is read, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from sinks.base import Fenced, Unavailable
from sinks.memory import MemoryStore
from streams.assignment import Fetched
from streams.domain.aggregate import Live
from tests.pipeline.bench import NOW, Bench, Log, view
from tests.waiting import until


def _log(views: int = 30) -> Log:
    log = Log()
    for n in range(views):
        for event in view(f"v{n}", int(NOW * 1000) - 600_000 + 1000 * n):
            log.append(event, event["occurredAt"] + 20)
    return log


def _views(live: Live) -> int:
    return sum(counters.get("views", 0) for counters in live.counters.values())


def _read(bench: Bench, store: MemoryStore) -> int:
    """Return the views that readers see."""
    return _views(store.live[bench.partition, store.ledgers[bench.partition].generation])


async def _take(bench: Bench, end: int) -> None:
    position = bench.worker.position
    await bench.worker.process(Fetched(position, bench.log.read(position, end - position)))


async def test_wrong_counters_are_right_after_it_and_go_on_counting() -> None:
    store = MemoryStore()
    bench = Bench(_log(), store)
    await bench.restart()
    await _take(bench, 90)
    store.live[bench.partition, 0].add((0, "wrong"), views=100)
    store.recounts[bench.partition] = "now"
    await bench.worker.recount("now")
    assert store.recounts == {}
    assert _read(bench, store) == 15
    await _take(bench, 180)
    assert _read(bench, store) == 30
    await bench.worker.give_up()


@pytest.mark.parametrize("seed", range(10))
async def test_what_fails_half_way_is_not_added_to(seed: int) -> None:
    rng, store = random.Random(seed), MemoryStore()
    bench = Bench(_log(), store, block_rows=rng.choice([5, 50]))
    await bench.restart()
    store.recounts[bench.partition] = "now"

    def fault(step: str) -> None:
        if step == "rebuilt" and rng.random() < 0.7:
            raise Unavailable(step)

    store.fault = fault
    for end in range(10, 181, 10):
        await _take(bench, end)
        try:
            await bench.worker.recount("now")
        except Unavailable:
            continue
    assert _read(bench, store) == 30
    await bench.worker.give_up()


async def test_a_lost_answer_leaves_readers_and_worker_with_the_same_counters() -> None:
    store = MemoryStore()
    bench = Bench(_log(), store)
    await bench.restart()
    await _take(bench, 90)
    store.recounts[bench.partition] = "now"
    answers = iter([Unavailable("the answer was lost")])

    def fault(step: str) -> None:
        if step == "switched" and (lost := next(answers, None)):
            raise lost

    store.fault = fault
    with suppress(Unavailable):
        await bench.worker.recount("now")
    assert store.recounts == {}
    await _take(bench, 180)
    assert _read(bench, store) == 30
    await bench.worker.give_up()


async def test_it_waits_for_a_batch_and_a_batch_for_it() -> None:
    store = MemoryStore()
    bench = Bench(_log(), store)
    await bench.restart()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_take(bench, 60))
        tasks.create_task(bench.worker.recount("now"))
    await _take(bench, 180)
    assert _read(bench, store) == 30
    await bench.worker.give_up()


async def test_a_block_in_doubt_is_settled_first() -> None:
    log, store = _log(), MemoryStore()
    first = Bench(log, store, block_rows=1000)
    await first.restart()
    await _take(first, 60)

    def fault(step: str) -> None:
        if step == "insert":
            raise Unavailable(step)

    store.fault = fault
    await until(lambda: not store.ledgers[first.partition].done)
    first.worker.retry.release()
    first.worker.abandon()
    store.fault = lambda _: None

    heir = Bench(log, store, block_rows=1000)
    position = await heir.restart()
    await heir.worker.recount("now")
    assert store.ledgers[heir.partition].generation == 0
    await heir.worker.process(Fetched(position, log.read(position, 180)))
    await heir.worker.recount("now")
    assert store.ledgers[heir.partition].generation > 1 << 20
    assert _read(heir, store) == 30
    await heir.worker.give_up()


async def test_who_was_taken_over_from_switches_nothing() -> None:
    log, store = _log(), MemoryStore()
    zombie, heir = Bench(log, store), Bench(log, store)
    await zombie.restart()
    await _take(zombie, 60)
    await until(lambda: store.ledgers[zombie.partition].landed == 60)
    await heir.restart()
    with pytest.raises(Fenced):
        await zombie.worker.recount("now")
    assert store.ledgers[heir.partition].generation == 0
    for bench in (zombie, heir):
        bench.worker.abandon()
