"""What is waiting in Kafka, seen from an offset that the log may not have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from deploy.operations import log_ends
from deploy.operations.lag import lags
from deploy.operations.log_ends import LogEnds, read_ends
from sinks.base import Ledger, Partition

NOW = 1_800_000_000.0
PLACES = [Partition("c", "user.events", number) for number in range(4)]
SHORT, WHOLE, EMPTY, DELETED = PLACES


class Kafka:
    """A consumer of logs that are in memory; as of aiokafka, an error is about one partition."""

    #: By partition the offset of the first record, and how many there are, a second apart.
    logs = {0: (0, 5), 1: (0, 9), 2: (0, 0), 3: (40, 10)}
    #: Partitions of which more is deleted than the answer about their start says.
    deleted = {3: 45}

    def __init__(self, **_: Any) -> None:
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, places: list[TopicPartition]) -> None: ...

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self.logs[tp.partition][0] for tp in places}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: sum(self.logs[tp.partition]) for tp in places}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    def highwater(self, tp: TopicPartition) -> int | None:
        return None

    def pause(self, tp: TopicPartition) -> None:
        self._paused.add(tp)

    async def getmany(self, *wanted: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        batches: dict[TopicPartition, list[Any]] = {}
        for tp in sorted(set(wanted) - self._paused):
            start, records = self.logs[tp.partition]
            offset, end = self._positions[tp], start + records
            if not self.deleted.get(tp.partition, start) <= offset <= end:
                if batches:
                    break  # The error comes with the next call.
                raise OffsetOutOfRangeError({tp: offset})
            if offset < end:
                at = NOW - (end - offset)
                batches[tp] = [SimpleNamespace(offset=offset, timestamp=at * 1000)]
                self._positions[tp] = end
        return batches


@pytest.fixture
async def ends(monkeypatch: pytest.MonkeyPatch) -> dict[Partition, LogEnds]:
    monkeypatch.setattr(log_ends, "AIOKafkaConsumer", Kafka)
    return await read_ends({}, {SHORT: 1_000, WHOLE: 6, EMPTY: 7, DELETED: 42})


async def test_a_log_that_ends_before_the_offset_is_seen_from_its_start(
    ends: dict[Partition, LogEnds],
) -> None:
    assert ends[SHORT] == LogEnds(0, 5, NOW - 5, is_another=True)
    assert ends[WHOLE] == LogEnds(0, 9, NOW - 3)
    assert ends[EMPTY] == LogEnds(0, 0, None, is_another=True)


async def test_a_start_that_retention_moves_meanwhile_ends_the_search(ends: dict[Partition, LogEnds]) -> None:
    assert ends[DELETED].waiting_since is None
    assert (ends[DELETED].start, ends[DELETED].end) == (40, 50)


async def test_all_of_a_log_that_is_another_waits_until_a_worker_has_taken_it(
    ends: dict[Partition, LogEnds],
) -> None:
    ledgers = {
        where: Ledger(3, counted=at, block_from=0, block_to=at, landed=at)
        for where, at in ((SHORT, 1_000), (WHOLE, 6), (EMPTY, 7), (DELETED, 42))
    }
    short, whole, empty, deleted = lags(ends, ledgers, NOW)
    assert (short.log_end, short.counted, short.records, short.seconds, short.lost) == (5, 0, 5, 5.0, 0)
    assert (whole.records, empty.records, deleted.records) == (3, 0, 8)
    # A worker was quicker than the second look at the ledgers.
    (taken,) = lags(
        {SHORT: ends[SHORT]}, {SHORT: Ledger(4, counted=4, block_from=0, block_to=3, landed=3)}, NOW
    )
    assert (taken.counted, taken.stored, taken.records) == (4, 3, 2)
