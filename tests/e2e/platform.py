"""A running stack seen from outside: a producer, the API, and the contents of the stores and of Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import clickhouse_connect
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from yarl import URL

from tests.oracle.log import CATALOG, PLAYBACK, SYSTEM, USERS, Log, Record

DEAD_LETTERS = "events.deadletter"
TABLES = {
    PLAYBACK: "playback_events",
    USERS: "user_events",
    SYSTEM: "system_events",
    CATALOG: "video_catalog",
}
_LARGEST = 8_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API."""

    status: int
    data: Any
    meta: dict[str, Any]


@dataclass(slots=True)
class Platform:
    """Addresses of a running stack, and the end offset of each partition as far as this object filled it."""

    endpoints: dict[str, str]
    session: aiohttp.ClientSession
    producer: AIOKafkaProducer
    ends: dict[tuple[str, int], int] = field(default_factory=dict)

    async def send(self, records: Iterable[Record]) -> None:
        """Produce records in this order; return when the broker has all of them."""
        sent = []
        for record in records:
            sent.append(
                await self.producer.send(
                    record.topic, record.value, key=record.key, timestamp_ms=record.timestamp
                )
            )
        for metadata in await asyncio.gather(*sent):
            where = (metadata.topic, metadata.partition)
            self.ends[where] = max(self.ends.get(where, 0), metadata.offset + 1)

    async def caught_up(self, timeout: float = 60.0) -> None:
        """Wait until both stores have every record sent so far; on timeout, fail and name what is behind."""
        deadline = time.monotonic() + timeout
        while behind := self.behind():
            assert time.monotonic() < deadline, f"the worker did not catch up in {timeout} s: {behind}"
            await asyncio.sleep(0.1)

    def behind(self) -> dict[str, str]:
        """Return the partitions of which a store lacks records, according to the worker's ledger."""
        with redis.Redis.from_url(self.endpoints["REDIS_URL"], decode_responses=True) as store:
            ledgers: dict[tuple[str, int], dict[str, str]] = {}
            for key in store.scan_iter("vc:{*}:ledger"):
                _, topic, number = key[len("vc:{") : -len("}:ledger")].rsplit("/", 2)
                ledgers[topic, int(number)] = store.hgetall(key)
        found = {}
        for where, end in self.ends.items():
            ledger = ledgers.get(where, {})
            counted = int(ledger.get("counted", 0))
            stored = int(ledger.get("block_to", 0)) if ledger.get("done", "1") == "1" else -1
            if counted < end or stored < end:
                found["/".join(map(str, where))] = f"counted {counted}, stored {stored}, of {end}"
        return found

    async def ask(self, path: str, **parameters: str) -> Answer:
        """Send a GET request to the API; this method percent-encodes `path`."""
        url = URL(self.endpoints["API_URL"] + quote(path), encoded=True).with_query(parameters)
        async with self.session.get(url) as response:
            body = await response.json()
            return Answer(response.status, body.get("data", body), body.get("meta", {}))

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query on ClickHouse and return its rows."""
        parts = urlsplit(self.endpoints["CLICKHOUSE_URL"])
        client = clickhouse_connect.get_client(
            host=parts.hostname, port=parts.port, database=parts.path.strip("/") or "default"
        )
        try:
            return [tuple(row) for row in client.query(sql).result_rows]
        finally:
            client.close()

    def stored(self) -> dict[str, int]:
        """Count raw rows by topic; fail if a record has two rows."""
        found = {}
        for topic, table in TABLES.items():
            ((rows, records),) = self.select(
                f"SELECT count(), uniqExact(log, partition, offset) FROM {table}"
            )
            assert rows == records, f"{table} has {rows} rows of {records} records"
            found[topic] = rows
        # The catalog's table drops older versions of a video at merges, so the ingested offsets are counted.
        ((versions,),) = self.select(
            "SELECT toInt64(sum(rows)) FROM ingested_offsets WHERE topic = 'video.catalog'"
        )
        found[CATALOG] = versions
        return found

    async def dead_letters(self) -> Counter[tuple[str, str, bytes]]:
        """Count dead letters by source topic, class and raw bytes; count each source record once."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.endpoints["KAFKA_BOOTSTRAP_SERVERS"],
            max_partition_fetch_bytes=_LARGEST,
            fetch_max_bytes=_LARGEST,
        )
        await consumer.start()
        try:
            await consumer._client.force_metadata_update()
            partitions = [
                TopicPartition(DEAD_LETTERS, n) for n in consumer.partitions_for_topic(DEAD_LETTERS) or ()
            ]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: dict[tuple[bytes, ...], tuple[str, str, bytes]] = {}
            silent = 0
            while silent < 3:
                fetched = await consumer.getmany(timeout_ms=500)
                silent = 0 if fetched else silent + 1
                for letter in (letter for letters in fetched.values() for letter in letters):
                    headers = dict(letter.headers)
                    where = tuple(
                        headers[f"source-{name}"] for name in ("cluster", "topic", "partition", "offset")
                    )
                    found[where] = (
                        headers["source-topic"].decode(),
                        headers["error"].decode(),
                        letter.value or b"",
                    )
            return Counter(found.values())
        finally:
            await consumer.stop()


def expected_dead_letters(log: Log) -> Counter[tuple[str, str, bytes]]:
    """Return the expected dead letters, by source topic, class and raw bytes."""
    return Counter((record.topic, fault, record.value or b"") for record, fault in log.dead)


def expected_rows(log: Log) -> dict[str, int]:
    """Return how many records of each topic must be stored."""
    counted = Counter(accepted.topic for accepted in log.accepted)
    return {topic: log.told if topic == CATALOG else counted[topic] for topic in TABLES}


@asynccontextmanager
async def platform(endpoints: dict[str, str]) -> AsyncIterator[Platform]:
    """Connect to a running stack."""
    producer = AIOKafkaProducer(
        bootstrap_servers=endpoints["KAFKA_BOOTSTRAP_SERVERS"], max_request_size=_LARGEST, linger_ms=20
    )
    await producer.start()
    headers = {"Authorization": f"Bearer {endpoints['API_KEY']}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(30)) as session:
        try:
            yield Platform(endpoints, session, producer)
        finally:
            await producer.stop()
