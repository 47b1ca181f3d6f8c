"""Errors of commands as one line that says what to do."""

from __future__ import annotations

import os
import re

from pydantic import ValidationError

_SECRET = re.compile("KEY|SECRET|PASSWORD|TOKEN|URL")
_ADDRESS = {"redis": "REDIS_URL", "clickhouse": "CLICKHOUSE_URL", "kafka": "KAFKA_BOOTSTRAP_SERVERS"}
# How aiokafka names a broker.
_BROKER = re.compile(r"\('([^']*)', (\d+), <AddressFamily[^>]*>\)")
# The client reports the same error for a wrong password, a wrong certificate and an unreachable broker.
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


def explain(error: Exception) -> str:
    """Return one line for an error that ended a command.

    Errors are told apart by the name of their class and module, so that nothing is imported to explain what
    never ran.
    """
    kind, module = type(error).__name__, type(error).__module__.split(".")[0]
    text = " ".join(str(error).split()) or kind
    if isinstance(error, ValidationError):
        return _settings(error)
    if module == "aiokafka" and kind in ("KafkaConnectionError", "NodeNotReadyError", "KafkaTimeoutError"):
        text = _BROKER.sub(r"\1:\2", text).removeprefix(f"{kind}: ")
        if os.environ.get("KAFKA_SECURITY_PROTOCOL"):
            return f"no Kafka broker lets us in ({text}): check KAFKA_BOOTSTRAP_SERVERS, and {_KAFKA_ACCESS}"
        return f"no Kafka broker answers ({text}): start one with `vca up`, or set KAFKA_BOOTSTRAP_SERVERS"
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
