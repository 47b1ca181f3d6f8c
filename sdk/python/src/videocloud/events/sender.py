"""Senders of events: the interface between creating and delivering events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from videocloud.events.model import Channel, Outgoing


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of the platform's topics, if they differ from the defaults."""

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
    """One record for Kafka. A value of None deletes the key's entry."""

    topic: str
    key: str
    value: bytes | None

    @classmethod
    def of(cls, event: Outgoing, topics: Topics) -> Record:
        """Return an event as a record."""
        return cls(topics.name(event.channel), event.key, event.to_json())


class EventSender(Protocol):
    """Accepts records and delivers them."""

    def send(self, record: Record) -> None:
        """Put a record into a queue. Raises DeliveryError when the queue is full."""
        ...

    def flush(self, timeout: float) -> None:
        """Wait until all queued records are delivered; raise DeliveryError for those that are not."""
        ...

    def close(self, timeout: float) -> None:
        """Flush, and accept no more records. Records that are not delivered by then are lost."""
        ...


class MemorySender:
    """Keeps records instead of sending them: for tests of code that sends events.

    ```python
    sender = MemorySender()
    client = VideoCloud(event_sender=sender)
    ```
    """

    def __init__(self) -> None:
        """Start without records."""
        self.records: list[Record] = []

    def send(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)

    def flush(self, timeout: float) -> None:
        """Do nothing: records are kept at once."""

    def close(self, timeout: float) -> None:
        """Do nothing."""
