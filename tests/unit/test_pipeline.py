"""The partitions of one worker: who is at work, and who is let go of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from sinks.base import Fenced, Partition, Unavailable, Unexpected
from sinks.memory import MemoryArchive, MemoryBlocks, MemoryLedgers, MemoryStore
from sinks.redis.client import CONNECTIONS
from streams.assignment import Fetched
from streams.partition import PartitionWorker
from streams.pipeline import Pipeline
from streams.watchdog import Stalled, Watchdog
from tests.pipeline.bench import NOW, TOPIC, Bench, Broker, Log, failing, pipeline_of, taken, view
from tests.waiting import until

_TP = TP(TOPIC, 0)


def _log(topic_id: str, views: int) -> Log:
    log = Log(topic_id=topic_id)
    for n in range(views):
        for event in view(f"{topic_id}{n}", int(NOW * 1000) - 600_000):
            log.append(event, event["occurredAt"])
    return log


async def test_a_worker_that_is_refused_does_not_take_its_heir_along() -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    broker.log.topic_id = "first"
    slow = broker.slow = asyncio.Event()
    comparing = asyncio.create_task(pipeline.compare_logs())
    await asyncio.sleep(0)
    broker.log.topic_id = ""
    assert await taken(pipeline, {_TP}) == {_TP: 0}
    slow.set()
    await comparing
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    assert pipeline.positions() == {_TP: len(broker.log.records)}
    await pipeline.give_up({_TP})
    assert failures == []


async def test_an_exchanged_topic_is_read_from_its_start_at_the_second_look() -> None:
    broker, store, failures = Broker(_log("first", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
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


async def test_a_broker_that_goes_away_while_partitions_are_taken_over_is_waited_for() -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    broker.away = 3
    await _take_all(pipeline, broker, store)
    assert broker.away == 0
    assert failures == []


async def _no_store(*_: Any) -> Any:
    raise Unavailable("ClickHouse: away", "clickhouse")


@asynccontextmanager
async def _taking_over_without_a_store(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[asyncio.Task[dict[TP, int]]]:
    """Yield what takes a partition over and waits for a store, which is back at the end."""
    asked = asyncio.Event()

    async def no_store(*_: Any) -> Any:
        asked.set()
        return await _no_store()

    with monkeypatch.context() as patch:
        patch.setattr(MemoryArchive, "logs", no_store)
        taking = asyncio.create_task(taken(pipeline, {_TP}))
        await asked.wait()
        yield taking


async def _fence(*_: Any) -> Any:
    raise Fenced("another worker has claimed it")


async def test_partitions_that_move_on_while_a_store_is_waited_for_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    async with _taking_over_without_a_store(pipeline, monkeypatch) as taking:
        await pipeline.give_up({_TP})
        taking.cancel()  # As the next rebalance does.
        await asyncio.wait({taking})
    assert pipeline.positions() == {}
    await _take_all(pipeline, broker, store)
    assert failures == []


async def test_few_partitions_are_taken_over_at_a_time_and_none_that_was_given_up_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, store, failures = Broker(_log("", 1)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    claim, claimed, go_on, running, most = MemoryLedgers.claim, list[int](), asyncio.Event(), 0, 0

    async def slow_claim(ledgers: MemoryLedgers, partition: Partition) -> Any:
        nonlocal running, most
        claimed.append(partition.number)
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        return await claim(ledgers, partition)

    monkeypatch.setattr(MemoryLedgers, "claim", slow_claim)
    tps = [TP(TOPIC, number) for number in range(200)]
    taking = asyncio.create_task(taken(pipeline, set(tps)))
    await until(lambda: running > 0)
    await asyncio.sleep(0)
    waiting = {tp for tp in tps if tp.partition not in claimed}
    given_up = set(sorted(waiting)[:50])
    await pipeline.give_up(given_up)
    go_on.set()
    assert (await taking).keys() == set(tps) - given_up
    # A connection to Redis for each, and some to spare.
    assert 1 < most <= CONNECTIONS * 2 // 3
    assert set(claimed) == {tp.partition for tp in tps} - {tp.partition for tp in given_up}
    await pipeline.give_up(set(tps))
    assert failures == []


async def test_a_batch_from_before_a_partition_was_taken_over_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    async with _taking_over_without_a_store(pipeline, monkeypatch) as taking:
        await pipeline.process(_TP, Fetched(0, broker.log.records))
    assert await taking == {_TP: 0}
    await _take_all(pipeline, broker, store)
    assert failures == []


async def test_a_partition_that_another_claims_while_it_is_taken_over_is_let_go_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryArchive, "logs", _fence)
        assert await taken(pipeline, {_TP}) == {}
    assert pipeline.positions() == {}
    await _take_all(pipeline, broker, store)
    assert failures == []


def _counting(monkeypatch: pytest.MonkeyPatch, store: type[Any], method: str) -> list[Any]:
    """Return a list to which the arguments of each call of a store's method are added from now on."""
    calls, original = list[Any](), getattr(store, method)

    async def counted(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        return await original(self, *arguments)

    monkeypatch.setattr(store, method, counted)
    return calls


async def test_a_partition_that_kafka_gives_back_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that rows of a moment ago are not looked for again.
    monkeypatch.setattr("streams.landed._AWAY", 60.0)
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    await pipeline.process(_TP, Fetched(0, broker.log.read(0, 7)))
    asked = [_counting(monkeypatch, MemoryLedgers, "claim")]
    asked += [_counting(monkeypatch, MemoryArchive, name) for name in ("logs", "next_offset", "history")]
    await pipeline.give_up({_TP})
    assert len(store.tables["playback_events"]) == 7, "another worker may have it next"
    assert pipeline.positions() == {}
    await pipeline.process(_TP, Fetched(7, broker.log.read(7, 9)))
    sought = list[Any]()

    async def seek(offsets: Any) -> None:
        sought.append(offsets)

    await pipeline.take_over({_TP}, seek)
    assert sought == [{_TP: 7}]
    await pipeline.process(_TP, Fetched(7, broker.log.read(7, 99)))
    await until(lambda: pipeline.safe_offsets() == {_TP: 18})
    assert len(store.tables["playback_events"]) == 18
    assert asked == [[], [], [], []]
    assert failures == []


async def test_a_partition_that_another_worker_had_meanwhile_is_claimed_again() -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline, other = (pipeline_of(broker, store, failures) for _ in range(2))
    await taken(pipeline, {_TP})
    await pipeline.process(_TP, Fetched(0, broker.log.read(0, 7)))
    await pipeline.give_up({_TP})
    assert await taken(other, {_TP}) == {_TP: 6}, "the record before is compared"
    await other.process(_TP, Fetched(6, broker.log.read(6, 5)))
    await other.give_up({_TP})
    epoch = store.ledgers[_IDLE].epoch
    assert await taken(pipeline, {_TP}) == {_TP: 10}
    assert store.ledgers[_IDLE].epoch > epoch
    await pipeline.process(_TP, Fetched(10, broker.log.read(10, 99)))
    await until(lambda: pipeline.safe_offsets() == {_TP: 18})
    assert len(store.tables["playback_events"]) == 18
    assert failures == []


async def test_a_partition_that_goes_to_another_worker_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    await pipeline.give_up({_TP})
    assert await taken(pipeline, set()) == {}
    claims = _counting(monkeypatch, MemoryLedgers, "claim")
    assert await taken(pipeline, {_TP}) == {_TP: 0}
    assert claims, "its worker has ended"
    assert failures == []


async def test_a_takeover_goes_on_when_a_rebalance_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    logs, answers = MemoryArchive.logs, asyncio.Event()

    async def slow_logs(self: MemoryArchive, *where: Any) -> list[str]:
        await answers.wait()
        return await logs(self, *where)

    monkeypatch.setattr(MemoryArchive, "logs", slow_logs)
    claims = _counting(monkeypatch, MemoryLedgers, "claim")
    for _ in range(5):
        taking = asyncio.create_task(taken(pipeline, {_TP}))
        await until(lambda: bool(claims))
        await pipeline.give_up({_TP})
        taking.cancel()
        await asyncio.wait({taking})
    answers.set()
    await _take_all(pipeline, broker, store)
    assert len(claims) == 1
    assert failures == []


async def test_partitions_that_stay_do_not_wait_for_those_that_come(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline, new = pipeline_of(broker, store, failures), TP(TOPIC, 1)
    await taken(pipeline, {_TP})
    await pipeline.give_up({_TP})
    sought = list[Any]()

    async def seek(offsets: Any) -> None:
        sought.append(offsets)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryArchive, "logs", _no_store)
        taking = asyncio.create_task(pipeline.take_over({_TP, new}, seek))
        await until(lambda: bool(sought))
        assert sought == [{_TP: 0}]
        await pipeline.process(_TP, Fetched(0, broker.log.records))
        assert pipeline.safe_offsets().keys() == {_TP}
    await taking
    assert sought == [{_TP: 0}, {new: 0}]
    assert failures == []


async def test_hundreds_that_are_taken_over_one_after_the_other_are_sought_together() -> None:
    """Each seek has the fetcher look at all partitions."""
    broker, store, failures = Broker(_log("", 1)), MemoryStore(), list[BaseException]()
    pipeline, sought = pipeline_of(broker, store, failures), list[Any]()

    async def seek(offsets: Any) -> None:
        sought.append(offsets)

    tps = {TP(TOPIC, number) for number in range(300)}
    await pipeline.take_over(tps, seek)
    assert sorted(tp for each in sought for tp in each) == sorted(tps)
    assert len(sought) < 100
    assert failures == []


async def test_what_kafka_takes_away_before_it_is_claimed_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its next owner may have claimed it by then. What was here before may still come back."""
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline, new = pipeline_of(broker, store, failures), TP(TOPIC, 1)
    await taken(pipeline, {_TP})
    await pipeline.give_up({_TP})
    claims = _counting(monkeypatch, MemoryLedgers, "claim")
    broker.slow = slow = asyncio.Event()
    taking = asyncio.create_task(taken(pipeline, {_TP, new}))
    await until(lambda: broker.slow is None)
    await pipeline.give_up({_TP, new})
    slow.set()
    assert await taking == {}
    await _take_all(pipeline, broker, store)
    assert claims == []
    assert failures == []


async def test_a_takeover_waits_for_clickhouse_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it has rows, and how far; the newest; those ahead. It is slow when everything restarts."""
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await _take_all(pipeline, broker, store)
    asked, both = list[str](), asyncio.Barrier(2)

    def told(name: str, together: bool = False) -> None:
        original = getattr(MemoryArchive, name)

        async def call(self: MemoryArchive, *arguments: Any) -> Any:
            asked.append(name)
            if together:
                await both.wait()
            return await original(self, *arguments)

        monkeypatch.setattr(MemoryArchive, name, call)

    for name in ("newest_received", "ahead", "ends", "received_at"):
        told(name)
    for name in ("logs", "next_offset"):
        told(name, together=True)
    async with asyncio.timeout(30):
        assert await taken(pipeline_of(broker, store, failures), {_TP}) == {_TP: 17}
    assert set(asked[:2]) == {"logs", "next_offset"}
    assert asked[2:] == ["newest_received", "ahead"]
    assert failures == []


async def _take_all(pipeline: Pipeline, broker: Broker, store: MemoryStore) -> None:
    assert await taken(pipeline, {_TP}) == {_TP: 0}
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    await pipeline.give_up({_TP})
    assert len(store.tables["playback_events"]) == len(broker.log.records)


@pytest.mark.parametrize("case", ["owned", "nothing done", "all counted", "of a log that is shorter now"])
async def test_a_partition_that_a_late_claim_left_without_an_owner_is_noticed(case: str) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    end = len(broker.log.records)
    if case == "all counted":
        store.fault = failing("begin")
        await pipeline.process(_TP, Fetched(0, broker.log.records))
        store.fault = lambda _: None
    if case in ("owned", "of a log that is shorter now"):
        await Bench(broker.log, store).run([end])
    if case == "of a log that is shorter now":
        end -= 5
    if case != "owned":
        # The request of a claim that had no answer, and was repeated, or of a worker that has died since.
        await MemoryLedgers(store).claim(Partition("cluster", TOPIC, 0))
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    await until(lambda: not pipeline.positions())

    async def end_offsets(tps: Collection[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, end)

    consumer = SimpleNamespace(end_offsets=end_offsets, readable_end=lambda tp, end: end)
    watchdog = Watchdog(SimpleNamespace(consumer=consumer), pipeline, 60.0, failures.append)
    await _watch(watchdog, 0.0, 59.0, 61.0)
    assert [type(each) for each in failures] == ([] if case == "owned" else [Stalled])
    await pipeline.give_up({_TP})
    assert await pipeline.lost_positions() == {}


async def _idle(store: MemoryStore, failures: list[BaseException]) -> Pipeline:
    """Return a pipeline whose partition has stored the six records that there were."""
    broker = Broker(_log("", 3))
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    await pipeline.process(_TP, Fetched(0, broker.log.read(0, 6)))
    await until(lambda: pipeline.safe_offsets() == {_TP: 6})
    await pipeline.compare_ledgers()
    await pipeline.compare_rows()
    return pipeline


_IDLE = Partition("cluster", TOPIC, 0)


@pytest.mark.parametrize(
    ("lost", "is_noticed"),
    [
        ({"counted": 5}, True),
        ({"block_from": 5, "block_to": 5}, True),
        ({"block_from": 5, "done": False}, True),
        ({"epoch": 1}, True),
        ({"counted": None, "block_from": None, "block_to": None}, True),
        ({"generation": -1}, True),
        ({"counted": 7, "block_to": 7}, False),
        ({"incarnation": 1, "counted": 0, "block_to": 0}, False),
        ({"epoch": 1 << 60, "counted": 0}, False),
    ],
)
async def test_a_worker_without_records_notices_that_redis_lost_a_moment(
    lost: dict[str, Any], is_noticed: bool
) -> None:
    store, failures = MemoryStore(), list[BaseException]()
    pipeline = await _idle(store, failures)
    store.ledgers[_IDLE] = replace(store.ledgers[_IDLE], **lost)
    with pytest.raises(Unexpected) if is_noticed else nullcontext():
        await pipeline.compare_ledgers()
    assert [type(error) for error in failures] == ([Unexpected] if is_noticed else [])
    await pipeline.give_up({_TP})


async def test_a_worker_without_records_notices_that_redis_lost_everything() -> None:
    store, failures = MemoryStore(), list[BaseException]()
    pipeline = await _idle(store, failures)
    store.ledgers.clear()
    with pytest.raises(Unexpected):
        await pipeline.compare_ledgers()
    assert [type(error) for error in failures] == [Unexpected]


async def test_a_ledger_that_a_batch_is_just_moving_is_not_compared() -> None:
    store, failures = MemoryStore(), list[BaseException]()
    pipeline = await _idle(store, failures)
    steps = list[str]()

    def fault(step: str) -> None:
        steps.append(step)
        failing("count")(step)

    store.fault = fault
    processing = asyncio.create_task(pipeline.process(_TP, Fetched(6, _log("", 3).read(6, 6))))
    await until(lambda: "count" in steps)
    store.ledgers[_IDLE] = replace(store.ledgers[_IDLE], counted=5)
    await pipeline.compare_ledgers()
    assert failures == [], "the batch itself notices"
    store.fault = lambda _: None
    with pytest.raises(Unexpected):
        await processing


async def test_a_worker_without_records_notices_that_clickhouse_lost_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.landed._AWAY", -1.0)
    store, failures = MemoryStore(), list[BaseException]()
    pipeline = await _idle(store, failures)
    del store.tables["playback_events"][3:]
    with pytest.raises(Unexpected):
        await pipeline.compare_rows()
    assert [type(error) for error in failures] == [Unexpected]


async def test_stores_that_are_away_are_compared_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.landed._AWAY", -1.0)
    store, failures = MemoryStore(), list[BaseException]()
    pipeline = await _idle(store, failures)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryArchive, "ends", _unavailable)
        await pipeline.compare_rows()
        patch.setattr(MemoryLedgers, "read_all", _unavailable)
        await pipeline.compare_ledgers()
        await pipeline.compare_rows()
    assert failures == []
    await pipeline.give_up({_TP})


async def _unavailable(*_: Any) -> Any:
    raise Unavailable("away")


async def test_a_batch_that_the_end_of_the_worker_interrupts_is_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})

    async def forever(worker: PartitionWorker, fetched: Fetched) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(PartitionWorker, "process", forever)
    with capture_logs() as logged:
        processing = asyncio.create_task(pipeline.process(_TP, Fetched(0, broker.log.records)))
        await asyncio.sleep(0)
        processing.cancel()
        await asyncio.wait({processing})
    assert [line for line in logged if line["log_level"] == "warning"] == []
    assert pipeline.positions() == {} and failures == []


