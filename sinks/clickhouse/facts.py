"""The rows of a window, from roll-ups where that is exact, and from raw events elsewhere.

Whole quarters of an hour of a window, and of the stretches it is compared with, are read from `video_15m`;
without dimensions, smaller tables have the same sums. A quarter with an edge in it (`windows.cover`) is read
from the raw events, each measure by the time that decides its bucket, so every edge is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Any, Final

from sinks.clickhouse.instants import indented, text
from streams.domain.measures import Anchor, Measure, anchored
from streams.domain.windows import QUARTER, Stretch, Window, ceiling, cover, floor, quarters

#: The piece of a row: the stretch before, the elapsed part of the window, its rest, or none of them.
BEFORE, ELAPSED, REST, OUTSIDE = 0, 1, 2, 3
_DAY: Final = timedelta(days=1)
#: Roll-ups without dimensions: of each video by whole UTC days, and of all videos by quarter of an hour.
EACH_BY_DAY, ALL_BY_QUARTER = "video_days", "all_videos_15m"
DIMENSIONS: Final = ("country", "device", "platform")


def slot(at: str) -> str:
    """Return the expression for the beginning of an instant's point in the timeline, in epoch seconds."""
    return f"roundDown(toUInt32(toUnixTimestamp({at})), {{edges:Array(UInt32)}})"


#: The piece of an instant. A cut quarter has instants in no piece.
_PIECE_OF_INSTANT: Final = (
    "multiIf("
    f"{{at}} < {{{{before_start:DateTime64(3, 'UTC')}}}}, {OUTSIDE}, "
    f"{{at}} < {{{{before_end:DateTime64(3, 'UTC')}}}}, {BEFORE}, "
    f"{{at}} < {{{{start:DateTime64(3, 'UTC')}}}}, {OUTSIDE}, "
    f"{{at}} < {{{{elapsed_end:DateTime64(3, 'UTC')}}}}, {ELAPSED}, "
    f"{{at}} < {{{{end:DateTime64(3, 'UTC')}}}}, {REST}, {OUTSIDE})"
)
#: The piece of a quarter that is in one piece as a whole; comparing seconds is faster.
_PIECE_OF_BUCKET: Final = (
    "multiIf("
    f"{{at}} < toDateTime({{{{start:DateTime64(3, 'UTC')}}}}), {BEFORE}, "
    f"{{at}} < toDateTime({{{{elapsed_end:DateTime64(3, 'UTC')}}}}), {ELAPSED}, {REST})"
)


