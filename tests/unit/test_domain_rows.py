"""The row structs are the columns of the raw tables, in order."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from streams.domain.rows import CatalogRow, PlaybackRow, Row, SystemRow, UserRow, columns

MIGRATION = Path(__file__).parents[2] / "sinks" / "clickhouse" / "migrations" / "0001_raw_events.sql"
TABLES = {
    "playback_events": PlaybackRow,
    "user_events": UserRow,
    "system_events": SystemRow,
    "video_catalog": CatalogRow,
}


def declared(table: str) -> tuple[str, ...]:
    """Read a table's column names from the migration."""
    body = re.search(rf"CREATE TABLE {table}\n\((.*?)\n\)\n", MIGRATION.read_text(), re.DOTALL)
    assert body
    names = (line.split()[0] for line in body[1].splitlines() if line.strip())
    return tuple(name for name in names if name not in ("INDEX", "PROJECTION", "--"))


@pytest.mark.parametrize(("table", "row"), TABLES.items())
def test_a_row_has_the_columns_of_its_table_in_order(table: str, row: type[Row]) -> None:
    assert columns(row) == declared(table)


def test_a_row_is_encoded_as_an_array_in_the_order_of_its_fields() -> None:
    values = [f"{name}" for name in columns(UserRow)]
    row = UserRow(*values)  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(row)) == values


def test_instants_in_seconds_keep_their_milliseconds() -> None:
    # As in 2026: a double holds epoch seconds with far more than three decimals.
    for at in range(1_790_000_000_000, 1_790_000_002_000):
        assert msgspec.json.encode(at / 1000) in (
            f"{at // 1000}.{at % 1000:03}".rstrip("0").encode(),
            f"{at // 1000}.0".encode(),
        )
