"""Events per second of the whole pipeline, compared with a stock Faust agent that only decodes, in one run.

The topic is filled beforehand. Our worker is done when both stores have every event, acknowledged and
in the ledger; the stock agent when it has decoded its share of the same topic. All servers run on the
same machine. Compare ratios within a run: absolute numbers depend on the machine and its load.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import psutil
from redis import Redis
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.stack import Stack, Worker, cpu_seconds, fill, filled_at_once, process, stack, workers
from sinks.redis import keys
from streams.topics import cluster_id

_MILLION = 1_000_000
#: Events of the stock agent's run, and enough that the seconds of joining the group matter little.
_STOCK_EVENTS = 100_000


@dataclass
class Run:
    """The result of one program's run."""

    events: int
    seconds: float
    cpu: float
    peak_mb: float
    servers: dict[str, float] = field(default_factory=dict)
    #: Resident memory in MB after each million events.
    memory: dict[int, float] = field(default_factory=dict)
    #: CPU seconds of each worker.
    by_worker: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def ours(stack: Stack, topic: str, count: int) -> Run:
    """Run our worker over the topic until both stores have all of it."""
    with process(stack, ["-m", "deploy.cli", "worker"], "worker.log") as child:
        return watch(stack, topic, count, [Worker(child, stack.folder / "worker.log", "")])


async def all_at_once(
    stack: Stack,
    events: int,
    count: int = 1,
    beside: Callable[[Sequence[Worker]], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> Run:
    """Start `count` workers on an empty topic, send all events once partitions are assigned, and `watch`.

    The context that `beside` returns for the workers is open during the run.
    """
    async with filled_at_once(stack, events) as load:
        with workers(stack, count) as gathered, beside(gathered):
            sending = asyncio.create_task(load.flush())
            run = await asyncio.to_thread(watch, stack, stack.settings.topic_playback, events, gathered)
            await sending
    return run


def watch(stack: Stack, topic: str, count: int, running: Sequence[Worker]) -> Run:
    """Wait until both stores have `count` events of a topic; return time and resources used.

    The measurement starts when the first events are counted: before that, the group forms.
    """
    redis = Redis.from_url(stack.settings.redis_url, decode_responses=True)
    cluster = asyncio.run(cluster_id(stack.settings))
    ledgers = [keys.ledger(keys.tag(cluster, topic, n)) for n in range(stack.settings.topic_partitions)]
    pids = [worker.process.pid for worker in running]
    with Progress() as progress:
        task = progress.add_task("pipeline", total=count)
        began, cpu, servers = 0.0, [0.0] * len(pids), {}
        run = Run(count, 0.0, 0.0, 0.0)
        while True:
            for worker in running:
                worker.check()
            asked = redis.pipeline(transaction=False)
            for ledger in ledgers:
                asked.hmget(ledger, ["counted", "block_to", "done"])
            found = asked.execute()
            counted = sum(int(c or 0) for c, _, _ in found)
            stored = sum(int(to or 0) for _, to, done in found if done == "1")
            if not began and counted:
                began, cpu, servers = time.monotonic(), [cpu_seconds(pid) for pid in pids], stack.cpu()
                run.events = count - counted
            memory = sum(worker.process.memory_info().rss for worker in running) / 1e6
            run.peak_mb = max(run.peak_mb, memory)
            million = counted // _MILLION
            if million and million not in run.memory:
                run.memory[million] = memory
            progress.update(task, completed=counted)
            if stored >= count:
                break
            time.sleep(0.05)
        run.seconds = time.monotonic() - began
        run.by_worker = [cpu_seconds(pid) - before for pid, before in zip(pids, cpu, strict=True)]
        run.cpu = sum(run.by_worker)
        run.servers = {name: used - servers[name] for name, used in stack.cpu().items()}
    return run


def metered(
    stack: Stack,
    name: str,
    arguments: list[str],
    environment: dict[str, str],
    wanted: int,
    python: str | None = None,
) -> Run:
    """Run a program that prints its progress, until it has processed `wanted` events."""
    log = stack.folder / f"{name}.log"
    stack = stack.with_environment(environment)
    with process(stack, arguments, log.name, python=python) as program, Progress() as progress:
        task, peak, servers = progress.add_task(name, total=wanted), 0.0, stack.cpu()
        while True:
            lines = [line.split() for line in log.read_text().splitlines() if line[:1].isdigit()]
            done = int(lines[-1][0]) if lines else 0
            progress.update(task, completed=done)
            if done >= wanted:
                break
            if program.poll() is not None:
                raise SystemExit(f"{name} ended: {log.read_text()[-2000:]}")
            peak = max(peak, psutil.Process(program.pid).memory_info().rss / 1e6)
            time.sleep(0.1)
        used = {server: cpu - servers[server] for server, cpu in stack.cpu().items()}
    (first, seconds0, cpu0), (last, seconds1, cpu1) = lines[0], lines[-1]
    events = int(last) - int(first)
    run = Run(events, float(seconds1) - float(seconds0), float(cpu1) - float(cpu0), peak)
    run.servers = {server: cpu * events / int(last) for server, cpu in used.items()}
    return run


def stock(stack: Stack, topic: str, count: int) -> Run:
    """Run the stock agent over a share of the same topic."""
    environment = {
        "STOCK_FAUST_TOPIC": topic,
        "STOCK_FAUST_NAME": stack.settings.consumer_group,
        "STOCK_FAUST_DATADIR": str(stack.folder / "stock-faust"),
    }
    wanted = min(count, _STOCK_EVENTS) // 10_000 * 10_000
    return metered(stack, "stock", ["-m", "bench.stock_faust"], environment, wanted)


def main() -> None:
    """Fill the topic, run both programs, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--events", type=int, default=_MILLION, help="events in the topic (default 1000000)")
    parser.add_argument("--no-stock", action="store_true", help="leave the stock Faust agent out")
    options = parser.parse_args()
    console = Console()
    with stack() as running:
        topic = running.settings.topic_playback
        asyncio.run(fill(running, options.events))
        run = ours(running, topic, options.events)
        other = None if options.no_stock else stock(running, topic, options.events)
    table = Table(title=f"{options.events:,} events, {psutil.cpu_count()} cores for everything")
    for column in ("program", "events/s", "CPU µs/event", "CPU s/million", "peak MB"):
        table.add_column(column, justify="left" if column == "program" else "right")
    for name, each in (
        ("pipeline, exactly once into both stores", run),
        ("stock Faust, decodes only", other),
    ):
        if each:
            micros = each.cpu / each.events * 1e6
            table.add_row(name, f"{each.rate:,.0f}", f"{micros:.1f}", f"{micros:.1f}", f"{each.peak_mb:.0f}")
    console.print(table)
    for name, used in run.servers.items():
        console.print(f"  {name}: {used / run.events * 1e6:.1f} CPU µs/event")
    if other:
        console.print(f"ratio: {run.rate / other.rate:.1f} times stock Faust")
    if len(run.memory) > 1:
        first, last = min(run.memory), max(run.memory)
        growth = run.memory[last] / run.memory[first] - 1
        console.print(f"memory from million {first} to {last}: {growth:+.1%} ({run.memory})")


if __name__ == "__main__":
    main()
