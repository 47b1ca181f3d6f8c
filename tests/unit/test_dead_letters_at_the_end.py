"""Dead letters of a worker that is told to end: its producer may be gone before its last batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.transport.drivers.aiokafka import Producer

from sinks.base import Unavailable
from streams.broker import FaustBroker
from streams.settings import Settings


async def test_a_producer_that_has_ended_is_waited_for_and_ends_no_worker() -> None:
    app: Any = faust.App("ended", broker="kafka://127.0.0.1:9", datadir="/nonexistent")
    # Faust's own, which was never started, or stopped since.
    producer = Producer(app.transport)
    broker = FaustBroker(cast(faust.App, SimpleNamespace(producer=producer)), Settings())
    with pytest.raises(Unavailable, match="producer"):
        await broker.dead_letter(b"key", b"value", [])
