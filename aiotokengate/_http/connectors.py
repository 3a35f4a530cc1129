"""Makes what opens connections: every socket is looked at first, and probed while it is silent.

Certificates are read with the first connection that needs them.  aiohttp reads them when it is
imported, and what a program sets after that (``SSL_CERT_FILE`` out of a ``.env``,
``truststore.inject_into_ssl()``) would come too late.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from aiotokengate._http.connections import GuardedConnector
from aiotokengate._http.proxies import Proxy

__all__ = ["Trust", "keep_alive", "make_connector", "through"]

_IDLE, _INTERVAL, _COUNT = 60, 15, 4


class Trust:
    """Which certificates a session trusts.

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


def make_connector(
    proxy: Proxy | None,
    look: Callable[[str], object],
    **settings: Any,
) -> aiohttp.TCPConnector:
    """Make a connector.

    Args:
        proxy: of SOCKS, through which it connects; one of HTTP is named with each request.
        look: is given each address before it is connected to, but those of proxies; may raise.
        settings: those of ``aiohttp.TCPConnector``.
    """
    if proxy is not None and proxy.is_socks:
        from aiotokengate._http.socks import SocksConnector

        return SocksConnector(proxy, prepare=keep_alive, check=look, limit=0, **settings)
    if proxy is not None:
        return GuardedConnector(limit=0, socket_factory=_keepalive_socket, **settings)

    def made(info: aiohttp.AddrInfoType) -> socket.socket:
        look(str(info[4][0]))
        return _keepalive_socket(info)

    return GuardedConnector(limit=0, socket_factory=made, **settings)


def _keepalive_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    made = socket.socket(family=family, type=kind, proto=protocol)
    keep_alive(made)
    return made


def keep_alive(made: socket.socket) -> None:
    """Have the kernel probe a socket that is silent."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": _IDLE, "TCP_KEEPINTVL": _INTERVAL, "TCP_KEEPCNT": _COUNT}
    for name, value in options.items():
        if hasattr(socket, name):  # macOS and Windows lack some
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def through(proxy: Proxy | None, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """Return what aiohttp is told of headers and an HTTP proxy; who asks it is for it alone.

    A request for http is the proxy's own, and so holds its credentials; one for https is hidden
    from it, and CONNECT holds them.
    """
    if proxy is None or proxy.is_socks:
        return {"headers": headers}
    told: dict[str, Any] = {"headers": headers, "proxy": URL(proxy.url)}
    login = proxy.headers
    if not login:
        return told
    known = CIMultiDict(headers)
    if url.startswith("https:"):
        # With the host, which aiohttp would add later, and then not know the connection again.
        host = known.get("Host") or URL(url).host_port_subcomponent or ""
        told["proxy_headers"] = {"Host": host, **login}
    else:
        known.update(login)
        told["headers"] = known
    return told
