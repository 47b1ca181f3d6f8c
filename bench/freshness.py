"""From produced to visible: how old is the newest number that the API tells, under load?

One view sends a heartbeat every 100 ms amid the load; its heartbeats say 1, 2, 3, ... seconds watched, so
an answer's watch time tells which of them it knows. The view is asked for all the time: once as the last
hour, which Redis answers, and once as the day, which ClickHouse answers. A heartbeat's freshness is the
time from handing it to the producer to the end of the first answer that holds it, so it has the wait for
the next question in it.

    python -m bench.freshness --rate 5000 --seconds 30

It uses the stack whose addresses are in the environment (as `.run/endpoints.env` holds them); without
any, it starts one of its own.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import msgspec
import typer
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from bench.events import playback
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.stack import command_line

TOPIC = "playback.events"
#: Seconds between heartbeats of the watched view, and between questions to each store.
_HEARTBEAT = 0.1
_ASK = 0.02
#: The load is sent in steps of this many seconds.
_STEP = 0.02
#: Heartbeats of the first seconds are not measured: the consumer group is still gathering.
_WARM_UP = 3.0
_NAMES = ("KAFKA_BOOTSTRAP_SERVERS", "API_URL", "API_KEY")


@dataclass(slots=True)
class Probe:
    """A view whose n-th heartbeat says n seconds watched."""

    video: str
    started_ms: int
    #: When each heartbeat was handed to the producer, on the monotonic clock; the first is number 1.
    sent: list[float] = field(default_factory=list)

    def event(self, now_ms: int) -> bytes:
        """Make the next event: the start of the view, then its heartbeats."""
        number = len(self.sent)
        common = {
            "eventId": f"{self.video}-{number}",
            "occurredAt": now_ms,
            "videoId": self.video,
            "viewId": self.video,
            "seq": number,
            "sessionId": "freshness",
            "viewerId": "freshness",
        }
        if not number:
            return msgspec.json.encode(common | {"type": "view.start", "startupMs": 0})
        totals = {
            "watchedMs": number * 1000,
            "rebufferMs": 0,
            "rebufferCount": 0,
            "startedAt": self.started_ms,
        }
        return msgspec.json.encode(common | {"type": "view.progress"} | totals)


@dataclass(slots=True)
class Seen:
    """What one store's answers have shown: seconds from sent to seen, by heartbeat."""

    name: str
    parameters: dict[str, str]
    source: str
    newest: int = 0
    ages: dict[int, float] = field(default_factory=dict)
    answers: int = 0

    def take(self, watched: int, now: float, sent: list[float]) -> None:
        """Take in an answer that knows `watched` heartbeats."""
        self.answers += 1
        for number in range(self.newest + 1, watched + 1):
            self.ages[number] = now - sent[number]
        self.newest = max(self.newest, watched)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: events sent a second, and each store's ages in seconds, sorted."""

    rate: float
    ages: dict[str, list[float]]
    unseen: dict[str, int]


def percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


async def measure(endpoints: dict[str, str], rate: float, seconds: float) -> Outcome:
    """Run the load and ask all along."""
    producer = AIOKafkaProducer(
        bootstrap_servers=endpoints["KAFKA_BOOTSTRAP_SERVERS"], linger_ms=5, max_batch_size=262_144
    )
    await producer.start()
    headers = {"Authorization": f"Bearer {endpoints['API_KEY']}"}
    seen = [
        Seen("Redis (last hour)", {"period": "1h"}, "redis"),
        Seen("ClickHouse (day)", {"period": "1d"}, "clickhouse"),
    ]
    try:
        async with aiohttp.ClientSession(endpoints["API_URL"], headers=headers) as session:
            probe = Probe(f"probe_{time.time_ns():x}", int(time.time() * 1000))
            await _beat(producer, probe)
            await _until_known(session, probe, seen)
            count = int(rate * (seconds + _WARM_UP))
            # Encoded beforehand: on the same core it would delay the heartbeats.
            events = list(playback(count, start_ms=int(time.time() * 1000), rate=rate))
            started = time.monotonic()
            stop = started + seconds + _WARM_UP
            load = asyncio.create_task(_load(producer, rate, events))
            asking = [asyncio.create_task(_ask(session, probe, store, stop + 10)) for store in seen]
            while time.monotonic() < stop:
                await _beat(producer, probe)
                await asyncio.sleep(_HEARTBEAT)
            sent, took = await load
            measured = [n for n, at in enumerate(probe.sent) if n and at >= started + _WARM_UP]
            await asyncio.wait(asking, timeout=10, return_when=asyncio.ALL_COMPLETED)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
    finally:
        await producer.stop()
    ages = {store.name: sorted(store.ages[n] for n in measured if n in store.ages) for store in seen}
    unseen = {store.name: sum(n not in store.ages for n in measured) for store in seen}
    return Outcome(sent / took, ages, unseen)


