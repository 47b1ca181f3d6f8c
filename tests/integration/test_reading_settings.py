"""Settings that not every server has."""

from __future__ import annotations

from sinks.clickhouse.client import GROUPING, READING, connect


async def test_settings_are_sent_to_servers_that_know_them_and_kept_from_others(
    clickhouse_server: str,
) -> None:
    wanted = GROUPING | {"not_a_setting_of_any_server": "1"}
    client = await connect(f"{clickhouse_server}/default", where_known=wanted)
    try:
        sql = "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}"
        asked = await client.query(sql, parameters={"names": [*wanted]})
    finally:
        await client.close()
    known = dict(tuple(row) for row in asked.result_rows)
    assert known.items() <= GROUPING.items()


async def test_an_error_in_the_middle_of_an_answer_is_never_written_as_a_row(clickhouse_server: str) -> None:
    """ClickHouse from 23.9 to 25.10 does that by default for JSON, and then ends the answer as if whole."""
    as_before = {"compatibility": "25.8"}
    sql = "SELECT toUInt8(getSetting('http_write_exception_in_output_format'))"
    written = {}
    for name, settings in (("by default", {}), ("when we read", READING)):
        client = await connect(f"{clickhouse_server}/default", settings=as_before | settings)
        try:
            written[name] = (await client.query(sql)).result_rows[0][0]
        finally:
            await client.close()
    assert written == {"by default": 1, "when we read": 0}
