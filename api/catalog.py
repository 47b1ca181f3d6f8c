"""A cache of the video catalog, which live answers use also while ClickHouse is down."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from api.metrics import observe_lookup
from streams.domain.errors import StoreUnavailableError
from streams.domain.video_readings import Catalog, CatalogEntry

#: Seconds for which a cached value is fresh.
TTL_SECONDS: Final = 5.0
#: Seconds after a failure during which the catalog is not called.
COOLDOWN_SECONDS: Final = 2.0
_MAX_ENTRIES: Final = 10_000
_CACHE: Final = "catalog"

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(slots=True)
class _Cache(Generic[Key, Value]):
    """Values with the time of their reading; those read longest ago make room for others."""

    entries: OrderedDict[Key, tuple[float, Value]] = field(default_factory=OrderedDict)

    def put(self, key: Key, value: Value, now: float) -> None:
        self.entries[key] = (now, value)
        self.entries.move_to_end(key)
        while len(self.entries) > _MAX_ENTRIES:
            self.entries.popitem(last=False)

    def drop(self, key: Key) -> None:
        self.entries.pop(key, None)

    def get(self, key: Key, oldest: float) -> tuple[bool, Value | None]:
        at, value = self.entries.get(key, (float("-inf"), None))
        return at >= oldest, value


class CachedCatalog:
    """`Catalog` that caches another one.

    While that one fails, cached values are used, however old; without one, the failure is raised. Unknown
    videos are not cached.
    """

    def __init__(self, catalog: Catalog, clock: Callable[[], float] = time.monotonic) -> None:
        """Cache `catalog`; `clock` gives seconds."""
        self._catalog = catalog
        self._clock = clock
        self._cooldown_until = float("-inf")
        self._entries: _Cache[str, CatalogEntry] = _Cache()
        self._titles: _Cache[str, str] = _Cache()
        self._live: _Cache[str, Collection[str]] = _Cache()

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        if self._clock() < self._cooldown_until:
            raise StoreUnavailableError(
                "catalog", "a read failed moments ago; the next attempt follows shortly"
            )
        try:
            return await question()
        except StoreUnavailableError:
            self._cooldown_until = self._clock() + COOLDOWN_SECONDS
            raise

    async def entry(self, video_id: str) -> CatalogEntry:
        """See `Catalog.entry`."""
        fresh, kept = self._entries.get(video_id, self._clock() - TTL_SECONDS)
        observe_lookup(_CACHE, fresh)
        if fresh and kept is not None:
            return kept
        try:
            entry: CatalogEntry = await self._ask(lambda: self._catalog.entry(video_id))
        except StoreUnavailableError:
            if kept is None:
                raise
            return kept
        if entry.known:
            self._entries.put(video_id, entry, self._clock())
        return entry

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """See `Catalog.titles`."""
        oldest = self._clock() - TTL_SECONDS
        kept = {video: self._titles.get(video, oldest) for video in video_ids}
        stale = [video for video, (fresh, _) in kept.items() if not fresh]
        observe_lookup(_CACHE, not stale)
        if stale:
            try:
                found: Mapping[str, str] = await self._ask(lambda: self._catalog.titles(stale))
            except StoreUnavailableError:
                if not any(title for _, title in kept.values()):
                    raise
            else:
                for video in stale:
                    title = found.get(video)
                    kept[video] = (True, title)
                    if title is None:
                        self._titles.drop(video)
                    else:
                        self._titles.put(video, title, self._clock())
        return {video: title for video, (_, title) in kept.items() if title is not None}

    async def live(self) -> Collection[str]:
        """See `Catalog.live`."""
        fresh, kept = self._live.get("", self._clock() - TTL_SECONDS)
        observe_lookup(_CACHE, fresh)
        if fresh and kept is not None:
            return kept
        try:
            live: Collection[str] = await self._ask(self._catalog.live)
        except StoreUnavailableError:
            if kept is None:
                raise
            return kept
        self._live.put("", live, self._clock())
        return live

    async def first(self) -> datetime | None:
        """See `Catalog.first`."""
        first: datetime | None = await self._ask(self._catalog.first)
        return first
