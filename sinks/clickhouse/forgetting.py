"""Removes all rows of persons from the tables, for `vca forget`.

Conditions use `sipHash64(user_id)`, for the raw tables as well: the server keeps statements that change a
table for a while (`system.mutations`, `system.query_log`), and they should not contain the ids of forgotten
persons.

Rows are removed by `ALTER TABLE ... DELETE`, which rewrites the parts without them. (`DELETE FROM` would only
hide them until some later merge.)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.audit import Audit
from sinks.clickhouse.client import available
from sinks.clickhouse.cluster import LOCAL, Cluster
from sinks.clickhouse.instants import aware

_BY_ID: Final = "sipHash64(user_id) IN ({users})"
_BY_HASH: Final = "user IN ({users})"
#: The raw tables, with columns whose days an event adds to besides its own.
_RAW: Final[Mapping[str, tuple[str, ...]]] = {
    "playback_events": ("started_at", "attempted_at"),
    "user_events": (),
}
#: The condition for rows of the persons in each table, in the order of removal: the raw tables, by which the
#: other rows are found, are last, so that an interrupted run can be repeated.
PERSONAL: Final[Mapping[str, str]] = {
    "session_days": "toUInt64(bitAnd(first, 18446744073709551615)) IN ({users})",
    "user_days": _BY_HASH,
    "users": _BY_HASH,
    "signups": _BY_HASH,
    "view_starts": _BY_ID,
    **dict.fromkeys(_RAW, _BY_ID),
}
#: Wait until every replica has rewritten its parts.
_WHOLE: Final = {"mutations_sync": 2, "distributed_ddl_task_timeout": 3600}
#: Every row must count, even one identical to a removed one: no deduplication.
_EACH: Final = {"async_insert": 0, "insert_deduplicate": 0}
#: Session days in one statement, which may have 256 KiB.
_AT_ONCE: Final = 2_000
_POLL_SECONDS: Final = 0.5


class MutationFailedError(Exception):
    """A mutation of an earlier run fails again and again; the server repeats it until it is stopped."""


class Forgetting:
    """The removal of some persons from the tables of one database."""

    def __init__(self, client: AsyncClient, database: str, users: Sequence[int], cluster: str = "") -> None:
        """Use a client bound to the database that may alter it and reads all shards of `cluster`.

        `users` are hashes from `hashes_of`; `cluster` comes from `cluster_of`.
        """
        self._client, self._audit = client, Audit(client, database)
        self._cluster = Cluster(cluster, database) if cluster else None
        self._users = ", ".join(map(str, users))

    async def row_counts(self) -> dict[str, int]:
        """Return the number of the persons' rows in each table of `PERSONAL`."""
        counts = {}
        for table in PERSONAL:
            ((rows,),) = await self._query(f"SELECT count() FROM {table} WHERE {self._condition(table)}")
            counts[table] = int(rows)
        return counts

    async def last_seen(self) -> datetime | None:
        """Return when the newest event of the persons or their sessions occurred or arrived; None without."""
        newest = []
        for table in _RAW:
            newest += await self._query(
                f"SELECT max(greatest(occurred_at, received_at)), count() FROM {table}"
                f" WHERE {self._condition(table)} OR session_id IN ({self._sessions()})"
            )
        seen = [aware(at) for at, rows in newest if rows]
        return max(seen, default=None)

    async def others_in_sessions(self) -> dict[str, int]:
        """Return other user ids in the persons' sessions with their number of events, most first.

        Often such an id is the same person before signing in.
        """
        sources = " UNION ALL ".join(
            f"SELECT user_id FROM {table} WHERE session_id IN ({self._sessions()})"
            f" AND NOT {self._condition(table)}"
            for table in _RAW
        )
        rows = await self._query(
            f"SELECT user_id, count() AS n FROM ({sources}) GROUP BY user_id ORDER BY n DESC"
        )
        return {str(user): int(events) for user, events in rows}

    async def owned(self) -> int:
        """Return the number of videos in the catalog whose owners they are."""
        ((videos,),) = await self._query(
            f"SELECT uniqExact(video_id) FROM video_catalog WHERE sipHash64(owner_id) IN ({self._users})"
        )
        return int(videos)

    async def remove(self, complete_from: date, done: Callable[[str], None]) -> None:
        """Remove all rows of the persons; `done` is called with each table that has none left.

        Raw rows must be complete for all days from `complete_from` on: sessions with other persons are
        rebuilt from them. On earlier days, such a session is removed as a whole. An interrupted run can be
        repeated.

        Raises `MutationFailedError` while the server cannot finish what an earlier run asked for.
        """
        await self._wait_for_mutations()
        await self._split_sessions(complete_from)
        for table in PERSONAL:
            if table in _RAW:
                await self._record_removal(table, _RAW[table])
            await self._delete(table, self._condition(table))
            done(table)

    async def _split_sessions(self, complete_from: date) -> None:
        """Rebuild sessions of several persons from the events of the others."""
        days = await self._query(
            " UNION DISTINCT ".join(
                f"SELECT toDate(occurred_at) AS day, sipHash64(session_id) FROM {table}"
                f" WHERE {self._condition(table)} AND toDate(occurred_at) >= {{whole:Date}}"
                for table in _RAW
            ),
            whole=complete_from,
        )
        for some in _lists([f"('{day}', {int(session)})" for day, session in days]):
            which = f"IN ({', '.join(some)})"
            await self._delete("session_days", f"(day, session) {which}")
            columns, rest = await self._audit.rows_query(
                "session_days",
                f"(toDate(occurred_at), sipHash64(session_id)) {which}"
                f" AND NOT {_BY_ID.format(users=self._users)}",
            )
            await self._command(
                f"INSERT INTO session_days ({', '.join(columns)}) {rest}", _EACH | self._on_a_shard()
            )

    async def _record_removal(self, table: str, besides: Collection[str]) -> None:
        """Record in `forgotten_rows` and `activity_days` which raw rows are about to be removed.

        The deduplication token is derived from these rows, so a repeated run does not record them twice.
        """
        touched = ", ".join(
            [
                "(toDate(occurred_at), 1)",
                *(f"(toDate({instant}), 0)" for instant in besides),
            ]
        )
        rows = await self._query(
            "SELECT touched.1, log, topic, partition, sum(touched.2),"
            " sum(cityHash64(log, topic, partition, offset)) FROM"
            f" (SELECT log, topic, partition, offset, arrayJoin([{touched}]) AS touched FROM {table}"
            f" WHERE {self._condition(table)}) WHERE touched.1 > toDate('1970-01-01')"
            " GROUP BY touched.1, log, topic, partition ORDER BY touched.1, log, topic, partition"
        )
        if not rows:
            return
        token = f"forgotten/{table}/{len(rows)}/{sum(int(row[-1]) for row in rows):x}"
        with available():
            await self._client.insert(
                "forgotten_rows",
                [row[:-1] for row in rows],
                column_names=["day", "log", "topic", "partition", "rows"],
                settings={
                    "async_insert": 0,
                    "insert_deduplicate": 1,
                    "insert_deduplication_token": token,
                    **self._on_a_shard(),
                },
            )
            # This invalidates cached answers about these days (`day_cache.py`).
            await self._client.insert(
                "activity_days",
                sorted((day, 1) for day in {row[0] for row in rows if row[4]}),
                column_names=["day", "events"],
                settings=_EACH | self._on_a_shard(),
            )

    async def _wait_for_mutations(self) -> None:
        """Wait until mutations of an interrupted run are done."""
        source = "system.mutations"
        if self._cluster is not None:
            source = f"clusterAllReplicas('{self._cluster.name}', {source})"
        while running := await self._query(
            # A failure is forgotten when the part that failed succeeds.
            f"SELECT table, mutation_id, latest_fail_reason FROM {source}"
            " WHERE database = currentDatabase() AND NOT is_done AND table IN {tables:Array(String)}"
            " ORDER BY latest_fail_reason = '', table, mutation_id LIMIT 1",
            tables=[f"{table}{suffix}" for table in PERSONAL for suffix in ("", LOCAL)],
        ):
            ((table, mutation, reason),) = running
            if reason:
                raise MutationFailedError(
                    f"ClickHouse repeats an unfinished change of {table} because it fails: {reason}."
                    " Mend that and run this again; or stop it on each server with KILL MUTATION WHERE"
                    f" database = currentDatabase() AND table = '{table}' AND mutation_id = '{mutation}'"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _delete(self, table: str, condition: str) -> None:
        name = f"{table}{LOCAL} {self._cluster.on}" if self._cluster is not None else table
        await self._command(f"ALTER TABLE {name} DELETE WHERE {condition}", _WHOLE)

    def _condition(self, table: str) -> str:
        return PERSONAL[table].format(users=self._users)

    def _sessions(self) -> str:
        return " UNION ALL ".join(
            f"SELECT session_id FROM {table} WHERE {self._condition(table)}" for table in _RAW
        )

    def _on_a_shard(self) -> dict[str, int]:
        """Return the settings that insert rows on one shard; readers add up over all shards."""
        return {"insert_shard_id": 1, "distributed_foreground_insert": 1} if self._cluster else {}

    async def _command(self, sql: str, settings: Mapping[str, int]) -> None:
        with available():
            await self._client.command(sql, settings=dict(settings))

    async def _query(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with available():
            result = await self._client.query(sql, parameters=parameters)
        return [tuple(row) for row in result.result_rows]


async def hashes_of(client: AsyncClient, users: Collection[str]) -> list[int]:
    """Return the hashes of user ids, as the tables have them."""
    with available():
        result = await client.query(
            "SELECT sipHash64(arrayJoin({users:Array(String)}))", parameters={"users": list(users)}
        )
    return [int(user) for (user,) in result.result_rows]


async def cluster_of(client: AsyncClient) -> str:
    """Return the name of the tables' cluster, empty for a single server."""
    with available():
        result = await client.query(
            "SELECT any(engine_full) FROM system.tables"
            " WHERE database = currentDatabase() AND engine = 'Distributed'"
        )
    found = re.match(r"Distributed\('([^']+)'", result.result_rows[0][0])
    return found[1] if found else ""


async def is_rebuilt(client: AsyncClient) -> bool:
    """Say whether `vca rebuild rollups` is running, which would restore rows that are removed meanwhile."""
    with available():
        result = await client.query(
            "SELECT count() FROM system.databases WHERE name = concat(currentDatabase(), '_rebuild')"
        )
    return bool(result.result_rows[0][0])


def _lists(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
