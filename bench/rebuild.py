"""How long `vca rebuild rollups` takes and holds inserts, for a number of raw rows, while events flow.

A worker stores the events; then more arrive at a steady rate while the roll-ups are rebuilt. In the end there
must be a raw row for every event sent, and `vca verify` must find no difference.

    python -m bench.rebuild --events 3000000 --rate 500
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import clickhouse_connect
import typer
from aiokafka import AIOKafkaProducer
from rich.console import Console

from bench.events import playback
from bench.stack import Stack, fill, process, stack

_TICK = 0.05
_PATIENCE = 600.0


class Flow(threading.Thread):
    """Sends events at a steady rate, from a thread of its own, until it is stopped."""

    def __init__(self, broker: str, topic: str, rate: float) -> None:
        """Prepare to send; `start` begins."""
        super().__init__(daemon=True)
        self._broker, self._topic, self._rate = broker, topic, rate
        self._ended = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send until stopped."""
        asyncio.run(self._send())

    def stop(self) -> int:
        """Stop, and return how many events were sent."""
        self._ended.set()
        self.join()
        return self.sent

    async def _send(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._broker, linger_ms=20)
        await producer.start()
        began = time.time()
        # A different seed from that of the stored events: none of these is a repeat.
        events = playback(1 << 40, start_ms=int(began * 1000), rate=self._rate, seed=2)
        while not self._ended.is_set():
            while self.sent < (time.time() - began) * self._rate and not self._ended.is_set():
                key, value, at = next(events)
                await producer.send(self._topic, value, key=key, timestamp_ms=at)
                self.sent += 1
            await asyncio.sleep(_TICK)
        await producer.stop()


@contextmanager
def _counting(running: Stack) -> Iterator[Callable[[], int]]:
    """Yield a function that counts the raw rows."""
    client = clickhouse_connect.get_client(dsn=running.settings.clickhouse_url)
    try:
        yield lambda: int(client.query("SELECT count() FROM playback_events").result_rows[0][0])
    finally:
        client.close()


def _until(rows: Callable[[], int], wanted: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (found := rows()) != wanted:
        if found > wanted or time.monotonic() > deadline:
            raise SystemExit(f"{found:,} raw rows of {wanted:,} events")
        time.sleep(_TICK)


def _vca(running: Stack, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, **running.environment, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"vca {' '.join(arguments)}:\n{done.stdout}")
    return done.stdout


def main(
    events: Annotated[int, typer.Option(min=1000, help="Events stored before the rebuild.")] = 3_000_000,
    rate: Annotated[float, typer.Option(min=1, help="Events per second during the rebuild.")] = 500.0,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rebuilds of the roll-ups.")] = 3,
) -> None:
    """Rebuild roll-ups while events flow; report how long it took and how long inserts were held."""
    console = Console()
    with stack() as running, _counting(running) as rows:
        broker, topic = running.settings.kafka_bootstrap_servers, running.settings.topic_playback
        asyncio.run(fill(running, events))
        with process(running, ["-m", "deploy.cli", "worker"], "worker.log"):
            _until(rows, events)
            flow = Flow(broker, topic, rate)
            flow.start()
            for number in range(1, rounds + 1):
                began = time.monotonic()
                said = " ".join(_vca(running, "rebuild", "rollups").split())
                held = re.search(r"held for ([\d.]+) s", said)
                console.print(
                    f"{number}: {time.monotonic() - began:.1f} s for {rows():,} raw rows,"
                    f" inserts held for {held[1] if held else '?'} s",
                    highlight=False,
                )
            sent = flow.stop()
            _until(rows, events + sent)
            began = time.monotonic()
            _vca(running, "verify", "--days", "0")
            console.print(
                f"{events + sent:,} events, each stored once; vca verify: everything agrees"
                f" ({time.monotonic() - began:.1f} s)",
                highlight=False,
            )


if __name__ == "__main__":
    typer.run(main)
