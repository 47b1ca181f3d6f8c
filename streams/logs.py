"""Logs: one line per event, as key=value on a terminal and as JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

from streams.domain.log_output import level_number, to_stderr


def faust_level(level: str) -> str:
    """Return the level for Faust's own log, whose INFO lines about every service are noise."""
    return level if level.upper() in ("DEBUG", "ERROR") else "WARNING"


def configure(level: str) -> None:
    """Send this process's logs to standard error; those of libraries from WARNING on."""
    number = level_number(level)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr is not None and sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=to_stderr(),
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)
    logging.getLogger("aiokafka.conn").addFilter(OnceFilter())


class OnceFilter(logging.Filter):
    """Passes only the first of a warning that aiokafka repeats for every connection."""

    _TEXT: Final = "Sending username and password in the clear"

    def __init__(self) -> None:
        """Start with the warning not seen yet."""
        super().__init__()
        self._seen = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a repetition of that warning."""
        again = self._seen and record.msg == self._TEXT
        self._seen = self._seen or record.msg == self._TEXT
        return not again
