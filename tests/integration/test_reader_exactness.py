"""Every number of both endpoints, from both stores, against plain addition of the rows."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import pytest_asyncio

from sinks.clickhouse.migrator import migrate
from streams.domain.rows import Row
from streams.domain.timeline import group_by_of, timeline
from streams.domain.windows import Window, custom, named, zone_of
from tests.readings import rows as make
from tests.readings.rows import Facts
from tests.readings.stores import Api, count, insert, serving

#: Two hours after clocks were changed in New York, at no round instant; in the future, since Redis forgets
#: minutes by its own clock.
NOW = datetime(2050, 11, 6, 8, 7, 41, 250_000, UTC)
VIDEOS = [f"video-{number}" for number in range(14)] + ["it's; DROP--", "vidéo 1\t%2F"]
LIVE = VIDEOS[1]


def world(seed: int, amount: int) -> list[Row]:
    """Return views, heartbeats, errors and reactions, dense in the last hours and thin before."""
    random = Random(seed)
    rows: list[Row] = []
    for _ in range(amount):
        video = VIDEOS[min(int(random.paretovariate(0.8)) - 1, len(VIDEOS) - 1)]
        age = random.choice((2 * 3600, 50 * 3600, 40 * 86400)) * random.random() - 60
        start = (NOW - timedelta(seconds=age)).replace(microsecond=random.randrange(1000) * 1000)
        if random.random() < 0.15:
            edge = start.replace(second=0, microsecond=0, minute=random.choice((0, 7, 8, 15, 30)))
            start = edge - timedelta(milliseconds=random.choice((0, 1)))
        of_view: dict[str, Any] = {
            "view_id": f"view{len(rows)}",
            "user_id": f"user{random.randrange(60)}",
            "country": random.choice(("US", "US", "GB", "DE", "unknown")),
            "device": random.choice(("desktop", "mobile", "tv")),
            "platform": random.choice(("web", "ios")),
            "attempted_at": start - timedelta(milliseconds=random.randrange(4000)),
        }
        attempted = of_view["attempted_at"]
        rows.append(make.playback(video, attempted, type="view.attempt", d_attempts=1, **of_view))
        if random.random() < 0.1:
            rows.append(make.playback(video, attempted, d_fatals=1, fatal=True, type="view.error", **of_view))
            continue
        of_view["started_at"] = start
        known = random.random() < 0.8
        rows.append(make.playback(video, start, type="view.start", d_views=1, d_sized=int(known), **of_view))
        when = start
        for _ in range(random.randrange(6)):
            # Some views go on for hours, so that their deltas lie far from the start they belong to.
            when += timedelta(seconds=random.choice((10, 10, 600, 7200)))
            if when > NOW:
                break
            watched = random.randrange(10_000)
            rows.append(
                make.playback(
                    video,
                    when,
                    d_watched_ms=watched,
                    d_rebuffer_ms=random.choice((0, 0, 300)),
                    d_rebuffers=random.choice((0, 1)),
                    d_bitrate_weight=watched * 2500,
                    d_bitrate_ms=watched,
                    d_parts=random.randrange(20) if known else 0,
                    **of_view,
                )
            )
        if random.random() < 0.4:
            rows.append(make.playback(video, when, type="view.end", d_completions=1, **of_view))
        if random.random() < 0.3:
            kind = random.choice(("video.like", "video.comment", "video.share"))
            rows.append(make.reaction(video, min(when, NOW), kind))
    old = NOW - timedelta(days=300)
    rows.append(make.reaction("liked only", NOW - timedelta(minutes=3)))
    rows += [make.listed(video, f"Title of {video}", old, live=video == LIVE) for video in VIDEOS[:-1]]
    return rows


ROWS = world(20501106, 700)
FACTS = Facts.of(ROWS)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def api(clickhouse_server: str, redis_server: str) -> AsyncIterator[Api]:
    url = f"{clickhouse_server.rstrip('/')}/exactness_{uuid4().hex[:8]}"
    migrate(url)
    # Several blocks, so that there are parts that wait to be merged.
    for begin in range(0, len(ROWS), 800):
        await insert(url, ROWS[begin : begin + 800])
    redis = redis_server.rpartition("/")[0] + "/4"
    await count(redis, ROWS, NOW)
    async with serving(lambda: NOW, clickhouse_url=url, redis_url=redis) as api:
        yield api


def close(given: Any, wanted: float | None) -> bool:
    if wanted is None or given is None:
        return given is wanted
    return math.isclose(given, wanted, rel_tol=0, abs_tol=5.1e-7)


def ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def engagement(sums: dict[str, int]) -> float | None:
    if not sums["sized"] or not sums["views"]:
        return None
    reactions = (sums["likes"] + sums["comments"] + sums["shares"]) / sums["views"]
    return 0.8 * sums["parts"] / 100 / sums["sized"] + 0.2 * min(1, reactions)


def change(now: float | None, before: float | None) -> float | None:
    return (now - before) / before if before and now is not None else None


def stretches(window: Window) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]] | None:
    """Return what is compared, from its definition: to the minute up to 48 hours, else to the quarter."""
    if window.previous is None:
        return None
    end = window.end
    if end > NOW:
        step = 60 if window.end - window.start <= timedelta(hours=48) else 900
        end = datetime.fromtimestamp(NOW.timestamp() // step * step, UTC)
    length = min(end - window.start, window.previous.end - window.previous.start)
    return (window.start, window.start + length), (window.previous.start, window.previous.start + length)


def counted(values: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in values:
        found[text] = found.get(text, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def check_video(data: dict[str, Any], video: str, window: Window, group_by: str | None) -> None:
    total = FACTS.sums(window.start, window.end, video)
    started = FACTS.started(window.start, window.end, video)
    views, told, quality = data["views"], data["engagement"], data["performance"]
    assert views["total"] == len(started) == total["views"]
    assert views["unique"] == len({row.user_id for row in started})
    assert views["byCountry"] == counted([{"GB": "UK"}.get(row.country, row.country) for row in started])
    assert list(views["byCountry"].values()) == sorted(views["byCountry"].values(), reverse=True)
    assert views["byDevice"] == counted([row.device for row in started])
    assert views["byPlatform"] == counted([row.platform for row in started])
    compared = stretches(window)
    wanted = None
    if compared:
        wanted = change(*(FACTS.sums(*each, video)["views"] for each in compared))
    assert close(views["change"], wanted), (views["change"], wanted)

    recorded = video != LIVE
    assert close(told["averageWatchTime"], ratio(total["watched_ms"] / 1000, total["views"]))
    assert close(told["completionRate"], ratio(total["completions"], total["views"]) if recorded else None)
    assert [told[name] for name in ("likes", "comments", "shares")] == [
        total[name] for name in ("likes", "comments", "shares")
    ]
    stalled = total["rebuffer_ms"]
    assert close(quality["bufferingRate"], ratio(stalled, total["watched_ms"] + stalled))
    assert close(quality["errorRate"], ratio(total["fatals"], total["attempts"]))
    assert quality["averageBitrate"] == ("2500k" if total["bitrate_ms"] else None)

    points = timeline(window, group_by_of(group_by, window))
    edges = [datetime.fromtimestamp(edge, UTC) for edge in points.edges] + [window.end]
    for place, key in enumerate(points.keys):
        start, end = max(edges[place], window.start), min(edges[place + 1], window.end)
        sums, here = FACTS.sums(start, end, video), FACTS.started(start, end, video)
        at_views, at_told, at_quality = (part["timeline"][place] for part in (views, told, quality))
        assert at_views["date"] == at_told["date"] == at_quality["date"] == key
        assert at_views["views"] == len(here)
        assert at_views["unique"] == len({row.user_id for row in here})
        assert close(at_told["watchTime"], sums["watched_ms"] / 1000)
        assert close(
            at_told["completionRate"], ratio(sums["completions"], sums["views"]) if recorded else None
        )
        assert close(at_quality["errorRate"], ratio(sums["fatals"], sums["attempts"]))
        assert close(
            at_quality["bufferingRate"], ratio(sums["rebuffer_ms"], sums["watched_ms"] + sums["rebuffer_ms"])
        )
    for part in (views, told, quality):
        assert len(part["timeline"]) == len(points.keys)


def check_summary(data: dict[str, Any], window: Window) -> None:
    total = FACTS.sums(window.start, window.end)
    by_video = {
        video: sums
        for video in {*VIDEOS, "liked only"}
        if (sums := FACTS.sums(window.start, window.end, video)) and any(sums.values())
    }
    viewed = {video: sums for video, sums in by_video.items() if sums["views"]}
    assert data["totalVideos"] == len(viewed)
    assert data["totalViews"] == total["views"]
    assert close(data["totalWatchTime"], total["watched_ms"] / 1000)
    average = data["averageEngagement"]
    assert close(average["watchTime"], ratio(total["watched_ms"] / 1000, total["views"]))
    live = by_video.get(LIVE, total.__class__())
    pooled = ratio(total["completions"] - live["completions"], total["views"] - live["views"])
    assert close(average["completionRate"], pooled)
    for name in ("likes", "comments"):
        assert close(average[name], ratio(sum(sums[name] for sums in viewed.values()), len(viewed)))
    ranked = sorted(viewed, key=lambda video: (-viewed[video]["views"], -viewed[video]["watched_ms"], video))
    assert [top["id"] for top in data["topVideos"]] == ranked[:10]
    for top in data["topVideos"]:
        sums = viewed[top["id"]]
        assert top["title"] == (f"Title of {top['id']}" if top["id"] in VIDEOS[:-1] else None)
        assert top["views"] == sums["views"]
        assert close(top["watchTime"], sums["watched_ms"] / 1000)
        assert close(top["engagement"], engagement(sums))
    compared = stretches(window)
    if compared is None:
        assert data["trends"] == {"views": None, "watchTime": None, "engagement": None}
        return
    now, before = (FACTS.sums(*each) for each in compared)
    assert close(data["trends"]["views"], change(now["views"], before["views"]))
    assert close(data["trends"]["watchTime"], change(now["watched_ms"], before["watched_ms"]))
    assert close(data["trends"]["engagement"], change(engagement(now), engagement(before)))


PERIODS = ("1h", "24h", "1d", "7d", "30d")
ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("zone", ZONES)
async def test_videos_are_exact(api: Api, period: str, zone: str) -> None:
    window = named(period, zone=zone_of(zone), now=NOW)
    for video in (VIDEOS[0], LIVE, VIDEOS[3], VIDEOS[-1], VIDEOS[-2]):
        answer = await api.answer(f"/analytics/videos/{quoted(video)}", period=period, timezone=zone)
        assert answer["meta"]["source"] == ("redis" if period == "1h" else "clickhouse")
        check_video(answer["data"], video, window, None)


@pytest.mark.parametrize("period", ["1h", "7d"])
async def test_each_group_of_metrics_alone_is_what_it_is_among_all(api: Api, period: str) -> None:
    path = f"/analytics/videos/{VIDEOS[0]}"
    together = await api.data(path, period=period)
    for group in ("views", "engagement", "performance"):
        assert await api.data(path, period=period, metrics=group) == {
            "period": together["period"],
            group: together[group],
        }


@pytest.mark.parametrize("group_by", ["hour", "day", "week"])
@pytest.mark.parametrize("period", ["1h", "24h", "7d"])
async def test_timelines_are_exact_however_they_are_grouped(api: Api, period: str, group_by: str) -> None:
    for zone in ("America/New_York", "Asia/Kolkata"):
        window = named(period, zone=zone_of(zone), now=NOW)
        data = await api.data(
            f"/analytics/videos/{VIDEOS[0]}", period=period, timezone=zone, groupBy=group_by
        )
        check_video(data, VIDEOS[0], window, group_by)


@pytest.mark.parametrize("period", PERIODS)
async def test_summaries_are_exact(api: Api, period: str) -> None:
    for zone in ZONES:
        window = named(period, zone=zone_of(zone), now=NOW)
        answer = await api.answer("/analytics/videos/summary", period=period, timezone=zone)
        assert answer["meta"]["source"] == ("redis" if period == "1h" else "clickhouse")
        check_summary(answer["data"], window)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2050-11-04T08:07:41.251Z", "2050-11-04T08:07:41.252Z"),
        ("2050-11-05T23:59:59.999Z", "2050-11-06T00:00:00.001Z"),
        ("2050-11-06T07:01:02.003Z", "2050-11-06T07:14:59.999Z"),
        ("2050-11-06T06:14:30Z", "2050-11-06T08:20:00Z"),
        ("2050-10-01T00:00:00Z", "2050-11-07T00:00:00.001Z"),
        ("2050-11-06T08:07:00Z", "2050-11-06T08:30:00Z"),
        ("2050-11-05T00:00:00-04:00", "2050-11-07T00:00:00-05:00"),
    ],
)
async def test_windows_of_ones_own_are_exact(api: Api, start: str, end: str) -> None:
    window = custom(make.at(start), make.at(end), zone=zone_of("UTC"), now=NOW)
    check_video(
        await api.data(f"/analytics/videos/{VIDEOS[0]}", start=start, end=end), VIDEOS[0], window, None
    )
    check_summary(await api.data("/analytics/videos/summary", start=start, end=end), window)


async def test_everything_begins_with_the_first_data(api: Api) -> None:
    first = min(when for _, _, when, amount in FACTS.facts if amount)
    window = named(
        "all",
        zone=zone_of("Asia/Kolkata"),
        now=NOW,
        first=datetime.fromtimestamp(first // 900_000 * 900, UTC),
    )
    data = await api.data("/analytics/videos/summary", period="all", timezone="Asia/Kolkata")
    check_summary(data, window)
    of_video = min(when for of, _, when, amount in FACTS.facts if amount and of == VIDEOS[3])
    window = named(
        "all",
        zone=zone_of("Asia/Kolkata"),
        now=NOW,
        first=datetime.fromtimestamp(of_video // 900_000 * 900, UTC),
    )
    data = await api.data(f"/analytics/videos/{VIDEOS[3]}", period="all", timezone="Asia/Kolkata")
    assert data["period"]["previous"] is None
    check_video(data, VIDEOS[3], window, None)


def quoted(video: str) -> str:
    return quote(video, safe="")
