"""Why a server does not let a client in: Kafka by what aiokafka logs, the stores by their errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, TopicAuthorizationFailedError

from deploy.explain import explain
from deploy.operations import diagnosis
from sinks.base import Unavailable
from sinks.kafka import reasons

_LOG = logging.getLogger("aiokafka")
_RAISED = KafkaConnectionError("Unable to bootstrap from [('b', 1, <AddressFamily.AF_UNSPEC: 0>)]")


@pytest.fixture(autouse=True)
def noted() -> Iterator[None]:
    reasons.note_reasons()
    reasons._reasons.by_broker.clear()
    yield
    reasons._reasons.by_broker.clear()


def logged(*causes: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log that broker 1 and so on cannot be reached, as aiokafka does."""
    monkeypatch.setattr(_LOG, "level", logging.ERROR)
    for number, cause in enumerate(causes, 1):
        _LOG.error('Unable connect to "%s:%s": %s', f"kafka-{number}", 9093, cause)


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (
            SaslAuthenticationFailed("invalid credentials"),
            "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
        ),
        (
            "[Error 33] UnsupportedSaslMechanismError: <AIOKafkaConnection host=kafka-1 port=9093>",
            "KAFKA_SASL_MECHANISM",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch, not valid for 'x'.",
            "names that",
        ),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired", "renew"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer certificate", "KAFKA_SSL_CA"),
        (KafkaConnectionError("Connection at kafka-1:9093 closed"), "the port may require TLS"),
        (TimeoutError(), "the port may not know TLS"),
    ],
)
def test_the_cause_and_what_to_check_are_told_by_every_command(
    monkeypatch: pytest.MonkeyPatch, cause: object, told: str
) -> None:
    logged(cause, monkeypatch=monkeypatch)
    assert told in reasons.line(_RAISED)
    assert "kafka-1:9093" in explain(_RAISED) and told in explain(_RAISED)
    finding = diagnosis.no_kafka(_RAISED)
    assert finding.verdict == "FAIL" and told in finding.advice


def test_brokers_with_the_same_cause_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [KafkaConnectionError(f"Connection at kafka-{n}:9093 closed") for n in (1, 2)]
    logged(*same, "certificate has expired", monkeypatch=monkeypatch)
    assert "kafka-1:9093, kafka-2:9093: connection closed; kafka-3:9093: certificate" in reasons.line(_RAISED)


def test_brokers_that_are_not_there_and_other_errors_are_told_as_before() -> None:
    assert explain(_RAISED).startswith("no Kafka broker answers (Unable to bootstrap from [b:1])")
    assert reasons.line(SaslAuthenticationFailed("no")) == "[Error 58] SaslAuthenticationFailed: no"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("invalid username-password pair or user is disabled.", "user and password in REDIS_URL"),
        ("this user has no permissions to run the 'info' command", "Rights in Redis"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] Hostname mismatch", "the server's certificate"),
        ("Error while reading: (104, 'Connection reset by peer')", "may require TLS"),
    ],
)
def test_a_store_that_refuses_the_client_is_not_told_of_as_one_that_is_away(text: str, told: str) -> None:
    error = Unavailable(f"Redis: {text}", "redis")
    assert told in explain(error) and "start it" not in explain(error)
    assert told in diagnosis.unreachable("Redis", "REDIS_URL", error).advice
    away = Unavailable("Redis: Connection refused", "redis")
    assert explain(away) == "Redis: Connection refused: start it, or set REDIS_URL"


def test_a_missing_right_is_told_with_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "agent")
    line = explain(TopicAuthorizationFailedError("system.events"))
    assert "system.events: user agent lacks a right" in line and "docs/security.md" in line
