"""Compares the SDK's events with the published contract and the worker's own decoder."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic.alias_generators import to_snake
from videocloud import DeliveryError, EventError, InvalidEventError, MissingExtraError, VideoCloud, events
from videocloud.events import CatalogEntry, MemorySender, Outgoing, PlaybackSession, Record, Topics, ids
from videocloud.events.kafka import KafkaSender
from videocloud.events.resource import Events, _Sends

from deploy.embedded.ports import free_port
from streams.domain.arrivals import Decoder, Rejected, receive
from streams.domain.contract import TOPICS
from streams.domain.event_ids import SystemFolder, UserFolder
from streams.domain.events import instant_ms
from streams.domain.examples import CATALOG_ENTRY, EVENTS
from streams.domain.folding import PlaybackFolder
from tests.sdk_python.clients import Client, Kind, done
from tests.world.feed import Taken

SCHEMAS = {
    topic.name: json.loads((Path(__file__).parents[2] / f"docs/schemas/{topic.name}.json").read_text())
    for topic in TOPICS
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
DECODERS: dict[str, Decoder[Any]] = {
    "playback.events": PlaybackFolder.decoder,
    "user.events": UserFolder.decoder,
    "system.events": SystemFolder.decoder,
}
EXAMPLES = {**EVENTS, "video": CATALOG_ENTRY}
INSTANTS = {"occurredAt", "sentAt", "startedAt", "publishedAt"}
#: Every method that makes an event, by the event's name on the wire.
METHODS = {
    getattr(what.kind, "model_fields")["type"].default if name != "catalog_entry" else "video": name  # noqa: B009
    for name, what in vars(Events).items()
    if isinstance(what, _Sends)
}
NOW = 1_795_470_000_000


#: Made only once, because a client of httpx2 loads the machine's certificates.
_CLIENT = VideoCloud(event_sender=MemorySender())


@pytest.fixture
def sender() -> MemorySender:
    return MemorySender()


@pytest.fixture
def client(sender: MemorySender, monkeypatch: pytest.MonkeyPatch) -> VideoCloud:
    monkeypatch.setattr(_CLIENT.events, "_sender", sender)
    return _CLIENT


def _class(name: str) -> type[Outgoing]:
    kind: type[Outgoing] = getattr(Events, METHODS[name]).kind
    return kind


def _schema(name: str) -> tuple[str, dict[str, Any]]:
    """Return the topic of an event and the schema that is published for it."""
    for topic, schema in SCHEMAS.items():
        for found in schema["$defs"].values():
            if found["properties"].get("type", {"enum": ["video"]}).get("enum") == [name]:
                return topic, found
    raise LookupError(name)


def _example(name: str) -> dict[str, Any]:
    """Return the contract's example of an event as Python arguments."""
    example = {to_snake(field): value for field, value in EXAMPLES[name].items() if field != "type"}
    for field in map(to_snake, INSTANTS & EXAMPLES[name].keys()):
        if isinstance(example[field], str):
            example[field] = datetime.fromisoformat(example[field])
    return example


def _is_taken(record: Record) -> bool:
    """Say whether the worker accepts a record."""
    assert record.value is not None
    taken = Taken(0, NOW, record.key.encode(), record.value)
    (event,) = DECODERS[record.topic].decode([taken])
    return not isinstance(event if isinstance(event, Rejected) else receive(taken, event, 10**11), Rejected)


def test_there_is_a_method_and_a_class_for_every_event_of_the_contract() -> None:
    assert set(METHODS) == set(EXAMPLES)
    assert {_class(name).__name__ for name in METHODS} <= set(events.__all__)
    for name, method in METHODS.items():
        assert method == ("catalog_entry" if name == "video" else name.replace(".", "_"))


@pytest.mark.parametrize("name", METHODS)
def test_an_event_has_the_fields_of_its_schema_and_wants_the_same(name: str) -> None:
    _, schema = _schema(name)
    fields = _class(name).model_fields
    assert {field.alias for field in fields.values()} == set(schema["properties"])
    required = {field.alias for field in fields.values() if field.is_required()}
    made = {"type", "eventId", "occurredAt"} if name != "video" else set()
    assert required == set(schema["required"]) - made


