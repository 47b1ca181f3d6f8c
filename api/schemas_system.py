"""What responses about the platform itself look like; the examples are those of the API reference."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.schemas import Meta, Model
from api.schemas_users import META_EXAMPLE

_SIZE = r"^\d+(\.\d)?[KMGTPE]?B$"
_RATE = r"^\d+(\.\d)?[KMGTPE]?B/s$"


class ResponseTimes(Model):
    """Milliseconds."""

    average: float | None
    p95: float | None = Field(description="At most 0.8 % too low.")
    p99: float | None = Field(description="At most 0.8 % too low.")


class ErrorTypes(Model):
    """Errors of each kind; they share one denominator, so they add up to the rate."""

    api: float | None = Field(description="Requests answered with 5xx.")
    processing: float | None = Field(description="Jobs that failed.")
    storage: float | None = Field(description="Storage operations that failed.")


class Errors(Model):
    """Errors / (requests + jobs that finished or failed + storage operations)."""

    rate: float | None
    by_type: ErrorTypes


class Cpu(Model):
    """Newest sample of each host, averaged over hosts."""

    usage: float | None = Field(description="Share of all cores.")
    load: list[float] | None = Field(description="Over 1, 5 and 15 minutes.", min_length=3, max_length=3)


class Room(Model):
    """Newest sample of each host, averaged over hosts."""

    usage: float | None = Field(description="Share of the capacity in use.")
    available: str | None = Field(description="Mean per host, as `4GB` (1 GB is 10^9 bytes).", pattern=_SIZE)


class Resources(Model):
    """Resource usage of the hosts; null without samples."""

    cpu: Cpu
    memory: Room
    storage: Room


class SystemHealth(Model):
    """Health of the platform."""

    uptime: float | None = Field(description="Minutes in which no probe failed / minutes with a probe.")
    response_time: ResponseTimes
    errors: Errors
    resources: Resources


class Requests(Model):
    """Requests to the platform's services."""

    total: int
    per_second: float | None = Field(description="Over the elapsed part of the window.")
    by_endpoint: dict[str, int] = Field(description="The thousand busiest, busiest first.")


class EndpointTimes(Model):
    """Mean response times in milliseconds."""

    average: float | None
    by_endpoint: dict[str, float | None]


class Api(Model):
    """Requests and how long they took."""

    requests: Requests
    response_time: EndpointTimes


class Jobs(Model):
    """Jobs of one type."""

    queued: int = Field(description="Jobs queued now.")
    processing: int = Field(description="Jobs running now.")
    average_time: float | None = Field(description="Seconds, mean of the jobs that finished in the window.")


class Processing(Model):
    """Background jobs, by type; other types appear under their own names."""

    model_config = Model.model_config | {"extra": "allow"}
    __pydantic_extra__: dict[str, Jobs]

    videos: Jobs
    thumbnails: Jobs


class Operations(Model):
    """Storage operations in the window, failed ones included."""

    reads: int
    writes: int
    errors: int


class Bandwidth(Model):
    """Bytes per second over the elapsed part of the window, as `100MB/s`."""

    into: str | None = Field(alias="in", description="Written.", pattern=_RATE)
    out: str | None = Field(description="Read.", pattern=_RATE)


class Storage(Model):
    """Storage operations."""

    operations: Operations
    bandwidth: Bandwidth


class SystemPerformance(Model):
    """Performance of the platform."""

    api: Api
    processing: Processing
    storage: Storage


class SystemHealthResponse(Model):
    """`GET /analytics/system/health`."""

    success: Literal[True]
    data: SystemHealth
    meta: Meta


class SystemPerformanceResponse(Model):
    """`GET /analytics/system/performance`."""

    success: Literal[True]
    data: SystemPerformance
    meta: Meta


HEALTH_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "uptime": 0.9999,
        "responseTime": {"average": 100, "p95": 200, "p99": 300},
        "errors": {"rate": 0.001, "byType": {"api": 0.0005, "processing": 0.0003, "storage": 0.0002}},
        "resources": {
            "cpu": {"usage": 0.6, "load": [1.2, 1.5, 1.8]},
            "memory": {"usage": 0.7, "available": "4GB"},
            "storage": {"usage": 0.8, "available": "100GB"},
        },
    },
    "meta": META_EXAMPLE,
}

PERFORMANCE_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "api": {
            "requests": {
                "total": 100000,
                "perSecond": 28,
                "byEndpoint": {"/videos": 50000, "/users": 30000, "/analytics": 20000},
            },
            "responseTime": {
                "average": 100,
                "byEndpoint": {"/videos": 80, "/users": 120, "/analytics": 150},
            },
        },
        "processing": {
            "videos": {"queued": 10, "processing": 5, "averageTime": 300},
            "thumbnails": {"queued": 20, "processing": 8, "averageTime": 30},
        },
        "storage": {
            "operations": {"reads": 50000, "writes": 10000, "errors": 5},
            "bandwidth": {"in": "100MB/s", "out": "500MB/s"},
        },
    },
    "meta": META_EXAMPLE,
}
