"""The product as in its image: installed into a clean virtual environment from the lock file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy import locked
from tests.deploy.compose import ROOT, tool


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr}"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment made as deploy/Dockerfile makes it.

    The packages come from uv's cache, which `make install` has filled.
    """
    folder = tmp_path_factory.mktemp("image")
    venv, part, uv = folder / "venv", folder / "production.lock", tool("uv")
    lock, project = (ROOT / "requirements.lock").read_text(), (ROOT / "pyproject.toml").read_text()
    part.write_text(locked.needed(lock, locked.product(project)))
    python = str(venv / "bin" / "python")
    _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(venv))
    into = ("pip", "install", "--quiet", "--python", python)
    _run(uv, *into, "--require-hashes", "-r", str(part))
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (wheel,) = folder.glob("*.whl")
    _run(uv, *into, "--no-deps", "--compile-bytecode", str(wheel))
    # pip, in the Dockerfile, compiles all that it installs; here it is what the commands import.
    _run(python, "-I", "-c", "import api.app, deploy.cli, streams.app")
    return venv