@pytest.mark.parametrize("name", METHODS)
def test_what_is_sent_is_sound_by_the_schema_and_what_was_said(
    name: str, client: VideoCloud, sender: MemorySender
) -> None:
    topic, _ = _schema(name)
    returned = getattr(client.events, METHODS[name])(**_example(name))
    (record,) = sender.records
    assert record.value is not None
    value = json.loads(record.value)
    VALIDATORS[topic].validate(value)
    assert (record.topic, record.value) == (topic, returned.to_json())
    for field, said in EXAMPLES[name].items():
        if field in INSTANTS and isinstance(said, str):
            said = instant_ms(datetime.fromisoformat(said))
        assert value[field] == said, field
    assert value.keys() == EXAMPLES[name].keys()
    assert name == "video" or _is_taken(record)


@pytest.mark.parametrize("name", METHODS)
def test_the_key_is_that_of_the_contract(name: str, client: VideoCloud, sender: MemorySender) -> None:
    topic, _ = _schema(name)
    getattr(client.events, METHODS[name])(**_example(name))
    (key_field,) = (each.key for each in TOPICS if each.name == topic)
    (record,) = sender.records
    example = EXAMPLES[name]
    assert record.key == (example.get(key_field) or example.get("userId") or example["viewerId"])


def test_who_is_not_signed_in_is_the_key_of_what_they_do(client: VideoCloud, sender: MemorySender) -> None:
    client.events.page_view(session_id="s", viewer_id="anon", path="/")
    client.events.page_view(session_id="s", viewer_id="anon", user_id="ana", path="/")
    assert [record.key for record in sender.records] == ["anon", "ana"]


#: Values of which each is invalid for some field.
ODD: list[Any] = [None, "", "x" * 2000, -1, 0, 1, 1.5, 2**62, True, [], [1, 2, 3], [1.0], {}, "tv", "DE", "é"]


@pytest.mark.parametrize("name", METHODS)
def test_nothing_gets_out_that_the_contract_does_not_allow(
    name: str, client: VideoCloud, sender: MemorySender
) -> None:
    topic, schema = _schema(name)
    verdicts = set()
    for field, rules in schema["properties"].items():
        edges = [rules[edge] + way for edge, way in (("minimum", -1), ("maximum", 1)) if edge in rules]
        for odd in [*ODD, *edges]:
            try:
                getattr(client.events, METHODS[name])(**{**_example(name), to_snake(field): odd})
            except InvalidEventError as error:
                assert "\n" not in str(error)
                assert to_snake(field) in str(error) or field in str(error) or "user_id" in str(error)
                verdicts.add(False)
            else:
                record = sender.records.pop()
                assert record.value is not None
                VALIDATORS[topic].validate(json.loads(record.value))
                assert name == "video" or _is_taken(record), (field, odd)
                verdicts.add(True)

    assert verdicts == {True, False}
    assert sender.records == []


@pytest.mark.parametrize("name", METHODS)
def test_the_edges_of_the_contract_can_be_sent(name: str, client: VideoCloud, sender: MemorySender) -> None:
    _, schema = _schema(name)
    for field, rules in schema["properties"].items():
        edges = [rules[edge] for edge in ("minimum", "maximum") if edge in rules]
        edges += ["x" * rules[edge] for edge in ("minLength", "maxLength") if edge in rules]
        if field in ("country", "device", "platform"):
            # These fields have known words; any other text counts as unknown.
            edges = {"country": ["GB"], "device": ["desktop"], "platform": ["android"]}[field]
        for edge in edges:
            getattr(client.events, METHODS[name])(**{**_example(name), to_snake(field): edge})
    for record in sender.records:
        assert name == "video" or _is_taken(record)


def test_a_typo_and_a_stranger_are_refused_in_one_line(client: VideoCloud) -> None:
    with pytest.raises(InvalidEventError, match="^VideoLike is invalid: vido_id: Extra inputs"):
        client.events.video_like(session_id="s", user_id="u", video_id="v", vido_id="v")  # type: ignore[call-arg]
    with pytest.raises(InvalidEventError, match="user_id or viewer_id is required"):
        client.events.video_like(session_id="s", video_id="v")
    naive, seconds = datetime(2026, 1, 1), 1_795_470_000  # noqa: DTZ001
    for at, why in ((naive, "the datetime has no time zone"), (seconds, r"not seconds")):
        with pytest.raises(InvalidEventError, match=f"occurred_at: .*{why}"):
            client.events.video_like(session_id="s", user_id="u", video_id="v", occurred_at=at)


