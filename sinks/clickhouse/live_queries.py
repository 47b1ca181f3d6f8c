"""The SQL of live data from raw events and view starts, in place of the live counters. Values are bound."""

from __future__ import annotations

from typing import Any, Final

from sinks.clickhouse.instants import INSTANT, text
from sinks.clickhouse.queries import Query
from streams.domain.live import AHEAD, MAX_CANDIDATES, MIN_RECENT, WATCHING, recent_start
from streams.domain.windows import Window

_VIDEO: Final = "video_id = {video:String}"


def _within(column: str) -> str:
    return f"{column} >= {{start:{INSTANT}}} AND {column} < {{end:{INSTANT}}}"


def _where(video_id: str | None, *conditions: str) -> str:
    return " AND ".join((*((_VIDEO,) if video_id is not None else ()), *conditions))


def _parameters(video_id: str | None, **values: Any) -> dict[str, Any]:
    return values if video_id is None else values | {"video": video_id}


def minutes(video_id: str | None, window: Window) -> Query:
    """Return `minute` (since the epoch) and its `views`, `watched_ms`, `likes`; of all videos without id."""
    parts = (
        ("started_at", "1", "0", "0", "view_starts", ()),
        ("occurred_at", "0", "d_watched_ms", "0", "playback_events", ("d_watched_ms > 0",)),
        ("occurred_at", "0", "0", "1", "user_events", ("type = 'video.like'",)),
    )
    rows = "\nUNION ALL\n".join(
        f"SELECT {at} AS at, toUInt64({views}) AS n_views, toUInt64({watched}) AS n_watched,"
        f" toUInt64({likes}) AS n_likes\n"
        f"FROM {table}\nWHERE {_where(video_id, *conditions, _within(at))}"
        for at, views, watched, likes, table, conditions in parts
    )
    sql = (
        "SELECT intDiv(toUnixTimestamp64Milli(at), 60000) AS minute,"
        " sum(n_views) AS views, sum(n_watched) AS watched_ms, sum(n_likes) AS likes\n"
        f"FROM\n(\n{rows}\n)\nGROUP BY minute"
    )
    return Query(sql, _parameters(video_id, start=text(window.start), end=text(window.end)))


def watching(video_id: str | None, window: Window) -> Query:
    """Return one row: `watching`, how many views have their newest event in the last seconds, or `AHEAD`."""
    condition = _where(video_id, f"occurred_at > {{since:{INSTANT}}}")
    sql = (
        f"SELECT countIf(newest <= {{until:{INSTANT}}}) AS watching\nFROM\n(\n"
        f"SELECT max(occurred_at) AS newest\nFROM playback_events\nWHERE {condition}\n"
        "GROUP BY video_id, view_id\n)"
    )
    since, until = text(window.as_of - WATCHING), text(window.as_of + AHEAD)
    return Query(sql, _parameters(video_id, since=since, until=until))


def trend_candidates(window: Window) -> Query:
    """Return `video_id`, `recent` and `before` of the candidates for trending."""
    sql = (
        f"SELECT video_id, countIf(started_at >= {{turn:{INSTANT}}}) AS recent, count() - recent AS before\n"
        f"FROM view_starts\nWHERE {_within('started_at')}\n"
        f"GROUP BY video_id HAVING recent >= {MIN_RECENT}\n"
        f"ORDER BY recent DESC, video_id LIMIT {MAX_CANDIDATES}"
    )
    return Query(
        sql, {"start": text(window.start), "end": text(window.end), "turn": text(recent_start(window))}
    )
