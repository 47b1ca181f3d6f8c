"""What the live responses look like, and examples of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas import Meta, Model, Stretch


class LiveMinute(Model):
    """One minute of the last hour."""

    minute: datetime = Field(description="Start of the minute; the last one is not over yet.")
    views: int
    watch_time: float = Field(description="Seconds.")
    likes: int


class TrendingVideo(Model):
    """A video with more views than its last hour suggests."""

    id: str
    title: str | None = Field(description="null if the catalog does not have it or cannot be read.")
    views: int = Field(description="Views of the last ten minutes.")
    views_before: int = Field(description="Views of the fifty minutes before.")
    trend: float = Field(description="How far above the expected views, in standard deviations.")


class VideoLive(Model):
    """Live numbers of one video."""

    id: str
    title: str | None = Field(description="null if the catalog does not have it or cannot be read.")
    period: Stretch
    concurrent_viewers: int = Field(description="Views with an event in the last 30 seconds.")
    timeline: list[LiveMinute] = Field(description="The last 60 minutes, oldest first.")


class Live(Model):
    """What is going on."""

    period: Stretch
    concurrent_viewers: int = Field(description="Views with an event in the last 30 seconds.")
    timeline: list[LiveMinute] = Field(description="The last 60 minutes, oldest first.")
    trending: list[TrendingVideo] = Field(description="At most ten, highest trend first.")


class LiveResponse(Model):
    """Answer of `GET /analytics/live`."""

    success: Literal[True]
    data: Live
    meta: Meta


class VideoLiveResponse(Model):
    """Answer of `GET /analytics/videos/{id}/live`."""

    success: Literal[True]
    data: VideoLive
    meta: Meta


_NOW: dict[str, Any] = {
    "period": {"start": "2024-03-30T13:06:00Z", "end": "2024-03-30T14:06:00Z"},
    "concurrentViewers": 412,
    "timeline": [{"minute": "2024-03-30T13:06:00Z", "views": 25, "watchTime": 1234.5, "likes": 3}],
}
_META: dict[str, Any] = {
    "asOf": "2024-03-30T14:05:27.312Z",
    "partial": True,
    "timezone": "UTC",
    "source": "redis",
}
LIVE_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": _NOW
    | {
        "trending": [
            {"id": "vid_123456", "title": "Top Video", "views": 90, "viewsBefore": 100, "trend": 15.27}
        ]
    },
    "meta": _META,
}
VIDEO_LIVE_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {"id": "vid_123456", "title": "Top Video"} | _NOW,
    "meta": _META,
}
