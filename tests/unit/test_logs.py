"""What a worker's log has, and what not."""

from __future__ import annotations

import logging
import sys

import faust
import pytest

from streams.faust_worker import PromptWorker
from streams.logs import OnceFilter


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