def test_instants_are_sent_as_milliseconds_whatever_their_zone(
    client: VideoCloud, sender: MemorySender
) -> None:
    at = datetime(2026, 11, 23, 21, 0, 0, 1999, timezone(timedelta(hours=9)))
    for said in (at, at.astimezone(UTC), 1_795_435_200_001):
        client.events.health_probe(service="api", ok=True, occurred_at=said)
    for record in sender.records:
        assert json.loads(record.value or b"")["occurredAt"] == 1_795_435_200_001


def test_an_event_gets_an_id_and_a_time(client: VideoCloud) -> None:
    made = [client.events.health_probe(service="api", ok=True) for _ in range(100)]
    assert len({event.event_id for event in made}) == 100
    for event in made:
        identifier = UUID(event.event_id)
        assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
        assert abs((identifier.int >> 80) - int(event.occurred_at)) < 1000  # type: ignore[arg-type]
        assert abs(int(event.occurred_at) / 1000 - datetime.now(UTC).timestamp()) < 60  # type: ignore[arg-type]


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**74 - 1))
def test_ids_sort_by_time_and_keep_all_their_chance(at_ms: int, chance: int) -> None:
    made = ids.uuid7(at_ms, chance)
    assert (made.version, made.int >> 80) == (7, at_ms)
    assert (made.int >> 64 & 0xFFF) << 62 | made.int & (1 << 62) - 1 == chance
    assert made > ids.uuid7(at_ms - 1, 2**74 - 1) if at_ms else made.version == 7


def test_the_example_of_the_rfc_is_made_as_it_stands_there() -> None:
    # RFC 9562, appendix A.6.
    made = ids.uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F)
    assert str(made) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_a_video_is_taken_out_of_the_catalog_by_a_record_without_a_value(
    client: VideoCloud, sender: MemorySender
) -> None:
    client.events.delete_video("v")
    assert sender.records == [Record("video.catalog", "v", None)]


def test_topics_can_have_other_names(sender: MemorySender) -> None:
    with VideoCloud(event_sender=sender, topics=Topics(users="acme.users")) as client:
        client.events.session_start(session_id="s", user_id="u")
        client.events.health_probe(service="api", ok=True)
    assert [record.topic for record in sender.records] == ["acme.users", "system.events"]


# --- a session of one view --------------------------------------------------------------------------


