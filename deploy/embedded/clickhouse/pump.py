"""From the thread that reads chDB to the coroutine that writes the socket, with back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from contextlib import closing
from typing import NamedTuple

_AHEAD = 4
_PIECE = 1 << 16


class Piece(NamedTuple):
    """A part of a result; `last` says that nothing follows."""

    data: bytes
    last: bool


class Pump:
    """The bytes of one result, in pieces of 64 KiB or more, read ahead by at most four pieces.

    The whole iteration, and its end, happens in one thread of `executor`; a small result crosses once.
    `read` gives the next piece or raises what the iterator raised. `stop` must be called in any case.
    """

    def __init__(self, executor: Executor, source: Callable[[], Generator[bytes]]) -> None:
        """Start reading `source()` in a thread. Must be called in a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Piece | Exception] = asyncio.Queue(_AHEAD)
        self._stopped = False
        self._done = self._loop.run_in_executor(executor, self._run, source)

    def _put(self, item: Piece | Exception) -> None:
        asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop).result()

    def _run(self, source: Callable[[], Generator[bytes]]) -> None:
        waiting, size = [], 0
        try:
            with closing(source()) as parts:
                for part in parts:
                    waiting.append(part)
                    size += len(part)
                    if size >= _PIECE:
                        self._put(Piece(b"".join(waiting), last=False))
                        waiting, size = [], 0
                    if self._stopped:
                        return
            self._put(Piece(b"".join(waiting), last=True))
        except Exception as error:
            self._put(error)

    async def read(self) -> Piece:
        """Return the next piece; after the last one there is nothing to read."""
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def stop(self) -> None:
        """Let the thread go: no piece is wanted any more. Returns when the query has ended."""
        self._stopped = True
        while not self._done.done():
            while not self._queue.empty():
                self._queue.get_nowait()
            await asyncio.wait([self._done], timeout=0.01)
