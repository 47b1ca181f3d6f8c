"""Nodes of Apache Kafka as servers: each is broker and controller (KRaft), its log on disk."""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from deploy.embedded.probes import kafka_answers
from deploy.embedded.process import module_environment
from deploy.embedded.servers import Server

#: Broker port and controller port of a node.
Ports = tuple[int, int]


def cluster_id(data: Path) -> str:
    """Return the id of the cluster whose nodes keep their data below a folder, chosen at the first call."""
    file = data / "cluster-id"
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True)
        # Kafka writes 16 bytes in URL-safe base64; one that began with a dash would look like an option.
        file.write_text(f"k{base64.urlsafe_b64encode(uuid4().bytes)[:21].decode()}")
    return file.read_text()


def nodes(libs: Path, data: Path, ports: Sequence[Ports]) -> list[Server]:
    """Describe the nodes of one cluster on 127.0.0.1, one for each pair of ports.

    Their data below `data` outlives them: started again, a node has its log, and the cluster its id.
    `libs` holds the jars (`jars.fetch`).
    """
    cluster = cluster_id(data)
    voters = ",".join(f"{number}@127.0.0.1:{control}" for number, (_, control) in enumerate(ports, 1))
    servers = []
    for number, (port, control) in enumerate(ports, 1):
        address = f"127.0.0.1:{port}"
        command = [sys.executable, "-m", "deploy.embedded.kafka", "--libs", str(libs.resolve())]
        command += ["--data", str((data / str(number)).resolve()), "--cluster-id", cluster]
        command += ["--node", str(number), "--port", str(port), "--controller-port", str(control)]
        command += ["--voters", voters]
        servers.append(
            Server(
                "broker" if len(ports) == 1 else f"broker-{number}",
                address,
                tuple(command),
                partial(kafka_answers, address),
                stop_grace=20.0,
                environment=module_environment(),
                harmless=("Performing controller activation", "NetworkClient that has already been closed"),
            )
        )
    return servers
