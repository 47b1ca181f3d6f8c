"""Print the Secrets of deploy/kubernetes with passwords of its own, for servers that run in the cluster.

    python3 deploy/kubernetes/passwords.py | kubectl create --namespace videocloud -f -

`kubectl create` refuses what is there already, so no password is ever replaced. For servers elsewhere write
the Secrets yourself: the same names and keys, with addresses and passwords of those servers. Kafka's are not
here: Strimzi makes them. Nothing but Python is needed.
"""

from __future__ import annotations

import json
import sys
from secrets import token_hex
from typing import Any

#: Where ClickHouse and Redis are reached when the components altinity and redis run them.
CLICKHOUSE = "clickhouse-videocloud:8123/videocloud"
REDIS = "redis:6379/0"


def secrets() -> dict[str, dict[str, str]]:
    """Return the content of each Secret by its name."""
    redis, api, export = token_hex(24), token_hex(24), token_hex(24)
    users = {user: token_hex(24) for user in ("owner", "writer", "reader", "analyst")}
    urls = {f"{user}-url": f"http://{user}:{password}@{CLICKHOUSE}" for user, password in users.items()}
    return {
        "videocloud-api": {"key": api, "export-secret": export},
        "videocloud-redis": {"password": redis, "url": f"redis://:{redis}@{REDIS}"},
        "videocloud-clickhouse": {**users, **urls},
    }


def manifest() -> dict[str, Any]:
    """Return a List of Secrets for kubectl."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "videocloud-analytics"}},
            "type": "Opaque",
            "stringData": content,
        }
        for name, content in secrets().items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


if __name__ == "__main__":
    json.dump(manifest(), sys.stdout, indent=2)
