"""The SQL that answers the video endpoints. Values are bound; identifiers come from the registries.

Roll-ups are always summed, so unmerged rows count as well.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sinks.clickhouse.facts import (
    ALL_BY_QUARTER,
    BEFORE,
    DIMENSIONS,
    EACH_BY_DAY,
    ELAPSED,
    OUTSIDE,
    Facts,
    slot,
)
from sinks.clickhouse.instants import indented, text
from streams.domain.metrics import SUMMARY_MEASURES
from streams.domain.timeline import Timeline
from streams.domain.video_readings import TOP_VIDEOS
from streams.domain.windows import Window

#: Values of `grouping(piece, slot, country, device, platform)` for each set: a bit for each column left out.
BY_PIECE, BY_SLOT, BY_COUNTRY, BY_DEVICE, BY_PLATFORM = (0b11111 ^ 1 << bit for bit in (4, 3, 2, 1, 0))
_KEYS: Final = ", ".join(("piece", "slot", *DIMENSIONS))
#: Their name for sets without dimensions: `grouping` refuses a column that is in no set.
_PIECE_OR_SLOT: Final = f"if(grouping(slot) = 1, {BY_PIECE}, {BY_SLOT})"


@dataclass(frozen=True, slots=True)
class Query:
    """A statement and the values bound to its `{name:Type}` placeholders."""

    sql: str
    parameters: dict[str, Any]


def video_sums(
    video_id: str, window: Window, timeline: Timeline, measures: Collection[str], compare: bool
) -> Query:
    """Return sums of one video by piece and by point of the timeline, and views by each dimension.

    Rows: `part` (one of BY_*), the column grouped by, and a column for each measure. What lies before
    the window has `slot` 0 and an empty dimension. Without views there are no dimensions.
    """
    facts = Facts(window, measures, compare, video=True)
    by_dimension = "views" in measures
    sets = ("piece", "slot", *(DIMENSIONS if by_dimension else ()))
    part = f"grouping({_KEYS})" if by_dimension else _PIECE_OR_SLOT
    sums = [f"sum({name}) AS {name}" for name in facts.names]
    sql = (
        f"SELECT {part} AS part, {', '.join(sets)},\n"
        f"    {', '.join(sums)}\n"
        f"FROM\n(\n{facts.sql}\n)\nWHERE piece != {OUTSIDE}\n"
        f"GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in sets)})"
    )
    return Query(sql, facts.parameters | {"video": video_id, "edges": list(timeline.edges)})


def video_uniques(video_id: str, window: Window, timeline: Timeline) -> Query:
    """Return distinct users of the window (`whole` = 1) and of each point of its timeline."""
    sql = (
        "SELECT grouping(slot) AS whole, slot, uniqExact(user_id) AS users\n"
        "FROM\n(\n"
        f"    SELECT {slot('started_at')} AS slot, user_id\n"
        "    FROM view_starts\n"
        "    WHERE video_id = {video:String}"
        " AND started_at >= {start:DateTime64(3, 'UTC')} AND started_at < {end:DateTime64(3, 'UTC')}\n"
        ")\n"
        "GROUP BY ROLLUP (slot)"
    )
    return Query(
        sql,
        {
            "video": video_id,
            "start": text(window.start),
            "end": text(window.end),
            "edges": list(timeline.edges),
        },
    )


def summary_sums(window: Window) -> Query:
    """Return one row with the sums of all videos, and the first ten of them.

    Columns: `videos`; `total_*` a measure; `recorded_*` of videos that are not live; `viewed_likes`,
    `viewed_comments` of videos with a view; and `top`, an array of (-views, -watched_ms, id, then every
    measure).
    """
    facts = Facts(window, SUMMARY_MEASURES, False, video=False, sums=EACH_BY_DAY)
    names = facts.names
    columns = ["countIf(videos.s_views > 0) AS videos"]
    columns += [f"sum(videos.s_{name}) AS total_{name}" for name in names]
    columns += [f"sumIf(videos.s_{name}, NOT live) AS recorded_{name}" for name in ("completions", "views")]
    columns += [
        f"sumIf(videos.s_{name}, videos.s_views > 0) AS viewed_{name}" for name in ("comments", "likes")
    ]
    ranked = ", ".join(f"videos.s_{name}" for name in names)
    columns.append(
        f"groupArraySortedIf({TOP_VIDEOS})((-toInt64(videos.s_views), -toInt64(videos.s_watched_ms),"
        f" video_id, {ranked}), videos.s_views > 0) AS top"
    )
    grouped = (
        f"SELECT video_id, video_id IN ({_LIVE}) AS live,\n"
        f"    {', '.join(f'sum({name}) AS s_{name}' for name in names)}\n"
        f"FROM\n(\n{facts.sql}\n)\n{f'WHERE piece != {OUTSIDE}{chr(10)}' if facts.pieces else ''}"
        "GROUP BY video_id"
    )
    sql = "SELECT\n    " + ",\n    ".join(columns) + f"\nFROM\n(\n{indented(grouped)}\n) AS videos"
    return Query(sql, facts.parameters)


def summary_trends(window: Window) -> Query:
    """Return `piece` and the sums of all videos in it: `ELAPSED` and `BEFORE` are what trends compare."""
    facts = Facts(window, SUMMARY_MEASURES, True, video=False, sums=ALL_BY_QUARTER)
    sql = (
        f"SELECT piece, {', '.join(f'sum({name}) AS s_{name}' for name in facts.names)}\n"
        f"FROM\n(\n{facts.sql}\n)\nWHERE piece IN ({BEFORE}, {ELAPSED})\nGROUP BY piece"
    )
    return Query(sql, facts.parameters)


#: The newest version of a catalog entry; versions of one record time are told apart by their offset.
_NEWEST: Final = "(received_at, offset)"
_LIVE: Final = (
    "SELECT video_id FROM video_catalog"
    " WHERE video_id IN (SELECT video_id FROM video_catalog WHERE live)"
    f" GROUP BY video_id HAVING argMax(live AND NOT deleted, {_NEWEST})"
)


def catalog_entry(video_id: str) -> Query:
    """Return one row: `versions` in the catalog, the newest `title`, `live`, `deleted`, and `first` data."""
    sql = (
        f"SELECT count() AS versions, argMax(title, {_NEWEST}) AS title, argMax(live, {_NEWEST}) AS live,"
        f" argMax(deleted, {_NEWEST}) AS deleted,\n"
        "    (SELECT toUnixTimestamp(minOrNull(bucket)) FROM video_15m"
        " WHERE video_id = {video:String}) AS first\n"
        "FROM video_catalog\n"
        "WHERE video_id = {video:String}"
    )
    return Query(sql, {"video": video_id})


def catalog_titles(video_ids: Collection[str]) -> Query:
    """Return `video_id` and `title` of those videos that are in the catalog."""
    sql = (
        f"SELECT video_id, argMax(title, {_NEWEST}) AS newest\n"
        "FROM video_catalog\n"
        "WHERE video_id IN {videos:Array(String)}\n"
        f"GROUP BY video_id HAVING NOT argMax(deleted, {_NEWEST})"
    )
    return Query(sql, {"videos": list(video_ids)})


def live_videos() -> Query:
    """Return `video_id` of every live video in the catalog."""
    return Query(_LIVE, {})


def first_data() -> Query:
    """Return `first`, the earliest bucket of all videos, in epoch seconds."""
    return Query("SELECT toUnixTimestamp(minOrNull(bucket)) AS first FROM video_15m", {})
