"""The protocols of the stores: two sinks, ledgers, bundles, and an archive of the accepted rows.

The contract suites in `tests/contract/` test every implementation; `sinks.memory` is one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from streams.domain.aggregate import Live
from streams.domain.generations import Key
from streams.domain.rows import Row


class Fenced(Exception):
    """Another worker owns the partition now: nothing was done, and the call must not be retried."""


class Unavailable(Exception):
    """The store cannot answer now; a retry may succeed."""

    def __init__(self, text: str, store: str = "other") -> None:
        """Say what happened; `store` is redis, clickhouse or kafka."""
        super().__init__(text)
        self.store = store


class Held(Unavailable):
    """Inserts of the partition are held for a moment: no block was begun."""


class Unexpected(Exception):
    """A store is not in the state that the worker left: the worker must restart and recover."""


#: Called after each query of a reader, with the store, the seconds, and whether the store answered.
QueryObserver = Callable[[str, float, bool], None]


def ignore_query(_store: str, _seconds: float, _answered: bool) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a Kafka cluster."""

    cluster: str
    topic: str
    number: int

    def __str__(self) -> str:
        """Return its name in logs."""
        return f"{self.cluster}/{self.topic}/{self.number}"


#: Where a row is from: log (cluster and incarnation), topic and partition.
Where = tuple[str, str, int]


def log_name(cluster: str, incarnation: int) -> str:
    """Return the name of a log; a topic that was created anew in the same cluster is another log."""
    return f"{cluster}#{incarnation}" if incarnation else cluster


def incarnation_of(log: str, cluster: str) -> int | None:
    """Return the incarnation in the name of a log, from 0; None for a log of another cluster."""
    name, _, number = log.rpartition("#")
    if log == cluster:
        return 0
    return int(number) if name == cluster and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Books:
    """Numbers of records by their fate; always `read` = `stored` + `repeated` + `late` + `rejected`."""

    read: int = 0
    stored: int = 0
    repeated: int = 0
    late: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The cursors of a partition in both stores. Offsets are the next ones; marks are record fingerprints."""

    epoch: int
    incarnation: int = 0
    generation: int = 0
    #: The live counters have every record before this offset; None in a new ledger.
    counted: int | None = None
    counted_mark: str = ""
    #: The newest block: records from..to. Once `done`, it is certainly in ClickHouse.
    block_from: int | None = None
    block_to: int | None = None
    from_mark: str = ""
    to_mark: str = ""
    done: bool = True
    #: Offset after the last row of the last finished block; ClickHouse must have at least that row.
    landed: int = 0
    #: The shard of all blocks of the partition, written with the first block; 0 without shards.
    shard: int = 0
    #: Kafka's ids of the topic, newest last: this log has the last one, the others are of deleted topics.
    topic_ids: tuple[str, ...] = ()
    #: Parts of the live window that were rebuilt under the generation; 0 in a ledger that is read.
    parts: int = 0
    #: The bundle of the newest block; empty for a block that is inserted alone.
    bundle: str = ""

    @property
    def is_new(self) -> bool:
        """Whether neither store has anything under this ledger."""
        return self.counted is None and self.block_to is None

    @property
    def stored_to(self) -> int | None:
        """The offset before which ClickHouse has every record for certain; None in a new ledger."""
        return self.block_to if self.done else self.block_from

    @property
    def cursors(self) -> tuple[int | None, ...]:
        """What `LedgerStore.rewrite` compares, in the order of `rewrite.lua`."""
        offsets = self.counted, self.block_from, self.block_to
        return self.incarnation, self.generation, *offsets, int(self.done)

    def with_zeros(self) -> Ledger:
        """Return it with 0 for the offsets that a new ledger lacks."""
        counted, start, end = self.counted or 0, self.block_from or 0, self.block_to or 0
        return replace(self, counted=counted, block_from=start, block_to=end)


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Increments of records `start`..`end` (exclusive) of a partition."""

    partition: Partition
    epoch: int
    generation: int
    start: int
    end: int
    #: Fingerprint of the last record.
    mark: str
    live: Live
    books: Books


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows in a store's own encoding, in `pieces`; `size` is their bytes."""

    rows: int
    size: int
    pieces: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlockId:
    """The identity of a block: records `start`..`end` (exclusive) of a log's partition."""

    #: Cluster and incarnation.
    log: str
    partition: Partition
    start: int
    end: int

    @property
    def token(self) -> str:
        """The deduplication token: a store takes this block once, however often it is sent."""
        return f"{self.log}/{self.partition.topic}/{self.partition.number}/{self.start}-{self.end}"

    @property
    def incarnation(self) -> int:
        """The incarnation of the topic's log, from 0."""
        return incarnation_of(self.log, self.partition.cluster) or 0


