"""The unchanged worker, except that on SIGRTMIN its agent raises an exception in the next batch."""

from __future__ import annotations

import signal
import sys
from typing import Any

from streams.app import run_worker
from streams.batch import BatchFolder
from streams.settings import Settings

_fold = BatchFolder.fold
_pending: list[int] = []


class Sabotage(Exception):
    """An exception that the product does not know."""


async def _sabotaged(self: BatchFolder, *arguments: Any, **named: Any) -> Any:
    folded = await _fold(self, *arguments, **named)
    if _pending:
        _pending.clear()
        raise Sabotage("raised in the middle of a batch")
    return folded


def main() -> int:
    """Run the worker."""
    signal.signal(signal.SIGRTMIN, lambda number, _: _pending.append(number))
    BatchFolder.fold = _sabotaged  # type: ignore[method-assign]
    return run_worker(Settings())


if __name__ == "__main__":
    sys.exit(main())
