"""Log lines that cannot be written are dropped: a full disk must not stop the work that they tell of."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO


class LossyFile:
    """Writes log lines to a file while that is possible; on a full disk or a closed pipe they are dropped."""

    def __init__(self, file: TextIO) -> None:
        """Write to `file`."""
        self._file = file

    def write(self, text: str) -> None:
        """Write a line, or drop it."""
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Flush the file; lines that it cannot take now may still be written later."""
        with suppress(OSError):
            self._file.flush()
