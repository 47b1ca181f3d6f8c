"""Ends streams at a shutdown signal: the server tells an application only when all connections closed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_shutdown_signal(end: Callable[[], None]) -> Iterator[None]:
    """Call `end` in the running loop at SIGINT or SIGTERM, before the server's own handler.

    Does nothing outside the main thread, or without a handler of the server.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}

    def handler(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(end)
        before[signal.Signals(number)](number, frame)

    for number in _SIGNALS:
        theirs = signal.getsignal(number)
        if callable(theirs):
            before[number] = theirs
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, theirs in before.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, theirs)