async def _beat(producer: AIOKafkaProducer, probe: Probe) -> None:
    now_ms = int(time.time() * 1000)
    value = probe.event(now_ms)
    probe.sent.append(time.monotonic())
    await producer.send(TOPIC, value, key=probe.video.encode(), timestamp_ms=now_ms)


async def _until_known(session: aiohttp.ClientSession, probe: Probe, seen: list[Seen]) -> None:
    """Wait until every store knows the view: a new stack's worker takes seconds to begin."""
    async with asyncio.timeout(60):
        for store in seen:
            while await _watched(session, probe, store) is None:
                await asyncio.sleep(0.1)


async def _watched(session: aiohttp.ClientSession, probe: Probe, store: Seen) -> int | None:
    """Ask for the probe's watch time in seconds; None while the API does not know the view."""
    asked = store.parameters | {"metrics": "views,engagement", "compare": "none"}
    async with session.get(f"/analytics/videos/{probe.video}", params=asked) as response:
        if response.status in (404, 503):
            return None
        response.raise_for_status()
        answer: dict[str, Any] = msgspec.json.decode(await response.read())
    if answer["meta"]["source"] != store.source:
        raise RuntimeError(f"{store.name} was answered by {answer['meta']['source']}: is a store down?")
    if not answer["data"]["views"]["total"]:
        return None
    return round(answer["data"]["engagement"]["averageWatchTime"] or 0)


async def _ask(session: aiohttp.ClientSession, probe: Probe, store: Seen, until: float) -> None:
    """Ask one store again and again, until it has shown the last heartbeat or time is over."""
    while (now := time.monotonic()) < until:
        watched = await _watched(session, probe, store)
        store.take(watched or 0, time.monotonic(), probe.sent)
        if now > until - 10 and store.newest >= len(probe.sent) - 1:
            return
        await asyncio.sleep(_ASK)


async def _load(
    producer: AIOKafkaProducer, rate: float, events: list[tuple[bytes, bytes, int]]
) -> tuple[int, float]:
    """Send events at a rate; return how many were sent and in how many seconds."""
    begin, sent = time.monotonic(), 0
    while sent < len(events):
        due = min(len(events), int((time.monotonic() - begin) * rate))
        for key, value, _ in events[sent:due]:
            await producer.send(TOPIC, value, key=key, timestamp_ms=int(time.time() * 1000))
        sent = max(sent, due)
        await asyncio.sleep(_STEP)
    return sent, time.monotonic() - begin


@contextmanager
def running_stack() -> Iterator[dict[str, str]]:
    """Yield the addresses of the stack in the environment, or of one that is started for the while."""
    given = {name: os.environ[name] for name in _NAMES if name in os.environ}
    if len(given) == len(_NAMES):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="freshness-") as folder:
        run = Path(folder) / ".run"
        up = Child(
            "up",
            command_line("up", "--run-dir", str(run), "--api-port", str(free_port())),
            Path(folder) / "up.log",
            {**module_environment(), "RATE_LIMIT": "none"},
        )
        try:
            ready = run / "endpoints.env"
            if not wait_until(time.monotonic() + 60, ready.exists, up):
                raise RuntimeError(f"`vca up` did not get ready:\n{up.tail()}")
            yield dict(line.split("=", 1) for line in ready.read_text().splitlines())
        finally:
            up.stop(30)


def table(outcome: Outcome) -> Table:
    """Lay out an outcome."""
    shown = Table(title=f"Produced to visible at {outcome.rate:,.0f} events/s", title_justify="left")
    shown.add_column("Answered by")
    for name in ("p50", "p99", "max", "heartbeats", "not seen"):
        shown.add_column(name, justify="right")
    milliseconds: Callable[[float], str] = lambda seconds: f"{seconds * 1000:,.0f} ms"  # noqa: E731
    for name, ages in outcome.ages.items():
        spread = [percentile(ages, share) for share in (0.5, 0.99, 1.0)] if ages else []
        cells = [milliseconds(age) for age in spread] or ["-"] * 3
        shown.add_row(name, *cells, f"{len(ages):,}", f"{outcome.unseen[name]:,}")
    return shown


def main(
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 5000,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure.")] = 30,
) -> None:
    """Measure how long it takes from an event's sending to an API answer that holds it."""
    with running_stack() as endpoints:
        Console().print(table(asyncio.run(measure(endpoints, rate, seconds))))


if __name__ == "__main__":
    typer.run(main)
