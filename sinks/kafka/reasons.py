"""Why Kafka could not be reached, in one line with what to check.

aiokafka raises the same error for a wrong password, a wrong certificate and a broker that is away; the cause
is only in its log. So the log's last line about each broker is kept here.
"""

from __future__ import annotations

import logging
import re
from typing import Final

#: How aiokafka names its objects in errors.
_BROKER: Final = re.compile(r"\('([^']*)', (\d+), <AddressFamily[^>]*>\)")
_CONNECTION: Final = re.compile(r"<AIOKafkaConnection host=(\S+) port=(\d+)>")
#: Brokers with the same cause are shown together.
_BROKERS_NAME: Final = re.compile(r"^Connection at \S+ closed$|(?<=UnsupportedSaslMechanismError): \S+$")
_UNREACHABLE: Final = frozenset({"KafkaConnectionError", "NodeNotReadyError", "KafkaTimeoutError"})
#: Words of a cause, and what to check.
_CHECKS: Final = (
    ("SaslAuthenticationFailed", "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
    ("UnsupportedSaslMechanism", "the broker does not offer this KAFKA_SASL_MECHANISM"),
    ("ostname mismatch", "KAFKA_BOOTSTRAP_SERVERS must use names that are in the brokers' certificates"),
    ("IP address mismatch", "KAFKA_BOOTSTRAP_SERVERS must use names that are in the brokers' certificates"),
    ("certificate has expired", "renew the broker's certificate"),
    ("CERTIFICATE_VERIFY_FAILED", "KAFKA_SSL_CA must be the CA that signed the brokers' certificates"),
    ("connection closed", "check KAFKA_SECURITY_PROTOCOL: the port may require TLS"),
    ("no answer", "check the address, and KAFKA_SECURITY_PROTOCOL: the port may not know TLS"),
)


class _Reasons(logging.Filter):
    """Keeps why each broker could not be reached, and drops those lines: the error that follows says it."""

    def __init__(self) -> None:
        super().__init__()
        self.by_broker: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith("Unable connect to") or not isinstance(record.args, tuple):
            return True
        *broker, cause = record.args
        text = _CONNECTION.sub(r"\1:\2", " ".join(str(cause).split())).removeprefix("KafkaConnectionError: ")
        self.by_broker[":".join(map(str, broker))] = re.sub(r"^\[Error \d+\] ", "", text) or "no answer"
        return False


_reasons: Final = _Reasons()
_nowhere: Final = logging.NullHandler()


def note_reasons() -> None:
    """Keep from now on what aiokafka logs about brokers that cannot be reached; its other lines go on."""
    logging.getLogger("aiokafka").addFilter(_reasons)


def quieten() -> None:
    """Do the same, and show no line of aiokafka: a command shows only its error."""
    note_reasons()
    logger = logging.getLogger("aiokafka")
    logger.setLevel(logging.ERROR)
    logger.addHandler(_nowhere)
    logger.propagate = False


def unreachable(error: BaseException) -> tuple[str, str] | None:
    """Return why no broker lets the client in, and what to check; None if the error is another one.

    What to check is empty when the brokers are simply not there.
    """
    if type(error).__name__ not in _UNREACHABLE:
        return None
    brokers: dict[str, list[str]] = {}
    for broker, cause in sorted(_reasons.by_broker.items()):
        brokers.setdefault(_BROKERS_NAME.sub("", cause) or "connection closed", []).append(broker)
    text = "; ".join(f"{', '.join(some)}: {cause}" for cause, some in brokers.items())
    text = text or _BROKER.sub(r"\1:\2", " ".join(str(error).split())).removeprefix("KafkaConnectionError: ")
    return text, next((check for words, check in _CHECKS if words in text), "")


def line(error: BaseException) -> str:
    """Return an error of Kafka as one line, with what to check where that is known."""
    found = unreachable(error)
    if found is None:
        text = " ".join(str(error).split()) or type(error).__name__
        lacks = type(error).__name__.endswith("AuthorizationFailedError")
        return f"{text}: the user lacks a right (docs/security.md: Rights in Kafka)" if lacks else text
    text, check = found
    return f"no broker lets us in ({text})" + (f": {check}" if check else "")
