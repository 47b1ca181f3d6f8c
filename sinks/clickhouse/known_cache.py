"""Who and what was known before a day, kept in memory as far as that goes.

It is read ahead only, and used for as long as what is kept of the days that are over would be
(`day_cache.py`): until one of those days changes. Where something is not kept, it is looked up in the store.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from sinks.clickhouse.day_cache import LONGEST_SECONDS, RENEWED, Split


class Known(Protocol):
    """Something that is kept."""

    @property
    def nbytes(self) -> int:
        """Return the bytes that it takes."""


K = TypeVar("K", bound=Known)


@dataclass(frozen=True, slots=True)
class _Entry:
    version: tuple[date, int]
    at: float
    known: Known | None


class KnownCache:
    """Keeps what was known before days, of `most` bytes at most. What is being read comes on top."""

    def __init__(
        self,
        most: int,
        *,
        longest: float = LONGEST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Keep nothing yet; `clock` gives seconds. `on_lookup` is told whether something was kept."""
        self._most = most
        self._longest = longest
        self._clock = clock
        self._on_lookup = on_lookup
        self._kept: dict[Hashable, _Entry] = {}

    def get(self, key: Hashable, kind: type[K], split: Split) -> K | None:
        """Return what is kept under a key of the days before a split, if it is and is of that kind."""
        entry = self._kept.get(key)
        known = entry.known if entry is not None and self._serves(entry, split, self._longest) else None
        found = known if isinstance(known, kind) else None
        self._on_lookup(found is not None)
        return found

    async def keep(self, key: Hashable, split: Split, read: Callable[[int], Awaitable[Known | None]]) -> None:
        """Read and keep what is not kept yet, or has been for long.

        `read` is told how many bytes there is room for, and may return None if it takes more; where there is
        none, it is not asked. What it raises is raised.
        """
        now, version = self._clock(), (split.day, split.version)
        entry = self._kept.get(key)
        # What was too large is not read again before its time, what is kept somewhat earlier.
        longest = self._longest * (RENEWED if entry and entry.known else 1)
        if entry is not None and self._serves(entry, split, longest):
            return
        # What is kept of the same days stays; only what is of other days makes room.
        others = (other for name, other in self._kept.items() if name != key and other.version == version)
        room = self._most - sum(_bytes(other) for other in others)
        known = await read(room) if room > 0 else None
        # What it takes to find something is known only now.
        fits = known is not None and known.nbytes <= room
        self._kept[key] = _Entry(version, now, known if fits else None)
        self._drop(version)

    def _serves(self, entry: _Entry, split: Split, longest: float) -> bool:
        return entry.version == (split.day, split.version) and self._clock() - entry.at < longest

    def _drop(self, version: tuple[date, int]) -> None:
        """Forget what is too old, and what is of other days where it all takes too much."""
        oldest = self._clock() - self._longest
        self._kept = {key: entry for key, entry in self._kept.items() if entry.at > oldest}
        for key in [key for key, entry in self._kept.items() if entry.version != version]:
            if sum(map(_bytes, self._kept.values())) <= self._most:
                break
            del self._kept[key]


def _bytes(entry: _Entry) -> int:
    return entry.known.nbytes if entry.known else 0
