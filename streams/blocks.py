"""Blocks: rows of one partition gather until they are worth an insert, and are inserted in order.

A block is begun in the ledger before it is inserted and finished there after it, so whoever comes next
knows which block may or may not be in, and inserts exactly that one again. Blocks with few rows take those of
other partitions along (`streams.bundles`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf

from opentelemetry.trace import Link

from sinks.base import Block, BlockSink, Encoded, LedgerStore, Partition
from sinks.single_flight import outcome
from streams.bundles import Bundles, InHand, tell_inserted, try_to_begin
from streams.domain import traces
from streams.pace import SHARED_ROWS, Group, Pace
from streams.retry import Retry


class BlockWriter:
    """Gathers and writes the blocks of one partition."""

    def __init__(
        self,
        empty: Block,
        epoch: int,
        *,
        sink: BlockSink,
        ledgers: LedgerStore,
        bundles: Bundles,
        pace: Pace,
        retry: Retry,
        max_rows: int,
        exact_end: int | None,
        doubt: str,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Begin after the last block.

        Args:
            empty: a block without rows whose start, end and mark are the cursor's.
            epoch: the partition's, as claimed.
            sink: where blocks go.
            ledgers: where they are announced.
            bundles: sends those that go together.
            pace: shared by the partitions of a worker.
            retry: repeats what may pass.
            max_rows: rows that make a block full; twice that stops the partition.
            exact_end: the first block must end there: it is one whose insert is in doubt.
            doubt: the bundle that this one went with; empty if it went alone.
            on_failure: told of what ends the writer.
        """
        self._open = empty
        #: Fingerprint of the record before the next block.
        self._before = empty.mark
        self._epoch = epoch
        self._sink, self._ledgers, self._bundles = sink, ledgers, bundles
        self._pace, self._retry = pace, retry
        self._max_rows = max_rows
        self._exact_end, self._doubt = exact_end, doubt
        self._opened_at = 0.0
        #: Bytes of rows in the open block.
        self._gathered = 0
        #: The block that is being written.
        self._in_hand: InHand | None = None
        self._changed = asyncio.Event()
        pace.budget.watch(self._changed)
        self._taken = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = False
        self._behind = False
        #: Traces of the batches whose rows gather.
        self._batches: list[Link] = []
        #: Every record before this offset is in ClickHouse.
        self.stored_to = empty.end
        pace.join(self)
        self._task = asyncio.create_task(self._run(), name=f"blocks {empty.partition}")
        self._task.add_done_callback(lambda _: self._ended(on_failure))

    @property
    def end(self) -> int:
        """Offset after the last record that was added."""
        return self._open.end

    @property
    def exact_end(self) -> int | None:
        """Where the block in doubt ends, while it gathers."""
        return self._exact_end

    @property
    def partition(self) -> Partition:
        """Whose rows these are."""
        return self._open.partition

    @property
    def group(self) -> Group:
        """Table and shard: blocks of the same can go together."""
        return self._open.table, self._open.shard

    @property
    def waiting_rows(self) -> int:
        """Rows gathered and not yet taken up."""
        return self._open.rows

    def note_waiting(self, records: int) -> None:
        """Take note of how many records Kafka has behind those that were added or will be next."""
        self._behind = self._pace.is_behind(self.partition, records, self._max_rows)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of those rows, and of those on their way to ClickHouse."""
        return self._gathered + (self._in_hand.size if self._in_hand else 0)

    async def add(self, chunks: list[Encoded], rows: int, landed: int, end: int, mark: str) -> None:
        """Add the encoded rows of the records up to `end`; waits while the store is far behind.

        `landed` is the offset after the last row, of any value when there are no rows.
        """
        await self._room()
        if self._task.done():
            return  # Nobody would write it, nor give back the memory that it takes.
        block = self._open
        self._batches += traces.here()
        if block.start == block.end:
            self._opened_at = _now()
        block.chunks.extend(chunks)
        size = sum(chunk.size for chunk in chunks)
        self._gathered += size
        self._pace.budget.take(size)
        self._open = replace(
            block, end=end, mark=mark, rows=block.rows + rows, landed=landed if rows else block.landed
        )
        self._changed.set()

    async def _room(self) -> None:
        """Wait until there is room: in the open block, and in what the worker may hold in all."""
        budget = self._pace.budget
        while not self._task.done():
            if self._is_full():
                self._taken.clear()
                await self._retry.until(self._taken.wait())
            elif budget.is_spent and self._exact_end is None:
                # A block in doubt is exempt: it is written whole or not at all, and must not wait for
                # others that wait for it.
                await self._retry.until(budget.room())
            else:
                return

    def _is_full(self) -> bool:
        if self._exact_end is not None:
            return self._open.end == self._exact_end  # However many rows: it must end there.
        return self._open.rows >= 2 * self._max_rows

    async def settle(self) -> None:
        """Wait until all that was added is in ClickHouse; nothing may be added meanwhile."""
        while self.stored_to < self.end and not self._task.done():
            self._written.clear()
            await self._written.wait()

    async def give_up_exactness(self, start: int) -> bool:
        """Go on at `start`: the records of the block in doubt are gone from Kafka.

        Returns whether all its rows are in nevertheless, from the bundle that it went with.
        """
        doubt, self._exact_end, self._doubt = self._doubt, None, ""
        is_in = bool(doubt) and await self._send_again(doubt)
        block = self._open
        if is_in:
            self._pace.budget.give(self._gathered)
            self._gathered = 0
        if is_in or block.start == block.end:
            self._open = replace(block, start=start, end=start, landed=start, rows=0, chunks=[])
        return is_in

    async def close(self, timeout: float | None) -> None:
        """Write what has gathered, if the stores take it within `timeout` seconds (None: ever), and end."""
        self._closing = True
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.wait({self._task})
        self.cancel()
        await asyncio.wait({self._task})

    def cancel(self) -> None:
        """End at once; a block in doubt is left to whoever takes the partition over."""
        self._task.cancel()

    def _ended(self, on_failure: Callable[[BaseException], None]) -> None:
        self._written.set()
        self._taken.set()  # Nobody makes room any more: let go of who waits for it.
        self._pace.leave(self)
        budget = self._pace.budget
        budget.leave(self._changed)
        budget.give(self.waiting_bytes)
        if self._in_hand:
            self._in_hand.give_up()
        self._gathered, self._in_hand = 0, None
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            on_failure(error)

    async def _run(self) -> None:
        while await self._due():
            if self._in_hand is None and self._doubt:
                self._hold()  # It is in already, or will be by what somebody else began.
            if self._in_hand is None:
                # A block is taken up when its insert can begin: until then it gathers what comes.
                async with self._pace.slots:
                    if self._in_hand is None and self._due_in() <= 0:
                        await self._take_up()
            if self._in_hand is not None:
                await self._see_in(self._in_hand)

    async def _take_up(self) -> None:
        """Take the open block up and insert it, or send it with those of others that have few rows, too."""
        shares = self._may_share()
        self._pace.note(self.group if shares else self.partition, _now())
        if shares and (along := self._others()):
            some = [one._hold() for one in (self, *along)]
            # It goes on when this partition is given up, for it is not this one's alone.
            sending = self._bundles.ship(some, self._pace)
            await self._retry.along(some[0].retry, outcome(sending))
            return
        alone = self._hold()
        is_begun = await self._retry.forever(
            lambda: try_to_begin(self._ledgers, alone), "begin a block", **_place(alone.block)
        )
        if is_begun:
            await self._insert(alone)
        alone.tell(is_begun)

    def _others(self) -> list[BlockWriter]:
        """Return who has rows that can go along, those who wait the longest first."""
        others = [one for one in self._pace.writers(self.group) if one is not self and one._may_share()]
        rows, along = self._open.rows, list[BlockWriter]()
        for one in sorted(others, key=lambda one: one._opened_at):
            rows += one._open.rows
            if rows > self._max_rows:
                break
            along.append(one)
        return along

    def _may_share(self) -> bool:
        """Say whether the open block may go with others."""
        few = 0 < self._open.rows < SHARED_ROWS
        return few and self._in_hand is None and self._exact_end is None and not self._task.done()

    def _hold(self) -> InHand:
        """Close the open block and begin another one."""
        block, end = self._open, self._open.end
        self._in_hand = InHand(
            block,
            self._epoch,
            self._before,
            self._gathered,
            self._opened_at,
            self._batches,
            self._retry,
            self._doubt,
        )
        self._open = replace(block, start=end, end=end, landed=end, rows=0, chunks=[])
        self._batches, self._gathered, self._exact_end, self._doubt = [], 0, None, ""
        self._taken.set()
        self._changed.set()
        return self._in_hand

    async def _see_in(self, held: InHand) -> None:
        """See to it that a block is in which was taken up: where its bundle goes without it, alone."""
        if held.doubt:
            is_in = await self._send_again(held.doubt)
            if is_in:
                await self._finish(held)
        else:
            is_in = await self._retry.along(held.retry, held.stored)
        if not is_in:
            # Where inserts are held it waits for that here, in no slot.
            await self._retry.forever(
                lambda: self._ledgers.begin(held.block, held.epoch, held.from_mark),
                "begin a block",
                **_place(held.block),
            )
            async with self._pace.slots:
                await self._insert(held)
        block = held.block
        block.chunks.clear()
        self._pace.budget.give(held.size)
        self._in_hand = None
        self.stored_to = block.end
        self._before = block.mark
        self._written.set()
        self._retry.log.debug("stored", rows=block.rows, offset_from=block.start, offset_to=block.end)

    async def _send_again(self, doubt: str) -> bool:
        """Send the bundle again in which a block is in doubt; return False if it is sent no more."""
        return await self._retry.forever(lambda: self._bundles.send_again(doubt), "send a bundle again")

    async def _insert(self, held: InHand) -> None:
        """Insert a block alone that was begun."""
        block = held.block
        if block.rows:
            began = _now()
            with traces.span("insert block", held.batches, token=block.token, rows=block.rows):
                await self._retry.forever(lambda: self._sink.write(block), "insert a block", **_place(block))
            tell_inserted([held], began, self._pace)
        await self._finish(held)

    async def _finish(self, held: InHand) -> None:
        """Write down that a block is in."""
        await self._retry.forever(
            lambda: self._ledgers.finish(held.block, held.epoch), "finish a block", **_place(held.block)
        )

    def _due_in(self) -> float:
        """Return in how many seconds the open block should be written, infinity while nobody knows."""
        block, pace = self._open, self._pace
        if self._exact_end is not None:
            return 0.0 if block.end == self._exact_end else inf
        if block.start == block.end:
            return inf
        if self._closing or block.rows >= self._max_rows or (block.rows and pace.budget.is_spent):
            return 0.0
        rows = pace.rows(self.group) if self._may_share() else block.rows
        return self._opened_at + pace.linger(_now(), rows, behind=self._behind) - _now()

    async def _due(self) -> bool:
        """Wait until a block should be written, or another took it up; False when nothing is left to do."""
        while self._in_hand is None:
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
    """Say for the log which records a block has."""
    return {"offset_from": block.start, "offset_to": block.end}


def _now() -> float:
    return asyncio.get_running_loop().time()
