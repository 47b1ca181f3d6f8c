"""Connections to ClickHouse over HTTP, and which of its failures are transient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error, OperationalError

from sinks.base import Unavailable

#: The database if the URL names none.
DEFAULT_DATABASE: Final = "videocloud"

#: How long a server may send nothing. During a long query it sends its progress five seconds before that (the
#: client asks for it). An insert takes less; one that was given up is repeated with its token.
SILENCE_SECONDS: Final = 60.0
#: Transient server errors with their names (ErrorCodes.cpp): the server, or one behind it, is busy, full,
#: starting or away. An unknown table or database is one of them, because the migrations of a new installation
#: may not have run yet.
PASSING: Final[Mapping[int, str]] = {
    32: "ATTEMPT_TO_READ_AFTER_EOF",  # another server has gone in the middle of its answer
    60: "UNKNOWN_TABLE",
    74: "CANNOT_READ_FROM_FILE_DESCRIPTOR",
    75: "CANNOT_WRITE_TO_FILE_DESCRIPTOR",
    76: "CANNOT_OPEN_FILE",
    77: "CANNOT_CLOSE_FILE",
    81: "UNKNOWN_DATABASE",
    95: "CANNOT_READ_FROM_SOCKET",
    96: "CANNOT_WRITE_TO_SOCKET",
    159: "TIMEOUT_EXCEEDED",
    172: "CANNOT_CREATE_DIRECTORY",
    173: "CANNOT_ALLOCATE_MEMORY",
    198: "DNS_ERROR",
    201: "QUOTA_EXCEEDED",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    203: "NO_FREE_CONNECTION",
    204: "CANNOT_FSYNC",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    236: "ABORTED",
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    244: "UNEXPECTED_ZOOKEEPER_ERROR",
    252: "TOO_MANY_PARTS",
    254: "NO_ACTIVE_REPLICAS",
    265: "NO_AVAILABLE_REPLICA",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    297: "SHARD_HAS_NO_CONNECTIONS",
    319: "UNKNOWN_STATUS_OF_INSERT",
    364: "RECEIVED_ERROR_TOO_MANY_REQUESTS",
    369: "ALL_REPLICAS_ARE_STALE",
    394: "QUERY_WAS_CANCELLED",
    425: "SYSTEM_ERROR",
    439: "CANNOT_SCHEDULE_TASK",
    473: "DEADLOCK_AVOIDED",
    499: "S3_ERROR",
    519: "NO_REMOTE_SHARD_AVAILABLE",
    722: "ASYNC_LOAD_WAIT_FAILED",
    735: "QUERY_WAS_CANCELLED_BY_CLIENT",
    745: "SERVER_OVERLOADED",
    999: "KEEPER_EXCEPTION",
    1000: "POCO_EXCEPTION",  # of files and sockets, mostly
    1001: "STD_EXCEPTION",  # no place on the disk, among others
}
#: Errors about the user: workers end, and the API answers from the other store where it can.
REFUSING: Final[Mapping[int, str]] = {
    192: "UNKNOWN_USER",
    193: "WRONG_PASSWORD",
    194: "REQUIRED_PASSWORD",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}
#: The client's error for an answer without ClickHouse's code, from a proxy whose server is away.
_OF_A_PROXY: Final = re.compile(r"HTTP driver received HTTP status 5\d\d\b")


READING: Final = {
    # Subqueries read the rows of all shards, like the outer query; a single server ignores this.
    "distributed_product_mode": "global",
    # Servers before 25.11 write an error in the middle of an answer in JSON as one more row, unless told not
    # to; the answer then looks complete.
    "http_write_exception_in_output_format": "0",
}
#: A server ends the query of a client that has gone only if the query may do nothing but read. For users who
#: may write: the profile of others has it.
READING_ONLY: Final = {"readonly": "2"}
#: Newer servers aggregate groups beyond the first 16,384 of a thread later: the API's queries (by video,
#: session and user of a day) take up to 30 % longer that way.
GROUPING: Final = {"enable_adaptive_aggregator": "0"}
#: Servers from 25.3 to 25.7 may remember which rows an `IN (SELECT ...)` did not select, and leave them out
#: when the subquery has another result (ClickHouse's issue 84508, mended in 25.8 and some patches of these).
_SELECTING: Final = {"use_query_condition_cache": "0"}


def database_of(url: str) -> str:
    """Return the database in the path of a URL, `videocloud` when there is none."""
    return urlsplit(url).path.strip("/") or DEFAULT_DATABASE


def options(url: str, database: str | None) -> dict[str, Any]:
    """Return clickhouse-connect's arguments for a URL `http(s)://user:password@host:port/database`."""
    return {
        "dsn": url,
        # The client itself derives TLS from the port only, and would send passwords in plain text on others.
        "interface": "https" if urlsplit(url).scheme in ("https", "clickhouses") else "http",
        "database": database,
        "autogenerate_session_id": False,
        "show_clickhouse_errors": True,
    }


async def connect(
    url: str,
    *,
    connect_timeout: float = 5.0,
    read_timeout: float = SILENCE_SECONDS,
    connections: int = 20,
    name: str = "videocloud-analytics",
    settings: dict[str, Any] | None = None,
    where_known: Mapping[str, str] | None = None,
) -> AsyncClient:
    """Return a client bound to the analytics database of `url`.

    It keeps up to `connections` open and may be shared by tasks of one event loop. Times are in seconds;
    `read_timeout` is how long the server may be silent, unless the URL has `?send_receive_timeout=`.
    `where_known` are settings that are sent only to servers that know them, and let this user change them.
    Raises `Unavailable` when the server does not answer.
    """
    with available():
        client = await clickhouse_connect.get_async_client(
            **options(url, database_of(url)),
            connect_timeout=connect_timeout,
            send_receive_timeout=read_timeout,
            connector_limit=connections,
            connector_limit_per_host=connections,
            client_name=name,
            settings=settings,
        )
    for setting, value in {**_SELECTING, **(where_known or {})}.items():
        known = client.server_settings.get(setting)
        if known is not None and not known.readonly:
            client.set_client_setting(setting, value)
    return client


@contextmanager
def available() -> Iterator[None]:
    """Turn transient failures into `Unavailable`; whether the statement ran is then in doubt.

    All others (invalid SQL, missing rights, a value out of range) are raised as they are.
    """
    try:
        yield
    except Error as error:
        if _may_pass(error):
            raise Unavailable(f"ClickHouse: {error}", "clickhouse") from error
        raise
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"ClickHouse: {str(error) or type(error).__name__}", "clickhouse") from error


def _may_pass(error: Error) -> bool:
    if error.code is not None:
        return error.code in PASSING
    # No answer of ClickHouse: the network failed, or a proxy answered.
    return isinstance(error, OperationalError) or _OF_A_PROXY.match(str(error)) is not None
