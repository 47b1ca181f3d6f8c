"""Apache Kafka without Docker: what is said when it cannot be had, and what a node is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from deploy.embedded.kafka import jars
from deploy.embedded.kafka.__main__ import properties
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.servers import ServerMissingError
from streams.settings import Settings
from streams.topics import MAX_RECORD_BYTES


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of its own with nothing on it but a shell, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "mkdir", "touch"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def java(folder: Path, version: str) -> None:
    program(folder, "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


def test_it_says_what_is_missing(programs: Path) -> None:
    assert jars.missing() == "Apache Kafka needs Java 17 or newer, and there is no `java` on PATH"
    java(programs, "11.0.2")
    assert jars.missing() == "Apache Kafka needs Java 17 or newer, and `java` on PATH is 11"
    java(programs, "21")
    assert jars.missing() == "Apache Kafka's jars are fetched by Maven, and there is no `mvn` on PATH"
    program(programs, "mvn", "exit 0")
    assert jars.missing() is None


def test_jars_that_are_there_need_no_maven(programs: Path) -> None:
    java(programs, "17.0.15")
    jars.folder().mkdir(parents=True)
    assert jars.missing() is None
    assert jars.fetch() == jars.folder()


def test_a_fetch_that_fails_leaves_nothing_and_tells_what_maven_said(programs: Path) -> None:
    java(programs, "17.0.15")
    program(programs, "mvn", "echo 'no route to the repository'; exit 1")
    with pytest.raises(ServerMissingError, match="no route to the repository"):
        jars.fetch()
    assert list(jars.folder().parent.iterdir()) == []


def test_a_fetch_appears_whole(programs: Path) -> None:
    java(programs, "17.0.15")
    get = 'for a in "$@"; do case "$a" in -DoutputDirectory=*) d="${a#*=}";; esac; done'
    program(programs, "mvn", f'{get}; mkdir -p "$d"; touch "$d/kafka_2.13-{jars.VERSION}.jar"')
    assert [file.name for file in jars.fetch().iterdir()] == [f"kafka_2.13-{jars.VERSION}.jar"]
    assert list(jars.folder().parent.iterdir()) == [jars.folder()]


def test_a_cluster_keeps_its_id_and_each_node_its_folder(tmp_path: Path) -> None:
    ports = [(20_001, 20_002), (20_003, 20_004), (20_005, 20_006)]
    first, again = nodes(tmp_path, tmp_path / "data", ports), nodes(tmp_path, tmp_path / "data", ports)
    assert [server.command for server in first] == [server.command for server in again]
    assert [server.name for server in first] == ["broker-1", "broker-2", "broker-3"]
    assert len({server.command[server.command.index("--data") + 1] for server in first}) == 3


def test_a_node_listens_to_this_machine_only_and_keeps_three_replicas_if_it_can() -> None:
    alone = properties(Path("/data"), 1, 20_001, 20_002, "1@127.0.0.1:20002")
    assert alone["listeners"] == "CLIENTS://127.0.0.1:20001,NODES://127.0.0.1:20002"
    assert alone["offsets.topic.replication.factor"] == "1"
    assert int(alone["message.max.bytes"]) == MAX_RECORD_BYTES
    # Records are as old as their events: those that the pipeline still takes are not to be deleted before.
    kept = timedelta(hours=int(alone["log.retention.hours"]))
    assert kept >= timedelta(days=Settings.model_fields["raw_retention_days"].default)
    voters = "1@127.0.0.1:2,2@127.0.0.1:4,3@127.0.0.1:6"
    assert properties(Path("/data"), 2, 3, 4, voters)["offsets.topic.replication.factor"] == "3"
