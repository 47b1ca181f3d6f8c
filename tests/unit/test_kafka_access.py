"""How clients are let in by Kafka."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

import faust
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from api.settings import Settings as ApiSettings
from deploy.cli import app as cli
from deploy.explain import explain
from sinks.kafka.access import KafkaAccess
from streams.app import _credentials
from streams.settings import Settings as WorkerSettings

PASSWORD = "s3cret-of-the-worker"
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_USERNAME": "worker",
    "KAFKA_SASL_PASSWORD": PASSWORD,
}


def given(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_brokers_that_ask_for_nothing_are_reached_in_plain_text() -> None:
    assert KafkaAccess().kafka("b:1") == {"bootstrap_servers": "b:1", "security_protocol": "PLAINTEXT"}
    assert _credentials(WorkerSettings()) is None


@pytest.mark.parametrize("settings", [KafkaAccess, WorkerSettings, ApiSettings])
def test_worker_and_api_show_the_same_password_in_tls(
    monkeypatch: pytest.MonkeyPatch, settings: type[KafkaAccess]
) -> None:
    given(monkeypatch, SASL)
    access = settings().kafka("b:1")
    context = access.pop("ssl_context")
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert access == {
        "bootstrap_servers": "b:1",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker",
        "sasl_plain_password": PASSWORD,
    }


def test_faust_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

    given(monkeypatch, SASL | {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"})
    settings = WorkerSettings()
    told = dict(credentials_to_aiokafka_auth(_credentials(settings)))
    wanted = settings.kafka("b:1")
    assert isinstance(told.pop("ssl_context"), ssl.SSLContext)
    assert told == {name: wanted[name] for name in told}
    assert {"security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"} == set(told)

    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.delenv("KAFKA_SASL_PASSWORD")
    assert isinstance(_credentials(WorkerSettings()), faust.SSLCredentials)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        (SASL | {"KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SASL_PASSWORD is not used with"),
        ({"KAFKA_SSL_CA": "/ca.pem"}, "KAFKA_SSL_CA and KAFKA_SSL_CERTIFICATE are not used with"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY": "/k.pem"}, "needs its certificate"),
        (SASL | {"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM: Input should be 'PLAIN'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_without_telling_the_password(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], told: str
) -> None:
    given(monkeypatch, environment)
    with pytest.raises(ValidationError) as refused:
        WorkerSettings()
    line = explain(refused.value)
    assert told in line and PASSWORD not in line and "\n" not in line


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, dict.fromkeys(("KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_PASSWORD", "KAFKA_SSL_CA"), ""))
    assert WorkerSettings().kafka("b:1")["security_protocol"] == "PLAINTEXT"


@pytest.mark.parametrize("name", ["KAFKA_SSL_CA", "KAFKA_SSL_CERTIFICATE"])
def test_a_certificate_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    nothing = tmp_path / "nothing.pem"
    given(monkeypatch, {"KAFKA_SECURITY_PROTOCOL": "SSL", name: str(nothing)})
    result = CliRunner().invoke(cli, ["topics"])
    assert isinstance(result.exception, ValueError)
    assert f"{name}={nothing}" in explain(result.exception)
