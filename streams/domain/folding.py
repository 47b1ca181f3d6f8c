"""Folders: one for each topic; they turn arrivals, and the state before them, into rows.

A folder returns the keys that must be looked up (`unknown`), is given their rows from the raw table
(`learn`), and then folds. Folding is a function of the arrivals and the state before them, so a replay from
the same offset gives the same rows, however it is cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from sys import intern
from typing import Any, Protocol

from msgspec import Struct

from streams.domain.aggregate import Live, fold_playback
from streams.domain.arrivals import Arrival, Decoder, Record, Rejected, to_arrivals
from streams.domain.events import Playback, PlaybackEvent
from streams.domain.generations import Generations, Key
from streams.domain.rows import PlaybackRow, Row
from streams.domain.views import ViewState, advance, restore


class Folded(Struct, gc=False):
    """The result of folding arrivals: rows, and how many were repeated or late."""

    rows: list[Any]
    repeated: int = 0
    late: int = 0


class Place(Struct, frozen=True):
    """The log, topic and partition that a folder works for."""

    log: str
    topic: str
    partition: int


class Folder(Protocol):
    """Turns the arrivals of one partition into rows. One instance per partition."""

    #: For look-ups: the raw table, and the two columns of a key.
    table: str
    key_columns: tuple[str, str]
    row: type[Row]
    place: Place

    @property
    def memory(self) -> Generations[Any] | None:
        """The keys in memory; None for a topic without repeats to drop."""

    def decode(
        self, records: Sequence[Record], retention_ms: int
    ) -> tuple[list[Arrival[Any]], list[Rejected]]:
        """Decode records into arrivals, and rejected records with the reason."""

    def unknown(self, arrivals: Iterable[Arrival[Any]]) -> set[Key]:
        """Return the keys whose history must be learned before these arrivals can be folded."""

    def learn(self, keys: Iterable[Key], rows: Iterable[Any]) -> None:
        """Add the raw table's rows of the keys to memory; rows are in the order they were accepted."""

    def fold(self, arrivals: Sequence[Arrival[Any]]) -> Folded:
        """Fold arrivals, all of whose keys are known, into rows."""

    def count_live(self, rows: Iterable[Any], since: int, onto: Live) -> None:
        """Add rows to increments of the live window, from a minute (since the epoch) on."""


class PlaybackFolder:
    """Views: totals to deltas, repeats by sequence number."""

    table = "playback_events"
    key_columns = ("video_id", "view_id")
    row: type[Row] = PlaybackRow
    decoder: Decoder[Playback] = Decoder(PlaybackEvent)

    def __init__(
        self, place: Place, memory: Generations[ViewState], catalog: Callable[[str], int] = lambda _: 0
    ) -> None:
        """Fold for a place; `catalog` gives a video's length in milliseconds, 0 when unknown."""
        self.place = place
        self.memory = memory
        self._catalog = catalog

    def decode(
        self, records: Sequence[Record], retention_ms: int
    ) -> tuple[list[Arrival[Playback]], list[Rejected]]:
        """Decode playback records."""
        return to_arrivals(records, self.decoder.decode(records), retention_ms)

    def unknown(self, arrivals: Iterable[Arrival[Playback]]) -> set[Key]:
        """Return views that are not in memory and may have been stored before; new ones are put there."""
        memory = self.memory
        recent, get, complete = memory.recent, memory.get, memory.complete
        missing: set[Key] = set()
        for arrival in arrivals:
            event = arrival.event
            key = (event.video_id, event.view_id)
            state = recent(key) or get(key)
            if state is None and key not in missing:
                # Views of a video share one copy of its id: dictionary look-ups are bound by memory access.
                key = (intern(event.video_id), event.view_id)
                if (event.seq and not complete) or memory.may_have_seen(arrival.claimed_at, arrival.ahead_at):
                    missing.add(key)
                else:
                    state = ViewState()
                    memory.put(key, state)
            arrival.known = state
        return missing

    def learn(self, keys: Iterable[Key], rows: Iterable[PlaybackRow]) -> None:
        """Rebuild the states of views from their rows."""
        states = {key: ViewState() for key in keys}
        for row in rows:
            restore(states[row.video_id, row.view_id], row)
        for key, state in states.items():
            self.memory.put(key, state)

    def fold(self, arrivals: Sequence[Arrival[Playback]]) -> Folded:
        """Fold playback arrivals into rows with their deltas."""
        log, topic, partition = self.place.log, self.place.topic, self.place.partition
        get, observe, catalog = self.memory.get, self.memory.observe, self._catalog
        folded = Folded([])
        append = folded.rows.append
        for arrival in arrivals:
            event = arrival.event
            state = arrival.known or get((event.video_id, event.view_id))
            if state is None:
                raise LookupError(f"view {event.view_id!r} was folded before it was looked up")
            verdict = state.admit(event.seq)
            if verdict == "new":
                observe(arrival.claimed_at, arrival.ahead_at)
                length = 0 if state.duration_ms else catalog(event.video_id)
                append(advance(state, arrival, log, topic, partition, length))
            elif verdict == "repeat":
                folded.repeated += 1
            else:
                folded.late += 1
        return folded

    def count_live(self, rows: Iterable[PlaybackRow], since: int, onto: Live) -> None:
        """Add rows to increments of the live window."""
        fold_playback(rows, since, onto)
