"""The values that parameters accept."""

from __future__ import annotations

from typing import Literal

#: `1h` and `24h` are rolling; `1d`, `7d`, `30d` are calendar days of the time zone, today included.
PeriodName = Literal["1h", "24h", "1d", "7d", "30d", "all"]
#: Interval of the timelines.
GroupBy = Literal["hour", "day", "week"]
#: Whether to compare with the window before.
Compare = Literal["previous", "none"]
VideoMetric = Literal["views", "engagement", "performance"]
UserMetric = Literal["activity", "growth", "retention"]
#: Metrics of exports of type `system`.
SystemMetric = Literal["api", "processing", "storage", "uptime"]
ExportMetric = VideoMetric | UserMetric | SystemMetric
ExportType = Literal["video", "user", "system"]
ExportFormat = Literal["csv", "json", "ndjson", "parquet", "xlsx"]
ExportStatus = Literal["queued", "processing", "completed", "failed"]
Device = Literal["desktop", "mobile", "tablet", "tv", "other"]
Platform = Literal["web", "ios", "android", "tv", "other"]
