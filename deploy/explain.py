"""Errors of commands as one line that says what to do."""

from __future__ import annotations

import os
import re

from pydantic import ValidationError

_SECRET = re.compile("KEY|SECRET|PASSWORD|TOKEN|URL")
_ADDRESS = {"redis": "REDIS_URL", "clickhouse": "CLICKHOUSE_URL", "kafka": "KAFKA_BOOTSTRAP_SERVERS"}
_MODULES = {"redis": "REDIS_URL", "clickhouse_connect": "CLICKHOUSE_URL"}
_KAFKA_ACCESS = "whether KAFKA_SECURITY_PROTOCOL, password and certificates are those that it requires"


# Words of a store's error, and what to check; the first that fits.
_STORE_CHECKS = (
    ("CERTIFICATE_VERIFY_FAILED", "check the server's certificate, its name in {0}, and the CA in {0}"),
    ("WRONG_VERSION_NUMBER", "the server speaks no TLS there: check scheme and port of {0}"),
    ("reset by peer", "the server may require TLS: check scheme and port of {0}"),
    ("isconnected", "the server may require TLS: check scheme and port of {0}"),
    ("Connection closed by server", "the server may require TLS: check scheme and port of {0}"),
    ("AUTHENTICATION_FAILED", "check user and password in {0}"),
    ("username-password", "check user and password in {0}"),
    ("uthentication required", "{0} needs a user and a password"),
    ("no permissions to", "the user in {0} lacks a right: docs/security.md has the rule (Rights in Redis)"),
    ("MISCONF", "see Redis' log and its disk space"),
    ("ACCESS_DENIED", "the user in {0} lacks a right: docs/security.md says which (Rights in ClickHouse)"),
)


def store_check(text: str, variable: str) -> str | None:
    """Return what to check when Redis or ClickHouse refuses a client; None when the server may be away.

    `text` is the error, `variable` the setting of the server's address.
    """
    return next((check.format(variable) for words, check in _STORE_CHECKS if words in text), None)


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
    setting = _ADDRESS.get(getattr(error, "store", "")) or _MODULES.get(module)
    if setting and (check := store_check(text, setting)):
        return f"{text.rstrip('.')}: {check}"
    if module == "redis" and kind in ("ConnectionError", "TimeoutError", "BusyLoadingError"):
        return f"no Redis answers ({text}): start one with `vca up`, or set REDIS_URL"
    if module == "clickhouse_connect" and kind == "OperationalError":
        return f"no ClickHouse answers ({text}): start one with `vca up`, or set CLICKHOUSE_URL"
    if module == "sinks" and kind == "Unavailable" and setting:
        return f"{text.rstrip('.')}: start it, or set {setting}"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: install the project with `make install`"
    if isinstance(error, ConnectionError | TimeoutError):
        return f"{text}: is the server there? `vca up` starts all that are needed"
    return text
