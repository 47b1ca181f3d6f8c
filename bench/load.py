"""Sends records to a topic at low cost: as whole record batches, built here."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

#: Most record batches under way at a time: more would only fill memory.
_AT_ONCE: Final = 64


class Load:
    """Collects records by partition, as Kafka's default partitioner assigns them, and sends batches."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, *, hold: bool = False) -> None:
        """Send to a topic of `partitions` partitions; with `hold`, send nothing before `flush`."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, enable_idempotence=False, acks=1, max_batch_size=65_536
        )
        self._topic, self._hold = topic, hold
        self._held: list[tuple[int, Any]] = []
        self._numbers: Final = list(range(partitions))
        self._partitioner = DefaultPartitioner()
        self._batches: dict[int, Any] = {}
        self._sent: set[asyncio.Future[Any]] = set()

    async def __aenter__(self) -> Self:
        """Connect."""
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the remaining records, and disconnect."""
        try:
            if error is None:
                await self.flush()
        finally:
            await self._producer.stop()

    def partition(self, key: bytes) -> int:
        """Return the partition of a key."""
        return int(self._partitioner(key, self._numbers, self._numbers))

    async def add(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Add a record, and send its batch when that is full."""
        number = self.partition(key)
        batch = self._batches.get(number)
        if batch is None:
            batch = self._batches[number] = self._producer.create_batch()
        if batch.append(key=key, value=value, timestamp=timestamp_ms) is None:
            await self._close(number)
            await self.add(key, value, timestamp_ms)

    async def push(self) -> None:
        """Send the collected records, without waiting for the broker's answers."""
        for number in list(self._batches):
            await self._close(number)

    async def flush(self) -> None:
        """Send the collected records, and wait until the broker has all of them."""
        await self.push()
        for number, batch in self._held:
            await self._send(number, batch)
        self._held.clear()
        while self._sent:
            await self._settle(asyncio.ALL_COMPLETED)

    async def _close(self, number: int) -> None:
        batch = self._batches.pop(number)
        batch.close()
        if self._hold:
            self._held.append((number, batch))
        else:
            await self._send(number, batch)

    async def _send(self, number: int, batch: Any) -> None:
        self._sent.add(await self._producer.send_batch(batch, self._topic, partition=number))
        if len(self._sent) > _AT_ONCE:
            await self._settle(asyncio.FIRST_COMPLETED)

    async def _settle(self, when: str) -> None:
        done, self._sent = await asyncio.wait(self._sent, return_when=when)
        for each in done:
            each.result()
