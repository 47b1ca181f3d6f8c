"""Bytewax: decodes each event, or does the pipeline's work (WORK=1), without its recovery store."""

from __future__ import annotations

import json
import os
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main
from meter import Meter  # a script beside this one
from work import ROWS, Work

meter = Meter()


class _Writing(StatelessSinkPartition[KafkaSourceMessage[Any, Any]]):
    def __init__(self) -> None:
        self._work = Work()

    def write_batch(self, items: list[KafkaSourceMessage[Any, Any]]) -> None:
        for item in items:
            self._work.take(item.value, item.offset or 0, item.partition or 0, (item.timestamp or (0, 0))[1])
        if len(self._work.rows) >= ROWS:
            meter.add(self._work.flush())

    def close(self) -> None:
        meter.add(self._work.flush())


class Stores(DynamicSink[KafkaSourceMessage[Any, Any]]):
    """A sink that does the pipeline's work, into both stores."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Writing:
        """Make one worker's part."""
        return _Writing()


class _Nothing(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        meter.add(len(items))


class Nowhere(DynamicSink[Any]):
    """A sink that counts events and drops them."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Nothing:
        """Make one worker's part."""
        return _Nothing()


flow = Dataflow("peer")
source = KafkaSource([os.environ["KAFKA_BOOTSTRAP_SERVERS"]], [os.environ["TOPIC"]], batch_size=5000)
messages = op.input("read", flow, source)
if os.environ.get("WORK") == "1":
    op.output("write", messages, Stores())
else:
    op.output("count", op.map("decode", messages, lambda message: json.loads(message.value)), Nowhere())

if __name__ == "__main__":
    cli_main(flow)
