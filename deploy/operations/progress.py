"""Progress of a long command: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

console = Console(stderr=True)


class Bar:
    """Receives the total, the completed amount, and the current step."""

    def __init__(self, progress: Progress | None) -> None:
        """Draw with `progress`, or write lines without it."""
        self._progress = progress
        self._task = progress.add_task("connecting", total=None) if progress else None
        self._said = ""

    def total(self, count: int) -> None:
        """Say how many there are."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, total=count)
        else:
            console.print(f"{count:,} in all", highlight=False)

    def done(self, count: int) -> None:
        """Say that so many more are done."""
        if self._progress and self._task is not None:
            self._progress.advance(self._task, count)

    def say(self, text: str) -> None:
        """Say what is done now."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, description=text)
        elif text != self._said:
            console.print(text, highlight=False)
        self._said = text


@contextmanager
def bar() -> Iterator[Bar]:
    """Show progress on standard error until the block ends."""
    if not console.is_terminal:
        yield Bar(None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bar(progress)
