"""What is committed to Kafka is for displays: nothing waits long for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams import transport
from streams.transport import BatchConsumerThread
from tests.pipeline.consumer import consumer

_TP = TP("playback.events", 0)


class _Consumer:
    """Commits when `there`; else tries again and again, as aiokafka's does."""

    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.committed: list[Any] = []

    async def commit(self, offsets: Any) -> None:
        await self.there.wait()
        self.committed.append(offsets)

    def assignment(self) -> set[Any]:
        return {_TP}


async def test_a_commit_is_left_when_kafka_is_away_and_made_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "_CALL_SECONDS", 0.05)
    thread: Any = object.__new__(BatchConsumerThread)
    thread._consumer, thread.tp_last_committed_at = _Consumer(), {}
    thread.consumer = SimpleNamespace(assignment=lambda: {_TP})
    async with asyncio.timeout(30):
        assert await thread._commit({_TP: 7}) is False
        thread._consumer.there.set()
        assert await thread._commit({_TP: 7}) is True
    assert [offsets[_TP].offset for offsets in thread._consumer.committed] == [7]


def _compiled_stream(made: Any) -> Any:
    """Return a stream of Faust's that acknowledges for a consumer, as its extension module does."""
    module = pytest.importorskip("faust._cython.streams", reason="Faust has no compiled streams here")
    stream = MagicMock()
    stream.app.consumer, stream.app.conf = made, made.app.conf
    return module.StreamIterator(stream)


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_acknowledged_batches_leave_nothing_behind(is_compiled: bool) -> None:
    made = consumer()
    stream = _compiled_stream(made) if is_compiled else None
    for offset in (7, 7, 8, 3):
        message = ConsumerMessage(*_TP, offset, 0.0, 0, [], None, None, None, tp=_TP)
        message.refcount = 1
        made._unacked_messages.add(message)
        if stream:
            stream.after(SimpleNamespace(message=message), True, None)
        else:
            made.ack(message)
        assert message.acked and not made._unacked_messages
    assert not made._acked and not made._acked_index
