"""The lower bound of reading in Python: aiokafka returns raw records, which are discarded."""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.peers.meter import Meter


async def _read() -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        max_partition_fetch_bytes=2_000_000,
        fetch_max_wait_ms=50,
        check_crcs=False,
    )
    await consumer.start()
    topic, meter = os.environ["TOPIC"], Meter()
    await consumer._client.force_metadata_update()
    partitions = [TopicPartition(topic, n) for n in range(int(os.environ["TOPIC_PARTITIONS"]))]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    while True:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            meter.add(len(records))


if __name__ == "__main__":
    asyncio.run(_read())
