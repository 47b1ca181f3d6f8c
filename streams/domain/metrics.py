"""What follows from the definitions: groups that can be asked for, their measures, and rounded numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streams.domain.definitions import BITRATE, METRICS, SUMMARY, USERS, VIDEO
from streams.domain.errors import InvalidMetricsError
from streams.domain.measures import Formula, Sums

#: Allowed values of `metrics=`, by endpoint; other endpoints do not have the parameter.
GROUPS: Final = {
    endpoint: tuple(dict.fromkeys(metric.group for metric in METRICS if metric.endpoint == endpoint))
    for endpoint in (VIDEO, USERS)
}


def groups_of(endpoint: str, asked: Iterable[str] | None) -> tuple[str, ...]:
    """Parse `metrics=` into groups of an endpoint, as `some_of` does."""
    return some_of(GROUPS[endpoint], asked)


def some_of(allowed: tuple[str, ...], asked: Iterable[str] | None, what: str = "metrics") -> tuple[str, ...]:
    """Parse names, repeated or separated by commas; return those of `allowed`, in its order, each once.

    All are returned when none are given. Raises InvalidMetricsError for a name that is not allowed, and for a
    list with nothing in it; its message calls the names `what`.
    """
    if asked is None:
        return allowed
    names = {name.strip() for text in asked for name in text.split(",")}
    unknown = sorted(names.difference(allowed))
    if unknown or not names:
        raise InvalidMetricsError(
            f"{what} must be some of {', '.join(allowed)}.",
            parameter="metrics",
            unknown=[name[:64] for name in unknown[:10]],
            allowed=list(allowed),
        )
    return tuple(name for name in allowed if name in names)


def measures_of(endpoint: str, groups: Iterable[str] | None = None) -> tuple[str, ...]:
    """Return the measures that an endpoint's groups are computed from, sorted."""
    wanted = None if groups is None else set(groups)
    needed: set[str] = set()
    for metric in METRICS:
        if metric.endpoint == endpoint and metric.formula and (wanted is None or metric.group in wanted):
            needed |= metric.formula.measures
    return tuple(sorted(needed))


#: The measures of the summary: the columns of `video_days` and `all_videos_15m`.
SUMMARY_MEASURES: Final = measures_of(SUMMARY)


def rounded(value: float | None) -> float | None:
    """Round a number of an answer to six decimals; all rounding happens here."""
    return round(value, 6) if isinstance(value, float) else value


def value(formula: Formula, sums: Sums) -> float | None:
    """Compute a formula and round it as answers have it."""
    return rounded(formula(sums))


def bitrate(sums: Sums) -> str | None:
    """Return the average bitrate as `2500k`, None when it is unknown."""
    kilobits = BITRATE(sums)
    return None if kilobits is None else f"{round(kilobits)}k"


def change(now: float | None, before: float | None) -> float | None:
    """Return (now - before) / before; None when `before` is None or 0."""
    if now is None or not before:
        return None
    return rounded((now - before) / before)
