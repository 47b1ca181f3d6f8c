"""Sends events to Kafka in batches of one partition each; the only network I/O of this package."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from deploy.traffic.events import TOPICS, Event

_BATCH_BYTES: Final = 64 * 1024
_IN_FLIGHT: Final = 32
_KEYS_KNOWN: Final = 100_000
_CONNECT_S: Final = 10.0
_DISCONNECT_S: Final = 5.0


class TrafficError(Exception):
    """Traffic cannot continue; the message says what to do."""


class _Lane:
    """One partition of one topic, and the batch that fills up for it."""

    __slots__ = ("batch", "partition", "topic")

    def __init__(self, topic: str, partition: int, batch: Any) -> None:
        self.topic = topic
        self.partition = partition
        self.batch = batch


class Producer:
    """Sends events to Kafka; use it as an async context manager.

    Events of one key stay in order: Kafka's default partitioner (murmur2 of the key) picks the partition,
    and a partition has one request under way at a time. An event is on the broker only after `flush`.
    """

    def __init__(self, access: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
        """Prepare to send; `names` renames topics (contract's name to real name).

        `access` is the result of `KafkaAccess.kafka`.
        """
        self.sent = 0
        self._access = access
        self._bootstrap = str(access["bootstrap_servers"])
        self._names = {topic: (names or {}).get(topic, topic) for topic in TOPICS}
        self._lanes: dict[str, list[_Lane]] = {}
        self._by_key: dict[str, dict[str, _Lane]] = {topic: {} for topic in TOPICS}
        self._in_flight: deque[asyncio.Future[Any]] = deque()

    async def __aenter__(self) -> Producer:
        """Connect. Raises TrafficError when no broker answers or a topic is missing."""
        self._kafka = AIOKafkaProducer(
            **self._access,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=30_000,
            client_id="videocloud-traffic",
        )
        try:
            await asyncio.wait_for(self._kafka.start(), _CONNECT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            await self._kafka.stop()
            raise TrafficError(
                f"no Kafka broker at {self._bootstrap}:"
                " start one with `make up` or set KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        try:
            await self._find_partitions()
        except BaseException:
            await self._kafka.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect. Events that were not flushed are lost."""
        for pending in self._in_flight:
            pending.cancel()
        # Without this limit, the client would wait much longer for a broker that is gone.
        with suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(self._kafka.stop(), _DISCONNECT_S)

    async def _find_partitions(self) -> None:
        metadata = await self._kafka.client.fetch_all_metadata()
        missing = sorted(set(self._names.values()) - set(metadata.topics()))
        if missing:
            raise TrafficError(
                f"no topic {', '.join(missing)} at {self._bootstrap}: create the topics with `vca topics`"
            )
        for topic, name in self._names.items():
            partitions = sorted(metadata.partitions_for_topic(name) or ())
            self._lanes[topic] = [_Lane(name, each, self._kafka.create_batch()) for each in partitions]

    async def send(self, events: Iterable[Event]) -> int:
        """Pack `events` and send the batches that are full; return how many events there were.

        Waits while too many batches are under way. Raises TrafficError when the broker accepts no more.
        """
        count = 0
        dumps = orjson.dumps
        for topic, key, at_ms, value in events:
            lane = self._by_key[topic].get(key) or self._lane(topic, key)
            data = None if value is None else dumps(value)
            if lane.batch.append(timestamp=at_ms, key=key.encode(), value=data) is None:
                await self._ship(lane)
                lane.batch.append(timestamp=at_ms, key=key.encode(), value=data)
            count += 1
        self.sent += count
        return count

    async def flush(self) -> None:
        """Send all packed events, and return when the broker has them."""
        for lanes in self._lanes.values():
            for lane in lanes:
                if lane.batch.record_count():
                    await self._ship(lane)
        while self._in_flight:
            await self._landed(self._in_flight.popleft())

    def _lane(self, topic: str, key: str) -> _Lane:
        known = self._by_key[topic]
        if len(known) >= _KEYS_KNOWN:
            known.clear()
        lanes = self._lanes[topic]
        lane = lanes[int(murmur2(key.encode()) & 0x7FFFFFFF) % len(lanes)]
        known[key] = lane
        return lane

    async def _ship(self, lane: _Lane) -> None:
        batch, lane.batch = lane.batch, self._kafka.create_batch()
        while len(self._in_flight) >= _IN_FLIGHT:
            await self._landed(self._in_flight.popleft())
        try:
            self._in_flight.append(await self._kafka.send_batch(batch, lane.topic, partition=lane.partition))
        except KafkaError as error:
            raise self._stopped(error) from error

    async def _landed(self, pending: asyncio.Future[Any]) -> None:
        try:
            await pending
        except KafkaError as error:
            raise self._stopped(error) from error

    def _stopped(self, error: KafkaError) -> TrafficError:
        return TrafficError(
            f"the Kafka broker at {self._bootstrap} takes no more events ({type(error).__name__})"
        )
