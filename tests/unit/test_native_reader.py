"""Tables in ClickHouse's format Native: read back as they were, in any blocks, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse.native_reader import Shape
from tests.audience.tables import sent

SHAPE = Shape(user="UInt64", day="Int32", bits="UInt8", at="Int64", pages="UInt32")
ROWS = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(0, 255),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32 - 1),
)


@given(st.lists(st.lists(ROWS, max_size=200), max_size=4))
def test_the_rows_of_all_blocks_are_read_in_order(blocks: list[list[tuple[int, ...]]]) -> None:
    read = SHAPE.read(b"".join(sent(SHAPE, rows) for rows in blocks))
    rows = [row for block in blocks for row in block]
    assert len(read) == len(rows)
    assert list(zip(*(column.tolist() for column in read.columns.values()), strict=True)) == rows
    assert read.nbytes == len(rows) * SHAPE.row_bytes
    assert all(column.flags.aligned for column in read.columns.values())


@pytest.mark.parametrize("length", [127, 128, 20_000])
def test_blocks_of_any_length_are_read(length: int) -> None:
    read = SHAPE.read(sent(SHAPE, [(row, -row, 1, row, row) for row in range(length)]))
    assert read["day"].tolist() == [-row for row in range(length)]


def test_an_answer_that_broke_off_anywhere_is_no_table() -> None:
    whole = sent(SHAPE, [(1, 2, 3, 4, 5), (6, 7, 8, 9, 10)])
    for length in range(1, len(whole)):
        with pytest.raises(ValueError, match=r"broke off|smaller|asked for"):
            SHAPE.read(whole[:length])


@pytest.mark.parametrize(
    "other",
    [
        Shape(user="UInt64"),
        Shape(user="UInt64", day="Int32", bits="UInt8", at="Int64", page="UInt32"),
        Shape(user="UInt64", day="Int32", bits="UInt8", at="UInt64", pages="UInt32"),
    ],
)
def test_another_shape_is_refused(other: Shape) -> None:
    with pytest.raises(ValueError, match="instead of|asked for"):
        SHAPE.read(sent(other, [[1] * len(other.kinds)]))


def test_text_after_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="instead of|broke off|asked for"):
        SHAPE.read(sent(SHAPE, [(1, 2, 3, 4, 5)]) + b"Code: 241. DB::Exception: memory limit exceeded")
