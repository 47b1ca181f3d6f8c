"""Unpacks record batches, also those that aiokafka cannot unpack and those that would fill the memory.

Brokers check little of what a producer sends in a batch. What aiokafka raises would end every worker that
reads the batch, and a few compressed kilobytes may hold gigabytes.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import cramjam
import structlog
from aiokafka.record import default_records
from aiokafka.record._crecords import default_records as compiled_records
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from streams.domain.arrivals import UnreadableBatch
from streams.domain.faults import MAX_BATCH_BYTES

_log = structlog.get_logger(__name__)

#: zlib's window size for data with gzip's header and checksum.
_GZIP: Final = 16 + zlib.MAX_WBITS
#: Fields of a record batch before its attributes: base offset, and length of what follows.
_HEAD: Final = struct.Struct(">qi")
_LENGTH: Final = struct.Struct(">i")
#: The two fields after those: epoch of the leader that wrote the batch, and format; old ones have no epoch.
_WRITTEN: Final = struct.Struct(">ib")
_FORMAT_WITH_EPOCH: Final = 2


class KeptRecords(MemoryRecords):  # type: ignore[misc]  # chosen at import
    """A fetch's record batches, and their bytes, from which a batch can be unpacked once more."""

    def __init__(self, data: bytes) -> None:
        """Take a fetch as the broker sent it."""
        super().__init__(data)
        self._data = data
        self._at = self._next_at = 0

    def next_batch(self) -> Any:
        """Return the next batch."""
        at = self._at = self._next_at
        self._next_at = at + _HEAD.size + _LENGTH.unpack_from(self._data, at + 8)[0]
        return super().next_batch()

    @property
    def leader_epoch(self) -> int:
        """Epoch of the leader that wrote the batch returned last (KIP-101); -1 if its format has none."""
        epoch, written_in = _WRITTEN.unpack_from(self._data, self._at + _HEAD.size)
        return int(epoch) if written_in >= _FORMAT_WITH_EPOCH else -1

    def raw(self, base_offset: int) -> bytes:
        """Return the bytes of the batch that begins at an offset; nothing if none does."""
        at = 0
        while at + _HEAD.size <= len(self._data):
            first, length = _HEAD.unpack_from(self._data, at)
            end = at + _HEAD.size + length
            if first == base_offset:
                return bytes(self._data[at:end])
            at = end
        return b""


class _LenientBytes(bytearray):
    """Bytes whose slices decode to text whatever they hold."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _LenientBytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", _errors: str = "replace") -> str:
        return super().decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka means it to be final
    """A record batch in which names of headers need not be UTF-8."""

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer)  # type: ignore[has-type]


def unpack(batch: Any, fetch: KeptRecords) -> list[Any]:
    """Return a batch's records, or one `UnreadableBatch` at its last offset. Its checksum must be right.

    aiokafka requires names of headers to be UTF-8; brokers and the clients of some languages do not. So such
    a batch is unpacked again, in plain Python.
    """
    try:
        try:
            return list(batch)
        except UnicodeDecodeError:
            return list(_LenientBatch(fetch.raw(batch.base_offset)))
    except MemoryError:
        raise
    except Exception as error:
        # Whatever it is, it is the same each time that the batch is read.
        last, reason = batch.next_offset - 1, f"the batch cannot be unpacked: {error or repr(error)}"
        _log.warning("a record batch becomes one dead letter", offset=last, reason=reason)
        return [UnreadableBatch(last, batch.max_timestamp, fetch.raw(batch.base_offset), reason)]


class _TooMuch(Exception):
    """A batch has more than `MAX_BATCH_BYTES`."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {MAX_BATCH_BYTES >> 20} MB, decompressed")


def _gunzip(data: Any) -> bytes:
    """Decompress at once: two thirds of the time of `gzip.GzipFile`, and a fifth for a few records."""
    found, room = [], MAX_BATCH_BYTES + 1
    while data:
        member = zlib.decompressobj(_GZIP)
        found.append(member.decompress(data, room))
        room -= len(found[-1])
        if room <= 0:
            raise _TooMuch
        if not member.eof:
            raise EOFError("compressed data end too early")
        # As the gzip module does it: further members may follow, and zeros behind the last one.
        data = member.unused_data.lstrip(b"\0")
    return b"".join(found)


class _Limited:
    """A decompressor that writes into a limited area, of which only the pages that are used take memory."""

    def __init__(self, decompress_into: Callable[[Any, Any], int]) -> None:
        self._decompress_into = decompress_into
        self._area = mmap.mmap(-1, MAX_BATCH_BYTES)

    def __call__(self, data: Any) -> bytes:
        try:
            return self._area[: self._decompress_into(data, self._area)]
        except cramjam.DecompressionError as error:
            self._area = mmap.mmap(-1, MAX_BATCH_BYTES)  # Gives back what was written so far.
            if "whole buffer" in str(error):
                raise _TooMuch from error
            raise


def limit_decompression() -> None:
    """Make aiokafka decompress no more than `MAX_BATCH_BYTES` of a batch.

    Snappy needs no limit: it shrinks to a twentieth at best.
    """
    zstd, lz4 = _Limited(cramjam.zstd.decompress_into), _Limited(cramjam.lz4.decompress_into)
    for module in (default_records, compiled_records):
        module.gzip_decode, module.zstd_decode, module.lz4_decode = _gunzip, zstd, lz4
