"""Roll-ups rebuilt from raw events while the pipeline runs.

First, all rows up to the ledgers' offsets are rolled up in new tables beside the old ones, however long that
takes; then the rows that arrived in the meantime, until few are left. Only then are inserts held: running
inserts end, the last rows are rolled up, and the new months replace the old ones. Meanwhile, events wait in
the workers, and live counters continue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from deploy.operations.lag import cursors
from sinks.base import Ledger, Partition, Where, log_name
from sinks.clickhouse.kept import Gap
from sinks.clickhouse.shadow import Shadow
from sinks.redis import keys
from sinks.redis.holds import HoldLost, Holds, Turn, TurnTaken
from sinks.redis.ledger import read_ledgers

#: Maximum number of rows left for the moment in which inserts are held.
_FEW: Final = 20_000
_ROUNDS: Final = 10
#: Maximum time to wait for running inserts to end.
_DRAIN_SECONDS: Final = 30.0
_PAUSE: Final = 0.05
_KEEP_SECONDS: Final = 5.0
#: A rebuild may take this long, and meanwhile ClickHouse deletes raw events that become too old.
_MARGIN: Final = timedelta(days=1)


class RebuildError(Exception):
    """The rebuild cannot continue; the roll-ups are unchanged, unless the message says otherwise."""


class Steps(Protocol):
    """Receiver of the progress."""

    def total(self, rows: int) -> None:
        """Say how many rows there are."""

    def done(self, rows: int) -> None:
        """Say that so many more are rolled up."""

    def say(self, text: str) -> None:
        """Say what is done now."""


def whole_months(
    first: datetime | None, retention_days: int, now: datetime, gaps: Iterable[Gap] = ()
) -> datetime | None:
    """Return the start of the first month whose raw events are complete for a day more; None if all are.

    Raises `RebuildError` when there are no raw events to rebuild from.

    Args:
        first: when the first event occurred that a roll-up knows of, None when there is none.
        retention_days: how long raw events are kept, by the settings.
        now: the present.
        gaps: where raw events are gone. The settings of this machine may not be those of the tables, or may
            have been raised when older events were gone already.
    """
    horizon = now + _MARGIN - timedelta(days=retention_days)
    wider = [gap.whole_from for gap in gaps if gap.until > horizon]
    if first is None or (first >= horizon and not wider):
        return None
    for whole_from in wider:
        if whole_from is None:
            raise RebuildError("A raw table is empty, and roll-ups of its events cannot be rebuilt")
        horizon = max(horizon, whole_from + _MARGIN)
    month = horizon.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return month if month == horizon else (month + timedelta(days=32)).replace(day=1)


def ends_of(ledgers: Mapping[Partition, Ledger]) -> dict[Where, int]:
    """Return the offset up to which ClickHouse certainly has the rows of each partition's current log."""
    return {
        (log_name(where.cluster, ledger.incarnation), where.topic, where.number): cursors(ledger)[1]
        for where, ledger in ledgers.items()
    }


