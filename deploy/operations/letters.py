"""Dead letters as stored in their topic, and the choice of those to send again. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sys import intern
from typing import Any, Final

from streams.dead_letter import REPLAYED_FROM, REPLAYS, is_count
from streams.domain.arrivals import Record
from streams.domain.events import LATEST_MS
from streams.domain.faults import UNREADABLE

#: Header of a marker, a record that lists the letters of its partition that were sent again.
MARKER: Final = "replayed"
#: Cluster, topic, partition and offset of the record that became a letter.
Origin = tuple[str, str, int, int]
#: Epoch ms, far beyond what the worker accepts; producers may have sent any 64 bits, and differences of two
#: timestamps must fit in them.
_LATEST_TIMESTAMP: Final = 2**53


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter, without its value: there may be millions, so what many have alike is kept once."""

    #: Position of the letter in the dead-letter topic.
    partition: int
    offset: int
    origin: Origin
    error: str
    reason: str
    #: Timestamp of the rejected record: epoch ms, within what a client can send.
    timestamp: int
    #: How often the record was sent again before.
    replays: int
    truncated: bool

    @property
    def at(self) -> datetime:
        """Timestamp of the rejected record; a later one than events may have is shown as the latest."""
        return datetime.fromtimestamp(min(self.timestamp, LATEST_MS) / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter for letters; empty conditions match all."""

    topics: Sequence[str] = ()
    errors: Sequence[str] = ()
    reason: str = ""
    since: datetime | None = None
    until: datetime | None = None
    #: Whether to include letters that were rejected again after they were sent again.
    again: bool = False

    def matches(self, letter: Letter) -> bool:
        """Return whether a letter matches the filter."""
        return (
            (not self.topics or letter.origin[1] in self.topics)
            and (not self.errors or letter.error in self.errors)
            and self.reason in letter.reason
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


def read_letter(partition: int, record: Record) -> Letter | None:
    """Return a record of the dead-letter topic as a letter; None if it is not a letter."""
    headers = {name: value or b"" for name, value in record.headers}
    # What the record's producer chose may be anything.
    replays = headers.get(REPLAYS, b"")
    try:
        cluster, topic = (intern(headers[f"source-{name}"].decode()) for name in ("cluster", "topic"))
        number, offset = (int(headers[f"source-{name}"]) for name in ("partition", "offset"))
        # Letters of versions that did not send this header have their record's timestamp.
        timestamp = int(headers.get("source-timestamp", record.timestamp))
    except (KeyError, ValueError):
        return None
    return Letter(
        partition,
        record.offset,
        (cluster, topic, number, offset),
        intern(headers.get("error", b"").decode(errors="replace")),
        intern(headers.get("reason", b"").decode(errors="replace")),
        min(max(0, timestamp), _LATEST_TIMESTAMP),
        int(replays) if is_count(replays) else 0,
        "truncated-from" in headers,
    )


def marker(offsets: Iterable[int]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return value and headers of a marker: a record that lists the letters of its partition sent again."""
    return json.dumps({"offsets": sorted(offsets)}).encode(), [(MARKER, b"1")]


def read_marker(record: Record) -> list[int]:
    """Return the offsets that a marker lists; none for other records."""
    if MARKER not in dict(record.headers):
        return []
    told: Any = json.loads(record.value or b"{}")
    return [int(offset) for offset in told.get("offsets", ())]


def headers_again(letter: Letter, topic: str) -> list[tuple[str, bytes]]:
    """Return the headers of a record that is sent again from a letter of the dead-letter topic."""
    return [
        (REPLAYS, str(letter.replays + 1).encode()),
        (REPLAYED_FROM, f"{topic}/{letter.partition}/{letter.offset}".encode()),
    ]


#: Groups that are shown: reasons may quote the input, so that there may be as many as letters.
MOST_GROUPS: Final = 100


@dataclass(slots=True)
class Plan:
    """The letters to send again, and those left out, with reasons."""

    send: list[Letter] = field(default_factory=list)
    #: Letters that match and are left out, by reason.
    left_out: Counter[str] = field(default_factory=Counter)

    def table(self) -> list[tuple[str, str, str, int, datetime, datetime]]:
        """Return topic, error, reason, count, first and last time, of what is to be sent, most first.

        All groups beyond the first hundred are one, at the end, with empty texts.
        """
        groups: dict[tuple[str, str, str], list[Letter]] = {}
        for letter in self.send:
            groups.setdefault((letter.origin[1], letter.error, letter.reason), []).append(letter)
        rows = [
            (*key, len(some), min(each.at for each in some), max(each.at for each in some))
            for key, some in groups.items()
        ]
        rows.sort(key=lambda row: (-row[3], row[:3]))
        if rest := rows[MOST_GROUPS:]:
            times = [row[4] for row in rest], [row[5] for row in rest]
            rows[MOST_GROUPS:] = [("", "", "", sum(row[3] for row in rest), min(times[0]), max(times[1]))]
        return rows


def plan(
    letters: Iterable[Letter], replayed: set[tuple[int, int]], wanted: Wanted, topics: Sequence[str]
) -> Plan:
    """Decide which letters to send again, each record once.

    Args:
        letters: all that there are, in the order of their partitions.
        replayed: partition and offset of those that markers name.
        wanted: which are asked for.
        topics: where records may be sent.
    """
    every = list(letters)
    seen = {letter.origin for letter in every if (letter.partition, letter.offset) in replayed}
    plan = Plan()
    for letter in every:
        if not wanted.matches(letter):
            continue
        if letter.origin in seen:
            # A crash between letter and ledger produces the same letter twice.
            plan.left_out["already replayed, or a second letter of the same record"] += 1
            continue
        seen.add(letter.origin)
        if letter.replays and not wanted.again:
            plan.left_out["rejected again after a replay: --again sends them once more"] += 1
        elif letter.truncated:
            plan.left_out["too large to be kept whole"] += 1
        elif letter.error == UNREADABLE:
            plan.left_out["batches that cannot be unpacked"] += 1
        elif letter.origin[1] not in topics:
            plan.left_out["from topics that the worker does not read"] += 1
        else:
            plan.send.append(letter)
    return plan
