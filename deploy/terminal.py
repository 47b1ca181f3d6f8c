"""Text from outside, made fit for a terminal: ids, titles, reasons and log lines are what a producer sent."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.markup import escape

#: No row of ours is wider.
_PIPED_WIDTH: Final = 400


def printable(text: str) -> str:
    """Return text for a Rich console, literally: no markup, and control characters as escapes.

    Rich passes on escape sequences, which may clear the screen, forge lines or write to the clipboard.
    """
    if not text.isprintable():
        text = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
        )
    return escape(text)


def printable_lines(text: str) -> str:
    """Return our own text of several lines, which may quote what came from outside, as `printable` does."""
    return "\n".join(printable(line) for line in text.split("\n"))


def show_error(console: Console, text: object) -> None:
    """Print an error, in lines that are not wrapped."""
    console.print(f"[red]error:[/] {printable_lines(str(text))}", highlight=False, soft_wrap=True)


def for_tables(console: Console) -> Console:
    """Return the console for a table: piped output has one row per line, however long."""
    return console if console.is_terminal else Console(file=console.file, width=_PIPED_WIDTH)
