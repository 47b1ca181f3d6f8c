"""Settings for TLS and passwords of Kafka, defined once for all clients."""

from __future__ import annotations

import ssl
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class KafkaAccess(BaseSettings):
    """Environment variables for access to Kafka; worker, API, `vca topics`, agent and traffic share them."""

    model_config = SettingsConfigDict(frozen=True, env_file=None, env_ignore_empty=True, extra="ignore")

    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="Protocol of the brokers' listener: `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.",
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512",
        description="SASL mechanism: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.",
    )
    kafka_sasl_username: str | None = Field(None, description="User, for `SASL_PLAINTEXT` and `SASL_SSL`.")
    kafka_sasl_password: SecretStr | None = Field(None, description="That user's password.")
    kafka_ssl_ca: str | None = Field(
        None,
        description="PEM file of the CA that signed the brokers' certificates; without it, the CAs that the "
        "system trusts.",
    )
    kafka_ssl_certificate: str | None = Field(
        None, description="PEM file of the client's certificate, if the brokers require one."
    )
    kafka_ssl_key: str | None = Field(
        None,
        description="PEM file of that certificate's key; without it, the key is in the certificate's file.",
    )
    kafka_ssl_key_password: SecretStr | None = Field(None, description="Password of an encrypted key.")

    @model_validator(mode="after")
    def _complete(self) -> KafkaAccess:
        """Raise ValueError for settings that contradict each other, as a password that would not be used."""
        protocol = self.kafka_security_protocol
        if self._sasl and not (self.kafka_sasl_username and self.kafka_sasl_password):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={protocol} needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        if not self._sasl and self.kafka_sasl_password:
            raise ValueError(
                f"KAFKA_SASL_PASSWORD is not used with KAFKA_SECURITY_PROTOCOL={protocol}:"
                " set SASL_SSL or SASL_PLAINTEXT, or unset the password"
            )
        if not self._tls and (self.kafka_ssl_ca or self.kafka_ssl_certificate):
            raise ValueError(
                "KAFKA_SSL_CA and KAFKA_SSL_CERTIFICATE are not used with"
                f" KAFKA_SECURITY_PROTOCOL={protocol}: set SSL or SASL_SSL, or unset them"
            )
        if self.kafka_ssl_key and not self.kafka_ssl_certificate:
            raise ValueError("KAFKA_SSL_KEY needs its certificate, KAFKA_SSL_CERTIFICATE")
        return self

    @property
    def _sasl(self) -> bool:
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def _tls(self) -> bool:
        return self.kafka_security_protocol.endswith("SSL")

    def kafka(self, bootstrap: str) -> dict[str, Any]:
        """Return the arguments with which aiokafka's clients reach the brokers of `bootstrap`.

        Reads the certificates; one that cannot be read is a `ValueError` that names its setting.
        """
        access: dict[str, Any] = {
            "bootstrap_servers": bootstrap,
            "security_protocol": self.kafka_security_protocol,
        }
        if self._tls:
            access["ssl_context"] = self._context()
        if self._sasl and self.kafka_sasl_password:
            access["sasl_mechanism"] = self.kafka_sasl_mechanism
            access["sasl_plain_username"] = self.kafka_sasl_username
            access["sasl_plain_password"] = self.kafka_sasl_password.get_secret_value()
        return access

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.kafka_ssl_ca)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"KAFKA_SSL_CA={self.kafka_ssl_ca} cannot be read: {error}") from error
        if self.kafka_ssl_certificate:
            password = self.kafka_ssl_key_password
            try:
                context.load_cert_chain(
                    self.kafka_ssl_certificate,
                    self.kafka_ssl_key,
                    # Without one, OpenSSL would ask the terminal.
                    password.get_secret_value() if password else "",
                )
            except (OSError, ssl.SSLError) as error:
                raise ValueError(
                    f"KAFKA_SSL_CERTIFICATE={self.kafka_ssl_certificate} or its key cannot be read: {error}"
                ) from error
        return context
