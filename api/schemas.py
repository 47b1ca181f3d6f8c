"""What responses look like: the source of the OpenAPI document.

Routes send dictionaries (`api/answers.py`) as they are; tests hold them against these models. The examples
are those of the API reference.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """camelCase outside, snake_case inside, nothing beyond what is declared."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class Stretch(Model):
    """A half-open interval of time."""

    start: datetime
    end: datetime


class Period(Stretch):
    """The window that was asked for, and the one before it."""

    previous: Stretch | None = Field(
        None, description="null if there is no earlier window; omitted with compare=none."
    )


class Meta(Model):
    """About the response."""

    as_of: datetime = Field(description="When the response was computed.")
    partial: bool = Field(description="True while the window is not over.")
    timezone: str = Field(description="Time zone of days, weeks and hours.")
    source: Literal["redis", "clickhouse"] = Field(description="The store that was read.")


class ViewsPoint(Model):
    """Views in a point of the timeline."""

    date: str = Field(description="The day or the week's Monday (`YYYY-MM-DD`), or the hour (RFC 3339).")
    views: int
    unique: int


class Views(Model):
    """Views with a first frame."""

    total: int
    unique: int = Field(description="Distinct users over the whole window, exact.")
    change: float | None = Field(
        None, description="(now - before) / before, of equally long windows; omitted with compare=none."
    )
    by_country: dict[str, int] = Field(description="ISO 3166 codes, with `UK` for GB; most frequent first.")
    by_device: dict[str, int]
    by_platform: dict[str, int]
    timeline: list[ViewsPoint]


class EngagementPoint(Model):
    """Engagement in a point of the timeline."""

    date: str
    watch_time: float = Field(description="Seconds watched.")
    completion_rate: float | None


class Engagement(Model):
    """How viewers watch the video."""

    average_watch_time: float | None = Field(description="Seconds per view.")
    completion_rate: float | None = Field(description="null for live videos and for videos without views.")
    likes: int
    comments: int
    shares: int
    timeline: list[EngagementPoint]


class PerformancePoint(Model):
    """Playback quality in a point of the timeline."""

    date: str
    buffering_rate: float | None
    error_rate: float | None


class Performance(Model):
    """Playback quality."""

    buffering_rate: float | None
    average_bitrate: str | None = Field(description="Kilobits per second, as `2500k`.", pattern=r"^\d+k$")
    error_rate: float | None
    timeline: list[PerformancePoint]


class Video(Model):
    """Analytics of one video; groups that were not requested are omitted."""

    period: Period
    views: Views | None = None
    engagement: Engagement | None = None
    performance: Performance | None = None


class AverageEngagement(Model):
    """Engagement over all videos."""

    watch_time: float | None = Field(description="Seconds per view.")
    completion_rate: float | None = Field(description="Over the views of videos that are not live.")
    likes: float | None = Field(description="A video of the ranking.")
    comments: float | None = Field(description="A video of the ranking.")


class TopVideo(Model):
    """One of the ten videos with most views."""

    id: str
    title: str | None = Field(description="From the catalog; null if unknown.")
    views: int
    watch_time: float = Field(description="Seconds watched.")
    engagement: float | None = Field(description="From 0 to 1.")


class Trends(Model):
    """Relative changes against the equally long window before; null if that window has no data."""

    views: float | None
    watch_time: float | None
    engagement: float | None


class Summary(Model):
    """Analytics of all videos."""

    total_videos: int = Field(description="Videos with a view in the window.")
    total_views: int
    total_watch_time: float = Field(description="Seconds watched.")
    average_engagement: AverageEngagement
    top_videos: list[TopVideo] = Field(max_length=10)
    trends: Trends | None = Field(None, description="Omitted with compare=none.")


class VideoResponse(Model):
    """`GET /analytics/videos/{id}`."""

    success: Literal[True]
    data: Video
    meta: Meta


class SummaryResponse(Model):
    """`GET /analytics/videos/summary`."""

    success: Literal[True]
    data: Summary
    meta: Meta


class Error(Model):
    """What went wrong."""

    code: str
    message: str
    details: dict[str, Any] = Field(
        description="`requestId` always; `parameter` and `allowed` if one parameter is invalid."
    )


class ErrorResponse(Model):
    """Every error, whatever its status."""

    success: Literal[False]
    error: Error


class Health(Model):
    """Health of the API and its stores."""

    status: Literal["ok", "degraded", "unavailable"]
    stores: dict[str, bool] = Field(default_factory=dict, description="Whether each store answers.")


_META: dict[str, Any] = {
    "asOf": "2024-03-30T14:05:27.312Z",
    "partial": True,
    "timezone": "UTC",
    "source": "clickhouse",
}

VIDEO_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "period": {
            "start": "2024-03-24T00:00:00Z",
            "end": "2024-03-31T00:00:00Z",
            "previous": {"start": "2024-03-17T00:00:00Z", "end": "2024-03-24T00:00:00Z"},
        },
        "views": {
            "total": 10000,
            "unique": 8000,
            "change": 0.15,
            "byCountry": {"US": 5000, "UK": 2000, "DE": 1000},
            "byDevice": {"desktop": 6000, "mobile": 4000},
            "byPlatform": {"web": 7000, "ios": 2000, "android": 1000},
            "timeline": [{"date": "2024-03-24", "views": 1000, "unique": 800}],
        },
        "engagement": {
            "averageWatchTime": 120,
            "completionRate": 0.75,
            "likes": 500,
            "comments": 100,
            "shares": 50,
            "timeline": [{"date": "2024-03-24", "watchTime": 120000, "completionRate": 0.75}],
        },
        "performance": {
            "bufferingRate": 0.02,
            "averageBitrate": "2500k",
            "errorRate": 0.001,
            "timeline": [{"date": "2024-03-24", "bufferingRate": 0.02, "errorRate": 0.001}],
        },
    },
    "meta": _META,
}

SUMMARY_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "totalVideos": 50,
        "totalViews": 100000,
        "totalWatchTime": 12000000,
        "averageEngagement": {"watchTime": 120, "completionRate": 0.75, "likes": 500, "comments": 100},
        "topVideos": [
            {
                "id": "vid_123456",
                "title": "Top Video",
                "views": 10000,
                "watchTime": 1200000,
                "engagement": 0.8,
            }
        ],
        "trends": {"views": 0.15, "watchTime": 0.2, "engagement": 0.1},
    },
    "meta": _META,
}
