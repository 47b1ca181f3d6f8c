"""SQL files cut into statements, and databases that are older, newer, or made by other files."""

from __future__ import annotations

import re

import pytest

from sinks.clickhouse.client import database_of
from sinks.clickhouse.migrator import Migration, migrations
from sinks.clickhouse.schema_state import SchemaState, compare
from sinks.clickhouse.statements import split
from streams.domain.errors import MigrationError

#: Beginnings of the checksums that databases hold, since 21f9869 of 2026-11-26. Another one is refused there.
APPLIED = {
    "0001_raw_events.sql": "a4beab14ba9e81b2",
    "0002_videos.sql": "93ea675a12fc5472",
    "0003_sessions.sql": "307e104737dab43f",
    "0004_users.sql": "1d50c82001d23e98",
    "0005_system.sql": "4fa46c4d4a60a911",
    "0006_whole_days.sql": "1080d42524f71968",
    "0007_forgotten.sql": "999bfdcaf23eec2b",
    "0008_untimed_jobs.sql": "74fd5f596ca50ed0",
}


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


def test_no_file_is_another_than_databases_have_applied() -> None:
    found = {migration.name: migration.checksum[:16] for migration in migrations()}
    assert {name: found.get(name) for name in APPLIED} == APPLIED


def test_only_the_sixth_file_does_more_than_add_and_no_later_one_may() -> None:
    # Workers of the version before insert while a file is applied, and go on beside it.
    adds = re.compile(
        r"CREATE |ALTER TABLE \w+\s+(ADD (COLUMN|INDEX) IF NOT EXISTS|MODIFY (SETTING|COMMENT|QUERY))\s"
    )
    more = [
        (migration.name, statement)
        for migration in migrations()
        for statement in split(migration.sql)
        if not adds.match(re.sub(r"--[^\n]*\n", "", statement).strip())
    ]
    assert [each for each in more if each[0] != "0006_whole_days.sql"] == [], (
        f"a migration only has statements such as {adds.pattern}"
    )


def test_a_database_made_by_another_file_is_refused_with_what_to_do() -> None:
    wanted = {"0001_x.sql": "one", "0002_y.sql": "two"}
    compare(wanted, dict(wanted)).check()
    with pytest.raises(MigrationError, match="another 0001_x.sql.*Re-process"):
        compare(wanted, {**wanted, "0001_x.sql": "another"}).check()


def test_an_older_database_is_upgraded_before_anything_works_on_it() -> None:
    state = compare({"0001_x.sql": "one", "0002_y.sql": "two"}, {"0001_x.sql": "one"})
    state.check()
    assert state == SchemaState(missing=("0002_y.sql",))
    assert "0002_y.sql" in state.lacks and "vca migrate" in state.lacks
    assert state.mismatch == state.lacks


def test_beside_a_newer_database_a_version_goes_on_but_for_what_must_know_every_table() -> None:
    state = compare({"0001_x.sql": "one"}, {"0001_x.sql": "one", "0002_y.sql": "two"})
    state.check()
    assert not state.lacks
    assert "0002_y.sql" in state.mismatch


def test_a_database_of_another_line_of_versions_is_refused() -> None:
    with pytest.raises(MigrationError, match="has 0002_z.sql and lacks 0002_y.sql"):
        compare({"0001_x.sql": "1", "0002_y.sql": "2"}, {"0001_x.sql": "1", "0002_z.sql": "2"}).check()


def test_the_path_of_the_address_is_the_database() -> None:
    assert database_of("http://u:p@host:8123/own") == "own"
    assert database_of("http://host:8123/") == database_of("http://host:8123") == "videocloud"
