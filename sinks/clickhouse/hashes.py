"""Many hashes in order, among which others are looked up."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.packed import Table

#: Of how many places in the sieve one hash takes one, at least.
_SIEVE_BITS: Final = 3
#: One to two hashes have the same leading bits.
_TOGETHER_BITS: Final = 1
#: How many hashes with the same leading bits are looked at one by one. More of them are rare, or made up.
_STEPS: Final = 8

Numbers = NDArray[np.uint64]
Places = NDArray[np.intp]


class Hashes:
    """Different hashes of 64 bits, in ascending order.

    Hashes are spread evenly, so their leading bits say to within a few places where one would be: a sixth
    of the time of a binary search through all of them, and no more than that one's if somebody finds ids
    whose hashes crowd. With a sieve of the leading bits, most of those that are not there fall through it
    before: that halves the time where hardly any is there, and costs a third where most are.
    """

    def __init__(self, ascending: Numbers, *, sieve: bool) -> None:
        """Take hashes that are in order, each once."""
        self._all = ascending
        bits = max(3, len(ascending).bit_length())
        self._sieve = _Sieve(ascending, bits + _SIEVE_BITS) if sieve else None
        self._shift = np.uint64(64 - bits + _TOGETHER_BITS)
        first = np.arange(1 << (bits - _TOGETHER_BITS), dtype=np.uint64) << self._shift
        self._starts = np.searchsorted(ascending, first).astype(np.int32)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._all.nbytes + self._starts.nbytes + (self._sieve.nbytes if self._sieve else 0)

    def find(self, some: Numbers) -> tuple[Places, Places]:
        """Return which of some hashes are there, by their numbers, and where."""
        if not len(self._all):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        here = self._sieve.left(some) if self._sieve else None
        some = some if here is None else some.take(here)
        at = self._starts.take(_leading(some, self._shift)).astype(np.intp)
        found = self._at(at)
        behind = np.flatnonzero(found < some)
        for _ in range(_STEPS):
            if not len(behind):
                break
            at[behind] += 1
            found[behind] = self._at(at.take(behind))
            behind = behind.compress(found.take(behind) < some.take(behind))
        if len(behind):
            at[behind] = np.searchsorted(self._all, some.take(behind))
            found[behind] = self._at(at.take(behind))
        there = np.flatnonzero(found == some)
        return there if here is None else here.take(there), at.take(there)

    def _at(self, places: Places) -> Numbers:
        """Return the hashes at some places: the last one beyond the end."""
        return self._all.take(places, mode="clip")


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

    def left(self, some: Numbers) -> Places:
        """Return the numbers of those that may be there."""
        place = _leading(some, self._shift)
        return np.flatnonzero(self._places.take(place >> 3) >> (place & 7).astype(np.uint8) & 1)


def _leading(hashes: Numbers, shift: np.uint64) -> Places:
    """Return the leading bits of hashes, as places: what is left of them is no negative number."""
    return (hashes >> shift).view(np.int64)


class Marked:
    """Different hashes, and a mark on each: a number."""

    def __init__(self, hashes: Hashes, marks: NDArray[Any]) -> None:
        """Take as many marks as there are hashes."""
        self._hashes = hashes
        self._marks = marks

    @classmethod
    def of(cls, table: Table) -> Marked:
        """Make it of a table: hashes in order, among which most that are looked up are, and their marks."""
        hashes, marks = table.columns.values()
        return cls(Hashes(hashes, sieve=False), marks)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._hashes.nbytes + self._marks.nbytes

    def find(self, some: Numbers) -> tuple[Places, NDArray[Any]]:
        """Return which of some hashes are there, by their numbers, and the marks of these."""
        here, at = self._hashes.find(some)
        return here, self._marks.take(at)

    def marks(self, some: Numbers) -> NDArray[Any]:
        """Return the marks of some hashes; 0 for those that are not there."""
        here, found = self.find(some)
        marks = np.zeros(len(some), self._marks.dtype)
        marks[here] = found
        return marks
