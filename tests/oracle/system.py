"""What `/analytics/system/health` and `/analytics/system/performance` must answer, by definition alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from math import ceil
from typing import Any

from tests.oracle.log import SYSTEM, Accepted
from tests.oracle.windows import Span, Window

_STATES = ("queued", "started", "failed", "finished")
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def size(count: float) -> str:
    """Write bytes with one decimal at most; a thousand of a unit is one of the next."""
    unit = 0
    while unit + 1 < len(_UNITS) and round(count, 1) >= 1000:
        count /= 1000
        unit += 1
    text = f"{round(count, 1):.1f}"
    return (text[:-2] if text.endswith(".0") else text) + _UNITS[unit]


def _ratio(above: float, below: float) -> float | None:
    return above / below if below else None


def _mean(values: list[float]) -> float | None:
    return _ratio(sum(values), len(values))


def quantile(values: list[float], share: float) -> float | None:
    """Return the smallest value that at least a share of all do not exceed (nearest rank)."""
    return sorted(values)[ceil(share * len(values) - 1e-9) - 1] if values else None


class Platform:
    """The system events, and the API's answers about them."""

    def __init__(self, accepted: Iterable[Accepted]) -> None:
        self.events = [each for each in accepted if each.topic == SYSTEM]

    def _of(self, kind: str, span: Span) -> list[dict[str, Any]]:
        return [each.event for each in self.events if each.event["type"] == kind and each.at in span]

    def health(self, window: Window) -> dict[str, Any]:
        """Answer `GET /analytics/system/health`; quantiles are exact, while the API's may be 1 % too low."""
        span = window.span
        requests, storage = self._of("api.request", span), self._of("storage.op", span)
        jobs = [job for job in self._of("job", span) if job["state"] in ("finished", "failed")]
        failures = {
            "api": sum(request["status"] >= 500 for request in requests),
            "processing": sum(job["state"] == "failed" for job in jobs),
            "storage": sum(not operation["ok"] for operation in storage),
        }
        everything = len(requests) + len(jobs) + len(storage)
        minutes: dict[int, bool] = {}
        for each in self.events:
            if each.event["type"] == "health.probe" and each.at in span:
                minute = each.at // 60_000
                minutes[minute] = minutes.get(minute, True) and each.event["ok"]
        durations = [request["durationMs"] for request in requests]
        return {
            "uptime": _mean([float(up) for up in minutes.values()]),
            "responseTime": {
                "average": _mean(durations),
                "p95": quantile(durations, 0.95),
                "p99": quantile(durations, 0.99),
            },
            "errors": {
                "rate": _ratio(sum(failures.values()), everything),
                "byType": {name: _ratio(count, everything) for name, count in failures.items()},
            },
            "resources": self._resources(span),
        }

    def _resources(self, span: Span) -> dict[str, Any]:
        newest: dict[str, tuple[int, str, dict[str, Any]]] = {}
        for each in self.events:
            event = each.event
            if event["type"] == "host.sample" and each.at in span:
                candidate = (each.at, event["eventId"], event)
                if event["host"] not in newest or candidate[:2] > newest[event["host"]][:2]:
                    newest[event["host"]] = candidate
        samples = [sample for _, _, sample in newest.values()]

        def room(used: str, total: str) -> dict[str, Any]:
            known = [sample for sample in samples if sample[total]]
            free = _mean([max(0, sample[total] - sample[used]) for sample in known])
            return {
                "usage": _mean([sample[used] / sample[total] for sample in known]),
                "available": None if free is None else size(free),
            }

        return {
            "cpu": {
                "usage": _mean([sample["cpu"] for sample in samples]),
                "load": [_mean([sample["load"][place] for sample in samples]) for place in range(3)]
                if samples
                else None,
            },
            "memory": room("memoryUsedBytes", "memoryTotalBytes"),
            "storage": room("storageUsedBytes", "storageTotalBytes"),
        }

    def performance(self, window: Window, now: datetime) -> dict[str, Any]:
        """Answer `GET /analytics/system/performance`."""
        span = window.span
        seconds = (min(span.end, now) - span.start).total_seconds()
        requests, storage = self._of("api.request", span), self._of("storage.op", span)
        endpoints: dict[str, list[float]] = {}
        for request in requests:
            endpoints.setdefault(request["endpoint"], []).append(request["durationMs"])

        def moved(op: str) -> str | None:
            total = sum(operation["bytes"] for operation in storage if operation["op"] == op)
            return f"{size(total / seconds)}/s" if seconds > 0 else None

        return {
            "api": {
                "requests": {
                    "total": len(requests),
                    "perSecond": _ratio(len(requests), seconds),
                    "byEndpoint": {name: len(durations) for name, durations in endpoints.items()},
                },
                "responseTime": {
                    "average": _mean([request["durationMs"] for request in requests]),
                    "byEndpoint": {name: _mean(durations) for name, durations in endpoints.items()},
                },
            },
            "processing": self._processing(span),
            "storage": {
                "operations": {
                    "reads": sum(operation["op"] == "read" for operation in storage),
                    "writes": sum(operation["op"] == "write" for operation in storage),
                    "errors": sum(not operation["ok"] for operation in storage),
                },
                "bandwidth": {"in": moved("write"), "out": moved("read")},
            },
        }

    def _processing(self, span: Span) -> dict[str, Any]:
        """A job is in the state of its newest event; of two events at one instant, the later state counts."""
        newest: dict[tuple[str, str], tuple[int, int]] = {}
        durations: dict[str, list[float]] = {"video": [], "thumbnail": []}
        for each in self.events:
            event = each.event
            if event["type"] != "job":
                continue
            durations.setdefault(event["jobType"], [])
            job = (event["jobType"], event["jobId"])
            newest[job] = max(newest.get(job, (0, 0)), (each.at, _STATES.index(event["state"])))
            if event["state"] == "finished" and each.at in span and event.get("durationMs"):
                durations[event["jobType"]].append(event["durationMs"] / 1000)
        return {
            {"video": "videos", "thumbnail": "thumbnails"}.get(kind, kind): {
                "queued": sum(of == kind and state == 0 for (of, _), (_, state) in newest.items()),
                "processing": sum(of == kind and state == 1 for (of, _), (_, state) in newest.items()),
                "averageTime": _mean(finished),
            }
            for kind, finished in durations.items()
        }
