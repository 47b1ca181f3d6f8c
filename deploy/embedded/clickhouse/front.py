"""ClickHouse's HTTP interface in front of the engine.

What clickhouse-connect, curl, JDBC and Node's client use is here: GET and POST, settings and `param_*` in
the query string, inserts with their data in the body, errors with their code. There are no sessions, and no
users: every request may do everything, so the server binds the loopback interface and refuses requests that
a web page caused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

from aiohttp import web

from deploy.embedded.clickhouse import formats
from deploy.embedded.clickhouse.call import Call, read_call
from deploy.embedded.clickhouse.engine import DEFAULT_FORMAT, Engine
from deploy.embedded.clickhouse.errors import EngineError
from deploy.embedded.clickhouse.pump import Piece, Pump
from deploy.embedded.clickhouse.statement import Kind, Statement, parse

MAX_BODY = 1 << 30
_READERS, _WRITERS = 8, 4
_LAST_WORDS = 0.2
_LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}
_log = logging.getLogger("clickhouse")


class Front:
    """The handlers of one engine; readers and writers have threads of their own, so neither waits."""

    def __init__(self, engine: Engine) -> None:
        """Take over an open engine; `close` closes it."""
        self._engine = engine
        self._readers = ThreadPoolExecutor(_READERS, "reader")
        self._writers = ThreadPoolExecutor(_WRITERS, "writer")

    async def close(self) -> None:
        """Wait for running statements, then close the database."""
        for pool in (self._readers, self._writers):
            await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(self._engine.close)

    async def ping(self, request: web.Request) -> web.Response:
        """Answer at once, whatever the engine is busy with."""
        return web.Response(text="Ok.\n")

    async def query(self, request: web.Request) -> web.StreamResponse:
        """Run one statement."""
        if request.method == "GET" and not request.query.get("query"):
            return web.Response(text="Ok.\n")
        call = await read_call(request)
        statement = parse(call.sql)
        if statement.kind in (Kind.INSERT, Kind.COMMAND):
            run = self._engine.insert if statement.kind is Kind.INSERT else self._engine.command
            loop = asyncio.get_running_loop()
            summary = await loop.run_in_executor(self._writers, run, statement, call)
            return web.Response(headers=self._headers(call) | {"X-ClickHouse-Summary": summary})
        return await self._rows(request, statement, call)

    async def _rows(self, request: web.Request, statement: Statement, call: Call) -> web.StreamResponse:
        name = statement.format or call.default_format or DEFAULT_FORMAT
        pump = Pump(self._readers, partial(self._engine.rows, statement, call, name))
        try:
            first = await pump.read()
            headers = self._headers(call) | {
                "X-ClickHouse-Format": name,
                "Content-Type": formats.content_type(name),
            }
            if first.last:
                return web.Response(body=first.data, headers=headers)
            return await self._stream(request, pump, first, headers)
        finally:
            await pump.stop()

    async def _stream(
        self, request: web.Request, pump: Pump, piece: Piece, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Send a result in chunks; an error in the middle goes into the body, under the announced tag."""
        tag = uuid4().hex[:16]
        response = web.StreamResponse(headers=headers | {"X-ClickHouse-Exception-Tag": tag})
        await response.prepare(request)
        try:
            await response.write(piece.data)
            while not piece.last:
                piece = await pump.read()
                await response.write(piece.data)
        except EngineError as error:
            body = f"{error}\n"
            block = f"\r\n__exception__\r\n{tag}\r\n{body}{len(body)} {tag}\r\n__exception__\r\n"
            await response.write(block.encode())
            # Without a last chunk, a client that knows nothing of the tag still sees a broken transfer. The
            # pause lets others read the block: some drop what they have received once the connection ends.
            await asyncio.sleep(_LAST_WORDS)
            if request.transport is not None:
                request.transport.close()
        except ConnectionResetError:
            _log.info("the client left in the middle of a result")
        return response

    def _headers(self, call: Call) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": call.query_id,
            "X-ClickHouse-Server-Display-Name": "embedded",
            "X-ClickHouse-Timezone": "UTC",
        }


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into ClickHouse's bodies: `Code: N. DB::Exception: text` and the code header."""
    try:
        return await handler(request)
    except EngineError as error:
        _log.info("%s", error)
        headers = {"X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=error.status, text=f"{error}\n", headers=headers)
    except web.HTTPRequestEntityTooLarge:
        text = f"Code: 36. DB::Exception: The body is over {MAX_BODY} bytes: send smaller inserts.\n"
        return web.Response(status=413, text=text, headers={"X-ClickHouse-Exception-Code": "36"})
    except ConnectionResetError:
        _log.info("the client left in the middle of a request")
        return web.Response(status=499)  # nobody reads it


@web.middleware
async def _only_local(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a browser sends for a web page: a foreign Host (DNS rebinding), an Origin (forged POST)."""
    host = request.host.rsplit(":", 1)[0].strip("[]")
    if host not in _LOCAL_HOSTS or "Origin" in request.headers:
        text = "Code: 497. DB::Exception: The embedded ClickHouse serves programs on this machine only.\n"
        return web.Response(status=403, text=text, headers={"X-ClickHouse-Exception-Code": "497"})
    return await handler(request)


def create_app(front: Front) -> web.Application:
    """Build the aiohttp application. Run it with `auto_decompress=False`: `call` undoes encodings."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_only_local, _errors])
    app.router.add_get("/ping", front.ping)
    app.router.add_get("/replicas_status", front.ping)
    app.router.add_get("/", front.query)
    app.router.add_post("/", front.query)

    async def close(app: web.Application) -> None:
        await front.close()

    app.on_cleanup.append(close)
    return app
