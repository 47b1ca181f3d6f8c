"""Redis and ClickHouse behind TLS, by the addresses that docs/deployment.md shows."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from sinks.base import Unavailable
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.redis.client import connect as connect_redis
from tests.deploy import certificates, compose

if reason := certificates.missing():
    pytest.skip(reason, allow_module_level=True)

PAGE = (compose.ROOT / "docs/deployment.md").read_text("utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.make(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def behind_tls(made: certificates.Certificates, server: str) -> AsyncIterator[str]:
    """Yield `host:port` of a door that speaks TLS and passes everything on to a server."""
    to = urlsplit(server)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made.certificate, made.key)
    door = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{door.sockets[0].getsockname()[1]}"
    finally:
        door.close()


def shown(variable: str, address: str, ca: Path) -> str:
    """Return the address of docs/deployment.md with this server, and without a password."""
    found = re.search(rf"^export {variable}='([^']+)'$", PAGE, re.MULTILINE)
    assert found
    url = re.sub(r"//[^@]*@[^/]+", f"//{address}", found[1])
    return re.sub(r"=/etc/ssl/\S+", f"={ca}", url)


async def test_redis(made: certificates.Certificates, redis_server: str) -> None:
    async with behind_tls(made, redis_server) as address:
        url = shown("REDIS_URL", address, made.ca)
        trusting, doubting = connect_redis(url), connect_redis(url.partition("?")[0])
        try:
            assert await trusting.ping()
            with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
                await doubting.ping()
        finally:
            await trusting.aclose()
            await doubting.aclose()


async def test_clickhouse(made: certificates.Certificates, clickhouse_server: str) -> None:
    async with behind_tls(made, clickhouse_server) as address:
        url = shown("CLICKHOUSE_URL", address, made.ca).replace("/videocloud?", "/default?")
        client = await connect_clickhouse(url)
        try:
            assert await client.command("SELECT 41 + 1") == 42
        finally:
            await client.close()
        with pytest.raises(Unavailable, match="(?i)certificate[ _]verify[ _]failed"):
            await connect_clickhouse(url.partition("?")[0])
