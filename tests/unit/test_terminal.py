"""What came from outside is shown literally: no markup is read in it, and no escape sequence passes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deploy.embedded.screen import Screen
from deploy.operations.diagnosis import Finding, Verdict
from deploy.operations.doctor_command import _show
from deploy.terminal import show_error

#: Markup that ends what is not open (Rich raises), markup that would vanish, and a cleared screen.
HOSTILE = "bad [/] [bold]name[/bold] \x1b[2Jcleared"
SHOWN = "bad [/] [bold]name[/bold] \\x1b[2Jcleared"


@pytest.fixture
def shown() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def console(shown: io.StringIO) -> Console:
    return Console(file=shown, width=200, force_terminal=True, color_system=None)


def test_an_error_is_shown_literally_and_keeps_its_lines(console: Console, shown: io.StringIO) -> None:
    show_error(console, ValueError(f"{HOSTILE}\nsecond line"))
    assert shown.getvalue() == f"error: {SHOWN}\nsecond line\n"


def test_warnings_of_the_supervisor_are_shown_literally(console: Console, shown: io.StringIO) -> None:
    screen = Screen(console)
    screen.warn(f"{HOSTILE}\nwarned")
    screen.fail(f"{HOSTILE}\nfailed")
    screen.line("worker", HOSTILE)
    assert shown.getvalue() == f"{SHOWN}\nwarned\n{SHOWN}\nfailed\n    worker | {SHOWN}\n"


def test_findings_of_the_doctor_are_shown_literally(console: Console, shown: io.StringIO) -> None:
    _show(console, [Finding("Kafka", HOSTILE, Verdict.WARN, f"found {HOSTILE}", f"advice {HOSTILE}")])
    text = shown.getvalue()
    assert text.count(SHOWN) == 3 and "\x1b" not in text
