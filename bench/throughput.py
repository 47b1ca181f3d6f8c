"""Events per second compared with alternatives and with lower bounds, all in one run.

One topic is filled; every program reads all of it, with all servers on the same machine. Some programs
only decode; those that do the pipeline's work also write the same tables (in a database of their own) and
the same kind of counters, at least once. The lower bounds are aiokafka that only reads, and ClickHouse that
only inserts rows encoded beforehand.

    make peers                                    # the other frameworks, into .venv-peers
    .venv/bin/python -m bench.throughput --events 1000000
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.table import Table

from bench import inserts
from bench.command import Broker, wide_console
from bench.pipeline import Run, metered, ours, stock
from bench.stack import PARTITIONS, Stack, fill, stack
from sinks.clickhouse.migrator import migrate

_PEERS = Path(__file__).with_name("peers")
_PYTHON = Path(".venv-peers/bin/python")
#: Events between two progress lines of a program; the first lines also measure the forming of the group.
_STEP = 10_000


@dataclass(frozen=True, slots=True)
class Program:
    """One row of the table."""

    name: str
    run: Callable[[Stack, str, int], Run]
    #: Whether the program writes to both stores.
    works: bool = False


def _peer(name: str, script: str, *, works: bool) -> Program:
    def run(stack: Stack, topic: str, count: int) -> Run:
        label = f"{script.removesuffix('.py')}{'_work' if works else ''}"
        environment = {"TOPIC": topic, "GROUP": label, "WORK": str(int(works))}
        if works:
            url = f"{stack.settings.clickhouse_url.rpartition('/')[0]}/{label}"
            migrate(url)
            environment["CLICKHOUSE_URL"] = url
        # The last events may wait in a batch that never becomes full.
        wanted = (count - 50_000 if works else count - PARTITIONS * _STEP) // _STEP * _STEP
        return metered(stack, label, [str(_PEERS / script)], environment, wanted, str(_PYTHON.absolute()))

    return Program(name, run, works)


def reading(stack: Stack, topic: str, count: int) -> Run:
    """Read the topic's records with aiokafka, and discard them."""
    wanted = (count - PARTITIONS * _STEP) // _STEP * _STEP
    return metered(stack, "aiokafka", ["-m", "bench.raw_reader"], {"TOPIC": topic}, wanted, None)


def inserting(
    how: Callable[[str, int], Awaitable[tuple[int, float]]], database: str
) -> Callable[[Stack, str, int], Run]:
    """Return a program that inserts with `how` into a database of its own."""

    def run(stack: Stack, _topic: str, count: int) -> Run:
        url = f"{stack.settings.clickhouse_url.rpartition('/')[0]}/{database}"
        migrate(url)
        before = stack.cpu()

        async def insert() -> tuple[int, float]:
            return await how(url, count)

        run = Run(*asyncio.run(insert()), cpu=0.0, peak_mb=0.0)
        run.servers = {name: cpu - before[name] for name, cpu in stack.cpu().items()}
        return run

    return run


PROGRAMS = (
    Program("this pipeline: exactly once into both stores", ours, works=True),
    _peer("Quix Streams: the same work, at least once", "quix.py", works=True),
    _peer("Bytewax: the same work, at most once", "bytewax_flow.py", works=True),
    Program("stock Faust: decodes", stock),
    _peer("Quix Streams: decodes", "quix.py", works=False),
    _peer("Bytewax: decodes", "bytewax_flow.py", works=False),
    Program("floor: aiokafka reads raw records", reading),
    Program("floor: ClickHouse takes the pipeline's blocks", inserting(inserts.as_the_pipeline, "floor")),
    Program("floor: ClickHouse takes JSONEachRow", inserting(inserts.as_json_each_row, "floor_json")),
)


def table(runs: dict[str, Run], events: int, broker: str) -> Table:
    """Return a table of the runs; ratios are to the first one."""
    shown = Table(
        title=f"{events:,} playback events, {broker}, {psutil.cpu_count()} cores for everything",
        title_justify="left",
    )
    shown.add_column("program")
    for name in ("events/s", "pipeline is", "CPU µs/event", "ClickHouse", "Redis", "broker", "peak MB"):
        shown.add_column(name, justify="right")
    first = next(iter(runs.values()))
    for name, run in runs.items():
        micros = {server: cpu / run.events * 1e6 for server, cpu in run.servers.items()}
        shown.add_row(
            name,
            f"{run.rate:,.0f}",
            f"{first.rate / run.rate:.1f} x",
            f"{run.cpu / run.events * 1e6:.1f}" if run.cpu else "-",
            *(
                f"{micros[server]:.1f}" if server in micros else "-"
                for server in ("clickhouse", "redis", "broker")
            ),
            f"{run.peak_mb:.0f}" if run.peak_mb else "-",
        )
    return shown


def main(
    events: Annotated[int, typer.Option(min=200_000, help="Events in the topic.")] = 1_000_000,
    broker: Broker = "stand-in",
    only: Annotated[
        str, typer.Option(help="Run programs whose name contains this text, and the pipeline.")
    ] = "",
) -> None:
    """Measure this pipeline, other frameworks and the lower bounds."""
    console = wide_console()
    chosen = [each for i, each in enumerate(PROGRAMS) if not i or only.lower() in each.name.lower()]
    if not _PYTHON.exists() and any("Quix" in each.name or "Bytewax" in each.name for each in chosen):
        raise SystemExit("the other frameworks are not installed: run `make peers` first")
    with stack(kafka=broker == "kafka") as running:
        topic = running.settings.topic_playback
        asyncio.run(fill(running, events))
        runs = {}
        for program in chosen:
            runs[program.name] = program.run(running, topic, events)
        console.print(table(runs, events, "Apache Kafka" if broker == "kafka" else "stand-in broker"))


if __name__ == "__main__":
    typer.run(main)
