"""Reliable cancellation of background tasks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

_log = structlog.get_logger(__name__)

_PATIENCE_SECONDS: Final = 3.0
_TRIES: Final = 3


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it is over, for about ten seconds at the most.

    A client library may swallow a cancellation that arrives together with its answer, so it may take several.
    Errors of the task are not raised.
    """
    for _ in range(_TRIES):
        task.cancel()
        await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if task.done():
            return
    _log.error("a background task did not end after it was cancelled", task=task.get_name())
