"""Inserts: how blocks are begun in their ledgers, sent while their partitions are owned, and recorded.

Blocks that are inserted alone (`streams.blocks`) and in bundles (`streams.bundles`) take the same steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from opentelemetry.trace import Link

from sinks.base import Block, Held, LedgerStore, Unavailable
from streams.landed import Landed, check, still_owned
from streams.loop_time import loop_time
from streams.metrics import METRICS
from streams.pace import Pace
from streams.retry import Retry

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class InFlightBlock:
    """A sealed block on its way to ClickHouse, and a future for its outcome."""

    block: Block
    #: Fingerprint of the record before the block.
    from_mark: str
    #: Bytes of the block's rows.
    size: int
    #: When its first row came (the loop's time).
    opened_at: float
    #: Traces of the batches whose rows are in the block.
    batches: list[Link]
    #: Repeats the operation that the insert waits for.
    retry: Retry
    #: What ClickHouse has of the partition.
    landed: Landed
    #: The bundle that an earlier owner began for it; empty if there is none.
    pending_bundle: str = ""
    #: True once the block is inserted, False when it must be inserted alone; raises the error that stops its
    #: partition. The block's writer cancels it when the partition is given up.
    stored: asyncio.Future[bool] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def resolve(self, stored: bool) -> None:
        """Tell the block's writer whether it is stored, if it still waits."""
        if not self.stored.done():
            self.stored.set_result(stored)

    def fail(self, error: BaseException) -> None:
        """Tell the block's writer, if it still waits, which error stops its partition."""
        if not self.stored.done():
            self.stored.set_exception(error)

    def abandon(self) -> None:
        """Leave the block to the next owner of the partition."""
        if not self.stored.cancel() and not self.stored.cancelled():
            self.stored.exception()  # Retrieved, so that asyncio does not log it as never retrieved.


async def try_to_begin(ledgers: LedgerStore, each: InFlightBlock, bundle: str = "") -> bool:
    """Begin a block in its ledger; return False while inserts are held.

    The holder waits for blocks that have begun, so a shipment with such blocks must not wait for the holder.
    Otherwise raises as `begin` does.
    """
    try:
        await begin(ledgers, each, bundle)
    except Held:
        return False
    return True


async def begin(ledgers: LedgerStore, each: InFlightBlock, bundle: str = "") -> None:
    """Begin a block in its ledger, once ClickHouse was seen to end where the block begins.

    Raises as `LedgerStore.begin` and `Landed.check` do.
    """
    if each.block.rows:
        await each.landed.check()
    await ledgers.begin(each.block, each.landed.epoch, each.from_mark, bundle)
    each.landed.expect(each.block.landed)


def while_owned(
    operation: Callable[[], Awaitable[T]], owned: Sequence[Landed], waited: bool = False
) -> Callable[[], Awaitable[T]]:
    """Return an insert that is not repeated once others own all of the partitions; then it raises `Fenced`.

    If its sender has `waited` since the blocks were begun, that applies to the first attempt as well.

    A worker that sleeps during an insert may wake up after ClickHouse has forgotten the insert's token. Then
    the next owner's insert, under the same token, would not make this one harmless. `owned` are the
    partitions; each attempt also compares them with ClickHouse (see `streams.landed.check`).
    """
    must_check = waited

    async def attempt() -> T:
        nonlocal must_check
        if must_check and all(each.is_certain for each in owned):
            await still_owned(owned)  # Otherwise `check` looks at that, too.
        await check(owned)
        must_check, began = True, loop_time()
        answered = asyncio.get_running_loop().create_future()
        for each in owned:
            each.answered = answered
        try:
            result = await operation()
        except Unavailable:
            for each in owned:
                each.doubt()
            raise
        finally:
            answered.set_result(None)
        for each in owned:
            each.seen(began)
        return result

    return attempt


def record_insert(blocks: Sequence[InFlightBlock], began: float, pace: Pace) -> None:
    """Record a finished insert in the metrics and the pace; `began` is a time of the event loop."""
    topic, now = blocks[0].block.partition.topic, loop_time()
    pace.note_duration(now - began)
    METRICS.insert_seconds.labels(topic).observe(now - began)
    METRICS.insert_rows.labels(topic).observe(sum(each.block.rows for each in blocks))
    METRICS.inserted_bytes.labels(topic).inc(sum(each.size for each in blocks))
    for each in blocks:
        METRICS.row_wait_seconds.labels(topic).observe(now - each.opened_at)
