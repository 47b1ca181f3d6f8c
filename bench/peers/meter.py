"""Prints a program's progress on standard output, for the benchmark that started it."""

from __future__ import annotations

import sys
import time

_EVERY = 10_000


class Meter:
    """Prints `events seconds cpu-seconds` every ten thousand events, counted from the first call."""

    def __init__(self) -> None:
        """Start at 0 events."""
        self._count = 0
        self._said = 0
        self._began = 0.0

    def add(self, events: int) -> None:
        """Count processed events."""
        if not self._count:
            self._began = time.monotonic()
        self._count += events
        if self._count - self._said >= _EVERY:
            self._said = self._count
            sys.stdout.write(f"{self._count} {time.monotonic() - self._began} {time.process_time()}\n")
            sys.stdout.flush()
