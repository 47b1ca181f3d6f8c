"""The schema of a ClickHouse cluster on a single chDB server, which plays every shard.

chDB has no Keeper and no other nodes, so tables are not replicated here and statements run once. The rest is
as on a cluster: the local tables, their views, and the Distributed tables in front of them.
"""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.clickhouse.cluster import Cluster
from sinks.clickhouse.migrator import migrations, tables_of

#: Cluster `one` has one shard; both shards of `two` are the same server, so a query finds every row twice.
ONE, TWO = "one", "two"
_SHARD: Final = (
    "<shard><internal_replication>true</internal_replication>"
    "<replica><host>127.0.0.1</host><port>9000</port></replica></shard>"
)
#: chDB recognizes an address with its own TCP port as itself, and does not listen on that port.
_CONFIG: Final = f"""
<tcp_port>9000</tcp_port>
<remote_servers><{ONE}>{_SHARD}</{ONE}><{TWO}>{_SHARD}{_SHARD}</{TWO}></remote_servers>
<macros><shard>1</shard><replica>1</replica></macros>
"""
_VALUES: Final = {"raw_retention_days": 18_000, "rollup_retention_days": 18_000, "deduplication_window": 1000}


@contextmanager
def clickhouse_cluster(folder: Path) -> Iterator[str]:
    """Run the server and yield its address."""
    config = folder / "cluster.xml"
    config.write_text(_CONFIG)
    server = servers.clickhouse(free_port(), folder / "data")
    child = servers.start(replace(server, command=(*server.command, "--config", str(config))), folder)
    try:
        yield server.address
    finally:
        child.stop(server.stop_grace)


def statements(cluster: str, database: str) -> list[str]:
    """Return every statement that creates the schema, in order, as sent to a real cluster."""
    spread, wanted = Cluster(cluster, database), migrations()
    tables = tables_of(wanted, _VALUES)
    return [
        part
        for migration in wanted
        for statement in migration.statements(_VALUES)
        for part in spread.spread(statement, tables)
    ]


def alone(statement: str) -> str:
    """Return a statement changed for a server without Keeper: run on itself, and without replication."""
    statement = re.sub(r" ON CLUSTER '\w+'", "", statement)
    statement = re.sub(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, )?", r"ENGINE = \1(", statement)
    statement = re.sub(r", replicated_deduplication_window_seconds = \d+", "", statement)
    return statement.replace("SETTINGS replicated_deduplication", "SETTINGS non_replicated_deduplication")


def send(url: str, statement: str) -> str:
    """Run a statement and return the answer as text."""
    with urllib.request.urlopen(url, data=statement.encode(), timeout=60) as answer:
        return str(answer.read().decode())


def lay(server: str, cluster: str, database: str) -> str:
    """Create a database with the tables of a cluster, and return its address."""
    send(server, f"CREATE DATABASE {database}")
    for statement in statements(cluster, database):
        send(f"{server}/?database={database}", alone(statement))
    send(f"{server}/?database={database}", "CREATE TABLE schema_migrations (name String) ENGINE = Log")
    send(f"{server}/?database={database}", "INSERT INTO schema_migrations VALUES ('0001')")
    return f"{server}/{database}"


def lay_over(server: str, cluster: str, database: str, local: str) -> str:
    """Create a database whose Distributed tables read the local tables of database `local`."""
    send(server, f"CREATE DATABASE {database}")
    for statement in statements(cluster, local):
        if re.search("_local ON CLUSTER|MATERIALIZED VIEW|INSERT INTO", statement):
            continue
        asked = re.sub(r" AS (\w+_local)\n", rf" AS {local}.\1\n", alone(statement))
        send(f"{server}/?database={database}", asked)
    send(f"{server}/?database={database}", "CREATE TABLE schema_migrations (name String) ENGINE = Log")
    send(f"{server}/?database={database}", "INSERT INTO schema_migrations VALUES ('0001')")
    return f"{server}/{database}"
