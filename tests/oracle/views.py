"""Views: what each view adds to the measures, and at which moment.

A view's accepted events are looked at together, in the order of delivery:

- it starts with its first `view.start`, or with the first event that says when it started;
- it was attempted at its first `view.attempt`, unless a start or a fatal error came before that one;
- totals count by what raises the largest total so far, at the time of the event that raised it;
- its content's length is that of its `view.start`, else the catalog's when the view's events arrive
  (the catalog's first length stays: content does not change under a viewer);
- what was played before the length is known counts once it is known, unless a `view.start` without a length
  came first: only a late `view.start` is worth waiting for, and one that is 64 events late is not accepted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.oracle.log import PLAYBACK, USERS, Accepted, Log, user_of

_ENGAGEMENT = {"video.like": "likes", "video.comment": "comments", "video.share": "shares"}
_TOTALS = {"watchedMs": "watched_ms", "rebufferMs": "rebuffer_ms", "rebufferCount": "rebuffers"}
_DEVICES = {"desktop", "mobile", "tablet", "tv", "other"}
_PLATFORMS = {"web", "ios", "android", "tv", "other"}


@dataclass(frozen=True, slots=True)
class Fact:
    """An amount of one measure, of one video, at one moment (epoch milliseconds)."""

    video: str
    at: int
    measure: str
    amount: int


@dataclass(frozen=True, slots=True)
class Start:
    """A view that reached its first frame, with its user, country, device and platform."""

    video: str
    at: int
    user: str
    country: str
    device: str
    platform: str


@dataclass
class Facts:
    """Everything the video endpoints are computed from."""

    facts: list[Fact]
    starts: list[Start]

    @cached_property
    def by_video(self) -> dict[str, list[Fact]]:
        """The facts of each video."""
        found: dict[str, list[Fact]] = {}
        for fact in self.facts:
            found.setdefault(fact.video, []).append(fact)
        return found


def facts(log: Log) -> Facts:
    """Return the facts and starts of all videos, from the accepted events."""
    found = Facts([], [])
    views: dict[tuple[str, str], list[Accepted]] = defaultdict(list)
    for accepted in log.accepted:
        event = accepted.event
        if accepted.topic == PLAYBACK:
            views[event["videoId"], event["viewId"]].append(accepted)
        elif accepted.topic == USERS and event["type"] in _ENGAGEMENT:
            found.facts.append(Fact(event["videoId"], accepted.at, _ENGAGEMENT[event["type"]], 1))
    for (video, _), events in views.items():
        found.facts += totals(video, events)
        found.facts += outcome(video, events)
        found.starts += [start for start in [first_frame(video, events)] if start]
    return found


def totals(video: str, events: list[Accepted]) -> list[Fact]:
    """Watched and stalled time, stalls, and bitrate weighted by watched time, as each event raised them."""
    found = []
    for total, measure in _TOTALS.items():
        largest = 0
        for accepted in events:
            event = accepted.event
            raised = event.get(total, 0) - largest if _carries_totals(event) else 0
            if raised <= 0:
                continue
            largest += raised
            found.append(Fact(video, accepted.at, measure, raised))
            if total == "watchedMs" and event.get("bitrateKbps") is not None:
                found.append(Fact(video, accepted.at, "bitrate_weight", event["bitrateKbps"] * raised))
                found.append(Fact(video, accepted.at, "bitrate_ms", raised))
    return found


def outcome(video: str, events: list[Accepted]) -> list[Fact]:
    """Attempt and failure of the view; completion and share of the content if it started."""
    found = []
    starting = _starting(events)
    attempted_at = _attempted_at(events, starting)
    if attempted_at is not None:
        found.append(Fact(video, attempted_at, "attempts", 1))
        if any(_is_fatal(accepted) for accepted in events):
            found.append(Fact(video, attempted_at, "fatals", 1))
    if starting is None:
        return found
    started_at = _started_at(starting)

    complete = False
    known = False
    parts: set[int] = set()
    by_start: int | None = None
    by_catalog: int | None = None
    early: list[tuple[int, int]] = []
    waits = True
    for accepted in events:
        event = accepted.event
        if event["type"] == "view.start":
            by_start = by_start or event.get("durationMs")
        by_catalog = by_catalog or accepted.catalog_ms
        length = by_start or by_catalog
        known = known or length is not None
        if event["type"] == "view.end" and event["reason"] == "ended":
            complete = True
        played = [stretch(event)] if _carries_totals(event) and event.get("toMs") else []
        if length is None:
            waits = waits and event["type"] != "view.start"
            kept = in_one_piece([*early, *played])
            early = (kept if len(kept) <= 64 else early) if waits else []
            continue
        for begin, end in [*early, *played]:
            complete = complete or 100 * end >= 95 * length
            parts |= parts_touched(begin, end, length)
        early = []
    found.append(Fact(video, started_at, "views", 1))
    found.append(Fact(video, started_at, "completions", int(complete)))
    found.append(Fact(video, started_at, "sized", int(known)))
    found.append(Fact(video, started_at, "parts", len(parts)))
    return found


def first_frame(video: str, events: list[Accepted]) -> Start | None:
    """Return the view's start, with user, country, device and platform of the starting event, or None."""
    starting = _starting(events)
    if starting is None:
        return None
    event = starting.event
    return Start(
        video,
        _started_at(starting),
        user_of(event),
        country(event.get("country")),
        dimension(event.get("device"), _DEVICES),
        dimension(event.get("platform"), _PLATFORMS),
    )


