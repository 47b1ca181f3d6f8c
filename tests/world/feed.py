"""A world's records as a consumer gets them, in batches of random sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.oracle.log import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """A record with its place in a partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    #: The class of dead letter that a broken record must become; None for a valid one.
    fault: str | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def taken(records: Iterable[Record], topic: str, first: int = 0) -> list[Taken]:
    """Return the topic's records as one partition holds them."""
    of_topic = (record for record in records if record.topic == topic)
    return [
        Taken(offset, record.timestamp, record.key, record.value, record.fault)
        for offset, record in enumerate(of_topic, first)
    ]


def cut(rng: Random, items: Sequence[T], largest: int) -> Iterator[Sequence[T]]:
    """Cut into batches of random sizes."""
    begin = 0
    while begin < len(items):
        end = begin + 1 + rng.randrange(largest)
        yield items[begin:end]
        begin = end
