"""Readings of videos: the sums and counts that a store returns, without ratios.

Both stores return the same readings of the same events. So the arithmetic exists once
(`streams.domain.metrics`), and answers do not depend on the store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from streams.domain.measures import Sums
from streams.domain.timeline import Timeline
from streams.domain.windows import Window

#: How many videos `topVideos` names.
TOP_VIDEOS: Final = 10


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A video's entry in the catalog, and when its data begins.

    `listed`: it is in the catalog and not deleted. `first` is the instant of its first data, to the quarter
    of an hour; None when there is none.
    """

    listed: bool = False
    title: str | None = None
    live: bool = False
    first: datetime | None = None

    @property
    def known(self) -> bool:
        """Say whether the video exists: it is in the catalog, or has data."""
        return self.listed or self.first is not None


@dataclass(frozen=True, slots=True)
class VideoReading:
    """One video in a window.

    `total` is of the whole window; `elapsed` and `before` are the equally long stretches to compare, and
    `before` is None when there is none. Dimensions have only values with views.
    """

    total: Sums
    elapsed: Sums
    before: Sums | None
    unique: int
    points: Mapping[int, Sums] = field(default_factory=dict)
    """Sums by position in the timeline; a missing position has no data."""
    unique_points: Mapping[int, int] = field(default_factory=dict)
    countries: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    platforms: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Say whether nothing at all happened in the window."""
        return not any(self.total.values())


@dataclass(frozen=True, slots=True)
class RankedVideo:
    """One of the top videos."""

    id: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class SummaryReading:
    """All videos in a window.

    `videos` counts those with a view; `reactions` are likes and comments on these. `recorded` are the sums of
    videos that are not live, None when the catalog could not be read.
    """

    videos: int
    total: Sums
    elapsed: Sums
    before: Sums | None
    recorded: Sums | None
    reactions: Sums
    top: tuple[RankedVideo, ...]


class Catalog(Protocol):
    """The video catalog. Every method raises `StoreUnavailableError` when it cannot be read."""

    async def entry(self, video_id: str) -> CatalogEntry:
        """Return the entry of a video; for an unknown video, one that is not `known`."""

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """Return the titles of those videos that are in the catalog."""

    async def live(self) -> Collection[str]:
        """Return the ids of all live videos in the catalog."""

    async def first(self) -> datetime | None:
        """Return the instant of the first data of all videos, to the quarter of an hour."""


class VideoReader(Protocol):
    """Reads sums. Every method raises `StoreUnavailableError` when the store cannot answer."""

    async def video(
        self, video_id: str, window: Window, timeline: Timeline, measures: Collection[str], compare: bool
    ) -> VideoReading:
        """Return one video's reading: the sums of `measures`, and of `before` too when `compare` says so."""

    async def summary(self, window: Window, compare: bool) -> SummaryReading:
        """Return the reading of all videos, with the `TOP_VIDEOS` most viewed (ties: watch time, then id)."""
