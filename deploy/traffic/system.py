"""Events of the platform's own services: requests, storage operations, probes, hosts, incidents."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from deploy.traffic.events import DAY_MS, HOUR_MS, MINUTE_MS, SYSTEM, Actor, Event, Ids, rfc3339
from deploy.traffic.rhythm import world_load

#: The services that are probed; `api` also reports requests, `storage` operations, `transcoder` jobs.
SERVICES: Final = ("api", "delivery", "transcoder", "storage")
#: (service, name, cores, memory GiB, disk GiB, idle cpu share, cpu share added by average traffic)
HOSTS: Final = (
    ("delivery", "edge-fra-1", 8, 16, 480, 0.10, 0.34),
    ("delivery", "edge-iad-1", 8, 16, 480, 0.12, 0.38),
    ("transcoder", "transcode-1", 16, 32, 960, 0.22, 0.30),
    ("storage", "store-1", 4, 16, 2000, 0.08, 0.17),
)
# Median latency in ms and spread (sigma of the logarithm) by endpoint.
_LATENCY: Final = {
    "/videos": (62, 0.55),
    "/users": (84, 0.5),
    "/search": (128, 0.6),
    "/comments": (71, 0.5),
    "/uploads": (210, 0.7),
    "/analytics": (115, 0.6),
}
_REFUSED: Final = ((0.9880, 200), (0.9925, 304), (0.9962, 404), (0.9983, 401), (1.0, 429))
_BROKEN: Final = 0.0006
_LOST_PROBE: Final = 0.00008
_LOST_WRITE: Final = 0.0004


@dataclass(slots=True, frozen=True)
class Incident:
    """A service has an incident from `start_ms` to `end_ms` (not included)."""

    service: str
    start_ms: int
    end_ms: int


class Incidents:
    """The incidents of the services: each of some minutes, one after the other, drawn beforehand."""

    def __init__(self, rng: Random, start_ms: int, days: int) -> None:
        """Draw the incidents of `days` days from `start_ms` on."""
        self._all = []
        at = start_ms + int(rng.expovariate(1 / 5) * DAY_MS)
        while at < start_ms + days * DAY_MS:
            length = int(rng.uniform(3, 14) * MINUTE_MS)
            self._all.append(Incident(rng.choice(SERVICES), at, at + length))
            at += length + int(rng.expovariate(1 / 6) * DAY_MS)
        self._starts = [one.start_ms for one in self._all]

    def now(self, service: str, at_ms: int) -> bool:
        """Say whether `service` has an incident at `at_ms`."""
        place = bisect_right(self._starts, at_ms) - 1
        if place < 0:
            return False
        last = self._all[place]
        return at_ms < last.end_ms and last.service == service


class Operations:
    """Makes the system events of the services, one at a time or as a stream."""

    def __init__(self, rng: Random, ids: Ids, incidents: Incidents) -> None:
        """Make events with these ids; `incidents` cause slowness and failures."""
        self._rng = rng
        self._ids = ids
        self._incidents = incidents

    def event(self, service: str, kind: str, at_ms: int, **own: Any) -> Event:
        """Return a system event; only the transcoder writes times as text."""
        occurred = rfc3339(at_ms) if service == "transcoder" else at_ms
        value = {
            "eventId": self._ids.system(),
            "type": kind,
            "occurredAt": occurred,
            "service": service,
            **own,
        }
        return SYSTEM, service, at_ms, value

    def request(self, endpoint: str, at_ms: int, method: str = "GET") -> Event:
        """Return an answered request of the platform's API."""
        rng = self._rng
        trouble = self._incidents.now("api", at_ms)
        median, spread = _LATENCY[endpoint]
        duration = median * rng.lognormvariate(0, spread) * (0.8 + 0.2 * world_load(at_ms // HOUR_MS))
        if rng.random() < (0.12 if trouble else _BROKEN):
            status = rng.choice((500, 502, 503, 504))
            duration *= 4
        else:
            draw = rng.random()
            status = next(code for limit, code in _REFUSED if draw < limit)
        if trouble:
            duration *= 3.5
        own = {"endpoint": endpoint, "method": method, "status": status, "durationMs": round(duration, 1)}
        return self.event("api", "api.request", at_ms, **own)

    def storage(self, op: str, size: int, at_ms: int) -> Event:
        """Return a read or write of `size` bytes; a failed one has 0 bytes."""
        ok = self._rng.random() >= (0.05 if self._incidents.now("storage", at_ms) else _LOST_WRITE)
        return self.event("storage", "storage.op", at_ms, op=op, ok=ok, bytes=size if ok else 0)

    def probes(self, service: str, start_ms: int, end_ms: int, every_ms: int) -> Actor:
        """Yield the health probes of a service from `start_ms` to `end_ms`."""
        rng = self._rng
        at = start_ms + int(rng.random() * every_ms)
        while at < end_ms:
            failing = 0.6 if self._incidents.now(service, at) else _LOST_PROBE
            yield self.event(service, "health.probe", at, ok=rng.random() >= failing)
            at += every_ms

    def samples(self, number: int, start_ms: int, end_ms: int, every_ms: int) -> Actor:
        """Yield the samples of the host `HOSTS[number]` from `start_ms` to `end_ms`."""
        rng = self._rng
        service, name, cores, memory_gib, disk_gib, idle, share = HOSTS[number]
        at = start_ms + int(rng.random() * every_ms)
        load = [cores * (idle + share)] * 3
        while at < end_ms:
            cpu = min(0.99, (idle + share * world_load(at // HOUR_MS)) * rng.lognormvariate(0, 0.12))
            for place, minutes in enumerate((1, 5, 15)):
                kept = 0.5 ** (every_ms / (minutes * MINUTE_MS))
                load[place] = kept * load[place] + (1 - kept) * cores * cpu * 1.1
            # Disks fill by a tenth of a percent a day, and are cleaned every three months.
            filled = 0.52 + 0.001 * ((at / DAY_MS + 23 * number) % 90) + rng.gauss(0, 0.0004)
            yield self.event(
                service,
                "host.sample",
                at,
                host=name,
                cpu=round(cpu, 4),
                load=[round(value, 2) for value in load],
                memoryUsedBytes=int(memory_gib * 2**30 * min(0.97, 0.48 + 0.3 * cpu + rng.gauss(0, 0.01))),
                memoryTotalBytes=memory_gib * 2**30,
                storageUsedBytes=int(disk_gib * 2**30 * filled),
                storageTotalBytes=disk_gib * 2**30,
            )
            at += every_ms
