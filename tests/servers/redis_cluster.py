"""A real Redis Cluster on loopback: three primaries that share the slots, without replicas."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from redis import Redis

from deploy.embedded import servers
from deploy.embedded.ports import free_port

NODES: Final = 3
SLOTS: Final = 16_384


def _bus_port(port: int) -> int:
    return port + 10_000


def _ports() -> list[int]:
    """Return free ports whose bus ports, ten thousand above, are free as well."""
    found: set[int] = set()
    while len(found) < NODES:
        port = free_port()
        if _is_free(_bus_port(port)):
            found.add(port)
    return sorted(found)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _node(port: int, data: Path) -> servers.Server:
    server = servers.redis(port, data)
    # A node that is cut off for two seconds counts as failed, so that tests need not wait longer.
    cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    # No data has to outlive the tests.
    return replace(server, command=(*server.command, *cluster, "--appendonly", "no"))


def _form(ports: list[int], timeout: float = 15.0) -> None:
    """Give each node a third of the slots, introduce them, and wait until all of them agree."""
    with ExitStack() as open_:
        nodes: list[Any] = [open_.enter_context(closing(Redis("127.0.0.1", port))) for port in ports]
        for number, node in enumerate(nodes):
            mine = range(number * SLOTS // NODES, (number + 1) * SLOTS // NODES)
            node.execute_command("CLUSTER ADDSLOTS", *mine)
            # Nodes with equal config epochs would have to resolve the conflict after they meet.
            node.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER MEET", "127.0.0.1", port)
        deadline = time.monotonic() + timeout
        while not all(_is_whole(node) for node in nodes):
            assert time.monotonic() < deadline, [node.execute_command("CLUSTER INFO") for node in nodes]
            time.sleep(0.05)


def _is_whole(node: Any) -> bool:
    info: dict[str, str] = node.execute_command("CLUSTER INFO")
    return (info["cluster_state"], info["cluster_size"]) == ("ok", str(NODES))


@contextmanager
def redis_cluster(folder: Path) -> Iterator[str]:
    """Run a cluster and yield the address that `REDIS_URL` takes."""
    ports = _ports()
    with ExitStack() as running:
        for port in ports:
            child = servers.start(_node(port, folder / str(port)), folder)
            running.callback(child.stop, 0)
        _form(ports)
        yield f"redis://127.0.0.1:{ports[0]}/0?cluster=true"
