"""`vca traffic` says what is wrong and what to do, and finds its broker."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from deploy.traffic import command
from deploy.traffic.display import LiveStatus, PlainDisplay, TerminalDisplay, display

RUNNER = CliRunner()


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(command.traffic)
    return made


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_without_a_broker_it_says_how_to_start_one() -> None:
    address = f"127.0.0.1:{closed_port()}"
    result = RUNNER.invoke(app(), ["--bootstrap", address])
    assert result.exit_code == 1
    assert f"no Kafka broker at {address}: start one with `make up`" in result.output
    assert "KAFKA_BOOTSTRAP_SERVERS" in result.output
    assert "Traceback" not in result.output


def test_the_environment_names_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    assert f"no Kafka broker at {address}" in RUNNER.invoke(app(), []).output


def test_the_broker_of_this_folder_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address = f"127.0.0.1:{closed_port()}"
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".run").mkdir()
    (tmp_path / ".run" / "endpoints.env").write_text(
        f"REDIS_URL=redis://x\nKAFKA_BOOTSTRAP_SERVERS={address}\n"
    )
    assert f"no Kafka broker at {address}" in RUNNER.invoke(app(), []).output


@pytest.mark.parametrize("option", ["nonsense", "user.events=", "no.such.topic=x"])
def test_a_topic_option_that_makes_no_sense_is_refused(option: str) -> None:
    result = RUNNER.invoke(app(), ["--topic", option, "--bootstrap", "127.0.0.1:1"])
    assert result.exit_code == 2
    assert "NAME=OTHER" in result.output


def test_help_tells_how_to_go_on_without_history() -> None:
    assert "vca traffic --history-days 0" in RUNNER.invoke(app(), ["--help"]).output


def test_no_terminal_gets_plain_lines_now_and_then() -> None:
    now = [0.0]
    text = io.StringIO()
    shown = display(Console(file=text, force_terminal=False, width=200), lambda: now[0])
    assert isinstance(shown, PlainDisplay)
    for second in range(11):
        now[0] = float(second)
        shown.live(LiveStatus(sent=second, rate=50.4, playing=7, behind_ms=0))
    shown.note("done")
    shown.close()
    lines = text.getvalue().splitlines()
    assert lines == [
        "live: 50 events/s, 0 sent, 7 views under way",
        "live: 50 events/s, 5 sent, 7 views under way",
        "live: 50 events/s, 10 sent, 7 views under way",
        "done",
    ]


def test_a_terminal_gets_a_bar_and_then_a_line() -> None:
    now = [0.0]
    text = io.StringIO()
    shown = display(Console(file=text, force_terminal=True, width=120), lambda: now[0])
    assert isinstance(shown, TerminalDisplay)
    shown.history(0.0, 0, 1_795_440_000_000)
    now[0] = 2.0
    shown.history(1.0, 5_000, 1_795_440_000_000)
    shown.live(LiveStatus(sent=12, rate=50, playing=3, behind_ms=4_000))
    shown.close()
    assert "2026-11-23" in text.getvalue()
    assert "5,000 events" in text.getvalue()
    assert "4 s behind" in text.getvalue()
