"""Waiting in tests for what happens, and never for what a quick machine would have done by then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(what: Callable[[], object]) -> None:
    """Wait until something is so; raises TimeoutError after half a minute."""
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.001)


async def turns(number: int = 50) -> None:
    """Let other tasks go on for some turns of the event loop, however long these take.

    After a short sleep of a process that was held up, they would have had two.
    """
    for _ in range(number):
        await asyncio.sleep(0)
