"""Live data."""

from __future__ import annotations

from datetime import datetime

from videocloud.models.base import Answer, Model, Stretch


class LiveMinute(Model):
    """One minute of the last hour."""

    minute: datetime
    """Start of the minute; the last one is not over yet."""
    views: int
    watch_time: float
    """Seconds."""
    likes: int


class TrendingVideo(Model):
    """A video with more views than its last hour suggests."""

    id: str
    title: str | None
    """null if the catalog does not have it or cannot be read."""
    views: int
    """Views of the last ten minutes."""
    views_before: int
    """Views of the fifty minutes before."""
    trend: float
    """How far above the expected views, in standard deviations."""


class VideoLive(Answer):
    """Live numbers of one video."""

    id: str
    title: str | None
    """null if the catalog does not have it or cannot be read."""
    period: Stretch
    concurrent_viewers: int
    """Views with an event in the last 30 seconds."""
    timeline: list[LiveMinute]
    """The last 60 minutes, oldest first."""


class Live(Answer):
    """What is going on."""

    period: Stretch
    concurrent_viewers: int
    """Views with an event in the last 30 seconds."""
    timeline: list[LiveMinute]
    """The last 60 minutes, oldest first."""
    trending: list[TrendingVideo]
    """At most ten, highest trend first."""
