"""Fixtures of tests that fill both stores themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from sinks.clickhouse.migrator import migrate


@pytest.fixture
def urls(clickhouse_server: str, clickhouse_database: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the settings of a database with empty tables, and of a Redis that belongs to one test."""
    redis = servers.redis(free_port(), tmp_path / "redis")
    child = servers.start(redis, tmp_path)
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    migrate(url)
    yield {"clickhouse_url": url, "redis_url": redis.address}
    child.kill()
