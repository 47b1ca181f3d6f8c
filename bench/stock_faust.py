"""A stock Faust agent, as a user would first write it: it gets and decodes one message at a time."""

from __future__ import annotations

import json
import os
import sys
import time

import faust

app = faust.App(
    f"stock-faust-{os.environ.get('STOCK_FAUST_NAME', '')}",
    broker=f"kafka://{os.environ['KAFKA_BOOTSTRAP_SERVERS']}",
    value_serializer="raw",
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.5,
    broker_rebalance_timeout=3.0,
    web_enabled=False,
    topic_disable_leader=True,
    datadir=os.environ.get("STOCK_FAUST_DATADIR", "/tmp/stock-faust"),
)
count = 0
began = 0.0


@app.agent(app.topic(os.environ["STOCK_FAUST_TOPIC"], value_type=bytes))
async def decode(stream):  # type: ignore[no-untyped-def]
    """Decode each message, and print the progress every ten thousand."""
    global count, began
    async for value in stream:
        json.loads(value)
        count += 1
        if count == 1:
            began = time.monotonic()
        if not count % 10_000:
            sys.stdout.write(f"{count} {time.monotonic() - began} {time.process_time()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
