"""The published contract as AsyncAPI 3.0: channels are topics, messages are event types."""

from __future__ import annotations

from typing import Final

from streams.domain.contract import TOPICS, VERSION, Json, Topic, components, example, summary, tag
from streams.domain.faults import KEPT_KEY_BYTES, KEPT_VALUE_BYTES, MAX_BATCH_BYTES, NAMED

DEAD_LETTERS: Final = "events.deadletter"
#: Headers of a dead letter.
DEAD_LETTER_HEADERS: Final = {
    "source-cluster": "Id of the Kafka cluster that the record was read from.",
    "source-topic": "Topic that the record was read from.",
    "source-partition": "Partition that the record was read from.",
    "source-offset": "Offset of the record. These four together identify repeats of a dead letter.",
    "source-timestamp": "Timestamp of the record in epoch milliseconds; the dead letter's own is later.",
    "error": f"Class of the fault: {NAMED}. Of Unreadable, the value is a whole record batch that cannot "
    f"be unpacked or has more than {MAX_BATCH_BYTES >> 20} MB.",
    "reason": "What is wrong, in words.",
    "truncated-from": "Bytes of the original value; only if the dead letter was too large to send, so that "
    f"value and key were cut to {KEPT_VALUE_BYTES >> 10} and {KEPT_KEY_BYTES >> 10} KiB.",
}


def asyncapi() -> Json:
    """Return the AsyncAPI 3.0 document: what the worker receives, and the dead letters that it sends."""
    channels: Json = {}
    operations: Json = {}
    messages: Json = {}
    schemas: Json = {}
    for topic in TOPICS:
        own = f"#/channels/{topic.identifier}"
        channels[topic.identifier] = _channel(topic)
        operations[f"receive{topic.identifier[0].upper()}{topic.identifier[1:]}"] = {
            "action": "receive",
            "channel": {"$ref": own},
            "summary": topic.description,
            "messages": [{"$ref": f"{own}/messages/{tag(kind)}"} for kind in topic.types],
        }
        messages |= {tag(kind): _message(topic, kind) for kind in topic.types}
        schemas |= components(topic.types)
    channels["eventsDeadletter"] = {
        "address": DEAD_LETTERS,
        "title": DEAD_LETTERS,
        "description": "Records that were rejected, with their original value and key.",
        "messages": {"dead.letter": {"$ref": "#/components/messages/dead.letter"}},
    }
    operations["sendEventsDeadletter"] = {
        "action": "send",
        "channel": {"$ref": "#/channels/eventsDeadletter"},
        "summary": "Sent for a record that is rejected; a restart may send a dead letter again.",
        "messages": [{"$ref": "#/channels/eventsDeadletter/messages/dead.letter"}],
    }
    messages["dead.letter"] = _dead_letter()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "VideoCloud Analytics events",
            "version": VERSION,
            "description": (
                "Events from players, web pages and services to Kafka: one JSON object per record, UTF-8. "
                "Unknown fields are ignored; a record that violates its schema becomes a dead letter."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _channel(topic: Topic) -> Json:
    policy = ["compact"] if topic.compacted else ["delete"]
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"{topic.description} Key: {topic.key}. {topic.key_note}",
        "messages": {tag(kind): {"$ref": f"#/components/messages/{tag(kind)}"} for kind in topic.types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": 12,
                "topicConfiguration": {"cleanup.policy": policy},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(topic: Topic, kind: type) -> Json:
    return {
        "name": tag(kind),
        "title": kind.__name__,
        "summary": summary(kind).partition("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"{topic.key}. {topic.key_note}"},
                "bindingVersion": "0.5.0",
            }
        },
        "examples": [{"name": tag(kind), "payload": example(kind)}],
    }


def _dead_letter() -> Json:
    properties = {name: {"type": "string", "description": text} for name, text in DEAD_LETTER_HEADERS.items()}
    required = [name for name in DEAD_LETTER_HEADERS if name != "truncated-from"]
    return {
        "name": "dead.letter",
        "title": "Dead letter",
        "summary": "A record that was rejected.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": properties, "required": required},
        "payload": {"description": "The record's value, unchanged."},
    }
