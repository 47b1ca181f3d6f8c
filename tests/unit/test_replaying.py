"""Letters on their way back: those that their topic refuses hold up no others, and are not marked as sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError, TopicAuthorizationFailedError

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
