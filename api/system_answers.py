"""Readings of the platform itself made into the `data` of answers, as in the API reference. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from api.answers import Data, ordered, ratio
from streams.domain.metrics import rounded
from streams.domain.system_readings import (
    FALLIBLE,
    JOB_NAMES,
    REQUEST,
    HealthReading,
    HostSample,
    JobsNow,
    PerformanceReading,
    Sums,
)
from streams.domain.windows import Window

_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB", "EB")
_LOADS: Final = 3
#: Types of jobs in an answer, at most: more are ids that a service sends as types.
_MAX_JOB_TYPES: Final = 1000


def size(count: float) -> str:
    """Format a number of bytes as `4GB` or `3.7GB`; 1 GB is 10^9 bytes."""
    for unit in _UNITS:
        # 999.96 of a unit would be shown as 1000.0.
        if abs(count) < 999.95 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.1f}".removesuffix(".0") + unit


def health(reading: HealthReading) -> Data:
    """Answer about uptime, response times (ms), errors and hosts."""
    requests = reading.kinds.get(REQUEST, Sums())
    sums = {name: reading.kinds.get(kind, Sums()) for name, kind in FALLIBLE.items()}
    everything = sum(each.events for each in sums.values())
    return {
        "uptime": ratio(reading.minutes_up, reading.minutes),
        "responseTime": {
            "average": ratio(requests.duration_ms, requests.events),
            "p95": rounded(reading.p95_ms),
            "p99": rounded(reading.p99_ms),
        },
        "errors": {
            "rate": ratio(sum(each.errors for each in sums.values()), everything),
            "byType": {name: ratio(each.errors, everything) for name, each in sums.items()},
        },
        "resources": _resources(reading.hosts),
    }


def _resources(hosts: Sequence[HostSample]) -> Data:
    """Average over hosts; a host without a total is left out of that share."""
    memory = [(host.memory_used, host.memory_total) for host in hosts if host.memory_total]
    storage = [(host.storage_used, host.storage_total) for host in hosts if host.storage_total]
    return {
        "cpu": {
            "usage": _mean(hosts, lambda host: host.cpu),
            "load": [_mean(hosts, _load(place)) for place in range(_LOADS)] if hosts else None,
        },
        "memory": _room(memory),
        "storage": _room(storage),
    }


def _mean(hosts: Sequence[HostSample], value: Callable[[HostSample], float]) -> float | None:
    return ratio(sum(value(host) for host in hosts), len(hosts))


def _load(place: int) -> Callable[[HostSample], float]:
    return lambda host: host.load[place]


def _room(hosts: Sequence[tuple[int, int]]) -> Data:
    """Return the mean share in use and the mean free size, from (used, total) in bytes."""
    if not hosts:
        return {"usage": None, "available": None}
    return {
        "usage": ratio(sum(used / total for used, total in hosts), len(hosts)),
        "available": size(sum(max(0, total - used) for used, total in hosts) / len(hosts)),
    }


def performance(reading: PerformanceReading, window: Window) -> Data:
    """Answer about requests, jobs and storage. Rates per second are over the elapsed part of the window."""
    seconds = max(0.0, (min(window.end, window.as_of) - window.start).total_seconds())
    requests = reading.requests
    reads, writes = (reading.operations.get(name, Sums()) for name in ("read", "write"))
    return {
        "api": {
            "requests": {
                "total": requests.events,
                "perSecond": ratio(requests.events, seconds),
                "byEndpoint": ordered({name: sums.events for name, sums in reading.endpoints.items()}),
            },
            "responseTime": {
                "average": ratio(requests.duration_ms, requests.events),
                "byEndpoint": {
                    name: ratio(reading.endpoints[name].duration_ms, reading.endpoints[name].events)
                    for name in ordered({name: sums.events for name, sums in reading.endpoints.items()})
                },
            },
        },
        "processing": _processing(reading.jobs, reading.jobs_now),
        "storage": {
            "operations": {
                "reads": reads.events,
                "writes": writes.events,
                "errors": reads.errors + writes.errors,
            },
            "bandwidth": {
                "in": f"{size(writes.bytes / seconds)}/s" if seconds else None,
                "out": f"{size(reads.bytes / seconds)}/s" if seconds else None,
            },
        },
    }


def _processing(jobs: Mapping[str, Sums], jobs_now: Mapping[str, JobsNow]) -> Data:
    """Answer about jobs: always for videos and thumbnails, and for other types under their own name.

    Of more than `_MAX_JOB_TYPES`, those with most jobs in the window and now.
    """
    types = {name: (Sums(), JobsNow()) for name in JOB_NAMES.values()}

    def add(kind: str, done: Sums, now: JobsNow) -> None:
        name = JOB_NAMES.get(kind, kind)
        before = types.get(name, (Sums(), JobsNow()))
        types[name] = before[0] + done, before[1] + now

    for kind, waiting in sorted(jobs_now.items()):
        add(kind, Sums(), waiting)
    for kind, sums in sorted(jobs.items()):
        add(kind, sums, JobsNow())

    def rank(name: str) -> tuple[bool, int, str]:
        done, now = types[name]
        return name not in JOB_NAMES.values(), -(done.events + now.queued + now.started), name

    told = frozenset(sorted(types, key=rank)[:_MAX_JOB_TYPES])
    return {name: _job_type(*both) for name, both in types.items() if name in told}


def _job_type(done: Sums, now: JobsNow) -> Data:
    timed = done.events - done.errors - done.untimed
    return {
        "queued": now.queued,
        "processing": now.started,
        "averageTime": ratio(done.duration_ms / 1000, timed),
    }
