"""The video endpoints' `data`, computed from what happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from tests.oracle.log import Log
from tests.oracle.views import Fact, Facts
from tests.oracle.windows import Span, Window, bucket_ms, buckets, default_group, ms

Sums = dict[str, int]


def video_analytics(
    log: Log,
    facts: Facts,
    video: str,
    window: Window,
    now: datetime,
    *,
    group: str | None = None,
    compare: bool = True,
) -> dict[str, Any]:
    """Answer `GET /analytics/videos/{id}` with all metrics."""
    group = group or default_group(window.span)
    happened = facts.by_video.get(video, [])
    starts = [start for start in facts.starts if start.video == video]
    live = is_live(log, video)

    total = sums(happened, window.span)
    within = [start for start in starts if start.at in window.span]
    by_bucket: dict[str, list[Fact]] = {name: [] for name in buckets(window.span, group, window.zone)}
    for fact in happened:
        if fact.at in window.span:
            by_bucket[bucket_ms(fact.at // 900_000, group, window.zone)].append(fact)
    users_by_bucket: dict[str, set[str]] = defaultdict(set)
    for start in within:
        users_by_bucket[bucket_ms(start.at // 900_000, group, window.zone)].add(start.user)
    timeline = {name: sums(of, window.span) for name, of in by_bucket.items()}

    data: dict[str, Any] = {
        "period": period_of(window, compare),
        "views": {
            "total": total["views"],
            "unique": len({start.user for start in within}),
            "byCountry": counts("UK" if start.country == "GB" else start.country for start in within),
            "byDevice": counts(start.device for start in within),
            "byPlatform": counts(start.platform for start in within),
            "timeline": [
                {"date": name, "views": of["views"], "unique": len(users_by_bucket[name])}
                for name, of in timeline.items()
            ],
        },
        "engagement": {
            "averageWatchTime": ratio(seconds(total), total["views"]),
            "completionRate": completion_rate(total, live),
            "likes": total["likes"],
            "comments": total["comments"],
            "shares": total["shares"],
            "timeline": [
                {"date": name, "watchTime": seconds(of), "completionRate": completion_rate(of, live)}
                for name, of in timeline.items()
            ],
        },
        "performance": {
            "bufferingRate": buffering_rate(total),
            "averageBitrate": bitrate(total),
            "errorRate": ratio(total["fatals"], total["attempts"]),
            "timeline": [
                {
                    "date": name,
                    "bufferingRate": buffering_rate(of),
                    "errorRate": ratio(of["fatals"], of["attempts"]),
                }
                for name, of in timeline.items()
            ],
        },
    }
    if compare:
        data["views"]["change"] = None
        if spans := window.elapsed(now):
            after, before = (sums(happened, span)["views"] for span in spans)
            data["views"]["change"] = change(after, before)
    return data


def summary(log: Log, facts: Facts, window: Window, now: datetime, *, compare: bool = True) -> dict[str, Any]:
    """Answer `GET /analytics/videos/summary`."""
    total = sums(facts.facts, window.span)
    of_video: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts.facts:
        if fact.at in window.span:
            of_video[fact.video].append(fact)
    by_video = {video: sums(happened, window.span) for video, happened in of_video.items()}
    viewed = {video: of for video, of in by_video.items() if of["views"] > 0}
    recorded = pool(of for video, of in by_video.items() if not is_live(log, video))
    top = sorted(viewed, key=lambda video: (-viewed[video]["views"], -viewed[video]["watched_ms"], video))[
        :10
    ]

    data: dict[str, Any] = {
        "totalVideos": len(viewed),
        "totalViews": total["views"],
        "totalWatchTime": seconds(total),
        "averageEngagement": {
            "watchTime": ratio(seconds(total), total["views"]),
            "completionRate": completion_rate(recorded, live=False),
            "likes": ratio(sum(of["likes"] for of in viewed.values()), len(viewed)),
            "comments": ratio(sum(of["comments"] for of in viewed.values()), len(viewed)),
        },
        "topVideos": [
            {
                "id": video,
                "title": log.catalog.get(video, {}).get("title"),
                "views": viewed[video]["views"],
                "watchTime": seconds(viewed[video]),
                "engagement": engagement(viewed[video]),
            }
            for video in top
        ],
    }
    if compare:
        data["trends"] = {"views": None, "watchTime": None, "engagement": None}
        if spans := window.elapsed(now):
            after, before = (sums(facts.facts, span) for span in spans)
            data["trends"] = {
                "views": change(after["views"], before["views"]),
                "watchTime": change(after["watched_ms"], before["watched_ms"]),
                "engagement": change(engagement(after), engagement(before)),
            }
    return data


def sums(facts: Iterable[Fact], span: Span) -> Sums:
    """Add up each measure over a span; a measure without facts is 0."""
    found: Sums = defaultdict(int)
    start, end = ms(span.start), ms(span.end)
    for fact in facts:
        if start <= fact.at < end:
            found[fact.measure] += fact.amount
    return found


def pool(many: Iterable[Sums]) -> Sums:
    """Add up measures of several videos."""
    pooled: Sums = defaultdict(int)
    for of in many:
        for measure, amount in of.items():
            pooled[measure] += amount
    return pooled


def ratio(numerator: Fraction | int, denominator: int) -> Fraction | None:
    """Return the exact ratio, None when there is nothing to divide by."""
    return Fraction(numerator) / denominator if denominator else None


def seconds(of: Sums) -> Fraction:
    """Return the watched time in seconds."""
    return Fraction(of["watched_ms"], 1000)


def completion_rate(of: Sums, live: bool) -> Fraction | None:
    """Return the share of the started views that were watched to the end."""
    return None if live else ratio(of["completions"], of["views"])


def buffering_rate(of: Sums) -> Fraction | None:
    """Return the share of stalled time in watched and stalled time."""
    return ratio(of["rebuffer_ms"], of["watched_ms"] + of["rebuffer_ms"])


def bitrate(of: Sums) -> str | None:
    """Return the mean bitrate over the watched time whose bitrate is known."""
    mean = ratio(of["bitrate_weight"], of["bitrate_ms"])
    return None if mean is None else f"{round(mean)}k"


def engagement(of: Sums) -> Fraction | None:
    """Return 0.8 x mean share of the content watched + 0.2 x actions a view, at most 1."""
    share = ratio(of["parts"], 100 * of["sized"])
    actions = ratio(of["likes"] + of["comments"] + of["shares"], of["views"])
    if share is None or actions is None:
        return None
    return Fraction(8, 10) * share + Fraction(2, 10) * min(Fraction(1), actions)


def change(after: Fraction | int | None, before: Fraction | int | None) -> Fraction | None:
    """Return by how much of `before` the value grew."""
    if after is None or not before:
        return None
    return (Fraction(after) - before) / before


def counts(names: Iterable[str]) -> dict[str, int]:
    """Count how often each name occurs."""
    found: dict[str, int] = defaultdict(int)
    for name in names:
        found[name] += 1
    return dict(found)


def is_live(log: Log, video: str) -> bool:
    """Say whether the catalog calls the video live."""
    return bool(log.catalog.get(video, {}).get("live", False))


def is_known(log: Log, facts: Facts, video: str) -> bool:
    """Say whether the video is in the catalog, or anything ever happened to it."""
    return video in log.catalog or any(fact.amount for fact in facts.by_video.get(video, []))


def period_of(window: Window, compare: bool) -> dict[str, Any]:
    """Return the window as the API's answers describe it, with instants instead of texts."""
    told: dict[str, Any] = {"start": window.span.start, "end": window.span.end}
    if compare:
        previous = window.previous
        told["previous"] = previous and {"start": previous.start, "end": previous.end}
    return told


def first_data(facts: Facts, video: str | None = None) -> datetime | None:
    """Return the time of the first data of a video, or of all videos; None when there is none."""
    happened = facts.facts if video is None else facts.by_video.get(video, [])
    first = min((fact.at for fact in happened if fact.amount), default=None)
    return None if first is None else datetime.fromtimestamp(first / 1000, UTC)
