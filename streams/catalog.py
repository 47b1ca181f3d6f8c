"""Lengths of all videos in the catalog, for workers that read only some partitions of its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import structlog

from sinks.base import Unavailable, Where
from streams.domain.catalog import Catalog
from streams.domain.rows import CatalogRow

log = structlog.get_logger(__name__)

_REFRESH_SECONDS: Final = 5.0
#: Replicas of ClickHouse may get entries out of order: each refresh reads this far back again.
_OVERLAP_MS: Final = 120_000

#: Rows after which other tasks have their turn.
_AT_ONCE: Final = 5_000


class CatalogHistory(Protocol):
    """The stored catalog; ClickHouse's archive implements it."""

    async def catalog(self, since: int, ends: Mapping[Where, int]) -> Iterable[CatalogRow]:
        """Return every version received from `since` (epoch ms) on, or that `ends` lacks; oldest first.

        `ends` has by log, topic and partition the offset after the last version that is known. Titles and
        owners may be empty.
        """


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
        newest, ends = 0, dict[Where, int]()
        while True:
            try:
                # Record times are not enough: a clock may be ahead of others, and a partition far behind.
                rows = await self._history.catalog(max(0, newest - _OVERLAP_MS), ends)
            except Unavailable as error:
                log.warning("the catalog could not be read; it will be retried", error=str(error)[:300])
            else:
                for number, row in enumerate(rows, 1):
                    self._catalog.update((row,))
                    newest = max(newest, row.received_at)
                    source = (row.log, row.topic, row.partition)
                    ends[source] = max(ends.get(source, 0), row.offset + 1)
                    if number % _AT_ONCE == 0:
                        await asyncio.sleep(0)
            await asyncio.sleep(_REFRESH_SECONDS)
