"""The bounds of many logs are asked for together, and one without a leader keeps no other from an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import LeaderNotAvailableError
from aiokafka.structs import TopicPartition
from faust.types import TP

from streams import transport
from streams.assignment import LogBounds
from tests.pipeline.consumer import consumer


class Brokers:
    """Brokers that count requests, and do not know the leader of one partition."""

    def __init__(self, leaderless: TopicPartition | None = None) -> None:
        self.leaderless = leaderless
        self.requests, self.refreshed = list[int](), 0
        self._client = self

    async def force_metadata_update(self) -> None:
        self.refreshed += 1

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self.requests.append(len(places))
        await asyncio.sleep(0)
        if self.leaderless in places:
            raise LeaderNotAvailableError
        return {place: place.partition for place in places}

    async def end_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: 1_000 + place.partition for place in places}


async def ids(_: Any, topics: Sequence[str]) -> dict[str, str]:
    """Return an id for each topic but one."""
    return {topic: f"id of {topic}" for topic in topics if topic != "old"}


async def ask(brokers: Brokers, tps: Sequence[TP]) -> list[Any]:
    """Ask for all bounds at once."""
    asking: Any = consumer()

    async def call(request: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        return await request(brokers)

    asking._thread = SimpleNamespace(call_client=call)
    found: list[Any] = await asyncio.gather(*map(asking.log_bounds, tps), return_exceptions=True)
    return found


async def test_all_are_asked_for_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ask_for_ids", ids)
    brokers = Brokers()
    tps = [TP(topic, number) for topic in ("events", "old") for number in range(600)]
    found = await ask(brokers, tps)
    assert found[7] == LogBounds("id of events", 7, 1_007)
    assert found[607] == LogBounds("", 7, 1_007)
    assert (brokers.requests, brokers.refreshed) == ([1_200], 1)


async def test_one_without_a_leader_keeps_no_other_from_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ask_for_ids", ids)
    brokers = Brokers(TopicPartition("events", 2))
    found = await ask(brokers, [TP("events", number) for number in range(4)])
    assert isinstance(found.pop(2), LeaderNotAvailableError)
    assert found == [LogBounds("id of events", number, 1_000 + number) for number in (0, 1, 3)]
    assert brokers.requests == [4, 1, 1, 1, 1]
