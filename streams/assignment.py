"""The data that a partition's worker is given: batches, stores, limits."""

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
"""Creates a topic's folder for a place and a floor (see `Generations`)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Consecutive records of a partition, and the offset that they were fetched from.

    No records mean that the broker does not have that offset. `backlog` is about how many records Kafka has
    after these; it is an estimate, and only used to decide how long rows linger. `topic_id` is Kafka's id of
    the topic at about that time; empty when it is unknown. `leader_epochs` are those of the leaders that
    wrote the first and the last of the records; -1 when unknown.
    """

    start: int
    records: Sequence[Record]
    backlog: int = 0
    topic_id: str = ""
    leader_epochs: tuple[int, int] = (-1, -1)


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The bounds of a partition's log: its first offset, and the offset after its last record.

    `topic_id` is Kafka's id of the topic, read before the offsets; empty when brokers have no ids.
    """

    topic_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that a partition reads from and writes to."""

    live: LiveSink
    blocks: BlockSink
    ledgers: LedgerStore
    bundles: Bundles
    archive: Archive
    dead_letters: DeadLetters


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one partition, and one that all partitions of a worker share; see `streams.settings`."""

    block_rows: int
    retention_ms: int
    rejections: Rejections = field(default_factory=Rejections)


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assigned partition with all that its worker needs."""

    partition: Partition
    make_folder: MakeFolder
    stores: Stores
    limits: Limits
    #: Linger of ClickHouse inserts, shared by all partitions of a worker.
    pace: Pace
    #: Epoch seconds; decides which events belong to the live window.
    clock: Callable[[], float]
    #: Moves the consumer to an offset of the partition.
    seek: Callable[[int], Awaitable[None]]
    #: Asks the partition's current leader for the bounds of its log; raises `Unavailable`.
    log_bounds: Callable[[], Awaitable[LogBounds]]
    #: Called with an error that must end the process.
    on_failure: Callable[[BaseException], None]

    def live_since(self) -> int:
        """Return the first minute (since the epoch) of the live window now."""
        return int(self.clock()) // 60 - LIVE_MINUTES


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """Offsets of a partition as its worker has them, and the rows that wait for the next block."""

    position: int
    safe: int
    #: Time of the newest record processed by any worker (epoch s); 0 when there is none, or it is unknown.
    newest_at: float
    rows: int
    bytes: int
    #: Views or event ids in memory.
    keys: int
