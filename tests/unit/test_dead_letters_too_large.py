"""Dead letters that are too large to send: a few compressed kilobytes may hold any number of bytes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError
from faust.transport.drivers.aiokafka import Producer

from sinks.base import Partition, Unavailable
from streams.broker import FaustBroker
from streams.dead_letter import KafkaDeadLetters
from streams.domain.arrivals import Rejected
from streams.settings import Settings
from tests.pipeline.bench import Raw

_LIMIT = 16 * 1024 * 1024


class Client:
    """aiokafka's producer as far as Faust's calls it: refuses records over a limit before they are sent."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[bytes, bytes, dict[str, bytes]]] = []
        self.timestamps: list[int | None] = []
        self._error = error

    async def send(
        self, _topic: str, value: bytes, *, key: bytes, headers: Any, timestamp_ms: int | None, **_: Any
    ) -> Any:
        if self._error:
            raise self._error
        if len(value) + len(key) + sum(len(each) for _, each in headers) > _LIMIT:
            raise MessageSizeTooLargeError("too large")
        self.sent.append((key, value, dict(headers)))
        self.timestamps.append(timestamp_ms)

        async def acknowledged() -> None:
            return None

        return acknowledged()


def letters_to(client: Client) -> KafkaDeadLetters:
    app: Any = faust.App("large", broker="kafka://127.0.0.1:9", datadir="/nonexistent")
    producer: Any = Producer(app.transport)
    producer._producer = client
    broker = FaustBroker(cast(faust.App, SimpleNamespace(producer=producer)), Settings())
    return KafkaDeadLetters(broker.dead_letter)


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        (b"k", bytes(20_000_000), (1, 512 * 1024)),
        (bytes(20_000_000), b"{", (64 * 1024, 1)),
        (bytes(20_000_000), bytes(20_000_000), (64 * 1024, 512 * 1024)),
    ],
)
async def test_a_letter_that_no_broker_takes_is_cut_off_and_ends_no_worker(
    key: bytes, value: bytes, kept: tuple[int, int]
) -> None:
    client = Client()
    rejected = Rejected(Raw(7, 1_000, key, value), "NotJson", "no JSON")
    await letters_to(client).send(Partition("c", "user.events", 1), [rejected])
    ((sent_key, sent_value, headers),) = client.sent
    assert (len(sent_key), len(sent_value)) == kept
    assert headers["truncated-from"] == str(len(value)).encode()
    assert headers["source-offset"] == b"7"


@pytest.mark.parametrize("timestamp", [1_795_760_667_837, 0, -1, -(2**63), 2**63 - 1])
async def test_a_letter_has_the_time_of_its_sending_so_that_an_old_record_is_kept_and_none_is_refused(
    timestamp: int,
) -> None:
    client = Client()
    rejected = Rejected(Raw(7, timestamp, b"k", b"{"), "TooOld", "old")
    await letters_to(client).send(Partition("c", "user.events", 1), [rejected])
    assert client.timestamps == [None]
    ((_, _, headers),) = client.sent
    assert headers["source-timestamp"] == str(timestamp).encode()


async def test_what_the_client_cannot_send_now_is_sent_later() -> None:
    rejected = Rejected(Raw(7, 1_000, b"k", b"{"), "NotJson", "no JSON")
    with pytest.raises(Unavailable, match="no room"):
        await letters_to(Client(KafkaTimeoutError("no room"))).send(Partition("c", "t", 1), [rejected])
