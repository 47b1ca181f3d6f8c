"""How networks and clocks distort events between a client and the log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.oracle.log import Record
from tests.world.encoding import encode, told_instant

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Client:
    """A device: how far its clock is ahead (ms), whether its events have `sentAt`, and its network."""

    ahead: int = 0
    tells_sent_at: bool = False
    #: Shares of events that are lost, repeated at once, repeated hours later, and sent hours late.
    lost: float = 0.0
    echoed: float = 0.0
    repeated: float = 0.0
    offline: float = 0.0
    #: Longest network delay of an event, in milliseconds; longer than the heartbeat interval, it reorders.
    delay: int = 200


@dataclass(frozen=True, slots=True)
class Posted:
    """A record, and when it is appended to the log, in epoch milliseconds."""

    at: int
    record: Record


def client(rng: Random) -> Client:
    """Draw a client: most are sound, each of the others has a fault of its own."""
    sound = Client(tells_sent_at=rng.random() < 0.4, delay=rng.choice((0, 50, 400, 3000)))
    kind = rng.random()
    if kind < 0.4:
        return sound
    if kind < 0.55:
        return replace(sound, lost=0.15, echoed=0.1)
    if kind < 0.68:
        return replace(sound, delay=90 * SECOND, echoed=0.1, repeated=0.05)
    if kind < 0.78:
        return replace(sound, offline=0.2, repeated=0.1)
    ahead = rng.choice(
        (-9 * HOUR, -40 * MINUTE, -7000, 90 * SECOND, 299 * SECOND, 6 * MINUTE, 5 * HOUR, 30 * HOUR)
    )
    return replace(sound, ahead=ahead, tells_sent_at=rng.random() < 0.5, repeated=0.15, delay=2000)


def post(
    rng: Random, client: Client, topic: str, key: str, event: dict[str, Any], at: int, until: int
) -> list[Posted]:
    """Send an event that happened at `at`; nothing is sent after `until`.

    `startedAt` in the event is in true time too: this function adds the client's clock error to it.
    """
    if rng.random() < client.lost:
        return []
    sent = at + (rng.randrange(20 * MINUTE, 30 * HOUR) if rng.random() < client.offline else 0)
    arrival = sent + rng.randrange(client.delay + 1)
    if arrival > until:
        return []
    told = event | {"occurredAt": told_instant(rng, at + client.ahead)}
    if client.tells_sent_at:
        told["sentAt"] = told_instant(rng, sent + client.ahead)
    if event.get("startedAt") is not None:
        told["startedAt"] = told_instant(rng, event["startedAt"] + client.ahead)
    record = Record(topic, key.encode(), encode(rng, told), arrival)
    posted = [Posted(arrival, record)]
    if rng.random() < client.echoed:
        posted.append(Posted(arrival, replace(record, timestamp=arrival + rng.randrange(30))))
    if rng.random() < client.repeated:
        # One choice is just after true time has reached the client's fast clock: the time looks right then.
        later = arrival + rng.choice((5 * MINUTE, 3 * HOUR, 26 * HOUR, max(0, client.ahead) + MINUTE))
        again = told | {"eventId": told["eventId"] if rng.random() < 0.7 else told["eventId"] + "-again"}
        if topic != "playback.events":
            again = told
        posted.append(Posted(later, Record(topic, key.encode(), encode(rng, again), later)))
    return [entry for entry in posted if entry.at <= until]
