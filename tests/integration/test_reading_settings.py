"""Settings that not every server has."""

from __future__ import annotations

from sinks.clickhouse.client import GROUPING, connect


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
