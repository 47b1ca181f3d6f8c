"""The whole matrix, again and again with other seeds: `make soak`, `python -m tests.faults.soak --help`.

Every round runs each fault in an episode of its own, and one in which they happen in turn, each with a
known set of events and a verdict. Ends with a table, and with status 1 if anything was lost or double.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.faults.catalog import FAULTS, MIXED
from tests.faults.harness import Episode, Fault, Report
from tests.faults.servers import Servers, cannot_run

#: Faults of one episode: of one kind, and of all kinds in turn.
_EACH, _IN_TURN = 10, 40
#: Figures of an episode that did not come to its end: something stood still.
_FAILED: Final[dict[str, object]] = {
    "sent": 0, "recoveries": [], "lost": 0, "double": 0, "differs": 0, "gone": 0, "admitted": 0, "failed": 1,
}  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak ARGS=...", description=__doc__)
    parser.add_argument("--faults", type=int, default=1000, help="faults in all (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first round")
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no episode after so many seconds")
    parser.add_argument(
        "--lanes",
        type=int,
        default=1,
        help="episodes at a time, each with servers of its own: much of one is waiting (default 1)",
    )
    parser.add_argument(
        "--results", type=Path, help="file of JSON lines to add to: what is in it is not run again"
    )
    return parser.parse_args()


def _plan(faults: int, seed: int, only: str) -> Iterator[tuple[Fault, int, int]]:
    """Yield episodes (fault, seed, how often) round after round, with so many faults in all."""
    kinds = [fault for fault in (*FAULTS, MIXED) if only in fault.name]
    if not kinds:
        sys.exit(f"no fault's name holds {only!r}: {', '.join(fault.name for fault in FAULTS)}")
    while faults > 0:
        for fault in kinds:
            count = min(faults, _IN_TURN if fault is MIXED else _EACH)
            if count > 0:
                yield fault, seed, count
            faults -= count
        seed += 1


def _row(report: Report) -> dict[str, object]:
    told = report.verdict
    return {
        "fault": report.fault, "seed": report.seed, "sent": told.sent, "recoveries": report.recoveries,
        "lost": len(told.lost), "double": len(told.double), "differs": len(told.differs),
        "gone": report.gone, "admitted": report.admitted,
    }  # fmt: skip


def table(rows: list[dict[str, object]]) -> Table:
    """Return a table of the figures by fault."""
    found = Table(title="Nothing lost, nothing twice")
    for name in ("fault", "faults", "sent", "lost", "double", "differ", "stuck", "recovery s", "worst s"):
        found.add_column(name, justify="left" if name == "fault" else "right")
    names = list(dict.fromkeys(str(row["fault"]) for row in rows))
    for name in [*names, "all"]:
        some = [row for row in rows if name in ("all", row["fault"])]
        times = [second for row in some for second in row["recoveries"]]  # type: ignore[attr-defined]
        sums = [sum(int(str(row[key])) for row in some) for key in ("sent", "lost", "double", "differs")]
        sums.append(sum(int(str(row.get("failed", 0))) for row in some))
        slowest = f"{max(times, default=0):.1f}"
        middle = f"{median(times) if times else 0:.1f}"
        found.add_row(name, str(len(times)), *map(str, sums), middle, slowest, end_section=name == names[-1])
    return found


class _Soak:
    """Runs the episodes of the plan that have no row yet, and adds a row for each."""

    def __init__(
        self, arguments: argparse.Namespace, rows: list[dict[str, object]], folder: Path, console: Console
    ) -> None:
        self._arguments, self._rows, self._folder = arguments, rows, folder
        self._known = {(row["fault"], row["seed"]) for row in rows}
        #: Shared by all lanes: each lane takes the next episode when it has finished one.
        self._plan = enumerate(_plan(arguments.faults, arguments.seed, arguments.only))
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._running: list[dict[int, Servers]] = []

    async def run(self) -> None:
        """Run all lanes to their end."""
        try:
            with self._bar:
                self._task = self._bar.add_task("faults", total=self._arguments.faults)
                async with asyncio.TaskGroup() as lanes:
                    for number in range(self._arguments.lanes):
                        self._running.append({})
                        lanes.create_task(self._lane(number, self._running[-1]))
        finally:
            for running in self._running:
                for servers in running.values():
                    servers.stop()

    async def _lane(self, lane: int, running: dict[int, Servers]) -> None:
        """Run one episode after the other; `running` has the lane's servers by their number of brokers."""
        bar = self._bar.add_task("starting", total=None)
        for number, (fault, seed, count) in self._plan:
            if time.monotonic() - self._began > self._arguments.seconds:
                break
            if (fault.name, seed) in self._known:
                self._bar.advance(self._task, count)
                continue
            if fault.nodes not in running:
                where = self._folder / f"lane{lane}-{fault.nodes}-nodes"
                running[fault.nodes] = servers = Servers(where, fault.nodes)
                await servers.start()
            servers = running[fault.nodes]
            if servers.given and fault.breaks_brokers:
                self._bar.advance(self._task, count)
                continue
            self._bar.update(bar, description=f"{fault.name}, seed {seed}")
            if not await self._episode(Episode(servers, fault, seed, self._folder / f"{number:04}"), count):
                # The next episode must not meet what this one left behind.
                running.pop(fault.nodes).stop()
        self._bar.remove_task(bar)

    async def _episode(self, episode: Episode, count: int) -> bool:
        """Run an episode and say whether it finished."""
        fault, seed = episode.fault, episode.seed
        try:
            report = await episode.run(count, lambda _: self._bar.advance(self._task))
        except AssertionError as error:
            self._bar.console.print(f"FAILED {fault.name}, seed {seed}: {error}", markup=False)
            self._keep({"fault": fault.name, "seed": seed, **_FAILED})
            return False
        self._bar.console.print(report.line(), highlight=False, soft_wrap=True)
        if not report.sound:
            told = f"{report.verdict}\nlogs in {episode.folder}"
            self._bar.console.print(told, highlight=False, markup=False)
        self._keep(_row(report))
        return True

    def _keep(self, row: dict[str, object]) -> None:
        self._rows.append(row)
        if self._arguments.results:
            with self._arguments.results.open("a") as file:
                file.write(json.dumps(row) + "\n")


def main() -> int:
    """Run it; return the exit status."""
    arguments, console = _arguments(), Console()
    if reason := cannot_run():
        console.print(reason)
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows: list[dict[str, object]] = []
    if arguments.results:
        with suppress(FileNotFoundError):
            rows = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    asyncio.run(_Soak(arguments, rows, Path(tempfile.mkdtemp(prefix="vca-soak-")), console).run())
    console.print(table(rows))
    sound = all(
        not (row["lost"] or row["double"] or row["differs"] or row.get("failed"))
        and row["gone"] == row["admitted"]
        for row in rows
    )
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
