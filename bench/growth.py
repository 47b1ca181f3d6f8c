"""CPU cost per event with more workers and with more partitions.

For each number of workers and of partitions, on servers of its own: the workers are assigned the partitions
of an empty topic, then all events are sent at once, and the run ends when both stores have them. On a machine
of few cores, more workers do not give more events a second; the CPU time per event must stay flat.

    python -m bench.growth --events 600000
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final

import psutil
import typer
from rich.table import Table

from bench.command import Broker, wide_console
from bench.pipeline import Run, all_at_once
from bench.stack import stack
from bench.tables import inserts

#: Partitions in the runs with more workers: the default of a topic.
_PARTITIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Grown:
    """One line of the table: numbers of workers and partitions, the run, and rows per insert."""

    workers: int
    partitions: int
    run: Run
    rows: float

    def micros(self, server: str | None = None) -> float:
        """Return the CPU microseconds per event of a server, or of all workers."""
        used = self.run.cpu if server is None else self.run.servers[server]
        return used / self.run.events * 1e6


def measure(count: int, partitions: int, events: int, *, kafka: bool) -> Grown:
    """Measure `count` workers over `partitions` partitions."""
    with stack(kafka=kafka, partitions=partitions) as running:
        run = asyncio.run(all_at_once(running, events, count))
        return Grown(count, partitions, run, events / inserts(running.settings.clickhouse_url))


def table(lines: list[Grown], events: int) -> Table:
    """Return a table of the lines."""
    shown = Table(
        title=f"{events:,} playback events, {psutil.cpu_count()} cores for everything; CPU µs/event",
        title_justify="left",
    )
    names = ("workers", "partitions", "events/s", "workers' CPU", "ClickHouse", "Redis", "broker", "together")
    for name in (*names, "rows an insert", "peak MB", "busiest worker"):
        shown.add_column(name, justify="right")
    for line in lines:
        micros = [line.micros(), *(line.micros(server) for server in ("clickhouse", "redis", "broker"))]
        shown.add_row(
            str(line.workers),
            str(line.partitions),
            f"{line.run.rate:,.0f}",
            *(f"{each:.1f}" for each in [*micros, sum(micros)]),
            f"{line.rows:,.0f}",
            f"{line.run.peak_mb:,.0f}",
            f"{max(line.run.by_worker) / (line.run.cpu or 1.0):.0%}",
        )
    return shown


def main(
    events: Annotated[int, typer.Option(min=50_000, help="Events of each run.")] = 600_000,
    workers_: Annotated[
        list[int] | None, typer.Option("--workers", help="Workers, over 12 partitions. [default: 1, 2, 4]")
    ] = None,
    partitions: Annotated[
        list[int] | None, typer.Option(help="Partitions, of one worker. [default: 1, 4, 12, 48]")
    ] = None,
    broker: Broker = "stand-in",
) -> None:
    """Measure an event's cost with more workers and with more partitions."""
    console = wide_console()
    everything = not (workers_ or partitions)
    wanted = [(1, each) for each in ((1, 4, 12, 48) if everything else partitions or ())]
    wanted += [(each, _PARTITIONS) for each in ((2, 4) if everything else workers_ or ())]
    lines = [measure(count, spread, events, kafka=broker == "kafka") for count, spread in wanted]
    console.print(table(lines, events))


if __name__ == "__main__":
    typer.run(main)
