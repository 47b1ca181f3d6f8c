"""A ClickHouse filled with the roll-ups of many events, and an API in front of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import clickhouse_connect
import psutil
from rich.console import Console

from bench.rollups import Size, fill
from bench.stack import Stack, api, stack
from deploy.embedded.process import Child
from sinks.clickhouse.client import options


@dataclass(frozen=True, slots=True)
class Standing:
    """A running ClickHouse: its address, its process, and the stack that it belongs to."""

    url: str
    clickhouse: psutil.Process
    stack: Stack


@contextmanager
def standing(data: Path | None) -> Iterator[Standing]:
    """Run ClickHouse and Redis; `data` is the folder for ClickHouse's files if they are to be kept."""
    with stack(broker=False, data=data) as servers:
        process = psutil.Process(servers.children["clickhouse"].pid)
        yield Standing(servers.settings.clickhouse_url, process, servers)


@contextmanager
def api_process(before: Standing) -> Iterator[tuple[str, Child]]:
    """Run an API; yield its address and its process."""
    with api(before.stack, {"STORE_PATIENCE": "30", "QUERY_SECONDS": "300"}) as running:
        yield running


@contextmanager
def serving(
    size: Size, console: Console, keep: Path | None, hours: float | None = None
) -> Iterator[tuple[str, Standing]]:
    """Run an API on data of a size, with `hours` of today; yield its address and its ClickHouse."""
    data = None if keep is None else keep / f"{size.events}-{size.daily_users}"
    filled = data is not None and data.exists()
    with standing(data) as stands:
        if not filled:
            _fill(stands.url, size, console, hours)
        with api_process(stands) as (address, _):
            yield address, stands


def end_of_data(now: datetime, hours: float | None) -> datetime:
    """Return the time up to which data are generated: so many hours into the day (UTC), or now."""
    if hours is None:
        return now
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=hours)


def _fill(url: str, size: Size, console: Console, hours: float | None) -> None:
    began, end = time.monotonic(), end_of_data(datetime.now(UTC), hours)
    with clickhouse_connect.get_client(**options(url, "videocloud"), send_receive_timeout=600) as client:
        with console.status("") as status:
            fill(client, size, end, lambda what: status.update(f"generating {what}"))
            status.update("waiting for merges")
            settled = 0
            until = time.monotonic() + 120
            while settled < 3 and time.monotonic() < until:
                settled = settled + 1 if not client.command("SELECT count() FROM system.merges") else 0
                time.sleep(0.5)
        rows = client.query(
            "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts"
            " WHERE active AND database = currentDatabase() AND rows > 0 GROUP BY table ORDER BY table"
        ).result_rows
    console.print(
        f"{size.events:,} events: {size.users:,} users, {size.daily_users:,} a day, in "
        f"{time.monotonic() - began:.0f} s. Rows (parts): "
        + ", ".join(f"{table} {count:,} ({parts})" for table, count, _, parts in rows)
    )
