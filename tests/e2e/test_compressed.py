"""Producers compress as they like: the worker takes every codec that Kafka has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, Producer

from tests.e2e.cluster import cluster
from tests.e2e.foreign import view_start
from tests.e2e.platform import Platform, platform
from tests.oracle.log import PLAYBACK

pytestmark = pytest.mark.slow

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
#: Views that each producer sends, in batches of some dozens.
VIEWS = 300


def produce(running: Platform, codec: str) -> None:
    """Send views with a foreign client that compresses, and note how far the partitions are filled."""

    def arrived(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        where, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        running.ends[where] = max(running.ends.get(where, 0), offset + 1)

    settings: dict[str, Any] = {
        "bootstrap.servers": running.endpoints["KAFKA_BOOTSTRAP_SERVERS"],
        "compression.type": codec,
        "linger.ms": 50,
        "batch.num.messages": 40,
    }
    producer = Producer(settings)
    for number in range(VIEWS):
        view = f"{codec}-{number}"
        event = view_start(view, f"video-{codec}")
        producer.produce(PLAYBACK, key=view, value=event, on_delivery=arrived)
    assert producer.flush(30) == 0


async def test_every_codec_is_taken_beside_the_others(tmp_path: Path) -> None:
    with cluster(tmp_path) as servers:
        async with platform(servers.endpoints) as running:
            servers.worker()
            await asyncio.gather(*(asyncio.to_thread(produce, running, codec) for codec in CODECS))
            await running.caught_up()
            for codec in CODECS:
                for period in ("1h", "1d"):  # Redis, and ClickHouse.
                    answer = await running.ask(f"/analytics/videos/video-{codec}", period=period)
                    assert (codec, period, answer.status) == (codec, period, 200)
                    assert (codec, period, answer.data["views"]["total"]) == (codec, period, VIEWS)
            assert "Traceback" not in servers.log()
