"""What the logs of worker and API have in common: their levels, and that a full disk stops nobody."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Annotated, TextIO, cast

import structlog
from pydantic import Field

LogLevel = Annotated[
    str,
    Field(
        pattern="(?i)^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$",
        description="DEBUG, INFO, WARNING, ERROR or CRITICAL.",
    ),
]


def level_number(level: str) -> int:
    """Return the number of a `LogLevel`."""
    return logging.getLevelNamesMapping()[level.upper()]


def to_stderr() -> structlog.WriteLoggerFactory:
    """Return what makes structlog write to standard error, as long as that takes lines."""
    return structlog.WriteLoggerFactory(cast(TextIO, _LossyStderr()))


class _LossyStderr:
    """Writes log lines while that is possible; on a full disk or a closed pipe they are dropped.

    So are all of them by a process that was started with standard error closed, for which Python has None.
    Whoever replaces `sys.stderr` for a while, as test runners do, gets the lines of that time.
    """

    def write(self, text: str) -> None:
        """Write a line, or drop it."""
        with suppress(OSError):
            if sys.stderr is not None:
                sys.stderr.write(text)

    def flush(self) -> None:
        """Flush standard error; lines that it cannot take now may still be written later."""
        with suppress(OSError):
            if sys.stderr is not None:
                sys.stderr.flush()
