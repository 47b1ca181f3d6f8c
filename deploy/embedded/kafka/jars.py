"""Apache Kafka's jars: fetched once by Maven, kept in the user's cache folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from deploy.embedded.servers import ServerMissingError

VERSION: Final = "4.3.1"
_JAVA: Final = 17
_FETCH_SECONDS: Final = 600.0
_PLUGIN: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
#: The broker, and what prints its log lines.
_ARTIFACTS: Final = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.slf4j", "slf4j-simple", "1.7.36"),
)


def folder() -> Path:
    """Return where the jars are kept, there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "videocloud-analytics" / f"kafka-{VERSION}"


def missing() -> str | None:
    """Say in a sentence what this machine lacks to run Apache Kafka; None when it lacks nothing."""
    version = _java_version()
    if version is None:
        return f"Apache Kafka needs Java {_JAVA} or newer, and there is no `java` on PATH"
    if version < _JAVA:
        return f"Apache Kafka needs Java {_JAVA} or newer, and `java` on PATH is {version}"
    if not folder().exists() and shutil.which("mvn") is None:
        return "Apache Kafka's jars are fetched by Maven, and there is no `mvn` on PATH"
    return None


def fetch() -> Path:
    """Return the folder of the jars, fetching them when they are not there (44 MB).

    The folder appears whole or not at all, so that runs side by side do no harm. Raises
    `ServerMissingError`, whose text says what to do.
    """
    target = folder()
    if target.exists():
        return target
    if reason := missing():
        raise ServerMissingError(f"{reason}: install it, or set KAFKA_BOOTSTRAP_SERVERS to a real Kafka")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".kafka-{VERSION}-", dir=target.parent) as draft:
        pom, libs = Path(draft, "pom.xml"), Path(draft, "libs")
        pom.write_text(_pom())
        command = ["mvn", "-B", "-q", "-ntp", "-C", "-f", str(pom), f"{_PLUGIN}:copy-dependencies"]
        command += [f"-DoutputDirectory={libs}", "-DincludeScope=runtime"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ServerMissingError(
                f"Maven did not fetch Apache Kafka within {_FETCH_SECONDS:g} s: try again"
            ) from error
        if done.returncode != 0 or not any(libs.glob("kafka_2.13-*.jar")):
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise ServerMissingError(f"Maven could not fetch Apache Kafka {VERSION}. It said:\n{said}")
        try:
            libs.rename(target)
        except OSError:
            if not target.exists():  # Another run was faster, and its folder is as good.
                raise
    return target


def _java_version() -> int | None:
    if shutil.which("java") is None:
        return None
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else None


def _pom() -> str:
    wanted = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in _ARTIFACTS
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>videocloud</groupId><artifactId>kafka</artifactId><version>1</version>"
        f"<dependencies>{wanted}</dependencies></project>"
    )
