"""docs/events.md: the contract with producers, for people to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from streams.domain.asyncapi import DEAD_LETTER_HEADERS, DEAD_LETTERS
from streams.domain.contract import TOPICS, Topic, components, example, summary, tag
from streams.domain.nesting import MAX_DEPTH

_INTRODUCTION: Final = f"""\
<!-- Made by docs/generate.py from streams/domain/events.py: change it there. -->

# Events

Each Kafka record is one JSON object, UTF-8, with camelCase names. The machine-readable versions are a
[JSON Schema of each topic](schemas/) and one [AsyncAPI 3.0 document](asyncapi.json).

- **Times** are epoch milliseconds, or RFC 3339 with an offset. With `sentAt`, `occurredAt` is corrected to
  record timestamp − (`sentAt` − `occurredAt`), so a wrong client clock does no harm. A time more than 5
  minutes after the record's timestamp is replaced by that timestamp. An event from more than
  `RAW_RETENTION_DAYS` before its record becomes a dead letter, and so does a record whose own timestamp is
  beyond the year 2100, or whose `sentAt` is in seconds.
- **Integers** must be written without a fraction: `12000.0` is ill-typed, although JSON Schema accepts it as
  an integer.
- **Totals, not deltas**: `watchedMs`, `rebufferMs` and `rebufferCount` are totals of the view so far. A lost
  heartbeat loses nothing, and a repeated one adds nothing.
- **Duplicates** are dropped, however late they arrive. Playback events are identified by `viewId` and `seq`,
  all others by `eventId` and sender. When in doubt, send an event again, with its `occurredAt` unchanged
  (`sentAt` may be new). Never use an id again for something that happened later: minutes after the first
  event it counts as another one.
- **Keys** determine the partition, and a key must always go to the same partition. Kafka's Java clients,
  kafka-python, aiokafka and KafkaJS 2 hash keys with murmur2, librdkafka (kcat, confluent-kafka) with another
  hash: if both send events with the same keys, set `partitioner=murmur2_random` in librdkafka. Without keys,
  or with `eventId` as the key, related events are spread over several partitions, and each partition counts
  them separately: the worker logs a warning, and a metric counts such batches.
- **Ids** may have any characters. The API cannot return a video alone whose id is `summary`, `.` or `..`,
  because such a path means something else; all other numbers include it.
- **Unknown fields** are ignored. A record with a missing or ill-typed field becomes a dead letter, without
  affecting other records; so does a record nested more than {MAX_DEPTH} levels deep, even in unknown fields.
- A `view.start` without a `view.attempt` implies one; so does a fatal error. Every event after the first
  frame carries `startedAt`, so a view whose start was lost is still counted.

The minimal correct player sends `view.start`, a `view.progress` every ten seconds, and `view.end`.
"""


def _kind_of(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        kinds = [_kind_of(one) for one in field["anyOf"] if one.get("type") != "null"]
        return "instant" if len(kinds) > 1 else kinds[0]
    kind: str = field["type"]
    if kind == "array":
        return f"{field['minItems']} × {_kind_of(field['items'])}"
    if "maxLength" in field:
        return f"string, {field.get('minLength', 0)} to {field['maxLength']}"
    if "maximum" in field:
        return f"{kind}, {field['minimum']:,} to {field['maximum']:,}"
    return kind


def _table(schema: dict[str, Any], names: Iterable[str]) -> list[str]:
    lines = ["| field | | type | meaning |", "|---|---|---|---|"]
    for name in names:
        field = schema["properties"][name]
        required = "required" if name in schema["required"] else ""
        lines.append(f"| `{name}` | {required} | {_kind_of(field)} | {field['description']} |")
    return [*lines, ""]


def _example(kind: type) -> list[str]:
    return ["```json", json.dumps(example(kind), ensure_ascii=False), "```", ""]


def _topic(topic: Topic) -> list[str]:
    lines = [f"## `{topic.name}`", "", topic.description, "", f"Key: **{topic.key}**. {topic.key_note}"]
    lines += ["", f"[JSON Schema](schemas/{topic.name}.json)", ""]
    schemas = components(topic.types)
    first, *rest = (schemas[kind.__name__] for kind in topic.types)
    shared = [name for name in first["properties"] if all(name in one["properties"] for one in rest)]
    if not rest:
        return [*lines, *_table(first, shared), *_example(topic.types[0])]
    lines += ["Every event of this topic carries:", "", *_table(first, (n for n in shared if n != "type"))]
    for kind in topic.types:
        schema = schemas[kind.__name__]
        own = [name for name in schema["properties"] if name not in shared]
        lines += [f"### `{tag(kind)}`", "", summary(kind), "", *(_table(schema, own) if own else [])]
        lines += _example(kind)
    return lines


def page() -> str:
    """Return docs/events.md."""
    lines = [_INTRODUCTION]
    for topic in TOPICS:
        lines += _topic(topic)
    lines += [f"## `{DEAD_LETTERS}`", ""]
    lines += ["Rejected records, with their original value and key, and these headers:", ""]
    lines += ["| header | |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in DEAD_LETTER_HEADERS.items()]
    return "\n".join(lines) + "\n"
