"""A large export: rows per second, and the API's memory while it writes them.

The benchmark generates millions of rows of `video_15m` in SQL, one for each video and day; then an API in a
process of its own exports them in each format.

    python -m bench.exports --rows 5000000 --format csv --format ndjson
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import clickhouse_connect
import httpx2
import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.standing import api_process, standing
from sinks.clickhouse.client import options

_DAYS = 10


def _fill(url: str, rows: int) -> None:
    today = datetime.now(UTC).date()
    with clickhouse_connect.get_client(**options(url, "videocloud"), send_receive_timeout=600) as client:
        for number in range(_DAYS):
            client.command(
                "INSERT INTO video_15m"
                " (video_id, bucket, country, device, platform, attempts, views, watched_ms)\n"
                f"SELECT concat('vid_', leftPad(toString(number), 9, '0')),"
                f" toDateTime('{today - timedelta(days=number)} 00:00:00', 'UTC'),"
                f" 'US', 'tv', 'tv', 1, 1, 90000 FROM numbers({rows // _DAYS})"
            )


def _export(client: httpx2.Client, form: str, process: psutil.Process) -> tuple[dict[str, Any], float, int]:
    """Request an export and wait for it; return last status, seconds, and the API's peak memory in bytes."""
    body = {"type": "video", "period": "30d", "metrics": ["engagement"], "format": form}
    began, most = time.monotonic(), 0
    told: dict[str, Any] = client.post("/analytics/export", json=body).raise_for_status().json()["data"]
    while told["status"] in ("queued", "processing"):
        most = max(most, process.memory_info().rss)
        time.sleep(0.02)
        told = client.get(f"/analytics/export/{told['exportId']}").raise_for_status().json()["data"]
    return told, time.monotonic() - began, most


def main(
    rows: Annotated[int, typer.Option(min=_DAYS, help="Rows of the export.")] = 1_000_000,
    form: Annotated[
        list[str] | None, typer.Option("--format", help="Formats to try; repeat. [default: csv, parquet]")
    ] = None,
) -> None:
    """Export many rows, and watch the API's memory."""
    shown = Table(title=f"Exports of {rows:,} rows", title_justify="left")
    for name in ("format", "seconds", "rows/s", "MB", "API's memory before", "at most"):
        shown.add_column(name, justify="left" if name == "format" else "right")
    with standing(None) as stands:
        _fill(stands.url, rows)
        with api_process(stands) as (address, child), httpx2.Client(base_url=address) as client:
            process = psutil.Process(child.pid)
            for each in form or ["csv", "parquet"]:
                before = process.memory_info().rss
                told, seconds, most = _export(client, each, process)
                if told["status"] != "completed" or told["rows"] not in (rows, None):
                    raise SystemExit(f"the export went wrong: {told}")
                numbers = (f"{seconds:.1f}", f"{rows / seconds:,.0f}", f"{told['bytes'] / 1e6:,.0f}")
                shown.add_row(each, *numbers, f"{before / 1e6:.0f} MB", f"{most / 1e6:.0f} MB")
    Console().print(shown)


if __name__ == "__main__":
    typer.run(main)
