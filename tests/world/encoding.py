"""Encodes events as bytes, in every way the contract allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(rng: Random, event: dict[str, Any]) -> bytes:
    """Write an event as JSON: fields in any order, some unknown fields, with or without white space."""
    items = [(name, value) for name, value in event.items() if value is not None or rng.random() < 0.1]
    if rng.random() < 0.1:
        items.append(rng.choice(_UNKNOWN_FIELDS))
    if rng.random() < 0.3:
        rng.shuffle(items)
    style = rng.random()
    if style < 0.8:
        return json.dumps(dict(items), separators=(",", ":")).encode()
    if style < 0.9:
        return json.dumps(dict(items), ensure_ascii=False).encode()
    if style < 0.95:
        # Line breaks are white space in JSON: one record may span many lines.
        return json.dumps(dict(items), indent=2).encode() + b"\r\n"
    return b" \t" + json.dumps(dict(items)).encode() + b"\n"


def told_instant(rng: Random, at_ms: int) -> int | str:
    """Return an instant as epoch milliseconds, or as RFC 3339 text in some time zone."""
    if rng.random() < 0.7:
        return at_ms
    instant = _EPOCH + timedelta(milliseconds=at_ms)
    choice = rng.random()
    if choice < 0.4:
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if choice < 0.7:
        # A client with a finer clock: fractions of a millisecond are dropped.
        return (instant + timedelta(microseconds=rng.randrange(1000))).isoformat(timespec="microseconds")
    offset = timezone(timedelta(minutes=rng.choice((-570, -300, 60, 330, 345, 765))))
    return instant.astimezone(offset).isoformat(timespec="milliseconds")


_UNKNOWN_FIELDS: list[tuple[str, Any]] = [
    ("playerVersion", "1.2.3"),
    ("debug", {"nested": [1, 2, {"deep": None}], "text": 'a "quoted" \\ backslash\n'}),
    ("watched_ms", 10**9),
    ("huge", 10**60),
    ("}\n{", "],["),
    ("emoji", "📼\u0000\u2028"),
]
