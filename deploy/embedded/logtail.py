"""The lines of the processes' logs that are shown on the console."""

from __future__ import annotations

import re
from os import SEEK_END
from pathlib import Path

_WORRYING = re.compile(r"\b(warn|warning|error|critical|fatal|panic|panicked)\b", re.IGNORECASE)
#: Control sequences that move or hide the cursor, as of progress bars, are removed.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_TRACEBACK = "Traceback (most recent call last):"
_LIMIT = 10


class LogTail:
    """The new lines of one log file since the last read.

    `everything` False leaves warnings, errors, and of a traceback its last line, which names the exception.
    """

    def __init__(self, path: Path, start: int, everything: bool, harmless: tuple[str, ...] = ()) -> None:
        """Begin at byte `start` of the file. A line that holds a text of `harmless` is never shown."""
        self._path = path
        self._offset = start
        self._everything = everything
        self._harmless = harmless
        self._rest = b""
        self._in_traceback = False

    def read(self) -> list[str]:
        """Return at most ten lines and a note about the rest: no log may flood the console."""
        try:
            with self._path.open("rb") as file:
                if self._offset > file.seek(0, SEEK_END):
                    self._offset = 0  # It began anew.
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        texts = (_CONTROL.sub("", line.decode(errors="replace")).rstrip() for line in lines)
        wanted = [text for text in texts if self._wants(text)]
        if len(wanted) > _LIMIT:
            return [*wanted[:_LIMIT], f"... {len(wanted) - _LIMIT} more lines in {self._path}"]
        return wanted

    def _wants(self, line: str) -> bool:
        if any(text in line for text in self._harmless):
            return False
        if self._everything:
            return bool(line)
        if line.lstrip().startswith(_TRACEBACK):
            self._in_traceback = True
            return False
        if self._in_traceback:
            if not line or line.startswith((" ", "\t")):
                return False
            self._in_traceback = False
            return True
        return bool(_WORRYING.search(line))
