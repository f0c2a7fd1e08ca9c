"""TLS of the end point."""

from __future__ import annotations

import ssl

from kit.errors import Misconfigured
from kit.settings import Endpoint


def context(limits: Endpoint) -> ssl.SSLContext | None:
    """The server's side, or None when no certificate is set.

    Raises:
        Misconfigured: the certificate cannot be used.
    """
    if limits.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would ask for its password on a terminal that nobody looks at.
        context.load_cert_chain(limits.tls_certificate, limits.tls_key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"The TLS certificate {limits.tls_certificate} cannot be used: {error}"
        ) from error
    return context