class Rebuild:
    """One rebuild of all roll-ups."""

    def __init__(
        self, redis: Any, shadow: Shadow, cluster: str, steps: Steps, drain: float = _DRAIN_SECONDS
    ) -> None:
        """Rebuild the data of a Kafka cluster's workers; `redis` returns bytes."""
        self._redis, self._shadow, self._cluster, self._steps = redis, shadow, cluster, steps
        holder = f"rebuild {time.time_ns():x}"
        self._turn, self._holds = Turn(redis, keys.REBUILD, holder), Holds(redis, holder)
        self._drain = drain

    async def run(self, since: datetime | None) -> float:
        """Rebuild the months from `since` on, or everything; return how long inserts were held, in seconds.

        Raises `RebuildError`, `HeldByAnother`, `Unavailable`.
        """
        if await self._shadow.is_spread():
            raise RebuildError(
                "The tables are spread over a cluster, which this command does not support. Re-process "
                "into another database instead: docs/runbook.md, Re-process."
            )
        try:
            async with self._turn:
                return await self._run(since)
        except TurnTaken as error:
            raise RebuildError(
                "another `vca rebuild rollups`, or `vca forget --delete`, is running or was killed within the"
                " last minute; nothing was changed: wait for it"
            ) from error
        except HoldLost as error:
            raise RebuildError(
                "this process stood still for a minute, or Redis lost data, and another rebuild may have"
                " begun; nothing was changed: run it again"
            ) from error

    async def _run(self, since: datetime | None) -> float:
        """Do what `run` says, while no other process does."""
        shadow, start = self._shadow, since or datetime(1970, 1, 1, tzinfo=UTC)
        await shadow.create()
        try:
            ends = ends_of(await self._ledgers())
            pieces = await shadow.pieces()
            self._steps.total(sum(piece.rows for piece in pieces))
            for piece in pieces:
                self._steps.say(f"{piece.table} of {piece.month // 100}-{piece.month % 100:02}")
                await self._turn.keep()
                await shadow.fill(piece, ends)
                self._steps.done(piece.rows)
            for _ in range(_ROUNDS):
                self._steps.say("events that arrived meanwhile")
                await self._turn.keep()
                now = ends_of(await self._ledgers())
                ends, few = await self._advance(ends, now)
                if few:
                    break
            await self._turn.keep()
            return await self._switch(ends, start, since)
        finally:
            # In another process' turn, the database is that process'.
            with suppress(TurnTaken, HoldLost):
                await self._turn.keep()
                await shadow.drop()

    async def _ledgers(self) -> dict[Partition, Ledger]:
        """Return all ledgers. Those of other clusters do not move; logs without one are included at once."""
        return {where: ledger for where, (ledger, _) in (await read_ledgers(self._redis)).items()}

    async def _advance(
        self, starts: dict[Where, int], ends: dict[Where, int]
    ) -> tuple[dict[Where, int], bool]:
        """Roll up the rows between; return whether they were few."""
        if strange := sorted(ends.keys() - starts.keys()):
            log, topic, number = strange[0]
            raise RebuildError(
                f"{log}/{topic}/{number} is new since the rebuild began; nothing was changed: run it again"
            )
        await self._shadow.advance(starts, ends)
        return ends, sum(end - starts[where] for where, end in ends.items()) <= _FEW

    async def _switch(self, starts: dict[Where, int], start: datetime, since: datetime | None) -> float:
        partitions = list(await self._ledgers())
        began = time.monotonic()
        await self._holds.take(partitions)
        try:
            self._steps.say("waiting for inserts in progress")
            # What is still in doubt is of a cluster that is no more: nobody will say whether it is in, and if
            # it is, its rows are there.
            drained = await self._drained(partitions)
            ends = ends_of({where: replace(ledger, done=True) for where, ledger in drained.items()})
            self._steps.say("switching over")
            await self._advance(starts, ends)
            if since is not None:
                await self._shadow.copy_old_rows(since)
            await self._holds.keep(partitions)
            kept = time.monotonic()
            for table, partition, filled in await self._shadow.parts(start):
                if time.monotonic() - kept > _KEEP_SECONDS:
                    await self._holds.keep(partitions)
                    kept = time.monotonic()
                await self._shadow.replace_partition(table, partition, filled)
            await self._holds.release(partitions, checked=True)
        except HoldLost as error:
            raise RebuildError(
                f"{error}: rows of that time may be missing in the roll-ups. The raw tables have them: run"
                " this again"
            ) from error
        finally:
            await self._holds.release(partitions, checked=False)
        return time.monotonic() - began

    async def _drained(self, partitions: list[Partition]) -> dict[Partition, Ledger]:
        """Wait until no block of this cluster is being inserted."""
        deadline = time.monotonic() + self._drain
        while True:
            ledgers = await self._ledgers()
            if strange := ledgers.keys() - set(partitions):
                raise RebuildError(f"{min(map(str, strange))} is new; nothing was changed: run it again")
            waiting = sorted(
                str(where)
                for where, ledger in ledgers.items()
                if not ledger.done and where.cluster == self._cluster
            )
            if not waiting:
                return ledgers
            if time.monotonic() > deadline:
                raise RebuildError(
                    f"a block of {waiting[0]} was begun, but no worker ends it; nothing was changed:"
                    " check that workers run and ClickHouse accepts inserts (`vca lag`), then run this again"
                )
            await self._holds.keep(partitions)
            await asyncio.sleep(_PAUSE)
