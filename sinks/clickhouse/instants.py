"""Instants, stretches and local time in SQL, always as bound values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from streams.domain.local_time import Clock, DaySplit
from streams.domain.windows import Stretch

#: The type of a placeholder that `text` fills.
INSTANT: Final = "DateTime64(3, 'UTC')"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def text(instant: datetime) -> str:
    """Write an instant as ClickHouse reads it into a DateTime64(3, 'UTC')."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def milliseconds(instant: datetime) -> int:
    """Return an instant as epoch milliseconds."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def indented(sql: str, levels: int = 1) -> str:
    """Indent the lines of a subquery."""
    return "\n".join(f"{'    ' * levels}{line}" for line in sql.split("\n"))


def ranges(column: str, stretches: list[Stretch], parameters: dict[str, Any], kind: str) -> str:
    """Return the condition that a column lies in one of the stretches; edges are bound as `<kind><n>_*`."""
    conditions = []
    for number, stretch in enumerate(stretches):
        parameters[f"{kind}{number}_from"] = text(stretch.start)
        parameters[f"{kind}{number}_to"] = text(stretch.end)
        conditions.append(
            f"{column} >= {{{kind}{number}_from:{INSTANT}}} AND {column} < {{{kind}{number}_to:{INSTANT}}}"
        )
    return f"({' OR '.join(conditions)})"


def local_seconds(seconds: str) -> str:
    """Return the expression for local seconds since 1970 from epoch seconds; binds `clock_parameters`."""
    return (
        f"toInt64({seconds}) + transform(roundDown(toInt64({seconds}), {{since:Array(Int64)}}),"
        " {since:Array(Int64)}, {offsets:Array(Int64)}, toInt64(0))"
    )


def clock_parameters(clock: Clock) -> dict[str, Any]:
    """Return the values that `local_seconds` binds."""
    return {"since": list(clock.since), "offsets": list(clock.offsets)}


class LocalDays:
    """Expressions over a row of `user_days`: the numbers of the local days in its UTC day.

    `first` is the day of the quarters in `head`, `second` that of the other `slots`, if the split is not
    trivial. `parameters` are the values that they bind.
    """

    _NUMBER: Final = "toUInt16(day - {first_day:Date}) + 1"
    first: Final = f"{{before:Array(Int32)}}[{_NUMBER}]"
    second: Final = f"{{after:Array(Int32)}}[{_NUMBER}]"
    head: Final = f"bitAnd(slots, {{heads:Array(UInt128)}}[{_NUMBER}])"

    def __init__(self, split: DaySplit) -> None:
        """Use a split of the UTC days that are read."""
        self.parameters: dict[str, Any] = {"first_day": split.first, "before": list(split.before)}
        if not split.trivial:
            heads = [(1 << cut) - 1 for cut in split.cuts]
            self.parameters |= {"after": list(split.after), "heads": heads}


def aware(instant: datetime) -> datetime:
    """Return an instant that ClickHouse's client answered, which is UTC even if it does not say so."""
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
