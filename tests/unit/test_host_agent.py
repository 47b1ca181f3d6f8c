"""A probe says that the API is not ready, whatever its port answers with."""

from __future__ import annotations

import socket
import threading

import pytest

from deploy.host_agent import probe


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", False),
        (b"", False),
    ],
    ids=["ready", "not ready", "another protocol", "nothing"],
)
def test_a_probe_tells_whether_the_api_is_ready(answer: bytes, ok: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(65_536)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        event = probe(f"http://127.0.0.1:{server.getsockname()[1]}", 1.0)
        thread.join()
    assert event["ok"] is ok
