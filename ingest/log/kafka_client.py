"""What all connections to Kafka have in common: the client's settings from ours, and what its errors mean.

A password goes into the client's settings and nowhere else; the client's own words about a refused login, which are
passed on, name the server and the mechanism and never the password.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kit import logs
from kit.errors import MeantimeError, Misconfigured, Unavailable
from kit.settings import Kafka

log = logs.get(__name__)
RECENT = 30.0  # seconds for which what was said of a login or a certificate explains a call that fails


def config(given: Kafka, name: str, said: Said) -> dict[str, Any]:
    """Settings of librdkafka for any of its clients.

    Raises:
        Misconfigured: a part of the login is missing, or a file of TLS.
    """
    return {
        "bootstrap.servers": given.servers, "client.id": name, "log_level": 2, "error_cb": said,
        "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000, "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
        "security.protocol": ("SASL_" if given.username is not None else "") + ("SSL" if given.tls else "PLAINTEXT"),
    } | _login(given) | _tls(given)  # fmt: skip


def _login(given: Kafka) -> dict[str, Any]:
    if (given.username is None) != (given.password is None):
        there, missing = ("USERNAME", "PASSWORD") if given.password is None else ("PASSWORD", "USERNAME")
        raise Misconfigured(
            f"MEANTIME_KAFKA__{there} is set, MEANTIME_KAFKA__{missing} is not: a login needs both."
        )
    if given.username is None or given.password is None:
        return {}
    return {
        "sasl.mechanism": given.mechanism,
        "sasl.username": given.username,
        "sasl.password": given.password.get_secret_value(),
    }


def _tls(given: Kafka) -> dict[str, Any]:
    files = {
        "ssl.ca.location": ("TLS_CA", given.tls_ca),
        "ssl.certificate.location": ("TLS_CERTIFICATE", given.tls_certificate),
        "ssl.key.location": ("TLS_KEY", given.tls_key),
    }
    settings = {}
    for name, (variable, path) in files.items():
        if path is None:
            continue
        if not given.tls:
            raise Misconfigured(f"MEANTIME_KAFKA__{variable} is set, but MEANTIME_KAFKA__TLS is not true.")
        settings[name] = _readable(variable, path)
    if (given.tls_certificate is None) != (given.tls_key is None):
        raise Misconfigured("MEANTIME_KAFKA__TLS_CERTIFICATE and __TLS_KEY belong together: set both.")
    return settings


def _readable(variable: str, path: Path) -> str:
    try:
        path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"MEANTIME_KAFKA__{variable} cannot be read: {error}") from error
    return str(path)


class Said:
    """Called by the client with what happens to its connections; keeps what tells an operator why nothing works."""

    def __init__(self, given: Kafka) -> None:
        self._given = given
        self._reason: str | None = None
        self._at = 0.0

    def __call__(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        log.debug("kafka", error=str(error))
        login = f"The login {self._given.username!r} by {self._given.mechanism} is refused"
        words = {KafkaError._AUTHENTICATION: login, KafkaError._SSL: "TLS fails"}
        if error.code() in words:
            self._reason, self._at = f"{words[error.code()]}: {error.str()}", time.monotonic()

    def failure(self, error: object) -> MeantimeError:
        """What to raise for a call that failed: with the reason that was told lately, if there is one."""
        told = self._reason if time.monotonic() - self._at < RECENT else None
        return Unavailable(f"Kafka: {told or error}")


def made(make: Any, settings: dict[str, Any]) -> Any:
    """A client.

    Raises:
        Misconfigured: it does not accept its settings, for example because a certificate is not one.
    """
    from confluent_kafka import KafkaException

    try:
        return make(settings)
    except KafkaException as error:
        raise Misconfigured(f"Kafka's client refuses the MEANTIME_KAFKA__… settings: {error}") from error
