"""A catalog for readings that only ask which videos are live."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from streams.domain.video_readings import CatalogEntry


@dataclass(frozen=True)
class LiveOnly:
    """A `Catalog` that knows which videos are live, and answers nothing else."""

    videos: Collection[str] = ()

    async def entry(self, video_id: str) -> CatalogEntry:
        """Raise an error: nobody asks for it."""
        raise NotImplementedError

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """Raise an error: nobody asks for them."""
        raise NotImplementedError

    async def live(self) -> Collection[str]:
        """Return the ids of the live videos."""
        return self.videos

    async def first(self) -> datetime | None:
        """Raise an error: nobody asks for it."""
        raise NotImplementedError
