"""Bundles: blocks of several partitions in one insert.

An insert costs ClickHouse as much as thousands of rows in it, so blocks with few rows go together. Each must
still be in once, whoever has its partition next, and that may be another worker for each of them:

1. every block is begun in its partition's ledger, which names the bundle;
2. the bundle is committed: one step in Redis decides that it is sent, and keeps its bytes;
3. the insert is made, under the bundle's name;
4. every block is finished in its ledger, and then the bundle is forgotten.

Who takes a partition over whose newest block went with a bundle settles that (`streams.takeover`): if it was
not committed yet it never is, and the block's records are read again; if it was, its bytes are sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Final
from uuid import uuid4

from opentelemetry.trace import Link

from sinks.base import Block, BlockSink, Bundle, BundleStore, Held, LedgerStore, Unavailable
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
    #: Of the bundle that it goes with: True once it is in, False when it must go alone; raises why its
    #: partition cannot go on. Its owner cancels it when it gives the partition up.
    stored: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, stored: bool) -> None:
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


class Shipment:
    """One bundle on its way, in a task of its own: partitions come and go meanwhile."""

    #: The loop itself holds its tasks weakly.
    _under_way: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(
        self,
        held: Sequence[InHand],
        *,
        ledgers: LedgerStore,
        bundles: BundleStore,
        sink: BlockSink,
        pace: Pace,
    ) -> None:
        """Prepare to send blocks of one group together."""
        self._held = held
        self._ledgers, self._bundles, self._sink, self._pace = ledgers, bundles, sink, pace
        self._turns = asyncio.Semaphore(_LEDGERS_AT_ONCE)
        self.name = f"bundle/{uuid4().hex}"
        #: Repeats what may pass for as long as one of the partitions is held.
        self.retry = Retry(topic=held[0].block.partition.topic, bundle=self.name)

    def start(self) -> asyncio.Task[None]:
        """Send them; every owner is told what became of its block."""
        for each in self._held:
            each.stored.add_done_callback(lambda _: self._release_if_left())
        task = asyncio.create_task(self._run(), name=self.name)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def _release_if_left(self) -> None:
        if all(each.stored.cancelled() for each in self._held):
            self.retry.release()

    async def _run(self) -> None:
        try:
            await self._send()
        except Released:
            pass  # Every partition was given up; their heirs know what to do.
        except Exception as error:
            for each in self._held:
                each.fail(error)

    async def _send(self) -> None:
        begun = await self._begin()
        if len(begun) < 2:
            self._decline(begun)
            return
        blocks = [each.block for each in begun]
        if sum(each.size for each in begun) > _MANY_BYTES:
            packed = await asyncio.to_thread(self._sink.pack, blocks)
        else:
            packed = self._sink.pack(blocks)
        bundle = Bundle(tuple(block.token for block in blocks), packed)
        if not await self.retry.forever(lambda: self._bundles.commit(self.name, bundle), "commit a bundle"):
            self._decline(begun)  # An heir was faster.
            return
        await self._insert(begun, packed)
        if all(await asyncio.gather(*map(self._finish, begun))):
            with suppress(Unavailable):  # It expires.
                await self._bundles.drop(self.name)

    def _decline(self, begun: Sequence[InHand]) -> None:
        """Let blocks go alone: nothing of the bundle was sent, and nothing will be."""
        for each in begun:
            each.settle(False)

    async def _begin(self) -> list[InHand]:
        """Begin each block; return those that are."""
        begun = await asyncio.gather(*map(self._is_begun, self._held))
        return [each for each, is_begun in zip(self._held, begun, strict=True) if is_begun]

    async def _is_begun(self, each: InHand) -> bool:
        async def begin() -> bool:
            try:
                await self._ledgers.begin(each.block, each.epoch, each.from_mark, self.name)
            except Held:
                return False  # Its holder waits for those that have begun: they must not wait for it.
            return True

        try:
            async with self._turns:
                is_begun = await self.retry.forever(begin, "begin a block")
        except Exception as error:
            each.fail(error)
            return False
        if not is_begun:
            each.settle(False)
        return is_begun

    async def _insert(self, begun: Sequence[InHand], packed: bytes) -> None:
        rows = sum(each.block.rows for each in begun)
        links = [link for each in begun for link in each.batches]
        began = _now()
        with traces.span("insert blocks", links, token=self.name, rows=rows, blocks=len(begun)):
            await self.retry.forever(lambda: self._sink.send(self.name, packed), "insert blocks")
        tell_inserted(begun, began, self._pace)

    async def _finish(self, each: InHand) -> bool:
        """Write down that a block is in, for its owner if there still is one; say whether that was done."""
        if each.stored.done():
            return False
        try:
            async with self._turns:
                await self.retry.forever(
                    lambda: self._ledgers.finish(each.block, each.epoch), "finish a block"
                )
        except Exception as error:
            each.fail(error)
            return False
        each.settle(True)
        return True


def tell_inserted(held: Sequence[InHand], began: float, pace: Pace) -> None:
    """Take note of an insert that is done, for metrics and pace; `began` is the loop's time."""
    topic, now = held[0].block.partition.topic, _now()
    pace.took(now - began)
    METRICS.insert_seconds.labels(topic).observe(now - began)
    METRICS.insert_rows.labels(topic).observe(sum(each.block.rows for each in held))
    METRICS.inserted_bytes.labels(topic).inc(sum(each.size for each in held))
    for each in held:
        METRICS.row_wait_seconds.labels(topic).observe(now - each.opened_at)


def _now() -> float:
    return asyncio.get_running_loop().time()
