"""docs/events.md: the contract with producers as people read it."""

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

One JSON object a Kafka record, UTF-8, camelCase. For programs: a [JSON Schema of each topic](schemas/)
and one [AsyncAPI 3.0 document](asyncapi.json).

- **Times** are epoch milliseconds, or RFC 3339 with an offset. With `sentAt`, `occurredAt` is corrected to
  record timestamp − (`sentAt` − `occurredAt`), so a wrong clock does no harm. More than 5 minutes after its
  record becomes the record's timestamp; more than `RAW_RETENTION_DAYS` before it goes to the dead letters,
  and so does a record whose own timestamp is beyond the year 2100.
- **Integers** are written as such: `12000.0` is ill-typed, though JSON Schema takes it for an integer.
- **Totals, not deltas**: `watchedMs`, `rebufferMs` and `rebufferCount` are totals of the view so far. A lost
  heartbeat costs nothing, a repeated one adds nothing.
- **Repeats** are dropped, however late: of playback by `viewId` and `seq`, of all others by `eventId` and
  sender. Send again when in doubt.
- **Keys** decide the partition, and one key must always go to one partition. Kafka's Java clients and
  aiokafka hash keys by murmur2, librdkafka (kcat, confluent-kafka) by another hash: where both send events
  of the same keys, give librdkafka `partitioner=murmur2_random`. Without keys, events that belong together
  are in several partitions, where each counts anew: the worker warns of it, and Prometheus is told.
- **Unknown fields** are ignored. A missing or ill-typed field sends the record to the dead letters, and no
  other record with it; so does nesting in more than {MAX_DEPTH} levels, be it in a field that is unknown.
- A `view.start` without a `view.attempt` implies one; so does a fatal error. Every event after the first
  frame carries `startedAt`, so a view whose start was lost is still counted.

The smallest sound player sends `view.start`, a `view.progress` every ten seconds, and `view.end`.
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
    lines += ["Records that could not be taken: value, key and timestamp as they were, and headers:", ""]
    lines += ["| header | |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in DEAD_LETTER_HEADERS.items()]
    return "\n".join(lines) + "\n"
