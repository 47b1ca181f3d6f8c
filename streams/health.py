"""The worker's HTTP endpoints: /metrics, /healthz (liveness) and /readyz (readiness)."""

from __future__ import annotations

import asyncio
import socket
import sys
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
#: Seconds for which one read or write of a request may wait. The host of a peer may have vanished without a
#: word, and each request takes a thread and a file descriptor.
_SILENCE_SECONDS: Final = 30.0

Problem = str | None
"""A problem, in a sentence; None for no problem."""


class Health:
    """The worker's health, updated once a second in its event loop and read from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start alive and not ready; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._beat = clock()
        self._not_ready: Problem = "the worker is starting"
        self._check: Callable[[], Problem] | None = None

    def watch(self, check: Callable[[], Problem]) -> None:
        """Call `check` from now on for what keeps the worker from being ready; it runs in the event loop."""
        self._check = check

    def beat(self) -> None:
        """Note that the event loop runs, and whether the worker is ready. Raises what the check raises."""
        self._beat = self._clock()
        if self._check is not None:
            self._not_ready = self._check()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Beat in `loop` for as long as it runs."""
        # Before the check: one that fails goes to the log, and must not end the beats.
        loop.call_later(_BEAT_SECONDS, self.attach, loop)
        self.beat()

    def liveness_problem(self) -> Problem:
        """Return why the worker must be restarted; None while its event loop runs, whatever the stores do."""
        still = self._clock() - self._beat
        return f"the event loop stands still for {still:.0f} s" if still > PATIENCE else None

    def readiness_problem(self) -> Problem:
        """Return why the worker processes no events now; None when it has its partitions and the stores."""
        return self.liveness_problem() or self._not_ready


class _Server(ThreadingMixIn, WSGIServer):
    """A thread per request, so that a slow reader blocks no other."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a traceback, except of a connection that was lost, or on which nothing came."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    """The same on an address of IPv6; on `::` it takes IPv4, too."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Bind it, whatever the system's default for IPv4 is."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Quiet(WSGIRequestHandler):
    """A handler without an access log: probes come every few seconds."""

    timeout = _SILENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def serve(health: Health, host: str, port: int) -> WSGIServer:
    """Serve on `host`:`port` in a thread; return the server. Raises `OSError` for a port in use."""
    metrics: Any = make_wsgi_app()
    probes = {"/healthz": health.liveness_problem, "/readyz": health.readiness_problem}

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            body: Iterable[bytes] = metrics(environ, start_response)
            return body
        if path not in probes:
            status, text = "404 Not Found", "see /metrics, /healthz and /readyz"
        else:
            problem = probes[path]()
            status, text = ("503 Service Unavailable", problem) if problem else ("200 OK", "ok")
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{text}\n".encode()]

    try:
        server = make_server(host, port, answer, _Server6 if ":" in host else _Server, _Quiet)
    except OSError as error:
        where = f"cannot listen on {host}:{port} (WORKER_METRICS_HOST, WORKER_METRICS_PORT)"
        raise OSError(error.errno, f"{where}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
