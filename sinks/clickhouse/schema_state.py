"""Compares the migrations of a database with those of this version.

The database may be newer: an older worker goes on during an upgrade, or after a rollback. Migrations only
add, so it works. The database must not be older: a materialized view never sees rows that were inserted
before it was created.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.client import available
from streams.domain.errors import MigrationError

#: Names and checksums of the applied migrations.
APPLIED: Final = "SELECT name, argMax(checksum, applied_at) AS checksum FROM schema_migrations GROUP BY name"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Names of migrations: not applied, applied with another text, and unknown to this version."""

    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `MigrationError` for a database that can neither be used nor be upgraded."""
        if self.changed:
            raise MigrationError(
                f"The database was made with another {', '.join(self.changed)}, by a build from before the"
                " first release, and is not upgraded. Go on with the build that made it, or name another"
                " database in CLICKHOUSE_URL and count anew (docs/runbook.md, Re-process). If you changed the"
                " file yourself, put it back and write a new migration."
            )
        if self.missing and self.newer:
            raise MigrationError(
                f"The database has {', '.join(self.newer)} and lacks {', '.join(self.missing)}: another line"
                " of versions made it. Go on with that one."
            )

    @property
    def lacks(self) -> str:
        """Return what must be done before this version can use the database; empty if it can."""
        if not self.missing:
            return ""
        return f"the database lacks {', '.join(self.missing)}: run `vca migrate` of this version"

    @property
    def mismatch(self) -> str:
        """Return why operations on all tables need another version; empty if this one knows all tables."""
        if self.newer:
            return f"the database has {', '.join(self.newer)}, of a newer version: use that one for this"
        return self.lacks


def compare(wanted: Mapping[str, str], applied: Mapping[str, str]) -> SchemaState:
    """Compare the migrations of a version with those of a database; both are checksums by name."""
    both = wanted.keys() & applied.keys()
    return SchemaState(
        missing=tuple(sorted(wanted.keys() - applied.keys())),
        changed=tuple(sorted(name for name in both if wanted[name] != applied[name])),
        newer=tuple(sorted(applied.keys() - wanted.keys())),
    )


async def applied(client: AsyncClient) -> dict[str, str]:
    """Return the checksums of the migrations applied to a database, by name. Raises `Unavailable`."""
    with available():
        # A missing table would raise a transient error, as a server that is away.
        there = await client.query("EXISTS TABLE schema_migrations")
        if not there.result_rows[0][0]:
            return {}
        found = await client.query(APPLIED)
    return {str(name): str(checksum) for name, checksum in found.result_rows}


async def ask(client: AsyncClient, wanted: Mapping[str, str]) -> SchemaState:
    """Return the state of the client's database; an empty one lacks everything. Raises `Unavailable`."""
    return compare(wanted, await applied(client))
