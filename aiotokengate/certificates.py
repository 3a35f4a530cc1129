"""Which certificates are trusted, read when the first connection is made and not at the import.

aiohttp reads them when it is imported; what a program sets after that (``SSL_CERT_FILE`` out of a
``.env``, ``truststore.inject_into_ssl()``) would come too late.
"""

from __future__ import annotations

import ssl

__all__ = ["Trust"]


class Trust:
    """The TLS setting of a session.

    Args:
        given: a context, True for the system's certificates, False for any.
    """

    def __init__(self, given: ssl.SSLContext | bool) -> None:  # noqa: FBT001 - as aiohttp has it
        """Note it; nothing is read."""
        self._context = given

    def context(self) -> ssl.SSLContext | bool:
        """Return what a connector takes; the certificates are read once for each session."""
        if self._context is True:
            made = ssl.create_default_context()
            made.set_alpn_protocols(["http/1.1"])
            self._context = made
        return self._context
