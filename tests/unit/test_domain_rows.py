"""The row structs are the columns of the raw tables."""

from __future__ import annotations

import msgspec
import pytest

from docs import schema_page
from sinks.clickhouse.migrator import Migration, migrations
from streams.domain.rows import CatalogRow, PlaybackRow, Row, SystemRow, UserRow, columns, types

TABLES = {
    "playback_events": PlaybackRow,
    "user_events": UserRow,
    "system_events": SystemRow,
    "video_catalog": CatalogRow,
}


def declared() -> dict[str, dict[str, str]]:
    """Read the columns of all tables, and their types, from the migrations."""
    return {table.name: {name: kind for name, kind, _ in table.columns} for table in schema_page.tables()}


@pytest.mark.parametrize(("table", "row"), TABLES.items())
def test_a_row_has_the_columns_of_its_table(table: str, row: type[Row]) -> None:
    assert dict(zip(columns(row), types(row), strict=True)) == declared()[table]


def test_a_column_that_a_later_migration_adds_belongs_to_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Migration(
        "9999_plan.sql",
        "-- Plans.\nALTER TABLE user_events ADD COLUMN IF NOT EXISTS plan"
        " LowCardinality(String) COMMENT 'of the account, as of then';"
        "\nCREATE OR REPLACE VIEW sessions AS SELECT 1 AS plan;",
    )
    before = declared()["user_events"]
    monkeypatch.setattr(schema_page, "migrations", lambda: [*migrations(), later])
    assert declared()["user_events"] == {**before, "plan": "LowCardinality(String)"}
    page = schema_page.page()
    assert "| `plan` | `LowCardinality(String)` | of the account, as of then |\n" in page
    assert page.count("## `sessions`") == 1 and "SELECT 1 AS plan\n" in page


def test_a_table_without_a_purpose_is_an_error_that_says_where_to_write_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema_page, "_PURPOSES", {})
    with pytest.raises(LookupError, match="docs/schema_page.py.*playback_events"):
        schema_page.page()


def test_a_row_is_encoded_as_an_array_in_the_order_of_its_fields() -> None:
    values = [f"{name}" for name in columns(UserRow)]
    row = UserRow(*values)  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(row)) == values
