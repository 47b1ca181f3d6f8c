"""Recovery: how to resume a partition, decided from its ledger and from the offsets that ClickHouse holds.

Pure. There is one cursor for each store, and each must agree with what its store really has:

- the ledger has the cursor of the live counters (`counted`), the bounds of the block that was begun last, and
  whether that block is in ClickHouse for certain (`done`);
- ClickHouse has the offset after the last row of the log (`landed`).

| ledger | ClickHouse holds rows up to | recovery |
|---|---|---|
| new | no row | start at the beginning of the log |
| has a block | its end, or less if in doubt | go on; a block in doubt, or its bundle, is sent again |
| new, or ends earlier | a later offset | Redis lost data: ClickHouse is right, the live window is rebuilt |
| has a finished block | an earlier offset | ClickHouse lost data: only ClickHouse is replayed |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal
from zlib import crc32

from sinks.base import Ledger, incarnation_of
from streams.domain.arrivals import Record

#: Topic ids that a ledger keeps: a broker that was partitioned away may still report an old one.
_MAX_TOPIC_IDS: Final = 8


def fingerprint(record: Record) -> str:
    """Identify a record's content: its timestamp and a checksum of key and value."""
    return f"{record.timestamp}:{crc32(record.value or b'', crc32(record.key or b'')):08x}"


def both_have(ledger: Ledger) -> int:
    """Return the offset before which both stores have every record for certain."""
    return min(ledger.counted or 0, ledger.stored_to or 0)


def is_behind(found: Ledger, known: Ledger) -> bool:
    """Say whether Redis lost a part of a ledger that it had acknowledged.

    `found` was read after `known` had been acknowledged to its owner. Another owner by now knows itself.
    """
    if found.epoch > known.epoch:
        return False
    before, now = ((each.incarnation, each.generation) for each in (known, found))
    if found.epoch < known.epoch or now < before:
        return True
    return found.incarnation == known.incarnation and (
        (found.counted or 0) < (known.counted or 0) or (found.stored_to or 0) < (known.stored_to or 0)
    )


def time_mark(received_at: int) -> str:
    """Return the beginning of a fingerprint, for a record of which only the time (epoch ms) is known."""
    return f"{received_at}:"


def time_of(mark: str) -> float:
    """Return the record time (epoch s) in a fingerprint; 0 for an empty one."""
    return int(mark.partition(":")[0]) / 1000 if mark else 0.0


def at_newest_incarnation(ledger: Ledger, logs: Iterable[str], cluster: str) -> Ledger:
    """Return the ledger, or an empty one of a newer incarnation if ClickHouse has rows of that.

    Then the topic was created anew, and Redis lost the ledger's update: its cursors are of the log before.

    Args:
        ledger: as `claim` returned it.
        logs: names of all logs that have rows of the partition.
        cluster: id of the partition's Kafka cluster.
    """
    newest = max((incarnation_of(log, cluster) or 0 for log in logs), default=0)
    if newest <= ledger.incarnation:
        return ledger
    return Ledger(ledger.epoch, incarnation=newest, generation=ledger.generation)


def is_bundle_in_doubt(ledger: Ledger, landed: int | None) -> bool:
    """Say whether the newest block went with a bundle and may or may not be in ClickHouse.

    `landed` is as for `plan_recovery`. Where ClickHouse has rows beyond that block, the ledger is outdated.
    """
    return bool(ledger.bundle) and not ledger.done and (landed or 0) <= (ledger.block_to or 0)


def withdrawn(ledger: Ledger) -> Ledger:
    """Return the ledger as it was before its newest block was begun with a bundle."""
    return replace(ledger, done=True, block_to=ledger.block_from, to_mark=ledger.from_mark, bundle="")


#: Which case of the table above a takeover was; also the label of a counter.
RecoveryReason = Literal["new", "resume", "redis-behind", "clickhouse-behind"]


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """How to take a partition over."""

    why: RecoveryReason
    #: The ledger to go on with; `counted` and the block cursors are set.
    ledger: Ledger
    #: Offset of the first record that at least one store lacks.
    position: int
    #: Fingerprint of the record before `position`; empty when it is unknown.
    mark: str
    #: Start and end offset of a begun block whose insert must be repeated with the same bytes; None for none.
    pending_block: tuple[int, int] | None
    #: Whether the ledger must be written before anything else.
    rewrite_ledger: bool = False
    #: Whether the live window must be recounted, under a new generation.
    rebuild_live: bool = False


