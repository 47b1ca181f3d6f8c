"""Rows of a table since a day, kept between answers and brought up to date with what has changed.

A MergeTree numbers blocks of rows in the order in which they become visible, and the name of a part has the
numbers of its first and its last block, also after merges. So the rows of a key are unchanged while all parts
that have it end with blocks that were read before. A query asks for the keys in other parts, and for what
their rows add up to now.

Only tables on one server number blocks in that order; replicas and shards do not.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.hash_index import Numbers, Places
from sinks.clickhouse.native_reader import Shape, Table
from sinks.clickhouse.queries import Query

#: The last block in the part of a row.
_BLOCK: Final = "toUInt64(splitByChar('_', _part)[3])"
#: The column of a table with the last block of all parts of a key.
COLUMN: Final = "block"
#: The engine of tables whose blocks are numbered as above.
_ENGINE: Final = "AggregatingMergeTree"
#: The tables that are read in this way.
_TABLES: Final = ("session_days", "user_days")
#: What a full array grows to, as a multiple of its length.
_GROWTH: Final = 1.25

LookUp = Callable[[Places], tuple[NDArray[Any], ...]]


@dataclass(frozen=True, slots=True)
class Since:
    """What to read of a day and later days: the keys that changed after a block, or else all of them.

    Without `changed_after`, the number of the block of a row is 0.
    """

    day: date
    changed_after: int | None = None

    @property
    def block(self) -> str:
        """Return the number of the block of a row."""
        return "0" if self.changed_after is None else _BLOCK

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the values that `condition` binds."""
        return {"open": self.day, "block": self.changed_after} if self.changed_after else {}

    def condition(self, table: str, key: str) -> str:
        """Return the condition, to be added to others, that a key has changed."""
        if not self.changed_after:
            return ""
        return (
            f"\n    AND {key} IN (SELECT {key} FROM {table}"
            f" WHERE day >= {{open:Date}} AND {_BLOCK} > {{block:UInt64}})"
        )


@dataclass(slots=True)
class _Found:
    """What was looked up for each row, as of an update."""

    columns: list[NDArray[Any]]
    update: int


def block_numbers() -> Query:
    """Return a row with `numbered`: whether the blocks of all tables are numbered as they become visible."""
    return Query(
        "SELECT count() = {tables:UInt8} AS numbered FROM system.tables"
        " WHERE database = currentDatabase() AND name IN {names:Array(String)} AND engine = {engine:String}",
        {"tables": len(_TABLES), "names": list(_TABLES), "engine": _ENGINE},
    )


class RecentRows:
    """A table with a row for each key, whose rows are replaced in place; new ones come last.

    The first column of its shape is the key, and one is `COLUMN`. Whoever reads or updates rows, or looks up
    with them, holds `lock` until that is done.
    """

    def __init__(self, shape: Shape) -> None:
        """Start empty."""
        self.lock = Lock()
        self._shape = shape
        self._key = next(iter(shape.kinds))
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty(0, dtype) for name, dtype in self._shape.dtypes.items() if name != COLUMN
        }
        self._length = 0
        #: The number of the last update, and of the one that wrote each row.
        self._update = 0
        self._written = np.empty(0, np.int32)
        #: All keys in ascending order, and the row of each; empty until the first rows are replaced.
        self._ascending: Numbers = np.empty(0, np.uint64)
        self._rows: NDArray[np.int32] = np.empty(0, np.int32)
        self._found: WeakKeyDictionary[object, _Found] = WeakKeyDictionary()
        #: Kept as a number, because another thread may add to the dictionary while `nbytes` is asked for.
        self._found_bytes = 0
        #: All blocks up to this one are in the rows.
        self.block = 0
        self._latest = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column, which the next update changes."""
        return self._columns[name][: self._length]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._length

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        arrays = [*self._columns.values(), self._written, self._ascending, self._rows]
        return sum(array.nbytes for array in arrays) + self._found_bytes

    def update(self, changed: Table) -> None:
        """Write the rows of the keys that a query for blocks after `block` returned."""
        everything = not self._length
        if len(changed):
            self._write(changed)
        latest = max(self._latest, int(changed[COLUMN].max(initial=0)))
        # Which keys have changed, and what their rows are now, a query reads one after the other: only what
        # was visible before it is certain to be in both. All rows are read at once.
        self.block, self._latest = latest if everything else self._latest, latest

    def replace(self, everything: Table) -> None:
        """Forget all rows, and write those of a query for everything."""
        self.clear()
        self.update(everything)

    def _write(self, changed: Table) -> None:
        # Whatever takes memory comes first: where there is none, the rows stay as they were.
        places = self._places(changed[self._key])
        length = max(self._length, int(places.max()) + 1)
        written = _longer(self._written, length)
        columns = {name: _longer(column, length) for name, column in self._columns.items()}
        self._update += 1
        written[places] = self._update
        for name, column in columns.items():
            column[places] = changed[name]
        self._written, self._columns, self._length = written, columns, length

    def _places(self, keys: Numbers) -> Places:
        """Return the rows of keys; those that are not there yet get the next ones."""
        if not self._length:
            return np.arange(len(keys))
        if len(self._ascending) != self._length:
            order = np.argsort(self[self._key])
            self._ascending, self._rows = self[self._key].take(order), order.astype(np.int32)
        at = np.searchsorted(self._ascending, keys)
        rows = self._rows.take(at, mode="clip").astype(np.intp)
        new = np.flatnonzero(self._ascending.take(at, mode="clip") != keys)
        if len(new):
            new = new.take(np.argsort(keys.take(new)))
            rows[new] = np.arange(self._length, self._length + len(new))
            ascending = np.insert(self._ascending, at.take(new), keys.take(new))
            self._ascending, self._rows = ascending, np.insert(self._rows, at.take(new), rows.take(new))
        return rows

    def looked_up(self, whom: object, look_up: LookUp) -> list[NDArray[Any]]:
        """Return what `look_up` returns for all rows; it is called with those written since the last time.

        `whom` is who looks up: always the same function of a row.
        """
        found = self._found.get(whom)
        if found is None:
            found = self._found[whom] = _Found(list(look_up(np.arange(self._length))), self._update)
        elif found.update != self._update:
            rows = np.flatnonzero(self._written[: self._length] > found.update)
            for number, column in enumerate(look_up(rows)):
                found.columns[number] = _longer(found.columns[number], self._length)
                found.columns[number][rows] = column
            found.update = self._update
        self._found_bytes = sum(column.nbytes for each in self._found.values() for column in each.columns)
        return [column[: self._length] for column in found.columns]


def _longer(column: NDArray[Any], length: int) -> NDArray[Any]:
    """Return a column with at least so many elements: the same one, or a copy with some to spare."""
    if len(column) >= length:
        return column
    longer = np.empty(max(length, int(len(column) * _GROWTH)), column.dtype)
    longer[: len(column)] = column
    return longer
