"""Timestamps of dead letters: producers may send any 64 bits, and every one of them can be sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.broker import FaustBroker
from streams.settings import Settings


class Wire:
    """A producer that encodes records with aiokafka, in milliseconds as Faust computes them."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    async def send_and_wait(
        self, _topic: str, key: bytes, value: bytes, _partition: None, at: float, headers: Any
    ) -> None:
        stamp: Any = int(at * 1000.0) if at else at
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
        self.sent.append(builder.append(0, stamp, key, value, headers).timestamp)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (1_795_760_667_837, 1_795_760_667_837),
        (0, 0),
        (-1, 0),
        (-(2**63), 0),
        (2**63 - 1, 2**53),
    ],
)
async def test_a_letter_has_its_records_timestamp_or_the_nearest_that_can_be_sent(
    given: int, sent: int
) -> None:
    wire = Wire()
    broker = FaustBroker(cast(faust.App, SimpleNamespace(producer=wire)), Settings())
    await broker.dead_letter(b"key", b"value", given, [])
    assert wire.sent == [sent]
