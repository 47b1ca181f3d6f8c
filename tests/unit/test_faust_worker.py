"""Where our worker differs from Faust's: how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import mode
import pytest

from streams.exit_codes import FAULT
from streams.faust_worker import run_until_stopped


class _Service(mode.Service):
    """Crashes as soon as it runs, or is told to stop if there is no error."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self._error = error

    @mode.Service.task
    async def _begin(self) -> None:
        if self._error:
            raise self._error
        # The worker handles signals by now.
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("error", "status"),
    [(None, 0), (RuntimeError("the right to read the group was revoked"), FAULT)],
    ids=["stopped", "crashed"],
)
def test_a_crash_has_the_status_of_a_fault(error: Exception | None, status: int) -> None:
    loop = asyncio.new_event_loop()
    worker: Any = mode.Worker(_Service(error), loop=loop, override_logging=False, redirect_stdouts=False)
    assert run_until_stopped(worker) == status
