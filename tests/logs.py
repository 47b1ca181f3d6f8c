"""The log in tests: its configuration, which all of a process share, and what one module tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture


@contextmanager
def log_as_before() -> Iterator[None]:
    """Undo at the end what configures the log meanwhile."""
    before = structlog.get_config()
    try:
        yield
    finally:
        structlog.configure(**before)


def captured(monkeypatch: pytest.MonkeyPatch, logger: str) -> list[Any]:
    """Return the entries that a module's logger, named by its path, gets from now on, of every level.

    The module's own logger may have the configuration of another test.
    """
    capture = LogCapture()
    level = structlog.make_filtering_bound_logger(0)
    monkeypatch.setattr(logger, structlog.wrap_logger(None, [capture], level))
    return capture.entries
