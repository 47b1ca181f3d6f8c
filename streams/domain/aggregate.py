"""Rows to live counters: what a batch adds to the live window, by minute and video.

Pure and associative: the fold of a list is the `merge` of the folds of its parts, however it is cut. The same
fold serves the pipeline, and the rebuild of lost counters from the raw table.

The measures are the columns of `video_15m`, in the same buckets (see `rows.PlaybackRow`) but by minute
instead of quarter of an hour, plus views by country, device and platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from streams.domain.measures import MEASURES, Anchor
from streams.domain.rows import PlaybackRow, UserRow

#: A minute in milliseconds.
MINUTE_MS: Final = 60_000
#: Minutes of the live window: the hour that is read, and the hour before it.
LIVE_MINUTES: Final = 120
#: A view without an event for this long never counts as watching, so it is not written at all.
WATCHING_SECONDS: Final = 120

#: (minute since the epoch, video).
Cell = tuple[int, str]

#: Index of each measure in a cell's sums. Sums are lists while a batch is folded, and get names at its end:
#: folding is a fifth of a worker's time.
_AT: Final = {name: position for position, name in enumerate(MEASURES)}
_NOTHING: Final = [0] * len(_AT)
_REACTIONS: Final = {
    measure.event: name for name, measure in MEASURES.items() if measure.anchor is Anchor.REACTION
}


@dataclass(slots=True)
class Live:
    """Increments of the live window; empty is the neutral element of `merge`."""

    #: Measures to increment, in the order of `MEASURES`, by minute and video.
    sums: dict[Cell, list[int]] = field(default_factory=dict)
    #: Views to add by `country:US`, `device:tv`, `platform:web`, of cells that have sums.
    audience: dict[Cell, dict[str, int]] = field(default_factory=dict)
    #: 64-bit hashes of the users who started a view, by minute and video: sets, so exact uniques.
    viewers: dict[Cell, set[int]] = field(default_factory=dict)
    #: Newest event of each view in epoch milliseconds, by video: concurrent viewers.
    watching: dict[str, dict[str, int]] = field(default_factory=dict)

    def merge(self, other: Live) -> None:
        """Add another batch's increments to these."""
        for cell, theirs in other.sums.items():
            mine = self.sums.get(cell, _NOTHING)
            self.sums[cell] = [one + another for one, another in zip(mine, theirs, strict=True)]
        for cell, views in other.audience.items():
            self.count_audience(cell, views)
        for cell, users in other.viewers.items():
            self.viewers.setdefault(cell, set()).update(users)
        for video, views in other.watching.items():
            watched = self.watching.setdefault(video, {})
            for view, seen in views.items():
                watched[view] = max(seen, watched.get(view, 0))

    def add(self, cell: Cell, **measures: int) -> None:
        """Add measures by name to a cell."""
        values = self.sums.setdefault(cell, _NOTHING[:])
        for name, value in measures.items():
            values[_AT[name]] += value

    def count_audience(self, cell: Cell, views: Mapping[str, int]) -> None:
        """Add started views by `country:US`, `device:tv`, `platform:web`."""
        mine = self.audience.setdefault(cell, {})
        for name, value in views.items():
            mine[name] = mine.get(name, 0) + value

    @property
    def counters(self) -> dict[Cell, dict[str, int]]:
        """Increments of measures and audience by name, for each minute and video; without zeros."""
        audience, nobody = self.audience, dict[str, int]()
        return {
            cell: {name: value for name, value in zip(_AT, values, strict=True) if value}
            | audience.get(cell, nobody)
            for cell, values in self.sums.items()
        }

    def __bool__(self) -> bool:
        """Say whether there is anything to add."""
        return bool(self.sums or self.viewers or self.watching)


def user_hash(user_id: str) -> int:
    """Return a signed 64-bit hash of a user id: Redis stores an integer in 8 bytes in a small set."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), "big", signed=True)


def fold_playback(rows: Iterable[PlaybackRow], since: int, live: Live | None = None) -> Live:
    """Fold playback rows into increments of the live window.

    The window begins with the minute `since` (since the epoch) and is `LIVE_MINUTES` long, so it ends now.
    Earlier events are left out, and so are views whose newest event is older than `WATCHING_SECONDS`.
    """
    live = Live() if live is None else live
    sums, viewers, watching = live.sums, live.viewers, live.watching
    horizon = since * MINUTE_MS
    watched_since = (since + LIVE_MINUTES) * MINUTE_MS - WATCHING_SECONDS * 1000
    watched_ms, rebuffer_ms, rebuffers = _AT["watched_ms"], _AT["rebuffer_ms"], _AT["rebuffers"]
    bitrate_weight, bitrate_ms = _AT["bitrate_weight"], _AT["bitrate_ms"]
    started, completions, sized, parts = _AT["views"], _AT["completions"], _AT["sized"], _AT["parts"]
    for row in rows:
        at, video = row.occurred_at, row.video_id
        if at >= horizon:
            if at >= watched_since:
                views = watching.get(video)
                if views is None:
                    views = watching[video] = {}
                view = row.view_id
                if at > views.get(view, 0):
                    views[view] = at
            if row.d_watched_ms or row.d_rebuffer_ms or row.d_rebuffers:
                key = (at // MINUTE_MS, video)
                cell = sums.get(key)
                if cell is None:
                    cell = sums[key] = _NOTHING[:]
                cell[watched_ms] += row.d_watched_ms
                if row.d_rebuffer_ms or row.d_rebuffers:
                    cell[rebuffer_ms] += row.d_rebuffer_ms
                    cell[rebuffers] += row.d_rebuffers
                if row.d_bitrate_ms:
                    cell[bitrate_weight] += row.d_bitrate_weight
                    cell[bitrate_ms] += row.d_bitrate_ms
        if (row.d_parts or row.d_views or row.d_completions or row.d_sized) and row.started_at >= horizon:
            key = (row.started_at // MINUTE_MS, video)
            cell = sums.get(key)
            if cell is None:
                cell = sums[key] = _NOTHING[:]
            cell[parts] += row.d_parts
            if row.d_completions or row.d_sized:
                cell[completions] += row.d_completions
                cell[sized] += row.d_sized
            if row.d_views:
                cell[started] += row.d_views
                viewers.setdefault(key, set()).add(user_hash(row.user_id))
                names = (f"country:{row.country}", f"device:{row.device}", f"platform:{row.platform}")
                live.count_audience(key, dict.fromkeys(names, 1))
        if (row.d_attempts or row.d_fatals) and row.attempted_at >= horizon:
            key = (row.attempted_at // MINUTE_MS, video)
            live.add(key, attempts=row.d_attempts, fatals=row.d_fatals)
    return live


def fold_users(rows: Iterable[UserRow], since: int, live: Live | None = None) -> Live:
    """Fold user rows into increments: likes, comments and shares of videos."""
    live = Live() if live is None else live
    for row in rows:
        measure = _REACTIONS.get(row.type)
        minute = row.occurred_at // MINUTE_MS
        if measure and minute >= since:
            live.add((minute, row.video_id), **{measure: 1})
    return live
