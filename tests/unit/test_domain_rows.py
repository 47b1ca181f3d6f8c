"""The row structs are the columns of the raw tables, in order."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from streams.domain.rows import CatalogRow, PlaybackRow, Row, SystemRow, UserRow, columns, types

MIGRATION = Path(__file__).parents[2] / "sinks" / "clickhouse" / "migrations" / "0001_raw_events.sql"
TABLES = {
    "playback_events": PlaybackRow,
    "user_events": UserRow,
    "system_events": SystemRow,
    "video_catalog": CatalogRow,
}


def declared(table: str) -> list[tuple[str, str]]:
    """Read the names and types of a table's columns from the migration."""
    body = re.search(rf"CREATE TABLE {table}\n\((.*?)\n\)\n", MIGRATION.read_text(), re.DOTALL)
    assert body
    found = re.findall(r"^ +(\w+) +(\w+(?:\([^)]*\))?)", body[1], re.MULTILINE)
    return [(name, kind) for name, kind in found if name not in ("INDEX", "PROJECTION")]


@pytest.mark.parametrize(("table", "row"), TABLES.items())
def test_a_row_has_the_columns_of_its_table_in_order(table: str, row: type[Row]) -> None:
    assert list(zip(columns(row), types(row), strict=True)) == declared(table)


def test_a_row_is_encoded_as_an_array_in_the_order_of_its_fields() -> None:
    values = [f"{name}" for name in columns(UserRow)]
    row = UserRow(*values)  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(row)) == values
