"""Tables made of rows written in a test, as ClickHouse sends them in its format Native."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sinks.clickhouse.native_reader import Shape, Table
from sinks.clickhouse.native_writer import text, varint
from sinks.clickhouse.recent_rows import RecentRows


def sent(shape: Shape, rows: Sequence[Sequence[int]]) -> bytes:
    """Return one block of the format `Native`."""
    columns = list(zip(*rows, strict=True)) or [()] * len(shape.dtypes)
    block = varint(len(columns)) + varint(len(rows))
    for (name, kind), dtype, column in zip(shape.kinds.items(), shape.dtypes.values(), columns, strict=True):
        block += text(name) + text(kind) + np.array(column, dtype).tobytes()
    return block


def table(shape: Shape, rows: Sequence[Sequence[int]]) -> Table:
    """Return the table of some rows."""
    return shape.read(sent(shape, rows))


def recent(shape: Shape, rows: Sequence[Sequence[int]]) -> RecentRows:
    """Return rows that were read once."""
    kept = RecentRows(shape)
    kept.update(table(shape, rows))
    return kept
