"""Look-ups of hashes in a large sorted set of hashes.

Hashes are evenly distributed, so a hash itself gives its approximate position. Both classes use that, and
take no longer than a binary search if somebody constructs ids whose hashes cluster.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.native_reader import Table

#: The filter has at least two to this power bits per hash.
_FILTER_BITS: Final = 3
#: With this, one to two hashes share their leading bits.
_TOGETHER_BITS: Final = 1
#: Places per hash in a `HashMap`: with fewer, more hashes are not at their own place.
_PLACES: Final = 5 / 3
#: Places that are probed one by one, before a binary search; longer runs are rare, or constructed.
_STEPS: Final = 8
_HALF: Final = np.uint64(32)
#: An odd number whose multiples are evenly distributed: 2^64 divided by the golden ratio.
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)

Numbers = NDArray[np.uint64]
Places = NDArray[np.intp]
Flags = NDArray[np.bool_]


class HashSet:
    """A set of 64-bit hashes, for look-ups that rarely find one.

    A filter rejects nearly all of those that are not there, which halves the time. For the others, a table
    has the position at which hashes with the same leading bits begin.
    """

    def __init__(self, ascending: Numbers) -> None:
        """Index distinct hashes in ascending order."""
        self._all = ascending
        bits = max(3, len(ascending).bit_length())
        self._filter = _BitFilter(ascending, bits + _FILTER_BITS)
        self._shift = np.uint64(64 - bits + _TOGETHER_BITS)
        first = np.arange(1 << (bits - _TOGETHER_BITS), dtype=np.uint64) << self._shift
        self._starts = np.searchsorted(ascending, first).astype(np.int32)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._all.nbytes + self._starts.nbytes + self._filter.nbytes

    def find(self, some: Numbers) -> tuple[Places, Places]:
        """Return the indexes of the hashes that are in the set, and their positions in it."""
        if not len(self._all):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        here = self._filter.candidates(some)
        some = some.take(here)
        there, at = _search(self._all, some, _at(self._starts, _leading(some, self._shift)).astype(np.intp))
        return here.compress(there), at.compress(there)


class _BitFilter:
    """For each hash, two bits of a byte: its leading bits select the byte, its last six the two bits."""

    def __init__(self, hashes: Numbers, bits: int) -> None:
        self._shift = np.uint64(64 + 3 - bits)
        places = np.zeros((1 << (bits - 3), 8), np.bool_)
        for last in _last_bits(hashes):
            places[_leading(hashes, self._shift), last] = True
        self._bytes = np.packbits(places, axis=1, bitorder="little").reshape(-1)

    @property
    def nbytes(self) -> int:
        return self._bytes.nbytes

    def candidates(self, some: Numbers) -> Places:
        """Return the indexes of hashes that may be in the set: few of those that are not."""
        found = _at(self._bytes, _leading(some, self._shift))
        one, other = _last_bits(some)
        return np.flatnonzero((found >> one & found >> other & 1).view(np.bool_))


def _last_bits(hashes: Numbers) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the numbers in the last three bits of hashes, and in the three before them."""
    last = hashes.astype(np.uint8)
    return last & np.uint8(7), last >> np.uint8(3) & np.uint8(7)


def _leading(hashes: Numbers, shift: np.uint64) -> Places:
    """Return the leading bits of hashes, as array indexes (never negative after the shift)."""
    return (hashes >> shift).view(np.int64)


