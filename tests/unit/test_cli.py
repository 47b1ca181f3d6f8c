"""The command line explains itself, and its errors say what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel, ValidationError
from typer.testing import CliRunner

from deploy.cli import app
from deploy.embedded.ports import free_port
from deploy.embedded.process import module_environment
from deploy.explain import explain
from sinks.base import Unavailable


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[Any]:
    """Yield each command below a group as a parameter, with the words that are typed for it."""
    for name, found in group.commands.items():
        typed = (*path, name)
        if hasattr(found, "commands"):
            yield from _commands(found, typed)
        else:
            yield pytest.param(found, id=" ".join(typed))


COMMANDS = list(_commands(typer.main.get_command(app)))
ROOT = Path(__file__).parents[2]


def _vca(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env={**os.environ, **module_environment(), "NO_COLOR": "1", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert {str(command.id).split()[0] for command in COMMANDS} <= set(result.output.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_every_option_has_a_help_text(command: Any) -> None:
    assert command.help and len(command.help) > 40
    assert not re.search(r"\[[a-z|]+\]", command.help), "Rich takes words in brackets for a style"
    assert [p.name for p in command.params if p.name != "help" and not p.help] == []


@pytest.mark.parametrize("name", [command.id for command in COMMANDS])
def test_every_command_is_in_a_document(name: str) -> None:
    told = " ".join(path.read_text("utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    assert re.search(rf"\bvca {name}\b", told), f"no document says when to use `vca {name}`"


def test_no_command_shows_the_help_and_an_unknown_one_is_an_error() -> None:
    assert "Commands" in CliRunner().invoke(app, []).output
    assert CliRunner().invoke(app, ["upp"]).exit_code == 2


def test_an_error_is_one_line_that_says_what_to_do() -> None:
    address = f"127.0.0.1:{free_port()}"
    result = _vca("topics", KAFKA_BOOTSTRAP_SERVERS=address)
    assert result.returncode == 1
    first, *rest = result.stderr.strip().splitlines()
    assert first.startswith("error: no Kafka broker answers")
    assert "`vca up`" in first
    assert "KAFKA_BOOTSTRAP_SERVERS" in first
    assert address in first and "AddressFamily" not in first
    assert rest == ["VCA_DEBUG=1 shows where it came from."]


@pytest.mark.parametrize(
    ("command", "setting", "address"),
    [
        (("replay", "dead-letters"), "KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{port}"),
        (("migrate",), "CLICKHOUSE_URL", "http://127.0.0.1:{port}/videocloud"),
    ],
)
def test_the_libraries_add_nothing_to_the_error(command: tuple[str, ...], setting: str, address: str) -> None:
    result = _vca(*command, **{setting: address.format(port=free_port())})
    told = [line for line in result.stderr.splitlines() if line != "reading dead letters"]
    assert [line[:6] for line in told] == ["error:", "VCA_DE"], result.stderr


def test_a_run_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    up = _vca("up", "--run-dir", str(file))
    assert up.returncode == 1
    assert up.stderr == f"error: {file} cannot be the run folder (File exists): choose another --run-dir\n"
    down = _vca("down", "--run-dir", str(file))
    assert down.stderr == f"error: nothing runs in {file}: there is no such folder\n"


def test_a_class_of_dead_letters_that_does_not_exist_is_refused() -> None:
    result = _vca("replay", "dead-letters", "--error", "unknowntype")
    assert result.returncode == 2
    assert "'unknowntype' is not one of Empty, NotJson, UnknownType" in result.stderr


def test_a_traceback_is_shown_on_demand() -> None:
    address = f"127.0.0.1:{free_port()}"
    assert "Traceback" in _vca("--verbose", "topics", KAFKA_BOOTSTRAP_SERVERS=address).stderr
    assert "Traceback" in _vca("topics", KAFKA_BOOTSTRAP_SERVERS=address, VCA_DEBUG="1").stderr


def test_a_wrong_setting_is_named_by_its_environment_variable() -> None:
    result = _vca("topics", TOPIC_PARTITIONS="many")
    assert result.returncode == 1
    assert "TOPIC_PARTITIONS" in result.stderr
    assert "'many'" in result.stderr


def test_down_says_that_nothing_runs(tmp_path: Path) -> None:
    missing = CliRunner().invoke(app, ["down", "--run-dir", str(tmp_path / "none")])
    assert missing.exit_code == 1
    idle = CliRunner().invoke(app, ["down", "--run-dir", str(tmp_path)])
    assert idle.exit_code == 0
    assert "nothing runs" in idle.output
    folder = tmp_path / "[red]run"
    folder.mkdir()
    idle = CliRunner().invoke(app, ["down", "--run-dir", str(folder)])
    assert idle.output == f"nothing runs in {folder}\n"


@pytest.mark.parametrize(("store", "setting"), [("redis", "REDIS_URL"), ("clickhouse", "CLICKHOUSE_URL")])
def test_a_store_that_is_away_is_told_with_the_setting_of_its_address(store: str, setting: str) -> None:
    text = explain(Unavailable("Redis: Connect call failed", store))
    assert "Connect call failed" in text and setting in text
    assert explain(Unavailable("nobody knows why")) == "nobody knows why"


def test_a_redis_with_a_full_disk_is_there_and_needs_no_other_address() -> None:
    text = explain(Unavailable("Redis: MISCONF Errors writing to the AOF file: No space left", "redis"))
    assert text.endswith("No space left: see Redis' log and its disk space")


def test_a_missing_module_is_explained_by_the_way_to_install_it() -> None:
    assert "make install" in explain(ModuleNotFoundError("No module named 'chdb'"))


def test_the_value_of_a_secret_setting_is_not_shown() -> None:
    class Settings(BaseModel):
        api_key: int
        api_port: int

    with pytest.raises(ValidationError) as failure:
        Settings(api_key="vca_geheim", api_port="eighty")
    text = explain(failure.value)
    assert "API_KEY" in text and "vca_geheim" not in text
    assert "API_PORT" in text and "'eighty'" in text


@pytest.mark.parametrize("command", ["worker", "api"])
def test_a_level_of_the_log_that_there_is_not_is_named_with_the_ones_there_are(command: str) -> None:
    ended = _vca(command, LOG_LEVEL="verbose", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert ended.returncode == 1
    assert "LOG_LEVEL" in ended.stderr and "WARNING" in ended.stderr and "'verbose'" in ended.stderr


def test_a_refused_connection_and_a_missing_file_are_told_apart() -> None:
    assert "vca up" in explain(ConnectionRefusedError(111, "Connection refused"))
    assert "vca up" not in explain(FileNotFoundError(2, "No such file", "/proc/x"))


def test_an_error_without_a_text_is_named_by_its_class() -> None:
    assert explain(KeyError()) == "KeyError"
    assert explain(ValueError("two\nlines")) == "two lines"
