"""Comparisons of data that must agree, from readings of both stores. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sinks.base import Books, Ledger, Partition, Where, log_name
from sinks.clickhouse.audit import Bounds, Difference, Forgotten, Ingested
from sinks.clickhouse.rollups import SUMS
from sinks.redis.window import LiveCounters

#: ClickHouse's own offsets by log, topic and partition.
Booking = Mapping[Where, Ingested]
_SHOWN = 20


@dataclass(slots=True)
class Check:
    """One comparison: the number of compared values, and one line for each difference."""

    name: str
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    #: The data that could not be compared, and why.
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "name": self.name,
            "ok": not self.differences,
            "compared": self.compared,
            "differences": self.differences,
            "notes": self.notes,
        }


def steady(before: Mapping[Partition, Ledger], after: Mapping[Partition, Ledger]) -> set[Partition]:
    """Return the partitions whose block cursors did not move between two readings."""

    def block(ledger: Ledger | None) -> tuple[Any, ...]:
        names = ("epoch", "incarnation", "block_from", "block_to", "done", "landed")
        return tuple(getattr(ledger, name) for name in names) if ledger else ()

    return {where for where, ledger in before.items() if block(after.get(where)) == block(ledger)}


def offsets(where: Partition, ledger: Ledger, booked: Booking) -> list[str]:
    """Compare the ledger's block cursor with ClickHouse's own offsets, for a partition that did not move."""
    log = log_name(where.cluster, ledger.incarnation)
    own = booked.get((log, where.topic, where.number))
    landed = own.next_offset if own else 0
    if ledger.done and landed != ledger.landed:
        return [
            f"{where}: the ledger says that rows are in up to offset {ledger.landed}, ClickHouse has them up"
            f" to {landed}; a worker that takes the partition over puts it right"
        ]
    if not ledger.done and not ledger.landed <= landed <= (ledger.block_to or 0):
        return [
            f"{where}: a block of {ledger.block_from}..{ledger.block_to} is under way, but ClickHouse has"
            f" rows up to {landed}"
        ]
    return []


def balance(where: Partition, ledger: Ledger, books: Books, booked: Booking) -> list[str]:
    """Check that a partition's books add up, and that rows they count as stored are in or on their way."""
    found = []
    fates = books.stored + books.repeated + books.late + books.rejected
    if books.read != fates:
        found.append(
            f"{where}: {books.read} records read, but {fates} accounted for ({books.stored} stored,"
            f" {books.repeated} repeated, {books.late} late, {books.rejected} rejected)"
        )
    # When Redis lost its data, the books start again, and the window gets another generation.
    if ledger.generation == 0:
        rows = sum(
            each.rows
            for (log, topic, number), each in booked.items()
            if (topic, number) == (where.topic, where.number) and log.partition("#")[0] == where.cluster
        )
        waiting = max(0, (ledger.counted or 0) - (ledger.stored_to or 0))
        if not 0 <= books.stored - rows <= waiting:
            found.append(
                f"{where}: {books.stored} records counted as stored, ClickHouse has {rows}, and at most"
                f" {waiting} are on their way"
            )
    return found


def raw_rows(
    booked: Booking,
    found: Mapping[Where, tuple[int, int]],
    topic: str,
    forgotten: Mapping[Where, int],
    *,
    whole: bool,
) -> Check:
    """Compare the rows of a topic's raw table with ClickHouse's books; `whole` when none was aged out.

    `forgotten` are rows that were removed on purpose.
    """
    check = Check(f"raw rows of {topic}")
    removed = 0
    for (log, name, number), own in sorted(booked.items()):
        if name != topic:
            continue
        check.compared += 1
        rows, records = found.get((log, name, number), (0, 0))
        gone = forgotten.get((log, name, number), 0)
        removed += gone
        wanted = own.rows - gone
        where = f"{log}/{name}/{number}"
        if rows != records:
            check.differences.append(f"{where}: {rows} rows of {records} records: some are double")
        elif rows > wanted or (rows < wanted and whole):
            told = f"{own.rows} by ClickHouse's books" + (f", less {gone} forgotten" if gone else "")
            check.differences.append(f"{where}: {rows} rows, but {told}")
    if removed:
        check.notes.append(f"{removed:,} rows that `vca forget` removed are taken for right")
    if not whole:
        check.notes.append("raw rows older than RAW_RETENTION_DAYS are gone, so fewer than booked are right")
    return check


def lasting(readings: Sequence[Mapping[Any, Difference]]) -> tuple[list[Difference], int]:
    """Return the values that differ by the same in every reading, and how many differ by varying amounts.

    The latter are values that were just being updated: a row is in the raw table a moment before it is in
    the roll-up.
    """
    everywhere = set.intersection(*(set(reading) for reading in readings))
    lasts = {key for key in everywhere if len({reading[key].gap for reading in readings}) == 1}
    return [readings[-1][key] for key in sorted(lasts)], len(everywhere - lasts)


def kept_sums(
    differences: Iterable[Difference], forgotten: Forgotten
) -> tuple[list[Difference], list[Difference]]:
    """Tell sums that still have what a forgotten person did from differences that nobody has explained.

    Such a sum is more than raw events say, on a day that `vca forget` touched; a checksum there says nothing.
    """

    def is_kept(each: Difference) -> bool:
        if each.table not in SUMS or each.bucket.date() not in forgotten.days:
            return False
        most = each.raw.upper if isinstance(each.raw, Bounds) else each.raw
        return each.value == "checksum" or bool(each.rolled_up > most)

    every = list(differences)
    return [each for each in every if not is_kept(each)], [each for each in every if is_kept(each)]


def window(where: Partition, read: LiveCounters, recount: LiveCounters) -> list[str]:
    """Compare a partition's live counters with a recount of the raw events before the same offset."""
    found = []
    for what, mine, theirs in (
        ("", read.totals, recount.totals),
        ("views of video ", read.views, recount.views),
    ):
        for minute, name in sorted(mine.keys() | theirs.keys()):
            one, other = mine.get((minute, name), 0), theirs.get((minute, name), 0)
            if one != other:
                found.append(f"{where}: minute {minute}, {what}{name}: {one} in Redis, {other} by raw events")
    return found


def shortened(lines: Iterable[str]) -> list[str]:
    """Return the first lines, and the number of further ones."""
    every = list(lines)
    more = len(every) - _SHOWN
    return every if more <= 0 else [*every[:_SHOWN], f"... and {more} more"]