def _at(column: NDArray[Any], places: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Return the elements at places; the last one for places behind it.

    NumPy takes a quarter longer if it must raise an error for places that are not there.
    """
    return column.take(places, mode="clip")


def contained(hashes: Numbers, some: Numbers) -> Flags:
    """Return which of `some` are among `hashes`, for few hashes that are not worth an index.

    The hashes go to slots of a table, one to each. Those that found no place get another slot, and what was
    not found is looked up there.
    """
    contained = np.zeros(len(some), np.bool_)
    left = np.arange(len(some))
    while len(hashes) and len(left):
        bits = len(hashes).bit_length() + 1
        shift = np.uint64(64 - bits)
        # Free slots have one of the hashes as well, so that nothing else is found there.
        table = np.full(1 << bits, hashes[0])
        slots = _leading(hashes, shift)
        table[slots] = hashes
        here = _at(table, _leading(some, shift)) == some
        contained[left.compress(here)] = True
        left = left.compress(~here)
        # Multiplied by an odd number, different hashes stay different, and part.
        some = some.compress(~here) * _SPREAD
        hashes = hashes.compress(_at(table, slots) != hashes) * _SPREAD
    return contained


def _search(ascending: Numbers, some: Numbers, at: Places) -> tuple[Flags, Places]:
    """Return whether hashes are in an ascending array, and the positions of those that are.

    The search starts at `at`, which is updated in place and returned.
    """
    found = _at(ascending, at)
    behind = np.flatnonzero(found < some)
    for _ in range(_STEPS):
        if not len(behind):
            break
        on = at.take(behind) + 1
        at[behind] = on
        here = _at(ascending, on)
        found[behind] = here
        behind = behind.compress(here < some.take(behind))
    if len(behind):
        at[behind] = np.searchsorted(ascending, some.take(behind))
        found[behind] = _at(ascending, at.take(behind))
    return found == some, at


def distinct_by_group(hashes: Numbers, groups: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return for each group, a number below `count`, how many distinct hashes have it.

    Every pair of a hash and a group writes its number to a slot of a table. The one that is found there
    stands for all equal pairs; others in the same slot try again. That takes half as long as sorting.
    """
    counts = np.zeros(count, np.intp)
    keys = hashes + groups * _SPREAD
    while len(keys):
        bits = len(keys).bit_length() + 1
        slots = _leading(keys, np.uint64(64 - bits))
        numbers = np.arange(len(keys), dtype=np.int32)
        table = np.empty(1 << bits, np.int32)
        table[slots] = numbers
        found = _at(table, slots)
        first = found == numbers
        counts += np.bincount(groups.compress(first), minlength=count)
        other = np.flatnonzero(~first)
        found = found.take(other)
        equal = (hashes.take(found) == hashes.take(other)) & (groups.take(found) == groups.take(other))
        other = other.compress(~equal)
        # Multiplied by an odd number, different keys stay different, and part.
        hashes, groups, keys = hashes.take(other), groups.take(other), keys.take(other) * _SPREAD
    return counts


class HashMap:
    """A map from 64-bit hashes to numbers, for look-ups that mostly find one.

    Each hash is stored at the place proportional to its value, or at the next free one. Free places before it
    refer to it, too. So for two of three hashes one memory access is enough, where a table of positions takes
    two accesses outside the processor's cache, and more steps after them.
    """

    def __init__(self, ascending: Numbers, values: NDArray[Any]) -> None:
        """Index distinct hashes in ascending order, with a value each."""
        self._wanted = np.uint64(len(ascending) * _PLACES)
        rows = np.arange(len(ascending))
        places = np.maximum.accumulate(self._places(ascending) - rows) + rows
        taken = np.zeros(max(int(self._wanted), int(places[-1]) + 1) if len(places) else 0, np.bool_)
        taken[places] = True
        # For each place, the first hash at or after it; after the last hash, the last one.
        first = np.cumsum(taken, dtype=np.int32) - taken
        self._hashes = _at(ascending, first)
        self._values = _at(values, first)

    @classmethod
    def of(cls, table: Table) -> HashMap:
        """Make a map of a table with two columns: sorted hashes, and their values."""
        hashes, values = table.columns.values()
        return cls(hashes, values)

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""
        return self._hashes.nbytes + self._values.nbytes

    def find(self, some: Numbers) -> tuple[Flags, NDArray[Any]]:
        """Return whether hashes are in the map, and their values; 0 for those that are not."""
        if not len(self._hashes):
            return np.zeros(len(some), np.bool_), np.zeros(len(some), self._values.dtype)
        there, at = _search(self._hashes, some, self._places(some))
        return there, _at(self._values, at) * there

    def _places(self, hashes: Numbers) -> Places:
        """Return the place proportional to each hash."""
        places = hashes >> _HALF
        places *= self._wanted
        places >>= _HALF
        return places.view(np.int64)
