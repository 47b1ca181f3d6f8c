"""A real server on a real socket that answers each request as the test prescribes, however badly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import Parser
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as received, and when (monotonic seconds)."""

    line: str
    headers: dict[str, str]
    body: str
    at: float


Step = Callable[[socket.socket, threading.Event], None]


def answer(body: Any = None, status: int = 200, **headers: str) -> Step:
    """Answer with JSON, or with bytes as they are; names in `headers` have underscores for hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def step(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(_head(status, {"content_length": str(len(content)), **headers}) + content)

    return step


def refusal(status: int, code: str = "ANALYTICS_X", message: str = "No.", **headers: str) -> Step:
    """Answer with an error as the API does."""
    return answer(
        {"success": False, "error": {"code": code, "message": message, "details": {}}}, status, **headers
    )


def part(content: bytes, sent: int, **headers: str) -> Step:
    """Announce a whole body, send its first `sent` bytes, and hang up."""

    def step(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(_head(200, {"content_length": str(len(content)), **headers}) + content[:sent])

    return step


def events(*texts: str, stay: bool = False) -> Step:
    """Send server-sent events; then hang up, or `stay` silent."""

    def step(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(_head(200, {"content_type": "text/event-stream"}))
        for text in texts:
            connection.sendall(text.encode())
        if stay:
            over.wait(30)

    return step


def hang_up(connection: socket.socket, over: threading.Event) -> None:
    """Close the connection without an answer."""


def silence(connection: socket.socket, over: threading.Event) -> None:
    """Send nothing until the test is over."""
    over.wait(30)


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass
class Server:
    """Answers the n-th request with the n-th step, and all further ones with the last."""

    steps: tuple[Step, ...]
    url: str
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        """Answer one request."""
        with connection, suppress(OSError):
            connection.settimeout(10)
            read = b""
            while b"\r\n\r\n" not in read:
                got = connection.recv(65536)
                if not got:
                    return
                read += got
            head, _, body = read.partition(b"\r\n\r\n")
            line, _, rest = head.decode().partition("\r\n")
            headers = {name.lower(): value for name, value in Parser().parsestr(rest).items()}
            while len(body) < int(headers.get("content-length", "0")):
                body += connection.recv(65536)
            with self._lock:
                step = self.steps[min(len(self.asked), len(self.steps) - 1)]
                self.asked.append(Asked(line, headers, body.decode(), time.monotonic()))
            step(connection, self.over)
            # The client gets all that was sent before the end of the connection.
            connection.shutdown(socket.SHUT_WR)


@contextmanager
def serving(*steps: Step) -> Iterator[Server]:
    """Serve on 127.0.0.1 for as long as the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(steps, f"http://127.0.0.1:{listening.getsockname()[1]}")
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not server.over.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                thread = threading.Thread(target=server.serve, args=(connection,), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            server.over.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            accepting.join(5)
            for thread in threads:
                thread.join(5)
