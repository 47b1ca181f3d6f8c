"""Quix Streams: decodes each event, or does the pipeline's work at least once (WORK=1)."""

from __future__ import annotations

import json
import os
from typing import Any

from meter import Meter  # a script beside this one
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch
from work import ROWS, Work

meter = Meter()


class Stores(BatchingSink):
    """Writes a partition's events of a checkpoint to both stores; offsets are committed afterwards."""

    def __init__(self) -> None:
        """Connect."""
        super().__init__()
        self._work = Work()

    def write(self, batch: SinkBatch) -> None:
        """Write a batch. An exception ends the checkpoint before its offsets are committed."""
        for item in batch:
            self._work.take(item.value, item.offset, batch.partition, item.timestamp)
        meter.add(self._work.flush())


def decode(value: bytes) -> Any:
    """Decode one event."""
    meter.add(1)
    return json.loads(value)


app = Application(
    broker_address=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
    consumer_group=os.environ["GROUP"],
    auto_offset_reset="earliest",
    commit_every=ROWS,
    loglevel="WARNING",
    consumer_extra_config={"session.timeout.ms": 6000, "heartbeat.interval.ms": 1500},
    use_changelog_topics=False,
)
topic = app.topic(os.environ["TOPIC"], value_deserializer="bytes", key_deserializer="bytes")
frame = app.dataframe(topic)
if os.environ.get("WORK") == "1":
    frame.sink(Stores())
else:
    frame.apply(decode)

if __name__ == "__main__":
    app.run()
