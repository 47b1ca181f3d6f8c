"""Migrations on a real engine: once, twice, from two processes, and half done."""

from __future__ import annotations

import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httpclient import HttpClient

from sinks.base import Unavailable
from sinks.clickhouse import migrator
from sinks.clickhouse.migrator import migrate, migrations
from streams.domain.errors import MigrationError


def sql(url: str, statement: str) -> str:
    with urllib.request.urlopen(url, data=statement.encode(), timeout=30) as answer:
        return str(answer.read().decode())


@pytest.fixture
def database(clickhouse_server: str) -> str:
    return f"{clickhouse_server.rstrip('/')}/migrated_{uuid4().hex[:8]}"


def server(url: str) -> str:
    return url.rpartition("/")[0]


def name(url: str) -> str:
    return url.rpartition("/")[2]


def test_everything_is_applied_once(database: str) -> None:
    assert migrate(database) == [migration.name for migration in migrations()]
    assert migrate(database) == []
    count = sql(
        server(database), f"SELECT count(), countDistinct(name) FROM {name(database)}.schema_migrations"
    )
    assert count.split() == [str(len(migrations()))] * 2


def test_retention_and_window_reach_the_tables(database: str) -> None:
    migrate(database, raw_retention_days=91, rollup_retention_days=777, deduplication_window=42)
    ddl = sql(server(database), f"SHOW CREATE TABLE {name(database)}.playback_events")
    assert "toIntervalDay(91)" in ddl
    assert "non_replicated_deduplication_window = 42" in ddl
    assert "toIntervalDay(777)" in sql(server(database), f"SHOW CREATE TABLE {name(database)}.video_15m")


def test_two_processes_may_migrate_at_once(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(database), range(4)))
    assert migrate(database) == []


def test_a_migration_that_stopped_half_way_is_finished(database: str) -> None:
    migrate(database)
    sql(
        server(database),
        f"ALTER TABLE {name(database)}.schema_migrations DELETE WHERE name = '0002_videos.sql'"
        " SETTINGS mutations_sync = 2",
    )
    sql(server(database), f"DROP TABLE {name(database)}.view_starts_of_playback")
    assert migrate(database) == ["0002_videos.sql"]
    assert sql(server(database), f"EXISTS {name(database)}.view_starts_of_playback").strip() == "1"


def test_a_changed_file_is_refused(database: str) -> None:
    migrate(database)
    sql(
        server(database),
        f"INSERT INTO {name(database)}.schema_migrations (name, checksum, applied_at)"
        " VALUES ('0001_raw_events.sql', 'other', now() + 10)",
    )
    with pytest.raises(MigrationError, match="another 0001_raw_events.sql"):
        migrate(database)


def test_a_version_that_was_put_back_leaves_a_newer_database_as_it_is(database: str) -> None:
    migrate(database)
    sql(
        server(database),
        f"INSERT INTO {name(database)}.schema_migrations (name, checksum) VALUES ('9999_newer.sql', 'any')",
    )
    assert migrate(database) == []


def test_a_process_that_is_slower_touches_nothing_once_another_was_quicker(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = f"{name(database)}.video_days"
    ask = migrator._applied
    quicker: list[str] = []

    def applied(client: Client) -> dict[str, str]:
        """When the sixth file is about to be applied, another process does all that is left."""
        found = ask(client)
        if "0005_system.sql" in found and not quicker:
            quicker.append("")
            quicker.extend(migrate(database))
            # From here on workers insert.
            sql(server(database), f"INSERT INTO {days} (day, video_id, views) VALUES (today(), 'v', 1)")
        return found

    monkeypatch.setattr(migrator, "_applied", applied)
    slower = migrate(database)
    assert [*slower, *quicker[1:]] == [migration.name for migration in migrations()]
    assert sql(server(database), f"SELECT sum(views) FROM {days}").strip() == "1"


def test_a_migration_may_be_killed_at_any_statement(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(Exception):
        pass

    def shape(url: str) -> str:
        made = sql(
            server(url),
            "SELECT name, create_table_query FROM system.tables"
            f" WHERE database = '{name(url)}' ORDER BY name FORMAT TSV",
        )
        return made.replace(name(url), "db")

    command = HttpClient.command
    left = 0

    def until_killed(self: Any, *arguments: Any, **others: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return command(self, *arguments, **others)

    whole = f"{database}_whole"
    migrate(whole)
    for statements in range(1, 200, 7):
        monkeypatch.setattr(HttpClient, "command", until_killed)
        left = statements
        try:
            migrate(database)
        except Killed:
            continue
        break
    else:
        pytest.fail("it never came to its end")
    monkeypatch.undo()
    assert migrate(database) == []
    assert shape(database) == shape(whole)


def test_a_hostile_database_name_is_refused(clickhouse_server: str) -> None:
    with pytest.raises(MigrationError):
        migrate(f"{clickhouse_server.rstrip('/')}/x;DROP")


def test_no_server_is_said_so() -> None:
    with pytest.raises(Unavailable):
        migrate("http://127.0.0.1:9/none", connect_timeout=1)
