"""A cache of the users and sessions known before a day.

It is filled by prefetching only, and its entries are valid as long as those of `day_cache.py`: until one of
the days before changes. Whatever is not in the cache is looked up in the store.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from sinks.clickhouse.day_cache import MAX_AGE_SECONDS, RENEW_SHARE, Split


class Known(Protocol):
    """A value in the cache."""

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
    """A cache of at most `max_bytes` bytes; a value that is being read comes on top."""

    def __init__(
        self,
        max_bytes: int,
        *,
        max_age: float = MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on_lookup: Callable[[bool], None] = lambda found: None,
    ) -> None:
        """Start empty; `clock` and `max_age` are in seconds. `on_lookup` is called with True for a hit."""
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._clock = clock
        self._on_lookup = on_lookup
        self._entries: dict[Hashable, _Entry] = {}

    def get(self, key: Hashable, kind: type[K], split: Split) -> K | None:
        """Return the value of a key for the days before a split, if it is cached and of that kind."""
        found = self.peek(key, kind, split)
        self._on_lookup(found is not None)
        return found

    def peek(self, key: Hashable, kind: type[K], split: Split) -> K | None:
        """Return what `get` returns, without a call of `on_lookup`."""
        entry = self._entries.get(key)
        known = entry.known if entry is not None and self._serves(entry, split, self._max_age) else None
        return known if isinstance(known, kind) else None

    async def refresh(
        self, key: Hashable, split: Split, read: Callable[[int], Awaitable[Known | None]]
    ) -> None:
        """Read a value that is not cached yet, or is due to be renewed.

        `read` is called with the available bytes, unless there are none, and may return None for a value that
        takes more, or cannot be read now. The one that is cached then serves until it is too old. Errors of
        `read` are raised.
        """
        now, version = self._clock(), (split.day, split.version)
        entry = self._entries.get(key)
        # A value that was too large is not read again before `max_age`; a cached one is renewed earlier.
        max_age = self._max_age * (RENEW_SHARE if entry and entry.known else 1)
        if entry is not None and self._serves(entry, split, max_age):
            return
        # Entries of the same days stay; only those of other days make room.
        others = (other for name, other in self._entries.items() if name != key and other.version == version)
        available = self._max_bytes - sum(_bytes(other) for other in others)
        known = await read(available) if available > 0 else None
        if known is None and entry is not None and entry.known and self._serves(entry, split, self._max_age):
            return
        # The size includes the index, which is known only now.
        fits = known is not None and known.nbytes <= available
        self._entries[key] = _Entry(version, now, known if fits else None)
        self._drop(version)

    def _serves(self, entry: _Entry, split: Split, max_age: float) -> bool:
        return entry.version == (split.day, split.version) and self._clock() - entry.at < max_age

    def _drop(self, version: tuple[date, int]) -> None:
        """Drop entries that are too old, and those of other days while all take too much memory."""
        oldest = self._clock() - self._max_age
        self._entries = {key: entry for key, entry in self._entries.items() if entry.at > oldest}
        for key in [key for key, entry in self._entries.items() if entry.version != version]:
            if sum(map(_bytes, self._entries.values())) <= self._max_bytes:
                break
            del self._entries[key]


def _bytes(entry: _Entry) -> int:
    return entry.known.nbytes if entry.known else 0