@dataclass(frozen=True, slots=True)
class Block:
    """Encoded rows of records `start`..`end` (exclusive) of one partition, inserted as a whole."""

    partition: Partition
    #: Cluster and incarnation; with topic, partition and offsets, the identity of the block.
    log: str
    table: str
    row: type[Row]
    start: int
    end: int
    #: Fingerprint of the last record.
    mark: str
    rows: int
    #: Offset after the last row; `start` without rows.
    landed: int
    chunks: list[Encoded] = field(repr=False)
    #: The shard that it is inserted into, from 1; 0 without shards.
    shard: int = 0

    @property
    def id(self) -> BlockId:
        """The identity of this block."""
        return BlockId(self.log, self.partition, self.start, self.end)

    @property
    def token(self) -> str:
        """See `BlockId.token`."""
        return self.id.token


@dataclass(frozen=True, slots=True)
class Bundle:
    """Blocks of several partitions that share one insert, and the insert's bytes."""

    blocks: tuple[BlockId, ...]
    packed: bytes = field(repr=False)


class BlockSink(Protocol):
    """The sink for raw events and roll-ups, with few large writes."""

    async def find_shard(self, log: str, topic: str, partition: int) -> int:
        """Return the shard for a partition whose ledger has none; 0 without shards.

        A shard that already has rows of the partition is preferred. Raises `Unavailable`.
        """

    def encode(self, row: type[Row], rows: Sequence[Any]) -> Encoded:
        """Encode rows of one type, at least one, for a block."""

    async def write(self, block: Block) -> None:
        """Insert a block. On return it is durable; sent again with the same token, it still counts once.

        Raises `Unavailable` when a retry may succeed; the outcome is then in doubt, and the same block (same
        bytes, same token) must be sent until it succeeds. A retry does not help against any other error.
        """

    def pack(self, blocks: Sequence[Block]) -> bytes:
        """Return one insert for blocks of one table and shard, as bytes that any worker can send."""

    async def send(self, token: str, packed: bytes) -> None:
        """Make a packed insert with a deduplication token; see `write`."""


class LiveSink(Protocol):
    """The sink for live counters, with many small writes; counters and ledger change together."""

    async def write(self, batch: LiveBatch) -> None:
        """Add the increments and move `counted` from `start` to `end`, in one atomic step.

        Does nothing if `counted` is `end` already, so a call whose answer was lost may be repeated. Raises
        `Fenced`, `Unavailable`, and `Unexpected` for any other value of `counted`, and if readers use another
        generation.
        """

    async def rebuild(self, partition: Partition, epoch: int, generation: int, part: int, live: Live) -> None:
        """Add a part of the increments to a generation that no reader uses yet.

        The parts of a generation are numbered from 1 and come in order; one that comes again adds nothing,
        nor does one that comes after a part of a later generation. Raises `Fenced`, `Unavailable`, and
        `Unexpected` if the store lost the part before.
        """


