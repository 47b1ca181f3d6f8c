"""Readiness probes, one per protocol; a successful one takes a few milliseconds."""

from __future__ import annotations

import socket
import struct
import urllib.error
import urllib.request
from typing import Any

import redis
from redis.exceptions import RedisClusterException

from sinks.redis.client import address_of

_TIMEOUT = 2.0
# ApiVersions (key 18) version 0, correlation id 1, client id "vca": every Kafka broker answers it.
_API_VERSIONS = struct.pack(">hhih3s", 18, 0, 1, 3, b"vca")


def kafka_answers(bootstrap: str) -> bool:
    """Return whether any broker of `host:port[,host:port...]` speaks Kafka's protocol without TLS."""
    return any(_broker_answers(address.strip()) for address in bootstrap.split(",") if address.strip())


def _broker_answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT) as connection:
            connection.sendall(struct.pack(">i", len(_API_VERSIONS)) + _API_VERSIONS)
            answer = connection.recv(8)
    except (OSError, ValueError):
        return False
    return len(answer) == 8 and answer[4:] == b"\x00\x00\x00\x01"


def port_answers(addresses: str) -> bool:
    """Say whether any `host:port` of a comma-separated list accepts connections (TLS or not)."""
    for address in addresses.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT).close()
        except (OSError, ValueError):
            continue
        return True
    return False


def redis_answers(url: str) -> bool:
    """Say whether the Redis at `url` answers PING; one that is still loading its data does not yet.

    Of a cluster, every node must.
    """
    address, clustered = address_of(url)
    kind: Any = redis.RedisCluster if clustered else redis.Redis
    try:
        with kind.from_url(address, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT) as client:
            return bool(client.ping())
    except (redis.RedisError, RedisClusterException, ValueError, OSError):
        return False


def http_answers(url: str) -> bool:
    """Say whether a GET of `url` gives a 2xx."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:
            return 200 <= int(answer.status) < 300
    except (urllib.error.URLError, OSError, ValueError):
        return False
