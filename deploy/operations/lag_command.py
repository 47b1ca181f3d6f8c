"""`vca lag`: shows the lag of both stores behind Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.operations.running import settings
from deploy.terminal import for_tables
from sinks.kafka.reasons import quieten

if TYPE_CHECKING:
    from deploy.operations.lag import PartitionLag
    from streams.settings import Settings


def lag(
    max_lag: Annotated[
        int | None,
        typer.Option(min=0, help="Exit with code 1 when a partition's lag is above this."),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(min=0, help="Exit with code 1 when a record has waited longer than this."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show how far both stores are behind Kafka, by topic and partition.

    counted is the next offset for the live counters in Redis, stored the next
    offset for ClickHouse, lag the number of records in Kafka that are not yet
    in both, and waiting the age of the oldest such record. Kafka's committed
    offsets decide nothing and are not shown.

    KAFKA_BOOTSTRAP_SERVERS and REDIS_URL set the servers; without them, the
    servers of the `vca up` in this folder are used.
    """
    quieten()
    found = asyncio.run(read(settings()))
    over = [
        each
        for each in found
        if (max_lag is not None and each.records > max_lag)
        or (max_seconds is not None and each.seconds > max_seconds)
    ]
    console = Console()
    if as_json:
        total = {
            "records": sum(each.records for each in found),
            "seconds": max((each.seconds for each in found), default=0.0),
            "lost": sum(each.lost for each in found),
        }
        answer = {"ok": not over, **total, "partitions": [each.to_json() for each in found]}
        console.print_json(json.dumps(answer))
    elif found:
        _show(console, found)
    else:
        console.print("Kafka has none of the topics: create them with `vca topics`", highlight=False)
    if over:
        worst = max(over, key=lambda each: each.records)
        Console(stderr=True).print(
            f"[red]over the limit:[/] {len(over)} partitions; {worst.topic}/{worst.partition} is"
            f" {worst.records:,} records behind{_oldest(over)}",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(1)


async def read(chosen: Settings) -> list[PartitionLag]:
    """Return the lag of every partition of the source topics, from Kafka and Redis."""
    from deploy.operations.lag import lags, positions
    from deploy.operations.log_ends import partitions_of, read_ends
    from sinks.redis.client import connect
    from sinks.redis.ledger import read_ledgers
    from streams.topics import cluster_id, source_topics

    brokers = chosen.brokers()
    redis = connect(chosen.redis_url)
    try:
        ledgers = {where: ledger for where, (ledger, _) in (await read_ledgers(redis)).items()}
        cluster, partitions = await asyncio.gather(
            cluster_id(chosen), partitions_of(brokers, source_topics(chosen))
        )
        ends = await read_ends(brokers, positions(ledgers, cluster, partitions))
        # Read again: records processed in the meantime are not lag.
        ledgers = {where: ledger for where, (ledger, _) in (await read_ledgers(redis)).items()}
        return lags(ends, ledgers, time.time())
    finally:
        await redis.aclose()


def _show(console: Console, found: list[PartitionLag]) -> None:
    table = Table(box=None)
    for name in ("topic", "partition", "log end", "counted", "stored", "lag", "waiting"):
        # In a narrow terminal figures take more lines: one that is cut reads as another one.
        table.add_column(name, justify="left" if name == "topic" else "right", overflow="fold")
    for each in found:
        behind = f"[yellow]{each.records:,}[/]" if each.records else "0"
        waiting = f"{each.seconds:.1f} s" if each.records else ""
        table.add_row(
            each.topic,
            str(each.partition),
            *(f"{n:,}" for n in (each.log_end, each.counted, each.stored)),
            behind,
            waiting,
        )
    for_tables(console).print(table, highlight=False)
    records, lost = sum(each.records for each in found), sum(each.lost for each in found)
    text = f"\n{records:,} records behind in {len(found)} partitions{_oldest(found)}"
    console.print(text, highlight=False, soft_wrap=True)
    if lost:
        console.print(
            f"[red]{lost:,} records were deleted by retention before they were read:[/]"
            " keep topics for longer than your longest outage",
            highlight=False,
        )


def _oldest(found: list[PartitionLag]) -> str:
    """Say where a record waits longest: one of hundreds of partitions that stands still is easily missed."""
    last = max(found, key=lambda each: each.seconds)
    where = f"{last.topic}/{last.partition}"
    return f"; the oldest waits for {last.seconds:.1f} s, in {where}" if last.seconds else ""