class LedgerStore(Protocol):
    """Stores the ledgers. Every change is fenced by the epoch that `claim` returned."""

    async def claim(self, partition: Partition) -> Ledger:
        """Raise the epoch, so that every earlier owner is fenced, and return the ledger.

        Raises `Unavailable`, and `Unexpected` for a ledger of a newer format that this version cannot read.
        """

    async def begin(self, block: Block, epoch: int, from_mark: str, bundle: str = "") -> None:
        """Record that a block is about to be inserted, alone or in a bundle.

        Raises `Fenced`, `Unavailable`, and `Held` while inserts are held (`sinks.redis.holds`), unless the
        block was begun before. Raises `Unexpected`, and changes nothing, unless the block is the one in doubt
        or follows the last one: the store lost that one, or this is a delayed request, whose block is done,
        belongs to an earlier log, or was begun alone since.
        """

    async def finish(self, block: Block, epoch: int) -> None:
        """Record that a block is inserted, if it is the newest one of this log.

        Raises `Fenced`, `Unavailable`.
        """

    async def withdraw(self, partition: Partition, epoch: int, bundle: str) -> None:
        """Undo the beginning of the newest block, if it is in this bundle, which is never sent.

        Raises `Fenced`, `Unavailable`.
        """

    async def read(self, partition: Partition) -> Ledger:
        """Return a ledger without claiming it. Raises `Unavailable`."""

    async def read_all(self, partitions: Collection[Partition]) -> dict[Partition, Ledger]:
        """Return ledgers without claiming them, by partition, in one request. Raises `Unavailable`."""

    async def rewrite(self, partition: Partition, ledger: Ledger, before: Ledger | None = None) -> None:
        """Replace the ledger, for a new incarnation or a recovery.

        If `before` is given, only cursors that are still its are replaced: a delayed request must not set
        them back after they have moved on. Raises `Fenced`, `Unavailable` also when they differ, and
        `Unexpected` if the store lost one of the ledger's `parts` of the live window.
        """

    async def name_log(self, partition: Partition, epoch: int, topic_ids: Sequence[str]) -> None:
        """Store Kafka's ids of the topic. Raises `Fenced`, `Unavailable`."""

    async def requested_recounts(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Return open requests to recount live windows, by partition. Raises `Unavailable`."""

    async def finish_recount(self, partition: Partition, before: int, ledger: Ledger, request: str) -> None:
        """Switch readers from the generation `before` to the ledger's, and mark the request as done.

        Raises `Fenced`, `Unavailable`, and `Unexpected` if they use neither, if `counted` is not the ledger's
        any more, or if the store lost one of the ledger's `parts`.
        """


class BundleStore(Protocol):
    """Decides once for each bundle whether it is sent, and stores it so that any worker can send it again."""

    async def commit(self, name: str, bundle: Bundle) -> bool:
        """Decide that a bundle is sent, and store it; return False if the opposite was decided before.

        May be repeated when an answer was lost. Raises `Unavailable`.
        """

    async def settle(self, name: str) -> Bundle | None:
        """Return a committed bundle; if nothing was decided yet, decide that it is never sent: None.

        Raises `Unavailable`.
        """

    async def revoke(self, name: str) -> None:
        """Decide that a bundle must not be sent any more. Raises `Unavailable`."""

    async def drop(self, name: str) -> None:
        """Delete a bundle that no ledger names any more. Raises `Unavailable`."""


#: Greater than every offset: a bound for `Archive.recent` that leaves nothing out.
BEYOND_ALL: Final = 1 << 62


class Archive(Protocol):
    """The rows of the raw tables, for recovery and look-ups. Every method raises `Unavailable`."""

    async def next_offset(self, log: str, topic: str, partition: int) -> int | None:
        """Return the offset after the last stored row of a log's partition; None when it has none."""

    async def ends(self, places: Collection[Where]) -> dict[Where, int]:
        """Return the `next_offset` of several logs' partitions that have rows, by log, topic and partition.

        Quick and in one request; a cluster may answer as it was a moment ago, unlike for `next_offset`.
        """

    async def logs(self, topic: str, partition: int) -> list[str]:
        """Return the names of all logs that have rows of a partition."""

    async def received_at(self, table: str, log: str, topic: str, partition: int, offset: int) -> int | None:
        """Return the record time (epoch ms) of one record's row; None without that row."""

    async def newest_received(self) -> int:
        """Return the newest record time of all rows (epoch ms); 0 without rows."""

    async def ahead(self, table: str, since: int, limit: int) -> list[int]:
        """Return up to `limit` distinct `ahead_at` of a raw table after `since`, newest first."""

    async def history(
        self,
        table: str,
        row: type[Row],
        key_columns: tuple[str, str],
        keys: Collection[Key],
        log: str,
        topic: str,
        partition: int,
        before: int,
    ) -> list[Any]:
        """Return the stored rows of the keys in the order they were accepted.

        For the named log's partition, only rows before the offset `before`; for other logs, all.
        """

    def recent(
        self, table: str, row: type[Row], log: str, topic: str, partition: int, before: int, since: int
    ) -> AsyncIterator[list[Any]]:
        """Iterate over lists of a partition's rows before an offset, occurred from `since` (epoch ms) on."""
