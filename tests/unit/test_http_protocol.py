"""Headers have a longest length and requests a longest time to come, on a real socket; nothing else has."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from typer.testing import CliRunner
from uvicorn.importer import import_from_string

from api.http_protocol import MAX_HEAD_BYTES, LimitedHttpProtocol
from deploy.cli import app as vca
from deploy.embedded.ports import free_port

#: What one read of a socket may hold beyond the limit, and what the system's buffers take besides.
SLACK = 8_000_000
PIECE = b"a" * 100_000


async def count_body(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number of bytes in the body."""
    seen, more = 0, True
    while more:
        message = await receive()
        seen, more = seen + len(message.get("body", b"")), message.get("more_body", False)
    text = f"<{seen}>".encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]}
    )
    await send({"type": "http.response.body", "body": text})


class HastyHttpProtocol(LimitedHttpProtocol):
    arrival_seconds = 0.3


class PatientHttpProtocol(LimitedHttpProtocol):
    """Waits long enough for what comes at once, however busy the machine is."""

    arrival_seconds = 1.5


async def count_slowly(scope: Any, receive: Any, send: Any) -> None:
    """Answer as `count_body` does, after twice the time in which a request must have come."""
    await asyncio.sleep(2 * HastyHttpProtocol.arrival_seconds)
    await count_body(scope, receive, send)


@asynccontextmanager
async def serving(app: Any, protocol: type[LimitedHttpProtocol]) -> AsyncIterator[int]:
    """Serve an application; yield the port."""
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, http=protocol, ws="none", log_level="critical", lifespan="off", timeout_keep_alive=1
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([at]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield at.getsockname()[1]
        server.should_exit = True
        await task


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async with serving(count_body, LimitedHttpProtocol) as at:
        yield at


async def test_a_stream_ends_with_its_client_also_if_another_request_waits_behind_it() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                began.set()

        going = asyncio.create_task(gone())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not going.done():
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.01)
        ended.set()

    async with serving(stream, LimitedHttpProtocol) as port, asyncio.timeout(30):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        await began.wait()
        writer.transport.abort()
        await ended.wait()


async def send(port: int, beginning: bytes, piece: bytes, times: int) -> tuple[bytes, int]:
    """Send a beginning, then a piece again and again; return the answer, and how many bytes were taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    sent = 0
    try:
        for _ in range(times):
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        async with asyncio.timeout(60):
            return await reader.read(), sent
    except ConnectionError:
        return b"", sent
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"GET / HTTP/1.1\r\n", b"X: " + PIECE + b"\r\n"),
        (b"GET / HTTP/1.1\r\n", b"a:b\r\n" * 20_000),
        (b"GET / HTTP/1.1\r\nX: ", PIECE),
        (b"GET / HTTP/1.1\r\n", PIECE),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: ", PIECE),
    ],
    ids=["headers", "small headers", "one value", "one name", "a trailer"],
)
async def test_headers_without_end_are_not_kept(port: int, beginning: bytes, piece: bytes) -> None:
    answer, sent = await send(port, beginning, piece, 500)
    assert sent < SLACK
    assert b"200 OK" not in answer


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / SPDY/9\r\n\r\n"])
async def test_what_is_no_http_is_an_error_in_the_common_shape(port: int, sent: bytes) -> None:
    answer, _ = await send(port, sent, b"", 1)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"content-type: application/json" in head
    assert f"content-length: {len(content)}".encode() in head
    told = json.loads(content)
    assert (told["success"], told["error"]["code"]) == (False, "ANALYTICS_INVALID_PARAMETER")
    assert told["error"]["message"] == "Invalid HTTP request received."


async def test_what_is_short_enough_is_answered(port: int) -> None:
    header = b"X: " + b"a" * (MAX_HEAD_BYTES - 1_000)
    end = b"Connection: close\r\n"
    answer, _ = await send(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + end + header, b"\r\n\r\n", 1)
    assert answer.endswith(b"<0>")
    body = b"POST / HTTP/1.1\r\nHost: x\r\n" + end + b"Content-Length: 5000000\r\n\r\n"
    answer, _ = await send(port, body, PIECE, 50)
    assert answer.endswith(b"<5000000>")


async def test_requests_in_a_row_are_not_added_up(port: int) -> None:
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer, _ = await send(port, one * 10_000, last, 1)
    assert answer.count(b"<0>") == 10_001


async def test_a_request_that_does_not_come_whole_ends_the_connection() -> None:
    answered = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    answers = {
        b"": 0,
        b"GET / HT": 0,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: ": 0,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab": 0,
        answered + b"\r\n\r\n": 1,
        answered + answered[:-1]: 1,
    }
    async with serving(count_body, PatientHttpProtocol) as at:
        found = await asyncio.gather(*(send(at, beginning, b"", 0) for beginning in answers))
    assert [answer.count(b"<3>") for answer, _ in found] == list(answers.values())


async def test_a_slow_answer_is_not_cut_off() -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    async with serving(count_slowly, HastyHttpProtocol) as at:
        answer, _ = await send(at, one + b"\r\nabc" + one + b"Connection: close\r\n\r\n", b"abc", 1)
        assert answer.count(b"<3>") == 2
        # More than one read takes, so that the server stops reading; no more than the system's buffers hold,
        # so that the rest is there at once when it reads again, however slow this process is.
        long = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 400000\r\n\r\n"
        answer, _ = await send(at, long, PIECE, 4)
        assert answer.endswith(b"<400000>")


async def test_another_protocol_is_not_spoken(port: int) -> None:
    upgrade = b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    answer, _ = await send(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n", b"", 0)
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"<0>")


def test_vca_api_serves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[uvicorn.Server] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: served.append(server))
    assert CliRunner().invoke(vca, ["api", "--port", str(free_port())]).exit_code == 0
    (config,) = [server.config for server in served]
    assert import_from_string(str(config.http)) is LimitedHttpProtocol
    assert config.ws == "none"
