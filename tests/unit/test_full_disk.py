"""A full or read-only disk stops neither a worker's start nor the doctor."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from deploy.operations import examining
from sinks.redis.client import connect as connect_redis
from streams.app import create_app
from streams.health import Health
from streams.settings import Settings


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make every folder refuse temporary files, as a full disk does; return the current folder."""

    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_worker_writes_no_files(nowhere: Path) -> None:
    clickhouse: Any = None  # Nothing connects before the app starts.
    app: Any = create_app(Settings(), connect_redis("redis://127.0.0.1:1/0"), clickhouse, Health())
    app._create_directories()  # Which Faust calls when a worker starts.
    assert list(nowhere.iterdir()) == []


def test_the_doctor_tells_how_full_the_disk_is(nowhere: Path) -> None:
    assert [each.name for each in examining.here(Settings())][-1] == f"space of {nowhere}"
