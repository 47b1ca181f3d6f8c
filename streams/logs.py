"""Logs: one line an event, key=value on a terminal and JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog


def faust_level(level: str) -> str:
    """Return the level for Faust's own log: it tells of every service that starts, which is noise."""
    return level if level.upper() in ("DEBUG", "ERROR") else "WARNING"


def configure(level: str) -> None:
    """Send this process's logs to standard error; Faust's chatter only from warnings on."""
    number = getattr(logging, level.upper())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr)
    logging.getLogger("aiokafka.conn").addFilter(ToldOnce())


class ToldOnce(logging.Filter):
    """Lets a warning through once that aiokafka repeats at every connection."""

    _TEXT: Final = "Sending username and password in the clear"

    def __init__(self) -> None:
        """Have told nothing yet."""
        super().__init__()
        self._told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is not that warning again."""
        again = self._told and record.msg == self._TEXT
        self._told = self._told or record.msg == self._TEXT
        return not again
