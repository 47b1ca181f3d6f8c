"""Dead letters: records that cannot be processed, kept whole, with their origin and the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from sinks.base import Partition, Unavailable
from streams.domain.arrivals import Rejected
from streams.domain.faults import KEPT_KEY_BYTES, KEPT_VALUE_BYTES

#: Key, value, headers.
Send = Callable[[bytes | None, bytes, list[tuple[str, bytes]]], Awaitable[None]]


class TooLarge(Exception):
    """The client or the broker refuses a record for its size."""


class DeadLetters(Protocol):
    """The destination of rejected records."""

    async def send(self, partition: Partition, rejected: Sequence[Rejected]) -> None:
        """Send dead letters; on return they are durable. Raises `Unavailable`; a retry may repeat some."""


class KafkaDeadLetters:
    """`DeadLetters` in a Kafka topic; readers drop repeats by (cluster, topic, partition, offset)."""

    def __init__(self, send: Send) -> None:
        """Send with a function that returns once the broker has acknowledged a record."""
        self._send = send

    async def send(self, partition: Partition, rejected: Sequence[Rejected]) -> None:
        """Send each with its raw bytes and key, and its origin, timestamp and reason in headers.

        A letter's own timestamp is that of its sending: Kafka deletes records by their timestamps, and a
        broker may refuse old ones, but the letter of an old record must be kept as long as others.
        """
        for letter in rejected:
            record, value = letter.record, letter.record.value or b""
            headers = headers_of(partition, letter)
            try:
                await self._send(record.key, value, headers)
            except TooLarge:
                headers.append(("truncated-from", str(len(value)).encode()))
                key = record.key and record.key[:KEPT_KEY_BYTES]
                try:
                    await self._send(key, value[:KEPT_VALUE_BYTES], headers)
                except TooLarge as error:
                    raise Unavailable(f"the broker refused a dead letter: {error}", "kafka") from error


#: Headers of a replayed record: how often it was replayed, and from which dead letter.
REPLAYS: Final = "replays"
REPLAYED_FROM: Final = "replayed-from"


def is_count(value: bytes) -> bool:
    """Say whether a header's value is a number of replays."""
    return value.isdigit() and len(value) <= 9


def headers_of(partition: Partition, letter: Rejected) -> list[tuple[str, bytes]]:
    """Return a dead letter's headers: source coordinates and timestamp, class of the fault, reason.

    A record that was replayed and rejected again keeps the number of its replays. Producers may send this
    header as well: what is no such number is not kept, because it could make the letter too large to send.
    """
    given = [value for name, value in letter.record.headers if name == REPLAYS]
    again = [(REPLAYS, value) for value in given if value is not None and is_count(value)]
    return [
        *again[:1],
        ("source-cluster", partition.cluster.encode()),
        ("source-topic", partition.topic.encode()),
        ("source-partition", str(partition.number).encode()),
        ("source-offset", str(letter.record.offset).encode()),
        ("source-timestamp", str(letter.record.timestamp).encode()),
        ("error", letter.error.encode()),
        ("reason", letter.reason.encode(errors="replace")),
    ]
