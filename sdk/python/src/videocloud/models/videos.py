"""Analytics of videos."""

from __future__ import annotations

from videocloud.models.base import OMITTED, Model, Omittable, Partial, Stretch


class Period(Stretch):
    """The requested window, and the one before it."""

    previous: Stretch | None = None
    """null if there is no earlier window; omitted with compare=none."""


class ViewsPoint(Model):
    """Views in a point of the timeline."""

    date: str
    """The day or the week's Monday (`YYYY-MM-DD`), or the hour (RFC 3339)."""
    views: int
    unique: int


class Views(Model):
    """Views with a first frame."""

    total: int
    unique: int
    """Distinct users over the whole window, exact."""
    change: float | None = None
    """(now - before) / before, of equally long windows; omitted with compare=none."""
    by_country: dict[str, int]
    """ISO 3166 codes, with `UK` for GB; most frequent first."""
    by_device: dict[str, int]
    by_platform: dict[str, int]
    timeline: list[ViewsPoint]


class EngagementPoint(Model):
    """Engagement in a point of the timeline."""

    date: str
    watch_time: float
    """Seconds watched."""
    completion_rate: float | None


class Engagement(Model):
    """How viewers watch the video."""

    average_watch_time: float | None
    """Seconds per view."""
    completion_rate: float | None
    """null for live videos and for videos without views."""
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
    average_bitrate: str | None
    """Kilobits per second, as `2500k`."""
    error_rate: float | None
    timeline: list[PerformancePoint]


class Video(Partial):
    """Analytics of one video, with the groups that were requested: all by default."""

    period: Period
    views: Omittable[Views] = OMITTED
    engagement: Omittable[Engagement] = OMITTED
    performance: Omittable[Performance] = OMITTED


class AverageEngagement(Model):
    """Engagement over all videos."""

    watch_time: float | None
    """Seconds per view."""
    completion_rate: float | None
    """Over the views of videos that are not live."""
    likes: float | None
    """A video of the ranking."""
    comments: float | None
    """A video of the ranking."""


class TopVideo(Model):
    """One of the ten videos with most views."""

    id: str
    title: str | None
    """From the catalog; null if unknown."""
    views: int
    watch_time: float
    """Seconds watched."""
    engagement: float | None
    """From 0 to 1."""


class Trends(Model):
    """Relative changes against the equally long window before; null if that window has no data."""

    views: float | None
    watch_time: float | None
    engagement: float | None


class Summary(Partial):
    """Analytics of all videos."""

    total_videos: int
    """Videos with a view in the window."""
    total_views: int
    total_watch_time: float
    """Seconds watched."""
    average_engagement: AverageEngagement
    top_videos: list[TopVideo]
    trends: Omittable[Trends] = OMITTED
    """Omitted with compare=none."""
