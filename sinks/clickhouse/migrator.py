"""Brings the schema of a ClickHouse database up to date.

Files `migrations/NNNN_*.sql` are applied in order, and each is recorded in `schema_migrations` with the
checksum of its text. ClickHouse has no transactions for DDL, so a file can be applied again after it stopped
half way: `CREATE` is sent as `CREATE ... IF NOT EXISTS`. Two processes that migrate at once send the same
statements, and the second ones have no effect. The slower process stops as soon as the file is recorded,
because workers insert from then on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client

from sinks.clickhouse.analyst import admit
from sinks.clickhouse.client import available, database_of, options
from sinks.clickhouse.cluster import Cluster, check, table_of
from sinks.clickhouse.schema_state import APPLIED, compare
from sinks.clickhouse.statements import split
from streams.domain.errors import MigrationError

_log = structlog.get_logger(__name__)

_NAME: Final = re.compile(r"\d{4}_\w+\.sql")
_DATABASE: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_CREATE: Final = re.compile(
    r"\A((?:\s|--[^\n]*\n|/\*.*?\*/)*CREATE\s+(?:MATERIALIZED\s+VIEW|TABLE|VIEW|DICTIONARY))\s+(?!IF\s)",
    re.IGNORECASE | re.DOTALL,
)
_TTL: Final = re.compile(r"^TTL .+ INTERVAL \{(\w+)\} DAY", re.MULTILINE)
_CREATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations {on}
(
    name        String,
    checksum    String COMMENT 'SHA-256 of the file',
    applied_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {engine}
ORDER BY name
COMMENT 'Migrations of this database that were applied'
"""
_LOCAL_ENGINE: Final = "ReplacingMergeTree(applied_at)"
#: All nodes of a cluster share this table, whatever their shard.
_REPLICATED_ENGINE: Final = (
    "ReplicatedReplacingMergeTree("
    "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}', applied_at)"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered file; `sql` has placeholders such as `{raw_retention_days}`."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return the checksum of the text, which must not change after a release."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, values: Mapping[str, int]) -> list[str]:
        """Return the statements to send, with the placeholders filled in."""
        filled = self.sql
        for name, value in values.items():
            filled = filled.replace(f"{{{name}}}", str(value))
        return [_CREATE.sub(r"\1 IF NOT EXISTS ", statement, count=1) for statement in split(filled)]


def migrations() -> list[Migration]:
    """Return the migrations of this version, in order."""
    folder = files("sinks.clickhouse.migrations")
    found = [each for each in folder.iterdir() if _NAME.fullmatch(each.name)]
    return [
        Migration(each.name, each.read_text("utf-8")) for each in sorted(found, key=lambda each: each.name)
    ]


@cache
def checksums() -> Mapping[str, str]:
    """Return the checksums of this version's migrations by name; cached, because every probe reads them."""
    return {migration.name: migration.checksum for migration in migrations()}


def tables_of(wanted: Iterable[Migration], values: Mapping[str, int]) -> frozenset[str]:
    """Return the names of all tables that migrations create."""
    made = (table_of(statement) for migration in wanted for statement in migration.statements(values))
    return frozenset(name for name in made if name)


def retentions(wanted: Iterable[Migration]) -> dict[str, str]:
    """Return by table the placeholder of its retention; tables that keep rows for ever are left out."""
    found = {}
    for migration in wanted:
        for statement in split(migration.sql):
            name, kept = table_of(statement), _TTL.search(statement)
            if name and kept:
                found[name] = kept[1]
    return found


def migrate(
    url: str,
    *,
    raw_retention_days: int = 180,
    rollup_retention_days: int = 1100,
    deduplication_window: int = 100_000,
    analyst_password: str | None = None,
    cluster: str = "",
    connect_timeout: float = 10.0,
) -> list[str]:
    """Create the database of `url` if it is missing, apply what is new, and return the names applied.

    Nothing is applied to a database of a newer version, with which this one still works. Retention and window
    are used when a table is created; changing them later changes no table. With `analyst_password`, a
    read-only user `analyst` is kept on servers that have users. With `cluster`, the tables are replicated and
    spread over it (`sinks.clickhouse.cluster`).
    Raises `MigrationError` when a file that was applied is another one now, or the cluster is not set up for
    it, and `sinks.base.Unavailable` when the server does not answer.
    """
    database = database_of(url)
    if not _DATABASE.fullmatch(database):
        raise MigrationError(
            f"{database!r} cannot be a database: use letters, digits and _ in CLICKHOUSE_URL."
        )
    values = {
        "raw_retention_days": raw_retention_days,
        "rollup_retention_days": rollup_retention_days,
        "deduplication_window": deduplication_window,
    }
    spread = Cluster(cluster, database) if cluster else None
    on = spread.on if spread else ""
    with available():
        with closing(_client(url, "default", connect_timeout)) as server:
            if spread:
                check(spread, *_cluster_config(server, cluster))
            server.command(f"CREATE DATABASE IF NOT EXISTS {database} {on}")
            if analyst_password is not None:
                admit(server, database, analyst_password, on)
        with closing(_client(url, database, connect_timeout)) as client:
            client.command(
                _CREATE_TABLE.replace("{on}", on).replace(
                    "{engine}", _REPLICATED_ENGINE if spread else _LOCAL_ENGINE
                )
            )
            return _apply(client, migrations(), values, spread)


def _cluster_config(server: Client, cluster: str) -> tuple[list[int], set[str]]:
    """Return `internal_replication` of each replica, and the names of the node's macros."""
    replicas = server.query(
        "SELECT internal_replication FROM system.clusters WHERE cluster = {cluster:String}",
        parameters={"cluster": cluster},
    )
    macros = server.query("SELECT macro FROM system.macros")
    return [int(one) for (one,) in replicas.result_rows], {str(name) for (name,) in macros.result_rows}


def _client(url: str, database: str, connect_timeout: float) -> Client:
    return clickhouse_connect.get_client(
        **options(url, database), connect_timeout=connect_timeout, client_name="vca-migrate"
    )


def _applied(client: Client) -> dict[str, str]:
    return {str(name): str(checksum) for name, checksum in client.query(APPLIED).result_rows}


def _apply(
    client: Client, wanted: list[Migration], values: Mapping[str, int], spread: Cluster | None
) -> list[str]:
    state = compare(checksums(), _applied(client))
    state.check()
    if state.newer:
        _log.warning(
            "the database has migrations of a newer version; this version continues to work beside it",
            has=state.newer,
        )
    tables = tables_of(wanted, values)
    return [
        migration.name
        for migration in wanted
        if migration.name in state.missing and _apply_one(client, migration, values, tables, spread)
    ]


def _apply_one(
    client: Client,
    migration: Migration,
    values: Mapping[str, int],
    tables: frozenset[str],
    spread: Cluster | None,
) -> bool:
    """Apply a file; return False if another process was quicker."""
    first = True
    for statement in migration.statements(values):
        for part in spread.spread(statement, tables) if spread else (statement,):
            # To create again what another process made has no effect. Truncating and filling a table again
            # would lose rows that workers inserted meanwhile.
            if (first or "IF NOT EXISTS" not in part) and migration.name in _applied(client):
                return False
            first = False
            client.command(part)
    client.command(
        "INSERT INTO schema_migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
        parameters={"name": migration.name, "checksum": migration.checksum},
    )
    _log.info("migration applied", migration=migration.name)
    return True
