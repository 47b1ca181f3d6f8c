"""Which failures of Redis may pass, by what the server says."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import uvloop
from redis.exceptions import ResponseError

from api.limits import RateLimit
from sinks.base import Unavailable
from sinks.clickhouse import client as clickhouse
from sinks.redis import client as redis
from sinks.redis.client import available

SCRIPT = "script: 39aceb3f, on @user_script:16."
#: How it is said of a command, of one in a pipeline, and of one in a script of Redis 6 and of newer ones.
OF = (
    "{}",
    "Command # 1 (SET a 1) of pipeline caused error: {}",
    "Error running script (call to f_39aceb3f): @user_script:16: @user_script: 16: -{}",
    "{} " + SCRIPT,
)


@pytest.mark.parametrize("of", OF)
@pytest.mark.parametrize(
    "said",
    [
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "READONLY You can't write against a read only replica.",
    ],
)
def test_a_server_that_refuses_for_now_is_waited_for(of: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said.split(maxsplit=1)[0]), available():
        raise ResponseError(of.format(said))


@pytest.mark.parametrize(
    "said",
    [
        f"Script attempted to access a non local key in a cluster node {SCRIPT}",  # Redis 6 and 7
        "Unable to execute command 'zunion' in script because undeclared keys were accessed during rehashing"
        f" of the slot {SCRIPT}",  # Redis 8
    ],
)
def test_keys_that_move_to_another_node_are_waited_for(said: str) -> None:
    with pytest.raises(Unavailable, match="moving"), available():
        raise ResponseError(said)


@pytest.mark.parametrize(
    "said",
    [
        f"attempt to index a nil value {SCRIPT}",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "BUSYGROUP Consumer Group name already exists",
        "ERR value is not an integer: 'MISCONF '",
    ],
)
def test_what_will_never_work_is_not(said: str) -> None:
    with pytest.raises(ResponseError), available():
        raise ResponseError(said)


@pytest.mark.parametrize("available", [redis.available, clickhouse.available])
def test_a_failure_without_words_is_told_by_its_name(
    available: Callable[[], AbstractContextManager[None]],
) -> None:
    with pytest.raises(Unavailable, match=r"^(Redis|ClickHouse): TimeoutError$"), available():
        raise TimeoutError


@pytest.fixture
def resetting() -> Iterator[str]:
    """Yield the address of a server that resets each connection at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_a_server_that_resets_connections_is_waited_for(resetting: str) -> None:
    """The API runs on uvloop, which raises RuntimeError for about every thirtieth of them."""

    async def ask() -> None:
        client = redis.connect(resetting, connect_timeout=1, read_timeout=1)
        for _ in range(20):
            results = await asyncio.gather(*(one(client) for _ in range(20)), return_exceptions=True)
            assert [type(each) for each in results] == [Unavailable] * 20, results
        await client.aclose()

    async def one(client: Any) -> None:
        with available():
            await client.get("key")

    uvloop.run(ask())


def test_nothing_is_limited_while_a_server_resets_connections(resetting: str) -> None:
    async def ask() -> None:
        limit = RateLimit(resetting, "1/minute", prefix="test")
        for _ in range(100):
            limit._cooldown_until = 0.0
            assert await asyncio.gather(*(limit.hit("key") for _ in range(20))) == [(True, None)] * 20
        await limit.close()

    uvloop.run(ask())
