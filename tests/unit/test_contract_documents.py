"""The published contract and the decoder agree, record by record."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator

from sinks.base import Partition
from streams.dead_letter import headers_of
from streams.domain.arrivals import Decoder, Rejected, receive
from streams.domain.asyncapi import DEAD_LETTER_HEADERS, DEAD_LETTERS, asyncapi
from streams.domain.catalog import CatalogFolder
from streams.domain.contract import TOPICS, Topic, components, example, json_schema, tag
from streams.domain.event_ids import SystemFolder, UserFolder
from streams.domain.events import (
    TAGS,
    CatalogEntry,
    Event,
    PlaybackEvent,
    SystemEvent,
    UserEvent,
    ViewStart,
)
from streams.domain.examples import EVENTS
from streams.domain.folding import PlaybackFolder
from streams.domain.meanings import _MEANINGS, meaning
from streams.settings import Settings
from tests.world.feed import Taken

NOW = 1_795_470_000_000
DECODERS: dict[str, Decoder[Any]] = {
    "playback.events": PlaybackFolder.decoder,
    "user.events": UserFolder.decoder,
    "system.events": SystemFolder.decoder,
    "video.catalog": CatalogFolder.decoder,
}
KINDS = [(topic, kind) for topic in TOPICS for kind in topic.types]
IDS = [tag(kind) for _, kind in KINDS]

#: Values that some field or other cannot have.
_ODD: list[Any] = [
    None,
    "",
    "x" * 2000,
    -1,
    0,
    1,
    1.5,
    2**62,
    True,
    [],
    [1, 2, 3],
    [1.0],
    {},
    "2026-11-23T19:30:00",
]

formats = FormatChecker(())


@formats.checks("date-time", raises=ValueError)
def _is_an_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def _validator(topic: Topic) -> Validator:
    schema = json_schema(topic)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=formats)


VALIDATORS = {topic.name: _validator(topic) for topic in TOPICS}


def _is_taken(topic: str, value: object) -> bool:
    record = Taken(0, NOW, b"key", json.dumps(value).encode())
    (event,) = DECODERS[topic].decode([record])
    taken = (
        event if topic == "video.catalog" or isinstance(event, Rejected) else receive(record, event, 10**11)
    )
    return not isinstance(taken, Rejected)


@pytest.mark.parametrize(("topic", "kind"), KINDS, ids=IDS)
def test_the_example_is_sound_by_the_schema_and_taken_by_the_worker(topic: Topic, kind: type) -> None:
    VALIDATORS[topic.name].validate(example(kind))
    record = Taken(0, NOW, b"key", json.dumps(example(kind)).encode())
    (event,) = DECODERS[topic.name].decode([record])
    assert type(event) is kind
    assert _is_taken(topic.name, example(kind))


@pytest.mark.parametrize(("topic", "kind"), KINDS, ids=IDS)
def test_without_a_field_the_schema_and_the_worker_agree(topic: Topic, kind: type) -> None:
    verdicts = []
    for name in example(kind):
        broken = {key: value for key, value in example(kind).items() if key != name}
        taken = _is_taken(topic.name, broken)
        assert VALIDATORS[topic.name].is_valid(broken) == taken, name
        verdicts.append(taken)
    assert False in verdicts, "nothing is required"


@pytest.mark.parametrize(("topic", "kind"), KINDS, ids=IDS)
def test_of_odd_values_the_schema_and_the_worker_take_the_same(topic: Topic, kind: type) -> None:
    properties = components(topic.types)[kind.__name__]["properties"]
    verdicts = set()
    for name in properties:
        for odd in _ODD:
            # 0 and 1 as instants are well-formed, and older than any retention.
            if name in ("occurredAt", "sentAt", "startedAt") and type(odd) is int:
                continue
            value = {**example(kind), name: odd}
            taken = _is_taken(topic.name, value)
            assert VALIDATORS[topic.name].is_valid(value) == taken, (name, odd)
            verdicts.add(taken)
    assert verdicts == {True, False}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_an_unknown_field_is_tolerated_and_an_unknown_type_is_not(topic: Topic) -> None:
    sound = example(topic.types[0])
    assert VALIDATORS[topic.name].is_valid({**sound, "shoeSize": 42})
    if len(topic.types) > 1:
        assert not VALIDATORS[topic.name].is_valid({**sound, "type": "view.rewind"})


def test_a_person_has_an_id() -> None:
    nobody = {key: value for key, value in example(KINDS[0][1]).items() if key != "userId"}
    for value in (nobody, {**nobody, "userId": None}):
        assert not VALIDATORS["playback.events"].is_valid(value)
    assert VALIDATORS["playback.events"].is_valid({**nobody, "viewerId": "anon"})


def test_every_event_type_is_published_in_the_topic_that_takes_it() -> None:
    published = {topic.name: set(topic.types) for topic in TOPICS}
    assert published == {
        "playback.events": set(PlaybackEvent.__args__),
        "user.events": set(UserEvent.__args__),
        "system.events": set(SystemEvent.__args__),
        "video.catalog": {CatalogEntry},
    }
    assert {tag(kind) for _, kind in KINDS} == {*TAGS.values(), "video"}


def test_the_topics_have_the_names_that_the_settings_have() -> None:
    settings = Settings.model_fields
    assert [topic.name for topic in TOPICS] == [
        settings[f"topic_{name}"].default for name in ("playback", "users", "systems", "catalog")
    ]
    assert settings["topic_deadletter"].default == DEAD_LETTERS
    for channel in asyncapi()["channels"].values():
        if "bindings" in channel:
            assert channel["bindings"]["kafka"]["partitions"] == settings["topic_partitions"].default


def test_every_meaning_is_that_of_a_field() -> None:
    fields = {
        name: f"{kind.__name__}.{name}"
        for _, kind in KINDS
        for name in components((kind,))[kind.__name__]["properties"]
    }
    for name in _MEANINGS:
        owner, _, field = name.rpartition(".")
        assert field in fields, name
        assert not owner or owner in {kind.__name__ for _, kind in KINDS}, name


@pytest.mark.parametrize(("topic", "kind"), KINDS, ids=IDS)
def test_the_key_is_a_field_of_every_event_of_the_topic(topic: Topic, kind: type) -> None:
    first, _, other = topic.key.partition(", else ")
    fields = components((kind,))[kind.__name__]["properties"]
    assert first in fields
    assert not other or other in fields


def test_references_of_the_asyncapi_document_lead_somewhere() -> None:
    document = asyncapi()

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for value in node for found in references(value)] if isinstance(node, list) else []

    found = references(document)
    assert len(found) > len(KINDS) * 3
    for reference in found:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_messages_carry_the_examples_of_the_contract() -> None:
    messages = asyncapi()["components"]["messages"]
    for _, kind in KINDS:
        (shown,) = messages[tag(kind)]["examples"]
        assert shown["payload"] == example(kind)


def test_the_headers_of_a_dead_letter_are_those_that_are_sent() -> None:
    letter = Rejected(Taken(7, NOW, b"key", b"{}"), "Invalid", "why")
    sent = [name for name, _ in headers_of(Partition("cluster", "playback.events", 3), letter)]
    assert [*sent, "truncated-from"] == list(DEAD_LETTER_HEADERS)


def test_every_event_struct_says_what_it_means() -> None:
    for _, kind in KINDS:
        assert kind.__doc__ and kind.__doc__ != Event.__doc__


def test_a_type_without_an_example_is_an_error_that_says_where_to_write_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = {name: event for name, event in EVENTS.items() if name != "view.start"}
    monkeypatch.setattr("streams.domain.contract.EVENTS", others)
    with pytest.raises(LookupError, match="streams/domain/examples.py.*view.start"):
        example(ViewStart)


def test_a_field_without_a_meaning_is_an_error_that_says_where_to_write_it() -> None:
    with pytest.raises(LookupError, match="streams/domain/meanings.py.*ViewStart.shoeSize"):
        meaning("ViewStart", "shoeSize")
