"""Brings the schema of a ClickHouse database up to date.

Files `migrations/NNNN_*.sql` are applied in order, and each is written down in `schema_migrations` with
the checksum of its text. ClickHouse has no transactions over DDL, so every file is written to be
applied again after it stopped half way: `CREATE` is sent as `CREATE ... IF NOT EXISTS`.
Two processes that migrate at once both send the same statements, and the second ones do nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client

from sinks.clickhouse.analyst import admit
from sinks.clickhouse.client import available, database_of, options
from sinks.clickhouse.statements import split
from streams.domain.errors import MigrationError

_log = structlog.get_logger(__name__)

_NAME: Final = re.compile(r"\d{4}_\w+\.sql")
_DATABASE: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_CREATE: Final = re.compile(
    r"\A((?:\s|--[^\n]*\n|/\*.*?\*/)*CREATE\s+(?:MATERIALIZED\s+VIEW|TABLE|VIEW|DICTIONARY))\s+(?!IF\s)",
    re.IGNORECASE | re.DOTALL,
)
_BOOKS: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    name        String,
    checksum    String COMMENT 'SHA-256 of the file',
    applied_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY name
COMMENT 'Migrations of this database that were applied'
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered file: `sql` holds placeholders such as `{raw_retention_days}`."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Return what must not change once the file was applied anywhere."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self, values: Mapping[str, int]) -> list[str]:
        """Return the statements to send, with the placeholders filled in."""
        filled = self.sql
        for name, value in values.items():
            filled = filled.replace(f"{{{name}}}", str(value))
        return [_CREATE.sub(r"\1 IF NOT EXISTS ", statement, count=1) for statement in split(filled)]


def migrations() -> list[Migration]:
    """Return the files that come with this version, in order."""
    folder = files("sinks.clickhouse.migrations")
    found = [each for each in folder.iterdir() if _NAME.fullmatch(each.name)]
    return [
        Migration(each.name, each.read_text("utf-8")) for each in sorted(found, key=lambda each: each.name)
    ]


def migrate(
    url: str,
    *,
    raw_retention_days: int = 180,
    rollup_retention_days: int = 1100,
    deduplication_window: int = 100_000,
    analyst_password: str | None = None,
    connect_timeout: float = 10.0,
) -> list[str]:
    """Create the database of `url` if it is missing, apply what is new, and return the names applied.

    Retention and window are used when a table is created; changing them later changes no table.
    With `analyst_password`, a read-only user `analyst` is kept on servers that have users.
    Raises `MigrationError` when a file that was applied is another one now, or the database is newer
    than this version, and `sinks.base.Unavailable` when the server does not answer.
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
    with available():
        with closing(_client(url, "default", connect_timeout)) as server:
            server.command(f"CREATE DATABASE IF NOT EXISTS {database}")
            if analyst_password is not None:
                admit(server, database, analyst_password)
        with closing(_client(url, database, connect_timeout)) as client:
            client.command(_BOOKS)
            return _apply(client, migrations(), values)


def _client(url: str, database: str, connect_timeout: float) -> Client:
    return clickhouse_connect.get_client(
        **options(url, database), connect_timeout=connect_timeout, client_name="vca-migrate"
    )


def _apply(client: Client, wanted: list[Migration], values: Mapping[str, int]) -> list[str]:
    rows = client.query("SELECT name, argMax(checksum, applied_at) FROM schema_migrations GROUP BY name")
    applied = {str(name): str(checksum) for name, checksum in rows.result_rows}
    _check(wanted, applied)
    done = []
    for migration in wanted:
        if migration.name in applied:
            continue
        for statement in migration.statements(values):
            client.command(statement)
        client.command(
            "INSERT INTO schema_migrations (name, checksum) VALUES ({name:String}, {checksum:String})",
            parameters={"name": migration.name, "checksum": migration.checksum},
        )
        _log.info("migration applied", migration=migration.name)
        done.append(migration.name)
    return done


def _check(wanted: list[Migration], applied: Mapping[str, str]) -> None:
    """Refuse a database that other files made."""
    known = {migration.name: migration.checksum for migration in wanted}
    changed = sorted(name for name in known.keys() & applied.keys() if known[name] != applied[name])
    if changed:
        raise MigrationError(
            f"{', '.join(changed)} was changed after it was applied. Put the file back and write a new "
            "migration; or, if the data may go, drop the database and migrate again."
        )
    newer = sorted(applied.keys() - known.keys())
    if newer:
        raise MigrationError(
            f"The database has {', '.join(newer)}, which this version does not know: use the newer version."
        )
