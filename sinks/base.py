"""What the pipeline asks of the stores: two sinks, ledgers and bundles, and a memory of what was accepted.

Every implementation is held to the contract suites in `tests/contract/`; `sinks.memory` is one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.domain.aggregate import Live
from streams.domain.generations import Key
from streams.domain.rows import Row


class Fenced(Exception):
    """Another worker owns the partition now: what was asked was not done, and must not be retried."""


class Unavailable(Exception):
    """The store cannot answer now; trying again may help."""

    def __init__(self, text: str, store: str = "other") -> None:
        """Say what happened; `store` is redis, clickhouse or kafka."""
        super().__init__(text)
        self.store = store


class Held(Unavailable):
    """Inserts of the partition are held for a moment: nothing was begun."""


class Unexpected(Exception):
    """A store is not where the worker left it: the worker must start again and recover."""


#: Told of each question that a reader asked its store: the store, the seconds, whether there was an answer.
Asked = Callable[[str, float, bool], None]


def unheard(_store: str, _seconds: float, _answered: bool) -> None:
    """Take no note of a question."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a Kafka cluster."""

    cluster: str
    topic: str
    number: int

    def __str__(self) -> str:
        """Name it as the logs do."""
        return f"{self.cluster}/{self.topic}/{self.number}"


def log_name(cluster: str, incarnation: int) -> str:
    """Name a log: a topic that was made anew in the same cluster is another log."""
    return f"{cluster}#{incarnation}" if incarnation else cluster


def incarnation_of(log: str, cluster: str) -> int | None:
    """Return which log of a topic of the cluster a name is of, from 0; None if it is of no such log."""
    name, _, number = log.rpartition("#")
    if log == cluster:
        return 0
    return int(number) if name == cluster and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Books:
    """What became of records: `read` = `stored` + `repeated` + `late` + `rejected`, always."""

    read: int = 0
    stored: int = 0
    repeated: int = 0
    late: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Ledger:
    """How far each store has a partition. Offsets are the next to take; marks are record fingerprints."""

    epoch: int
    incarnation: int = 0
    generation: int = 0
    #: Live counters hold every record before this offset; None while nothing is known.
    counted: int | None = None
    counted_mark: str = ""
    #: The newest block: records from..to. It is in ClickHouse for certain once `done`.
    block_from: int | None = None
    block_to: int | None = None
    from_mark: str = ""
    to_mark: str = ""
    done: bool = True
    #: Offset after the last row of the last block that was done, which ClickHouse's own books must show.
    landed: int = 0
    #: The shard that takes the partition's blocks, written with the first; 0 where there are no shards.
    shard: int = 0
    #: Kafka's ids of the topic, newest last: the log is that of the last one, and those before are no more.
    topic_ids: tuple[str, ...] = ()
    #: The bundle that the newest block went with; empty where it goes alone.
    bundle: str = ""

    @property
    def is_new(self) -> bool:
        """Say whether nothing was ever written under this ledger."""
        return self.counted is None and self.block_to is None


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """Increments of one fetched batch: records `start`..`end` of a partition."""

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
    """Some rows as a store takes them: what `pieces` are is that store's own. `size` is their bytes."""

    rows: int
    size: int
    pieces: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class BlockId:
    """Which block: the records `start`..`end` of a log's partition."""

    #: Cluster and incarnation.
    log: str
    partition: Partition
    start: int
    end: int

    @property
    def token(self) -> str:
        """The identity under which a store takes this block once, however often it is sent."""
        return f"{self.log}/{self.partition.topic}/{self.partition.number}/{self.start}-{self.end}"

    @property
    def incarnation(self) -> int:
        """Which log of the topic it is of, from 0."""
        return incarnation_of(self.log, self.partition.cluster) or 0


@dataclass(frozen=True, slots=True)
class Block:
    """Encoded rows of one partition, records `start`..`end`, inserted whole or not at all."""

    partition: Partition
    #: Cluster and incarnation: with topic, partition and bounds the identity of the block.
    log: str
    table: str
    row: type[Row]
    start: int
    end: int
    #: Fingerprint of the last record.
    mark: str
    rows: int
    #: Offset after the last row; `start` when there is none.
    landed: int
    chunks: list[Encoded] = field(repr=False)
    #: The shard that takes it, from 1; 0 where there are no shards.
    shard: int = 0

    @property
    def id(self) -> BlockId:
        """Which block this is."""
        return BlockId(self.log, self.partition, self.start, self.end)

    @property
    def token(self) -> str:
        """See `BlockId.token`."""
        return self.id.token


@dataclass(frozen=True, slots=True)
class Bundle:
    """Blocks of several partitions that go in one insert, and the insert as bytes."""

    blocks: tuple[BlockId, ...]
    packed: bytes = field(repr=False)


