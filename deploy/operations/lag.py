"""The lag of both stores behind Kafka, computed from Kafka's offsets and the ledgers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deploy.operations.log_ends import LogEnds
from sinks.base import Ledger, Partition


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition: its offsets in Kafka, and the next offset of each store."""

    topic: str
    partition: int
    log_start: int
    log_end: int
    #: Next offset for the live counters in Redis.
    counted: int
    #: Next offset for ClickHouse; a block in doubt does not count as stored.
    stored: int
    #: Age of the oldest record that a store lacks; 0 when there is none.
    seconds: float
    #: Records that retention deleted before a store had them.
    lost: int

    @property
    def records(self) -> int:
        """Records in Kafka that a store lacks."""
        return max(0, self.log_end - max(self.log_start, min(self.counted, self.stored)))

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "records": self.records}


def cursors(ledger: Ledger | None) -> tuple[int, int]:
    """Return the next offset for the live counters and for ClickHouse."""
    if ledger is None:
        return 0, 0
    return ledger.counted or 0, ledger.stored_to or 0


def positions(
    ledgers: Mapping[Partition, Ledger], cluster: str, partitions: Mapping[str, list[int]]
) -> dict[Partition, int]:
    """Return the first offset that a store lacks, of each partition of a cluster's topics."""
    return {
        where: min(cursors(ledgers.get(where)))
        for topic, numbers in partitions.items()
        for where in (Partition(cluster, topic, number) for number in numbers)
    }


def lags(
    ends: Mapping[Partition, LogEnds], ledgers: Mapping[Partition, Ledger], now: float
) -> list[PartitionLag]:
    """Return the lag of each partition, in the order of topics and numbers; `now` in epoch seconds."""
    found = []
    for where, end in sorted(ends.items(), key=lambda each: (each[0].topic, each[0].number)):
        counted, stored = cursors(ledgers.get(where))
        if end.is_another and min(counted, stored) > end.end:
            # Its next worker begins at the start.
            counted = stored = end.start
        # A partition that no worker has read yet begins at the start of its log: nothing of it is lost.
        begun = where in ledgers and not ledgers[where].is_new
        behind = min(counted, stored) < end.end and end.waiting_since is not None
        waited = max(0.0, now - (end.waiting_since or now)) if behind else 0.0
        lost = max(0, end.start - min(counted, stored)) if begun else 0
        found.append(
            PartitionLag(
                where.topic,
                where.number,
                end.start,
                # Kafka was read first, so the stores may already be past its end.
                max(end.end, counted, stored),
                counted,
                stored,
                round(waited, 3),
                lost,
            )
        )
    return found
