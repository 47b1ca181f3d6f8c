"""What a partition works with: batches, stores, bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from sinks.base import Archive, BlockSink, LedgerStore, LiveSink, Partition
from streams.bundles import Bundles
from streams.dead_letter import DeadLetters
from streams.domain.aggregate import LIVE_MINUTES
from streams.domain.arrivals import Record
from streams.domain.folding import Folder, Place
from streams.pace import Pace
from streams.rejections import Rejections

MakeFolder = Callable[[Place, int], Folder]
"""Makes a topic's folder for a place and a floor (see `Generations`)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records that follow each other in a partition, and the position they were fetched from.

    Without records: the broker does not have that position. `backlog` is about how many records Kafka has
    behind these; what it is worth depends on the broker, so it may decide about haste and nothing else.
    `topic_id` is Kafka's id of the topic a moment before, or since; empty when nobody knows.
    """

    start: int
    records: Sequence[Record]
    backlog: int = 0
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
    bundles: Bundles
    archive: Archive
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one partition, and one that a worker's partitions share; see `streams.settings`."""

    block_rows: int
    retention_ms: int
    rejections: Rejections = field(default_factory=Rejections)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A partition that is worked on here, with what, and whom it asks and tells."""

    partition: Partition
    make_folder: MakeFolder
    stores: Stores
    limits: Limits
    #: Of ClickHouse inserts, shared by a worker's partitions.
    pace: Pace
    #: Epoch seconds, for what counts as live.
    clock: Callable[[], float]
    #: Moves the consumer to an offset of the partition.
    seek: Callable[[int], Awaitable[None]]
    #: Asks whoever leads the partition now how its log stands; raises `Unavailable`.
    look: Callable[[], Awaitable[LogSeen]]
    #: Told of what must end the process.
    on_failure: Callable[[BaseException], None]

    def live_since(self) -> int:
        """Return the first minute (since the epoch) that is live now."""
        return int(self.clock()) // 60 - LIVE_MINUTES


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """How a partition stands: offsets as those of its worker, and what waits for the next block."""

    position: int
    safe: int
    #: Time of the newest record that was taken (epoch s), by whomever; 0 when there is none, or none known.
    newest_at: float
    rows: int
    bytes: int
    #: Views or event ids in memory.
    keys: int
