"""Live data: the last hour by the minute, concurrent viewers, and trending videos.

Pure. A view counts as watching for `WATCHING` after its newest event. An event of the future is no sign of a
viewer now, but clocks differ, so it counts if it is at most `AHEAD`. The hour is the window of `period=1h`,
which ends with the running minute.

**Trending.** `recent` are a video's views in the last ten minutes of that hour, `before` those in the fifty
minutes before. At the rate of the fifty, `expected = before x elapsed / 50 min` views would have come, where
`elapsed` is the part of the ten minutes that is over. The trend is
`(recent - expected) / sqrt(expected + 1)`: the excess over the expected views, in standard deviations of a
Poisson count. So chance is filtered out for small and large videos alike. Candidates are the
`MAX_CANDIDATES` videos with most recent views, with `MIN_RECENT` or more each; those with a trend above 0 are
ranked by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import sqrt
from typing import Final, Protocol

from streams.domain.arrivals import SKEW_MS
from streams.domain.measures import Sums
from streams.domain.windows import UTC_ZONE, Window, named

WATCHING: Final = timedelta(seconds=30)
#: How far an event may be ahead of its record, and so of a clock that is right.
AHEAD: Final = timedelta(milliseconds=SKEW_MS)
RECENT: Final = timedelta(minutes=10)
MIN_RECENT: Final = 3
MAX_CANDIDATES: Final = 1000
MAX_TRENDING: Final = 10
#: The measures that are returned by the minute.
MEASURES: Final = ("views", "watched_ms", "likes")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate for trending: a video's views in the last ten minutes, and in the fifty before."""

    id: str
    recent: int
    before: int


@dataclass(frozen=True, slots=True)
class LiveReading:
    """The last hour of one video or of all; `candidates` are the candidates for trending."""

    watching: int
    #: Sums of `MEASURES` by minute (since the epoch); a minute that is not there is empty.
    minutes: Mapping[int, Sums] = field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()

    @property
    def empty(self) -> bool:
        """Say whether nothing at all happened."""
        return not self.watching and not any(any(sums.values()) for sums in self.minutes.values())


class LiveReader(Protocol):
    """Reads the last hour. Every method raises `StoreUnavailableError` when the store cannot answer."""

    async def everything(self, window: Window) -> LiveReading:
        """Return the reading of all videos, with all candidates that can be ranked."""

    async def video(self, video_id: str, window: Window) -> LiveReading:
        """Return the reading of one video, without candidates."""


def last_hour(now: datetime) -> Window:
    """Return the hour that ends with the running minute."""
    return named("1h", zone=UTC_ZONE, now=now)


def recent_start(window: Window) -> datetime:
    """Return the beginning of the window's last ten minutes."""
    return window.end - RECENT


def trend(candidate: Candidate, window: Window) -> float:
    """Return the trend of a video (see the module); never more than `candidate.recent`."""
    rest = recent_start(window) - window.start
    expected = candidate.before * ((window.as_of - recent_start(window)) / rest)
    return (candidate.recent - expected) / sqrt(expected + 1)


def ranked(candidates: Iterable[Candidate], window: Window) -> list[tuple[Candidate, float]]:
    """Return the trending videos, first by trend, then by recent views, then by id."""
    rising = [
        (candidate, trend(candidate, window)) for candidate in candidates if candidate.recent >= MIN_RECENT
    ]
    rising = [each for each in rising if each[1] > 0]
    return sorted(rising, key=lambda each: (-each[1], -each[0].recent, each[0].id))[:MAX_TRENDING]
