"""Lengths of all videos in the catalog, for workers that read only some partitions of its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import structlog

from sinks.base import Unavailable
from streams.domain.catalog import Catalog
from streams.domain.rows import CatalogRow

log = structlog.get_logger(__name__)

_REFRESH_SECONDS: Final = 5.0
#: Entries reach ClickHouse later than their record time: each refresh reads this far back again.
_OVERLAP_MS: Final = 120_000


class CatalogHistory(Protocol):
    """The stored catalog; ClickHouse's archive implements it."""

    async def catalog(self, since: int) -> list[CatalogRow]:
        """Return every version received from `since` (epoch ms) on, oldest first."""


class CatalogFeed:
    """Keeps the lengths of videos: from own partitions at once, from others a few seconds later."""

    def __init__(self, history: CatalogHistory) -> None:
        """Start empty; `run` reads the history."""
        self._history = history
        self._catalog = Catalog()
        self.length_ms = self._catalog.length_ms

    def update(self, rows: Iterable[CatalogRow]) -> None:
        """Add rows of a partition that this worker reads."""
        self._catalog.update(rows)

    async def run(self) -> None:
        """Refresh from the history for ever."""
        newest = 0
        while True:
            try:
                rows = await self._history.catalog(max(0, newest - _OVERLAP_MS))
            except Unavailable as error:
                log.warning("the catalog could not be read; it will be retried", error=str(error)[:300])
            else:
                self._catalog.update(rows)
                newest = max((row.received_at for row in rows), default=newest)
            await asyncio.sleep(_REFRESH_SECONDS)
