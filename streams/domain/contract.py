"""The published contract with producers: topics, keys, and the JSON Schema of each.

Made from the structs in `streams.domain.events`, whose docstrings are the descriptions. This module adds
what the structs cannot express: topics, keys, and that an event of a person must carry an id.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from streams.domain.events import (
    TAGS,
    Audience,
    CatalogEntry,
    PlaybackEvent,
    SystemEvent,
    UserEvent,
)
from streams.domain.examples import CATALOG_ENTRY, EVENTS, Example
from streams.domain.meanings import meaning

Json = dict[str, Any]

#: Increased when a change could break a producer that was correct before.
VERSION: Final = "1.0.0"
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that producers write to, with its default name."""

    name: str
    #: The field whose value is the record's key.
    key: str
    #: Why this field is the key.
    key_note: str
    description: str
    types: tuple[type, ...]
    compacted: bool = False

    @property
    def identifier(self) -> str:
        """The name for places that allow no dots: `playbackEvents`."""
        first, *rest = self.name.split(".")
        return first + "".join(word.capitalize() for word in rest)


TOPICS: Final = (
    Topic(
        "playback.events",
        "viewId",
        "All events of a view must reach one partition, in order: the view's state is kept there.",
        "Views: playbacks of one video by one viewer.",
        get_args(PlaybackEvent),
    ),
    Topic(
        "user.events",
        "userId, else viewerId",
        "A repeat must reach the same partition as its first copy: only there is it recognized.",
        "Actions of people outside the player, and engagement with videos.",
        get_args(UserEvent),
    ),
    Topic(
        "system.events",
        "service",
        "A repeat must reach the same partition as its first copy: only there is it recognized.",
        "Requests, jobs, storage operations, host samples and probes.",
        get_args(SystemEvent),
    ),
    Topic(
        "video.catalog",
        "videoId",
        "The topic is compacted: Kafka keeps the newest record of each key. A null value deletes the video.",
        "Metadata of each video: title, length, owner.",
        (CatalogEntry,),
        compacted=True,
    ),
)


def tag(kind: type) -> str:
    """Return an event type's name on the wire; `video` for the catalog entry, which has no type."""
    return TAGS.get(kind, "video")


def example(kind: type) -> Example:
    """Return a valid event of a type. Raises `LookupError` for a type without one."""
    if kind not in TAGS:
        return CATALOG_ENTRY
    if TAGS[kind] not in EVENTS:
        raise LookupError(f"streams/domain/examples.py: add an example of {TAGS[kind]}")
    return EVENTS[TAGS[kind]]


def summary(kind: type) -> str:
    """Return what an event type means."""
    return cleandoc(kind.__doc__ or "")


def components(kinds: tuple[type, ...]) -> dict[str, Json]:
    """Return the schema of each struct by its name."""
    _, found = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {kind.__name__: _described(kind, found[kind.__name__]) for kind in kinds}


def _described(kind: type, schema: Json) -> Json:
    schema = {**schema, "description": summary(kind)}
    schema["properties"] = {
        name: {**_plain(field), "description": meaning(kind.__name__, name)}
        for name, field in schema["properties"].items()
    }
    if issubclass(kind, Audience):
        # The decoder accepts an event without both; `streams.domain.arrivals.receive` requires one of them.
        schema["anyOf"] = [
            {"required": [name], "properties": {name: {"type": "string"}}} for name in ("userId", "viewerId")
        ]
    schema["examples"] = [example(kind)]
    return schema


def _plain(field: Json) -> Json:
    """Return an equivalent schema with only the keywords that older drafts of JSON Schema also have."""
    if "prefixItems" in field:
        first, *rest = field["prefixItems"]
        assert all(item == first for item in rest), "a tuple of different types needs prefixItems"
        kept = {name: value for name, value in field.items() if name != "prefixItems"}
        return {**kept, "items": first}
    if field.get("default", ...) is None:
        # Absent and null mean the same: there is no value to fill in.
        return {name: value for name, value in field.items() if name != "default"}
    return field


def json_schema(topic: Topic) -> Json:
    """Return the JSON Schema (draft 2020-12) of a topic's records. `discriminator` is OpenAPI's."""
    head: Json = {
        "$schema": _DRAFT,
        "$id": f"urn:videocloud-analytics:events:{topic.name}:{VERSION}",
        "title": topic.name,
        "description": f"{topic.description} Key: {topic.key}. {topic.key_note} Unknown fields are ignored.",
    }
    found = components(topic.types)
    if len(topic.types) == 1:
        return {**head, "$ref": f"#/$defs/{topic.types[0].__name__}", "$defs": found}
    references = {tag(kind): f"#/$defs/{kind.__name__}" for kind in topic.types}
    return {
        **head,
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "type", "mapping": references},
        "$defs": found,
    }
