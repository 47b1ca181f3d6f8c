"""Connections to Redis, and which of its failures may pass."""

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

#: The server is away, starting, full, failing over, or only a replica just now, by redis-py's classes.
_PASSING: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterError,  # every node that was asked sent the client on to another
    exceptions.ClusterDownError,
    exceptions.RedisClusterException,
    exceptions.TryAgainError,
    exceptions.MasterDownError,
    OSError,
)
#: The same by its code, which stands first, behind what a pipeline says of its command, or in the words of
#: Redis 6 about a script. There are more: no place on its disk, too few replicas, another script that runs.
_REFUSED: Final = re.compile(
    r"(?:^|caused error: |: -)"
    r"(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN|UNBLOCKED) "
)
#: What a script meets whose keys are just moving to another node: as Redis 6 and 7 say it, and as 8 does.
_MOVING: Final = ("non local key", "during rehashing of the slot")


class _Cluster(RedisCluster):
    """A cluster's client that many tasks may use from their first command on.

    redis-py sends commands that come before it knows the cluster to any node, and takes many wrong guesses
    for a cluster that changed: it closes the connections under everybody's commands.
    """

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command; raise `ConnectionError` where the client had closed its own connection."""
        await self.initialize()
        try:
            return await super().execute_command(*args, **kwargs)
        except AttributeError as error:
            # https://github.com/redis/redis-py/issues/4287: a connection without a writer.
            raise exceptions.ConnectionError(f"connection closed meanwhile: {error}") from error


def address_of(url: str) -> tuple[str, bool]:
    """Return an address as redis-py takes it, and whether it is of a cluster (`?cluster=true`)."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    clustered = query.pop("cluster", "").lower() in {"1", "true", "yes"}
    return urlunsplit(parts._replace(query=urlencode(query))), clustered


def at_node(url: str, node: str) -> str:
    """Return the address of one node of a cluster, `HOST:PORT`, reached as another one is."""
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
    connections: int = 50,
    ping_seconds: int = 30,
) -> Any:
    """Return a client that answers bytes and connects at its first command.

    `redis://` and `rediss://` reach one server; with `?cluster=true` in its query the address is a node of
    a Redis Cluster. A command that fails is tried once more at once, which hides a server that was
    restarted; what takes longer is for the caller to decide. Times are in seconds. A connection that was idle
    for `ping_seconds` is pinged first, and a new one too; 0 leaves that out: a server whose disk is full
    refuses pings.
    """
    address, clustered = address_of(url)
    # A slot that moved is learnt when it is asked for; nothing else is thrown away then.
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


@contextmanager
def available() -> Iterator[None]:
    """Turn failures that may pass into `Unavailable`; whether the command ran is then in doubt."""
    try:
        yield
    except _PASSING as error:
        raise Unavailable(f"Redis: {error or type(error).__name__}", "redis") from error
    except exceptions.ResponseError as error:
        if _REFUSED.search(str(error)):
            raise Unavailable(f"Redis: {error}", "redis") from error
        if any(words in str(error) for words in _MOVING):
            raise Unavailable(f"Redis Cluster is moving keys: {error}", "redis") from error
        raise


class Patience:
    """Waits `seconds` for a server and no longer, and remembers for twice as long that it was silent.

    One request asks Redis for its key, its allowance and its answer: shared by them, only the first waits.
    While a server is down, two of three requests do not wait at all.
    """

    def __init__(self, seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Believe that the server answers; `clock` gives seconds."""
        self.seconds = seconds
        self._clock = clock
        self._until = float("-inf")

    @property
    def over(self) -> bool:
        """Say whether the server was silent a moment ago."""
        return self._clock() < self._until

    def silent(self) -> None:
        """Note that the server did not answer in time."""
        self._until = self._clock() + 2 * self.seconds

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Bound what is done; every failure that may pass becomes `StoreUnavailableError`."""
        if self.over:
            raise StoreUnavailableError("redis", "it was silent a moment ago")
        try:
            with available():
                async with asyncio.timeout(self.seconds):
                    yield
        except Unavailable as error:
            # Ours is an OSError as well, the client's own is not.
            if isinstance(error.__cause__, TimeoutError | exceptions.TimeoutError):
                self.silent()
            raise StoreUnavailableError("redis", str(error)) from error
