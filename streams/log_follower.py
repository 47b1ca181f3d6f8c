"""LogFollower one partition's log: whether what comes is what comes next, and what if the log is another.

A partition's place in its log is in the stores' books, not Kafka's, so nothing that Kafka sends is taken
unseen: it must follow on, and the log must be the one that the books are of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sinks.base import Ledger
from streams.assignment import Assignment, Fetched
from streams.domain.arrivals import Record
from streams.ledger import Plan, another_log, doubt_of, fingerprint, is_other
from streams.metrics import METRICS
from streams.retry import Retry
from streams.seeking import Seeking
from streams.takeover import Taken, TakeOver

#: Generations of recounts lie far above those of take-overs, which are epochs.
_RECOUNT_BITS: Final = 20


class LogFollower:
    """Knows where a partition is in its log, checks what comes of it, and begins another log at its start."""

    #: The partition as it was taken over, and how far it is since; there is none before `take_over`.
    at: Taken

    def __init__(self, assignment: Assignment, retry: Retry) -> None:
        """Prepare; `take_over` begins. `retry` repeats what may pass."""
        self._partition, self._ledgers = assignment.partition, assignment.stores.ledgers
        self._look = assignment.look
        self._retry = retry
        self._taking = TakeOver(assignment, retry)
        self._seeking = Seeking(assignment.seek, lambda: asyncio.get_running_loop().time())
        self._recounts = 0
        #: What was last said against the log being the one that was read.
        self._doubt = ""

    @property
    def is_ready(self) -> bool:
        """Say whether the partition was taken over."""
        return hasattr(self, "at")

    @property
    def next_fetch(self) -> int:
        """Offset to read from: the record before the position comes again, to be compared."""
        return self.at.position - 1 if self.at.mark else self.at.position

    async def take_over(self, topic_id: str) -> None:
        """Claim the partition and put its books in order; see `PartitionWorker.take_over`."""
        plan, landed = await self._taking.decide(topic_id)
        self.at = await self._taking.begin(plan, landed)
        if plan.rebuild:
            await self._taking.count_again(self.at.folding.folder, plan.ledger)
        if plan.restart:
            await self._restart(plan.ledger)

    async def _restart(self, ledger: Ledger) -> None:
        await self._retry.forever(lambda: self._ledgers.restart(self._partition, ledger), "write the ledger")

    async def count_again(self, ledger: Ledger) -> Ledger:
        """Count the live window again; return the ledger with the generation that it is counted under."""
        self._recounts += 1
        # A count that fails half way is never added to: each has a generation of its own.
        again = replace(ledger, generation=(ledger.epoch << _RECOUNT_BITS) + self._recounts)
        await self._taking.count_again(self.at.folding.folder, again)
        return again

    async def due(self, fetched: Fetched) -> Sequence[Record]:
        """Return the batch's records from the position on, none if it is not what must come next."""
        at = self.at
        if fetched.start != self.next_fetch:
            # Fetched before a seek, or what lies between was dropped with a closed stream.
            await self._seeking.dropped(self.next_fetch)
            return ()
        self._seeking.found()
        records = fetched.records
        if not records:
            await self._out_of_range()
            return ()
        if at.mark and records[0].offset < at.position:
            if not fingerprint(records[0]).startswith(at.mark):
                await self._restart_log("the record before the position is another one")
                return ()
            records = records[1:]
        if is_other(at.ledger, fetched.topic_id):
            # Taken now they would come out of order: another log begins at its start, or it is a mistake.
            self._seeking.put_off()
            return ()
        at.mark = ""
        return records

    async def log_end(self) -> int | None:
        """Ask where the log ends; None if the record before the position was seen. Raises `Unavailable`."""
        return (await self._look()).end if self.at.mark else None

    async def compare(self, topic_id: str, end: int | None) -> None:
        """Begin another log if Kafka says twice in a row that this is one.

        A topic that is made again has an id of its own, and no id comes twice: it is another topic if it has
        one that was never heard of. Whatever was read of it in the meantime comes again from its start, and
        is known by its ids. A ledger without any id takes the first that it is told.

        Where ids are not told, and where a log was cut, its end must do. Kafka sends nothing of a log that
        ends one record before the position, so there is nothing to compare, though it may hold all but that
        record. What was read is below the high watermark, and a leader answers a question for the end only
        once its own is at the beginning of its epoch (KIP-207): at or beyond all that any leader before it
        let anybody read. So an end before the position is that of another log, or of one that an unclean
        election cut.

        One doubt is left: a broker that was cut off, knows an old topic, and does not know that it leads no
        more. That is why both are believed only when they are told again, after asking anew who leads. Were
        they wrong then too, records would be read again for nothing, none lost and none counted twice.

        Args:
            topic_id: Kafka's id of the topic now; empty when nobody knows.
            end: what `log_end` returned, maybe a moment ago.
        """
        at = self.at
        await self._seeking.again(self.next_fetch)
        at.ledger = await self._taking.name_log(at.ledger, topic_id)
        doubt = doubt_of(at.ledger, topic_id, at.position, end if at.mark else None)
        if doubt and doubt == self._doubt:
            await self._restart_log(doubt)
            doubt = ""
        self._doubt = doubt

    async def _out_of_range(self) -> None:
        """Deal with a position that Kafka does not have: retention was faster, or the log is another."""
        at = self.at
        start = (await self._retry.forever(self._look, "look at the log")).start
        if start <= self.next_fetch:
            await self._restart_log("it has no such position")
            return
        lost = max(0, start - at.position)
        if lost:
            METRICS.lost.labels(self._partition.topic).inc(lost)
            self._retry.log.error(
                "records lost to retention: the worker was away for longer than the topic keeps them",
                lost=lost,
                offset_from=at.position,
                offset_to=start,
            )
        at.position, at.mark = max(start, at.position), ""
        if at.writer.exact_end is not None and at.writer.end < start:
            place = {"offset_from": at.writer.end, "offset_to": at.writer.exact_end}
            if not await at.writer.give_up_exactness(start):
                self._retry.log.error(
                    "a block in doubt cannot be read again; what landed of it stays", **place
                )
        await self._seeking.go_to(self.next_fetch)

    async def _restart_log(self, why: str) -> None:
        """Begin a new incarnation: the topic was made anew or its log was cut behind the cursor.

        What has gathered is written first: nobody can read it again. Records that were taken before and come
        again are known by their views and event ids. Those that were counted, and are in no block because
        somebody died, are not: so the live window is counted again from ClickHouse.
        """
        before = self.at
        METRICS.replaced.labels(self._partition.topic).inc()
        await self._retry.until(before.writer.close(None))
        seen = await self._retry.forever(self._look, "look at the log")
        ledger = another_log(before.ledger, seen.start, seen.topic_id)
        self._retry.log.error(
            "this is another log than the one that was read before; it is read from its start",
            why=why,
            expected=before.position,
            log_start=seen.start,
            incarnation=ledger.incarnation,
        )
        self.at = await self._taking.begin(Plan("new", ledger, seen.start, "", None), None)
        self.at.ledger = await self._retry.forever(
            lambda: self.count_again(ledger), "count the live window again"
        )
        await self._restart(self.at.ledger)
        await self._seeking.go_to(seen.start)
