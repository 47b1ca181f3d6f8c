"""Query parameters: their declarations, and the `Question` that they are parsed into.

Every parameter is declared as a plain string, so that errors are our own: `details` names the parameter and
the allowed values. Unknown parameters are refused, because a silently ignored typo gives a wrong number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import Query, Request

from streams.domain.errors import InvalidParameterError, InvalidPeriodError
from streams.domain.timeline import GroupBy
from streams.domain.windows import (
    ALL,
    PERIODS,
    Window,
    cover,
    custom,
    instant_of,
    kept_since,
    named,
    within,
    zone_of,
)

PREVIOUS, NONE = "previous", "none"

#: What the parameters of a window mean, in queries and in orders of exports.
PERIOD_TEXT: Final = (
    "`1h` and `24h` are rolling; `1d`, `7d`, `30d` are calendar days of the time zone, today "
    "included; `all` is everything that is kept. Not together with `start` and `end`."
)
START_TEXT: Final = (
    "Start of a custom window, RFC 3339, inclusive: not before the data that are kept. Requires `end`."
)

PeriodText = Annotated[
    str | None,
    Query(
        description=PERIOD_TEXT,
        json_schema_extra={"enum": list(PERIODS)},
    ),
]
StartText = Annotated[
    str | None,
    Query(
        description=START_TEXT,
        json_schema_extra={"format": "date-time"},
    ),
]
EndText = Annotated[
    str | None,
    Query(
        description="End of a custom window, RFC 3339, exclusive. Requires `start`.",
        json_schema_extra={"format": "date-time"},
    ),
]
ZoneText = Annotated[
    str,
    Query(
        description="IANA time zone of days, weeks and hours.",
        openapi_examples={"india": {"value": "Asia/Kolkata"}},
    ),
]
GroupByText = Annotated[
    str | None,
    Query(
        alias="groupBy",
        description="Granularity of the timelines; by default `hour` for windows up to 48 hours, else `day`.",
        json_schema_extra={"enum": [each.value for each in GroupBy]},
    ),
]
CompareText = Annotated[
    str,
    Query(
        description="`previous` compares with the equally long window before; `none` omits `previous`, "
        "`change` and `trends`.",
        json_schema_extra={"enum": [PREVIOUS, NONE]},
    ),
]
MetricsText = Annotated[
    list[str] | None,
    Query(description="Groups to return, separated by commas or repeated; by default all."),
]


@dataclass(frozen=True, slots=True)
class Question:
    """A requested window, before it is known when the data begins.

    Single events are kept since `raw_since`, and everything else since `kept_since`.
    """

    period: str | None
    start: datetime | None
    end: datetime | None
    zone: ZoneInfo
    compare: bool
    now: datetime
    raw_since: datetime
    kept_since: datetime

    @property
    def needs_first(self) -> bool:
        """Whether the window depends on the beginning of the data."""
        return self.period == ALL

    @property
    def live(self) -> bool:
        """Whether the live counters can answer it."""
        return self.period == "1h"

    def window(self, first: datetime | None = None, ahead: timedelta = timedelta()) -> Window:
        """Return the window; raise InvalidPeriodError when it cannot be answered exactly.

        `ahead` is for how long before a window its data are read. Raises NotKeptError if they are not kept.
        """
        if self.start is None or self.end is None:
            window = named(self.period or "", zone=self.zone, now=self.now, first=first)
            return within(window, self.kept_since, ahead)
        window = custom(self.start, self.end, zone=self.zone, now=self.now)
        window = within(window, self.kept_since, ahead)
        stretches = [window.whole]
        if self.compare and window.before is not None:
            stretches += [window.elapsed, window.before]
        if any(ragged.start < self.raw_since for each in stretches for ragged in cover([each])[1]):
            raise InvalidPeriodError(
                "start and end must be full quarters of an hour where single events are no longer kept.",
                parameter="start",
                since=self.raw_since.isoformat(),
            )
        return window


def check_names(request: Request, known: Collection[str], repeatable: Collection[str] = ()) -> None:
    """Raise InvalidParameterError for an unknown parameter, or one that is given twice."""
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            raise InvalidParameterError(
                f"There is no parameter {name[:64]!r} here; there are {', '.join(sorted(known))}.",
                parameter=name[:64],
                allowed=sorted(known),
            )
        if count > 1 and name not in repeatable:
            raise InvalidParameterError(f"{name} must be given once.", parameter=name)


WINDOW_PARAMETERS: Final = frozenset({"period", "start", "end", "timezone", "compare"})


@dataclass(frozen=True, slots=True)
class QuestionParser:
    """Parses questions that are asked at `now`, when data are kept for so many days."""

    now: datetime
    raw_retention_days: int
    rollup_retention_days: int

    def parse(
        self,
        *,
        period: str | None,
        default: str,
        start: str | None,
        end: str | None,
        zone: str,
        compare: str = NONE,
    ) -> Question:
        """Parse the parameters of a window; raise InvalidPeriodError for invalid ones.

        `default` is the period if neither a period nor `start` and `end` are given.
        """
        if compare not in (PREVIOUS, NONE):
            raise InvalidPeriodError(
                f"compare must be {PREVIOUS} or {NONE}.", parameter="compare", allowed=[PREVIOUS, NONE]
            )
        if (start is None) != (end is None):
            missing = "start" if start is None else "end"
            raise InvalidPeriodError(f"start and end go together; {missing} is missing.", parameter=missing)
        if start is not None and period is not None:
            raise InvalidPeriodError(
                "Ask for a period, or for start and end, not for both.", parameter="period"
            )
        if period is not None and period not in PERIODS:
            raise InvalidPeriodError(
                f"period must be one of {', '.join(PERIODS)}.", parameter="period", allowed=list(PERIODS)
            )
        return Question(
            period=None if start is not None else period or default,
            start=None if start is None else instant_of(start, "start"),
            end=None if end is None else instant_of(end, "end"),
            zone=zone_of(zone),
            compare=compare == PREVIOUS,
            now=self.now,
            raw_since=self.now - timedelta(days=self.raw_retention_days),
            kept_since=kept_since(self.now, self.rollup_retention_days),
        )
