"""The videos: lengths, owners, popularity by Zipf's law, a boost for new ones, and the live channels."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final

from deploy.traffic.events import CATALOG, DAY_MS, HOUR_MS, Event, digest, rfc3339
from deploy.traffic.titles import title

#: The share of the k-th most popular video falls as k to this power.
ZIPF: Final = 0.95
#: A video published today draws this many times more viewers than later; the boost fades within days.
NEWNESS: Final = 3.0
NEWNESS_DAYS: Final = 2.0
#: Share of the videos that are published during the history.
_DURING: Final = 0.4
_LIVE_SHARE: Final = 0.02
_REMOVED_SHARE: Final = 0.015
#: The most popular videos are shorts and clips.
_HITS: Final = 12
# (share, shortest s, longest s): shorts, clips, features, long ones
_LENGTHS: Final = ((0.38, 12, 59), (0.42, 61, 290), (0.17, 301, 780), (0.03, 900, 2400))


@dataclass(slots=True)
class Video:
    """A video of the platform; `duration_ms` is None for a live channel."""

    id: str
    title: str
    duration_ms: int | None
    owner: str
    published_ms: int
    appeal: float
    removed_ms: int | None = None

    def entry(self, at_ms: int) -> Event:
        """Return the catalog record that makes this video known at `at_ms`."""
        value = {
            "videoId": self.id,
            "title": self.title,
            "ownerId": self.owner,
            "publishedAt": rfc3339(self.published_ms),
            "live": self.duration_ms is None,
        }
        if self.duration_ms is not None:
            value["durationMs"] = self.duration_ms
        return CATALOG, self.id, at_ms, value


class Library:
    """The videos that can be watched now; `coming` holds those not yet published."""

    def __init__(
        self, seed: int, run: str, count: int, owners: list[str], start_ms: int, end_ms: int
    ) -> None:
        """Fill the library with `count` videos; some are published between `start_ms` and `end_ms`.

        The videos depend on `seed` alone, so they are the same in every run, with or without a history;
        videos made later get ids of this `run`.
        """
        rng = self._rng = Random(f"library/{seed}")
        self._salt = str(seed)
        self._made = 0
        self._titles: set[str] = set()
        self._shown: list[Video] = []
        self._totals: list[float] = []
        self._fresh_until = 0
        self.coming: list[Video] = []
        span = end_ms - start_ms
        during, removed = int(count * _DURING), int(count * _REMOVED_SHARE)
        live = max(1, round(count * _LIVE_SHARE)) if count > 2 else 0
        ranks = list(range(1, count + 1))
        rng.shuffle(ranks)
        for number, rank in enumerate(ranks):
            video = self.make(rng.choice(owners), 0, rank, live=number >= count - live)
            share = rng.random()
            if number >= during:
                video.published_ms = start_ms - int((0.5 + 200 * share**2) * DAY_MS)
            elif span >= DAY_MS:
                video.published_ms = start_ms + int((0.02 + 0.97 * share) * span)
                self.coming.append(video)
                continue
            else:
                video.published_ms = start_ms - int(30 * share * DAY_MS)
            if during <= number < during + removed:
                if span < DAY_MS:
                    continue  # this video is removed already
                video.removed_ms = start_ms + int((0.3 + 0.6 * share) * span)
            self._shown.append(video)
        self._salt = run

    def make(self, owner: str, published_ms: int, rank: int | None = None, *, live: bool = False) -> Video:
        """Return a new video that nobody can watch yet; `rank` 1 is the most popular, None draws one."""
        rng = self._rng
        self._made += 1
        if rank is None:
            rank = rng.randint(1, max(1, len(self._shown)))
        duration = None if live else _duration(rng, hit=rank <= _HITS)
        return Video(
            id=f"vid_{digest(f'{self._salt}/{self._made}', 10)}",
            title=title(rng, duration, self._titles),
            duration_ms=duration,
            owner=owner,
            published_ms=published_ms,
            appeal=float(rank) ** -ZIPF,
        )

    @property
    def shown(self) -> tuple[Video, ...]:
        """The videos that can be watched now."""
        return tuple(self._shown)

    def publish(self, video: Video) -> None:
        """Make `video` available from now on."""
        self._shown.append(video)
        self._fresh_until = 0

    def remove(self, video: Video) -> None:
        """Remove `video`; views under way may continue."""
        self._shown.remove(video)
        self._fresh_until = 0

    def pick(self, rng: Random, at_ms: int) -> Video:
        """Return a video to watch at `at_ms`: popular ones often, new ones more often than later."""
        if at_ms >= self._fresh_until:
            self._totals = list(accumulate(pull(video, at_ms) for video in self._shown))
            self._fresh_until = at_ms - at_ms % (HOUR_MS // 2) + HOUR_MS // 2
        return self._shown[bisect(self._totals, rng.random() * self._totals[-1], hi=len(self._shown) - 1)]


def pull(video: Video, at_ms: int) -> float:
    """Return how strongly `video` draws viewers at `at_ms`, relative to the others."""
    age_days = max(0, at_ms - video.published_ms) / DAY_MS
    return video.appeal * (1 + NEWNESS * math.exp(-age_days / NEWNESS_DAYS))


def _duration(rng: Random, *, hit: bool) -> int:
    # The few hits make much of the traffic: if one could be long, the seed would decide the traffic's volume.
    kinds = _LENGTHS[:2] if hit else _LENGTHS
    _, shortest, longest = rng.choices(kinds, [share for share, _, _ in kinds])[0]
    # Within each kind too, short lengths are more common than long ones.
    return int(1000 * shortest * (longest / shortest) ** rng.random())
