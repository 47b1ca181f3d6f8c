"""A TCP proxy between a worker and a store that loses, cuts and delays traffic on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

from deploy.embedded.ports import free_port

_CHUNK = 1 << 16


class Trick(Enum):
    """What happens to the request that a trap waits for."""

    #: Half of the request's last piece arrives, then the connection is cut.
    CUT = "cut"
    #: The request arrives whole and is carried out; the answer never comes back.
    LOSE_ANSWER = "lose answer"
    #: The request arrives whole and the client is cut off at once: the server works while the client retries.
    ABANDON = "abandon"
    #: The request is kept back for a while and then arrives, whether or not the client still waits.
    LATE = "late"


@dataclass
class Trap:
    """Waits for the next request that contains a text; `sprung` is set once the trick was played."""

    text: bytes
    trick: Trick
    #: Called at the moment of the trick: before an answer is lost, after a request was cut or abandoned, or
    #: when the proxy begins to keep a request back.
    then: Callable[[], None] | None = None
    #: Seconds for which the request is kept back.
    late: float = 0.0
    sprung: threading.Event = field(default_factory=threading.Event)


def http_is_whole(request: bytes) -> bool:
    """Say whether an HTTP request has arrived with all of its body."""
    head, end, body = request.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return body.endswith(b"0\r\n\r\n")
    return True


class Proxy:
    """Listens on a port of its own in a thread of its own; change its attributes from anywhere.

    `target` is the server's port; `delay` is how long each piece of an answer is held back (seconds).
    """

    def __init__(self, target: int, is_whole: Callable[[bytes], bool] = lambda _: True) -> None:
        """Start listening; `is_whole` says whether the bytes since a request began are the whole request."""
        self.target = target
        self.port = free_port()
        self.delay = 0.0
        self._is_whole = is_whole
        self._trap: Trap | None = None
        self._refusing = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def _do(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)  # type: ignore[arg-type]

    def set(
        self, text: bytes, trick: Trick, then: Callable[[], None] | None = None, late: float = 0.0
    ) -> Trap:
        """Set a trap for the next request that contains a text."""
        self._trap = trap = Trap(text, trick, then, late)
        return trap

    def refuse(self) -> None:
        """Close every connection and refuse new ones."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Accept connections again."""
        self._do(self._listen())

    def cut(self) -> None:
        """Close every connection, and go on accepting new ones."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Close the proxy and end its thread."""
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut()
        await asyncio.sleep(0)

    def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        line = _Line(self, reader, writer, there, back)
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            with suppress(OSError):
                await line.run()
        finally:
            self._pumps.discard(task)
            self._open -= {writer, back}
            writer.transport.abort()
            back.transport.abort()

    def spring(self, request: bytes) -> Trap | None:
        """Return the trap, and remove it, if it waits for this request; else None."""
        trap = self._trap
        if trap is not None and trap.text in request:
            self._trap = None
            return trap
        return None

    def is_whole(self, request: bytes) -> bool:
        """Say whether a request has arrived whole."""
        return self._is_whole(request)


class _Line:
    """One client's connection."""

    def __init__(
        self,
        proxy: Proxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._reader, self._writer, self._there, self._back = proxy, reader, writer, there, back
        self._lost: Trap | None = None
        self._late = False

    async def run(self) -> None:
        tasks = {asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _requests(self) -> None:
        request = b""
        trap: Trap | None = None
        while piece := await self._reader.read(_CHUNK):
            request += piece
            trap = trap or self._proxy.spring(request)
            whole = self._proxy.is_whole(request)
            if trap is not None and whole:
                if trap.trick is Trick.CUT:
                    piece = piece[: len(piece) // 2]
                elif trap.trick is Trick.LOSE_ANSWER:
                    self._lost = trap  # Before sending the request: the answer may be quick.
            if trap is not None and whole and trap.trick is Trick.LATE:
                await self._keep_back(trap)
            self._back.write(piece)
            await self._back.drain()
            if trap is not None and whole and trap.trick in (Trick.CUT, Trick.ABANDON):
                await self._leave(trap)
                return
            if whole:
                request, trap = b"", None
        # Give the server time to carry out a late request whose client has gone.
        await asyncio.sleep(1.0 if self._late else 0.0)

    async def _keep_back(self, trap: Trap) -> None:
        self._late = True
        if trap.then is not None:
            trap.then()
        trap.sprung.set()
        await asyncio.sleep(trap.late)

    async def _leave(self, trap: Trap) -> None:
        """Cut the client off; the connection to the server stays until an abandoned request is answered."""
        self._writer.transport.abort()
        if trap.then is not None:
            trap.then()
        trap.sprung.set()
        if trap.trick is Trick.ABANDON:
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(30):
                    await self._there.read(_CHUNK)

    async def _answers(self) -> None:
        while piece := await self._there.read(_CHUNK):
            if self._lost is not None:
                if self._lost.then is not None:
                    self._lost.then()
                self._lost.sprung.set()
                return
            if self._proxy.delay:
                await asyncio.sleep(self._proxy.delay)
            self._writer.write(piece)
            await self._writer.drain()
        if self._lost is not None:
            self._lost.sprung.set()  # The server died before it answered: the answer is lost as well.
