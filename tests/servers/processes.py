"""Checks whether processes that a test killed have ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import psutil


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie (ended, but not waited for by its parent) does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def left_after(pids: Mapping[str, int], seconds: float = 10.0) -> dict[str, int]:
    """Wait at most `seconds` for processes to end; return those that still run."""
    deadline = time.monotonic() + seconds
    while (left := {name: pid for name, pid in pids.items() if alive(pid)}) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
