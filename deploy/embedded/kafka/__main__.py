"""Run one node of Apache Kafka: format its folder the first time, then become the Java process."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

#: A node of a laptop or a test: a small heap, and a start that is quick rather than a peak that is high.
_JAVA: Final = (
    "java",
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.embedded.kafka", description=__doc__)
    parser.add_argument("--libs", type=Path, required=True, help="folder of Kafka's jars")
    parser.add_argument("--data", type=Path, required=True, help="folder of this node's log")
    parser.add_argument("--cluster-id", required=True, help="id of the cluster, the same for all its nodes")
    parser.add_argument("--node", type=int, default=1, help="number of this node")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1 for clients")
    parser.add_argument("--controller-port", type=int, required=True, help="port for the other nodes")
    parser.add_argument("--voters", required=True, help="all nodes, NUMBER@HOST:CONTROLLER_PORT,...")
    return parser.parse_args()


def properties(data: Path, node: int, port: int, controller_port: int, voters: str) -> dict[str, str]:
    """Return the node's configuration."""
    replicas = str(min(3, voters.count(",") + 1))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "listeners": f"CLIENTS://127.0.0.1:{port},NODES://127.0.0.1:{controller_port}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,NODES:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "NODES",
        "log.dirs": str(data / "log"),
        "auto.create.topics.enable": "false",
        # As large as the worker takes them.
        "message.max.bytes": str(16 * 1024 * 1024),
        "replica.fetch.max.bytes": str(17 * 1024 * 1024),
        # It goes by the records' own times: the demo's history would be deleted before it is read.
        "log.retention.hours": str(180 * 24),
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": "1",
        # One laptop: its workers start together, and one that died is missed soon.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def main() -> None:
    """Write the configuration, format the folder unless it was, and run the node in this process."""
    arguments = _arguments()
    data: Path = arguments.data
    data.mkdir(parents=True, exist_ok=True)
    values = properties(data, arguments.node, arguments.port, arguments.controller_port, arguments.voters)
    config = data / "server.properties"
    config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    java = [*_JAVA, "-cp", f"{arguments.libs}/*"]
    formatted = data / "formatted"
    if not formatted.exists():
        tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        tool += ["-t", arguments.cluster_id, "-c", str(config)]
        if code := subprocess.run(tool, check=False).returncode:
            sys.exit(code)
        formatted.touch()
    os.execvp(java[0], [*java, "kafka.Kafka", str(config)])


if __name__ == "__main__":
    main()
