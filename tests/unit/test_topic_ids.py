"""Kafka's ids of topics, asked of whichever broker answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import KafkaConnectionError

from streams.topic_ids import _MetadataResponse, ask_for_ids, ask_for_rights

#: As a topic's id looks on the wire, and in what Kafka's own tools print.
_ID, _WRITTEN = UUID("ceb2f0bb-1d3a-4f3c-8f0e-6d2b3c9a7e51").bytes, "zrLwux06TzyPDm0rPJp-UQ"


@dataclass
class Cluster:
    """Brokers that speak versions of the request up to one, or do not answer (0); it is aiokafka's client."""

    newest: dict[int, int]
    topics: list[tuple[int, str, bytes]] = field(default_factory=list)
    rights: dict[str, int] = field(default_factory=dict)

    @property
    def cluster(self) -> Any:
        return SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=node) for node in self.newest])

    async def send(self, node: int, request: Any) -> Any:
        if not self.newest[node]:
            raise KafkaConnectionError(f"broker {node} is away")
        struct = request.prepare({3: (0, self.newest[node])})
        asked = [name for _, name, _ in struct.topics]
        partitions: list[Any] = [(0, 0, 1, 5, [1, 2], [1], [], {})]
        topics: list[Any] = [
            (error, name, uuid, False, partitions, self.rights.get(name, -(2**31)), {})
            for error, name, uuid in self.topics
        ]
        answer = _MetadataResponse(
            0, [(1, "localhost", 9092, None, {})], "cluster", 1, [t for t in topics if t[1] in asked], 0, {}
        )
        decoded = _MetadataResponse.decode(BytesIO(answer.encode()))
        assert struct.encode().endswith((bytes(4), b"\0\0\1\0")), "no topic is made by asking for it"
        return decoded


async def test_ids_are_those_of_the_topics_that_there_are() -> None:
    told = Cluster({1: 13}, [(0, "here", _ID), (3, "gone", bytes(16)), (0, "other", bytes(range(16)))])
    assert await ask_for_ids(told, ["here", "gone"]) == {"here": _WRITTEN}


async def test_another_broker_is_asked_when_one_is_away() -> None:
    for _ in range(10):
        assert await ask_for_ids(Cluster({1: 0, 2: 13}, [(0, "here", _ID)]), ["here"]) == {"here": _WRITTEN}
    with pytest.raises(KafkaConnectionError):
        await ask_for_ids(Cluster({1: 0, 2: 0}), ["here"])


async def test_a_broker_that_knows_no_ids_tells_none() -> None:
    assert await ask_for_ids(Cluster({1: 8}, [(0, "here", _ID)]), ["here"]) == {}


async def test_rights_are_those_that_the_broker_tells() -> None:
    topics = [(0, "read", _ID), (29, "hidden", bytes(16)), (3, "gone", bytes(16)), (0, "untold", _ID)]
    told = Cluster({1: 13}, topics, {"read": 1 << 3})
    assert await ask_for_rights(told, [name for _, name, _ in topics]) == {
        "read": 8,
        "hidden": 0,
        "untold": None,
    }
    assert await ask_for_rights(Cluster({1: 8}, topics), ["read"]) == {}
