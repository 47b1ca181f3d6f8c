"""What is committed to Kafka is for displays: nothing waits long for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import transport
from streams.transport import BatchConsumerThread

_TP = TP("playback.events", 0)


class _Consumer:
    """Commits when `there`; else tries again and again, as aiokafka's does."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.committed: list[Any] = []

    async def commit(self, offsets: Any) -> None:
        await self.there.wait()
        self.committed.append(offsets)

    def assignment(self) -> set[Any]:
        return {_TP}


async def test_a_commit_is_left_when_kafka_is_away_and_made_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "_CALL_SECONDS", 0.05)
    thread: Any = object.__new__(BatchConsumerThread)
    thread._consumer, thread.tp_last_committed_at = _Consumer(), {}
    thread.consumer = SimpleNamespace(assignment=lambda: {_TP})
    async with asyncio.timeout(30):
        assert await thread._commit({_TP: 7}) is False
        thread._consumer.there.set()
        assert await thread._commit({_TP: 7}) is True
    assert [offsets[_TP].offset for offsets in thread._consumer.committed] == [7]
