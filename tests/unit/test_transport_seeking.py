"""What is sought is handed over, whatever was read before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.assignment import Fetched
from tests.pipeline.consumer import consumer

_TP = TP("playback.events", 0)


def _fetched(start: int, end: int) -> Fetched:
    records: list[Any] = [SimpleNamespace(offset=n, timestamp=n) for n in range(start, end)]
    return Fetched(start, records)


async def test_a_batch_from_before_a_seek_does_not_have_what_was_sought_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[tuple[int, int]] = []
    done = asyncio.Event()

    async def take(message: Any) -> None:
        batch = message.value
        taken.append((batch.start, len(batch.records)))
        if len(taken) == 1:
            # Another log: whoever takes this goes back to its start, before Faust notes what was taken.
            await reading.seek_to({_TP: 0})

    reading = consumer(take)
    coming = [_fetched(45, 46), _fetched(0, 39), _fetched(39, 44)]

    async def nowhere(offsets: Any) -> None:
        assert offsets == {_TP: 0}

    async def getmany(timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        while coming:
            yield _TP, reading._message(_TP, coming.pop(0))
        done.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(reading._thread, "seek_to", nowhere)
    monkeypatch.setattr(reading, "getmany", getmany)
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    draining = asyncio.create_task(reading._drain_messages(fetcher))
    await asyncio.wait({draining, waiting := asyncio.create_task(done.wait())}, return_when="FIRST_COMPLETED")
    for task in (draining, waiting):
        task.cancel()
    await asyncio.gather(draining, waiting, return_exceptions=True)
    assert taken == [(45, 1), (0, 39), (39, 5)]
