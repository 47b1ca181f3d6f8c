"""The configuration of the log, which all tests of a process share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def log_as_before() -> Iterator[None]:
    """Undo at the end what configures the log meanwhile."""
    before = structlog.get_config()
    try:
        yield
    finally:
        structlog.configure(**before)
