"""The API's reports of its requests, while Kafka takes none."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY

from api.reporting import Reporter

DROPPED = "videocloud_api_reports_dropped_total"


class Refusing:
    """A producer of which every event fails, as those of one batch do in aiokafka: each for itself."""

    def __init__(self, **access: Any) -> None:
        self.sent: list[asyncio.Future[Any]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

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
