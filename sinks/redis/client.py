"""Connections to Redis, and which of its failures may pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from sinks.base import Unavailable

#: The server is away, starting, full, failing over, or only a replica just now.
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
#: What a script meets whose keys are just moving to another node of a cluster (Redis 6 and 7 say it so).
_MOVING: Final = "non local key"


def connect(
    url: str, *, connect_timeout: float = 2.0, read_timeout: float = 5.0, connections: int = 50
) -> Any:
    """Return a client that answers bytes and connects at its first command.

    `redis://` and `rediss://` reach one server; with `?cluster=true` in its query the address is a node of
    a Redis Cluster. A command that fails is tried once more at once, which hides a server that was
    restarted; what takes longer is for the caller to decide. Times are in seconds.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    clustered = query.pop("cluster", "").lower() in {"1", "true", "yes"}
    address = urlunsplit(parts._replace(query=urlencode(query)))
    kind: Any = RedisCluster if clustered else Redis
    return kind.from_url(
        address,
        socket_connect_timeout=connect_timeout,
        socket_timeout=read_timeout,
        socket_keepalive=True,
        health_check_interval=30,
        max_connections=connections,
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.05), 1),
    )


@contextmanager
def available() -> Iterator[None]:
    """Turn failures that may pass into `Unavailable`; whether the command ran is then in doubt."""
    try:
        yield
    except _PASSING as error:
        raise Unavailable(f"Redis: {error or type(error).__name__}", "redis") from error
    except exceptions.ResponseError as error:
        if _MOVING not in str(error):
            raise
        raise Unavailable(f"Redis Cluster is moving keys: {error}", "redis") from error
