"""`vca verify`: compares all redundant data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.operations.running import settings
from deploy.terminal import printable
from sinks.kafka.reasons import quieten

if TYPE_CHECKING:
    from deploy.operations.verify import Check
    from streams.settings import Settings


def verify(
    days: Annotated[
        int, typer.Option(min=0, help="Number of past days for which roll-ups are compared; 0 for all.")
    ] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Compare all redundant data while the pipeline runs; exit with code 1 when something differs.

    It compares the ledgers in Redis with ClickHouse's own offsets, the totals
    of each partition's books, the raw rows with ClickHouse's offsets, the live
    counters of the last hour with a recount of raw events up to the same
    record, and every roll-up with what its view computes from the raw events.

    It changes nothing. Data that change while they are read are read again, so
    a busy pipeline takes a little longer. `vca rebuild` repairs roll-ups and
    live counters.

    KAFKA_BOOTSTRAP_SERVERS, REDIS_URL and CLICKHOUSE_URL set the servers;
    without them, the servers of the `vca up` in this folder are used.
    """
    quieten()
    console, since = Console(), datetime.now(UTC) - timedelta(days=days) if days else None
    progress = Console(stderr=True)
    if progress.is_terminal and not as_json:
        with progress.status("connecting") as status:
            checks = asyncio.run(run(settings(), since, lambda text: status.update(f"comparing {text}")))
    else:
        checks = asyncio.run(run(settings(), since, lambda _: None))
    ok = not any(check.differences for check in checks)
    if as_json:
        console.print_json(json.dumps({"ok": ok, "checks": [check.to_json() for check in checks]}))
    else:
        _show(console, checks, ok)
    if not ok:
        raise typer.Exit(1)


async def run(chosen: Settings, since: datetime | None, say: Callable[[str], None]) -> list[Check]:
    """Connect and run every comparison."""
    from deploy.operations.verifying import Verification
    from sinks.clickhouse.audit import Audit
    from sinks.clickhouse.client import connect as connect_clickhouse
    from sinks.clickhouse.client import database_of
    from sinks.redis.client import connect as connect_redis
    from streams.topics import cluster_id

    cluster = await cluster_id(chosen)
    redis = connect_redis(chosen.redis_url)
    # Many days of raw events are read in one query.
    clickhouse = await connect_clickhouse(chosen.clickhouse_url, read_timeout=3600.0)
    try:
        audit = Audit(clickhouse, database_of(chosen.clickhouse_url))
        return await Verification(chosen, cluster, redis, clickhouse, audit).run(since, say)
    finally:
        await clickhouse.close()
        await redis.aclose()


def _show(console: Console, checks: list[Check], ok: bool) -> None:
    table = Table("", "compared", "", box=None)
    table.columns[1].justify = "right"
    for check in checks:
        verdict = f"[red]{len(check.differences)} differ[/]" if check.differences else "[green]agree[/]"
        table.add_row(check.name, f"{check.compared:,}", verdict)
    console.print(table, highlight=False)
    for check in checks:
        for line in check.differences:
            console.print(f"[red]differs:[/] {printable(line)}", highlight=False, soft_wrap=True)
        for line in check.notes:
            console.print(
                f"[dim]{printable(check.name)}: {printable(line)}[/]", highlight=False, soft_wrap=True
            )
    if ok and any(check.notes for check in checks):
        console.print("\nWhat was compared agrees; the lines above name the rest.", highlight=False)
    elif ok:
        console.print("\nEverything agrees.", highlight=False)
    else:
        console.print(
            "\n`vca rebuild` repairs roll-ups and live counters; for the rest see docs/operations.md.",
            highlight=False,
        )
