"""Tables of numbers as ClickHouse lays their rows out in bytes: arrays read them as they come.

A row of JSON costs a thousand times what a look into an array does, so whoever needs many rows asks for
them packed (ClickHouse's format RowBinary): every column a number of a fixed width, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.queries import Query

#: Numbers by ClickHouse's names, as NumPy reads them; both are little-endian.
_KINDS: Final = {"UInt8": "u1", "UInt32": "<u4", "UInt64": "<u8", "Int32": "<i4", "Int64": "<i8"}

Table = NDArray[np.void]


class Shape:
    """The columns of a packed table, by name: what a query casts them to, and how they are read."""

    def __init__(self, **kinds: str) -> None:
        """Name the columns and their types, which are numbers."""
        self._kinds = kinds
        self.dtype: Final = np.dtype([(name, _KINDS[kind]) for name, kind in kinds.items()])

    def columns(self, expressions: Mapping[str, str]) -> str:
        """Return the columns of a SELECT, of an expression for each."""
        return ",\n    ".join(
            f"to{kind}({expressions[name]}) AS {name}" for name, kind in self._kinds.items()
        )


@dataclass(frozen=True, slots=True)
class Packed:
    """A query whose rows have a shape."""

    query: Query
    shape: Shape
