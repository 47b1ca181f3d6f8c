"""Readings of users and sessions from ClickHouse."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sinks.clickhouse import cohort_queries, session_queries, user_queries
from sinks.clickhouse.kept import KeptRows, Split
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.shared import Shared
from streams.domain.audience import (
    ACTIVE_DAYS,
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
_LEFT = ("previous", "active")


class ClickHouseUsers:
    """`UserReader` on ClickHouse; it asks through the connections of a `ClickHouseReader`.

    What is asked of windows of whole quarters of an hour is asked in two parts: of the days that are over
    (`kept.py`), and by how much it differs today.
    """

    def __init__(self, store: ClickHouseReader, kept: KeptRows | None = None) -> None:
        """Ask through `store`, which stays its owner's to close; `kept` is what it remembers."""
        self._store = store
        self._kept = kept or KeptRows(store)
        self._counts = Shared[dict[str, int]]()
        self._cohorts = Shared[list[dict[str, Any]]]()

    async def first(self) -> datetime | None:
        """See `UserReader.first`."""
        (row,) = await self._store.rows(user_queries.first_seen())
        return None if row["first"] is None else _EPOCH + timedelta(milliseconds=row["first"])

    async def _both(self, before: Query, since: Query, split: Split) -> list[dict[str, Any]]:
        """Return the rows of the days before a day, and after them those of the difference since."""
        first, then = await asyncio.gather(self._kept.rows(before, split), self._store.rows(since))
        return [*first, *then]

    async def _split(self, window: Window) -> Split:
        """Return where what is kept ends: before the UTC day that is not over yet, or somewhat earlier."""
        return await self._kept.split(window.as_of.astimezone(UTC).date())

    async def _active(self, window: Window, stretches: Mapping[str, Stretch], split: Split) -> dict[str, int]:
        """Return the distinct users of some stretches of a window; `lost` where `previous` is one of them."""
        everything = _stretches(window)
        if any(cover([stretch])[1] for stretch in everything.values()):
            left = _LEFT if "previous" in stretches else None
            return (await self._store.rows(user_queries.active_users(stretches, left=left)))[0]
        # All at once costs little more than some, and who asks for both groups asks once.
        left = _LEFT if "previous" in everything else None
        key = (window.whole, window.zone.key, split)
        return await self._counts.ask(key, lambda: self._counted(everything, split, left))

    async def _newcomers(self, window: Window, midnight: datetime) -> list[dict[str, Any]]:
        """Return the cohorts of those first seen since a midnight: growth and retention both need them."""
        key = (window.whole, window.zone.key, midnight)
        query = cohort_queries.cohort_sizes(window, since=midnight)
        return await self._cohorts.ask(key, lambda: self._store.rows(query))

    async def _counted(
        self, stretches: Mapping[str, Stretch], split: Split, left: tuple[str, str] | None
    ) -> dict[str, int]:
        rows = await self._both(
            user_queries.active_users(stretches, left=left, before=split.day),
            user_queries.active_users_since(stretches, split.day, left=left),
            split,
        )
        return {name: sum(row[name] for row in rows) for name in rows[0]}

    async def activity(self, window: Window) -> ActivityReading:
        """See `UserReader.activity`."""
        split = await self._split(window)
        active, sessions, (actions,) = await asyncio.gather(
            self._active(window, active_stretches(window), split),
            self._both(
                session_queries.sessions_by_device(window, before=split.day),
                session_queries.sessions_by_device_since(window, split.day),
                split,
            ),
            self._store.rows(user_queries.actions(window)),
        )
        devices: Counter[str] = Counter()
        for row in sessions:
            devices[session_queries.DEVICES[row["device"]]] += row["sessions"]
        return ActivityReading(
            active={name: active[name] for name in ACTIVE_DAYS},
            sessions=devices.total(),
            durations_ms=sum(row["durations_ms"] for row in sessions),
            devices={device: count for device, count in devices.items() if count},
            actions=actions,
        )

    async def growth(self, window: Window) -> GrowthReading:
        """See `UserReader.growth`."""
        split = await self._split(window)
        midnight = _midnight(split.day)
        users, before, sources_since, sizes = await asyncio.gather(
            self._active(window, _compared(window), split),
            self._kept.rows(user_queries.new_users(window, before=midnight), split),
            self._store.rows(user_queries.sources_since(window, midnight)),
            self._newcomers(window, midnight),
        )
        new = sum(row["users"] for row in before if row["everyone"])
        new += sum(row["users"] for row in sizes if row["inside"])
        sources: Counter[str] = Counter()
        for row in [row for row in before if not row["everyone"]] + sources_since:
            sources[row["source"]] += row["users"]
        return GrowthReading(
            active=users["active"],
            new=new,
            previous=users.get("previous"),
            lost=users.get("lost"),
            sources={source: count for source, count in sources.items() if source and count},
        )

    async def retention(self, window: Window) -> Sequence[Cohort]:
        """See `UserReader.retention`."""
        split = await self._split(window)
        midnight = _midnight(split.day)
        # Returns of a day count once it is over. Where a local day has ended since, all is read anew.
        over = cohort_queries.over_by(window, midnight)
        sizes, sizes_since, returns = await asyncio.gather(
            self._kept.rows(cohort_queries.cohort_sizes(window, before=midnight), split),
            self._newcomers(window, midnight),
            self._kept.rows(cohort_queries.cohort_returns(window, before=midnight), split)
            if over
            else self._store.rows(cohort_queries.cohort_returns(window)),
        )
        users: Counter[tuple[int, int]] = Counter()
        for row in [*sizes, *sizes_since]:
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
        split = await self._split(window)
        rows = await self._both(
            session_queries.sessions_by_type_and_hour(window, before=split.day),
            session_queries.sessions_by_type_and_hour_since(window, split.day),
            split,
        )
        by_type = {True: SessionSums(), False: SessionSums()}
        by_hour: dict[int, HourReading] = {}
        for row in rows:
            sums = SessionSums(row["sessions"], row["durations_ms"], row["page_views"], row["bounces"])
            by_type[bool(row["fresh"])] += sums
            hour = HourReading(row["users"], sums.sessions, sums.sessions - sums.bounced)
            by_hour[row["hour"]] = by_hour.get(row["hour"], HourReading()) + hour
        return EngagementReading(by_type[True], by_type[False], by_hour)


def _compared(window: Window) -> dict[str, Stretch]:
    """Return the stretches that growth compares: the window, and the one before it if there is one."""
    stretches = {"active": window.whole}
    return stretches | {"previous": window.previous} if window.previous else stretches


def _stretches(window: Window) -> dict[str, Stretch]:
    """Return all stretches whose users are counted for a window."""
    return active_stretches(window) | _compared(window)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
