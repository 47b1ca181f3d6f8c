"""Connections to Redis, and which of its failures are transient."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from sinks.base import Unavailable
from streams.domain.errors import StoreUnavailableError

#: Most connections of a client, unless its caller says otherwise.
CONNECTIONS: Final = 50
#: Transient failures by redis-py's classes: the server is away, starting, full, failing over, or a replica.
_PASSING: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterError,  # every node redirected the client to another one
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
    OSError,
)
#: Transient failures by Redis' error code. It comes first, after the command that a pipeline names, or after
#: Redis 6's text about a script. They include a full disk, too few replicas, and another running script.
_REFUSED: Final = re.compile(
    r"(?:^|caused error: |: -)"
    r"(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNBLOCKED) "
)
#: What Redis says to a user without a right; in scripts since version 7, and in those of version 6.
_FORBIDDEN: Final = re.compile(r"no permissions? to|NOPERM|can't run this command or subcommand")
#: uvloop's words for a write to a connection that the server has just reset; asyncio raises an OSError.
_LOST: Final = "the handler is closed"
#: Errors of a script whose keys are moving to another node, as Redis 6 and 7, and as Redis 8 word them.
_MOVING: Final = ("non local key", "during rehashing of the slot")


class _Cluster(RedisCluster):
    """A cluster client that many tasks may use from the first command on.

    Before redis-py knows the cluster, it sends commands to any node, and takes many wrong guesses for a
    changed cluster: then it closes the connections of all running commands. So this client connects first.
    """

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; raise `ConnectionError` if the client closed the connection meanwhile."""
        await self.initialize()
        try:
            return await super().execute_command(*args, **kwargs)
        except AttributeError as error:
            # https://github.com/redis/redis-py/issues/4287: a connection without a writer.
            raise exceptions.ConnectionError(f"connection closed meanwhile: {error}") from error


def address_of(url: str) -> tuple[str, bool]:
    """Return the URL for redis-py, and whether it is that of a cluster (`?cluster=true`)."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    clustered = query.pop("cluster", "").lower() in {"1", "true", "yes"}
    return urlunsplit(parts._replace(query=urlencode(query))), clustered


def at_node(url: str, node: str) -> str:
    """Return the URL of a cluster's node `HOST:PORT`, with the scheme, user and query of `url`."""
    parts = urlsplit(url)
    host, _, port = node.rpartition(":")
    user = parts.netloc.rpartition("@")[0]
    there = f"[{host}]:{port}" if ":" in host else node
    return urlunsplit(parts._replace(netloc=f"{user}@{there}" if user else there))


def connect(
    url: str,
    *,
    connect_timeout: float = 2.0,
    read_timeout: float = 5.0,
    connections: int = CONNECTIONS,
    ping_seconds: int = 30,
) -> Any:
    """Return a client that returns bytes and connects at its first command.

    `redis://` and `rediss://` reach one server; with `?cluster=true` in its query the address is a node of a
    Redis Cluster. A failed command is retried once at once, which hides a restarted server; the caller
    decides about longer outages. Times are in seconds. A new connection, and one that was idle for
    `ping_seconds`, is pinged first; 0 disables that, because a server with a full disk refuses pings.
    """
    address, clustered = address_of(url)
    # A moved slot is learned from the redirect alone, without dropping all connections.
    options = {"reinitialize_steps": 0} if clustered else {}
    kind: Any = _Cluster if clustered else Redis
    return kind.from_url(
        address,
        socket_connect_timeout=connect_timeout,
        socket_timeout=read_timeout,
        socket_keepalive=True,
        health_check_interval=ping_seconds,
        max_connections=connections,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 1),
        **options,
    )


def is_lost_connection(error: RuntimeError) -> bool:
    """Say whether uvloop raised this because the server has closed the connection."""
    return _LOST in str(error)


@contextmanager
def available() -> Iterator[None]:
    """Turn transient failures into `Unavailable`; whether the command ran is then in doubt."""
    try:
        yield
    except _PASSING as error:
        raise Unavailable(f"Redis: {str(error) or type(error).__name__}", "redis") from error
    except exceptions.ResponseError as error:
        if _REFUSED.search(str(error)):
            raise Unavailable(f"Redis: {error}", "redis") from error
        if any(words in str(error) for words in _MOVING):
            raise Unavailable(f"Redis Cluster is moving keys: {error}", "redis") from error
        raise
    except RuntimeError as error:
        if is_lost_connection(error):
            raise Unavailable("Redis: connection reset", "redis") from error
        raise


class CircuitBreaker:
    """Bounds calls by a timeout; after a timeout, calls fail at once for twice as long.

    Further calls wait while as many run as the client has connections: it fails without a free one.

    One request of the API asks Redis for its key, its rate limit and its answer: with a shared breaker, only
    the first of these calls waits. While a server is silent, two of three requests do not wait at all.
    """

    def __init__(
        self,
        timeout: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        """Start closed; `timeout` and `clock` are in seconds."""
        self.timeout = timeout
        self._slots = asyncio.Semaphore(connections)
        self._clock = clock
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, because the server was silent a moment ago."""
        return self._clock() < self._open_until

    def trip(self) -> None:
        """Open the breaker: the server did not answer in time."""
        self._open_until = self._clock() + 2 * self.timeout

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Bound the calls inside, which use one connection; do not nest it.

        Timeouts, transient failures and missing rights become `StoreUnavailableError`. The wait for a
        connection is not bounded by the timeout: it says nothing about the server, and each call before is
        bounded.
        """
        async with self._slots:
            if self.is_open:
                raise StoreUnavailableError(
                    "redis", "Redis did not answer moments ago; the next attempt follows shortly"
                )
            try:
                with available():
                    async with asyncio.timeout(self.timeout):
                        yield
            except Unavailable as error:
                # asyncio's TimeoutError is an OSError, redis-py's is not: both mean a silent server.
                if isinstance(error.__cause__, TimeoutError | exceptions.TimeoutError):
                    self.trip()
                raise StoreUnavailableError("redis", str(error)) from error
            except exceptions.ResponseError as error:
                # Another store may answer, or the caller is told to come back: an operator must mend it.
                if _FORBIDDEN.search(str(error)):
                    raise StoreUnavailableError("redis", f"Redis: {error}") from error
                raise
