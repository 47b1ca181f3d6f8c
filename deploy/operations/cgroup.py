"""What the container leaves a process, where there is one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
#: As version 2 of control groups has it, and version 1.
_LIMITS: Final = ("memory.max", "memory/memory.limit_in_bytes")


def memory_limit(root: Path = _ROOT) -> int | None:
    """Return the limit of memory in bytes as a container sees it; None without one.

    Version 1 says a number beyond every machine's memory when there is none.
    """
    for name in _LIMITS:
        with suppress(OSError, ValueError):  # no such file; "max"
            return int((root / name).read_text("ascii"))
    return None
