"""What a worker answers over HTTP: /metrics, whether it lives, and whether it has its partitions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_BEAT_SECONDS: Final = 1.0
#: Seconds that the event loop may stand still before the worker counts as hung.
PATIENCE: Final = 30.0

Doubt = str | None
"""What is wrong, in a sentence; None when nothing is."""


class Health:
    """The worker's state of health, looked at from its event loop once a second and read by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start alive and not ready; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._beat = clock()
        self._waits: Doubt = "the worker is starting"
        self._look: Callable[[], Doubt] | None = None

    def ask(self, look: Callable[[], Doubt]) -> None:
        """Ask `look` what the worker waits for, from now on; it is called in the event loop."""
        self._look = look

    def beat(self) -> None:
        """Note that the event loop runs, and what the worker waits for."""
        if self._look is not None:
            self._waits = self._look()
        self._beat = self._clock()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat in `loop` for as long as it runs."""
        self.beat()
        loop.call_later(_BEAT_SECONDS, self.attach, loop)

    def hung(self) -> Doubt:
        """Say why the worker must be started again, or None: it lives, whatever the stores do."""
        still = self._clock() - self._beat
        return f"the event loop stands still for {still:.0f} s" if still > PATIENCE else None

    def waits(self) -> Doubt:
        """Say why the worker takes no events just now; None when it has its partitions and the stores."""
        return self.hung() or self._waits


class _Server(ThreadingMixIn, WSGIServer):
    """A slow reader keeps only its own thread."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Probes come every few seconds: they are not worth a line."""

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


def serve(health: Health, host: str, port: int) -> WSGIServer:
    """Answer on `host`:`port` from a thread of its own; return the server. A port in use is an `OSError`."""
    metrics: Any = make_wsgi_app()
    questions = {"/healthz": health.hung, "/readyz": health.waits}

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        if path not in questions:
            status, text = "404 Not Found", "see /metrics, /healthz and /readyz"
        else:
            doubt = questions[path]()
            status, text = ("503 Service Unavailable", doubt) if doubt else ("200 OK", "ok")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    server = make_server(host, port, answer, _Server, _Quiet)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
