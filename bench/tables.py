"""Contents of ClickHouse's tables: rows, bytes, and the number of inserts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from sinks.clickhouse.client import database_of, options

RAW = "playback_events"


@dataclass(frozen=True, slots=True)
class Held:
    """One table: its rows and its bytes on disk, and in how many parts."""

    table: str
    rows: int
    bytes: int
    parts: int


@contextmanager
def asking(url: str) -> Iterator[Client]:
    """Yield a client bound to the database of an address."""
    with clickhouse_connect.get_client(**options(url, database_of(url)), send_receive_timeout=600) as client:
        yield client


def inserts(url: str) -> int:
    """Return how many inserts the raw table of playback events took."""
    with asking(url) as client:
        # Each insert makes a part with the next number; a block with rows of two months makes two parts.
        found = client.query(
            "SELECT max(max_block_number) FROM system.parts"
            f" WHERE database = currentDatabase() AND table = '{RAW}' AND active"
        )
        return int(found.result_rows[0][0])


def settle(url: str, patience: float = 60.0) -> None:
    """Wait until ClickHouse has no more merges to run, for at most `patience` seconds."""
    until, quiet = time.monotonic() + patience, 0
    with asking(url) as client:
        while quiet < 3 and time.monotonic() < until:
            quiet = quiet + 1 if not client.command("SELECT count() FROM system.merges") else 0
            time.sleep(0.5)


def held(url: str, *, merged: bool) -> list[Held]:
    """Return the contents of each table with rows, the largest first; `merged` merges each first."""
    query = (
        "SELECT table, sum(rows), sum(bytes_on_disk), count() FROM system.parts"
        " WHERE active AND database = currentDatabase() AND rows > 0 GROUP BY table"
        " ORDER BY sum(bytes_on_disk) DESC"
    )
    with asking(url) as client:
        if merged:
            for name, *_ in client.query(query).result_rows:
                client.command(f"OPTIMIZE TABLE {name} FINAL")
        return [Held(*row) for row in client.query(query).result_rows]
