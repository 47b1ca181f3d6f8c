"""Rows in ClickHouse's Native format: a reader written from the format's description reads them back."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.clickhouse.native_writer import Columns, varint
from streams.domain.rows import PlaybackRow, Row, SystemRow, columns, types
from tests.readings.rows import at, playback

_NUMBERS = {
    "UInt8": "B",
    "UInt16": "H",
    "UInt32": "I",
    "UInt64": "Q",
    "Float64": "d",
    "DateTime64(3, 'UTC')": "q",
}
#: ASCII below and beyond what one byte of length can tell, and letters of more bytes than characters.
TEXTS = (
    st.sampled_from(["", "a", "id_0001", "x" * 127, "x" * 128, "é" * 64, "日本", "\x00", "🎬" * 40])
    | st.text()
)
_OF: dict[str, st.SearchStrategy[Any]] = {
    "UInt8": st.integers(0, 2**8 - 1),
    "UInt16": st.integers(0, 2**16 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Float64": st.floats(allow_nan=False),
    "Bool": st.booleans(),
    "DateTime64(3, 'UTC')": st.integers(-1, 4_102_444_800_000),
    "String": TEXTS,
    "LowCardinality(String)": TEXTS,
    "Array(UInt8)": st.lists(st.integers(0, 99), max_size=5),
    "Array(Float64)": st.tuples(*[st.floats(allow_nan=False)] * 3),
}


def number(source: BytesIO) -> int:
    """Read a LEB128 number."""
    value, shift = 0, 0
    while True:
        byte = source.read(1)[0]
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


def text(source: BytesIO) -> str:
    return source.read(number(source)).decode()


def values(source: BytesIO, kind: str, count: int) -> Iterator[Any]:
    if kind == "String":
        yield from (text(source) for _ in range(count))
    elif kind == "Bool":
        yield from (byte == 1 for byte in source.read(count))
    else:
        form = f"<{count}{_NUMBERS[kind]}"
        yield from struct.unpack(form, source.read(struct.calcsize(form)))


def read(block: bytes) -> tuple[list[tuple[str, str]], list[tuple[Any, ...]]]:
    """Return names and types of a block's columns, and its rows."""
    source = BytesIO(block)
    names, found = [], []
    width, height = number(source), number(source)
    for _ in range(width):
        name, kind = text(source), text(source)
        names.append((name, kind))
        if kind.startswith("Array("):
            ends = list(values(source, "UInt64", height))
            flat = list(values(source, kind[6:-1], ends[-1] if ends else 0))
            found.append([flat[begin:end] for begin, end in zip([0, *ends], ends, strict=False)])
        else:
            found.append(list(values(source, kind, height)))
    assert not source.read(), "nothing comes after the last column"
    return names, list(zip(*found, strict=True))


def rows_of(row: type[Row]) -> st.SearchStrategy[Row]:
    return st.builds(row, *(_OF[kind] for kind in types(row)))


def plain(row: Row) -> tuple[Any, ...]:
    fields = (getattr(row, name) for name in columns(type(row)))
    return tuple(list(value) if isinstance(value, tuple) else value for value in fields)


@pytest.mark.parametrize("kind", [PlaybackRow, SystemRow])
@settings(max_examples=60)
@given(data=st.data())
def test_rows_come_back_whatever_they_hold_and_however_they_were_cut(
    kind: type[Row], data: st.DataObject
) -> None:
    chunks = data.draw(st.lists(st.lists(rows_of(kind), min_size=1, max_size=4), min_size=1, max_size=3))
    encoder = Columns(kind)
    encoded = [encoder.encode(rows) for rows in chunks]
    block = b"".join(encoder.block(encoded))
    names, found = read(block)
    assert [name for name, _ in names] == list(columns(kind))
    assert [sent for _, sent in names] == [
        known.replace("LowCardinality(String)", "String") for known in types(kind)
    ]
    assert found == [plain(row) for rows in chunks for row in rows]
    assert b"".join(encoder.block(encoded)) == block, "the same bytes in every try"
    assert sum(chunk.size for chunk in encoded) <= len(block)


def test_labels_that_somebody_makes_up_do_not_gather() -> None:
    encoder = Columns(PlaybackRow)
    place = columns(PlaybackRow).index("code")
    rows = [playback("vid", at("2026-11-26"), code=f"code {n}") for n in range(25_000)]
    _, found = read(b"".join(encoder.block([encoder.encode(rows)])))
    assert [each[place] for each in found] == [f"code {n}" for n in range(25_000)]
    kept = encoder._codecs[place].__closure__
    assert kept is not None
    assert len(kept[0].cell_contents.__self__) <= 10_000


@given(st.integers(0, 2**63))
def test_a_length_is_told_in_seven_bits_a_byte(length: int) -> None:
    assert number(BytesIO(varint(length))) == length
