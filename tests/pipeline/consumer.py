"""The worker's Kafka consumer without a broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust

from streams.transport import BatchConsumer, batch_transport


async def nobody(_: Any) -> None:
    """Do nothing, as a callback for batches and for changes of the assignment."""


def consumer(take: Callable[[Any], Awaitable[None]] = nobody) -> BatchConsumer:
    """Make a consumer that hands its batches over to `take`, and reaches no broker."""
    app = faust.App("test", broker="kafka://nowhere", web_enabled=False)
    transport = batch_transport(None)(["kafka://nowhere"], app)  # type: ignore[arg-type]
    made = transport.create_consumer(
        take, on_partitions_revoked=nobody, on_partitions_assigned=nobody, beacon=app.beacon
    )
    return cast(BatchConsumer, made)
