"""TLS of the end point, and of the collector at its broker."""

from __future__ import annotations

import ssl
from pathlib import Path

from kit.errors import Misconfigured
from kit.settings import Collector, Endpoint


def context(limits: Endpoint) -> ssl.SSLContext | None:
    """The server's side, or None when no certificate is set.

    Raises:
        Misconfigured: the certificate cannot be used.
    """
    if limits.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(limits.tls_certificate, limits.tls_key, password=_no_password)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"The TLS certificate {limits.tls_certificate} cannot be used: {error}"
        ) from error
    return context


def client(broker: Collector) -> ssl.SSLContext | None:
    """The collector's side, or None without TLS. The broker's certificate must be of a known authority and name the
    host that is connected to.

    Raises:
        Misconfigured: a file is set without TLS or without its companion, cannot be read, or does not fit.
    """
    files = {"CA": broker.tls_ca, "CERTIFICATE": broker.tls_certificate, "KEY": broker.tls_key}
    for name, path in files.items():
        if path is not None:
            _usable(name, path, broker)
    if not broker.tls:
        return None
    if (broker.tls_certificate is None) != (broker.tls_key is None):
        raise Misconfigured("MEANTIME_COLLECTOR__TLS_CERTIFICATE and __TLS_KEY belong together: set both.")
    try:
        context = ssl.create_default_context(cafile=broker.tls_ca)
    except ssl.SSLError as error:
        raise Misconfigured(
            f"MEANTIME_COLLECTOR__TLS_CA: {broker.tls_ca} holds no certificate: {error}"
        ) from error
    if broker.tls_certificate is not None:
        try:
            context.load_cert_chain(broker.tls_certificate, broker.tls_key, password=_no_password)
        except ssl.SSLError as error:
            raise Misconfigured(
                f"MEANTIME_COLLECTOR__TLS_CERTIFICATE {broker.tls_certificate} and __TLS_KEY {broker.tls_key} are no "
                f"certificate with its key (without a password): {error}"
            ) from error
    return context


def _usable(name: str, path: Path, broker: Collector) -> None:
    if not broker.tls:
        raise Misconfigured(
            f"MEANTIME_COLLECTOR__TLS_{name} is set, but MEANTIME_COLLECTOR__TLS is not true."
        )
    try:
        path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"MEANTIME_COLLECTOR__TLS_{name} cannot be read: {error}") from error


def _no_password() -> str:
    """An encrypted key would ask for its password on a terminal that nobody looks at."""
    return ""
