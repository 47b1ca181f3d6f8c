"""What a partition works with: batches, stores, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sinks.base import Archive, BlockSink, LedgerStore, LiveSink
from streams.dead_letter import DeadLetters
from streams.domain.arrivals import Record
from streams.rejections import Rejections


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records that follow each other in a partition, and the position they were fetched from.

    Without records: the broker does not have that position. `waiting` is about how many records Kafka has
    behind these; what it is worth depends on the broker, so it may decide about haste and nothing else.
    `topic_id` is Kafka's id of the topic a moment before, or since; empty when nobody knows.
    """

    start: int
    records: Sequence[Record]
    waiting: int = 0
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class LogSeen:
    """A partition's log as Kafka tells of it: the first offset that it has, and that after its last record.

    `topic_id` is Kafka's id of the topic, asked before the offsets; empty when the broker tells none.
    """

    topic_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything a partition writes to and asks."""

    live: LiveSink
    blocks: BlockSink
    ledgers: LedgerStore
    archive: Archive
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one partition, and one that a worker's partitions share; see `streams.settings`."""

    block_rows: int
    retention_ms: int
    rejections: Rejections = field(default_factory=Rejections)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a partition stands: offsets as those of its worker, and what waits for the next block."""

    position: int
    safe: int
    #: Time of the newest record that was taken (epoch s), by whomever; 0 when there is none, or none known.
    newest_at: float
    rows: int
    bytes: int
    #: Views or event ids in memory.
    keys: int
