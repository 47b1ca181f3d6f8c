"""Cost at low load: the share of a core that each program uses at a small, steady rate of events.

A worker at such a load spends its time on work that does not depend on events: fetches, batches of a few
records, calls of Redis, timers. For each rate and number of partitions, on servers of its own, the benchmark
takes the CPU time of all programs, from some seconds after the load began. No queries run meanwhile.

    python -m bench.idle --rate 1000 --partitions 4 --partitions 48
    python -m bench.idle --demo

`--rate 0` sends nothing, and `--demo` sends the live traffic of `make demo` to all topics. A load is sent in
steps of 20 ms, or with `--evenly` in steps of 1 ms, as from many producers.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from rich.table import Table

from bench.command import Broker, wide_console
from bench.cost import profiled, shares
from bench.freshness import loading
from bench.metrics import samples
from bench.stack import Stack, Worker, cpu_seconds, process, stack, workers
from streams.domain.instruments import BATCH_RECORDS

#: Seconds for which the load runs before the measurement, and again after it.
_WARM_UP: Final = 5.0
#: Seconds from one step of an even load to the next.
_EVEN_STEP: Final = 0.001
#: Partitions of the demo's topics.
_DEMO_PARTITIONS: Final = 12


@dataclass(frozen=True, slots=True)
class Idle:
    """One run: its load, events and batches a second, and the share of a core of each program."""

    load: str
    partitions: int
    events: float
    batches: float
    cores: dict[str, float]


def _taken(worker: Worker) -> tuple[float, float]:
    """Return how many batches a worker has processed, and how many records."""
    batches, records = (
        sum(sample.value for sample in samples(worker.address, f"{BATCH_RECORDS.name}_{what}"))
        for what in ("count", "sum")
    )
    return batches, records


@contextmanager
def _demo(running: Stack) -> Iterator[None]:
    with process(running, ["-m", "deploy.cli", "traffic", "--history-days", "0"], "traffic.log"):
        yield


def measure(
    rate: float | None,
    partitions: int,
    seconds: float,
    *,
    evenly: bool,
    kafka: bool,
    profile: Path | None = None,
) -> Idle:
    """Measure one load (None: the demo's) over some partitions; `profile` is a file for a raw profile."""
    with stack(kafka=kafka, partitions=partitions) as running, workers(running) as (worker,):
        load: AbstractContextManager[Any] = nullcontext()
        if rate is None:
            load = _demo(running)
        elif rate:
            load = loading(running, rate, seconds + 2 * _WARM_UP, *([_EVEN_STEP] if evenly else []))
        raw = running.folder / "profile.txt"
        spy = profiled(worker.process.pid, raw) if profile else nullcontext()
        with load:
            time.sleep(_WARM_UP)
            with spy:
                began, batches, records = time.monotonic(), *_taken(worker)
                before = running.cpu() | {"worker": cpu_seconds(worker.process.pid)}
                time.sleep(seconds)
                after = running.cpu() | {"worker": cpu_seconds(worker.process.pid)}
                took, (more, read) = time.monotonic() - began, _taken(worker)
        if profile:
            shutil.copy(raw, profile)
    return Idle(
        "demo" if rate is None else f"{rate:,.0f}/s",
        partitions,
        (read - records) / took,
        (more - batches) / took,
        {name: (after[name] - before[name]) / took for name in after},
    )


def table(lines: list[Idle]) -> Table:
    """Return a table of the lines."""
    shown = Table(title="Share of a core while little comes", title_justify="left")
    programs = ("worker", "redis", "broker", "clickhouse")
    for name in ("load", "partitions", "events/s", "batches/s", *programs):
        shown.add_column(name, justify="right")
    for line in lines:
        cores = [f"{line.cores[name]:.3f}" for name in programs]
        shown.add_row(line.load, str(line.partitions), f"{line.events:,.0f}", f"{line.batches:,.0f}", *cores)
    return shown


def main(
    rate: Annotated[
        list[float] | None, typer.Option(min=0, help="Events per second; repeat for more. [default: 1000]")
    ] = None,
    partitions: Annotated[
        list[int] | None, typer.Option(min=1, help="Partitions; repeat for more. [default: 4, 48]")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Use the demo's traffic instead.")] = False,
    evenly: Annotated[bool, typer.Option("--evenly", help="Send in steps of 1 ms instead of 20.")] = False,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure each.")] = 20,
    broker: Broker = "stand-in",
    keep: Annotated[Path | None, typer.Option(help="Where to keep a raw profile of the (last) run.")] = None,
) -> None:
    """Measure the CPU cost of all programs at low load."""
    console = wide_console()
    rates: list[float | None] = [None] if demo else [*(rate or [1000.0])]
    spread = partitions or ([_DEMO_PARTITIONS] if demo else [4, 48])
    lines = [
        measure(each, count, seconds, evenly=evenly, kafka=broker == "kafka", profile=keep)
        for count in spread
        for each in rates
    ]
    console.print(table(lines))
    if keep is not None:
        for step, share in shares(keep.read_text().splitlines()).items():
            console.print(f"{step}: {share:.0%}")
    console.print(f"Load average {psutil.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    typer.run(main)
