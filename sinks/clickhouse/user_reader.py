"""Readings of users and sessions from ClickHouse."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sinks.clickhouse import cohort_queries, session_queries, user_queries
from sinks.clickhouse.kept import KeptRows
from sinks.clickhouse.queries import Query
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
from streams.domain.windows import Stretch, Window, cover

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClickHouseUsers:
    """`UserReader` on ClickHouse; it asks through the connections of a `ClickHouseReader`.

    What is asked of windows of whole quarters of an hour is asked in two parts: of the days that are over
    (`kept.py`), and by how much it differs today.
    """

    def __init__(self, store: ClickHouseReader, kept: KeptRows | None = None) -> None:
        """Ask through `store`, which stays its owner's to close; `kept` is what it remembers."""
        self._store = store
        self._kept = kept or KeptRows(store)

    async def first(self) -> datetime | None:
        """See `UserReader.first`."""
        (row,) = await self._store.rows(user_queries.first_seen())
        return None if row["first"] is None else _EPOCH + timedelta(milliseconds=row["first"])

    async def _both(self, before: Query, since: Query, day: date) -> list[dict[str, Any]]:
        """Return the rows of the days before a day, and after them those of the difference since."""
        first, then = await asyncio.gather(self._kept.rows(before, day), self._store.rows(since))
        return [*first, *then]

    async def _active(
        self, stretches: Mapping[str, Stretch], day: date, left: tuple[str, str] | None = None
    ) -> dict[str, int]:
        """Return the distinct users of each stretch."""
        if any(cover([stretch])[1] for stretch in stretches.values()):
            return (await self._store.rows(user_queries.active_users(stretches, left=left)))[0]
        rows = await self._both(
            user_queries.active_users(stretches, left=left, before=day),
            user_queries.active_users_since(stretches, day, left=left),
            day,
        )
        return {name: sum(row[name] for row in rows) for name in rows[0]}

    async def activity(self, window: Window) -> ActivityReading:
        """See `UserReader.activity`."""
        day = _today(window)
        active, sessions, (actions,) = await asyncio.gather(
            self._active(active_stretches(window), day),
            self._both(
                session_queries.sessions_by_device(window, before=day),
                session_queries.sessions_by_device_since(window, day),
                day,
            ),
            self._store.rows(user_queries.actions(window)),
        )
        devices: Counter[str] = Counter()
        for row in sessions:
            devices[session_queries.DEVICES[row["device"]]] += row["sessions"]
        return ActivityReading(
            active=active,
            sessions=devices.total(),
            durations_ms=sum(row["durations_ms"] for row in sessions),
            devices={device: count for device, count in devices.items() if count},
            actions=actions,
        )

    async def growth(self, window: Window) -> GrowthReading:
        """See `UserReader.growth`."""
        stretches = {"active": window.whole}
        if window.previous:
            stretches["previous"] = window.previous
        left = ("previous", "active") if window.previous else None
        day = _today(window)
        midnight = _midnight(day)
        users, rows = await asyncio.gather(
            self._active(stretches, day, left),
            self._both(
                user_queries.new_users(window, before=midnight),
                user_queries.new_users_since(window, midnight),
                day,
            ),
        )
        sources: Counter[str] = Counter()
        for row in rows:
            if not row["everyone"] and row["source"]:
                sources[row["source"]] += row["users"]
        return GrowthReading(
            active=users["active"],
            new=sum(row["users"] for row in rows if row["everyone"]),
            previous=users.get("previous"),
            lost=users.get("lost"),
            sources={source: count for source, count in sources.items() if count},
        )

    async def retention(self, window: Window) -> Sequence[Cohort]:
        """See `UserReader.retention`."""
        day = _today(window)
        midnight = _midnight(day)
        # Returns of a day count once it is over. Where a local day ended in this UTC day, all is read anew.
        over = cohort_queries.over_by(window, midnight)
        sizes, returns = await asyncio.gather(
            self._both(
                cohort_queries.cohort_sizes(window, before=midnight),
                cohort_queries.cohort_sizes(window, since=midnight),
                day,
            ),
            self._kept.rows(cohort_queries.cohort_returns(window, before=midnight), day)
            if over
            else self._store.rows(cohort_queries.cohort_returns(window)),
        )
        users: Counter[tuple[int, int]] = Counter()
        for row in sizes:
            users[row["cohort"], row["inside"]] += row["users"]
        kept = {
            (row["cohort"], row["inside"]): {later: row[f"later_{later}"] for later in DAYS_LATER}
            for row in returns
        }
        nobody = dict.fromkeys(DAYS_LATER, 0)
        return [
            Cohort(
                day=date_of(cohort), inside=bool(inside), size=size, kept=kept.get((cohort, inside), nobody)
            )
            for (cohort, inside), size in sorted(users.items())
        ]

    async def engagement(self, window: Window) -> EngagementReading:
        """See `UserReader.engagement`."""
        day = _today(window)
        rows = await self._both(
            session_queries.sessions_by_type_and_hour(window, before=day),
            session_queries.sessions_by_type_and_hour_since(window, day),
            day,
        )
        by_type = {True: SessionSums(), False: SessionSums()}
        by_hour: dict[int, HourReading] = {}
        for row in rows:
            sums = SessionSums(row["sessions"], row["durations_ms"], row["page_views"], row["bounces"])
            by_type[bool(row["fresh"])] += sums
            hour = HourReading(row["users"], sums.sessions, sums.sessions - sums.bounced)
            by_hour[row["hour"]] = by_hour.get(row["hour"], HourReading()) + hour
        return EngagementReading(by_type[True], by_type[False], by_hour)


def _today(window: Window) -> date:
    """Return the UTC day that is not over yet."""
    return window.as_of.astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