def stretch(event: dict[str, Any]) -> tuple[int, int]:
    """Return the content that an event says was played; without a beginning before its end, just that end."""
    end = event["toMs"]
    begin = event.get("fromMs")
    return (end if begin is None else min(begin, end), end)


def in_one_piece(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in order of content, those that touch or overlap as one."""
    pieces: list[tuple[int, int]] = []
    for begin, end in sorted(stretches):
        if pieces and begin <= pieces[-1][1]:
            pieces[-1] = (pieces[-1][0], max(end, pieces[-1][1]))
        else:
            pieces.append((begin, end))
    return pieces


def parts_touched(from_ms: int, to_ms: int, length: int) -> set[int]:
    """Return which of the content's 100 equal parts overlap the half-open stretch."""
    to_ms = min(to_ms, length)
    # Part i is [i/100, (i+1)/100) of the length; in hundredths of a millisecond all of this is in integers.
    return {i for i in range(100) if max(100 * from_ms, i * length) < min(100 * to_ms, (i + 1) * length)}


def country(name: str | None) -> str:
    """Return a country as it is stored: two ASCII letters, `GB` for `UK`, else `unknown`."""
    if name is None or len(name) != 2 or not (name.isascii() and name.isalpha()):
        return "unknown"
    return "GB" if name.upper() == "UK" else name.upper()


def dimension(value: str | None, known: set[str]) -> str:
    """Return a device or a platform as it is stored."""
    if value is None:
        return "unknown"
    return value if value in known else "other"


def _carries_totals(event: dict[str, object]) -> bool:
    return event["type"] in ("view.progress", "view.end")


def _is_fatal(accepted: Accepted) -> bool:
    return accepted.event["type"] == "view.error" and accepted.event["fatal"] is True


def _starting(events: list[Accepted]) -> Accepted | None:
    for accepted in events:
        if accepted.event["type"] == "view.start" or accepted.started_at is not None:
            return accepted
    return None


def _started_at(starting: Accepted) -> int:
    return starting.at if starting.started_at is None else starting.started_at


def _attempted_at(events: list[Accepted], starting: Accepted | None) -> int | None:
    for accepted in events:
        if accepted is starting:
            return _started_at(starting)
        if accepted.event["type"] == "view.attempt" or _is_fatal(accepted):
            return accepted.at
    return None
