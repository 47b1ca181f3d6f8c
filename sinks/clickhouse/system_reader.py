"""Readings of the platform itself from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sinks.clickhouse import system_queries
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.system_readings import (
    JOB,
    REQUEST,
    STORAGE,
    UNTIMED_JOB,
    HealthReading,
    HostSample,
    JobsNow,
    PerformanceReading,
    Sums,
)
from streams.domain.windows import Window


class ClickHouseSystem:
    """`SystemReader` on ClickHouse, through the connections of a `ClickHouseReader`."""

    def __init__(self, store: ClickHouseReader) -> None:
        """Query through `store`, which the caller closes."""
        self._store = store

    async def first(self) -> datetime | None:
        """See `SystemReader.first`."""
        (row,) = await self._store.rows(system_queries.first_minute())
        return None if row["first"] is None else datetime.fromtimestamp(row["first"], UTC)

    async def health(self, window: Window) -> HealthReading:
        """See `SystemReader.health`."""
        kinds, (probes,), (times,), hosts = await asyncio.gather(
            self._store.rows(system_queries.sums_by_kind(window)),
            self._store.rows(system_queries.minutes_up(window)),
            self._store.rows(system_queries.response_times(window)),
            self._store.rows(system_queries.newest_samples(window)),
        )
        p95, p99 = times["quantiles"]
        return HealthReading(
            minutes=probes["minutes"],
            minutes_up=probes["up"],
            kinds={row["kind"]: _sums(row) for row in kinds},
            p95_ms=p95,
            p99_ms=p99,
            hosts=[
                HostSample(
                    row["cpu"],
                    tuple(row["load"]),
                    row["memory_used_bytes"],
                    row["memory_total_bytes"],
                    row["storage_used_bytes"],
                    row["storage_total_bytes"],
                )
                for row in hosts
            ],
        )

    async def performance(self, window: Window) -> PerformanceReading:
        """See `SystemReader.performance`."""
        rows, jobs_now = await asyncio.gather(
            self._store.rows(system_queries.sums_by_name(window)),
            self._store.rows(system_queries.current_jobs()),
        )
        named: dict[str, dict[str, Sums]] = {kind: {} for kind in (REQUEST, JOB, UNTIMED_JOB, STORAGE)}
        requests = Sums()
        for row in rows:
            if not row["whole"]:
                named[row["kind"]][row["name"]] = _sums(row)
            elif row["kind"] == REQUEST:
                requests = _sums(row)
        return PerformanceReading(
            requests=requests,
            endpoints=named[REQUEST],
            jobs={
                name: replace(sums, untimed=named[UNTIMED_JOB].get(name, Sums()).events)
                for name, sums in named[JOB].items()
            },
            jobs_now={row["job_type"]: JobsNow(row["queued"], row["started"]) for row in jobs_now},
            operations=named[STORAGE],
        )


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(row["events"], row["errors"], row["duration_ms"], row.get("bytes", 0))
