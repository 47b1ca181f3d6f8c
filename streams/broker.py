"""Kafka as the pipeline sees it: through the app's consumer and producer, with what may pass told apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import faust
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from faust.exceptions import NotReady
from faust.types import TP

from sinks.base import Unavailable
from streams.assignment import LogSeen
from streams.dead_letter import TooLarge
from streams.settings import Settings
from streams.topics import cluster_id
from streams.transport import BatchConsumer


@contextmanager
def _answering() -> Iterator[None]:
    """Tell a Kafka that does not answer from what cannot be understood."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka: {error!r}", "kafka") from error


@dataclass(frozen=True, slots=True)
class FaustBroker:
    """Kafka as the pipeline sees it."""

    app: faust.App
    settings: Settings

    async def cluster_id(self) -> str:
        """Return the id of the cluster; raises `Unavailable`, as all that ask Kafka do."""
        with _answering():
            return await cluster_id(self.settings)

    async def seek(self, tp: TP, offset: int) -> None:
        """Read a partition from an offset on."""
        await cast(BatchConsumer, self.app.consumer).seek_to({tp: offset})

    async def look(self, tp: TP) -> LogSeen:
        """Return what the leader of a partition says of its log."""
        with _answering():
            return await cast(BatchConsumer, self.app.consumer).look(tp)

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return Kafka's id of each topic that there is."""
        with _answering():
            return await cast(BatchConsumer, self.app.consumer).topic_ids(topics)

    async def dead_letter(
        self, key: bytes | None, value: bytes, timestamp_ms: int, headers: list[tuple[str, bytes]]
    ) -> None:
        """Send a dead letter and wait until the broker has it."""
        try:
            await self.app.producer.send_and_wait(
                self.settings.topic_deadletter, key, value, None, max(0, timestamp_ms) / 1000, headers
            )
        except MessageSizeTooLargeError as error:
            raise TooLarge(str(error)) from error
        except NotReady as error:
            # The worker ends, and its producer has ended before its last batch: whoever is next sends them.
            raise Unavailable("Kafka: the worker's producer does not run", "kafka") from error
        except KafkaError as error:
            raise Unavailable(f"Kafka: {error}", "kafka") from error
