"""Sending to Kafka with librdkafka, through confluent-kafka: the extra `videocloud[kafka]`.

librdkafka's queue is filled without waiting and emptied by its own threads, so one producer serves the
synchronous and the asynchronous client; aiokafka would need an event loop, which the synchronous client
lacks. librdkafka reports for every record whether it was delivered. It differs from Kafka's other clients in
how it chooses a partition by key, so the partitioner is set to theirs here.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from videocloud.errors import DeliveryError, FailedDelivery, MissingExtraError
from videocloud.events.sender import Record

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_log = logging.getLogger("videocloud.kafka")

#: Maximum number of failed records that are kept, so that an outage does not fill the memory.
KEPT: Final = 1000
#: Seconds that a program waits for Kafka when it exits without closing its client.
LEAVING: Final = 5.0
_DEFAULTS: Final = {
    "client.id": "videocloud-python",
    "acks": "all",
    # A view or user must always go to the same partition, whatever the client: Kafka's own clients use this.
    "partitioner": "murmur2_random",
    # The default of Kafka's own producer; after that, a record has failed.
    "delivery.timeout.ms": 120_000,
}


class KafkaSender:
    """Sends records to Kafka. Thread-safe."""

    def __init__(
        self, bootstrap_servers: str, config: Mapping[str, Any] | None = None, *, patience: float = 10.0
    ) -> None:
        """Create a producer, which connects in the background.

        `config` has further librdkafka settings, which override the defaults. `patience` is the seconds that
        `send` waits when the queue is full. Raises MissingExtraError when confluent-kafka is not installed.
        """
        try:
            from confluent_kafka import Producer
        except ImportError as error:
            raise MissingExtraError(
                "Sending events requires confluent-kafka: pip install confluent-kafka"
            ) from error
        self._patience = patience
        self._lock = threading.Lock()
        self._failed: deque[FailedDelivery] = deque(maxlen=KEPT)
        self._count = 0
        settings = {"bootstrap.servers": bootstrap_servers, **_DEFAULTS, **(config or {})}
        self._producer = Producer(settings, logger=_log)
        # A program that exits without closing its client delivers its events, too.
        self._left = weakref.finalize(self, _leave, self._producer)

    def send(self, record: Record) -> None:
        """Put a record into the queue; `flush` reports whether it was delivered."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                self._producer.produce(
                    record.topic, key=record.key.encode(), value=record.value, on_delivery=self._delivered
                )
            except BufferError:
                if time.monotonic() >= deadline:
                    raise DeliveryError(
                        "The queue for Kafka is full: the broker accepts events too slowly or not at all. "
                        "Call flush() regularly, or set queue.buffering.max.messages in kafka_config.",
                        count=1,
                    ) from None
                self._producer.poll(min(0.1, self._patience))
            else:
                break
        self._producer.poll(0)

    def flush(self, timeout: float) -> None:
        """Wait until all queued records are delivered; raise DeliveryError for those that are not."""
        waiting = self._producer.flush(timeout)
        self._settle(waiting, f"after {timeout:g} s; delivery continues")

    def close(self, timeout: float) -> None:
        """Flush, and discard the records that are not delivered by then."""
        self._left.detach()
        if self._producer.flush(timeout):
            self._producer.purge()
            # Purged records are reported like failed ones.
            self._producer.flush(1.0)
        self._settle(len(self._producer), "at the end")

    def _settle(self, waiting: int, when: str) -> None:
        with self._lock:
            failed, count = list(self._failed), self._count
            self._failed.clear()
            self._count = 0
        if not waiting and not count:
            return
        parts = []
        if count:
            reason = failed[-1].reason
            parts.append(f"{count} {'event was' if count == 1 else 'events were'} not delivered: {reason}")
        if waiting:
            parts.append(f"{waiting} {'waits' if waiting == 1 else 'wait'} for Kafka {when}")
        raise DeliveryError("; ".join(parts) + ".", failed, count + waiting)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        topic, key, value = message.topic() or "", _bytes(message.key()) or b"", _bytes(message.value())
        with self._lock:
            first = not self._count
            self._count += 1
            self._failed.append(FailedDelivery(topic, key.decode(errors="replace"), value, error.str()))
        if first:
            # A program that never flushes would not notice the failure otherwise.
            _log.warning("an event for %s was not delivered: %s", topic, error.str())


def _leave(producer: Producer) -> None:
    """Wait a little for the queued records when the program exits."""
    if waiting := producer.flush(LEAVING):
        _log.warning("%d events were not delivered: close the client before the program exits", waiting)


def _bytes(part: str | bytes | None) -> bytes | None:
    return part.encode() if isinstance(part, str) else part
