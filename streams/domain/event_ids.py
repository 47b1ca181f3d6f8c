"""User and system events to rows: repeats are recognized by their event id."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from streams.domain.aggregate import Live, fold_users
from streams.domain.arrivals import Arrival, Decoder, Record, Rejected, to_arrivals
from streams.domain.events import TAGS, System, SystemEvent, User, UserEvent
from streams.domain.folding import Folded, Place
from streams.domain.generations import Generations, Key
from streams.domain.rows import Row, SystemRow, UserRow


class _ByEventId:
    """The common part of both folders: repeats are recognized by their event id."""

    def __init__(self, place: Place, memory: Generations[bool]) -> None:
        self.place = place
        self.memory = memory

    def decode(
        self, records: Sequence[Record], retention_ms: int
    ) -> tuple[list[Arrival[Any]], list[Rejected]]:
        """Decode records of the topic."""
        return to_arrivals(records, self.decoder.decode(records), retention_ms)

    def unknown(self, arrivals: Iterable[Arrival[Any]]) -> set[Key]:
        """Return keys of events that are not in memory and may have been stored before."""
        memory = self.memory
        return {
            key
            for arrival in arrivals
            if memory.get(key := self.key(arrival)) is None
            and memory.may_have_seen(arrival.claimed_at, arrival.ahead_at)
        }

    def learn(self, keys: Iterable[Key], rows: Iterable[Any]) -> None:
        """Remember the events that the raw table has; of `rows` only the key columns are read."""
        first, second = self.key_columns
        for row in rows:
            self.memory.put((getattr(row, first), getattr(row, second)), True)

    def fold(self, arrivals: Sequence[Arrival[Any]]) -> Folded:
        """Return a row for each arrival whose event id is new."""
        memory = self.memory
        folded = Folded([])
        for arrival in arrivals:
            key = self.key(arrival)
            if memory.get(key):
                folded.repeated += 1
                continue
            memory.put(key, True)
            memory.observe(arrival.claimed_at, arrival.ahead_at)
            folded.rows.append(self.make_row(arrival))
        return folded

    def count_live(self, rows: Iterable[Any], since: int, onto: Live) -> None:
        """Add nothing: the live window has no measures of system events."""

    key_columns: tuple[str, str]
    decoder: Decoder[Any]

    def key(self, arrival: Arrival[Any]) -> Key:
        raise NotImplementedError

    def make_row(self, arrival: Arrival[Any]) -> Row:
        raise NotImplementedError


class UserFolder(_ByEventId):
    """User events."""

    table = "user_events"
    key_columns = ("user_id", "event_id")
    row: type[Row] = UserRow
    decoder: Decoder[User] = Decoder(UserEvent)

    def key(self, arrival: Arrival[User]) -> Key:
        """Return (user, event id)."""
        return arrival.user_id, arrival.event.event_id

    def make_row(self, arrival: Arrival[User]) -> UserRow:
        """Return the event's row."""
        event = arrival.event
        return UserRow(
            self.place.log,
            self.place.topic,
            self.place.partition,
            arrival.offset,
            event.event_id,
            TAGS[type(event)],
            arrival.at,
            arrival.received_at,
            arrival.ahead_at,
            event.session_id,
            arrival.user_id,
            arrival.signed_in,
            arrival.country,
            arrival.device,
            arrival.platform,
            event.video_id,
            event.path,
            event.source,
        )

    def count_live(self, rows: Iterable[UserRow], since: int, onto: Live) -> None:
        """Add rows to increments of the live window."""
        fold_users(rows, since, onto)


class SystemFolder(_ByEventId):
    """System events."""

    table = "system_events"
    key_columns = ("service", "event_id")
    row: type[Row] = SystemRow
    decoder: Decoder[System] = Decoder(SystemEvent)

    def key(self, arrival: Arrival[System]) -> Key:
        """Return (service, event id)."""
        return arrival.event.service, arrival.event.event_id

    def make_row(self, arrival: Arrival[System]) -> SystemRow:
        """Return the event's row."""
        event = arrival.event
        return SystemRow(
            self.place.log,
            self.place.topic,
            self.place.partition,
            arrival.offset,
            event.event_id,
            TAGS[type(event)],
            arrival.at,
            arrival.received_at,
            arrival.ahead_at,
            *(getattr(event, name) for name in SystemRow.__struct_fields__[9:]),
        )
