"""Versions on databases that are not theirs: older ones are waited for, newer ones are no hindrance."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.stack import command_line
from deploy.operations import forget_command, rebuild_command
from deploy.operations.forget_command import ForgetError
from deploy.operations.progress import Bar
from deploy.operations.rebuilding import RebuildError
from sinks.clickhouse.migrator import migrate
from streams.app import _connect
from streams.domain.errors import MigrationError
from streams.health import Health
from streams.settings import Settings
from tests.readings.stores import serving

NOW = datetime(2050, 3, 30, 14, 5, tzinfo=UTC)
LAST = "0008_untimed_jobs.sql"


@pytest.fixture
def url(clickhouse_server: str, clickhouse_database: str) -> str:
    return f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"


def say(url: str, statement: str) -> None:
    server, _, database = url.rpartition("/")
    urllib.request.urlopen(f"{server}/?database={database}", statement.encode(), timeout=30).close()


def make_older(url: str) -> None:
    """Leave a database as the version before the last migration left it."""
    migrate(url)
    say(url, "DROP VIEW untimed_jobs_of_systems SYNC")
    say(url, f"ALTER TABLE schema_migrations DELETE WHERE name = '{LAST}' SETTINGS mutations_sync = 2")


def make_newer(url: str) -> None:
    """Leave a database as a version with one more migration leaves it."""
    migrate(url)
    say(url, "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_newer.sql', 'any')")


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_worker_waits_for_the_tables_of_its_version_and_says_for_which(url: str, broker: str) -> None:
    make_older(url)
    health = Health()

    def waits() -> str:
        health.beat()
        return health.readiness_problem() or ""

    reaching = asyncio.create_task(
        _connect(Settings(kafka_bootstrap_servers=broker, clickhouse_url=url), health)
    )
    await until(lambda: LAST in waits())
    assert "vca migrate" in waits() and not reaching.done()
    migrate(url)
    await (await asyncio.wait_for(reaching, 20.0)).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_at_its_start_ends_when_told(number: signal.Signals, tmp_path: Path) -> None:
    nowhere = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "CLICKHOUSE_URL": "http://127.0.0.1:9/none",
    }
    log = tmp_path / "worker.log"
    worker = Child("worker", command_line("worker"), log, nowhere | module_environment())
    try:
        assert wait_until(time.monotonic() + 30.0, lambda: "reach Kafka" in log.read_text(), worker)
        os.kill(worker.pid, number)
        assert wait_until(time.monotonic() + 10.0, lambda: worker.exit_code is not None, None)
        assert worker.exit_code == 0, worker.tail()
    finally:
        worker.kill()


async def test_a_worker_goes_on_beside_a_newer_database(url: str, broker: str) -> None:
    make_newer(url)
    settings = Settings(kafka_bootstrap_servers=broker, clickhouse_url=url)
    await (await asyncio.wait_for(_connect(settings, Health()), 20.0)).close()


async def test_a_worker_refuses_a_database_that_other_files_made(url: str, broker: str) -> None:
    migrate(url)
    say(
        url,
        "INSERT INTO schema_migrations (name, checksum, applied_at)"
        " VALUES ('0001_raw_events.sql', 'other', now() + 10)",
    )
    with pytest.raises(MigrationError, match="another 0001_raw_events.sql"):
        await _connect(Settings(kafka_bootstrap_servers=broker, clickhouse_url=url), Health())


async def test_the_api_is_not_ready_before_the_tables_of_its_version_are_there(
    url: str, redis_server: str
) -> None:
    make_older(url)
    async with serving(lambda: NOW, clickhouse_url=url, redis_url=redis_server) as api:
        early = await api.get("/readyz")
        assert early.status_code == 503
        assert early.json() == {"status": "unavailable", "stores": {"clickhouse": False, "redis": True}}
        migrate(url)
        assert (await api.get("/readyz")).json()["status"] == "ok"
        make_newer(url)
        assert (await api.get("/readyz")).json()["status"] == "ok"


async def test_what_must_know_every_table_is_left_to_the_newer_version(
    url: str, broker: str, redis_server: str
) -> None:
    make_newer(url)
    settings = Settings(kafka_bootstrap_servers=broker, redis_url=redis_server, clickhouse_url=url)
    with pytest.raises(RebuildError, match="9999_newer.sql"):
        await rebuild_command._rollups(settings, Bar(None))
    with pytest.raises(ForgetError, match="9999_newer.sql"):
        await forget_command.run(settings, ["me"], Bar(None), datetime.now(UTC), delete=False, anyway=True)
