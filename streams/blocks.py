"""Blocks: rows of one partition gather until they are worth an insert, and are inserted in order.

The ledger records the beginning of a block before its insert, and the end after it. So the next owner knows
which block is in doubt, and inserts exactly that one again. Small blocks of several partitions are inserted
together (`streams.bundles`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf

from opentelemetry.trace import Link

from sinks.base import Block, BlockId, BlockSink, Encoded, LedgerStore, Partition
from sinks.single_flight import shared_result
from streams.bundles import Bundles
from streams.domain import traces
from streams.inserts import InFlightBlock, begin, record_insert, try_to_begin, while_owned
from streams.landed import Landed
from streams.loop_time import loop_time
from streams.pace import SHARED_BYTES, SHARED_ROWS, Group, Pace
from streams.retry import Retry


class BlockWriter:
    """Gathers and writes the blocks of one partition."""

    def __init__(
        self,
        empty: Block,
        landed: Landed,
        *,
        sink: BlockSink,
        ledgers: LedgerStore,
        bundles: Bundles,
        pace: Pace,
        retry: Retry,
        max_rows: int,
        pending_end: int | None,
        pending_bundle: str,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Start after the last block.

        Args:
            empty: a block without rows whose start, end and mark are the cursor's.
            landed: what ClickHouse has of the partition, and its epoch as claimed.
            sink: where blocks are inserted.
            ledgers: where their beginning and end are recorded.
            bundles: inserts blocks of several partitions together.
            pace: shared by all partitions of a worker.
            retry: repeats operations that may succeed later.
            max_rows: rows that make a block full; at twice as many, `add` waits.
            pending_end: end offset that the first block must have, because its insert is in doubt; or None.
            pending_bundle: the bundle of that block; empty if it was inserted alone.
            on_failure: called with the error that ends the writer.
        """
        self._open = empty
        #: Fingerprint of the record before the open block.
        self._from_mark = empty.mark
        self._landed = landed
        self._sink, self._ledgers, self._bundles = sink, ledgers, bundles
        self._pace, self._retry = pace, retry
        self._max_rows = max_rows
        self._pending_end, self._pending_bundle = pending_end, pending_bundle
        #: When the first row of the open block came (the loop's time).
        self._opened_at = 0.0
        #: Bytes of the rows in the open block.
        self._open_bytes = 0
        #: The block that is being inserted.
        self._in_flight: InFlightBlock | None = None
        self._changed = asyncio.Event()
        pace.budget.subscribe(self._changed)
        self._sealed = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = self._hurried = False
        self._behind = False
        #: Traces of the batches whose rows are in the open block.
        self._batch_links: list[Link] = []
        #: Every record before this offset is in ClickHouse.
        self.stored_to = empty.end
        #: Where the last block ends that the ledger knows to be done.
        self.done_to = empty.end
        pace.register(self)
        self._task = asyncio.create_task(self._run(), name=f"blocks {empty.partition}")
        self._task.add_done_callback(lambda _: self._on_end(on_failure))

    @property
    def is_running(self) -> bool:
        """Whether rows may still be added."""
        return not self._task.done()

    @property
    def end(self) -> int:
        """Offset after the last record that was added."""
        return self._open.end

    @property
    def pending_end(self) -> int | None:
        """End offset of the block in doubt, while its records are read again; None otherwise."""
        return self._pending_end

    @property
    def partition(self) -> Partition:
        """The partition whose rows these are."""
        return self._open.partition

    @property
    def group(self) -> Group:
        """Table and shard; blocks of one group can be inserted together."""
        return self._open.table, self._open.shard

    @property
    def buffered_rows(self) -> int:
        """Rows in the open block."""
        return self._open.rows

    def note_backlog(self, records: int) -> None:
        """Note about how many records Kafka still has after the batch that is being processed."""
        self._behind = self._pace.is_behind(self.partition, records, self._max_rows)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the rows in the open block, and of those on their way to ClickHouse."""
        return self._open_bytes + (self._in_flight.size if self._in_flight else 0)

    async def add(self, chunks: list[Encoded], rows: int, landed: int, end: int, mark: str) -> None:
        """Add the encoded rows of the records before offset `end`; waits while too many rows are buffered.

        `landed` is the offset after the last row; its value is ignored when there are no rows.
        """
        await self._wait_for_room()
        if self._task.done():
            return  # Nobody would insert the rows, or release their memory.
        block = self._open
        self._batch_links += traces.current_links()
        if block.start == block.end:
            self._opened_at = loop_time()
        block.chunks.extend(chunks)
        size = sum(chunk.size for chunk in chunks)
        self._open_bytes += size
        self._pace.budget.reserve(size)
        self._open = replace(
            block, end=end, mark=mark, rows=block.rows + rows, landed=landed if rows else block.landed
        )
        self._changed.set()

    async def _wait_for_room(self) -> None:
        """Wait until there is room in the open block and in the worker's budget."""
        budget = self._pace.budget
        while not self._task.done():
            if self._is_full():
                self._sealed.clear()
                await self._retry.wait_for(self._sealed.wait())
            elif budget.is_exhausted and self._pending_end is None:
                # A block in doubt is exempt: it must be inserted whole, and must not wait for rows whose
                # partitions wait for it.
                await self._retry.wait_for(budget.wait_for_room())
            else:
                return

    def _is_full(self) -> bool:
        if self._pending_end is not None:
            return self._open.end == self._pending_end  # Whatever its size: it must end there.
        return self._open.rows >= 2 * self._max_rows

    async def drain(self) -> None:
        """Wait until all added rows are in ClickHouse; nothing may be added meanwhile."""
        while self.stored_to < self.end and not self._task.done():
            self._written.clear()
            await self._written.wait()

    async def abandon_pending_block(self, start: int, landed: int) -> bool:
        """Go on at offset `start`, because Kafka no longer has the first records of the block in doubt.

        Goes on after the block's rows if they are in ClickHouse, whose rows end before `landed`: Kafka may
        still have the last records of the block, and they must not be inserted again. Returns whether all
        rows are in ClickHouse for certain, because the block's bundle was sent again.
        """
        is_in = bool(self._pending_bundle and await self._send_again(self._pending_bundle))
        end, self._pending_end, self._pending_bundle = self._pending_end or 0, None, ""
        block = self._open
        if is_in or landed > block.start:
            self._pace.budget.release(self._open_bytes)
            self._open_bytes = 0
            start = max(start, end if is_in else landed)
            self._landed.note(landed)
        elif block.start != block.end:
            return False
        # It begins where the block in doubt does, and so takes its place in the ledger. Kafka may have the
        # record before `start`, and its fingerprint is unknown.
        self._open = replace(block, end=start, mark="", landed=start, rows=0, chunks=[])
        self._opened_at = loop_time()
        self._changed.set()
        return is_in

    async def flush(self, timeout: float) -> None:
        """Insert the gathered rows now, and wait at most `timeout` seconds for that.

        Does nothing while a block in doubt is read again: it must be inserted whole.
        """
        if self._pending_end is not None:
            return
        self._hurried = True
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self.drain()
        self._hurried = False

    async def close(self, timeout: float | None) -> None:
        """Insert the gathered rows, if that takes at most `timeout` seconds (None: no limit), and end."""
        self._closing = True
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.wait({self._task})
        self.cancel()
        await asyncio.wait({self._task})

    def cancel(self) -> None:
        """End at once; a block in doubt is left to the next owner of the partition."""
        self._task.cancel()

    def _on_end(self, on_failure: Callable[[BaseException], None]) -> None:
        self._written.set()
        self._sealed.set()  # Nobody makes room any more: wake `_wait_for_room`.
        self._pace.unregister(self)
        budget = self._pace.budget
        budget.unsubscribe(self._changed)
        budget.release(self.buffered_bytes)
        if self._in_flight:
            self._in_flight.abandon()
        self._open_bytes, self._in_flight = 0, None
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            on_failure(error)

    async def _run(self) -> None:
        while await self._wait_until_due():
            if self._in_flight is None and self._pending_bundle:
                self._seal()  # Its bundle may be sent already: no insert slot is needed to find out.
            if self._in_flight is None:
                # A block is sealed only when its insert can begin: until then it gathers more rows.
                async with self._pace.slots:
                    if self._in_flight is None and self._due_in() <= 0:
                        await self._write_open_block()
            if self._in_flight is not None:
                await self._complete(self._in_flight)

    async def _write_open_block(self) -> None:
        """Insert the open block, alone or together with small blocks of other partitions."""
        shares = self._can_share()
        self._pace.note_insert(self.group if shares else self.partition, loop_time())
        if shares and (along := self._companions()):
            sealed = [writer._seal() for writer in (self, *along)]
            # The shipment goes on when this partition is given up: it has blocks of others.
            sending = self._bundles.ship(sealed, self._pace)
            await self._retry.wait_through(sealed[0].retry, shared_result(sending))
            return
        alone = self._seal()
        is_begun = await self._retry.forever(
            lambda: try_to_begin(self._ledgers, alone), "begin a block", **_place(alone.block)
        )
        if is_begun:
            await self._insert(alone)
        alone.resolve(is_begun)

    def _companions(self) -> list[BlockWriter]:
        """Return writers whose open blocks can be inserted together with this one, the oldest first."""
        others = [one for one in self._pace.writers(self.group) if one is not self and one._can_share()]
        rows, size, along = self._open.rows, self._open_bytes, list[BlockWriter]()
        for one in sorted(others, key=lambda one: one._opened_at):
            rows, size = rows + one._open.rows, size + one._open_bytes
            if rows > self._max_rows or size > SHARED_BYTES:
                break
            along.append(one)
        return along

    def _can_share(self) -> bool:
        """Say whether the open block may be inserted together with others."""
        few = 0 < self._open.rows < SHARED_ROWS and self._open_bytes < SHARED_BYTES
        return few and self._in_flight is None and self._pending_end is None and not self._task.done()

    def _seal(self) -> InFlightBlock:
        """Close the open block, make it the one in flight, and open the next one."""
        block, end = self._open, self._open.end
        self._in_flight = InFlightBlock(
            block,
            self._from_mark,
            self._open_bytes,
            self._opened_at,
            self._batch_links,
            self._retry,
            self._landed,
            self._pending_bundle,
        )
        self._open = replace(block, start=end, end=end, landed=end, rows=0, chunks=[])
        self._batch_links, self._open_bytes, self._pending_end, self._pending_bundle = [], 0, None, ""
        self._sealed.set()
        self._changed.set()
        return self._in_flight

    async def _complete(self, sealed: InFlightBlock) -> None:
        """Wait until the block in flight is inserted; insert it alone if its bundle is not sent with it."""
        if sealed.pending_bundle:
            sent = await self._send_again(sealed.pending_bundle)
            is_in = bool(sent)
            if is_in:
                self._landed.note(sealed.block.landed)
                await self._finish(sealed)
                await self._bundles.drop_if_finished(sealed.pending_bundle, sent)
        else:
            is_in = await self._retry.wait_through(sealed.retry, sealed.stored)
        if not is_in:
            # While inserts are held, wait here, without a slot.
            await self._retry.forever(
                lambda: begin(self._ledgers, sealed), "begin a block", **_place(sealed.block)
            )
            async with self._pace.slots:
                await self._insert(sealed, waited=True)
        block = sealed.block
        block.chunks.clear()
        self._pace.budget.release(sealed.size)
        self._in_flight = None
        self.stored_to = self.done_to = block.end
        self._from_mark = block.mark
        self._written.set()
        self._retry.log.debug("stored", rows=block.rows, offset_from=block.start, offset_to=block.end)

    async def _send_again(self, bundle: str) -> tuple[BlockId, ...]:
        """Send the bundle of a block in doubt again; return its blocks, none if it must not be sent."""
        send = while_owned(lambda: self._bundles.send_again(bundle), [self._landed])
        return await self._retry.forever(send, "send a bundle again")

    async def _insert(self, sealed: InFlightBlock, *, waited: bool = False) -> None:
        """Insert one block that was begun in the ledger, a while ago if it `waited`."""
        block = sealed.block
        if block.rows:
            began = loop_time()
            with traces.span("insert block", sealed.batches, token=block.token, rows=block.rows):
                write = while_owned(lambda: self._sink.write(block), [self._landed], waited)
                await self._retry.forever(write, "insert a block", **_place(block))
            self._landed.note(block.landed)
            record_insert([sealed], began, self._pace)
        await self._finish(sealed)

    async def _finish(self, sealed: InFlightBlock) -> None:
        """Record in the ledger that a block is inserted."""
        await self._retry.forever(
            lambda: self._ledgers.finish(sealed.block, self._landed.epoch),
            "finish a block",
            **_place(sealed.block),
        )

    def _due_in(self) -> float:
        """Return in how many seconds the open block should be inserted; infinity while it need not be."""
        block, pace = self._open, self._pace
        if self._pending_end is not None:
            return 0.0 if block.end == self._pending_end else inf
        if block.start == block.end:
            return inf
        if self._closing or self._hurried or block.rows >= self._max_rows:
            return 0.0
        if block.rows and pace.budget.is_exhausted:
            return 0.0
        rows = pace.buffered_rows(self.group) if self._can_share() else block.rows
        return self._opened_at + pace.linger(loop_time(), rows, behind=self._behind) - loop_time()

    async def _wait_until_due(self) -> bool:
        """Wait until a block is due or in flight; return False when the writer is closing and has no rows."""
        while self._in_flight is None:
            self._changed.clear()
            wait = self._due_in()
            if wait <= 0:
                return True
            if self._closing and wait == inf:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait == inf else wait):
                    await self._changed.wait()
        return True


def _place(block: Block) -> dict[str, int]:
    """Return a block's offsets, as fields for the log."""
    return {"offset_from": block.start, "offset_to": block.end}
