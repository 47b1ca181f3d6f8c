"""`make env`: write .env for docker-compose.yml, with passwords of its own.

Run as a file, `python3 deploy/env.py [FILE]`: nothing but Python is needed. What a file already says is
never changed; only variables that it lacks are added, so that it may run again after an upgrade.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Final

_HEAD: Final = """\
# Read by docker compose. Made by `make env`, readable by this user only: keep it out of backups that
# others can read, and out of version control. `make env` adds what is missing and changes nothing.
"""


def _secret() -> str:
    """Return 192 random bits in hexadecimal, which need no quoting in a URL, shell or configuration file."""
    return token_hex(24)


def _cluster_id() -> str:
    """Return a Kafka cluster id: 16 bytes in URL-safe base64 that do not begin with a dash."""
    return "v" + base64.urlsafe_b64encode(token_bytes(16)).decode()[:21]


#: Variables that are made, each with its note.
MADE: Final[Mapping[str, tuple[str, Callable[[], str]]]] = {
    "API_KEY": ("Opens the whole API. More keys: docker compose run --rm api keys create NAME", _secret),
    "EXPORT_SECRET": ("Signs the links to exports.", _secret),
    "KAFKA_CLUSTER_ID": ("Names Kafka's log. Never change it: another id is another log.", _cluster_id),
    "KAFKA_PASSWORD": ("Kafka's user videocloud: worker, API, agent, topics.", _secret),
    "KAFKA_PRODUCER_PASSWORD": ("Kafka's user producer: for those who send events.", _secret),
    "REDIS_PASSWORD": ("Redis.", _secret),
    "CLICKHOUSE_OWNER_PASSWORD": ("ClickHouse's user owner: vca migrate.", _secret),
    "CLICKHOUSE_WRITER_PASSWORD": ("ClickHouse's user writer: vca worker.", _secret),
    "CLICKHOUSE_READER_PASSWORD": ("ClickHouse's user reader: vca api.", _secret),
    "ANALYST_PASSWORD": ("ClickHouse's user analyst: SQL of your own, and Grafana.", _secret),
    "GRAFANA_PASSWORD": ("Grafana's user admin (profile grafana), at its first start.", _secret),
    "S3_ACCESS_KEY": (
        "The object store of the profile s3, or that of EXPORT_S3_ENDPOINT.",
        lambda: token_hex(10),
    ),
    "S3_SECRET_KEY": ("", _secret),
}

#: Optional variables with their defaults, written as comments.
CHOICES: Final[Mapping[str, str]] = {
    "WORKERS": "1",
    "TOPIC_PARTITIONS": "12",
    "RAW_RETENTION_DAYS": "180",
    "ROLLUP_RETENTION_DAYS": "1100",
    "KAFKA_RETENTION_HOURS": "168",
    "REDIS_MAXMEMORY": "1gb",
    "CLICKHOUSE_MEMORY": "4g",
    "WORKER_MEMORY": "2g",
    "API_MEMORY": "1g",
    "API_PORT": "8000",
    "CLICKHOUSE_PORT": "8123",
    "KAFKA_PORT": "9094",
    "GRAFANA_PORT": "3000",
    "PROMETHEUS_PORT": "9090",
    "PROMETHEUS_RETENTION": "30d",
    "ALERT_PAGE_URL": "",
    "ALERT_TICKET_URL": "",
    "ALERTMANAGER_CONFIG": "./deploy/prometheus/alertmanager.yml",
    "ALERTMANAGER_PORT": "9093",
    "PUBLIC_URL": "",
    "CORS_ORIGINS": "",
    "EXPORT_S3_URL": "",
    "EXPORT_S3_ENDPOINT": "http://s3:8333",
    "EXPORT_S3_PUBLIC_ENDPOINT": "http://127.0.0.1:8333",
    "EXPORT_S3_REGION": "us-east-1",
    "S3_PORT": "8333",
    "RATE_LIMIT": "600/minute",
    "LOG_LEVEL": "INFO",
    "HOST_NAME": "docker-host",
    "NO_PROXY": "",
    "VCA_IMAGE": "videocloud-analytics:0.1.0",
}


def completed(text: str) -> tuple[str, list[str]]:
    """Return what a file must say, given what it says, and the names of the passwords that were made.

    A variable that is set to nothing counts as missing, as it does for compose.
    """
    given = set(re.findall(r"^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)=\S", text, re.MULTILINE))
    mentioned = given | set(re.findall(r"^#\s*([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))
    added: list[str] = [] if text else [_HEAD]
    made = [name for name in MADE if name not in given]
    for name in made:
        note, make = MADE[name]
        added += [*([f"# {note}"] if note else []), f"{name}={make()}"]
    choices = [f"# {name}={value}" for name, value in CHOICES.items() if name not in mentioned]
    if choices:
        added += ["", "# What you may change, with what holds now.", *choices]
    if not added:
        return text, []
    before = text if not text or text.endswith("\n") else f"{text}\n"
    return before + "\n".join(added) + "\n", made


def write(file: Path) -> list[str]:
    """Complete a file, readable by this user only; return the names of the passwords that were made."""
    text = file.read_text("utf-8") if file.exists() else ""
    wanted, made = completed(text)
    if wanted != text:
        draft = file.with_name(f"{file.name}.new")
        draft.unlink(missing_ok=True)
        # Never readable by others, not even for a moment; written atomically.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(wanted)
        draft.replace(file)
    elif file.stat().st_mode & 0o077:
        file.chmod(0o600)
    return made


def main(arguments: list[str]) -> int:
    """Write the file and print what was done; return the exit code."""
    file = Path(arguments[0] if arguments else ".env")
    made = write(file)
    said = f"wrote {', '.join(made)}" if made else "nothing to add"
    sys.stdout.write(f"{file}: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
