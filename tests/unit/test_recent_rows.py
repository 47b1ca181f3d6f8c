"""Rows that are kept and brought up to date: what they say is what the server had, whenever it was asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sinks.clickhouse import recent_rows
from sinks.clickhouse.hash_index import Places
from sinks.clickhouse.native_reader import Shape, Table
from sinks.clickhouse.recent_rows import RecentRows
from tests.audience.tables import table

SHAPE = Shape(key="UInt64", pages="UInt32", block="UInt64")
KEYS = 12
Snapshot = list[tuple[int, dict[int, int]]]


class Server:
    """A table's parts, in order: the number of the last block of each, and its sums by key."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.parts: Snapshot = []
        self.blocks = 0

    def insert(self) -> None:
        # Numbers are not always used.
        self.blocks += self.rng.choice((1, 1, 1, 2))
        some = self.rng.sample(range(KEYS), self.rng.randrange(1, 4))
        self.parts = [*self.parts, (self.blocks, {key * 7: self.rng.choice((0, 1, 5)) for key in some})]

    def merge(self) -> None:
        if len(self.parts) > 1:
            at = self.rng.randrange(len(self.parts) - 1)
            (_, first), (last, second) = self.parts[at : at + 2]
            both = {key: first.get(key, 0) + second.get(key, 0) for key in first | second}
            self.parts = [*self.parts[:at], (last, both), *self.parts[at + 2 :]]

    def change(self) -> None:
        for _ in range(self.rng.choice((0, 0, 1, 1, 2, 6))):
            self.rng.choice((self.insert, self.insert, self.merge))()

    def query(self, block: int) -> Table:
        """Read which keys have changed, and what they are: two snapshots, of which either may be first."""
        one, other = self.parts, self.parts
        if block:
            self.change()
            one = self.parts
            self.change()
            other = self.parts
            if self.rng.random() < 0.5:
                one, other = other, one
        changed = {key for last, keys in one if last > block for key in keys}
        latest: dict[int, int] = {}
        for last, keys in other:
            latest |= dict.fromkeys(keys, last)
        rows = [(key, value, latest[key]) for key, value in sums(other).items() if key in changed]
        self.rng.shuffle(rows)
        return table(SHAPE, rows)


def sums(parts: Snapshot) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    for _, keys in parts:
        for key, value in keys.items():
            found[key] += value
    return found


def kept(rows: RecentRows) -> dict[int, int]:
    keys = rows["key"].tolist()
    assert len(keys) == len(set(keys)) == len(rows)
    return dict(zip(keys, rows["pages"].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_rows_have_at_least_what_was_there_before_a_query_and_at_most_what_is_there_after_it(
    seed: int,
) -> None:
    for run in range(40):
        server, rows = Server(Random(f"{seed} {run}")), RecentRows(SHAPE)
        for _ in range(40):
            server.change()
            before = sums(server.parts)
            rows.update(server.query(rows.block))
            found, after = kept(rows), sums(server.parts)
            assert found.keys() >= before.keys()
            assert all(before.get(key, 0) <= value <= after[key] for key, value in found.items())


def test_what_was_there_when_a_change_was_read_is_not_read_again() -> None:
    rows = RecentRows(SHAPE)
    rows.update(table(SHAPE, [(1, 0, 7), (2, 0, 9)]))
    assert rows.block == 9
    rows.update(table(SHAPE, [(2, 1, 12)]))
    # Another key may have changed in the same block, and not have been read.
    assert rows.block == 9
    rows.update(table(SHAPE, []))
    assert rows.block == 12
    rows.clear()
    assert (len(rows), rows.block) == (0, 0)


def test_nothing_is_read_as_changed_until_there_is_something() -> None:
    rows = RecentRows(SHAPE)
    rows.update(table(SHAPE, []))
    assert rows.block == 0
    rows.update(table(SHAPE, [(5, 1, 3)]))
    assert (kept(rows), rows.block) == ({5: 1}, 3)


@pytest.mark.parametrize("begun", [0, 3])
def test_rows_for_which_there_is_no_memory_change_nothing(
    begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [(key, 1, 9) for key in range(40)]
    longer = recent_rows._longer
    for lasts in range(3):
        rows = RecentRows(SHAPE)
        rows.update(table(SHAPE, [(key, 0, 5) for key in range(begun)]))
        calls = iter(range(10))

        def scarce(
            column: NDArray[Any], length: int, calls: Iterator[int] = calls, lasts: int = lasts
        ) -> NDArray[Any]:
            if next(calls) == lasts:
                raise MemoryError
            return longer(column, length)

        with monkeypatch.context() as patched:
            patched.setattr(recent_rows, "_longer", scarce)
            with pytest.raises(MemoryError):
                rows.update(table(SHAPE, everything))
        assert (kept(rows), rows.block) == (dict.fromkeys(range(begun), 0), 5 if begun else 0)
        rows.update(table(SHAPE, everything))
        assert (kept(rows), rows.block) == (dict.fromkeys(range(40), 1), 5 if begun else 9)


@pytest.mark.parametrize("seed", range(5))
def test_only_what_was_written_since_is_looked_up(seed: int) -> None:
    rng = Random(seed)
    rows, truth = RecentRows(SHAPE), dict[int, int]()
    asked: list[int] = []

    def look_up(places: Places) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        asked.extend(rows["key"].take(places).tolist())
        return rows["key"].take(places) * np.uint64(2), rows["pages"].take(places) + np.uint32(1)

    whom: list[Callable[[], None]] = [lambda: None, lambda: None]
    for _ in range(60):
        changed = {rng.randrange(2**64): rng.randrange(99) for _ in range(rng.choice((0, 1, 30)))}
        changed |= {key: rng.randrange(99) for key in rng.sample(sorted(truth), min(len(truth), 3))}
        rows.update(table(SHAPE, [(key, pages, 1) for key, pages in changed.items()]))
        truth |= changed
        for each in whom:
            asked.clear()
            doubled, more = rows.looked_up(each, look_up)
            assert sorted(asked) == sorted(changed)
            assert doubled.tolist() == [key * 2 % 2**64 for key in rows["key"].tolist()]
            assert more.tolist() == [pages + 1 for pages in rows["pages"].tolist()]
            asked.clear()
            rows.looked_up(each, look_up)
            assert asked == []
    assert kept(rows) == truth
    assert rows.nbytes > sum(
        array.nbytes for array in (rows["key"], rows["pages"], *rows.looked_up(whom[0], look_up))
    )
