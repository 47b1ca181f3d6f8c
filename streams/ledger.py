"""Recovery: what to do with a partition, decided from the ledger and ClickHouse's own books.

Pure. Two cursors must be found, one a store, and each must be one that its store will agree with:

- the ledger knows how far the live counters are (`counted`), which block was begun last, and whether it
  is in for certain;
- ClickHouse knows the offset after the last row that it holds of the log.

| ledger | ClickHouse holds rows up to | so |
|---|---|---|
| new | nothing | begin at the start of the log |
| knows a block | its last rows, or some in doubt | go on; the block in doubt, or its bundle, is sent again |
| new, or ends before | further | Redis lost data: ClickHouse is right, the live window is built anew |
| ends | less than what was done | ClickHouse lost data: it alone is replayed |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal
from zlib import crc32

from sinks.base import Ledger, incarnation_of
from streams.domain.arrivals import Record

#: Ids of a topic that are kept: those of topics that a broker may still speak of which was cut off.
_TOPICS_KNOWN: Final = 8


def fingerprint(record: Record) -> str:
    """Identify a record's content: its timestamp and a checksum of key and value."""
    return f"{record.timestamp}:{crc32(record.value or b'', crc32(record.key or b'')):08x}"


def time_mark(received_at: int) -> str:
    """Return what the fingerprint of a record begins with, of which only its time (epoch ms) is known."""
    return f"{received_at}:"


def time_of(mark: str) -> float:
    """Return the time of the record that a fingerprint is of (epoch s); 0 for an empty one."""
    return int(mark.partition(":")[0]) / 1000 if mark else 0.0


def current(ledger: Ledger, logs: Iterable[str], cluster: str) -> Ledger:
    """Return the ledger, or an empty one of a newer incarnation if ClickHouse has rows of such a log.

    A topic was made anew, and Redis lost what it knew of that: its cursors are those of the log before.

    Args:
        ledger: as `claim` returned it.
        logs: names of all logs that have rows of the partition.
        cluster: the partition's.
    """
    newest = max((incarnation_of(log, cluster) or 0 for log in logs), default=0)
    if newest <= ledger.incarnation:
        return ledger
    return Ledger(ledger.epoch, incarnation=newest, generation=ledger.generation)


def in_bundle(ledger: Ledger, landed: int | None) -> bool:
    """Say whether the newest block is in doubt and went with a bundle, of which somebody may know more.

    `landed` is as for `plan`. Where ClickHouse has rows beyond that block, the ledger is an older one.
    """
    return bool(ledger.bundle) and not ledger.done and (landed or 0) <= (ledger.block_to or 0)


def withdrawn(ledger: Ledger) -> Ledger:
    """Return the ledger as it was before its newest block was begun, which went with a bundle."""
    return replace(ledger, done=True, block_to=ledger.block_from, to_mark=ledger.from_mark, bundle="")


#: What a ledger says of a partition that is taken over.
Why = Literal["new", "resume", "redis-behind", "clickhouse-behind"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to take a partition over."""

    why: Why
    #: The ledger to go on with; `counted` and the block cursors are set.
    ledger: Ledger
    #: Offset of the first record that some store lacks.
    position: int
    #: Fingerprint of the record before `position`; empty when it is not known.
    mark: str
    #: A begun block whose insert must be made again as it was, or None.
    pending: tuple[int, int] | None
    #: The ledger must be written before anything else is.
    restart: bool = False
    #: The live window must be built anew under the ledger's generation.
    rebuild: bool = False


def plan(ledger: Ledger, landed: int | None) -> Plan:
    """Decide how to take a partition over.

    Args:
        ledger: as `claim` returned it.
        landed: offset after the last row that ClickHouse holds of this log, None for no row.
    """
    block_from, block_to = ledger.block_from or 0, ledger.block_to or 0
    if landed is not None and landed > block_to:
        # Rows beyond anything the ledger ever began: it was lost, or restored from an older file.
        fresh = replace(
            ledger,
            # A rebuild that a crash cut short must not be added to: no two claims share an epoch.
            generation=ledger.epoch,
            counted=landed,
            counted_mark="",
            block_from=landed,
            block_to=landed,
            from_mark="",
            to_mark="",
            done=True,
            landed=landed,
        )
        return Plan("redis-behind", fresh, landed, "", None, restart=True, rebuild=True)
    if ledger.is_new:
        fresh = replace(ledger, counted=0, block_from=0, block_to=0)
        return Plan("new", fresh, 0, "", None, restart=True)
    counted = ledger.counted or 0
    if (landed or 0) < ledger.landed:
        at = landed or 0
        fresh = replace(ledger, block_from=at, block_to=at, from_mark="", to_mark="", done=True, landed=at)
        return Plan("clickhouse-behind", fresh, min(at, counted), "", None, restart=True)
    cursor, mark = (block_to, ledger.to_mark) if ledger.done else (block_from, ledger.from_mark)
    if counted < cursor:
        cursor, mark = counted, ledger.counted_mark
    return Plan("resume", ledger, cursor, mark, None if ledger.done else (block_from, block_to))


def another_log(ledger: Ledger, start: int, topic_id: str) -> Ledger:
    """Return the ledger of the next incarnation, with both cursors at the log's first offset.

    `topic_id` is Kafka's id of the topic that the log is of, empty when Kafka does not tell.
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
        topic_ids=known if topic_id in ("", *known) else (*known, topic_id)[-_TOPICS_KNOWN:],
    )


def is_other(ledger: Ledger, topic_id: str) -> bool:
    """Say whether an id is that of a topic that the ledger never heard of; empty when nobody knows it."""
    return bool(topic_id and ledger.topic_ids) and topic_id not in ledger.topic_ids


def doubt_of(ledger: Ledger, topic_id: str, position: int, end: int | None) -> str:
    """Say, for people, what makes this another log than the ledger's; nothing if it may be the same.

    Args:
        ledger: of the log that was read up to `position`.
        topic_id: Kafka's id of the topic now; empty when nobody knows.
        position: the next offset to read.
        end: the offset after the log's last record; None while the record before `position` was seen.
    """
    if is_other(ledger, topic_id):
        return f"the topic's id is {topic_id}, and was {ledger.topic_ids[-1]}"
    if end is not None and end < position:
        return "it ends before what was read"
    return ""
