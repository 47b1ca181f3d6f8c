"""The records that producers send: views and likes, with repeats, rubbish, wrong clocks and bursts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from zlib import crc32

import msgspec

from tests.oracle.log import PLAYBACK, USERS, Record
from tests.pipeline.bench import Raw, view
from tests.simulation.kafka import Kafka, PartitionLog

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_BROKEN: Final[tuple[tuple[bytes | None, str], ...]] = (
    (b"\x00 rubbish {", "NotJson"),
    (None, "Empty"),
    (b'{"type":"view.nothing"}', "UnknownType"),
    (b'{"type":"view.start","eventId":"e"}', "Invalid"),
)
_LAST: Final = b"the last one"
_FAULTS: Final = {**dict(_BROKEN), _LAST: "NotJson"}


def told(topic: str, raw: Raw) -> Record:
    """Return a record as the oracle reads it."""
    return Record(topic, raw.key, raw.value, raw.timestamp, _FAULTS.get(raw.value))


@dataclass
class Producer:
    """Sends to the topics that there are."""

    kafka: Kafka
    rng: random.Random
    #: How many records may come together.
    bursts: Sequence[int]
    #: Share of the records that nobody can read.
    rubbish: float = 0.03
    #: Topic, key and value of every event that was sent.
    outbox: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    _views: list[list[dict[str, Any]]] = field(default_factory=list)
    _named: int = 0

    async def run(self, until: float, clock: Callable[[], float]) -> None:
        """Send until a moment of the loop's time."""
        rng, loop = self.rng, asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(rng.expovariate(1.5))
            for _ in range(rng.choice(self.bursts)):
                self.send_one(int(clock() * 1000))

    def send_one(self, now: int) -> None:
        """Send one record, if its topic is there."""
        rng, draw = self.rng, self.rng.random()
        if draw < self.rubbish:
            self._append(
                rng.choice((PLAYBACK, USERS)), b"k%d" % rng.randrange(9), rng.choice(_BROKEN)[0], now
            )
        elif draw < self.rubbish + 0.09 and self.outbox:
            self._append(*rng.choice(self.outbox[-rng.choice((3, 30, 100_000)) :]), now)
        elif draw < self.rubbish + 0.22:
            self._like(now)
        else:
            self._watch(now)

    def send_again(self, now: int) -> None:
        """Send everything once more, as when a topic is filled from the producers' outbox."""
        for topic, key, value in self.outbox:
            self._append(topic, key, value, now)

    def fill(self, log: PartitionLog, end: int, now: int) -> None:
        """Send until a log ends at an offset, or behind it; give up when it does not grow."""
        for _ in range(500):
            if log.end < end:
                self.send_one(now)

    def send_to_all(self, now: int) -> None:
        """Send a record to every partition."""
        for topic in self.kafka.topics.values():
            for log in topic.logs:
                log.append(b"last", _LAST, now)

    def _watch(self, now: int) -> None:
        rng = self.rng
        if len(self._views) < 4 or rng.random() < 0.1:
            self._named += 1
            length = rng.choice((1, 3, 6, 6, 12, 75))
            video = f"video{rng.randrange(3)}"
            self._views.append(view(f"v{self._named}", self._claimed(now), length, video))
        pending = rng.choice(self._views)
        # A few come late; of a long view even later than the sequence window allows.
        at = 1 if len(pending) > 1 and pending[0]["seq"] > 1 and rng.random() < 0.1 else 0
        event = pending.pop(at)
        if not pending:
            self._views.remove(pending)
        self._send(PLAYBACK, event["viewId"], event, now)

    def _like(self, now: int) -> None:
        self._named += 1
        user = f"u{self.rng.randrange(20)}"
        event = {
            "type": self.rng.choice(("video.like", "video.share")),
            "eventId": f"like{self._named}",
            "occurredAt": self._claimed(now),
            "sessionId": f"s-{user}",
            "userId": user,
            "videoId": f"video{self.rng.randrange(3)}",
        }
        self._send(USERS, user, event, now)

    def _claimed(self, now: int) -> int:
        """Return a time that a client's clock may show."""
        rng = self.rng
        if rng.random() < 0.85:
            return now - rng.randrange(3_000)
        return (
            now
            + rng.choice((4, 10, 3 * 24 * 60, -5, -50, -100, -300)) * _MINUTE_MS
            - rng.choice((0, 0, 0, 200 * _DAY_MS))
        )

    def _send(self, topic: str, key: str, event: dict[str, Any], now: int) -> None:
        value = msgspec.json.encode(event)
        if self._append(topic, key.encode(), value, now):
            self.outbox.append((topic, key.encode(), value))

    def _append(self, topic: str, key: bytes, value: bytes | None, now: int) -> bool:
        """Append a record; return whether Kafka took it."""
        there = self.kafka.topics.get(topic)
        if there is None or not self.kafka.is_up:
            return False
        there.logs[crc32(key) % len(there.logs)].append(key, value, now)
        return True
