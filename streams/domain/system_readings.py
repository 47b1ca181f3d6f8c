"""Readings of the platform itself: the sums, states and newest samples that a store returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from streams.domain.windows import Window

REQUEST, JOB, STORAGE, PROBE = "api.request", "job", "storage.op", "health.probe"
#: Jobs of the kind `JOB` that finished without telling a duration: counted once more, under this kind.
UNTIMED_JOB: Final = "job.untimed"
#: Kinds of events that count in the error rate, by their name in answers.
FALLIBLE: Final = {"api": REQUEST, "processing": JOB, "storage": STORAGE}
#: Types of jobs that every answer has, with their name in answers.
JOB_NAMES: Final = {"video": "videos", "thumbnail": "thumbnails"}
#: Quantiles of response times may be too low by this share: they are stored with 8 significant bits.
QUANTILE_ERROR: Final = 2**-7


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over events of one kind. For jobs, `duration_ms` is only of finished ones."""

    events: int = 0
    errors: int = 0
    duration_ms: float = 0.0
    bytes: int = 0
    untimed: int = 0
    """Finished jobs that told no duration."""

    def __add__(self, other: Sums) -> Sums:
        """Add the sums over other events."""
        return Sums(
            self.events + other.events,
            self.errors + other.errors,
            self.duration_ms + other.duration_ms,
            self.bytes + other.bytes,
            self.untimed + other.untimed,
        )


@dataclass(frozen=True, slots=True)
class HostSample:
    """The newest sample of a host. `cpu` is a share of all cores, `load` over 1, 5 and 15 minutes."""

    cpu: float
    load: tuple[float, ...]
    memory_used: int
    memory_total: int
    storage_used: int
    storage_total: int


@dataclass(frozen=True, slots=True)
class HealthReading:
    """Uptime, errors, response times and hosts. `p95_ms` and `p99_ms` are None without requests."""

    minutes: int
    """Minutes with a probe."""
    minutes_up: int
    """Those of them in which no probe failed."""
    kinds: Mapping[str, Sums]
    """Sums by kind (the values of `FALLIBLE`)."""
    p95_ms: float | None
    p99_ms: float | None
    hosts: Sequence[HostSample]


@dataclass(frozen=True, slots=True)
class JobsNow:
    """Numbers of queued and started jobs of one type, now."""

    queued: int = 0
    started: int = 0

    def __add__(self, other: JobsNow) -> JobsNow:
        """Add jobs of another type."""
        return JobsNow(self.queued + other.queued, self.started + other.started)


@dataclass(frozen=True, slots=True)
class PerformanceReading:
    """Requests, jobs and storage operations in a window, and the jobs that wait or run now."""

    requests: Sums
    endpoints: Mapping[str, Sums]
    """Requests by endpoint; of more than a thousand endpoints, the thousand with most requests."""
    jobs: Mapping[str, Sums]
    """Jobs that finished or failed in the window, by type."""
    jobs_now: Mapping[str, JobsNow]
    operations: Mapping[str, Sums]
    """Storage operations by `read` and `write`."""


class SystemReader(Protocol):
    """Reads the platform's state; every method raises `StoreUnavailableError` when the store is down."""

    async def first(self) -> datetime | None:
        """Return the instant of the first data, to the minute; None when there is none."""

    async def health(self, window: Window) -> HealthReading:
        """Return uptime, errors, response times and hosts in a window."""

    async def performance(self, window: Window) -> PerformanceReading:
        """Return requests, jobs and storage operations in a window."""