class Facts:
    """The rows of a window and of the stretch before, as branches of one UNION ALL.

    Columns: `piece`, if `pieces` is true; of one video `slot`, `country`, `device`, `platform`, of all
    videos `video_id`; and the measures. What lies before the window has `slot` 0 and empty dimensions.
    `parameters` are the values to bind; those of one video also need `video` and `edges`.
    """

    def __init__(
        self,
        window: Window,
        measures: Collection[str],
        compare: bool,
        video: bool,
        sums: str = "",
    ) -> None:
        """Split a window into branches. `video` says whether the rows are of one video, or of all.

        With `sums`, rows come from that table: whole UTC days from `EACH_BY_DAY`, or everything from
        `ALL_BY_QUARTER`, which knows no videos; then there is no `video_id`. They have the measures of the
        summary only.
        """
        self._all = sums == ALL_BY_QUARTER
        self.names = sorted(measures)
        self._one = video
        self._video = "video_id = {video:String} AND " if video else ""
        before, elapsed = Stretch(window.start, window.start), window.whole
        if compare and window.before is not None:
            before, elapsed = window.before, window.elapsed
        self.parameters: dict[str, Any] = {
            "before_start": text(before.start),
            "before_end": text(before.end),
            "start": text(window.start),
            "elapsed_end": text(elapsed.end),
            "end": text(window.end),
        }
        stretches = [before, elapsed, Stretch(elapsed.end, window.end)]
        self._whole, ragged = cover(stretches)
        self._days = list(_whole_days(stretches)) if sums == EACH_BY_DAY else []
        if self._days:
            self._whole = list(_without(self._whole, self._days))
        for number, stretch in enumerate(self._days):
            self.parameters[f"day{number}_from"] = f"{stretch.start:%Y-%m-%d}"
            self.parameters[f"day{number}_to"] = f"{stretch.end:%Y-%m-%d}"
        self._cut = quarters(ragged)
        #: Whether rows are in different pieces; otherwise all are in the window, and there is no column
        #: `piece`.
        self.pieces = compare or video or bool(self._cut) or not sums
        for number, stretch in enumerate(self._whole):
            self.parameters[f"from{number}"] = f"{stretch.start:%Y-%m-%d %H:%M:%S}"
            self.parameters[f"to{number}"] = f"{stretch.end:%Y-%m-%d %H:%M:%S}"
        if self._cut:
            self.parameters |= {
                "cut_from": text(self._cut[0]),
                "cut_to": text(self._cut[-1] + QUARTER),
                "cut": [int(quarter.timestamp()) // 900 for quarter in self._cut],
            }

    @property
    def sql(self) -> str:
        """Return the rows as a subquery; rows of cut quarters may be in no piece."""
        return indented("\nUNION ALL\n".join(self._branches()))

    def _in_whole(self) -> str:
        ranges = (
            f"bucket >= {{from{number}:DateTime('UTC')}} AND bucket < {{to{number}:DateTime('UTC')}}"
            for number in range(len(self._whole))
        )
        return f"({' OR '.join(ranges)})"

    def _in_days(self) -> str:
        ranges = (
            f"day >= {{day{number}_from:Date}} AND day < {{day{number}_to:Date}}"
            for number in range(len(self._days))
        )
        return f"({' OR '.join(ranges)})"

    @staticmethod
    def _in_cut(at: str) -> str:
        # The list of quarters is the condition; the range lets ClickHouse use its indexes.
        return (
            f"{at} >= {{cut_from:DateTime64(3, 'UTC')}} AND {at} < {{cut_to:DateTime64(3, 'UTC')}}"
            f" AND intDiv(toUnixTimestamp({at}), 900) IN {{cut:Array(UInt32)}}"
        )

    def _select(self, at: str, piece: str, values: dict[str, str]) -> str:
        columns = [f"{piece} AS piece"] if self.pieces else []
        if self._one:
            columns.append(f"if(piece = {BEFORE}, 0, {slot(at)}) AS slot")
            columns += [f"if(piece = {BEFORE}, '', {name}) AS {name}" for name in DIMENSIONS]
        elif not self._all:
            columns.append("video_id")
        for name in self.names:
            value = values.get(name, "0")
            columns.append(name if value == name else f"{value} AS {name}")
        return "SELECT\n    " + ",\n    ".join(columns)

    def _branches(self) -> Iterator[str]:
        if self._days:
            piece = _PIECE_OF_BUCKET.format(at="toDateTime(day, 'UTC')")
            select = self._select("day", piece, {name: name for name in self.names})
            yield f"{select}\nFROM {EACH_BY_DAY}\nWHERE {self._in_days()}"
        if self._whole:
            piece = _PIECE_OF_BUCKET.format(at="bucket")
            select = self._select("bucket", piece, {name: name for name in self.names})
            source = ALL_BY_QUARTER if self._all else "video_15m"
            yield f"{select}\nFROM {source}\nWHERE {self._video}{self._in_whole()}"
        if not self._cut:
            return
        for anchor in (Anchor.EVENT, Anchor.START, Anchor.ATTEMPT):
            if measures := anchored(self.names, anchor):
                yield self._raw(anchor, measures)
        if reactions := anchored(self.names, Anchor.REACTION):
            yield self._reactions(reactions)

    def _raw(self, anchor: Anchor, measures: list[Measure]) -> str:
        """Return a branch with deltas of raw events, by the instant that decides their bucket."""
        at, condition = anchor.value, self._in_cut(anchor.value)
        if anchor is Anchor.START:
            # Deltas of a view arrive at any time after its start: find the views that started here, then
            # their events by primary key.
            starts = f"SELECT video_id, view_id FROM view_starts WHERE {self._video}{condition}"
            condition = f"(video_id, view_id) IN ({starts}) AND {condition}"
        deltas = {each.name: f"toUInt64(d_{each.name})" for each in measures}
        some = " + ".join(f"d_{each.name}" for each in measures)
        select = self._select(at, _PIECE_OF_INSTANT.format(at=at), deltas)
        return f"{select}\nFROM playback_events\nWHERE {self._video}{condition} AND {some} > 0"

    def _reactions(self, reactions: list[Measure]) -> str:
        """Return a branch with likes, comments and shares."""
        at = "occurred_at"
        counts = {each.name: f"toUInt64(type = '{each.event}')" for each in reactions}
        types = ", ".join(f"'{each.event}'" for each in reactions)
        select = self._select(at, _PIECE_OF_INSTANT.format(at=at), counts)
        return f"{select}\nFROM user_events\nWHERE {self._video}{self._in_cut(at)} AND type IN ({types})"


def _whole_days(stretches: list[Stretch]) -> Iterator[Stretch]:
    """Yield the whole UTC days of each stretch."""
    for stretch in stretches:
        inner = Stretch(ceiling(stretch.start, _DAY), floor(stretch.end, _DAY))
        if inner.start < inner.end:
            yield inner


def _without(stretches: list[Stretch], parts: list[Stretch]) -> Iterator[Stretch]:
    """Yield stretches without the given parts of them, which are in order and do not overlap."""
    for stretch in stretches:
        start = stretch.start
        for part in parts:
            if stretch.start <= part.start and part.end <= stretch.end:
                if start < part.start:
                    yield Stretch(start, part.start)
                start = part.end
        if start < stretch.end:
            yield Stretch(start, stretch.end)
