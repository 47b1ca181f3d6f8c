"""The stand-in ClickHouse's HTTP interface, without an engine behind it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from deploy.embedded.clickhouse.front import Front, Handler, create_app
from tests.waiting import until


class NoEngine:
    def close(self) -> None: ...


async def test_a_client_that_dies_in_the_middle_of_its_request_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # As a worker that is killed during an insert, or `vca up` when Ctrl-C comes early.
    caplog.set_level(logging.INFO, "clickhouse")
    app, begun = create_app(Front(cast(Any, NoEngine()))), asyncio.Event()

    @web.middleware
    async def begins(request: web.Request, handler: Handler) -> web.StreamResponse:
        begun.set()
        return await handler(request)

    app.middlewares.append(begins)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        _, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nINSERT")
        await begun.wait()
        writer.transport.abort()
        await until(lambda: caplog.records)
    finally:
        await runner.cleanup()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "the client left in the middle of a request")
    ]


@pytest.mark.parametrize(
    ("field", "advice"),
    [
        ("compress=1", "(in a JDBC address: ?compress=false)."),  # the default of JDBC
        ("client_protocol_version=54485", "clickhouse-go, and what is built on it, needs a real server."),
    ],
)
async def test_a_driver_that_needs_more_is_told_what_to_do(field: str, advice: str) -> None:
    runner = web.AppRunner(create_app(Front(cast(Any, NoEngine()))))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{host}:{port}/?{field}", data="SELECT 1") as answer,
        ):
            assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
            assert (await answer.text()).endswith(f"{advice}\n")
    finally:
        await runner.cleanup()
