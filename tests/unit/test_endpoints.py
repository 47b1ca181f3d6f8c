"""`endpoints.env` is read by shells, by Docker and by `vca`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import endpoints

_TROUBLE = "p&s;s|$(id)`id`'\"<>*!#~ \\{}[]é%41"


def _sourced(file: Path) -> dict[str, str]:
    """Return the environment of a shell that has read the file, and nothing else."""
    shown = "import json, os; print(json.dumps(dict(os.environ)))"
    command = 'set -a; source "$0"; set +a; "$1" -c "$2"'
    run = subprocess.run(
        ["bash", "-c", command, str(file), sys.executable, shown], capture_output=True, text=True, env={}
    )
    assert run.stderr == ""
    found: dict[str, str] = json.loads(run.stdout)
    return found


def test_what_stands_in_the_file_is_what_a_shell_and_vca_read(tmp_path: Path) -> None:
    values = {
        "KAFKA_BOOTSTRAP_SERVERS": "a-1.example:9092,[::1]:9093",
        "REDIS_URL": "rediss://[::1]:6379/0?cluster=true&ssl_cert_reqs=none&touch=$(id)",
        "API_KEY": _TROUBLE,
    }
    file = tmp_path / "endpoints.env"
    file.write_text(endpoints.encode(values))
    assert "KAFKA_BOOTSTRAP_SERVERS=a-1.example:9092,[::1]:9093\n" in file.read_text()
    found = _sourced(file)
    assert {name: found[name] for name in values} == endpoints.read(file)
    assert found["API_KEY"] == values["API_KEY"]
    assert parse_qs(urlsplit(found["REDIS_URL"]).query) == parse_qs(urlsplit(values["REDIS_URL"]).query)


def test_a_password_needs_no_quotes_which_docker_would_take_for_a_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.env"
    file.write_text(endpoints.encode({"CLICKHOUSE_URL": "https://me:p&$'w%2Fx@host:8443/db?a=b'c"}))
    assert file.read_text() == "CLICKHOUSE_URL=https://me:p%26%24%27w%2Fx@host:8443/db?a=b%27c\n"
    assert unquote(urlsplit(_sourced(file)["CLICKHOUSE_URL"]).password or "") == "p&$'w/x"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1))
def test_vca_reads_every_value_as_it_was(value: str) -> None:
    (line,) = endpoints.encode({"API_KEY": value}).splitlines()
    assert endpoints._decoded(line.partition("=")[2]) == value


@pytest.mark.parametrize(
    "text", ["REDIS_URL=redis://a/0?x='\n", "\n# a comment\nREDIS_URL = redis://a/0?x='"]
)
def test_a_file_that_others_wrote_is_read_as_it_is(tmp_path: Path, text: str) -> None:
    file = tmp_path / "endpoints.env"
    file.write_text(text)
    assert endpoints.read(file) == {"REDIS_URL": "redis://a/0?x='"}
    assert endpoints.read(tmp_path / "none") == {}
