"""Freshness under load: the time from producing an event until a store or the API returns it.

One view sends a heartbeat every 100 ms amid the load; its heartbeats report 1, 2, 3, ... seconds watched, so
a watch time shows the newest heartbeat that is included. The benchmark polls four sources for it: Redis' live
counters, ClickHouse's roll-up `video_15m`, and the API for the last hour (answered from Redis) and for the
day (answered from ClickHouse). A heartbeat's freshness is the time from handing it to the producer to the end
of the first answer that includes it, so the interval between two polls is part of it.

    python -m bench.freshness --rate 1000 --rate 10000 --rate 50000
    python -m bench.freshness --rate 10000 --behind 1000000

With `--behind`, that many events, spread over an hour of log time, gather before the worker starts; it starts
under the load, and the benchmark reports how long it takes until a number is fresh again, and at which rate
the worker caught up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import aiohttp
import clickhouse_connect
import msgspec
import psutil
import typer
from redis.asyncio import Redis
from rich.table import Table

from bench.command import Broker, wide_console
from bench.load import Load
from bench.stack import PARTITIONS, Stack, api, cpu_seconds, fill, process, stack, workers
from bench.tables import inserts
from sinks.clickhouse.client import options
from sinks.redis import keys
from streams.topics import cluster_id

#: The load is sent in steps of this many seconds.
_STEP: Final = 0.02
#: Seconds between heartbeats of the watched view.
_HEARTBEAT: Final = 0.1
#: Seconds between an answer and the next query. A query of ClickHouse's roll-up costs 3.5 ms of CPU time, one
#: of the API more: polling is load too.
_ASK_REDIS, _ASK_CLICKHOUSE, _ASK_API = 0.01, 0.04, 0.1
#: Heartbeats of the first seconds are not measured.
_WARM_UP: Final = 3.0
#: Longest wait for the last heartbeat, in seconds.
_PATIENCE: Final = 10.0
#: A number this old, in seconds, is fresh again after a pause.
_FRESH: Final = 1.0
_HOUR: Final = 3600.0

Know = Callable[[], Awaitable[int]]
"""Returns how many heartbeats are known."""


@dataclass(slots=True)
class Probe:
    """A view whose n-th heartbeat reports n seconds watched."""

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

    async def beat(self, load: Load) -> None:
        """Send the next event."""
        now_ms = int(time.time() * 1000)
        value = self.event(now_ms)
        self.sent.append(time.monotonic())
        await load.add(self.video.encode(), value, now_ms)
        await load.push()


@dataclass(slots=True)
class Seen:
    """The answers of one source: seconds from sending to seeing, by heartbeat."""

    name: str
    know: Know
    pause: float
    newest: int = 0
    ages: dict[int, float] = field(default_factory=dict)
    #: When an answer first included a heartbeat that was fresh, on the monotonic clock.
    fresh_at: float = 0.0

    def take(self, known: int, now: float, sent: list[float]) -> None:
        """Record an answer that includes the first `known` heartbeats."""
        for number in range(self.newest + 1, known + 1):
            self.ages[number] = now - sent[number]
        if known > self.newest and not self.fresh_at and self.ages[known] < _FRESH:
            self.fresh_at = now
        self.newest = max(self.newest, known)

    async def watch(self, probe: Probe, until: float, last: Callable[[], int | None]) -> None:
        """Query repeatedly until the last heartbeat was seen or the time is up."""
        while time.monotonic() < until and ((end := last()) is None or self.newest < end):
            known = await self.know()
            self.take(known, time.monotonic(), probe.sent)
            await asyncio.sleep(self.pause)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a run: events sent a second, each source's ages in seconds, sorted, and CPU used."""

    rate: float
    ages: dict[str, list[float]]
    unseen: dict[str, int]
    #: Share of a core that each process used.
    cores: dict[str, float]
    inserts: float
    #: Seconds until a number was fresh.
    fresh_after: dict[str, float]


def percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


