"""The videos of a world, and their catalog records: the early ones and later changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from tests.oracle.log import CATALOG, Record

#: Identifiers that break keys, paths or queries built without escaping.
NASTY_IDS = (
    "vid'; DROP TABLE video_15m; --",
    "vid {braces}:colon",
    "видео №1",
    "100% sure?&period=7d",
    'back\\slash "quoted"',
    " leading and trailing ",
    "*",
    "v" * 128,
)

#: Milliseconds: mostly realistic, some not divisible by 100, some shorter than 100 ms.
LENGTHS = (30_001, 61_237, 61_237, 240_000, 240_000, 599_999, 1_200_000, 3_600_000, 1, 7, 99)


@dataclass(frozen=True, slots=True)
class Video:
    """A video: its true length (ms), and whether it is a live stream."""

    id: str
    length: int
    live: bool
    #: When the catalog states the video's length: `early`, `late` or `never`.
    told: str


def videos(rng: Random, count: int) -> list[Video]:
    """Draw videos; some of the lengths are not divisible by 100."""
    ids = [*NASTY_IDS, *(f"vid_{number:04}" for number in range(count))]
    return [
        Video(
            name,
            rng.choice(LENGTHS),
            rng.random() < 0.1,
            rng.choice(("early", "early", "early", "early", "late", "never")),
        )
        for name in ids
    ]


def early(rng: Random, all_videos: list[Video], at: int) -> list[Record]:
    """Return the catalog records from before anything is watched; one video has two, one is deleted again."""
    records = [_entry(rng, video, at, 1) for video in all_videos if video.told != "never"]
    records.append(_entry(rng, all_videos[-1], at + 1, 2))
    ghost = Video("vid_ghost", 1000, False, "early")
    gone = Record(CATALOG, ghost.id.encode(), None, at + 2)
    return [*records, _entry(rng, ghost, at + 1, 1), gone]


def later(rng: Random, all_videos: list[Video], at: int) -> list[Record]:
    """Return changes: lengths that were unknown, new titles, live streams turned recordings, deletions."""
    records = []
    for video in all_videos:
        if video.told == "late":
            records.append(_entry(rng, video, at, 2, knows_length=True))
        elif video.told == "early" and rng.random() < 0.15:
            records.append(_entry(rng, video, at, 2, live=not video.live))
        elif video.told == "early" and rng.random() < 0.08:
            records.append(Record(CATALOG, video.id.encode(), None, at))
    return records


def _entry(
    rng: Random, video: Video, at: int, version: int, *, live: bool | None = None, knows_length: bool = False
) -> Record:
    entry: dict[str, object] = {
        "videoId": video.id,
        "title": f"Title {version} of {video.id[:20]} “ü” \U0001f3ac",
    }
    if knows_length or video.told == "early":
        entry["durationMs"] = video.length
    elif rng.random() < 0.5:
        entry["durationMs"] = None
    if rng.random() < 0.5 or video.live or live is not None:
        entry["live"] = video.live if live is None else live
    if rng.random() < 0.7:
        entry |= {"ownerId": f"owner_{rng.randrange(5)}", "publishedAt": "2026-01-31T12:00:00+01:00"}
    return Record(CATALOG, video.id.encode(), json.dumps(entry).encode(), at)