def _session(**more: Any) -> tuple[PlaybackSession, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    ticks = iter(range(NOW, NOW + 10**6, 1000))
    session = PlaybackSession(
        lambda event: told.append(json.loads(event.to_json())),
        "v",
        session_id="s",
        user_id="u",
        clock=lambda: next(ticks),
        **more,
    )
    return session, told


def test_a_session_counts_and_adds_up() -> None:
    session, told = _session(country="DE", device="tv", platform="tv")
    session.attempt()
    session.start(startup_ms=640, duration_ms=600_000)
    session.progress(watched_ms=10_000, bitrate_kbps=2500)
    session.progress(watched_ms=8_000, rebuffer_ms=2_000, rebuffer_count=1)
    session.seek(300_000)
    session.error("SLOW", fatal=False)
    session.progress(watched_ms=5_000)
    session.end("ended", watched_ms=1_000, from_ms=598_000, to_ms=600_000)
    assert [event["type"] for event in told] == [
        "view.attempt",
        "view.start",
        "view.progress",
        "view.progress",
        "view.error",
        "view.progress",
        "view.end",
    ]
    assert [event["seq"] for event in told] == list(range(7))
    assert len({event["eventId"] for event in told}) == 7
    assert {event["viewId"] for event in told} == {session.view_id}
    assert {(event["country"], event["device"], event["platform"]) for event in told} == {("DE", "tv", "tv")}
    assert [event.get("startedAt") for event in told] == [None, None, *[NOW + 1000] * 5]
    totals = [
        (event["watchedMs"], event["rebufferMs"], event["rebufferCount"], event["fromMs"], event["toMs"])
        for event in told
        if "watchedMs" in event
    ]
    assert totals == [
        (10_000, 0, 0, 0, 10_000),
        (18_000, 2_000, 1, 10_000, 18_000),
        (23_000, 2_000, 1, 300_000, 305_000),
        (24_000, 2_000, 1, 598_000, 600_000),
    ]
    assert (session.watched_ms, session.ended) == (24_000, True)
    for event in told:
        VALIDATORS["playback.events"].validate(event)
        assert _is_taken(Record("playback.events", event["viewId"], json.dumps(event).encode()))


def test_a_session_that_is_left_has_exited() -> None:
    session, told = _session()
    with session:
        session.start(startup_ms=1)
        session.progress(watched_ms=10)
    assert (told[-1]["type"], told[-1]["reason"], told[-1]["watchedMs"]) == ("view.end", "exited", 10)
    assert "fromMs" not in told[-1]
    for begun in (False, True):
        session, told = _session()
        with session:
            if begun:
                session.error("BROKEN", fatal=True)
        assert [event["type"] for event in told] == ["view.error"] * begun


def test_an_order_that_cannot_be_is_refused_and_nothing_is_counted() -> None:
    session, told = _session()
    with pytest.raises(InvalidEventError, match="call start\\(\\) before"):
        session.progress(watched_ms=1)
    session.start(startup_ms=1)
    for wrong in (session.attempt, lambda: session.start(startup_ms=1)):
        with pytest.raises(InvalidEventError, match="already begun|already started"):
            wrong()
    with pytest.raises(InvalidEventError, match="cannot be -1"):
        session.progress(watched_ms=-1)
    with pytest.raises(InvalidEventError, match="bitrate"):
        session.progress(watched_ms=10, bitrate_kbps=-1)
    session.end("exited")
    for late in (lambda: session.progress(watched_ms=1), lambda: session.end("ended")):
        with pytest.raises(InvalidEventError, match="This view is over"):
            late()
    assert [(event["type"], event["seq"]) for event in told] == [("view.start", 0), ("view.end", 1)]
    assert told[-1]["watchedMs"] == 0


def test_an_event_that_could_not_be_queued_is_not_counted() -> None:
    def full(_: object) -> None:
        raise DeliveryError("full")

    session = PlaybackSession(full, "v", session_id="s", user_id="u")
    for _ in range(2):
        with pytest.raises(DeliveryError):
            session.start(startup_ms=1)


# --- delivery ---------------------------------------------------------------------------------------


async def test_without_kafka_it_says_where_to_tell_of_it(kind: Kind) -> None:
    client: Client = kind()
    with pytest.raises(EventError, match=re.escape("pass kafka= or set KAFKA_BOOTSTRAP_SERVERS.")):
        client.events.health_probe(service="api", ok=True)
    await done(client.events.flush())
    await done(client.close())


async def test_events_that_kafka_did_not_take_are_told_with_what_was_in_them(kind: Kind) -> None:
    quick = {"delivery.timeout.ms": 200, "request.timeout.ms": 200, "linger.ms": 0}
    client: Client = kind(kafka=f"127.0.0.1:{free_port()}", kafka_config=quick)
    sent = client.events.video_like(session_id="s", user_id="u", video_id="v")
    with pytest.raises(DeliveryError, match="1 event was not delivered: .*timed out") as caught:
        await done(client.events.flush(20.0))
    (failed,) = caught.value.failed
    assert (failed.topic, failed.key, failed.value) == ("user.events", "u", sent.to_json())
    await done(client.events.flush())
    await done(client.close())


def test_what_still_waits_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    sender = KafkaSender(f"127.0.0.1:{free_port()}")
    for key in ("a", "b"):
        sender.send(Record("user.events", key, b"{}"))
    with pytest.raises(DeliveryError, match="2 wait for Kafka after 0.01 s; delivery continues") as caught:
        sender.flush(0.01)
    assert (caught.value.count, caught.value.failed) == (2, ())
    with pytest.raises(DeliveryError, match="2 events were not delivered") as caught:
        sender.close(0.05)
    assert sorted(failed.key for failed in caught.value.failed) == ["a", "b"]
    assert "an event for user.events was not delivered" in caplog.text


def test_a_full_queue_is_told() -> None:
    small = {"queue.buffering.max.messages": 1}
    sender = KafkaSender(f"127.0.0.1:{free_port()}", small, patience=0.05)
    sender.send(Record("user.events", "a", b"{}"))
    with pytest.raises(DeliveryError, match="The queue for Kafka is full"):
        sender.send(Record("user.events", "b", b"{}"))
    with pytest.raises(DeliveryError, match="1 event was not delivered"):
        sender.close(0.01)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with (
        pytest.raises(MissingExtraError, match=re.escape("pip install confluent-kafka")),
        VideoCloud(kafka="127.0.0.1:1") as client,
    ):
        client.events.catalog_entry(video_id="v", title="T")


def test_an_entry_may_be_made_now_and_sent_later(client: VideoCloud, sender: MemorySender) -> None:
    entry = CatalogEntry(video_id="v", title="T", live=True)
    assert sender.records == []
    client.events.send(entry)
    assert json.loads(sender.records[0].value or b"") == {"videoId": "v", "title": "T", "live": True}
