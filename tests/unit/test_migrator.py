"""SQL files cut into statements, and refused when they are not the ones that were applied."""

from __future__ import annotations

import pytest

from sinks.clickhouse.client import database_of
from sinks.clickhouse.migrator import Migration, _check, migrations
from sinks.clickhouse.statements import split
from streams.domain.errors import MigrationError


def test_semicolons_in_comments_strings_and_names_end_nothing() -> None:
    sql = """
    -- one; two
    CREATE TABLE a (x String COMMENT 'it''s; a \\'trap;') ENGINE = Log; -- done; really
    /* and; */ CREATE TABLE `b;` (y String);
    INSERT INTO "c;" VALUES (';')
    -- the end;
    """
    statements = split(sql)
    assert len(statements) == 3
    assert statements[0].endswith("ENGINE = Log")
    assert statements[1].endswith("`b;` (y String)")
    assert statements[2].startswith('INSERT INTO "c;"')


def test_comments_alone_are_no_statement() -> None:
    assert split("-- nothing;\n;/* here; */;\n") == []


def test_statements_can_be_sent_again() -> None:
    migration = Migration(
        "0001_x.sql",
        "-- why\nCREATE TABLE t (a Int8) TTL d + INTERVAL {days} DAY;"
        "\nCREATE MATERIALIZED VIEW v TO t AS SELECT 1;"
        "\nCREATE TABLE IF NOT EXISTS u (a Int8);\nALTER TABLE t ADD COLUMN b Int8;",
    )
    statements = migration.statements({"days": 7})
    assert statements[0] == "-- why\nCREATE TABLE IF NOT EXISTS t (a Int8) TTL d + INTERVAL 7 DAY"
    assert statements[1].startswith("CREATE MATERIALIZED VIEW IF NOT EXISTS v")
    assert statements[2].startswith("CREATE TABLE IF NOT EXISTS u")
    assert statements[3].startswith("ALTER TABLE t")


def test_the_files_are_numbered_without_a_gap_and_leave_no_placeholder() -> None:
    found = migrations()
    assert [int(each.name[:4]) for each in found] == list(range(1, len(found) + 1))
    values = {"raw_retention_days": 1, "rollup_retention_days": 2, "deduplication_window": 3}
    for migration in found:
        for statement in migration.statements(values):
            assert "{" not in statement, (migration.name, statement)


def test_a_file_that_was_changed_after_it_was_applied_is_refused() -> None:
    wanted = [Migration("0001_x.sql", "SELECT 1")]
    _check(wanted, {"0001_x.sql": wanted[0].checksum})
    with pytest.raises(MigrationError, match="0001_x.sql was changed"):
        _check(wanted, {"0001_x.sql": "another"})


def test_a_database_of_a_newer_version_is_refused() -> None:
    with pytest.raises(MigrationError, match="0002_y.sql"):
        _check([], {"0002_y.sql": "any"})


def test_the_path_of_the_address_is_the_database() -> None:
    assert database_of("http://u:p@host:8123/own") == "own"
    assert database_of("http://host:8123/") == database_of("http://host:8123") == "videocloud"
