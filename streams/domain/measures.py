"""The measures: what is counted, and to which time bucket each count belongs.

A measure is a column of `video_15m`, a field of the live counters in Redis, and (for all but the
reactions) the column `d_<name>` of `playback_events`. All other numbers are computed from sums of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Sums over a stretch of time, by measure. A missing measure is 0.
Sums = Mapping[str, int]


class Anchor(StrEnum):
    """The instant that decides the bucket, by its column in the raw table."""

    EVENT = "occurred_at"
    START = "started_at"
    ATTEMPT = "attempted_at"
    REACTION = "reaction"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure; `event` is the event type of a reaction, empty for others."""

    name: str
    anchor: Anchor
    definition: str
    event: str = ""


MEASURES: Final = {
    measure.name: measure
    for measure in (
        Measure("attempts", Anchor.ATTEMPT, "views that were requested"),
        Measure("fatals", Anchor.ATTEMPT, "views with a fatal error"),
        Measure("views", Anchor.START, "views with a first frame"),
        Measure(
            "completions",
            Anchor.START,
            "views that reached 95 % of the duration, or ended with reason `ended`",
        ),
        Measure("sized", Anchor.START, "views whose content length is known"),
        Measure("parts", Anchor.START, "hundredths of the content touched, each once a view"),
        Measure("watched_ms", Anchor.EVENT, "milliseconds of playback"),
        Measure("rebuffer_ms", Anchor.EVENT, "milliseconds of stalls after the first frame"),
        Measure("rebuffers", Anchor.EVENT, "stalls after the first frame"),
        Measure("bitrate_weight", Anchor.EVENT, "kilobits a second x milliseconds watched at them"),
        Measure("bitrate_ms", Anchor.EVENT, "milliseconds watched at a known bitrate"),
        Measure("likes", Anchor.REACTION, "likes", "video.like"),
        Measure("comments", Anchor.REACTION, "comments", "video.comment"),
        Measure("shares", Anchor.REACTION, "shares", "video.share"),
    )
}


def anchored(names: Iterable[str], anchor: Anchor) -> list[Measure]:
    """Return those of the named measures that have this anchor."""
    return [MEASURES[name] for name in names if MEASURES[name].anchor is anchor]


def _added(terms: tuple[str, ...]) -> str:
    total = " + ".join(f"sum({term})" for term in terms)
    return f"({total})" if len(terms) > 1 else total


@dataclass(frozen=True, slots=True)
class Total:
    """A sum of measures, divided by the constant `per`; an integer when that is 1."""

    terms: tuple[str, ...]
    per: int = 1

    @property
    def measures(self) -> frozenset[str]:
        """Return the measures that it needs."""
        return frozenset(self.terms)

    @property
    def sql(self) -> str:
        """Return the expression over columns of `video_15m`, for ad hoc SQL."""
        return _added(self.terms) if self.per == 1 else f"{_added(self.terms)} / {self.per}"

    def __call__(self, sums: Sums) -> float:
        """Compute it."""
        total = sum(sums.get(term, 0) for term in self.terms)
        return total if self.per == 1 else total / self.per


@dataclass(frozen=True, slots=True)
class Ratio:
    """A sum of measures divided by another one, which is multiplied by `per`; None when that is 0.

    `per` converts units: milliseconds to seconds, hundredths to shares.
    """

    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    per: int = 1

    @property
    def measures(self) -> frozenset[str]:
        """Return the measures it needs."""
        return frozenset(self.numerator + self.denominator)

    @property
    def sql(self) -> str:
        """Return the expression over columns of `video_15m`, for ad hoc SQL; NULL for no denominator."""
        below = _added(self.denominator) if self.per == 1 else f"{self.per} * {_added(self.denominator)}"
        return f"{_added(self.numerator)} / nullIf({below}, 0)"

    def __call__(self, sums: Sums) -> float | None:
        """Compute it."""
        below = sum(sums.get(term, 0) for term in self.denominator) * self.per
        return sum(sums.get(term, 0) for term in self.numerator) / below if below else None


@dataclass(frozen=True, slots=True)
class Engagement:
    """How much of the content is watched, and how often people react: from 0 to 1.

    0.8 x share of the content watched + 0.2 x min(1, reactions / views); None when either is unknown.
    """

    share: Ratio
    reactions: Ratio

    @property
    def measures(self) -> frozenset[str]:
        """Return the measures it needs."""
        return self.share.measures | self.reactions.measures

    @property
    def sql(self) -> str:
        """Return the expression over columns of `video_15m`, for ad hoc SQL; NULL when either is unknown."""
        # least() of the counts, not of the ratio: ClickHouse's least(1, NULL) is 1.
        above, below = _added(self.reactions.numerator), _added(self.reactions.denominator)
        return f"0.8 * {self.share.sql} + 0.2 * least({above}, {below}) / nullIf({below}, 0)"

    def __call__(self, sums: Sums) -> float | None:
        """Compute it."""
        share, reactions = self.share(sums), self.reactions(sums)
        if share is None or reactions is None:
            return None
        return 0.8 * share + 0.2 * min(1.0, reactions)


Formula = Total | Ratio | Engagement
