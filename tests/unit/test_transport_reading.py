"""Fetches are read a record batch at a time, to the same records as aiokafka reads one by one."""

from __future__ import annotations

import asyncio
import gc
import struct
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, NodeNotReadyError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import example, given
from hypothesis import strategies as st

from streams.fetching import FETCH_INTERVAL, PacedFetcher, PlainRecords
from streams.unpacking import KeptRecords

_GZIP = 1
#: The bit of a record batch's attributes that says it is a control batch.
_CONTROL = 0x20


def batch(
    first: int,
    count: int,
    *,
    compression: int = 0,
    producer: int = -1,
    key: bytes = b"key",
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> bytes:
    """Encode a record batch whose first record has the offset `first`; `producer` has transactions."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=producer >= 0,
        producer_id=producer,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(count):
        builder.append(number, 1_000 + number, key, f"value {first + number}".encode(), list(headers))
    encoded = bytearray(builder.build())
    encoded[:8] = first.to_bytes(8, "big")
    return bytes(encoded)


def marker(at: int, producer: int, *, commits: bool) -> bytes:
    """Encode the end of a transaction: a control batch of a record whose key has a version and a type."""
    encoded = bytearray(batch(at, 1, producer=producer, key=struct.pack(">hh", 0, commits)))
    (attributes,) = struct.unpack_from(">h", encoded, 21)
    struct.pack_into(">h", encoded, 21, attributes | _CONTROL)
    struct.pack_into(">I", encoded, 17, calc_crc32c(bytes(encoded[21:])))
    return bytes(encoded)


def read(
    kind: Any,
    batches: Sequence[bytes],
    position: int,
    isolation: int,
    *,
    crcs: bool = True,
    aborted: Sequence[tuple[int, int]] = (),
) -> Any:
    """Prepare a fetch of these batches from a position; `aborted` are producers and first offsets."""
    tp = TopicPartition("topic", 0)
    return kind(tp, KeptRecords(b"".join(batches)), aborted, position, None, None, crcs, isolation)


def seen(records: Sequence[Any]) -> list[tuple[int, int, bytes]]:
    """Return what matters of records."""
    return [(record.offset, record.timestamp, record.value) for record in records]


@pytest.mark.parametrize("position", [0, 1, 4, 5, 7])
@pytest.mark.parametrize("isolation", [READ_COMMITTED, READ_UNCOMMITTED])
@pytest.mark.parametrize("compression", [0, _GZIP])
def test_a_fetch_gives_the_records_and_the_position_that_aiokafka_gives(
    position: int, isolation: int, compression: int
) -> None:
    # A hole, as compaction leaves it, before the second batch.
    batches = [batch(0, 5, compression=compression), batch(7, 6, compression=compression)]
    ours = read(PlainRecords, batches, position, isolation)
    theirs = read(PartitionRecords, batches, position, isolation)
    assert seen(ours.all()) == seen(list(theirs))
    assert ours.next_fetch_offset == theirs.next_fetch_offset == 13


def test_a_portion_has_the_epochs_of_the_leaders_of_its_first_and_last_records() -> None:
    batches = [bytearray(batch(first, 5, compression=_GZIP)) for first in (0, 5, 10, 15)]
    for encoded, epoch in zip(batches, (3, 4, 7, 9), strict=True):
        struct.pack_into(">i", encoded, 12, epoch)
    fetch = read(PlainRecords, [bytes(each) for each in batches], 6, READ_COMMITTED)
    assert fetch.all(1 << 20).leader_epochs == (4, 9)
    fetch = read(PlainRecords, [bytes(each) for each in batches], 0, READ_COMMITTED)
    assert [fetch.all(1).leader_epochs for _ in batches] == [(3, 3), (4, 4), (7, 7), (9, 9)]
    assert fetch.all(1) == []


@pytest.mark.parametrize("written_in", [0, 1])
def test_batches_of_old_formats_have_no_leader_epoch(written_in: int) -> None:
    builder = LegacyRecordBatchBuilder(magic=written_in, compression_type=0, batch_size=1 << 20)
    for at in range(2):
        builder.append(at, timestamp=1_000, key=None, value=b"value")
    found = read(PlainRecords, [bytes(builder.build())], 0, READ_COMMITTED).all()
    assert (len(found), found.leader_epochs) == (2, (-1, -1))


@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 3), st.sampled_from(["on", "commit", "abort"]))),
    st.sampled_from([READ_COMMITTED, READ_UNCOMMITTED]),
)
@example([(0, 2, "on"), (1, 2, "commit"), (0, 1, "abort"), (-1, 1, "on"), (0, 3, "commit")], READ_COMMITTED)
def test_what_was_aborted_is_left_out(steps: list[tuple[int, int, str]], isolation: int) -> None:
    """Producers write batches in turn and end their transactions, as a broker would store and tell them."""
    batches, aborted, kept, open_since = [], [], [], dict[int, int]()
    written = dict[int, list[int]]()
    at = 0
    ends = [(producer, 0, "commit") for producer in range(3)]  # A fetch ends before what is still open.
    for producer, count, then in [*steps, *ends]:
        if count:
            batches.append(batch(at, count, producer=producer))
            offsets = list(range(at, at + count))
            written.setdefault(producer, []).extend(offsets)
            open_since.setdefault(producer, at)
            at += count
        if producer == -1 or (then != "on" and producer in written):
            offsets = written.pop(producer)
            first = open_since.pop(producer)
            if producer >= 0:
                batches.append(marker(at, producer, commits=then == "commit"))
                at += 1
            if producer >= 0 and then == "abort":
                aborted.append((producer, first))
                if isolation == READ_COMMITTED:
                    continue
            kept += offsets
    ours = read(PlainRecords, batches, 0, isolation, aborted=aborted)
    theirs = read(PartitionRecords, batches, 0, isolation, aborted=aborted)
    taken = ours.all()
    assert [record.offset for record in taken] == sorted(kept)
    assert seen(taken) == seen(list(theirs))
    assert ours.next_fetch_offset == theirs.next_fetch_offset == at


@pytest.mark.parametrize("position", [0, 6])
def test_a_header_whose_name_is_not_utf_8_ends_nobody(position: int) -> None:
    """Go's clients send any bytes as a name, and brokers take them; aiokafka raises UnicodeDecodeError."""
    hostile = bytearray(batch(5, 3, headers=[("na", b"value"), ("null", None)]).replace(b"na", b"\xff\xfe"))
    struct.pack_into(">I", hostile, 17, calc_crc32c(bytes(hostile[21:])))
    records = read(PlainRecords, [batch(0, 5), bytes(hostile), batch(8, 2)], position, READ_COMMITTED)
    taken = records.all()
    assert seen(taken) == [
        (at, 1_000 + at - first, f"value {at}".encode())
        for first, last in ((0, 4), (5, 7), (8, 9))
        for at in range(first, last + 1)
        if at >= position
    ]
    assert [record.headers for record in taken if record.offset == 6] == [
        [("\ufffd\ufffd", b"value"), ("null", None)]
    ]
    assert records.next_fetch_offset == 10


def test_a_batch_that_lies_before_the_position_does_not_move_it_back() -> None:
    records = read(PlainRecords, [batch(0, 5), batch(7, 6)], 12, READ_UNCOMMITTED)
    assert [record.offset for record in records.all()] == [12]


def test_a_fetch_that_was_read_is_freed_without_the_collector_of_garbage() -> None:
    gc.disable()
    try:
        fetch = read(PlainRecords, [batch(0, 5)], 0, READ_UNCOMMITTED)
        fetch.all()
        freed = weakref.ref(fetch)
        del fetch
        assert freed() is None
    finally:
        gc.enable()


def test_a_batch_that_was_damaged_on_the_way_is_not_taken() -> None:
    damaged = bytearray(batch(0, 3))
    damaged[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        read(PlainRecords, [bytes(damaged)], 0, READ_UNCOMMITTED).all()


def test_a_compressed_fetch_is_handed_over_in_pieces_that_follow_on() -> None:
    batches = [batch(first, 5, compression=_GZIP) for first in (0, 5, 10)]
    records = read(PlainRecords, batches, 2, READ_UNCOMMITTED)
    pieces = []
    while not records.is_exhausted:
        pieces.append([record.offset for record in records.all(max_bytes=30)])
        assert records.next_fetch_offset == pieces[-1][-1] + 1
    # Values of seven or eight bytes: three of the first batch are too few, and no batch is cut.
    assert pieces == [[2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]


def test_what_is_not_compressed_is_bounded_as_it_travels_and_handed_over_whole() -> None:
    records = read(PlainRecords, [batch(0, 5), batch(5, 5)], 0, READ_UNCOMMITTED)
    assert len(records.all(max_bytes=1)) == 10 and records.is_exhausted


class _Brokers:
    """Notes which brokers are asked; nobody ever answers."""

    def __init__(self, failure: type[BaseException] = asyncio.CancelledError) -> None:
        self.asked: list[int] = []
        self._failure = failure

    async def send(self, node: int, request: Any) -> None:
        self.asked.append(node)
        raise self._failure


async def test_a_broker_is_not_asked_again_at_once_and_another_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm, now, rests = object.__new__(PacedFetcher), 1_000.0, list[float]()
    calm._requested_at, calm._client = {}, _Brokers()

    async def sleep(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    monkeypatch.setattr("streams.fetching.asyncio.sleep", sleep)
    for node in (1, 2, 1):
        assert not await calm._proc_fetch_request(None, node, None)
    assert calm._client.asked == [1, 2, 1]
    assert rests[0] < 0 and rests[1] < 0
    assert rests[2] == pytest.approx(FETCH_INTERVAL)


async def test_a_question_that_waits_for_its_time_ends_quietly_when_it_is_not_wanted_any_more() -> None:
    calm = object.__new__(PacedFetcher)
    calm._requested_at, calm._client = {1: asyncio.get_running_loop().time() + 60}, _Brokers()
    asking = asyncio.create_task(calm._proc_fetch_request(None, 1, None))
    await asyncio.sleep(0)
    asking.cancel()
    assert await asking is False
    assert not calm._client.asked


async def test_a_pause_after_a_broker_that_is_away_ends_quietly_too() -> None:
    calm = object.__new__(PacedFetcher)
    calm._requested_at, calm._client, calm._retry_backoff = {}, _Brokers(NodeNotReadyError), 60
    asking = asyncio.create_task(calm._proc_fetch_request(None, 1, SimpleNamespace(topics=[])))
    async with asyncio.timeout(30):
        while not calm._client.asked:
            await asyncio.sleep(0)
        asking.cancel()
        assert await asking is False