@contextmanager
def loading(stack: Stack, rate: float, seconds: float, step: float = _STEP) -> Iterator[psutil.Popen]:
    """Send the load from a process of its own; in this one it would delay heartbeats and queries."""
    arguments = ["-m", "bench.freshness_load", str(rate), str(seconds), str(step)]
    with process(stack, arguments, "load.log") as child:
        log = stack.folder / "load.log"
        while "ready" not in log.read_text():
            if child.poll() is not None:
                raise SystemExit(f"the load ended: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield child


class Asking:
    """Queries the stores and the API for a probe's watch time."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, probe: Probe, cluster: str) -> None:
        """Query for a probe's view; `session` is bound to the API."""
        settings = stack.settings
        self._session, self._probe = session, probe
        self._redis = Redis.from_url(settings.redis_url)
        self._clickhouse_url = settings.clickhouse_url
        numbers = range(settings.topic_partitions)
        self._tags = [keys.tag(cluster, settings.topic_playback, number) for number in numbers]

    async def start(self) -> list[Seen]:
        """Connect, and return the sources to query."""
        self._clickhouse = await clickhouse_connect.get_async_client(
            **options(self._clickhouse_url, "videocloud")
        )
        return [
            Seen("Redis", self._ask_redis, _ASK_REDIS),
            Seen("ClickHouse", self._ask_clickhouse, _ASK_CLICKHOUSE),
            Seen("API, last hour (Redis)", lambda: self._ask_api("1h", "redis"), _ASK_API),
            Seen("API, day (ClickHouse)", lambda: self._ask_api("1d", "clickhouse"), _ASK_API),
        ]

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()
        await self._clickhouse.close()

    async def _ask_redis(self) -> int:
        pipeline = self._redis.pipeline(transaction=False)
        first = self._probe.started_ms // 60_000
        for tag in self._tags:
            for minute in range(first, int(time.time()) // 60 + 1):
                pipeline.hget(keys.video(tag, 0, minute, self._probe.video), "watched_ms")
        return sum(int(each or 0) for each in await pipeline.execute()) // 1000

    async def _ask_clickhouse(self) -> int:
        found = await self._clickhouse.query(
            "SELECT sum(watched_ms) FROM video_15m WHERE video_id = {video:String}",
            parameters={"video": self._probe.video},
        )
        return int(found.result_rows[0][0]) // 1000

    async def _ask_api(self, period: str, source: str) -> int:
        asked = {"period": period, "metrics": "views,engagement", "compare": "none"}
        async with self._session.get(f"/analytics/videos/{self._probe.video}", params=asked) as response:
            if response.status in (404, 503):
                return 0
            response.raise_for_status()
            answer: dict[str, Any] = msgspec.json.decode(await response.read())
        if answer["meta"]["source"] != source:
            raise RuntimeError(f"{period} was answered by {answer['meta']['source']}: is a store down?")
        if not answer["data"]["views"]["total"]:
            return 0
        return round(answer["data"]["engagement"]["averageWatchTime"] or 0)


async def measure(
    stack: Stack, api_url: str, pids: Mapping[str, int], rate: float, seconds: float
) -> Outcome:
    """Run the load and query throughout; start a worker with the load unless `pids` has one."""
    settings, away = stack.settings, "worker" not in pids
    probe = Probe(f"probe_{time.time_ns():x}", int(time.time() * 1000))
    async with AsyncExitStack() as leaving:
        enter, begin = leaving.enter_async_context, leaving.enter_context
        session = await enter(aiohttp.ClientSession(api_url))
        load = await enter(
            Load(settings.kafka_bootstrap_servers, settings.topic_playback, settings.topic_partitions)
        )
        asking = Asking(stack, session, probe, await cluster_id(settings))
        seen = await asking.start()
        leaving.push_async_callback(asking.close)
        await probe.beat(load)
        if not away:
            await probe.beat(load)
            async with asyncio.timeout(60):
                for each in seen:
                    while not await each.know():
                        await asyncio.sleep(0.1)
        warm_up = 0.0 if away else _WARM_UP
        child = begin(loading(stack, rate, seconds + warm_up))
        if away:
            worker = begin(process(stack, ["-m", "deploy.cli", "worker"], "worker.log"))
            pids = {**pids, "worker": worker.pid}
        last: int | None = None
        started = time.monotonic()
        stop = started + seconds + warm_up
        watching = [asyncio.create_task(each.watch(probe, stop + _PATIENCE, lambda: last)) for each in seen]
        cpu, inserted = _cpu(stack, pids), await asyncio.to_thread(inserts, settings.clickhouse_url)
        while time.monotonic() < stop:
            await probe.beat(load)
            await asyncio.sleep(_HEARTBEAT)
        took, used = time.monotonic() - started, _cpu(stack, pids)
        wrote = await asyncio.to_thread(inserts, settings.clickhouse_url)
        last = len(probe.sent) - 1
        await asyncio.gather(*watching)
        child.wait(60)
        sent, sending = (stack.folder / "load.log").read_text().split()[-2:]
    measured = [n for n, at in enumerate(probe.sent) if n and at >= started + warm_up]
    return Outcome(
        rate=int(sent) / float(sending),
        ages={each.name: sorted(each.ages[n] for n in measured if n in each.ages) for each in seen},
        unseen={each.name: sum(n not in each.ages for n in measured) for each in seen},
        cores={name: (used[name] - cpu[name]) / took for name in used},
        inserts=(wrote - inserted) / took,
        fresh_after={each.name: each.fresh_at - started for each in seen if each.fresh_at},
    )


def _cpu(stack: Stack, pids: Mapping[str, int]) -> dict[str, float]:
    return stack.cpu() | {name: cpu_seconds(pid) for name, pid in pids.items()}


def table(outcomes: Sequence[Outcome]) -> Table:
    """Return a table of the outcomes, with ages in milliseconds."""
    shown = Table(title="Produced to visible, milliseconds", title_justify="left")
    shown.add_column("seen by")
    for outcome in outcomes:
        for name in ("p50", "p99", "max", "unseen"):
            shown.add_column(f"{name}\n{outcome.rate:,.0f}/s", justify="right")
    for name in outcomes[0].ages:
        cells = []
        for outcome in outcomes:
            ages = outcome.ages[name]
            spread = [percentile(ages, share) for share in (0.5, 0.99, 1.0)] if ages else []
            cells += [f"{age * 1000:,.0f}" for age in spread] or ["-"] * 3
            cells.append(f"{outcome.unseen[name]:,}")
        shown.add_row(name, *cells)
    return shown


def after_a_pause(outcome: Outcome, behind: int) -> Table:
    """Return a table of the time to catch up with `behind` events, the worker's start included."""
    shown = Table(
        title=f"After {behind:,} events gathered, at {outcome.rate:,.0f} events/s", title_justify="left"
    )
    shown.add_column("seen by")
    for name in ("fresh again after", "caught up at"):
        shown.add_column(name, justify="right")
    for name in outcome.ages:
        if (seconds := outcome.fresh_after.get(name)) is None:
            shown.add_row(name, "not yet", "-")
        else:
            shown.add_row(name, f"{seconds:.1f} s", f"{behind / seconds + outcome.rate:,.0f} events/s")
    return shown


def main(
    rate: Annotated[
        list[float] | None, typer.Option(min=1, help="Events per second; repeat for more. [default: 10000]")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure each.")] = 30,
    behind: Annotated[int, typer.Option(min=0, help="Events in the topic before the worker starts.")] = 0,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the topic.")] = PARTITIONS,
    broker: Broker = "stand-in",
) -> None:
    """Measure how long it takes from an event's sending to an answer that holds it."""
    console = wide_console()
    rates = rate or [10_000.0]
    with stack(kafka=broker == "kafka", partitions=partitions) as running, api(running) as (url, answering):
        pids = {"API": answering.pid}
        if behind:
            asyncio.run(fill(running, behind, rate=behind / _HOUR))
            outcome = asyncio.run(measure(running, url, pids, rates[0], seconds))
            console.print(after_a_pause(outcome, behind))
            return
        outcomes = []
        with workers(running) as (worker,):
            for each in rates:
                pids["worker"] = worker.process.pid
                outcomes.append(asyncio.run(measure(running, url, pids, each, seconds)))
        console.print(table(outcomes))
        for outcome in outcomes:
            used = ", ".join(f"{name} {cores:.2f}" for name, cores in outcome.cores.items())
            console.print(f"{outcome.rate:,.0f} events/s: {outcome.inserts:.1f} inserts/s; cores: {used}")


if __name__ == "__main__":
    typer.run(main)
