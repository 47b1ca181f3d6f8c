"""A history that is sent once, although it may take several runs: what the runs write down in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_SENT: Final = "sent"


class Once:
    """The file that says whether a history has been sent, or when the first run that tried began.

    A run that was interrupted has sent the first part of its history. The next one sends the same history
    again, which ends at the same time and so has the same event ids: what has arrived before is a repeat,
    and does not count. The run's other options must be the same.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read or written yet."""
        self._path = path

    def end(self, now_ms: int) -> int | None:
        """Return the epoch ms at which the history to send ends; None when it has been sent.

        That of a first run is `now_ms`, which is written down for the next ones.
        """
        try:
            noted = self._path.read_text()
        except FileNotFoundError:
            self._write(str(now_ms))
            return now_ms
        # What is no number is taken for sent: a second history would count on top of the first.
        return int(noted) if noted.isdecimal() else None

    def sent(self) -> None:
        """Write down that the history is in Kafka."""
        self._write(_SENT)

    def _write(self, text: str) -> None:
        draft = self._path.with_name(f".{self._path.name}")
        draft.write_text(text)
        draft.replace(self._path)
