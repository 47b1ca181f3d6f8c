"""Stores in memory: real sinks, ledgers and archive, tested by the same contract suites as the others.

They keep everything in one `MemoryStore`, which several workers can share like servers. Tests use them to run
the whole pipeline in milliseconds, with faults at every step (`fault`).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from sinks.base import (
    Block,
    Books,
    Bundle,
    Encoded,
    Fenced,
    Held,
    Ledger,
    LiveBatch,
    Partition,
    Unavailable,
    Unexpected,
    Where,
)
from streams.domain.aggregate import Live
from streams.domain.generations import Key
from streams.domain.rows import CatalogRow, Row


def _no_fault(_step: str) -> None:
    """Let every step pass."""


@dataclass
class MemoryStore:
    """The contents of both stores. `fault` is called before and after each step, and may raise.

    `clock` is the servers' own clock, in epoch seconds.
    """

    fault: Callable[[str], None] = _no_fault
    clock: Callable[[], float] = time.time
    ledgers: dict[Partition, Ledger] = field(default_factory=dict)
    books: dict[Partition, Books] = field(default_factory=dict)
    #: Live counters by partition and generation.
    live: dict[tuple[Partition, int], Live] = field(default_factory=lambda: defaultdict(Live))
    tables: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    tokens: set[str] = field(default_factory=set)
    #: Decided bundles; None for one that is never sent.
    bundles: dict[str, Bundle | None] = field(default_factory=dict)
    #: Open requests to recount live windows.
    recounts: dict[Partition, str] = field(default_factory=dict)
    #: Until when inserts of partitions are held, by the clock.
    held_until: dict[Partition, float] = field(default_factory=dict)

    #: Newest part of the newest generation that was rebuilt.
    rebuilt: dict[Partition, tuple[int, int]] = field(default_factory=dict)

    def owned(self, partition: Partition, epoch: int) -> Ledger:
        """Return the ledger if `epoch` still owns the partition."""
        ledger = self.ledgers.get(partition)
        if ledger is None:
            raise Unexpected(f"the ledger of {partition} is missing: the store lost data")
        if ledger.epoch < epoch:
            raise Unexpected(f"the ledger of {partition} is an older one")
        if ledger.epoch != epoch:
            raise Fenced(f"epoch {ledger.epoch} owns {partition} now")
        return ledger


class MemoryLedgers:
    """`LedgerStore` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep ledgers in a store."""
        self._store = store

    async def claim(self, partition: Partition) -> Ledger:
        """Raise the epoch and return the ledger."""
        before = self._store.ledgers.get(partition, Ledger(epoch=0))
        # Never below the clock: owners from before a loss of all ledgers are older than those after it.
        epoch = max(before.epoch + 1, int(self._store.clock() * 1000))
        ledger = self._store.ledgers[partition] = replace(before, epoch=epoch)
        return ledger

    async def begin(self, block: Block, epoch: int, from_mark: str, bundle: str = "") -> None:
        """Record that a block is about to be inserted, alone or in a bundle."""
        self._store.fault("begin")
        ledger = self._store.owned(block.partition, epoch)
        same = not ledger.done and (ledger.block_from, ledger.block_to) == (block.start, block.end)
        if (
            (ledger.incarnation, ledger.stored_to) != (block.id.incarnation, block.start)
            # It went alone since.
            or (same and bundle not in ("", ledger.bundle))
        ):
            raise Unexpected(f"{block.partition}: blocks end at {ledger.stored_to}, and not at {block.start}")
        if self._store.held_until.get(block.partition, 0.0) > self._store.clock() and not same:
            raise Held("inserts are held for a moment", "redis")
        self._store.ledgers[block.partition] = replace(
            ledger,
            block_from=block.start,
            block_to=block.end,
            from_mark=from_mark,
            to_mark=block.mark,
            done=False,
            shard=block.shard,
            bundle=bundle,
        )
        self._store.fault("begun")

    async def finish(self, block: Block, epoch: int) -> None:
        """Record that a block is inserted."""
        self._store.fault("finish")
        ledger = self._store.owned(block.partition, epoch)
        landed = block.landed if block.rows else ledger.landed
        newest = (ledger.incarnation, ledger.block_from, ledger.block_to)
        if newest == (block.id.incarnation, block.start, block.end):
            self._store.ledgers[block.partition] = replace(ledger, done=True, landed=landed)
        self._store.fault("finished")

    async def withdraw(self, partition: Partition, epoch: int, bundle: str) -> None:
        """Undo the beginning of the newest block, if it is in this bundle."""
        self._store.fault("withdraw")
        ledger = self._store.owned(partition, epoch)
        if ledger.bundle == bundle and not ledger.done:
            self._store.ledgers[partition] = replace(
                ledger, done=True, bundle="", block_to=ledger.block_from, to_mark=ledger.from_mark
            )
        self._store.fault("withdrawn")

    async def read(self, partition: Partition) -> Ledger:
        """Return a ledger without claiming it."""
        return self._store.ledgers.get(partition, Ledger(epoch=0))

    async def read_all(self, partitions: Collection[Partition]) -> dict[Partition, Ledger]:
        """Return ledgers without claiming them."""
        return {where: await self.read(where) for where in partitions}

    async def rewrite(self, partition: Partition, ledger: Ledger, before: Ledger | None = None) -> None:
        """Replace the ledger."""
        self._store.fault("restart")
        now = self._store.owned(partition, ledger.epoch).cursors
        ledger = ledger.with_zeros()
        if before is not None and now not in (before.cursors, ledger.cursors):
            raise Unavailable(f"the ledger of {partition} changed meanwhile", "redis")
        self._check_parts(partition, ledger)
        self._store.ledgers[partition] = replace(ledger, parts=0)

    async def name_log(self, partition: Partition, epoch: int, topic_ids: Sequence[str]) -> None:
        """Store Kafka's ids of the topic."""
        ledger = self._store.owned(partition, epoch)
        self._store.ledgers[partition] = replace(ledger, topic_ids=tuple(topic_ids))

    async def requested_recounts(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Return open requests to recount live windows."""
        return {where: self._store.recounts[where] for where in partitions if where in self._store.recounts}

    async def finish_recount(self, partition: Partition, before: int, ledger: Ledger, request: str) -> None:
        """Switch readers from a generation to the ledger's, and mark the request as done."""
        self._store.fault("recounted")
        found = self._store.owned(partition, ledger.epoch)
        if found.generation not in (before, ledger.generation):
            raise Unexpected(f"{partition}: readers use generation {found.generation}, not {before}")
        if found.counted != (ledger.counted or 0):
            raise Unexpected(f"{partition}: the ledger is at offset {found.counted}, not {ledger.counted}")
        self._check_parts(partition, ledger)
        self._store.ledgers[partition] = replace(found, generation=ledger.generation)
        if self._store.recounts.get(partition) == request:
            del self._store.recounts[partition]
        self._store.fault("switched")

    def _check_parts(self, partition: Partition, ledger: Ledger) -> None:
        """Raise `Unexpected` if a part of the live window was lost after it was rebuilt."""
        if ledger.parts and self._store.rebuilt.get(partition) != (ledger.generation, ledger.parts):
            raise Unexpected(f"{partition}: the store lost counters that were rebuilt")


class MemoryBundles:
    """`BundleStore` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep bundles in a store."""
        self._store = store

    async def commit(self, name: str, bundle: Bundle) -> bool:
        """Decide that a bundle is sent, and store it; return False if it never is."""
        self._store.fault("commit")
        sent = self._store.bundles.setdefault(name, bundle) is not None
        self._store.fault("committed")
        return sent

    async def settle(self, name: str) -> Bundle | None:
        """Return a committed bundle; decide that it is never sent if nothing was decided yet."""
        self._store.fault("settle")
        return self._store.bundles.setdefault(name, None)

    async def revoke(self, name: str) -> None:
        """Decide that a bundle must not be sent any more."""
        self._store.bundles[name] = None

    async def drop(self, name: str) -> None:
        """Delete a bundle."""
        self._store.fault("drop")
        self._store.bundles.pop(name, None)


class MemoryLive:
    """`LiveSink` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep counters in a store."""
        self._store = store

    async def write(self, batch: LiveBatch) -> None:
        """Add a batch's increments and move `counted`, in one step."""
        store = self._store
        store.fault("count")
        found = store.ledgers.get(batch.partition)
        if found is not None and found.counted is None:
            raise Unexpected(f"the ledger of {batch.partition} has no counters: the store lost data")
        ledger = store.owned(batch.partition, batch.epoch)
        if ledger.generation != batch.generation:
            raise Unexpected(f"{batch.partition}: readers use generation {ledger.generation}")
        counted = ledger.counted
        if counted != batch.end:
            if counted != batch.start:
                raise Unexpected(f"{batch.partition}: the ledger is at offset {counted}, not {batch.start}")
            store.ledgers[batch.partition] = replace(ledger, counted=batch.end, counted_mark=batch.mark)
            store.live[batch.partition, batch.generation].merge(batch.live)
            before = store.books.get(batch.partition, Books())
            store.books[batch.partition] = Books(
                *(
                    getattr(before, name) + getattr(batch.books, name)
                    for name in ("read", "stored", "repeated", "late", "rejected")
                )
            )
        store.fault("counted")

    async def rebuild(self, partition: Partition, epoch: int, generation: int, part: int, live: Live) -> None:
        """Add a part of the increments to a generation that no reader uses yet."""
        self._store.fault("rebuild")
        self._store.owned(partition, epoch)
        newest, last = self._store.rebuilt.get(partition, (0, 0))
        last = last if newest == generation else 0
        if last < part and newest <= generation:
            if last + 1 != part:
                raise Unexpected(f"{partition}: the store lost part {part - 1} of a recount")
            self._store.rebuilt[partition] = generation, part
            self._store.live[partition, generation].merge(live)
        self._store.fault("rebuilt")


class MemoryBlocks:
    """`BlockSink` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Keep tables in a store."""
        self._store = store

    async def find_shard(self, log: str, topic: str, partition: int) -> int:
        """Return that there are no shards."""
        return 0

    def encode(self, row: type[Row], rows: Sequence[Any]) -> Encoded:
        """Return rows as JSON, so that what is kept is not what the pipeline holds."""
        lines = msgspec.json.Encoder().encode_lines(rows)
        return Encoded(len(rows), len(lines), lines)

    async def write(self, block: Block) -> None:
        """Insert a block once."""
        if block.rows:
            await self.send(block.token, self.pack([block]))

    def pack(self, blocks: Sequence[Block]) -> bytes:
        """Return one insert of blocks."""
        lines = b"".join(chunk.pieces for block in blocks for chunk in block.chunks)
        return msgspec.msgpack.encode((blocks[0].table, blocks[0].row.__name__, lines))

    async def send(self, token: str, packed: bytes) -> None:
        """Make a packed insert once."""
        self._store.fault("insert")
        if token not in self._store.tokens:
            self._store.tokens.add(token)
            table, name, lines = msgspec.msgpack.decode(packed, type=tuple[str, str, bytes])
            (row,) = (kind for kind in Row.__subclasses__() if kind.__name__ == name)
            self._store.tables[table] += msgspec.json.Decoder(row).decode_lines(lines)
        self._store.fault("inserted")


class MemoryArchive:
    """`Archive` in memory."""

    def __init__(self, store: MemoryStore) -> None:
        """Read a store's tables."""
        self._store = store

    async def next_offset(self, log: str, topic: str, partition: int) -> int | None:
        """Return the offset after the last stored row; None when there is none."""
        here = (log, topic, partition)
        offsets = [
            row.offset
            for rows in self._store.tables.values()
            for row in rows
            if (row.log, row.topic, row.partition) == here
        ]
        return max(offsets) + 1 if offsets else None

    async def ends(self, places: Collection[Where]) -> dict[Where, int]:
        """Return the offset after the last stored row of each log's partition that has rows."""
        ends = {place: await self.next_offset(*place) for place in places}
        return {place: end for place, end in ends.items() if end is not None}

    async def logs(self, topic: str, partition: int) -> list[str]:
        """Return the names of all logs that have rows of a partition."""
        every = (row for rows in self._store.tables.values() for row in rows)
        return sorted({row.log for row in every if (row.topic, row.partition) == (topic, partition)})

    async def received_at(self, table: str, log: str, topic: str, partition: int, offset: int) -> int | None:
        """Return the record time of the row of one record; None when there is none."""
        here = (log, topic, partition, offset)
        rows = self._store.tables[table]
        found = (r.received_at for r in rows if (r.log, r.topic, r.partition, r.offset) == here)
        return next(found, None)

    async def newest_received(self) -> int:
        """Return the newest record time stored at all; 0 when there is none."""
        return max((row.received_at for rows in self._store.tables.values() for row in rows), default=0)

    async def ahead(self, table: str, since: int, limit: int) -> list[int]:
        """Return what clocks ahead of their records said, later than `since`, newest first."""
        said = {row.ahead_at for row in self._store.tables[table] if row.ahead_at > since}
        return sorted(said, reverse=True)[:limit]

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
        """Return the stored rows of the keys in the order they were accepted."""
        here, (first, second) = (log, topic, partition), key_columns
        found = [
            row
            for row in self._store.tables[table]
            if (getattr(row, first), getattr(row, second)) in keys
            and not ((row.log, row.topic, row.partition) == here and row.offset >= before)
        ]

        def order(row: Any) -> tuple[bool, int, int]:
            mine = (row.log, row.topic, row.partition) == here
            return mine, 0 if mine else row.received_at, row.offset

        return sorted(found, key=order)

    async def recent(
        self, table: str, row: type[Row], log: str, topic: str, partition: int, before: int, since: int
    ) -> AsyncIterator[list[Any]]:
        """Iterate over the partition's rows before an offset that occurred from `since` on."""
        yield [
            row
            for row in self._store.tables[table]
            if (row.log, row.topic, row.partition) == (log, topic, partition)
            and row.offset < before
            and row.occurred_at >= since
        ]

    async def catalog(self, since: int, ends: Mapping[Where, int]) -> list[CatalogRow]:
        """Return every catalog version received from `since` on, or that `ends` lacks; oldest first."""
        rows = [
            row
            for row in self._store.tables["video_catalog"]
            if row.received_at >= since or row.offset >= ends.get((row.log, row.topic, row.partition), 0)
        ]
        return sorted(rows, key=lambda row: (row.received_at, row.offset))
