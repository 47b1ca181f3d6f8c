"""The console output of a running stack."""

from __future__ import annotations

from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.embedded.rundir import RunDirectory
from deploy.embedded.servers import without_password
from deploy.terminal import printable, printable_lines

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


class Screen:
    """Messages of the supervisor and log lines of the processes, in one colour per process."""

    def __init__(self, console: Console) -> None:
        """Write to `console`; colours are left out where it is no terminal."""
        self._console = console
        self._colours: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Show a step."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Show a warning."""
        self._console.print(f"[yellow]{printable_lines(text)}[/]", highlight=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Show the error that ends everything."""
        self._console.print(f"[bold red]{printable_lines(text)}[/]", highlight=False, soft_wrap=True)

    def line(self, name: str, text: str) -> None:
        """Show a line of a process's log."""
        colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
        text = text.expandtabs(4)
        self._console.print(f"[{colour}]{name:>10}[/] | {printable(text)}", highlight=False, soft_wrap=True)

    def ready(self, rows: list[tuple[str, str, str]], endpoints: dict[str, str], run: RunDirectory) -> None:
        """Show the addresses (service, address, note) and what to try next."""
        table = Table(title="VideoCloud Analytics is up", title_justify="left", title_style="bold green")
        table.add_column("service", style="bold")
        table.add_column("address", overflow="fold")
        table.add_column("", style="dim")
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)
        api, key = endpoints["API_URL"], endpoints["API_KEY"]
        clickhouse = without_password(endpoints["CLICKHOUSE_URL"]).rsplit("/", 1)[0]
        try_next = (
            ("dashboard", f"{api}/dashboard/#key={quote(key, safe='')}"),
            ("numbers", f"curl -H 'Authorization: Bearer {key}' '{api}/analytics/videos/summary?period=7d'"),
            ("API docs", f"{api}/docs"),
            ("SQL", f"curl '{clickhouse}/?database=videocloud' --data-binary 'SHOW TABLES'"),
            ("shell", run.load_endpoints),
            ("logs", str(run.logs)),
        )
        for what, how in try_next:
            self._console.print(f"  [dim]{what:>9}[/]  {escape(how)}", highlight=False, soft_wrap=True)
        self._console.print("\n  Ctrl-C stops everything; the data stays.\n", highlight=False)
