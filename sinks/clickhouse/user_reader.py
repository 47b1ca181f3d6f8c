"""Readings of users and sessions from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sinks.clickhouse import cohort_queries, session_queries, user_queries
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.audience import (
    DAYS_LATER,
    ActivityReading,
    Cohort,
    EngagementReading,
    GrowthReading,
    HourReading,
    SessionSums,
    active_stretches,
)
from streams.domain.local_time import date_of
from streams.domain.windows import Window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClickHouseUsers:
    """`UserReader` on ClickHouse; it asks through the connections of a `ClickHouseReader`."""

    def __init__(self, store: ClickHouseReader) -> None:
        """Ask through `store`, which stays its owner's to close."""
        self._store = store

    async def first(self) -> datetime | None:
        """See `UserReader.first`."""
        (row,) = await self._store.rows(user_queries.first_seen())
        return None if row["first"] is None else _EPOCH + timedelta(milliseconds=row["first"])

    async def activity(self, window: Window) -> ActivityReading:
        """See `UserReader.activity`."""
        (active,), sessions, (actions,) = await asyncio.gather(
            self._store.rows(user_queries.active_users(active_stretches(window))),
            self._store.rows(session_queries.sessions_by_device(window)),
            self._store.rows(user_queries.actions(window)),
        )
        return ActivityReading(
            active=active,
            sessions=sum(row["sessions"] for row in sessions),
            durations_ms=sum(row["durations_ms"] for row in sessions),
            devices={session_queries.DEVICES[row["device"]]: row["sessions"] for row in sessions},
            actions=actions,
        )

    async def growth(self, window: Window) -> GrowthReading:
        """See `UserReader.growth`."""
        stretches = {"active": window.whole}
        if window.previous:
            stretches["previous"] = window.previous
        left = ("previous", "active") if window.previous else None
        (users,), rows = await asyncio.gather(
            self._store.rows(user_queries.active_users(stretches, left=left)),
            self._store.rows(user_queries.new_users(window)),
        )
        return GrowthReading(
            active=users["active"],
            new=sum(row["users"] for row in rows if row["everyone"]),
            previous=users.get("previous"),
            lost=users.get("lost"),
            sources={row["source"]: row["users"] for row in rows if not row["everyone"] and row["source"]},
        )

    async def retention(self, window: Window) -> Sequence[Cohort]:
        """See `UserReader.retention`."""
        sizes, returns = await asyncio.gather(
            self._store.rows(cohort_queries.cohort_sizes(window)),
            self._store.rows(cohort_queries.cohort_returns(window)),
        )
        kept = {
            (row["cohort"], row["inside"]): {later: row[f"later_{later}"] for later in DAYS_LATER}
            for row in returns
        }
        nobody = dict.fromkeys(DAYS_LATER, 0)
        return [
            Cohort(
                day=date_of(row["cohort"]),
                inside=bool(row["inside"]),
                size=row["users"],
                kept=kept.get((row["cohort"], row["inside"]), nobody),
            )
            for row in sorted(sizes, key=lambda row: (row["cohort"], row["inside"]))
        ]

    async def engagement(self, window: Window) -> EngagementReading:
        """See `UserReader.engagement`."""
        rows = await self._store.rows(session_queries.sessions_by_type_and_hour(window))
        by_type = {True: SessionSums(), False: SessionSums()}
        by_hour: dict[int, HourReading] = {}
        for row in rows:
            sums = SessionSums(row["sessions"], row["durations_ms"], row["page_views"], row["bounces"])
            by_type[bool(row["fresh"])] += sums
            hour = HourReading(row["users"], sums.sessions, sums.sessions - sums.bounced)
            by_hour[row["hour"]] = by_hour.get(row["hour"], HourReading()) + hour
        return EngagementReading(by_type[True], by_type[False], by_hour)
