"""`make env`: passwords of one's own for docker-compose.yml."""

from __future__ import annotations

import base64
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import env
from tests.deploy import compose


def run(file: Path) -> str:
    command = [sys.executable, "-I", str(compose.ROOT / "deploy" / "env.py"), str(file)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


def test_it_needs_nothing_but_python_and_only_its_user_may_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert "API_KEY" in run(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file], "nothing is left beside it"


def test_what_is_there_stays_and_what_is_missing_is_added(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("REDIS_PASSWORD=mine\nAPI_KEY=\nWORKERS=3\n# mine too")
    run(file)
    text = file.read_text()
    assert text.startswith("REDIS_PASSWORD=mine\nAPI_KEY=\nWORKERS=3\n# mine too\n")
    assert text.count("REDIS_PASSWORD=") == 1 and text.count("\nAPI_KEY=") == 2, "empty counts as missing"
    assert "# WORKERS=" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(file) == f"{file}: nothing to add\n"
    assert file.read_text() == text


def test_no_two_hosts_and_no_two_servers_share_a_password() -> None:
    here, there = compose.generated(), compose.generated()
    passwords = [*here.values(), *there.values()]
    assert len(set(passwords)) == len(passwords) == 2 * len(env.MADE)
    assert all(len(value) >= 20 for value in passwords)


def test_kafka_takes_the_cluster_id() -> None:
    for _ in range(50):
        name = compose.generated()["KAFKA_CLUSTER_ID"]
        assert len(base64.urlsafe_b64decode(name + "==")) == 16 and not name.startswith("-")


def test_compose_asks_for_what_is_made_and_for_nothing_else() -> None:
    required = {name for name, (operator, _) in compose.variables().items() if operator == "?"}
    assert required == set(env.MADE)


def test_the_choices_named_in_the_file_are_those_of_compose() -> None:
    defaults = {name: rest for name, (operator, rest) in compose.variables().items() if operator == "-"}
    assert dict(env.CHOICES) == defaults


@pytest.mark.parametrize("name", env.MADE)
def test_without_a_password_compose_starts_nothing_and_says_what_to_do(name: str) -> None:
    with pytest.raises(KeyError, match=f"{name}: run make env"):
        compose.filled(compose.generated() | {name: ""})


def test_version_control_and_images_leave_the_file_out() -> None:
    assert ".env" in (compose.ROOT / ".gitignore").read_text().splitlines()
    kept = (compose.ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in kept and "!.env" not in kept
