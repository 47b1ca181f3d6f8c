"""docker-compose.yml as docker compose reads it: variables filled in, YAML merged."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy import env

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text("utf-8")

#: `$$`, or `${NAME}` with `:-default` or `:?message`: all that the file uses.
_VARIABLE = re.compile(r"\$\$|\$\{([A-Z][A-Z0-9_]*)(?::([-?])([^}]*))?\}")


def tool(name: str) -> str:
    """Return the path of a program of the development environment."""
    return str(Path(sys.executable).with_name(name))


def variables() -> dict[str, tuple[str, str]]:
    """Return each variable of the file with its operator (`-`, `?` or none) and what follows it."""
    found: dict[str, tuple[str, str]] = {}
    for match in _VARIABLE.finditer(TEXT):
        if match[1]:
            found.setdefault(match[1], (match[2] or "", match[3] or ""))
    return found


def filled(values: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with its variables filled in; a required variable that is missing is a `KeyError`."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match[1], match[2], match[3]
        if not name:
            return "$"
        if values.get(name):
            return values[name]
        if operator == "-":
            return str(rest)
        raise KeyError(f"{name}: {rest}")

    def fill(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: fill(item) for key, item in node.items()}
        if isinstance(node, list):
            return [fill(item) for item in node]
        return _VARIABLE.sub(value, node) if isinstance(node, str) else node

    loaded: dict[str, Any] = fill(yaml.safe_load(TEXT))
    for service in loaded["services"].values():
        given = service.get("environment", {})
        for name in [name for name, value in given.items() if value is None]:
            # Without a value in the file, it is passed on if it is set.
            if name in values:
                given[name] = values[name]
            else:
                del given[name]
        if replicas := service.get("deploy", {}).get("replicas"):
            # Filling in leaves a text; compose converts it to the number that belongs here.
            service["deploy"]["replicas"] = int(replicas)
    return loaded


def generated() -> dict[str, str]:
    """Return the variables that `make env` generates on a host that has none yet."""
    text, _ = env.completed("")
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def services() -> dict[str, dict[str, Any]]:
    """Return the services, filled in with what `make env` generates."""
    found: dict[str, dict[str, Any]] = filled(generated())["services"]
    return found


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return a service's environment variables."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def of_the_product() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the services that run the product's image."""
    for name, service in services().items():
        if "build" in service:
            yield name, service
