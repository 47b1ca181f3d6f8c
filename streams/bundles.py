"""Bundles: blocks of several partitions in one insert.

One insert costs ClickHouse as much as thousands of rows in it, so small blocks are inserted together. Each
block must still be inserted exactly once, even if each of its partitions moves to another worker:

1. each block is begun in its partition's ledger, which names the bundle;
2. the bundle is committed: one step in Redis decides that it is sent, and stores its bytes;
3. the insert is made, with the bundle's name as its deduplication token;
4. each block is finished in its ledger, and then the bundle is deleted.

Whoever finishes the last block deletes it: a rebalance leaves blocks to the next owners of their partitions,
and otherwise the bytes of their bundles would stay in Redis for days.

A worker that takes over a partition whose newest block is in a bundle settles that bundle
(`streams.takeover`): if it was not committed it never will be, and the block counts as not begun; if it was,
it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final
from uuid import uuid4

from sinks.base import (
    Archive,
    BlockId,
    BlockSink,
    Bundle,
    BundleStore,
    LedgerStore,
    Unavailable,
    Unexpected,
    Where,
)
from sinks.single_flight import SingleFlight
from streams.domain import traces
from streams.inserts import InFlightBlock, record_insert, try_to_begin, while_owned
from streams.landed import check
from streams.loop_time import loop_time
from streams.pace import Pace
from streams.retry import Released, Retry

#: Ledgers that a shipment writes at a time: the Redis client has a limited number of connections.
_LEDGERS_AT_ONCE: Final = 16
#: More bytes than this are packed in a thread, so that the event loop is not blocked.
_MANY_BYTES: Final = 500_000


class Bundles:
    """The bundles of one worker, and those that earlier owners left behind."""

    def __init__(self, store: BundleStore, ledgers: LedgerStore, sink: BlockSink, archive: Archive) -> None:
        """Commit bundles in `store`, and insert them with `sink`."""
        self.store, self.ledgers, self.sink = store, ledgers, sink
        self._archive = archive
        #: Strong references: the event loop holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._resends = SingleFlight[tuple[BlockId, ...]]()
        self._settling = SingleFlight[Bundle | None]()

    def ship(self, blocks: Sequence[InFlightBlock], pace: Pace) -> asyncio.Task[None]:
        """Send blocks of one group together, and tell their writers the outcome.

        Returns the task that does it; it goes on when some of the partitions are given up.
        """
        task = asyncio.create_task(_Shipment(self, blocks, pace).run(), name="bundle")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self, name: str) -> Bundle | None:
        """Settle a bundle; see `BundleStore.settle`.

        Calls at the same time for one bundle share one request: it has blocks of many partitions, and each of
        them would fetch the bytes of all.
        """
        return await self._settling.run(name, lambda: self.store.settle(name))

    async def send_again(self, name: str) -> tuple[BlockId, ...]:
        """Send a committed bundle again; return its blocks, none if it must not be sent.

        Calls at the same time for one bundle share one insert. Raises `Unavailable`.
        """
        return await self._resends.run(name, lambda: self._send_again(name))

    async def drop_if_finished(self, name: str, blocks: Sequence[BlockId]) -> None:
        """Delete a bundle unless one of its blocks is still in doubt. If Redis is away, it expires."""
        with suppress(Unavailable):
            ledgers = await self.ledgers.read_all([block.partition for block in blocks])
            if all(ledger.done or ledger.bundle != name for ledger in ledgers.values()):
                await self.store.drop(name)

    async def _send_again(self, name: str) -> tuple[BlockId, ...]:
        bundle = await self.store.settle(name)
        if bundle is not None and await self._is_replayed(name, bundle):
            await self.store.revoke(name)
        # Read again: a worker that reads the records anew has revoked the bundle first.
        bundle = await self.store.settle(name)
        if bundle is None:
            return ()
        await self.sink.send(name, bundle.packed)
        return bundle.blocks

    async def _is_replayed(self, name: str, bundle: Bundle) -> bool:
        """Say whether ClickHouse lost the bundle, and a partition's records in it are read again without it.

        Or will be: its ledger says that ClickHouse has more rows.
        """
        ledgers = await self.ledgers.read_all([block.partition for block in bundle.blocks])
        blocks = [each for each in bundle.blocks if ledgers[each.partition].incarnation == each.incarnation]
        if not blocks:
            return False
        # Ledgers were read first: an active partition only moves forward in ClickHouse meanwhile.
        await self._archive.next_offset(*_where(blocks[0]))  # No replica is behind after that.
        ends = await self._archive.ends([_where(block) for block in blocks])
        # Rows beyond its block's start are those of the bundle, or came after it.
        has_rows = {ends.get(_where(block), 0) > block.start for block in blocks}
        if len(has_rows) > 1:
            # The bundle's rows are all there or none is. So those of a partition were inserted without it.
            return True
        return False in has_rows and any(
            ledger.landed > ends.get(_where(block), 0)
            or ((ledger.stored_to or 0) < block.end and (ledger.done or ledger.bundle != name))
            for block in blocks
            for ledger in (ledgers[block.partition],)
        )


def _where(block: BlockId) -> Where:
    return block.log, block.partition.topic, block.partition.number


class _Shipment:
    """One bundle that is being sent."""

    def __init__(self, bundles: Bundles, blocks: Sequence[InFlightBlock], pace: Pace) -> None:
        self._bundles = bundles
        self._store, self._ledgers, self._sink = bundles.store, bundles.ledgers, bundles.sink
        self._blocks, self._pace = blocks, pace
        self._ledger_slots = asyncio.Semaphore(_LEDGERS_AT_ONCE)
        self._name = f"bundle:{uuid4().hex}"
        #: Repeats operations for as long as a writer waits for one of the blocks.
        self._retry = Retry(topic=blocks[0].block.partition.topic, bundle=self._name)
        for each in blocks:
            each.retry = self._retry
            each.stored.add_done_callback(lambda _: self._release_if_settled())

    def _release_if_settled(self) -> None:
        if all(each.stored.done() for each in self._blocks):
            self._retry.release()

    async def run(self) -> None:
        try:
            await self._send()
        except Released:
            pass  # Every partition was given up: their next owners settle the bundle.
        except Exception as error:
            for each in self._blocks:
                each.fail(error)

    async def _send(self) -> None:
        begun = await self._begin()
        if len(begun) < 2:
            _decline(begun)
            return
        blocks = [each.block for each in begun]
        if sum(each.size for each in begun) > _MANY_BYTES:
            packed = await asyncio.to_thread(self._sink.pack, blocks)
        else:
            packed = self._sink.pack(blocks)
        bundle = Bundle(tuple(block.id for block in blocks), packed)
        if not await self._retry.forever(lambda: self._store.commit(self._name, bundle), "commit a bundle"):
            _decline(begun)  # A new owner settled the bundle first.
            return
        await self._insert(begun, packed)
        if await self._finish(begun):
            with suppress(Unavailable):  # It expires.
                await self._store.drop(self._name)

    async def _begin(self) -> list[InFlightBlock]:
        """Begin each block in its ledger; return those for which that succeeded."""
        landed = [each.landed for each in self._blocks]
        await self._retry.forever(lambda: check(landed), "ask how far")
        begun = await asyncio.gather(*map(self._begin_one, self._blocks))
        return [each for each, is_begun in zip(self._blocks, begun, strict=True) if is_begun]

    async def _begin_one(self, each: InFlightBlock) -> bool:
        try:
            async with self._ledger_slots:
                is_begun = await self._retry.forever(
                    lambda: try_to_begin(self._ledgers, each, self._name), "begin a block"
                )
        except Exception as error:
            each.fail(error)
            return False
        if not is_begun:
            each.resolve(False)
        return is_begun

    async def _insert(self, begun: Sequence[InFlightBlock], packed: bytes) -> None:
        rows = sum(each.block.rows for each in begun)
        links = [link for each in begun for link in each.batches]
        began = loop_time()
        landed = [each.landed for each in begun]
        is_sure = True

        async def send() -> bool:
            if is_sure:
                await self._sink.send(self._name, packed)
                return True
            return bool(await self._bundles.send_again(self._name))

        send_owned = while_owned(send, landed)

        async def attempt() -> bool:
            nonlocal is_sure
            # Otherwise ClickHouse may have lost rows, and who took one of the partitions over since may have
            # revoked the bundle.
            is_sure = is_sure and all(each.is_certain for each in landed)
            return await send_owned()

        with traces.span("insert blocks", links, token=self._name, rows=rows, blocks=len(begun)):
            is_sent = await self._retry.forever(attempt, "insert blocks")
        if not is_sent:
            # It may be in ClickHouse nevertheless: only the next owner's comparison shows where to go on.
            raise Unexpected(f"{self._name} was revoked, or Redis lost it, while its insert had no answer")
        for each in begun:
            each.landed.note(each.block.landed)
        record_insert(begun, began, self._pace)

    async def _finish(self, begun: Sequence[InFlightBlock]) -> bool:
        """Finish the blocks in their ledgers and tell the writers; return whether all could be finished.

        No writer is told before all ledgers are written, so that none goes on while the bundle is in doubt
        for another one.
        """
        finished = await asyncio.gather(*map(self._finish_one, begun))
        for each, is_finished in zip(begun, finished, strict=True):
            if is_finished:
                each.resolve(True)
        return all(finished)

    async def _finish_one(self, each: InFlightBlock) -> bool:
        if each.stored.done():
            return False
        try:
            async with self._ledger_slots:
                await self._retry.forever(
                    lambda: self._ledgers.finish(each.block, each.landed.epoch), "finish a block"
                )
        except Exception as error:
            each.fail(error)
            return False
        return True


def _decline(begun: Sequence[InFlightBlock]) -> None:
    """Have each block inserted alone: the bundle was not sent, and never will be."""
    for each in begun:
        each.resolve(False)
