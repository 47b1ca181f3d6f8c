"""Shows progress: a bar and a status line on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from rich.console import Console
from rich.live import Live as Screen
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

_PLAIN_EVERY_S: Final = 5.0


class LiveStatus(NamedTuple):
    """State of live traffic: events sent, recent events a second, views under way, ms behind the clock."""

    sent: int
    rate: float
    playing: int
    behind_ms: int


class Display(Protocol):
    """Shows progress. Every call is cheap, so callers may call as often as they like."""

    def history(self, share: float, sent: int, at_ms: int) -> None:
        """Show that `share` (0..1) of the history, `sent` events up to `at_ms`, has been sent."""

    def live(self, status: LiveStatus) -> None:
        """Show the state of live traffic."""

    def note(self, text: str) -> None:
        """Show a message once."""

    def close(self) -> None:
        """Restore the terminal."""


def display(console: Console, clock: Callable[[], float]) -> Display:
    """Return the display that suits the console; `clock` returns seconds."""
    return TerminalDisplay(console, clock) if console.is_terminal else PlainDisplay(console, clock)


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _status(status: LiveStatus) -> str:
    behind = f", {status.behind_ms / 1000:.0f} s behind" if status.behind_ms > 2_000 else ""
    return f"{status.rate:,.0f} events/s, {status.sent:,} sent, {status.playing:,} views under way{behind}"


class TerminalDisplay:
    """A progress bar for the history, then one line that changes in place."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        """Draw on `console`."""
        self._console = console
        self._clock = clock
        self._began = clock()
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._screen: Screen | None = None

    def history(self, share: float, sent: int, at_ms: int) -> None:
        """Move the bar."""
        if self._progress is None:
            self._began = self._clock()
            self._progress = Progress(
                TextColumn("history {task.fields[day]}"),
                BarColumn(),
                TextColumn("{task.fields[sent]:>9,} events  {task.fields[rate]:>7,.0f}/s"),
                TimeRemainingColumn(compact=True),
                console=self._console,
            )
            self._task = self._progress.add_task("history", total=1.0, day=_day(at_ms), sent=0, rate=0.0)
            self._progress.start()
        rate = sent / max(0.001, self._clock() - self._began)
        self._progress.update(self._task, completed=share, day=_day(at_ms), sent=sent, rate=rate)

    def live(self, status: LiveStatus) -> None:
        """Change the line."""
        self._end_history()
        if self._screen is None:
            self._screen = Screen(console=self._console, refresh_per_second=2, transient=True)
            self._screen.start()
        self._screen.update(Text(f"live  {_status(status)}  (Ctrl-C ends)"))

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False)

    def close(self) -> None:
        """Remove the bar and the line."""
        self._end_history()
        if self._screen is not None:
            self._screen.stop()
            self._screen = None

    def _end_history(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class PlainDisplay:
    """A line every few seconds, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        """Write to `console`."""
        self._console = console
        self._clock = clock
        self._said = float("-inf")

    def history(self, share: float, sent: int, at_ms: int) -> None:
        """Print the progress of the history every few seconds."""
        if self._due() or share >= 1:
            self.note(f"history: {_day(at_ms)}, {share:.0%}, {sent:,} events")

    def live(self, status: LiveStatus) -> None:
        """Print the state of live traffic every few seconds."""
        if self._due():
            self.note(f"live: {_status(status)}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Do nothing: there is nothing to remove."""

    def _due(self) -> bool:
        if self._clock() - self._said < _PLAIN_EVERY_S:
            return False
        self._said = self._clock()
        return True
