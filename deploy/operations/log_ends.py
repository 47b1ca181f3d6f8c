"""The ends of each partition in Kafka, read in a way that also works with the stand-in broker."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError, TopicAuthorizationFailedError

from sinks.base import Partition
from streams.topic_ids import ask_for_rights

#: Milliseconds after which a broker that sent no records is taken to have none from an offset on.
_SILENCE_MS: Final = 700
_FETCH_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class LogEnds:
    """First offset, offset after the last record, and time of the next record from a position (epoch s).

    A log that Kafka says to end before the position is not the one that the position is of; its next record
    is then its first.
    """

    start: int
    end: int
    waiting_since: float | None
    is_another: bool = False


async def partitions_of(brokers: Mapping[str, Any], topics: Collection[str]) -> dict[str, list[int]]:
    """Return the partitions of the topics that exist; `brokers` is that of `Settings.brokers`.

    Raises `TopicAuthorizationFailedError` for topics that the user may not see.
    """
    admin = AIOKafkaAdminClient(**brokers)
    await admin.start()
    try:
        if hidden := sorted(
            name for name, may in (await ask_for_rights(admin._client, topics)).items() if may == 0
        ):
            raise TopicAuthorizationFailedError(f"no right to Describe {', '.join(hidden)}")
        wanted = sorted(set(topics) & set(await admin.list_topics()))
        described: list[dict[str, Any]] = await admin.describe_topics(wanted) if wanted else []
        return {each["topic"]: sorted(p["partition"] for p in each["partitions"]) for each in described}
    finally:
        await admin.close()


async def read_ends(
    brokers: Mapping[str, Any], positions: Mapping[Partition, int]
) -> dict[Partition, LogEnds]:
    """Return what the log of each partition holds, seen from a position in it.

    The record at the position is fetched, not only offsets asked for: it tells how old it is, and a fetch
    knows the end of the log even where the stand-in's answer about offsets is behind.
    """
    if not positions:
        return {}
    consumer = AIOKafkaConsumer(
        **brokers,
        enable_auto_commit=False,
        auto_offset_reset="none",
        # As the worker reads: records of aborted transactions are not lag.
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=100,
    )
    await consumer.start()
    try:
        by_tp = {TopicPartition(where.topic, where.number): where for where in positions}
        consumer.assign(list(by_tp))
        starts, ends = await asyncio.gather(
            consumer.beginning_offsets(list(by_tp)), consumer.end_offsets(list(by_tp))
        )
        begins = {tp: max(positions[where], starts[tp]) for tp, where in by_tp.items()}
        for tp, begin in begins.items():
            consumer.seek(tp, begin)
        first, others = await _first_records(consumer, set(by_tp), starts)
        found = {}
        for tp, where in by_tp.items():
            record = first.get(tp)
            end = max(ends[tp], starts[tp], consumer.highwater(tp) or 0, record.offset + 1 if record else 0)
            if record is None and await consumer.position(tp) >= end:
                # The rest are transaction markers and aborted records.
                end = starts[tp] if tp in others else begins[tp]
            since = record.timestamp / 1000 if record else None
            found[where] = LogEnds(starts[tp], end, since, tp in others)
        return found
    finally:
        await consumer.stop()


async def _first_records(
    consumer: Any, wanted: set[TopicPartition], starts: Mapping[TopicPartition, int]
) -> tuple[dict[TopicPartition, Any], set[TopicPartition]]:
    """Return the next record of each partition that has one, and the partitions that end before it.

    Of those, it is the first record of the log.
    """
    found: dict[TopicPartition, Any] = {}
    others: set[TopicPartition] = set()
    while wanted:
        try:
            batches = await consumer.getmany(*wanted, timeout_ms=_SILENCE_MS)
        except OffsetOutOfRangeError as error:
            outside = set(error.args[0])
            # Retention may have deleted the start since it was asked for.
            wanted -= outside & others
            for tp in outside - others:
                consumer.seek(tp, starts[tp])
            others |= outside
            continue
        if not batches:
            break
        for tp, records in batches.items():
            found[tp] = records[0]
            consumer.pause(tp)
        wanted -= set(batches)
    return found, others
