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
    return structlog.WriteLoggerFactory(cast(TextIO, _LossyFile(sys.stderr)))


class _LossyFile:
    """Writes log lines to a file while that is possible; on a full disk or a closed pipe they are dropped.

    So are all of them by a process that was started with standard error closed, for which Python has None.
    """

    def __init__(self, file: TextIO | None) -> None:
        """Write to `file`."""
        self._file = file

    def write(self, text: str) -> None:
        """Write a line, or drop it."""
        with suppress(OSError):
            if self._file is not None:
                self._file.write(text)

    def flush(self) -> None:
        """Flush the file; lines that it cannot take now may still be written later."""
        with suppress(OSError):
            if self._file is not None:
                self._file.flush()
