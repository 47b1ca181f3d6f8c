"""Records to arrivals: decoding, validation, and the correction of clocks.

Bad input raises nothing: each record becomes an `Arrival`, or a `Rejected` with the reason.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from string import ascii_uppercase
from typing import Any, Final, Generic, Protocol, TypeVar, get_args

import msgspec
from msgspec import Struct

from streams.domain import reasons
from streams.domain.events import DEVICES, LATEST_MS, PLATFORMS, TAGS, UNKNOWN, Audience, instant_ms
from streams.domain.faults import UNREADABLE, Fault
from streams.domain.nesting import MAX_DEPTH, SHALLOW_BYTES, is_too_deep

E = TypeVar("E", covariant=True)

#: An event that occurred later than this after its record's time has a wrong clock.
SKEW_MS: Final = 5 * 60_000
#: A client's clock that is further behind its record than this may be in seconds, which then reads as 1970.
_FAR_BEHIND_MS: Final = 20 * 365 * 86_400_000
#: How close to its record's timestamp a `sentAt` in seconds is.
_CLOSE_MS: Final = 60 * 60_000

_COUNTRIES: Final[dict[str | None, str]] = {
    None: UNKNOWN,
    **{a + b: a + b for a in ascii_uppercase for b in ascii_uppercase},
    "UK": "GB",
}
_DEVICES: Final[dict[str | None, str]] = {None: UNKNOWN, **{name: name for name in DEVICES}}
_PLATFORMS: Final[dict[str | None, str]] = {None: UNKNOWN, **{name: name for name in PLATFORMS}}


class Record(Protocol):
    """One Kafka record, as the Kafka client returns it."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Epoch milliseconds; -1 for none, which makes its event too old."""

    @property
    def key(self) -> bytes | None:
        """The partitioning key."""

    @property
    def value(self) -> bytes | None:
        """The event's JSON."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Its headers, by name; Kafka allows null values."""


class UnreadableBatch(Struct, gc=False, frozen=True):
    """A batch of records that cannot be unpacked, in place of its records: the batch itself is the value."""

    offset: int
    timestamp: int
    value: bytes
    reason: str
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Rejected(Struct, gc=False, frozen=True):
    """A record that cannot be processed: a dead letter, with the class of its fault and the reason."""

    record: Record
    error: Fault
    reason: str


class Arrival(Struct, Generic[E], gc=False):
    """An event with its offset, its corrected times (epoch milliseconds) and its audience."""

    event: E
    offset: int
    at: int
    received_at: int
    #: Corrected `startedAt`; 0 when the event carries none.
    started_at: int
    #: `occurredAt` as sent, which is the same in every repeat of the event.
    claimed_at: int
    #: `claimed_at` when that is ahead of the record by more than `SKEW_MS`, else 0.
    ahead_at: int
    user_id: str
    signed_in: bool
    country: str
    device: str
    platform: str
    #: The value in the folder's memory under the arrival's key, once it was looked for.
    known: Any = None


_EVENT_ID: Final = re.compile(rb'"eventId"\s*+:\s*+"([^"\\]*+)"')


def is_unkeyed(key: bytes | None, value: bytes | None) -> bool:
    """Say whether a record has no key, or one of no other event: its `eventId`, and no other field."""
    if key is None:
        return True
    found = _EVENT_ID.search(value or b"")
    return bool(found and found[1] == key and (value or b"").count(b'"%b"' % key) == 1)


class Decoder(Generic[E]):
    """Decodes the values of one topic; a whole batch at once when all of its values are valid."""

    def __init__(self, union: Any) -> None:
        """Build a decoder for a tagged union of event structs (or a single struct)."""
        self._decoder: msgspec.json.Decoder[E] = msgspec.json.Decoder(union)
        self._batch: msgspec.json.Decoder[list[E | str]] = msgspec.json.Decoder(list[union | str])
        self._types = tuple(TAGS[kind] for kind in get_args(union) if kind in TAGS)
        # A random separator between the records of a batch. Producers do not know it, so they cannot send
        # invalid records that together, joined, decode to valid events.
        self._mark = secrets.token_hex(8)
        self._glue = f',"{self._mark}",'.encode()

    def decode(self, records: Sequence[Record]) -> list[E | Rejected]:
        """Decode each record; the result has the length and the order of `records`."""
        values = [record.value or b"" for record in records]
        parts: list[E | str] = []
        # Usually all values are short, and need not be scanned.
        if max(map(len, values), default=0) <= SHALLOW_BYTES or not any(map(is_too_deep, values)):
            with suppress(ValueError, RecursionError, msgspec.MsgspecError):
                parts = self._batch.decode(b"[" + self._glue.join(values) + b"]")
        events, marks = parts[::2], parts[1::2]
        # Every record must have given one value, and each value must be an event.
        whole = len(events) == len(records) and marks.count(self._mark) == len(marks) == len(records) - 1
        if whole and str not in set(map(type, events)):
            return events  # type: ignore[return-value]
        return [self._one(record) for record in records]

    def _one(self, record: Record) -> E | Rejected:
        if isinstance(record, UnreadableBatch):
            return Rejected(record, UNREADABLE, record.reason[: reasons.REASON_LENGTH])
        if not record.value:
            return Rejected(record, "Empty", "the record has no value")
        if is_too_deep(record.value):
            return Rejected(record, "TooDeep", f"nested in more than {MAX_DEPTH} levels")
        try:
            return self._decoder.decode(record.value)
        except msgspec.ValidationError as error:
            unknown = "`$.type`" in str(error) or "required field `type`" in str(error)
            reason = reasons.invalid(record.value, error, self._types)
            return Rejected(record, "UnknownType" if unknown else "Invalid", reason)
        except RecursionError:  # For brackets that open and never close.
            return Rejected(record, "TooDeep", "nested too deeply")
        except (ValueError, msgspec.MsgspecError) as error:
            return Rejected(record, "NotJson", reasons.not_json(record.value, error))


