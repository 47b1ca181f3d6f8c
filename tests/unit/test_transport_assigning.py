"""Nothing is fetched of a partition before it is known from where on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.fetching import PacedFetcher
from tests.pipeline.consumer import consumer

_STAYS, _COMES = (TP("playback.events", number) for number in range(2))


async def test_a_partition_is_fetched_once_it_was_sought_and_waits_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = SubscriptionState()
    known.subscribe({"playback.events"})
    known.assign_from_subscribed([driver.ensure_aiokafka_TP(tp) for tp in (_STAYS, _COMES)])
    told, is_taken, began = consumer(), asyncio.Event(), list[set[TP]]()

    class Keeper:
        async def take_over(self, tps: set[TP], seek: Any) -> None:
            began.append(tps)
            await seek({_STAYS: 7})
            await is_taken.wait()
            await seek({_COMES: 9})

    async def at_once(method: Any, *arguments: Any) -> Any:
        return await method(*arguments)

    async def nothing(*_: Any) -> None:
        pass

    def fetched() -> dict[TP, int]:
        states = {tp: known._assigned_state(driver.ensure_aiokafka_TP(tp)) for tp in (_STAYS, _COMES)}
        return {tp: state.position for tp, state in states.items() if not state.paused}

    monkeypatch.setattr(type(told), "keeper", Keeper())
    thread: Any = told._thread
    monkeypatch.setattr(thread, "call_thread", at_once)
    monkeypatch.setattr(told, "threadsafe_partitions_assigned", nothing)
    thread._thread_loop = asyncio.get_running_loop()
    thread._consumer = SimpleNamespace(
        assignment=known.assigned_partitions, seek=known.seek, pause=known.pause, resume=known.resume
    )
    await thread.on_partitions_assigned({_STAYS, _COMES})
    assert fetched() == {}
    await told.perform_seek()
    await asyncio.sleep(0)
    assert fetched() == {_STAYS: 7}
    await told.perform_seek()  # Another rebalance: the takeover before is over.
    await asyncio.sleep(0)
    is_taken.set()
    await asyncio.sleep(0)
    assert fetched() == {_STAYS: 7, _COMES: 9}
    assert began == [{_STAYS, _COMES}] * 2


async def test_the_fetcher_does_not_wait_for_each_of_hundreds_that_are_not_sought_yet() -> None:
    known = SubscriptionState()
    known.subscribe({"playback.events"})
    known.assign_from_subscribed([driver.ensure_aiokafka_TP(tp) for tp in (_STAYS, _COMES)])
    for tp in (_STAYS, _COMES):
        known.seek(driver.ensure_aiokafka_TP(tp), 0)
    known.pause(driver.ensure_aiokafka_TP(_COMES))
    fetcher: Any = object.__new__(PacedFetcher)
    fetcher._records, fetcher._in_flight, fetcher._preferred_read_replica = {}, set(), {}
    fetcher._client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=lambda _: 1))
    fetcher._fetch_max_wait_ms, fetcher._fetch_min_bytes, fetcher._fetch_max_bytes = 50, 1, 1 << 20
    fetcher._max_partition_fetch_bytes, fetcher._isolation_level = 1 << 20, READ_COMMITTED
    fetcher._client_rack, fetcher._fetcher_timeout = None, 0.2
    ((_, request),), *_, waits_for = fetcher._get_actions_per_node(known.subscription.assignment)
    assert [(topic, [number for number, *_ in parts]) for topic, parts in request.topics] == [
        (_STAYS.topic, [_STAYS.partition])
    ]
    assert waits_for == []
