"""The load of `bench.freshness`: `python -m bench.freshness_load RATE SECONDS STEP` sends events at a rate.

It sends the events that are due every `STEP` seconds. It prints `ready` when the events are made, and at the
end the number of events sent and the seconds taken.
"""

from __future__ import annotations

import asyncio
import sys
import time

from bench.events import playback
from bench.load import Load
from streams.settings import Settings


async def _send(rate: float, seconds: float, step: float) -> None:
    settings = Settings()
    # Encoded beforehand: encoding during the run would take CPU from the measured programs. The views are new
    # and begin with their first event: looking up views is work of a worker that has just started.
    now_ms, seed = int(time.time() * 1000), time.time_ns()
    events = list(playback(int(rate * seconds), start_ms=now_ms, rate=rate, seed=seed, under_way=False))
    async with Load(
        settings.kafka_bootstrap_servers, settings.topic_playback, settings.topic_partitions
    ) as load:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        begin, sent = time.monotonic(), 0
        while sent < len(events):
            due = min(len(events), int((time.monotonic() - begin) * rate))
            now_ms = int(time.time() * 1000)
            for key, value, _ in events[sent:due]:
                await load.add(key, value, now_ms)
            await load.push()
            sent = max(sent, due)
            await asyncio.sleep(step)
        took = time.monotonic() - begin
    sys.stdout.write(f"{sent} {took}\n")


if __name__ == "__main__":
    asyncio.run(_send(*map(float, sys.argv[1:])))