def receive(record: Record, event: Any, retention_ms: int) -> Arrival[Any] | Rejected:
    """Correct an event's clock and normalise its audience.

    The corrected time is record timestamp - (sentAt - occurredAt), or occurredAt without a sentAt; if that is
    more than 5 minutes after the record, it is the record's timestamp. An event (or the start of its view)
    older than `retention_ms` before its record is rejected, and so is one whose record's timestamp is beyond
    the year 2100, or whose `sentAt` is in seconds.
    """
    received = record.timestamp
    occurred, sent_at, started_at = event.occurred_at, event.sent_at, event.started_at
    # Most instants are integers: this check is cheaper than a call for each.
    if type(occurred) is not int:
        occurred = instant_ms(occurred)
    shift = 0
    if sent_at is not None:
        sent = sent_at if type(sent_at) is int else instant_ms(sent_at)
        shift = received - sent
        # A clock that began in 1970 looks like this for two hours in seconds, seven seconds of its 21st day.
        if shift > _FAR_BEHIND_MS and abs(sent * 1000 - received) < _CLOSE_MS:
            return Rejected(record, "Invalid", "`sentAt` is in seconds: write epoch milliseconds")
    at = occurred + shift
    if at > received + SKEW_MS:
        at = received
    started = 0
    if started_at is not None:
        started = (started_at if type(started_at) is int else instant_ms(started_at)) + shift
        if started > at:
            started = at
    oldest = received - retention_ms
    too_old = at < oldest or (started_at is not None and started < oldest) or oldest <= 0
    if too_old or received > LATEST_MS:
        return _untimely(record, event, at < oldest, oldest)
    user_id = event.user_id or event.viewer_id
    if not user_id and isinstance(event, Audience):
        return Rejected(record, "Invalid", "one of `userId` and `viewerId` is required")
    return Arrival(
        event,
        record.offset,
        at,
        received,
        started,
        occurred,
        occurred if occurred > received + SKEW_MS else 0,
        user_id or "",
        event.user_id is not None,
        _COUNTRIES.get(event.country) or _country(event.country),
        _DEVICES.get(event.device, "other"),
        _PLATFORMS.get(event.platform, "other"),
    )


def _untimely(record: Record, event: Any, is_event_old: bool, oldest: int) -> Rejected:
    if record.timestamp > LATEST_MS:
        return _beyond(record)
    if oldest <= 0:
        told = "the record's timestamp is missing, or in seconds instead of milliseconds"
        return Rejected(record, "TooOld", told)
    field, given = ("occurredAt", event.occurred_at) if is_event_old else ("startedAt", event.started_at)
    return Rejected(record, "TooOld", reasons.too_old(field, instant_ms(given)))


def _beyond(record: Record) -> Rejected:
    return Rejected(record, "Invalid", "the record's timestamp is beyond the year 2100: write milliseconds")


def _country(name: str | None) -> str:
    # Only ASCII: some single characters have two letters as their upper case.
    return _COUNTRIES.get(name.upper(), UNKNOWN) if name and name.isascii() else UNKNOWN


def receive_at_record_time(record: Record, event: Any, _retention_ms: int) -> Arrival[Any] | Rejected:
    """Return an arrival with its record's timestamp as its time, however old that is."""
    at = record.timestamp
    if at > LATEST_MS:
        return _beyond(record)
    return Arrival(event, record.offset, at, at, 0, at, 0, "", False, "", "", "")


def to_arrivals(
    records: Sequence[Record],
    decoded: Sequence[Any],
    retention_ms: int,
    arrive: Callable[[Record, Any, int], Arrival[Any] | Rejected] = receive,
) -> tuple[list[Arrival[Any]], list[Rejected]]:
    """Separate decoded records into arrivals, as `arrive` returns them, and rejected ones, both in order."""
    arrivals: list[Arrival[Any]] = []
    rejected: list[Rejected] = []
    for record, event in zip(records, decoded, strict=True):
        arrival = event if type(event) is Rejected else arrive(record, event, retention_ms)
        # Comparing the exact type is cheaper than `isinstance`, and this runs for every event.
        into: list[Any] = rejected if type(arrival) is Rejected else arrivals
        into.append(arrival)
    return arrivals, rejected
