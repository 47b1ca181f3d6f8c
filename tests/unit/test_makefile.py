"""`make install` in any folder, with a Python and an installer that only say what they are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
case "$*" in
  "-m venv "*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp uv .venv/bin/uv;;
esac
"""
UV = """#!/bin/sh
echo "$VIRTUAL_ENV" > told
"""


@pytest.mark.parametrize("name", ["clone", "my clone", "mé dossier 日本", "it's (1)"])
def test_install_works_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / "sdk" / "python").mkdir(parents=True)
    for path in ("Makefile", "pyproject.toml", "requirements.lock", "sdk/python/pyproject.toml"):
        shutil.copy(ROOT / path, folder / path)
    for path, text in (("python", PYTHON), ("uv", UV)):
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    done = subprocess.run(
        ["make", "install", "PYTHON=./python"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "told").read_text() == f"{folder / '.venv'}\n"