def plan_recovery(ledger: Ledger, landed: int | None) -> RecoveryPlan:
    """Decide how to take a partition over.

    Args:
        ledger: as `claim` returned it.
        landed: offset after the last row that ClickHouse holds of this log, None for no row.
    """
    block_from, block_to = ledger.block_from or 0, ledger.block_to or 0
    if landed is not None and landed > block_to:
        # Rows beyond every block that the ledger began: it was lost, or restored from an older file.
        fresh = replace(
            ledger,
            counted=landed,
            counted_mark="",
            block_from=landed,
            block_to=landed,
            from_mark="",
            to_mark="",
            done=True,
            landed=landed,
        )
        return RecoveryPlan("redis-behind", fresh, landed, "", None, rewrite_ledger=True, rebuild_live=True)
    if ledger.is_new:
        return RecoveryPlan("new", ledger.with_zeros(), 0, "", None, rewrite_ledger=True)
    counted = ledger.counted or 0
    if (landed or 0) < ledger.landed:
        at = landed or 0
        fresh = replace(ledger, block_from=at, block_to=at, from_mark="", to_mark="", done=True, landed=at)
        return RecoveryPlan("clickhouse-behind", fresh, min(at, counted), "", None, rewrite_ledger=True)
    cursor, mark = (block_to, ledger.to_mark) if ledger.done else (block_from, ledger.from_mark)
    if counted < cursor:
        cursor, mark = counted, ledger.counted_mark
    pending = None if ledger.done else (block_from, block_to)
    return RecoveryPlan("resume", ledger, cursor, mark, pending)


def marks_ahead(plan: RecoveryPlan) -> dict[int, str]:
    """Return fingerprints of records that are read again after the plan's position, by the offset after each.

    A store has everything up to the record. If the log was truncated between the position and the record, and
    filled again, another record is there now.
    """
    ledger = plan.ledger
    known = (
        (ledger.block_from, ledger.from_mark),
        (ledger.block_to, ledger.to_mark),
        (ledger.counted, ledger.counted_mark),
    )
    return {end: mark for end, mark in known if mark and end and end > plan.position}


def next_incarnation(ledger: Ledger, start: int, topic_id: str) -> Ledger:
    """Return the ledger of the next incarnation, with both cursors at the log's first offset.

    `topic_id` is Kafka's id of the log's topic; empty when brokers send none.
    """
    known = ledger.topic_ids
    return replace(
        ledger,
        incarnation=ledger.incarnation + 1,
        counted=start,
        counted_mark="",
        block_from=start,
        block_to=start,
        from_mark="",
        to_mark="",
        done=True,
        landed=0,
        topic_ids=(*(each for each in known if each != topic_id), topic_id)[-_MAX_TOPIC_IDS:]
        if topic_id
        else known,
    )


def is_other_topic(ledger: Ledger, topic_id: str) -> bool:
    """Say whether a topic id is not among the ledger's; an empty (unknown) id never is another one."""
    return bool(topic_id and ledger.topic_ids) and topic_id not in ledger.topic_ids


def is_earlier_topic(ledger: Ledger, topic_id: str) -> bool:
    """Say whether a topic id is that of a topic before: a broker that is isolated still serves that one."""
    return topic_id in ledger.topic_ids[:-1]


def log_mismatch(ledger: Ledger, topic_id: str, known: int, end: int | None) -> str:
    """Return, as text for the log, why this is another log than the ledger's; empty if it may be the same.

    Args:
        ledger: of the log that was read.
        topic_id: Kafka's id of the topic now; empty when it is unknown.
        known: the offset after the last record whose fingerprint is to be compared.
        end: the offset after the log's last record; None if no fingerprint is left to compare.
    """
    if is_other_topic(ledger, topic_id) or is_earlier_topic(ledger, topic_id):
        return f"the topic's id is {topic_id}, and was {ledger.topic_ids[-1]}"
    if end is not None and end < known:
        return "the log ends before the position"
    return ""
