"""Many hashes in order, among which others are looked up.

They are spread evenly, so a hash itself says about where it is. Both ways of looking it up rest on that, and
take no longer than a binary search if somebody finds ids whose hashes crowd.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.native_reader import Table

#: Of how many places in the sieve one hash takes one, at least.
_SIEVE_BITS: Final = 3
#: One to two hashes have the same leading bits.
_TOGETHER_BITS: Final = 1
#: Places for each hash that has a mark: with fewer of them, more are not where they should be.
_PLACES: Final = 5 / 3
#: How many places are looked at one by one. More of them are rare, or made up.
_STEPS: Final = 8
_HALF: Final = np.uint64(32)

Numbers = NDArray[np.uint64]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


class HashSet:
    """Different hashes of 64 bits, in ascending order: for those among which hardly any is found.

    Most that are not there fall through a sieve of the leading bits, which halves the time. For the rest a
    table says from where hashes with the same leading bits begin.
    """

    def __init__(self, ascending: Numbers) -> None:
        """Take hashes that are in order, each once."""
        self._all = ascending
        bits = max(3, len(ascending).bit_length())
        self._sieve = _BitFilter(ascending, bits + _SIEVE_BITS)
        self._shift = np.uint64(64 - bits + _TOGETHER_BITS)
        first = np.arange(1 << (bits - _TOGETHER_BITS), dtype=np.uint64) << self._shift
        self._starts = np.searchsorted(ascending, first).astype(np.int32)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._all.nbytes + self._starts.nbytes + self._sieve.nbytes

    def find(self, some: Numbers) -> tuple[Places, Places]:
        """Return which of some hashes are there, by their numbers, and where."""
        if not len(self._all):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        here = self._sieve.left(some)
        some = some.take(here)
        there, at = _found(self._all, some, self._starts.take(_leading(some, self._shift)).astype(np.intp))
        return here.compress(there), at.compress(there)


class _BitFilter:
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


def _found(ascending: Numbers, some: Numbers, at: Places) -> tuple[Flags, Places]:
    """Return whether hashes are there, and the places of those that are.

    They are looked for from `at` on, which becomes what is returned.
    """
    found = ascending.take(at, mode="clip")
    behind = np.flatnonzero(found < some)
    for _ in range(_STEPS):
        if not len(behind):
            break
        on = at.take(behind) + 1
        at[behind] = on
        here = ascending.take(on, mode="clip")
        found[behind] = here
        behind = behind.compress(here < some.take(behind))
    if len(behind):
        at[behind] = np.searchsorted(ascending, some.take(behind))
        found[behind] = ascending.take(at.take(behind), mode="clip")
    return found == some, at


class HashMap:
    """Different hashes, and a mark on each, a number: for those among which most that are asked for are.

    Each hash has the place that is as far along as the hash is among all numbers, or the next one that is
    free. The places before it that are free tell of it too. So one look is enough for two of three hashes,
    where a table of where they begin takes two looks into memory that is not in the cache, and more steps
    after them.
    """

    def __init__(self, ascending: Numbers, marks: NDArray[Any]) -> None:
        """Take hashes that are in order, each once, and as many marks."""
        self._wanted = np.uint64(len(ascending) * _PLACES)
        rows = np.arange(len(ascending))
        places = np.maximum.accumulate(self._places(ascending) - rows) + rows
        taken = np.zeros(max(int(self._wanted), int(places[-1]) + 1) if len(places) else 0, np.bool_)
        taken[places] = True
        # Of each place: the first hash that is there or behind it; behind the last one, that.
        first = np.cumsum(taken, dtype=np.int32) - taken
        self._hashes = ascending.take(first, mode="clip")
        self._marks = marks.take(first, mode="clip")

    @classmethod
    def of(cls, table: Table) -> HashMap:
        """Make it of a table of two columns: hashes in order, and their marks."""
        hashes, marks = table.columns.values()
        return cls(hashes, marks)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._hashes.nbytes + self._marks.nbytes

    def find(self, some: Numbers) -> tuple[Flags, NDArray[Any]]:
        """Return whether hashes are there, and their marks: 0 for those that are not."""
        if not len(self._hashes):
            return np.zeros(len(some), np.bool_), np.zeros(len(some), self._marks.dtype)
        there, at = _found(self._hashes, some, self._places(some))
        return there, self._marks.take(at, mode="clip") * there

    def _places(self, hashes: Numbers) -> Places:
        """Return the places that hashes should have."""
        places = hashes >> _HALF
        places *= self._wanted
        places >>= _HALF
        return places.view(np.int64)
