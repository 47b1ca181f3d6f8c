"""Batches that cannot be unpacked, or would fill the memory: one dead letter each, and reading goes on."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import cramjam
import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as compiled_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from streams.domain.arrivals import Decoder, Rejected, UnreadableBatch
from streams.domain.events import SystemEvent
from streams.domain.faults import MAX_BATCH_BYTES
from streams.fetching import PlainRecords
from streams.unpacking import KeptRecords, limit_decompression, unpack

#: Where a record batch has its attributes and number of records, and where its records begin.
_ATTRIBUTES, _COUNT, _RECORDS = 21, 57, 61
_CODECS: dict[int, Callable[[bytes], bytes]] = {
    1: lambda data: gzip.compress(data, 1),
    3: lambda data: bytes(cramjam.lz4.compress(data)),
    4: lambda data: bytes(cramjam.zstd.compress(data)),
}


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limit decompression as a worker does, and only in these tests."""
    for module in (default_records, compiled_records):
        for name in ("gzip_decode", "lz4_decode", "zstd_decode"):
            monkeypatch.setattr(module, name, getattr(module, name))
    limit_decompression()
    yield


def batch(first: int, count: int, *, codec: int = 0, records: bytes | None = None, told: int = 0) -> bytes:
    """Encode a batch; `records` replaces its encoded records, `told` the number of them."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 1_000 + number, b"key", b'{"n": %d}' % (first + number), [])
    plain = bytes(builder.build())
    encoded = bytearray(plain[:_RECORDS] + _CODECS.get(codec, bytes)(plain[_RECORDS:]))
    if records is not None:
        encoded[_RECORDS:] = records
    if told:
        struct.pack_into(">i", encoded, _COUNT, told)
    struct.pack_into(">qi", encoded, 0, first, len(encoded) - 12)
    struct.pack_into(">h", encoded, _ATTRIBUTES, codec)
    struct.pack_into(">I", encoded, _ATTRIBUTES - 4, calc_crc32c(bytes(encoded[_ATTRIBUTES:])))
    return bytes(encoded)


def read(*batches: bytes, position: int = 0) -> Any:
    data = KeptRecords(b"".join(batches))
    return PlainRecords(TopicPartition("t", 0), data, None, position, None, None, True, READ_COMMITTED)


@pytest.mark.parametrize("codec", [0, *_CODECS])
def test_what_is_in_a_batch_comes_out(codec: int) -> None:
    taken = read(batch(0, 3, codec=codec), batch(3, 2, codec=codec)).all()
    assert [(record.offset, record.value) for record in taken] == [(n, b'{"n": %d}' % n) for n in range(5)]


@pytest.mark.parametrize("codec", list(_CODECS))
@pytest.mark.parametrize("position", [0, 6])
def test_a_bomb_is_one_letter_and_reading_goes_on(codec: int, position: int) -> None:
    bomb = batch(5, 3, codec=codec, records=_CODECS[codec](bytes(MAX_BATCH_BYTES + 1)))
    records = read(batch(0, 5), bomb, batch(8, 2, codec=codec), position=position)
    taken = records.all()
    assert [record.offset for record in taken] == [*range(position, 5), 7, 8, 9]
    (letter,) = (record for record in taken if isinstance(record, UnreadableBatch))
    assert (letter.value, letter.timestamp, letter.key) == (bomb, 1_002, None)
    assert "more than 128 MB" in letter.reason
    assert records.next_fetch_offset == 10


@pytest.mark.parametrize(
    "broken",
    [
        batch(5, 3, codec=1, records=b"\x1f\x8b nothing"),
        batch(5, 3, codec=3, records=b"nothing"),
        batch(5, 3, codec=4, records=b"nothing"),
        batch(5, 3, codec=2, records=b"nothing"),
        batch(5, 3, codec=7, records=b"nothing"),
        batch(5, 3, told=4),
        batch(5, 3, told=2**31 - 1),
        batch(5, 3, told=2),
        batch(5, 3, records=b"\xff" * 40),
        batch(5, 3, records=b""),
    ],
    ids=["gzip", "lz4", "zstd", "snappy", "codec 7", "one more", "many more", "one less", "noise", "empty"],
)
def test_a_batch_that_cannot_be_unpacked_is_one_letter(broken: bytes) -> None:
    taken = read(batch(0, 5), broken, batch(8, 2)).all()
    assert [record.offset for record in taken] == [0, 1, 2, 3, 4, 7, 8, 9]
    assert taken[5].value == broken
    assert "cannot be unpacked" in taken[5].reason


def _read_with(decompress: Callable[[Any], bytes], data: bytes | memoryview) -> bytes | None:
    try:
        return decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def test_gzip_is_read_as_the_standard_library_reads_it() -> None:
    one, other = gzip.compress(b"some" * 50, mtime=0), gzip.compress(b"", mtime=0)
    told = [
        b"",
        one,
        one + other + one,
        one + bytes(9),
        one + bytes(3) + one,
        one + b"x",
        b"x" + one,
        one[:4] + one,
    ]
    told += [one[:end] for end in range(len(one))]
    told += [one[:at] + bytes([one[at] ^ 1]) + one[at + 1 :] for at in range(len(one))]
    decode: Any = default_records.gzip_decode
    for data in told:
        assert _read_with(decode, memoryview(data)) == _read_with(gzip.decompress, data), data


def test_a_letter_of_a_batch_says_so() -> None:
    sound = SimpleNamespace(offset=4, timestamp=1, key=b"k", value=b"{}", headers=())
    bad = UnreadableBatch(7, 1_000, batch(5, 3), "the batch cannot be unpacked: because")
    rejected = Decoder(SystemEvent).decode([sound, bad])
    assert [each.error for each in rejected if isinstance(each, Rejected)] == ["UnknownType", "Unreadable"]
    assert rejected[1] == Rejected(bad, "Unreadable", bad.reason)


def test_memory_that_is_missing_is_no_fault_of_the_batch() -> None:
    class Large:
        base_offset, next_offset, max_timestamp = 0, 1, 0

        def __iter__(self) -> Iterator[Any]:
            raise MemoryError

    with pytest.raises(MemoryError):
        unpack(Large(), KeptRecords(b""))
