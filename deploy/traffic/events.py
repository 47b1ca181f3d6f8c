"""The shape of a generated event, the names of the topics, and the ids of one run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2s
from typing import Any, Final

PLAYBACK: Final = "playback.events"
USER: Final = "user.events"
SYSTEM: Final = "system.events"
CATALOG: Final = "video.catalog"
TOPICS: Final = (PLAYBACK, USER, SYSTEM, CATALOG)

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

Value = dict[str, Any]
#: (topic, key, record timestamp in epoch ms, JSON object); None as the object deletes the key.
Event = tuple[str, str, int, Value | None]
#: Something that emits events over time, in order of their timestamps.
Actor = Iterator[Event]
#: The epoch ms at which an actor begins, and the actor.
Arrival = tuple[int, Actor]


def rfc3339(at_ms: int) -> str:
    """Return epoch milliseconds as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def digest(text: str, length: int) -> str:
    """Return `length` hexadecimal digits that depend on `text` alone."""
    return blake2s(text.encode()).hexdigest()[:length]


class Ids:
    """The ids of one run: a function of the seed and of the run's start time.

    The ids depend on the start time so that a second run with the same seed adds new events: a platform
    would drop equal event ids as repeats. People and videos keep their ids from run to run.
    """

    def __init__(self, seed: int, start_ms: int) -> None:
        """Make the ids of the run with this `seed` that starts at `start_ms`."""
        self.run = digest(f"{seed}/{start_ms}", 8)
        self._sessions = 0
        self._views = 0
        self._system = 0
        self._jobs = 0

    def session(self) -> str:
        """Return the next `sessionId`."""
        self._sessions += 1
        return f"ses_{self.run}{self._sessions:x}"

    def view(self) -> str:
        """Return the next `viewId`; its events are numbered `viewId.seq`."""
        self._views += 1
        return f"view_{self.run}{self._views:x}"

    def system(self) -> str:
        """Return the next `eventId` of a system event."""
        self._system += 1
        return f"sys_{self.run}{self._system:x}"

    def job(self) -> str:
        """Return the next `jobId`."""
        self._jobs += 1
        return f"job_{self.run}{self._jobs:x}"
