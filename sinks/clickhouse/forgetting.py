"""What the tables hold of a person, and how it goes: for `vca forget`.

A person is known by `sipHash64(user_id)` here, in the raw tables as well: statements that change a table are
kept by the server for a while (`system.mutations`, `system.query_log`), and should not name whom they forgot.

Rows go by `ALTER TABLE ... DELETE`, which writes the parts anew without them. (`DELETE FROM` would only
hide them until some later merge.)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.audit import Audit
from sinks.clickhouse.client import available
from sinks.clickhouse.cluster import LOCAL, Cluster

_BY_ID: Final = "sipHash64(user_id) IN ({users})"
_BY_HASH: Final = "user IN ({users})"
#: The raw tables, with what else than its own day an event adds to: days of sums.
_RAW: Final[Mapping[str, tuple[str, ...]]] = {
    "playback_events": ("started_at", "attempted_at"),
    "user_events": (),
}
#: Every table with rows of persons, in the order in which they go: what leads to the others is last, so that
#: a run that was cut short finds all of it again.
HELD: Final[Mapping[str, str]] = {
    "session_days": "toUInt64(bitAnd(first, 18446744073709551615)) IN ({users})",
    "user_days": _BY_HASH,
    "users": _BY_HASH,
    "signups": _BY_HASH,
    "view_starts": _BY_ID,
    **dict.fromkeys(_RAW, _BY_ID),
}
#: Wait until every replica has written its parts anew.
_WHOLE: Final = {"mutations_sync": 2, "distributed_ddl_task_timeout": 3600}
#: Each of these rows counts, also one that looks like another that was removed.
_EACH: Final = {"async_insert": 0, "insert_deduplicate": 0}
#: Days of sessions that one statement names: a statement may have 256 KiB.
_AT_ONCE: Final = 2_000
_POLL_SECONDS: Final = 0.5


class Forgetting:
    """Some persons, and the tables of one database."""

    def __init__(self, client: AsyncClient, database: str, users: Sequence[int], cluster: str = "") -> None:
        """Use a client bound to the database, that may alter it, and reads all shards of `cluster`.

        `users` are the hashes that `hashes_of` gives; `cluster` is what `cluster_of` tells.
        """
        self._client, self._audit = client, Audit(client, database)
        self._cluster = Cluster(cluster, database) if cluster else None
        self._users = ", ".join(map(str, users))

    async def held(self) -> dict[str, int]:
        """Return how many rows each table of `HELD` has of them."""
        counts = {}
        for table in HELD:
            ((rows,),) = await self._ask(f"SELECT count() FROM {table} WHERE {self._of(table)}")
            counts[table] = int(rows)
        return counts

    async def last_seen(self) -> datetime | None:
        """Return when the newest event of theirs, or of a session of theirs, occurred or came; else None."""
        newest = []
        for table in _RAW:
            newest += await self._ask(
                f"SELECT max(greatest(occurred_at, received_at)), count() FROM {table}"
                f" WHERE {self._of(table)} OR session_id IN ({self._sessions()})"
            )
        seen = [at.replace(tzinfo=UTC) if at.tzinfo is None else at for at, rows in newest if rows]
        return max(seen, default=None)

    async def others_in_sessions(self) -> dict[str, int]:
        """Return the ids that sessions of theirs have besides, with the number of their events, most first.

        Often that is the same person before signing in.
        """
        sources = " UNION ALL ".join(
            f"SELECT user_id FROM {table} WHERE session_id IN ({self._sessions()}) AND NOT {self._of(table)}"
            for table in _RAW
        )
        rows = await self._ask(
            f"SELECT user_id, count() AS n FROM ({sources}) GROUP BY user_id ORDER BY n DESC"
        )
        return {str(user): int(events) for user, events in rows}

    async def owned(self) -> int:
        """Return how many videos the catalog names them as owners of."""
        ((videos,),) = await self._ask(
            f"SELECT uniqExact(video_id) FROM video_catalog WHERE sipHash64(owner_id) IN ({self._users})"
        )
        return int(videos)

    async def remove(self, whole: date, done: Callable[[str], None]) -> None:
        """Remove all of it; `done` is told each table when it has nothing of them any more.

        Raw rows must be there for all days from `whole` on: what others did in sessions of theirs is counted
        again from there. Of days before, such a session goes as one. Cut short, it may be run again.
        """
        await self._settled()
        await self._split_sessions(whole)
        for table in HELD:
            if table in _RAW:
                await self._write_down(table, _RAW[table])
            await self._delete(table, self._of(table))
            done(table)

    async def _split_sessions(self, whole: date) -> None:
        """Leave of sessions with several persons what the others did."""
        days = await self._ask(
            " UNION DISTINCT ".join(
                f"SELECT toDate(occurred_at) AS day, sipHash64(session_id) FROM {table}"
                f" WHERE {self._of(table)} AND toDate(occurred_at) >= {{whole:Date}}"
                for table in _RAW
            ),
            whole=whole,
        )
        for some in _lists([f"('{day}', {int(session)})" for day, session in days]):
            which = f"IN ({', '.join(some)})"
            await self._delete("session_days", f"(day, session) {which}")
            columns, rest = await self._audit.recipe(
                "session_days",
                f"(toDate(occurred_at), sipHash64(session_id)) {which}"
                f" AND NOT {_BY_ID.format(users=self._users)}",
            )
            await self._do(
                f"INSERT INTO session_days ({', '.join(columns)}) {rest}", _EACH | self._on_a_shard()
            )

    async def _write_down(self, table: str, besides: Collection[str]) -> None:
        """Say in `forgotten_rows` and `activity_days` what is about to go of a raw table.

        The token stands for the very rows, so a run that was cut short after this does not say it twice.
        """
        touched = ", ".join(
            [
                "(toDate(occurred_at), 1)",
                *(f"(toDate({instant}), 0)" for instant in besides),
            ]
        )
        rows = await self._ask(
            "SELECT touched.1, log, topic, partition, sum(touched.2),"
            " sum(cityHash64(log, topic, partition, offset)) FROM"
            f" (SELECT log, topic, partition, offset, arrayJoin([{touched}]) AS touched FROM {table}"
            f" WHERE {self._of(table)}) WHERE touched.1 > toDate('1970-01-01')"
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
            # Whoever keeps answers about days that are over learns that these have changed.
            await self._client.insert(
                "activity_days",
                sorted((day, 1) for day in {row[0] for row in rows if row[4]}),
                column_names=["day", "events"],
                settings=_EACH | self._on_a_shard(),
            )

    async def _settled(self) -> None:
        """Wait until nothing is under way that somebody who was cut short began."""
        source = "system.mutations"
        if self._cluster is not None:
            source = f"clusterAllReplicas('{self._cluster.name}', {source})"
        while await self._ask(
            f"SELECT 1 FROM {source} WHERE database = currentDatabase() AND NOT is_done"
            " AND table IN {tables:Array(String)} LIMIT 1",
            tables=[f"{table}{suffix}" for table in HELD for suffix in ("", LOCAL)],
        ):
            await asyncio.sleep(_POLL_SECONDS)

    async def _delete(self, table: str, condition: str) -> None:
        name = f"{table}{LOCAL} {self._cluster.on}" if self._cluster is not None else table
        await self._do(f"ALTER TABLE {name} DELETE WHERE {condition}", _WHOLE)

    def _of(self, table: str) -> str:
        return HELD[table].format(users=self._users)

    def _sessions(self) -> str:
        return " UNION ALL ".join(f"SELECT session_id FROM {table} WHERE {self._of(table)}" for table in _RAW)

    def _on_a_shard(self) -> dict[str, int]:
        """Return what puts rows on one shard: readers add up over all."""
        return {"insert_shard_id": 1, "distributed_foreground_insert": 1} if self._cluster else {}

    async def _do(self, sql: str, settings: Mapping[str, int]) -> None:
        with available():
            await self._client.command(sql, settings=dict(settings))

    async def _ask(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        with available():
            result = await self._client.query(sql, parameters=parameters)
        return [tuple(row) for row in result.result_rows]


async def hashes_of(client: AsyncClient, users: Collection[str]) -> list[int]:
    """Return by what the tables know users whose ids are given."""
    with available():
        result = await client.query(
            "SELECT sipHash64(arrayJoin({users:Array(String)}))", parameters={"users": list(users)}
        )
    return [int(user) for (user,) in result.result_rows]


async def cluster_of(client: AsyncClient) -> str:
    """Return the name of the cluster that the tables are spread over, empty for those of one server."""
    with available():
        result = await client.query(
            "SELECT any(engine_full) FROM system.tables"
            " WHERE database = currentDatabase() AND engine = 'Distributed'"
        )
    found = re.match(r"Distributed\('([^']+)'", result.result_rows[0][0])
    return found[1] if found else ""


async def is_rebuilt(client: AsyncClient) -> bool:
    """Say whether `vca rebuild rollups` runs, which would put rows back that are removed meanwhile."""
    with available():
        result = await client.query(
            "SELECT count() FROM system.databases WHERE name = concat(currentDatabase(), '_rebuild')"
        )
    return bool(result.result_rows[0][0])


def _lists(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
