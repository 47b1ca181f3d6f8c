"""What a worker's log has, and what not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import faust
import pytest
import structlog

from api.telemetry import configure_logging
from streams import logs
from streams.faust_worker import PromptWorker
from streams.logs import OnceFilter
from tests.logs import log_as_before


def test_a_password_in_the_clear_is_told_once_and_all_else_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("a connection")
    log.addFilter(OnceFilter())
    for _ in range(2):
        log.warning("Sending username and password in the clear")
        log.warning("closed by %s", "kafka:9092")
    assert caplog.messages == [
        "Sending username and password in the clear",
        "closed by kafka:9092",
        "closed by kafka:9092",
    ]


def test_a_worker_that_is_ready_prints_no_codes_of_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    worker = PromptWorker(faust.App("logs"), redirect_stdouts=False, stdout=sys.stdout, stderr=sys.stderr)
    worker.on_setup_root_logger(logging.getLogger("a worker"), logging.WARNING)
    worker._on_startup_end_spinner()
    assert capfd.readouterr().out == ""


@pytest.fixture(params=[logs.configure, configure_logging])
def configure(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Yield what configures the log of the worker, and of the API."""
    with log_as_before():
        yield request.param


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_a_log_on_a_full_disk_stops_no_work(
    configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115  # closing it fails, too
    try:
        monkeypatch.setattr(sys, "stderr", full)
        configure("INFO")
        for _ in range(3):
            structlog.get_logger("a worker").error("retrying", operation="insert a block")
    finally:
        with pytest.raises(OSError, match="No space left"):
            full.close()


def test_a_log_without_standard_error_stops_no_work(
    configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python has None for standard error in a process that was started with it closed (`vca api 2>&-`)."""
    monkeypatch.setattr(sys, "stderr", None)
    configure("INFO")
    structlog.get_logger("a worker").error("retrying", operation="insert a block")


def test_a_log_outlives_what_standard_error_was_when_it_was_configured(
    configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of a command in a test runner, after which the first warning failed: its file was closed."""
    replaced = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", replaced)
        configure("INFO")
    replaced.close()
    structlog.get_logger("a worker").error("retrying", operation="insert a block")
    assert "insert a block" in capsys.readouterr().err
