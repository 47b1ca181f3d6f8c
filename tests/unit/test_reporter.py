"""The API's reports of its requests, while Kafka takes none."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, ClassVar

import pytest
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY

from api.reporting import Reporter
from tests.logs import captured

DROPPED = "videocloud_api_reports_dropped_total"


class Connected:
    """A producer that connects."""

    def __init__(self, **access: Any) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}


class Refusing(Connected):
    """One of which every event fails, as those of one batch do in aiokafka: each for itself."""

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, sent.set_exception, KafkaTimeoutError())
        return sent


async def test_events_that_kafka_refuses_are_counted_and_not_logged_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.reporting.AIOKafkaProducer", Refusing)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    reporter, before = Reporter({}, "system.events"), REGISTRY.get_sample_value(DROPPED) or 0
    async with reporter.open():
        for _ in range(20):
            reporter.report("/analytics/live", "GET", 200, 0.01, 0.0)
        async with asyncio.timeout(30):
            while REGISTRY.get_sample_value(DROPPED) != before + 20:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        gc.collect()
    assert complaints == []


class Wavering(Connected):
    """One of a Kafka that fails for a while, twice, and takes events in between."""

    fails: ClassVar[list[bool]] = []
    taken: ClassVar[list[bytes]] = []

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.fails.pop(0):
            sent.set_exception(KafkaTimeoutError())
        else:
            self.taken.append(value)
            sent.set_result(None)
        return sent


async def test_each_outage_of_kafka_is_told_and_begins_with_short_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if reporter._waiting or len(Wavering.fails) == 0:
            await sleep(0)
        else:
            reporter.report("/analytics/live", "GET", 200, 0.01, 0.0)

    Wavering.fails = [True, True, True, False, False, True, True, False]
    monkeypatch.setattr("api.reporting.AIOKafkaProducer", Wavering)
    entries = captured(monkeypatch, "api.reporting._log")
    reporter = Reporter({}, "system.events")
    with monkeypatch.context() as slept:
        slept.setattr("api.reporting.asyncio.sleep", pause)
        async with asyncio.timeout(30), reporter.open():
            while Wavering.fails:
                await sleep(0)
    assert [entry["log_level"] for entry in entries] == ["warning", "info", "warning", "info"]
    assert [seconds for seconds in pauses if seconds >= 1] == [1, 2, 4, 1, 2]
    assert len(Wavering.taken) == 3
