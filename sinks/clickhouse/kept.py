"""What of the past the tables still have: retention deletes raw events and roll-ups at different times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.client import available
from sinks.clickhouse.instants import aware
from streams.domain.windows import UTC_ZONE, midnight

#: Raw events, and the days (UTC) on which, by roll-ups, such events happened.
_EVENT_DAYS: Final = (
    ("SELECT occurred_at FROM playback_events", "SELECT day FROM video_days WHERE watched_ms > 0"),
    ("SELECT occurred_at FROM user_events", "SELECT toDate(bucket) AS day FROM user_actions_15m"),
    (
        "SELECT occurred_at FROM playback_events UNION ALL SELECT occurred_at FROM user_events",
        "SELECT day FROM user_days",
    ),
    ("SELECT occurred_at FROM system_events", "SELECT toDate(minute) AS day FROM system_1m"),
)


@dataclass(frozen=True, slots=True)
class Gap:
    """Roll-ups have events until `until` of which the raw rows are gone.

    Raw rows are complete from `whole_from` on; None when there are none at all.
    """

    until: datetime
    whole_from: datetime | None


async def first_instant(client: AsyncClient) -> datetime | None:
    """Return the time of the first event in the roll-ups; None when there is none.

    Retention leaves `users` alone: it tells of events that are gone even if all other rows of their time
    are gone as well.
    """
    with available():
        result = await client.query(
            "SELECT min(at), count() FROM"
            " (SELECT toDateTime(min(day), 'UTC') AS at FROM user_days HAVING count() > 0"
            " UNION ALL SELECT toDateTime(min(first_seen), 'UTC') FROM users HAVING count() > 0"
            " UNION ALL SELECT min(minute) FROM system_1m HAVING count() > 0"
            " UNION ALL SELECT min(bucket) FROM video_15m HAVING count() > 0)"
        )
    first, found = result.result_rows[0]
    return aware(first) if found else None


async def gaps(client: AsyncClient) -> list[Gap]:
    """Return the gaps: days whose raw events are gone, though roll-ups have something of them."""
    found = []
    for raw, days in _EVENT_DAYS:
        with available():
            result = await client.query(
                f"WITH toDate((SELECT min(occurred_at) FROM ({raw}))) AS first"
                f" SELECT count(), max(day), (SELECT count() > 0 FROM ({raw})), first"
                f" FROM ({days}) WHERE day < first OR (SELECT count() = 0 FROM ({raw}))"
            )
        days_without, last, has_rows, first = result.result_rows[0]
        if days_without:
            found.append(Gap(_midnight_after(last), _midnight_after(first) if has_rows else None))
    return found


def _midnight_after(day: date) -> datetime:
    return midnight(day + timedelta(days=1), UTC_ZONE)
