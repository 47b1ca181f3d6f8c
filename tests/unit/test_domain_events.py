"""Decoding and clocks: hostile bytes never raise, and times are exact to the millisecond."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.domain.arrivals import Arrival, Decoder, Rejected, receive
from streams.domain.catalog import CatalogFolder
from streams.domain.events import CatalogEntry, PlaybackEvent, SystemEvent, UserEvent, instant_ms
from streams.domain.folding import Place
from streams.domain.nesting import MAX_DEPTH, SHALLOW_BYTES, is_too_deep
from tests.oracle.log import CATALOG, PLAYBACK, SYSTEM, USERS, corrected_times
from tests.oracle.views import country, dimension
from tests.world.broken import SOUND, broken
from tests.world.feed import Taken

UNIONS: dict[str, Any] = {
    PLAYBACK: PlaybackEvent,
    USERS: UserEvent,
    SYSTEM: SystemEvent,
    CATALOG: CatalogEntry,
}
TOPICS = list(UNIONS)
FAULTS = {"Empty", "NotJson", "UnknownType", "Invalid", "TooDeep", "TooOld"}
NOW = 1_790_000_000_000
DAY = 86_400_000
RETENTION_MS = 180 * DAY


def classes(topic: str, values: list[bytes | None]) -> list[str]:
    """Decode a batch and return what became of each record."""
    records = [Taken(offset, NOW, b"key", value) for offset, value in enumerate(values)]
    found: list[str] = []
    taken: Any
    for record, event in zip(records, Decoder(UNIONS[topic]).decode(records), strict=True):
        taken = (
            event if topic == CATALOG or isinstance(event, Rejected) else receive(record, event, RETENTION_MS)
        )
        if isinstance(taken, Rejected):
            assert taken.record is record, "the dead letter is another record than the broken one"
            assert taken.reason
            found.append(taken.error)
        else:
            found.append("taken")
    return found


RUNS = [(topic, run, fault) for topic in TOPICS for run, fault in broken(topic)]


def _name(value: object) -> str:
    return repr(value)[:40] if isinstance(value, list) else str(value)


@pytest.mark.parametrize(("topic", "run", "fault"), RUNS, ids=_name)
def test_a_broken_record_is_rejected_and_its_neighbours_are_taken(
    topic: str, run: list[bytes | None], fault: str
) -> None:
    sound = json.dumps(SOUND[topic]).encode()
    expected = fault.split() if " " in fault else [fault] * len(run)
    assert classes(topic, [sound, *run, sound]) == ["taken", *expected, "taken"]
    assert classes(topic, run) == expected
    assert [classes(topic, [value]) for value in run] == [[each] for each in expected]


def test_no_operation_moves_more_than_a_pebibyte() -> None:
    operation = {**SOUND[SYSTEM], "type": "storage.op", "op": "write", "ok": True}
    values: list[bytes | None] = [
        json.dumps({**operation, "bytes": size}).encode() for size in (2**50, 2**50 + 1)
    ]
    assert classes(SYSTEM, values) == ["taken", "Invalid"]


def _nested(levels: int, text: str = "") -> bytes:
    """Return JSON of so many levels, arrays and objects in turn, around a text."""
    inner = json.dumps(text).encode()
    for level in range(levels):
        inner = b"[" + inner + b"]" if level % 2 else b'{"a": ' + inner + b', "b": 0}'
    return inner


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("text", ["", "[{" * 600, '\\"[' * 600, "]}" * 600, "\n[\\"])
def test_all_pythons_take_what_is_nested_up_to_a_bound(topic: str, text: str) -> None:
    sound = json.dumps(SOUND[topic]).encode()
    # The event itself is a level.
    deepest, deeper = (
        sound[:-1] + b',"unknown": ' + _nested(levels, text) + b"}" for levels in (MAX_DEPTH - 1, MAX_DEPTH)
    )
    assert len(deepest) > SHALLOW_BYTES
    assert classes(topic, [deepest]) == ["taken"]
    assert classes(topic, [deeper]) == ["TooDeep"]
    assert classes(topic, [sound, deepest, deeper, sound]) == ["taken", "taken", "TooDeep", "taken"]


def test_none_of_the_shortest_of_a_depth_is_overlooked() -> None:
    # Nothing but brackets: the shortest value that goes down so far.
    for levels in range(MAX_DEPTH - 2, MAX_DEPTH + 3):
        assert is_too_deep(b"[" * levels + b"]" * levels) == (levels > MAX_DEPTH)


def test_wide_is_not_deep() -> None:
    assert not is_too_deep(b"[" + b"[]," * 50_000 + b"[]]")
    assert not is_too_deep(b'{"a":{}}' * 50_000)


@pytest.mark.parametrize("run", [b'"', b'\\"', b'"\\', b'"\\"', b"\\", b'[{"', b'[]"\\'])
def test_hostile_bytes_are_looked_through_once(run: bytes) -> None:
    # A megabyte, where whoever goes back for each quotation mark takes hours.
    hostile = (
        b"[" * (MAX_DEPTH // 2)
        + run * (1_000_000 // len(run))
        + b"]" * MAX_DEPTH
        + b"[" * (MAX_DEPTH // 2 + 1)
    )
    began = time.process_time()
    is_too_deep(hostile)
    assert time.process_time() - began < 10


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
pieces = st.sampled_from(
    [b"{", b"}", b"}\n{", b",", b"[", b"]", b" ", b"\n", b'"', b":", b"\xff", b"\x00", b"1e999"]
)


@given(
    st.sampled_from(TOPICS),
    st.lists(st.none() | st.binary(max_size=40) | st.lists(pieces).map(b"".join), max_size=5),
)
def test_no_bytes_make_decoding_raise_or_lose_count(topic: str, values: list[bytes | None]) -> None:
    assert set(classes(topic, values)) <= FAULTS
    assert len(classes(topic, values)) == len(values)


@given(st.sampled_from(TOPICS), st.data())
def test_an_event_with_any_value_in_any_field_is_taken_or_rejected(topic: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*SOUND[topic], "sentAt", "country", "toMs", "durationMs", "load"]))
    event = SOUND[topic] | {name: data.draw(json_values)}
    text = json.dumps(event).encode("utf-8", "surrogatepass")
    assert set(classes(topic, [text])) <= FAULTS | {"taken"}


@given(st.sampled_from(TOPICS), st.data())
def test_what_is_taken_alone_is_taken_in_any_company(topic: str, data: st.DataObject) -> None:
    sound = json.dumps(SOUND[topic]).encode()
    cut_at = data.draw(st.integers(1, len(sound) - 1))
    mixed = data.draw(
        st.lists(
            st.sampled_from(
                [
                    sound,
                    sound + b" " + sound,
                    sound + sound,
                    sound + b"," + sound,
                    sound[:cut_at],
                    sound[cut_at:],
                    b"",
                    b" ",
                ]
            ),
            max_size=8,
        )
    )
    assert classes(topic, list(mixed)) == [classes(topic, [value])[0] for value in mixed]


@given(st.integers(0, 4_102_444_800_000), st.integers(-720, 840), st.integers(0, 999))
@example(1_700_000_000_001, 0, 999)
def test_instants_are_exact_to_the_millisecond(at: int, offset: int, micros: int) -> None:
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at, microseconds=micros)
    assert instant_ms(instant.astimezone(timezone(timedelta(minutes=offset)))) == at
    assert instant_ms(at) == at


instants = st.integers(NOW - 400 * DAY, NOW + 400 * DAY)
near = st.integers(NOW - 20 * 60_000, NOW + 20 * 60_000)
told_times = near | instants | st.just(NOW + 300_000) | st.just(NOW + 300_001) | st.just(NOW - RETENTION_MS)


@given(occurred=told_times, sent=st.none() | told_times, started=told_times)
@example(occurred=NOW, sent=None, started=0)
@example(occurred=NOW, sent=NOW + 1, started=1)
def test_clocks_are_corrected_as_defined(occurred: int, sent: int | None, started: int) -> None:
    event = SOUND[PLAYBACK] | {"occurredAt": occurred, "sentAt": sent, "startedAt": started}
    record = Taken(0, NOW, b"k", json.dumps(event).encode())
    (decoded,) = Decoder(PlaybackEvent).decode([record])
    arrival = receive(record, decoded, RETENTION_MS)
    at, started_at = corrected_times(event, NOW)
    assert started_at is not None
    if min(at, started_at) < NOW - RETENTION_MS:
        assert isinstance(arrival, Rejected)
        assert arrival.error == "TooOld"
    else:
        assert isinstance(arrival, Arrival)
        assert (arrival.at, arrival.started_at) == (at, started_at)
        assert at <= NOW + 5 * 60_000
        assert started_at <= at


@given(
    st.none()
    | st.text(max_size=3)
    | st.sampled_from(["uk", "gB", "ß", "ﬁ", "ıt", "\N{KELVIN SIGN}z", "us "]),
    st.none() | st.text(max_size=8) | st.sampled_from(["tv", "desktop", "unknown"]),
)
def test_dimensions_are_normalised_as_defined(where: str | None, device: str | None) -> None:
    event = SOUND[USERS] | {"country": where, "device": device, "platform": device}
    record = Taken(0, NOW, b"k", json.dumps(event).encode())
    (decoded,) = Decoder(UserEvent).decode([record])
    arrival = receive(record, decoded, RETENTION_MS)
    assert isinstance(arrival, Arrival)
    assert arrival.country == country(where)
    assert arrival.device == dimension(device, {"desktop", "mobile", "tablet", "tv", "other"})
    assert arrival.platform == dimension(device, {"web", "ios", "android", "tv", "other"})


def test_a_record_without_a_timestamp_is_too_old() -> None:
    record = Taken(0, -1, b"k", json.dumps(SOUND[USERS] | {"occurredAt": 0}).encode())
    (decoded,) = Decoder(UserEvent).decode([record])
    assert isinstance(rejected := receive(record, decoded, RETENTION_MS), Rejected)
    assert rejected.error == "TooOld"


@pytest.mark.parametrize("at", [4_102_444_800_001, 2**63 - 1])
def test_a_record_of_another_century_is_a_mistake_in_every_topic(at: int) -> None:
    event = SOUND[USERS] | {"occurredAt": NOW, "sentAt": 0}
    record = Taken(0, at, b"k", json.dumps(event).encode())
    (decoded,) = Decoder(UserEvent).decode([record])
    assert isinstance(rejected := receive(record, decoded, RETENTION_MS), Rejected)
    place = Place("log", CATALOG, 0)
    entries = [Taken(0, at, b"vid", json.dumps(SOUND[CATALOG]).encode()), Taken(1, at, b"vid", None)]
    arrivals, letters = CatalogFolder(place).decode(entries, RETENTION_MS)
    assert not arrivals
    for each in (rejected, *letters):
        assert each.error == "Invalid"
        assert each.reason == "the record's timestamp is beyond the year 2100: write milliseconds"


@pytest.mark.parametrize("key", [b"", b"k" * 129, "ü".encode() * 129, b"\xff\xfe", b"k" * 1_000_000])
def test_a_deletion_is_held_to_the_limits_of_an_id(key: bytes) -> None:
    """Else a key of megabytes would stay in the memory of every worker, and bad UTF-8 name another video."""
    record = Taken(3, 1_795_000_000_000, key, None)
    arrivals, letters = CatalogFolder(Place("c/0", "video.catalog", 0)).decode([record], RETENTION_MS)
    assert not arrivals
    assert [(letter.error, letter.record) for letter in letters] == [("Invalid", record)]
    assert len(letters[0].reason) <= 300


@pytest.mark.parametrize("key", ["v", "ü" * 128])
def test_a_deletion_deletes_the_video_that_its_key_names(key: str) -> None:
    record = Taken(3, 1_795_000_000_000, key.encode(), None)
    arrivals, letters = CatalogFolder(Place("c/0", "video.catalog", 0)).decode([record], RETENTION_MS)
    assert not letters
    assert [arrival.event.video_id for arrival in arrivals] == [key]
