"""The schema of a cluster as it is sent, and what is refused. `UPDATE_GOLDEN=1` writes the files anew.

The golden files leave out the columns of tables: those are the migrations' own, and a test here says so.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import OperationalError

import api.exports
import sinks.clickhouse
from sinks.base import Unavailable
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.cluster import MERGED, Cluster, check
from sinks.clickhouse.migrator import migrations, tables_of
from sinks.clickhouse.replicas import Replicas
from streams.domain.errors import MigrationError
from tests import golden

GOLDEN = golden.FOLDER / "cluster"
VALUES = {"raw_retention_days": 180, "rollup_retention_days": 1100, "deduplication_window": 100_000}
ANALYTICS = Cluster("analytics", "videocloud")
_COLUMNS = re.compile(r"^\(\n.*?^\)", re.DOTALL | re.MULTILINE)
TABLES = tables_of(migrations(), VALUES)


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_the_statements_are_as_they_were_read_and_approved(migration: Any) -> None:
    spread = [
        part for statement in migration.statements(VALUES) for part in ANALYTICS.spread(statement, TABLES)
    ]
    text = ";\n\n".join(_COLUMNS.sub("(...)", part).strip() for part in spread) + ";\n"
    golden.check(f"cluster/{migration.name}", text)


def test_local_tables_have_the_columns_of_the_migrations() -> None:
    statements = [each for migration in migrations() for each in migration.statements(VALUES)]
    made = [columns for each in statements for columns in _COLUMNS.findall(each)]
    spread = [part for each in statements for part in ANALYTICS.spread(each, TABLES)]
    assert [columns for part in spread for columns in _COLUMNS.findall(part)] == made
    assert len(made) == len(TABLES)


def test_nothing_of_the_cluster_depends_on_one_node() -> None:
    for statement in (path.read_text() for path in sorted(GOLDEN.glob("*.sql"))):
        engines = set(re.findall(r"ENGINE = (\w+)", statement))
        assert all(engine.startswith(("Replicated", "Distributed", "Null")) for engine in engines)
        assert "non_replicated" not in statement
        creates = re.findall(r"^CREATE .*", statement, re.MULTILINE)
        assert [line for line in creates if "ON CLUSTER 'analytics'" not in line] == []


def test_views_on_a_node_read_and_feed_that_node_alone() -> None:
    for statement in (path.read_text() for path in GOLDEN.glob("*.sql")):
        for part in statement.split(";\n"):
            if "CREATE MATERIALIZED VIEW" in part:
                named = re.findall(r"\b(?:FROM|JOIN|TO) (\w+)", part)
                assert len(named) >= 2
                assert TABLES.isdisjoint(named), part


def test_what_is_read_with_final_merges_all_shards() -> None:
    folders = (Path(module.__file__ or "").parent for module in (sinks.clickhouse, api.exports))
    code = "".join(path.read_text("utf-8") for folder in folders for path in folder.glob("*.py"))
    assert set(re.findall(r"FROM (\w+) FINAL", code)) == MERGED


def test_columns_are_added_to_both_tables_and_everything_else_to_the_local_ones() -> None:
    added = ANALYTICS.spread("ALTER TABLE user_events ADD COLUMN plan String", TABLES)
    assert added == [
        "ALTER TABLE user_events_local ON CLUSTER 'analytics' ADD COLUMN plan String",
        "ALTER TABLE user_events ON CLUSTER 'analytics' ADD COLUMN plan String",
    ]
    kept = ANALYTICS.spread("ALTER TABLE user_events MODIFY TTL day + INTERVAL 9 DAY", TABLES)
    assert kept == ["ALTER TABLE user_events_local ON CLUSTER 'analytics' MODIFY TTL day + INTERVAL 9 DAY"]
    view = ANALYTICS.spread("ALTER TABLE signups_of_users MODIFY QUERY SELECT 1 FROM user_events", TABLES)
    assert view == [
        "ALTER TABLE signups_of_users ON CLUSTER 'analytics' MODIFY QUERY SELECT 1 FROM user_events_local"
    ]


def test_a_view_for_queries_can_be_replaced() -> None:
    assert ANALYTICS.spread("CREATE OR REPLACE VIEW views AS\nSELECT 1", TABLES) == [
        "CREATE OR REPLACE VIEW views ON CLUSTER 'analytics' AS\nSELECT 1"
    ]


def test_a_new_table_is_filled_once_from_all_shards() -> None:
    assert ANALYTICS.spread("TRUNCATE TABLE signups", TABLES) == [
        "TRUNCATE TABLE signups_local ON CLUSTER 'analytics'"
    ]
    fill = "-- why\nINSERT INTO signups\nSELECT sipHash64(user_id), occurred_at, source FROM user_events"
    assert ANALYTICS.spread(fill, TABLES) == [
        f"{fill}\nSETTINGS insert_shard_id = 1, distributed_product_mode = 'global'"
    ]


@pytest.mark.parametrize("statement", ["DROP TABLE user_events", "INSERT INTO users SELECT 1", "OPTIMIZE x"])
def test_a_statement_that_cannot_be_spread_is_refused(statement: str) -> None:
    with pytest.raises(MigrationError, match="cannot be spread"):
        ANALYTICS.spread(statement, TABLES)


@pytest.mark.parametrize(
    ("replicates", "macros", "says"),
    [
        ([], {"shard", "replica"}, "knows no cluster 'analytics'"),
        ([1, 0], {"shard", "replica"}, "internal_replication"),
        ([1, 1], {"shard"}, "no macro replica"),
    ],
)
def test_a_cluster_that_would_lose_or_double_rows_is_refused(
    replicates: list[int], macros: set[str], says: str
) -> None:
    with pytest.raises(MigrationError, match=says):
        check(ANALYTICS, replicates, macros)
    check(ANALYTICS, [1, 1], {"shard", "replica", "layer"})


def test_a_hostile_name_is_no_cluster() -> None:
    with pytest.raises(MigrationError):
        Cluster("x' SYNC; DROP", "videocloud")


class Node:
    """Takes statements, each in a moment."""

    database = "videocloud"

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def command(self, statement: str, settings: dict[str, Any]) -> None:
        assert settings["distributed_ddl_output_mode"] == "throw_only_active"
        await asyncio.sleep(0)
        self.sent.append(statement)


async def test_partitions_taken_over_together_wait_for_the_replicas_together() -> None:
    node = Node()
    replicas = Replicas(node, "analytics")  # type: ignore[arg-type]
    await asyncio.gather(*(replicas.catch_up() for _ in range(12)))
    # Whoever comes while one round is under way may not rely on it, but all of them on the next.
    assert len(node.sent) in (5, 10)
    assert node.sent[0] == (
        "SYSTEM SYNC REPLICA ON CLUSTER 'analytics' videocloud.ingested_offsets_local LIGHTWEIGHT"
    )
    before = len(node.sent)
    await replicas.catch_up()
    assert len(node.sent) == before + 5


class Shard(Node):
    """A node that has rows of a partition, and whose replicas may not get what they lack."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = False

    async def command(self, statement: str, settings: dict[str, Any]) -> None:
        await super().command(statement, settings)
        if self.stuck:
            raise OperationalError("a replica does not get what it lacks")

    async def query(self, statement: str, parameters: dict[str, Any]) -> Any:
        self.sent.append("SELECT")
        return SimpleNamespace(result_rows=[("log", "topic", 0, 7)])


async def test_where_a_partition_ends_is_never_asked_before_the_replicas_are_there() -> None:
    shard = Shard()
    archive = ClickHouseArchive(shard, "analytics")  # type: ignore[arg-type]
    assert await archive.next_offset("log", "topic", 0) == 7
    assert [sent.split()[0] for sent in shard.sent] == ["SYSTEM"] * 5 + ["SELECT"]
    shard.sent.clear()
    shard.stuck = True
    asked = [archive.next_offset("log", "topic", 0) for _ in range(3)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in found] == [Unavailable] * 3
    assert "SELECT" not in shard.sent
    shard.stuck = False
    assert await archive.next_offset("log", "topic", 0) == 7
