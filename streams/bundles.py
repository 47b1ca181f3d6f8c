"""Bundles: blocks of several partitions in one insert.

An insert costs ClickHouse as much as thousands of rows in it, so blocks with few rows go together. Each must
still be in once, whoever has its partition next, and that may be another worker for each of them:

1. every block is begun in its partition's ledger, which names the bundle;
2. the bundle is committed: one step in Redis decides that it is sent, and keeps its bytes;
3. the insert is made, under the bundle's name;
4. every block is finished in its ledger, and then the bundle is forgotten.

Who takes a partition over whose newest block went with a bundle settles that (`streams.takeover`): if it was
not committed yet it never is, and the block is as if it had not been begun; if it was, it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from opentelemetry.trace import Link

from sinks.base import Archive, Block, BlockSink, Bundle, BundleStore, Held, LedgerStore, Unavailable
from sinks.single_flight import SingleFlight
from streams.domain import traces
from streams.metrics import METRICS
from streams.pace import Pace
from streams.retry import Released, Retry

#: Ledgers that are written at a time: a client has so many connections and no more.
_LEDGERS_AT_ONCE: Final = 16
#: Packing more bytes than this is worth a thread: the event loop goes on meanwhile.
_MANY_BYTES: Final = 500_000


@dataclass(slots=True, eq=False)
class InHand:
    """A block that was taken up, and whether it is in."""

    block: Block
    epoch: int
    #: Fingerprint of the record before it.
    from_mark: str
    #: Bytes of its rows.
    size: int
    opened_at: float
    #: Traces of the batches whose rows it has.
    batches: list[Link]
    #: Repeats what its insert is waiting for.
    retry: Retry
    #: The bundle in which somebody else sent it, or was about to; empty if nobody did.
    doubt: str = ""
    #: True once it is in, False when it must go alone; raises why its partition cannot go on. Its owner
    #: cancels it when the partition is given up.
    stored: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def tell(self, stored: bool) -> None:
        """Tell its owner, if there still is one."""
        if not self.stored.done():
            self.stored.set_result(stored)

    def fail(self, error: BaseException) -> None:
        """Tell its owner, if there still is one, why its partition cannot go on."""
        if not self.stored.done():
            self.stored.set_exception(error)

    def give_up(self) -> None:
        """Leave the block to whoever has the partition next."""
        if not self.stored.cancel() and not self.stored.cancelled():
            self.stored.exception()  # Heard, for asyncio would complain that nobody asked.


class Bundles:
    """The bundles of one worker, and those that others left to it."""

    def __init__(self, store: BundleStore, ledgers: LedgerStore, sink: BlockSink, archive: Archive) -> None:
        """Decide in `store`, and send to `sink`."""
        self.store, self.ledgers, self.sink = store, ledgers, sink
        self._archive = archive
        #: The loop itself holds its tasks weakly.
        self._under_way: set[asyncio.Task[None]] = set()
        self._sending = SingleFlight[bool]()

    def ship(self, some: Sequence[InHand], pace: Pace) -> asyncio.Task[None]:
        """Send blocks of one group together, and tell their owners what becomes of them.

        It has a task of its own, which is returned, for it goes on when some of the partitions are given up.
        """
        task = asyncio.create_task(_Shipment(self, some, pace).run(), name="bundle")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def send_again(self, name: str) -> bool:
        """Send a bundle that was committed, or find that it is sent no more; return which.

        What is sent at the same time for several partitions is sent once. Raises `Unavailable`.
        """
        return await self._sending.ask(name, lambda: self._send_again(name))

    async def _send_again(self, name: str) -> bool:
        bundle = await self.store.settle(name)
        if bundle is not None and await self._is_behind(bundle):
            await self.store.revoke(name)
        # Asked again: whoever reads its records once more has revoked it before.
        bundle = await self.store.settle(name)
        if bundle is None:
            return False
        await self.sink.send(name, bundle.packed)
        return True

    async def _is_behind(self, bundle: Bundle) -> bool:
        """Say whether ClickHouse lost rows of one of the partitions, whose owner will read them again.

        Those would be among them that are in the bundle.
        """
        ledgers = [await self.ledgers.look(block.partition) for block in bundle.blocks]
        # Ledgers first: a partition that is at work is further in ClickHouse afterwards, not less far.
        for block, ledger in zip(bundle.blocks, ledgers, strict=True):
            if ledger.incarnation != block.incarnation:
                continue
            where = block.partition
            stored = await self._archive.next_offset(block.log, where.topic, where.number)
            if (stored or 0) < ledger.landed:
                return True
        return False


class _Shipment:
    """One bundle on its way."""

    def __init__(self, bundles: Bundles, some: Sequence[InHand], pace: Pace) -> None:
        self._store, self._ledgers, self._sink = bundles.store, bundles.ledgers, bundles.sink
        self._all, self._pace = some, pace
        self._turns = asyncio.Semaphore(_LEDGERS_AT_ONCE)
        self._name = f"bundle:{uuid4().hex}"
        #: Repeats what may pass for as long as somebody waits for one of the blocks.
        self._retry = Retry(topic=some[0].block.partition.topic, bundle=self._name)
        for each in some:
            each.retry = self._retry
            each.stored.add_done_callback(lambda _: self._release_if_left())

    def _release_if_left(self) -> None:
        if all(each.stored.done() for each in self._all):
            self._retry.release()

    async def run(self) -> None:
        try:
            await self._send()
        except Released:
            pass  # Every partition was given up; their heirs know what to do.
        except Exception as error:
            for each in self._all:
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
            _decline(begun)  # An heir was faster.
            return
        await self._insert(begun, packed)
        if await self._finish(begun):
            with suppress(Unavailable):  # It expires.
                await self._store.drop(self._name)

    async def _begin(self) -> list[InHand]:
        """Begin each block; return those that are."""
        begun = await asyncio.gather(*map(self._is_begun, self._all))
        return [each for each, is_begun in zip(self._all, begun, strict=True) if is_begun]

    async def _is_begun(self, each: InHand) -> bool:
        try:
            async with self._turns:
                is_begun = await self._retry.forever(
                    lambda: try_to_begin(self._ledgers, each, self._name), "begin a block"
                )
        except Exception as error:
            each.fail(error)
            return False
        if not is_begun:
            each.tell(False)
        return is_begun

    async def _insert(self, begun: Sequence[InHand], packed: bytes) -> None:
        rows = sum(each.block.rows for each in begun)
        links = [link for each in begun for link in each.batches]
        began = _now()
        with traces.span("insert blocks", links, token=self._name, rows=rows, blocks=len(begun)):
            await self._retry.forever(lambda: self._sink.send(self._name, packed), "insert blocks")
        tell_inserted(begun, began, self._pace)

    async def _finish(self, begun: Sequence[InHand]) -> bool:
        """Write down that blocks are in whose owners still wait, and tell them; say whether that was all.

        None is told before all are done, so that none goes on while the bundle is in doubt for another.
        """
        finished = await asyncio.gather(*map(self._is_finished, begun))
        for each, is_finished in zip(begun, finished, strict=True):
            if is_finished:
                each.tell(True)
        return all(finished)

    async def _is_finished(self, each: InHand) -> bool:
        if each.stored.done():
            return False
        try:
            async with self._turns:
                await self._retry.forever(
                    lambda: self._ledgers.finish(each.block, each.epoch), "finish a block"
                )
        except Exception as error:
            each.fail(error)
            return False
        return True


async def try_to_begin(ledgers: LedgerStore, each: InHand, bundle: str = "") -> bool:
    """Begin a block; return False while inserts are held.

    Who holds them waits for the blocks that have begun, so nothing that those need may wait for that.
    Raises as `LedgerStore.begin` does otherwise.
    """
    try:
        await ledgers.begin(each.block, each.epoch, each.from_mark, bundle)
    except Held:
        return False
    return True


def _decline(begun: Sequence[InHand]) -> None:
    """Let blocks go alone: nothing of the bundle was sent, and nothing will be."""
    for each in begun:
        each.tell(False)


def tell_inserted(some: Sequence[InHand], began: float, pace: Pace) -> None:
    """Take note of an insert that is done, for metrics and pace; `began` is the loop's time."""
    topic, now = some[0].block.partition.topic, _now()
    pace.took(now - began)
    METRICS.insert_seconds.labels(topic).observe(now - began)
    METRICS.insert_rows.labels(topic).observe(sum(each.block.rows for each in some))
    METRICS.inserted_bytes.labels(topic).inc(sum(each.size for each in some))
    for each in some:
        METRICS.row_wait_seconds.labels(topic).observe(now - each.opened_at)


def _now() -> float:
    return asyncio.get_running_loop().time()
