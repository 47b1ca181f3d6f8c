"""`vca doctor`: checks whether everything is set up correctly."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.operations.running import settings
from deploy.terminal import printable
from sinks.kafka.reasons import quieten

if TYPE_CHECKING:
    from deploy.operations.diagnosis import Finding
    from streams.settings import Settings

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 on a warning as well.")] = False,
) -> None:
    """Examine this machine and the servers, and say what to do; exit with code 1 when a check fails.

    It checks addresses and versions, ClickHouse's migrations, deduplication
    windows, retention, settings, parts and disks, Redis' append-only file and
    eviction, Kafka's topics with their settings, the workers' group, and clocks.
    It changes nothing.

    KAFKA_BOOTSTRAP_SERVERS, REDIS_URL and CLICKHOUSE_URL set the servers;
    without them, the servers of the `vca up` in this folder are used.
    """
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    quieten()
    findings = asyncio.run(run(settings()))
    failed = [each for each in findings if each.verdict == "FAIL" or (strict and each.verdict == "WARN")]
    if as_json:
        answer = {"ok": not failed, "findings": [each.to_json() for each in findings]}
        Console().print_json(json.dumps(answer))
    else:
        _show(Console(), findings)
    if failed:
        raise typer.Exit(1)


async def run(chosen: Settings) -> list[Finding]:
    """Examine everything, all servers concurrently."""
    from deploy.operations import examining

    servers = await asyncio.gather(
        examining.kafka(chosen), examining.redis(chosen), examining.clickhouse(chosen)
    )
    return [*examining.here(chosen), *(each for some in servers for each in some)]


def _show(console: Console, findings: list[Finding]) -> None:
    table = Table("", "", "", "", box=None, show_header=False)
    for each in findings:
        colour = _COLOURS[each.verdict]
        found = printable(each.found) + (f"\n[{colour}]{printable(each.advice)}[/]" if each.advice else "")
        table.add_row(f"[{colour}]{each.verdict}[/]", each.area, printable(each.name), found)
    console.print(table, highlight=False)
    bad = {verdict: sum(each.verdict == verdict for each in findings) for verdict in ("FAIL", "WARN")}
    console.print(f"\n{bad['FAIL']} failed, {bad['WARN']} warnings", highlight=False)
