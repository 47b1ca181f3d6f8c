"""Serving the API with uvicorn, in one process or several, on a socket that this module binds."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from contextlib import suppress
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

_STOP_SECONDS: Final = 5
_SILENCE_SECONDS: Final = 30


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host`:`port`; on `::` it takes IPv4, too. Raises `OSError` for a port in use.

    asyncio's own sockets on `::` take only IPv6: neither `vca check` nor a service of IPv4 would be answered.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family is socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    listening.set_inheritable(True)
    return listening


def serve_api(host: str, port: int, processes: int) -> None:
    """Serve the API until SIGTERM or SIGINT. Raises `OSError` for a port in use."""
    config = uvicorn.Config(
        "api.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=processes,
        access_log=False,
        http="api.http_protocol:LimitedHttpProtocol",
        ws="none",
        # A client that stops reading keeps its connection open.
        timeout_graceful_shutdown=_STOP_SECONDS,
        # A process that starts slowly must not count as hung.
        timeout_worker_healthcheck=_SILENCE_SECONDS,
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with bind(host, port) as listening, suppress(KeyboardInterrupt):
        logging.getLogger("uvicorn.error").info("The API's address: http://%s (Ctrl-C stops it)", address)
        # uvicorn shuts down gracefully, then sends itself the signal again, which would look like a failure.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        if processes > 1:
            Multiprocess(config, sockets=[listening]).run()
        else:
            uvicorn.Server(config).run(sockets=[listening])
