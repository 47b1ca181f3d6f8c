"""The memory limit of the container, if there is one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
#: As version 2 of control groups has it, and version 1.
_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return the container's memory limit in bytes; None without a limit.

    Without a limit, version 1 reports a number larger than the memory of any machine.
    """
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # no such file; "max"
            return int((root / name).read_text("ascii"))
    return None
