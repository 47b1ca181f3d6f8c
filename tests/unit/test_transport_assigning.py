"""Nothing is fetched of a partition before it is known from where on."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

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
