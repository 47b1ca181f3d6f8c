"""The pipeline's access to Kafka, through the app's consumer and producer.

Failures that may pass become `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import faust
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from faust.exceptions import NotReady, ProducerSendError
from faust.types import TP

from sinks.base import Unavailable
from sinks.kafka.reasons import line
from streams.assignment import LogBounds
from streams.dead_letter import TooLarge
from streams.settings import Settings
from streams.topics import cluster_id
from streams.transport import BatchConsumer


@contextmanager
def available() -> Iterator[None]:
    """Turn errors of Kafka, and timeouts, into `Unavailable`."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka: {line(error)}", "kafka") from error


@dataclass(frozen=True, slots=True)
class FaustBroker:
    """`Broker` on a Faust app. Methods that ask Kafka raise `Unavailable`."""

    app: faust.App
    settings: Settings

    async def cluster_id(self) -> str:
        """Return the id of the cluster."""
        with available():
            return await cluster_id(self.settings)

    async def seek(self, tp: TP, offset: int) -> None:
        """Make the consumer read a partition from an offset on."""
        await cast(BatchConsumer, self.app.consumer).seek_to({tp: offset})

    async def log_bounds(self, tp: TP) -> LogBounds:
        """Return the bounds of a partition's log, from its current leader."""
        with available():
            return await cast(BatchConsumer, self.app.consumer).log_bounds(tp)

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return Kafka's id of each existing topic."""
        with available():
            return await cast(BatchConsumer, self.app.consumer).topic_ids(topics)

    async def dead_letter(self, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Send a dead letter and wait for the acknowledgement. Raises `TooLarge`, `Unavailable`."""
        try:
            # No partition and no timestamp: the client chooses the one, and the other is the present.
            await self.app.producer.send_and_wait(
                self.settings.topic_deadletter, key, value, None, None, headers
            )
        except NotReady as error:
            # The worker is stopping, and its producer has stopped before its last batch: the next owner of
            # the partition sends these letters.
            raise Unavailable("Kafka: the worker's producer does not run", "kafka") from error
        except (KafkaError, ProducerSendError) as error:
            # Faust wraps what aiokafka refuses to send; what a broker refuses comes as it is.
            cause = error.__cause__ if isinstance(error, ProducerSendError) else error
            if isinstance(cause, MessageSizeTooLargeError):
                raise TooLarge(str(cause)) from error
            raise Unavailable(f"Kafka: {cause}", "kafka") from error
