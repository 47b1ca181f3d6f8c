"""Analytics of the platform itself."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from videocloud.models.base import Answer, Model


class ResponseTimes(Model):
    """Milliseconds."""

    average: float | None
    p95: float | None
    """At most 0.8 % too low."""
    p99: float | None
    """At most 0.8 % too low."""


class ErrorTypes(Model):
    """Errors of each kind; they share one denominator, so they add up to the rate."""

    api: float | None
    """Requests answered with 5xx."""
    processing: float | None
    """Jobs that failed."""
    storage: float | None
    """Storage operations that failed."""


class Errors(Model):
    """Errors / (requests + jobs that finished or failed + storage operations)."""

    rate: float | None
    by_type: ErrorTypes


class Cpu(Model):
    """Newest sample of each host, averaged over hosts."""

    usage: float | None
    """Share of all cores."""
    load: list[float] | None
    """Over 1, 5 and 15 minutes."""


class Room(Model):
    """Newest sample of each host, averaged over hosts."""

    usage: float | None
    """Share of the capacity in use."""
    available: str | None
    """Mean per host, as `4GB` (1 GB is 10^9 bytes)."""


class Resources(Model):
    """Free resources of the hosts; null if no host reported."""

    cpu: Cpu
    memory: Room
    storage: Room


class SystemHealth(Answer):
    """Health of the platform."""

    uptime: float | None
    """Minutes in which no probe failed / minutes with a probe."""
    response_time: ResponseTimes
    errors: Errors
    resources: Resources


class Requests(Model):
    """Requests to the platform's services."""

    total: int
    per_second: float | None
    """Over the elapsed part of the window."""
    by_endpoint: dict[str, int]
    """The thousand busiest, busiest first."""


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

    queued: int
    """Jobs queued now."""
    processing: int
    """Jobs running now."""
    average_time: float | None
    """Seconds, mean of the jobs that finished in the window."""


class Processing(Model):
    """Background jobs, by type; other types appear under their own names."""

    # The only place where a name of the platform's own can come as a field.
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Jobs]

    videos: Jobs
    thumbnails: Jobs

    @property
    def others(self) -> dict[str, Jobs]:
        """Jobs of types other than these two, by their name."""
        return self.__pydantic_extra__


class Operations(Model):
    """Storage operations in the window, failed ones included."""

    reads: int
    writes: int
    errors: int


class Bandwidth(Model):
    """Bytes per second over the elapsed part of the window, as `100MB/s`."""

    in_: str | None = Field(alias="in")
    """Written."""
    out: str | None
    """Read."""


class Storage(Model):
    """Storage operations."""

    operations: Operations
    bandwidth: Bandwidth


class SystemPerformance(Answer):
    """Performance of the platform."""

    api: Api
    processing: Processing
    storage: Storage
