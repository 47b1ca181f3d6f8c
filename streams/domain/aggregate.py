"""Rows to live counters: what a batch adds to the last hour, by minute and video.

Pure and associative: `fold` of a list is the `merge` of the folds of its parts, whatever the cut. The
same fold serves the pipeline and the rebuilding of a lost Redis from the raw table.

The measures are the columns of `video_15m`, in the same buckets (see `rows.PlaybackRow`), by minute
instead of by quarter of an hour, plus views by country, device and platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from streams.domain.rows import PlaybackRow, UserRow

type_to_measure = {"video.like": "likes", "video.comment": "comments", "video.share": "shares"}

#: The live window is written for events this recent: the hour that is read, and as much again.
LIVE_MINUTES: Final = 120
#: A view without an event for this long is not being watched, whoever asks: it need not be written down.
WATCHING_SECONDS: Final = 120

#: (minute, video): minutes since the epoch.
Cell = tuple[int, str]


@dataclass(slots=True)
class Live:
    """Increments of the live window; empty is the neutral element of `merge`."""

    #: Measure (or `country:US`, `device:tv`, `platform:web`) to increment, by minute and video.
    counters: dict[Cell, dict[str, int]] = field(default_factory=dict)
    #: 64-bit hashes of the users who started a view, by minute and video: sets, so exact uniques.
    viewers: dict[Cell, set[int]] = field(default_factory=dict)
    #: Newest event of each view in epoch milliseconds, by video: concurrent viewers.
    watching: dict[str, dict[str, int]] = field(default_factory=dict)

    def merge(self, other: Live) -> None:
        """Add another batch's increments to these."""
        for cell, counters in other.counters.items():
            mine = self.counters.setdefault(cell, {})
            for name, value in counters.items():
                mine[name] = mine.get(name, 0) + value
        for cell, users in other.viewers.items():
            self.viewers.setdefault(cell, set()).update(users)
        for video, views in other.watching.items():
            mine = self.watching.setdefault(video, {})
            for view, seen in views.items():
                mine[view] = max(seen, mine.get(view, 0))

    def __bool__(self) -> bool:
        """Say whether there is anything to add."""
        return bool(self.counters or self.viewers or self.watching)


def user_hash(user_id: str) -> int:
    """Return a user's id as a signed 64-bit integer, which Redis keeps in 8 bytes in a small set."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), "big", signed=True)


def fold_playback(rows: Iterable[PlaybackRow], since: int, live: Live | None = None) -> Live:
    """Fold playback rows into increments of the live window.

    It begins with the minute `since` (since the epoch) and is `LIVE_MINUTES` long, so that now is at its end:
    what occurred longer ago is left out, and so is who was watching more than `WATCHING_SECONDS` ago.
    """
    live = Live() if live is None else live
    viewers, watching = live.viewers, live.watching
    horizon = since * 60
    watched_since = (since + LIVE_MINUTES) * 60 - WATCHING_SECONDS
    # Lists by position while folding, named at the end: this loop is a fifth of a worker's time.
    watched: dict[Cell, list[int]] = {}
    started: dict[Cell, list[int]] = {}
    for row in rows:
        at, video = row.occurred_at, row.video_id
        if at >= horizon:
            if at >= watched_since:
                views = watching.get(video)
                if views is None:
                    views = watching[video] = {}
                seen = int(at * 1000 + 0.5)
                if seen > views.get(row.view_id, 0):
                    views[row.view_id] = seen
            if row.d_watched_ms or row.d_rebuffer_ms or row.d_rebuffers:
                key = (int(at) // 60, video)
                cell = watched.get(key)
                if cell is None:
                    cell = watched[key] = [0, 0, 0, 0, 0]
                cell[0] += row.d_watched_ms
                cell[1] += row.d_rebuffer_ms
                cell[2] += row.d_rebuffers
                cell[3] += row.d_bitrate_weight
                cell[4] += row.d_bitrate_ms
        if (row.d_parts or row.d_views or row.d_completions or row.d_sized) and row.started_at >= horizon:
            key = (int(row.started_at) // 60, video)
            cell = started.get(key)
            if cell is None:
                cell = started[key] = [0, 0, 0, 0]
            cell[0] += row.d_views
            cell[1] += row.d_completions
            cell[2] += row.d_sized
            cell[3] += row.d_parts
            if row.d_views:
                viewers.setdefault(key, set()).add(user_hash(row.user_id))
                _add(
                    live,
                    key,
                    (f"country:{row.country}", f"device:{row.device}", f"platform:{row.platform}"),
                    (1, 1, 1),
                )
        if (row.d_attempts or row.d_fatals) and row.attempted_at >= horizon:
            key = (int(row.attempted_at) // 60, video)
            _add(live, key, ("attempts", "fatals"), (row.d_attempts, row.d_fatals))
    for key, cell in watched.items():
        _add(live, key, ("watched_ms", "rebuffer_ms", "rebuffers", "bitrate_weight", "bitrate_ms"), cell)
    for key, cell in started.items():
        _add(live, key, ("views", "completions", "sized", "parts"), cell)
    return live


def _add(live: Live, key: Cell, names: Sequence[str], values: Sequence[int]) -> None:
    counters = live.counters.get(key)
    if counters is None:
        counters = live.counters[key] = {}
    for name, value in zip(names, values, strict=True):
        if value:
            counters[name] = counters.get(name, 0) + value


def fold_users(rows: Iterable[UserRow], since: int, live: Live | None = None) -> Live:
    """Fold user rows into increments: likes, comments and shares of videos."""
    live = Live() if live is None else live
    for row in rows:
        measure = type_to_measure.get(row.type)
        minute = int(row.occurred_at) // 60
        if measure and minute >= since:
            cell = live.counters.setdefault((minute, row.video_id), {})
            cell[measure] = cell.get(measure, 0) + 1
    return live
