"""What the doctor says of tables that were made with other settings, and that its statements mend it."""

from __future__ import annotations

from deploy.operations import examining
from deploy.operations.diagnosis import Verdict
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate, migrations, retentions
from streams.settings import Settings


async def _about_tables(settings: Settings) -> dict[str, tuple[Verdict, str]]:
    names = ("deduplication window", "RAW_RETENTION_DAYS", "ROLLUP_RETENTION_DAYS")
    found = await examining.clickhouse(settings)
    return {each.name: (each.verdict, each.advice) for each in found if each.name in names}


async def test_tables_that_are_unlike_the_settings_are_mended_by_what_the_doctor_says(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url, raw_retention_days=30, rollup_retention_days=400, deduplication_window=5_000)
    settings = Settings(clickhouse_url=url, raw_retention_days=60, rollup_retention_days=300)
    before = await _about_tables(settings)
    assert {name: verdict for name, (verdict, _) in before.items()} == {
        "deduplication window": Verdict.WARN,
        "RAW_RETENTION_DAYS": Verdict.FAIL,
        "ROLLUP_RETENTION_DAYS": Verdict.WARN,
    }
    statements = [
        line.rstrip(";")
        for _, advice in before.values()
        for line in advice.splitlines()
        if line.startswith("ALTER TABLE")
    ]
    altered = [statement.split()[2] for statement in statements if "MODIFY TTL" in statement]
    assert sorted(altered) == sorted(retentions(migrations()))
    async with await connect(url) as client:
        for statement in statements:
            await client.command(statement)
    assert {verdict for verdict, _ in (await _about_tables(settings)).values()} == {Verdict.OK}
