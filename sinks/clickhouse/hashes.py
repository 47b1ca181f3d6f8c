"""Many hashes in order, among which others are looked up."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.packed import Table

#: Of how many places in the sieve one hash takes one, at least.
_SIEVE_BITS: Final = 3
#: How many hashes have the same leading bits, about.
_TOGETHER_BITS: Final = 2

Numbers = NDArray[np.uint64]


class Hashes:
    """Different hashes of 64 bits, in ascending order.

    Hashes are spread evenly, so their leading bits say to within a few places where one would be: an eighth
    of the time of a binary search through all of them, and no more than that if somebody finds ids whose
    hashes crowd. Most of those that are not there fall through a sieve of the leading bits before.
    """

    def __init__(self, ascending: Numbers) -> None:
        """Take hashes that are in order, each once."""
        self._all = ascending
        bits = max(3, len(ascending).bit_length())
        self._sieve = _Sieve(ascending, bits + _SIEVE_BITS)
        self._shift = np.uint64(64 - bits + _TOGETHER_BITS)
        first = np.arange(1 << (bits - _TOGETHER_BITS), dtype=np.uint64) << self._shift
        self._starts = np.searchsorted(ascending, first).astype(np.int32)
        widest = int(np.diff(self._starts, append=len(ascending)).max())
        self._steps = [1 << step for step in reversed(range(max(0, widest - 1).bit_length()))]

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._all.nbytes + self._sieve.nbytes + self._starts.nbytes

    def find(self, some: Numbers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which of some hashes are there, by their numbers, and where."""
        here = self._sieve.left(some)
        some, last = some[here], len(self._all) - 1
        at = np.minimum(self._starts[some >> self._shift].astype(np.intp), last)
        for step in self._steps:
            further = np.minimum(at + step, last)
            at = np.where(self._all[further] <= some, further, at)
        there = self._all[at] == some
        return here[there], at[there]


class _Sieve:
    """A bit for each beginning of a hash: whether there is one that begins so."""

    def __init__(self, hashes: Numbers, bits: int) -> None:
        self._shift = np.uint64(64 - bits)
        places = np.zeros(1 << bits, np.bool_)
        places[hashes >> self._shift] = True
        self._places = np.packbits(places, bitorder="little")

    @property
    def nbytes(self) -> int:
        return self._places.nbytes

    def left(self, some: Numbers) -> NDArray[np.intp]:
        """Return the numbers of those that may be there."""
        place = some >> self._shift
        bit = (place & np.uint64(7)).astype(np.uint8)
        return np.flatnonzero(self._places[place >> np.uint64(3)] >> bit & 1)


class Marked:
    """Different hashes, and a mark on each: a number."""

    def __init__(self, hashes: Hashes, marks: NDArray[Any]) -> None:
        """Take as many marks as there are hashes."""
        self._hashes = hashes
        self._marks = marks

    @classmethod
    def of(cls, table: Table) -> Marked:
        """Make it of a table of hashes, in ascending order, and their marks."""
        hash_name, mark_name = table.dtype.names or ()
        return cls(Hashes(table[hash_name].copy()), table[mark_name].copy())

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._hashes.nbytes + self._marks.nbytes

    def find(self, some: Numbers) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Return which of some hashes are there, and their marks; 0 for others."""
        here, at = self._hashes.find(some)
        known, marks = np.zeros(len(some), np.bool_), np.zeros(len(some), self._marks.dtype)
        known[here] = True
        marks[here] = self._marks[at]
        return known, marks
