"""The parts that the benchmarks' commands share: an option, and the console for their tables."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer
from rich.console import Console

#: Width for tables of eight and more columns.
_COLUMNS: Final = 150

Broker = Annotated[
    Literal["stand-in", "kafka"], typer.Option(help="The stand-in broker, or Apache Kafka (Java, Maven).")
]


def wide_console() -> Console:
    """Return a console with room for wide tables, in a file as well."""
    console = Console()
    return console if console.is_terminal else Console(width=_COLUMNS)
