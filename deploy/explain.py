"""Errors of commands as one line that says what to do."""

from __future__ import annotations

import os
import re

from pydantic import ValidationError

_SECRET = re.compile("KEY|SECRET|PASSWORD|TOKEN|URL")
_ADDRESS = {"redis": "REDIS_URL", "clickhouse": "CLICKHOUSE_URL", "kafka": "KAFKA_BOOTSTRAP_SERVERS"}
_KAFKA_ACCESS = "whether KAFKA_SECURITY_PROTOCOL, password and certificates are those that it requires"


def _settings(error: ValidationError) -> str:
    """Name the environment variable of each field that a Settings class rejected, without secrets."""
    problems = []
    for problem in error.errors():
        name = ".".join(map(str, problem["loc"])).upper()
        if not name:  # settings that contradict each other: its input is all of them, with the passwords
            problems.append(problem["msg"].removeprefix("Value error, "))
            continue
        shown = "" if _SECRET.search(name) else f" (it is {problem['input']!r})"
        problems.append(f"{name}: {problem['msg']}{shown}")
    return "wrong setting in the environment: " + "; ".join(problems)


def _kafka(error: Exception, text: str) -> str:
    # Only here: where aiokafka raised an error, its libraries are loaded.
    from sinks.kafka.reasons import unreachable

    if type(error).__name__.endswith("AuthorizationFailedError"):
        user = os.environ.get("KAFKA_SASL_USERNAME") or "of this client"
        return f"{text}: user {user} lacks a right (docs/security.md: Rights in Kafka)"
    if (found := unreachable(error)) is None:
        return text
    why, check = found
    if not check and os.environ.get("KAFKA_SECURITY_PROTOCOL"):
        check = f"check KAFKA_BOOTSTRAP_SERVERS, and {_KAFKA_ACCESS}"
    if check:
        return f"no Kafka broker lets us in ({why}): {check}"
    return f"no Kafka broker answers ({why}): start one with `vca up`, or set KAFKA_BOOTSTRAP_SERVERS"


def explain(error: Exception) -> str:
    """Return one line for an error that ended a command.

    Errors are told apart by the name of their class and module, so that nothing is imported to explain what
    never ran.
    """
    kind, module = type(error).__name__, type(error).__module__.split(".")[0]
    text = " ".join(str(error).split()) or kind
    if isinstance(error, ValidationError):
        return _settings(error)
    if module == "aiokafka":
        return _kafka(error, text)
    if module == "redis" and kind in ("ConnectionError", "TimeoutError", "BusyLoadingError"):
        return f"no Redis answers ({text}): start one with `vca up`, or set REDIS_URL"
    if module == "clickhouse_connect" and kind == "OperationalError":
        return f"no ClickHouse answers ({text}): start one with `vca up`, or set CLICKHOUSE_URL"
    if module == "sinks" and kind == "Unavailable" and (setting := _ADDRESS.get(getattr(error, "store", ""))):
        return f"{text.rstrip('.')}: start it, or set {setting}"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: install the project with `make install`"
    if isinstance(error, ConnectionError | TimeoutError):
        return f"{text}: is the server there? `vca up` starts all that are needed"
    return text
