"""Readings of videos made into answers. Pure, and independent of the store.

The returned dictionaries are the `data` and `meta` of a response; `api/schemas.py` describes them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from streams.domain import definitions
from streams.domain.measures import Formula, Sums
from streams.domain.metrics import bitrate, change, rounded, value
from streams.domain.timeline import Timeline
from streams.domain.video_readings import SummaryReading, VideoReading
from streams.domain.windows import Stretch, Window, rfc3339

#: Stores use ISO 3166; the API's reference shows GB as UK.
_SHOWN: Final = {"GB": "UK"}
_EMPTY: Final[Sums] = {}

Data = dict[str, Any]

#: Where an answer is from: the live counters, or the store of everything.
LIVE, STORE = "redis", "clickhouse"


def envelope(data: Data, window: Window, source: str) -> Data:
    """Wrap an answer: `asOf` is the time of the request, `partial` whether the window is not over yet."""
    meta = {
        "asOf": window.as_of.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "partial": window.partial,
        "timezone": window.zone.key,
        "source": source,
    }
    return {"success": True, "data": data, "meta": meta}


def video(
    reading: VideoReading,
    window: Window,
    timeline: Timeline,
    groups: Collection[str],
    *,
    compare: bool,
    live: bool | None,
) -> Data:
    """Answer about one video. `live` is None when it is unknown; then there is no completion rate."""
    data: Data = {"period": _period(window, compare)}
    points = [reading.points.get(place, _EMPTY) for place in range(len(timeline.keys))]
    if "views" in groups:
        data["views"] = _views(reading, timeline, points, compare)
    if "engagement" in groups:
        data["engagement"] = _engagement(reading.total, timeline, points, completes=live is False)
    if "performance" in groups:
        data["performance"] = _performance(reading.total, timeline, points)
    return data


def _stretch(stretch: Stretch) -> Data:
    return {"start": rfc3339(stretch.start), "end": rfc3339(stretch.end)}


def _period(window: Window, compare: bool) -> Data:
    period = _stretch(window.whole)
    if compare:
        period["previous"] = _stretch(window.previous) if window.previous else None
    return period


def _views(reading: VideoReading, timeline: Timeline, points: list[Sums], compare: bool) -> Data:
    answer: Data = {"total": value(definitions.VIEWS, reading.total), "unique": reading.unique}
    if compare:
        answer["change"] = _trend(definitions.VIEWS, reading)
    answer["byCountry"] = _ordered(reading.countries, _SHOWN)
    answer["byDevice"] = _ordered(reading.devices)
    answer["byPlatform"] = _ordered(reading.platforms)
    answer["timeline"] = [
        {"date": key, "views": value(definitions.VIEWS, sums), "unique": reading.unique_points.get(place, 0)}
        for place, (key, sums) in enumerate(zip(timeline.keys, points, strict=True))
    ]
    return answer


def _engagement(total: Sums, timeline: Timeline, points: list[Sums], *, completes: bool) -> Data:
    return {
        "averageWatchTime": value(definitions.AVERAGE_WATCH_TIME, total),
        "completionRate": value(definitions.COMPLETION_RATE, total) if completes else None,
        **{name: total.get(name, 0) for name in ("likes", "comments", "shares")},
        "timeline": [
            {
                "date": key,
                "watchTime": value(definitions.WATCH_TIME, sums),
                "completionRate": value(definitions.COMPLETION_RATE, sums) if completes else None,
            }
            for key, sums in zip(timeline.keys, points, strict=True)
        ],
    }


def _performance(total: Sums, timeline: Timeline, points: list[Sums]) -> Data:
    return {
        "bufferingRate": value(definitions.BUFFERING_RATE, total),
        "averageBitrate": bitrate(total),
        "errorRate": value(definitions.ERROR_RATE, total),
        "timeline": [
            {
                "date": key,
                "bufferingRate": value(definitions.BUFFERING_RATE, sums),
                "errorRate": value(definitions.ERROR_RATE, sums),
            }
            for key, sums in zip(timeline.keys, points, strict=True)
        ],
    }


def _ordered(counts: Mapping[str, int], shown: Mapping[str, str] | None = None) -> dict[str, int]:
    """Order by count, largest first, then by name; values with the same shown name are added up."""
    added: dict[str, int] = {}
    for name, count in counts.items():
        name = shown.get(name, name) if shown else name
        added[name] = added.get(name, 0) + count
    return dict(sorted(added.items(), key=lambda item: (-item[1], item[0])))


def summary(reading: SummaryReading, titles: Mapping[str, str], *, compare: bool) -> Data:
    """Answer about all videos."""
    total = reading.total
    recorded = reading.recorded
    data: Data = {
        "totalVideos": reading.videos,
        "totalViews": value(definitions.VIEWS, total),
        "totalWatchTime": value(definitions.WATCH_TIME, total),
        "averageEngagement": {
            "watchTime": value(definitions.AVERAGE_WATCH_TIME, total),
            "completionRate": value(definitions.COMPLETION_RATE, recorded) if recorded is not None else None,
            **{name: _mean(reading.reactions.get(name, 0), reading.videos) for name in ("likes", "comments")},
        },
        "topVideos": [
            {
                "id": ranked.id,
                "title": titles.get(ranked.id),
                "views": value(definitions.VIEWS, ranked.sums),
                "watchTime": value(definitions.WATCH_TIME, ranked.sums),
                "engagement": value(definitions.ENGAGEMENT, ranked.sums),
            }
            for ranked in reading.top
        ],
    }
    if compare:
        data["trends"] = {
            "views": _trend(definitions.VIEWS, reading),
            "watchTime": _trend(definitions.WATCH_TIME, reading),
            "engagement": _trend(definitions.ENGAGEMENT, reading),
        }
    return data


def _mean(count: int, videos: int) -> float | None:
    return rounded(count / videos) if videos else None


def _trend(formula: Formula, reading: VideoReading | SummaryReading) -> float | None:
    """Return the relative change of a number; None without a stretch before."""
    if reading.before is None:
        return None
    return change(formula(reading.elapsed), formula(reading.before))
