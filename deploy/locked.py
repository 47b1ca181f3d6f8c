"""Print the part of requirements.lock that some packages need, hashes and all.

`python deploy/locked.py` prints what the product needs where it runs: its own dependencies and those of its
extras `s3` and `xlsx`, without stand-in servers and development tools. `python deploy/locked.py NAME...`
prints what these packages need. It reads pyproject.toml and the notes `# via ...` that uv leaves in the lock
file, and needs nothing but Python, so that an image can be built with it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
#: The extras that an image includes.
EXTRAS: Final = ("s3", "xlsx")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def normalized(name: str) -> str:
    """Return a package's name as the lock file spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> dict[str, list[str]]:
    """Return the lines of each locked package by its name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in lock.splitlines():
        if not line.startswith((" ", "#")) and (match := _NAME.match(line)):
            lines = found.setdefault(match[0], [])
        if found:
            lines.append(line)
    return found


def parents(lines: Iterable[str]) -> set[str]:
    """Return the packages that require a locked package."""
    notes = [line.strip().removeprefix("#").strip() for line in lines if line.startswith("    #")]
    return {normalized(note.removeprefix("via ").strip()) for note in notes if note not in ("", "via")}


def needed(lock: str, roots: Iterable[str]) -> str:
    """Return the part of a lock file that `roots` need. Raises `KeyError` for an unlocked package."""
    locked = blocks(lock)
    wanted = {normalized(root) for root in roots}
    if missing := wanted - locked.keys():
        raise KeyError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    because = {name: parents(lines) for name, lines in locked.items()}
    while more := {name for name, some in because.items() if name not in wanted and some & wanted}:
        wanted |= more
    return "\n".join(line for name, lines in locked.items() if name in wanted for line in lines) + "\n"


def product(pyproject: str) -> list[str]:
    """Return the product's direct dependencies."""
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(each for extra in EXTRAS for each in extras[extra])]
    return [match[0] for each in asked if (match := _NAME.match(each))]


def main(names: list[str]) -> int:
    """Print the part; return the exit code."""
    roots = names or product((_ROOT / "pyproject.toml").read_text("utf-8"))
    sys.stdout.write(needed((_ROOT / "requirements.lock").read_text("utf-8"), roots))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
