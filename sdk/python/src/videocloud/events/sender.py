"""Who takes events: the seam between making them and the way they go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from videocloud.events.model import Channel, Outgoing


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the platform's topics, where they are not the usual ones."""

    playback: str = "playback.events"
    users: str = "user.events"
    systems: str = "system.events"
    catalog: str = "video.catalog"

    def name(self, channel: Channel) -> str:
        """Return the topic of a channel."""
        name: str = getattr(self, channel)
        return name


@dataclass(frozen=True, slots=True)
class Record:
    """One record for Kafka. A value of None deletes what the key names."""

    topic: str
    key: str
    value: bytes | None

    @classmethod
    def of(cls, event: Outgoing, topics: Topics) -> Record:
        """Return an event as a record."""
        return cls(topics.name(event.channel), event.key, event.to_json())


class EventSender(Protocol):
    """Takes records and delivers them."""

    def send(self, record: Record) -> None:
        """Take a record into a queue. Raises DeliveryError when there is no room."""
        ...

    def flush(self, timeout: float) -> None:
        """Wait until everything taken is delivered; raise DeliveryError for what is not."""
        ...

    def close(self, timeout: float) -> None:
        """Flush, and take nothing more. What is not delivered by then never will be."""
        ...


class MemorySender:
    """Keeps records instead of sending them: for tests of what sends events.

    ```python
    sender = MemorySender()
    client = VideoCloud(event_sender=sender)
    ```
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self.records: list[Record] = []

    def send(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)

    def flush(self, timeout: float) -> None:
        """Do nothing: everything is where it belongs."""

    def close(self, timeout: float) -> None:
        """Do nothing."""
