"""Reads dead letters from Kafka and sends them to their source topics again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError

from deploy.operations.letters import Letter, headers_again, marker, read_letter, read_marker
from deploy.operations.log_ends import partitions_of
from streams.topics import MAX_RECORD_BYTES

_LARGEST: Final = MAX_RECORD_BYTES + 65_536
_SILENCE_MS: Final = 1_000
#: Seconds to wait for further letters.
_LONGEST_TAIL: Final = 3.0
#: Silences in a row after which records that were there before are taken for deleted.
_QUIET_AT_MOST: Final = 3
#: Records that are sent before the next marker is written.
_AT_ONCE: Final = 500
#: Why a topic may refuse a record while it takes others.
_REFUSED: Final[dict[type[BaseException], str]] = {
    MessageSizeTooLargeError: "larger than their topic takes, by its max.message.bytes",
    InvalidTimestampError: "older or newer than their topic takes, by its message.timestamp.*.max.ms",
}
_GONE: Final = "that retention has deleted since they were read"


@contextmanager
def _refusals(counts: Counter[str]) -> Iterator[None]:
    """Count a record that its topic refuses, by reason; every other error passes."""
    try:
        yield
    except tuple(_REFUSED) as error:
        counts[_REFUSED[type(error)]] += 1


class DeadLetterTopic:
    """The dead-letter topic, read from its start to its end as of when reading began."""

    def __init__(self, brokers: Mapping[str, Any], topic: str) -> None:
        """Name the topic; `brokers` is that of `Settings.brokers`."""
        self._brokers, self._topic = brokers, topic

    async def read(
        self, seen: Callable[[int], None] = lambda _: None
    ) -> tuple[list[Letter], set[tuple[int, int]], dict[int, int]]:
        """Return all letters, those that were sent again, and the end of each partition."""
        letters: list[Letter] = []
        replayed: set[tuple[int, int]] = set()
        ends: dict[int, int] = {}
        async for number, record in self._records(None):
            ends[number] = record.offset + 1
            letter = read_letter(number, record)
            if letter is not None:
                letters.append(letter)
            replayed.update((number, offset) for offset in read_marker(record))
            seen(1)
        letters.sort(key=lambda each: (each.partition, each.offset))
        return letters, replayed, ends

    async def send_again(
        self, letters: Collection[Letter], ends: Mapping[int, int], done: Callable[[int], None]
    ) -> tuple[int, Counter[str]]:
        """Send letters to their topics and write down that they were.

        Returns how many, and by reason those that are not sent: their topic refuses them, so that they can be
        sent later, or retention has deleted them. They go to the same partition as before, so that a view's
        or a user's events stay in one, with their own timestamp, from which clocks are corrected. Stopped
        half way, at most the last few hundred are sent again by the next run, and drop out as repeats.
        """
        wanted = {(letter.partition, letter.offset): letter for letter in letters}
        known = await partitions_of(self._brokers, {letter.origin[1] for letter in letters})
        sent, refused = 0, Counter[str]()
        producer = AIOKafkaProducer(**self._brokers, max_request_size=_LARGEST, linger_ms=20, acks="all")
        await producer.start()
        try:
            batch: list[tuple[Letter, Any]] = []
            async for number, record in self._records(ends):
                letter = wanted.pop((number, record.offset), None)
                if letter is not None:
                    batch.append((letter, record))
                if batch and (len(batch) >= _AT_ONCE or not wanted):
                    sent += await self._send(producer, batch, known, refused)
                    done(len(batch))
                    batch = []
                if not wanted:
                    break
            if batch:
                sent += await self._send(producer, batch, known, refused)
                done(len(batch))
        finally:
            await producer.stop()
        if wanted:
            refused[_GONE] += len(wanted)
        return sent, refused

    async def _send(
        self,
        producer: Any,
        batch: list[tuple[Letter, Any]],
        known: Mapping[str, list[int]],
        refused: Counter[str],
    ) -> int:
        sending: list[tuple[Letter, Awaitable[Any]]] = []
        sent: list[Letter] = []
        # One after the other, which keeps their order.
        for letter, record in batch:
            _, topic, number, _ = letter.origin
            with _refusals(refused):
                acknowledged = await producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    partition=number if number in known.get(topic, ()) else None,
                    timestamp_ms=letter.timestamp,
                    headers=headers_again(letter, self._topic),
                )
                sending.append((letter, acknowledged))
        for letter, acknowledged in sending:
            with _refusals(refused):
                await acknowledged
                sent.append(letter)
        for number in {letter.partition for letter in sent}:
            value, headers = marker(letter.offset for letter in sent if letter.partition == number)
            await producer.send_and_wait(self._topic, value=value, partition=number, headers=headers)
        return len(sent)

    async def _records(self, ends: Mapping[int, int] | None) -> AsyncIterator[tuple[int, Any]]:
        """Iterate over the records of all partitions up to their ends, or up to where there are no more."""
        async with self._consumer() as (consumer, tps):
            until = {tp: ends.get(tp.partition, 0) for tp in tps} if ends is not None else {}
            known = await consumer.end_offsets(tps)
            left = {tp for tp in tps if until.get(tp, 1) > 0}
            reached_at: float | None = None
            quiet = 0
            while left:
                batches = await consumer.getmany(*left, timeout_ms=_SILENCE_MS)
                for tp, records in batches.items():
                    for record in records:
                        if not until or record.offset < until[tp]:
                            yield tp.partition, record
                quiet = 0 if batches else quiet + 1
                positions = {tp: await consumer.position(tp) for tp in left}
                # Retention moves a position past the records that it deletes, so none need be read there.
                left -= {tp for tp in left if until and positions[tp] >= until[tp]}
                # The stand-in broker may report an end that is too early; no response means the true end.
                if all(positions[tp] >= known[tp] for tp in left):
                    reached_at = reached_at or time.monotonic()
                    if until:
                        # Records up to there existed, so wait longer, if not for ever: the topic may be new.
                        if quiet >= _QUIET_AT_MOST:
                            return
                    elif not batches or time.monotonic() - reached_at > _LONGEST_TAIL:
                        return

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
        numbers = (await partitions_of(self._brokers, [self._topic])).get(self._topic, [])
        consumer = AIOKafkaConsumer(
            **self._brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_LARGEST,
        )
        try:
            await consumer.start()
            tps = [TopicPartition(self._topic, number) for number in numbers]
            consumer.assign(tps)
            if tps:
                await consumer.seek_to_beginning(*tps)
            yield consumer, tps
        finally:
            await consumer.stop()
