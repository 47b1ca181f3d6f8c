"""Letters on their way back: those that their topic refuses hold up no others, and are not marked as sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from deploy.operations import replaying
from deploy.operations.letters import Letter, read_marker
from deploy.operations.replaying import DeadLetterTopic
from tests.pipeline.bench import Raw

DEAD = "events.deadletter"


class Client:
    """aiokafka's producer as far as replays use it: refuses values of one byte, now or when they are sent."""

    def __init__(self, error: Exception, at_once: bool) -> None:
        self.sent: list[tuple[str, int | None, bytes]] = []
        self.markers: list[Raw] = []
        self._error, self._at_once = error, at_once

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def send(self, topic: str, *, value: bytes, partition: int | None, **_: Any) -> Any:
        refused = len(value) == 1
        if refused and self._at_once:
            raise self._error
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if refused:
            acknowledged.set_exception(self._error)
        else:
            self.sent.append((topic, partition, value))
            acknowledged.set_result(None)
        return acknowledged

    async def send_and_wait(self, topic: str, *, value: bytes, partition: int, headers: Any) -> None:
        assert topic == DEAD
        self.markers.append(Raw(partition, 0, None, value, tuple(headers)))


def letter(offset: int, value: bytes) -> tuple[Letter, Raw]:
    found = Letter(2, offset, ("c", "user.events", 1, offset), "TooOld", "old", 1_000, 0, False)
    return found, Raw(offset, 2_000, b"k", value)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MessageSizeTooLargeError("10 > 9"), "larger than their topic takes"),
        (InvalidTimestampError("old"), "older or newer than their topic takes"),
    ],
)
async def test_what_a_topic_refuses_is_counted_and_the_others_are_sent_in_their_order(
    error: Exception, reason: str, at_once: bool
) -> None:
    client, refused = Client(error, at_once), Counter[str]()
    batch = [letter(3, b"first"), letter(4, b"x"), letter(5, b"second")]
    assert await DeadLetterTopic({}, DEAD)._send(client, batch, {"user.events": [0, 1]}, refused) == 2
    assert client.sent == [("user.events", 1, b"first"), ("user.events", 1, b"second")]
    assert [(each.offset, read_marker(each)) for each in client.markers] == [(2, [3, 5])]
    ((why, count),) = refused.items()
    assert why.startswith(reason) and count == 1


async def test_every_other_error_ends_the_replay_without_a_marker() -> None:
    client = Client(TopicAuthorizationFailedError("user.events"), at_once=False)
    with pytest.raises(TopicAuthorizationFailedError):
        await DeadLetterTopic({}, DEAD)._send(client, [letter(3, b"first"), letter(4, b"x")], {}, Counter())
    assert client.markers == []


class DeadLetters:
    """aiokafka's consumer over one partition, whose records before `start` retention has deleted."""

    def __init__(self, records: Sequence[Raw], start: int, end: int) -> None:
        self._records = [record for record in records if record.offset >= start]
        self._position, self._end = start, end

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self._end)

    async def position(self, tp: TopicPartition) -> int:
        return self._position

    async def getmany(self, *tps: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Raw]]:
        await asyncio.sleep(0)
        found = [record for record in self._records if record.offset >= self._position]
        if found:
            self._position = found[-1].offset + 1
        return {tps[0]: found} if found else {}


@pytest.mark.parametrize(
    ("start", "end", "sent"),
    # The last ones: a topic that was deleted and created again.
    [(3, 6, 3), (4, 6, 2), (6, 6, 0), (9, 9, 0), (7, 9, 0), (0, 0, 0)],
)
async def test_letters_that_retention_deletes_before_they_are_sent_are_counted_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, start: int, end: int, sent: int
) -> None:
    batch = [letter(3, b"first"), letter(4, b"second"), letter(5, b"third")]
    later = [letter(offset, b"later")[1] for offset in range(6, 9)]
    log = DeadLetters(
        [each for each in [*(raw for _, raw in batch), *later] if each.offset < end], start, end
    )

    @asynccontextmanager
    async def consumer(_: DeadLetterTopic) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
        yield log, [TopicPartition(DEAD, 2)]

    async def partitions(*_: Any) -> dict[str, list[int]]:
        return {"user.events": [0, 1]}

    client = Client(ValueError(), at_once=True)
    monkeypatch.setattr(replaying, "AIOKafkaProducer", lambda **_: client)
    monkeypatch.setattr(replaying, "partitions_of", partitions)
    monkeypatch.setattr(DeadLetterTopic, "_consumer", consumer)
    replay = DeadLetterTopic({}, DEAD).send_again([each for each, _ in batch], {2: 6}, lambda _: None)
    count, left = await asyncio.wait_for(replay, 30)
    assert (count, len(client.sent)) == (sent, sent)
    assert left == ({} if sent == 3 else {"that retention has deleted since they were read": 3 - sent})