class BlockSink(Protocol):
    """The large and seldom sink: roll-ups and raw events."""

    async def start(self) -> None:
        """Connect. Raises what the store's client raises when it cannot be reached."""

    async def place(self, log: str, topic: str, partition: int) -> int:
        """Return the shard for a partition whose ledger names none; 0 where there are no shards.

        The one that has its rows, if any has. Raises `Unavailable`.
        """

    def encode(self, row: type[Row], rows: Sequence[Any]) -> Encoded:
        """Return rows of one type, at least one, as the store takes them in a block."""

    async def write(self, block: Block) -> None:
        """Insert a block. On return it is durable; sent again under the same token it counts once.

        Raises `Unavailable` when trying again may help; the outcome is then in doubt, and the same
        block (same bytes, same token) must be sent until it succeeds. Anything else is a fault that
        trying again does not mend.
        """

    def pack(self, blocks: Sequence[Block]) -> bytes:
        """Return one insert of blocks for one table and shard, as bytes that any worker can send."""

    async def send(self, token: str, packed: bytes) -> None:
        """Make a packed insert under a token; see `write`."""

    async def close(self) -> None:
        """Let go of connections."""


class LiveSink(Protocol):
    """The small and often sink: counters of the last hour, moved together with their ledger."""

    async def start(self) -> None:
        """Connect."""

    async def write(self, batch: LiveBatch) -> None:
        """Add the increments and move `counted` from `start` to `end`, in one step.

        A batch whose `end` is already counted is left alone, so a call whose answer was lost may be
        repeated. Raises `Fenced`, `Unavailable`, or `Unexpected` when `counted` is neither.
        """

    async def rebuild(self, partition: Partition, epoch: int, generation: int, live: Live) -> None:
        """Add increments to a generation that nobody reads yet. May be called many times."""

    async def close(self) -> None:
        """Let go of connections."""


class LedgerStore(Protocol):
    """Keeps the ledgers. Every change is fenced by the epoch that `claim` returned."""

    async def claim(self, partition: Partition) -> Ledger:
        """Raise the epoch, so that every earlier owner is fenced, and return the ledger as it stands.

        Raises `Unexpected` for one that a newer version has left, if this one might misread it.
        """

    async def begin(self, block: Block, epoch: int, from_mark: str, bundle: str = "") -> None:
        """Write down that this block is about to be inserted, alone or in a bundle.

        A request that comes late changes nothing: its block is done, of a log before, or went alone since.
        Raises `Fenced`, `Unavailable`, and `Held` while inserts are held (`sinks.redis.holds`), but for a
        block begun before.
        """

    async def finish(self, block: Block, epoch: int) -> None:
        """Write down that the block is in, if it is the newest. Raises `Fenced`, `Unavailable`."""

    async def withdraw(self, partition: Partition, epoch: int, bundle: str) -> None:
        """Write down that the newest block was not begun, if it went with this bundle, which is never sent.

        Raises `Fenced`, `Unavailable`.
        """

    async def look(self, partition: Partition) -> Ledger:
        """Return a ledger as it stands, whoever owns the partition. Raises `Unavailable`."""

    async def restart(self, partition: Partition, ledger: Ledger) -> None:
        """Replace the ledger by this one: a new incarnation, or a window rebuilt. Raises `Fenced`."""

    async def name_log(self, partition: Partition, epoch: int, topic_ids: Sequence[str]) -> None:
        """Write down which topic's log this is, by Kafka's ids. Raises `Fenced`."""

    async def recounts(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Return the requests to count live windows again that nobody has done yet."""

    async def recounted(self, partition: Partition, epoch: int, generation: int, request: str) -> None:
        """Switch readers to a generation, and write down which request that was. Raises `Fenced`."""


class BundleStore(Protocol):
    """Decides of each bundle, once, whether it is sent, and keeps it for whoever has to send it again."""

    async def commit(self, name: str, bundle: Bundle) -> bool:
        """Decide that a bundle is sent, and keep it; return False if it was decided that it never is.

        May be repeated when an answer was lost. Raises `Unavailable`.
        """

    async def settle(self, name: str) -> Bundle | None:
        """Return a bundle that is sent; decide that it never is if nothing was decided yet.

        Raises `Unavailable`.
        """

    async def revoke(self, name: str) -> None:
        """Decide that a bundle is sent no more. Raises `Unavailable`."""

    async def drop(self, name: str) -> None:
        """Forget a bundle that no ledger names any more. Raises `Unavailable`."""


class Archive(Protocol):
    """What the raw tables remember, for recovery."""

    async def next_offset(self, log: str, topic: str, partition: int) -> int | None:
        """Return the offset after the last stored row of a log's partition; None when it has none."""

    async def logs(self, topic: str, partition: int) -> list[str]:
        """Return the names of all logs that have rows of a partition."""

    async def received_at(self, table: str, log: str, topic: str, partition: int, offset: int) -> int | None:
        """Return the record time (epoch ms) of the row of one record; None when there is none."""

    async def newest_received(self) -> int:
        """Return the newest record time stored at all (epoch ms); 0 when there is none."""

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

        Of the named log's partition only those before the offset `before`; of other logs all.
        """

    def recent(
        self, table: str, row: type[Row], log: str, topic: str, partition: int, before: int, since: int
    ) -> AsyncIterator[list[Any]]:
        """Iterate over lists of a partition's rows before an offset that touch times from `since` (ms) on."""
