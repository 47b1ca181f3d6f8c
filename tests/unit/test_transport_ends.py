"""Where a log ends for those who read it: behind its last record, whatever follows that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.transport import BatchConsumer
from streams.watchdog import Stalled, Watchdog
from tests.pipeline.consumer import consumer
from tests.waiting import until

HERE = TP("playback.events", 0)


def reading(
    position: int | None, handed_over: int, highwater: int | None, stable: int | None
) -> BatchConsumer:
    """Return a consumer that was told of these ends, and has handed over what is before an offset."""
    place = driver.ensure_aiokafka_TP(HERE)
    state = TopicPartitionState(None)
    state.highwater, state.lso = highwater, stable
    if position is not None:
        state.seek(position)
    assignment = SimpleNamespace(tps={place}, state_value={place: state}.__getitem__)
    told = consumer()
    thread: Any = told._thread
    thread._consumer = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    )
    thread._next[HERE] = handed_over
    return told


@pytest.mark.parametrize(
    ("position", "handed_over", "highwater", "stable", "end", "readable"),
    [
        (10, 10, 10, 10, 10, 10),  # All is read.
        (10, 10, 25, 25, 25, 25),  # Records are to come.
        (12, 10, 12, 12, 10, 10),  # What followed the last record were markers, or was aborted.
        (12, 10, 25, 25, 25, 25),  # There are more behind them.
        (10, 10, 25, 10, 25, 10),  # A transaction is open: that is behind, and nobody's fault.
        (12, 10, 25, 12, 25, 10),
        (10, 10, 25, -1, 25, 25),  # Brokers that know no transactions.
        (10, 10, 25, 0, 25, 25),
        (10, 10, 25, None, 25, 25),
        (0, 0, 0, 0, 0, 0),
        (10, 10, None, None, None, None),
        (None, 10, 25, 25, 25, 25),
    ],
)
async def test_a_log_ends_behind_its_last_record(
    position: int | None,
    handed_over: int,
    highwater: int | None,
    stable: int | None,
    end: int | None,
    readable: int | None,
) -> None:
    told = reading(position, handed_over, highwater, stable)
    assert told.highwater(HERE) == told.end_offset(HERE, None) == end
    assert told.readable_end(HERE) == readable


async def test_only_our_watchdog_says_that_a_partition_is_stuck(caplog: pytest.LogCaptureFixture) -> None:
    """Faust's own would, of one that moved to a worker that is an hour old: nothing was fetched yet."""
    told = reading(10, 10, 25, 25)
    thread: Any = told._thread
    thread.time_started = 0.0
    subscription = thread._consumer._subscription
    subscription.subscription.assignment.active = True
    thread._consumer._fetcher = SimpleNamespace(_subscriptions=subscription)
    told.verify_event_path(3600.0, HERE)
    assert not caplog.records


async def test_the_brokers_may_know_a_later_end_than_the_last_fetch() -> None:
    told = reading(12, 10, 12, 12)
    assert told.end_offset(HERE, 40) == 40
    assert told.end_offset(HERE, 12) == told.end_offset(HERE, 5) == 10
    assert told.readable_end(HERE, 40) == 40
    assert told.readable_end(HERE, 12) == told.readable_end(HERE, 5) == 10
    elsewhere = TP("playback.events", 1)
    assert told.end_offset(elsewhere, 40) is told.readable_end(elsewhere) is None


@pytest.mark.parametrize(
    ("position", "highwater", "stable", "stalls"),
    [(12, 12, 12, False), (12, 30, 12, False), (12, 30, 30, True)],
)
async def test_only_records_that_could_be_read_are_waited_for(
    position: int, highwater: int, stable: int, stalls: bool
) -> None:
    app = SimpleNamespace(consumer=reading(position, 10, highwater, stable))
    said: list[BaseException] = []
    watchdog = Watchdog(app, SimpleNamespace(positions=lambda: {HERE: 10}), 60.0, said.append)  # type: ignore[arg-type]
    for now in (0.0, 59.0, 61.0):
        watchdog.check(now)
    assert [type(each) for each in said] == ([Stalled] if stalls else [])


@pytest.mark.parametrize(
    ("answers", "stalls"),
    [
        ([30, 30, 30], True),  # Fetches stand still at 12.
        ([12, 12, 12], False),
        ([30, 12, 12], False),  # The log was made again since.
        ([30, None, None], False),  # Nobody knows: Kafka may be away.
    ],
)
async def test_brokers_are_asked_what_fetches_do_not_tell(
    monkeypatch: pytest.MonkeyPatch, answers: list[int | None], stalls: bool
) -> None:
    told = reading(12, 10, 12, 12)

    async def end_offsets(tps: Collection[TP]) -> dict[TP, int]:
        answer = answers.pop(0)
        if answer is None:
            raise TimeoutError
        return dict.fromkeys(tps, answer)

    monkeypatch.setattr(told, "end_offsets", end_offsets)
    said: list[BaseException] = []
    pipeline: Any = SimpleNamespace(positions=lambda: {HERE: 10})
    watchdog = Watchdog(SimpleNamespace(consumer=told), pipeline, 60.0, said.append)
    for now in range(0, 66, 5):
        await watchdog.refresh_ends(now)
        watchdog.check(now)
    assert not answers
    assert [type(each) for each in said] == ([Stalled] if stalls else [])


async def test_a_worker_that_was_stopped_itself_has_seen_no_partition_stand_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Like that it looks as if all that came meanwhile had waited for as long."""
    monkeypatch.setattr("streams.watchdog._INTERVAL", 0.001)
    loop, stopped, end, looks = asyncio.get_running_loop(), 0.0, 10, 0
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + stopped)

    async def end_offsets(tps: Collection[TP]) -> dict[TP, int]:
        return dict.fromkeys(tps, end)

    async def lost_positions() -> dict[TP, int]:
        return {}

    def readable_end(tp: TP, _: int | None) -> int:
        nonlocal looks
        looks += 1
        return end

    consumer = SimpleNamespace(end_offsets=end_offsets, readable_end=readable_end)
    pipeline: Any = SimpleNamespace(positions=lambda: {HERE: 10}, lost_positions=lost_positions)
    said: list[BaseException] = []
    app = SimpleNamespace(consumer=consumer, rebalancing=False)
    watching = asyncio.create_task(Watchdog(app, pipeline, 0.2, said.append).run())
    await until(lambda: looks > 2)
    end, stopped, before = 20, 3_600.0, looks
    await until(lambda: looks > before + 2)
    assert said == []
    await until(lambda: said)
    assert isinstance(said[0], Stalled)
    watching.cancel()
