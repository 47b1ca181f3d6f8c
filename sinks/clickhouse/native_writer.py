"""Encodes rows in ClickHouse's Native format: column by column, as its tables store them.

From a row format ClickHouse parses every value, which costs as much as all further work on a row; a Native
column is only copied. Rows are encoded a few hundred at a time, while they are in the processor's cache. The
results, `Encoded`, are joined column by column into one block of the format when it is sent.

The format: numbers of columns and rows; then for each column its name, its type, and all its values. Numbers
are little-endian, texts have their length in front, arrays come as their cumulative end positions.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Final

from msgspec.structs import astuple

from sinks.base import Encoded
from streams.domain.rows import Row, columns, types

if sys.byteorder != "little":
    raise ImportError("this machine is big-endian, but ClickHouse reads little-endian numbers")

#: Encodes a column's values.
_Codec = Callable[[Sequence[Any]], bytes]

#: Lengths below this are encoded in one byte, the ASCII character of that number.
_SHORT: Final = 128
_LENGTHS: Final = [chr(length) for length in range(_SHORT)]
#: Labels whose encoding is cached. There are few, unless a producer invents them.
_MAX_LABELS: Final = 10_000


def varint(number: int) -> bytes:
    """Return a number in LEB128, seven bits a byte."""
    some = bytearray()
    while number >= _SHORT:
        some.append(number & 127 | 128)
        number >>= 7
    some.append(number)
    return bytes(some)


def text(some: str) -> bytes:
    """Return a text with its length before it."""
    encoded = some.encode()
    return varint(len(encoded)) + encoded


def _texts(values: Sequence[str]) -> bytes:
    lengths = set(map(len, values))
    if max(lengths) < _SHORT:
        if len(lengths) == 1:  # As ids of one kind are.
            length = _LENGTHS[len(values[0])]
            joined = length + length.join(values)
        else:
            joined = "".join([_LENGTHS[len(value)] + value for value in values])
        if joined.isascii():
            return joined.encode()
    return b"".join(map(text, values))


class _Labels(dict[str, bytes]):
    """A cache of the encoding of labels."""

    def __missing__(self, label: str) -> bytes:
        if len(self) >= _MAX_LABELS:
            self.clear()
        encoded = self[label] = text(label)
        return encoded


def _labels() -> _Codec:
    encoding = _Labels().__getitem__

    def encode(values: Sequence[str]) -> bytes:
        first = values[0]
        if values.count(first) == len(values):  # Always true for log and topic, mostly for error codes.
            return encoding(first) * len(values)
        return b"".join(map(encoding, values))

    return encode


def _numbers(kind: str) -> _Codec:
    return lambda values: array(kind, values).tobytes()


#: Factories of codecs by column type; `bytes` encodes numbers below 256 and booleans.
_CODECS: Final[dict[str, Callable[[], _Codec]]] = {
    "UInt8": lambda: bytes,
    "Bool": lambda: bytes,
    "UInt16": lambda: _numbers("H"),
    "UInt32": lambda: _numbers("I"),
    "UInt64": lambda: _numbers("Q"),
    "Float64": lambda: _numbers("d"),
    "DateTime64(3, 'UTC')": lambda: _numbers("q"),
    "String": lambda: _texts,
    "LowCardinality(String)": _labels,
}
#: Types that are sent as another one; ClickHouse converts them.
_SENT_AS: Final = {"LowCardinality(String)": "String"}


class Columns:
    """The columns of one row type. Values out of a column's range raise `ValueError` or `OverflowError`."""

    def __init__(self, row: type[Row]) -> None:
        """Prepare for the rows of one table."""
        self._heads: list[bytes] = []
        self._codecs: list[_Codec] = []
        #: Whether each column is an array; an array column has its lengths before its values.
        self._arrays: list[bool] = []
        for name, kind in zip(columns(row), types(row), strict=True):
            element = kind.removeprefix("Array(").removesuffix(")") if kind.startswith("Array(") else ""
            self._arrays.append(bool(element))
            self._codecs.append(_CODECS[element or kind]())
            self._heads.append(text(name) + text(_SENT_AS.get(kind, kind)))

    def encode(self, rows: Sequence[Row]) -> Encoded:
        """Encode rows, at least one; the result does not refer to them."""
        pieces: list[bytes] = []
        for codec, is_array, values in zip(
            self._codecs, self._arrays, zip(*map(astuple, rows), strict=True), strict=True
        ):
            if is_array:
                pieces.append(array("Q", map(len, values)).tobytes())
                values = tuple(chain.from_iterable(values))
            pieces.append(codec(values))
        return Encoded(len(rows), sum(map(len, pieces)), pieces)

    def block(self, chunks: Sequence[Encoded]) -> Iterator[bytes]:
        """Yield the bytes of one block with the rows of all chunks."""
        yield varint(len(self._heads)) + varint(sum(chunk.rows for chunk in chunks))
        number = 0
        for head, is_array in zip(self._heads, self._arrays, strict=True):
            yield head
            if is_array:
                lengths = array("Q", b"".join(chunk.pieces[number] for chunk in chunks))
                yield array("Q", accumulate(lengths)).tobytes()
                number += 1
            for chunk in chunks:
                yield chunk.pieces[number]
            number += 1
