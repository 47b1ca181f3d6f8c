"""Readings of videos made into the `data` of answers, as in the API reference. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from api.answers import Data, ordered, ratio
from streams.domain import definitions
from streams.domain.measures import Formula, Sums
from streams.domain.metrics import bitrate, change, value
from streams.domain.timeline import Timeline
from streams.domain.video_readings import SummaryReading, VideoReading
from streams.domain.windows import Stretch, Window, rfc3339

#: Stores use ISO 3166; the API's reference shows GB as UK.
_SHOWN: Final = {"GB": "UK"}
_EMPTY: Final[Sums] = {}


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
    answer["byCountry"] = ordered(_shown(reading.countries))
    answer["byDevice"] = ordered(reading.devices)
    answer["byPlatform"] = ordered(reading.platforms)
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


def _shown(countries: Mapping[str, int]) -> dict[str, int]:
    """Return counts by the names that the API shows; those of the same name are added up."""
    counts = Counter[str]()
    for name, count in countries.items():
        counts[_SHOWN.get(name, name)] += count
    return counts


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
            **{name: ratio(reading.reactions.get(name, 0), reading.videos) for name in ("likes", "comments")},
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


def _trend(formula: Formula, reading: VideoReading | SummaryReading) -> float | None:
    """Return the relative change of a number; None without a stretch before."""
    if reading.before is None:
        return None
    return change(formula(reading.elapsed), formula(reading.before))