async def _watch(watchdog: Watchdog, *times: float) -> None:
    for now in times:
        await watchdog.refresh_lost()
        await watchdog.refresh_ends(now)
        watchdog.check(now)


@pytest.mark.parametrize("is_silent", [False, True])
async def test_a_lost_partition_whose_owner_waits_for_clickhouse_is_not_taken_for_one_without_an_owner(
    monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    monkeypatch.setattr("streams.watchdog._INTERVAL", 0.01)
    broker, store, failures = Broker(_log("", 3)), MemoryStore(), list[BaseException]()
    pipeline, other = (pipeline_of(broker, store, failures) for _ in range(2))
    await taken(pipeline, {_TP})
    end, is_away, asked = len(broker.log.records), True, asyncio.Event()
    answer = MemoryArchive.logs

    async def logs(self: MemoryArchive, topic: str, partition: int) -> list[str]:
        asked.set()
        if is_away and is_silent:
            await asyncio.sleep(3600)
        if is_away:
            raise Unavailable("ClickHouse is away")
        return await answer(self, topic, partition)

    monkeypatch.setattr(MemoryArchive, "logs", logs)
    taking_over = asyncio.create_task(taken(other, {_TP}))
    await asked.wait()
    await pipeline.process(_TP, Fetched(0, broker.log.records))
    assert pipeline.positions() == {}

    async def end_offsets(tps: Collection[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, end)

    consumer = SimpleNamespace(end_offsets=end_offsets, readable_end=lambda tp, end: end)
    watchdog = Watchdog(SimpleNamespace(consumer=consumer), pipeline, 60.0, failures.append)
    await _watch(watchdog, 0.0, 61.0, 122.0)
    assert failures == []
    taking_over.cancel()
    await asyncio.wait({taking_over})
    # Once ClickHouse answers, however long that takes, somebody must count.
    monkeypatch.setattr("streams.watchdog._INTERVAL", 60.0)
    is_away = False
    await _watch(watchdog, 180.0, 239.0)
    assert failures == []
    await _watch(watchdog, 241.0)
    assert [type(each) for each in failures] == [Stalled]


async def test_a_worker_ends_only_once_its_inserts_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis has lost that one began: its rows would count twice if the next owner looked before they came."""
    broker, store, failures = Broker(_log("", 30)), MemoryStore(), list[BaseException]()
    pipeline = pipeline_of(broker, store, failures)
    await taken(pipeline, {_TP})
    before = deepcopy(store.ledgers)
    sent, arrives, send = asyncio.Event(), asyncio.Event(), MemoryBlocks.send

    async def slow_send(self: MemoryBlocks, token: str, packed: bytes) -> None:
        sent.set()
        await arrives.wait()
        await send(self, token, packed)

    monkeypatch.setattr(MemoryBlocks, "send", slow_send)
    async with asyncio.timeout(30):
        await pipeline.process(_TP, Fetched(0, broker.log.read(0, 60)))
        await sent.wait()
        store.ledgers = before
        processing = asyncio.create_task(pipeline.process(_TP, Fetched(60, broker.log.read(60, 9))))
        await asyncio.sleep(0.02)
        assert failures == []
        arrives.set()
        with pytest.raises(Unexpected):
            await processing
        assert [type(error) for error in failures] == [Unexpected]
        assert len(store.tables["playback_events"]) == 60
    await pipeline.give_up({_TP})
