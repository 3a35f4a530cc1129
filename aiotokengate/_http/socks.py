"""Connections through a SOCKS proxy (extra ``socks``), otherwise as aiohttp's own.

The proxy is told an address, or with ``socks5h`` and ``socks4a`` the name; TLS goes through it end
to end.  Whatever fails before there is a connection is aiohttp's error for that, so that it is
known that nothing was sent.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import aiohttp_socks
from aiohttp_socks import ProxyConnector, ProxyType

from aiotokengate._http.connections import Guarded

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

    from aiotokengate._http.proxies import Proxy

__all__ = ["SocksConnector"]

_KINDS: Final = {
    "socks4": ProxyType.SOCKS4,
    "socks4a": ProxyType.SOCKS4,
    "socks5": ProxyType.SOCKS5,
    "socks5h": ProxyType.SOCKS5,
}
_REMOTE: Final = ("socks4a", "socks5h")
_REFUSALS: Final = (
    aiohttp_socks.ProxyError,
    aiohttp_socks.ProxyConnectionError,
    aiohttp_socks.ProxyTimeoutError,
    EOFError,  # the proxy closed the connection half-way
    AssertionError,  # python-socks: the proxy chose a way to log in that was not offered
    ValueError,  # python-socks: a host that the proxy's protocol can't say
)


class SocksConnector(Guarded, ProxyConnector):
    """Connects through a SOCKS proxy.

    Args:
        proxy: the proxy.
        prepare: is given each new socket.
        check: looks at the address that the proxy is to connect to, and may raise.
        settings: those of ``aiohttp.TCPConnector``.
    """

    def __init__(
        self,
        proxy: Proxy,
        *,
        prepare: Callable[[socket.socket], object],
        check: Callable[[str], object],
        **settings: Any,
    ) -> None:
        super().__init__(
            proxy.host,
            proxy.port,
            _KINDS[proxy.scheme],
            proxy.user or None,
            proxy.password if proxy.user or proxy.password else None,
            rdns=True,  # names that are to be resolved here were, before
            **settings,
        )
        self._name = proxy.url
        self._is_remote = proxy.scheme in _REMOTE
        self._only_ipv4 = proxy.scheme == "socks4"
        self._prepare = prepare
        self._check = check

    async def _wrap_create_connection(
        self,
        *args: Any,
        req: aiohttp.ClientRequest,
        **settings: Any,
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Connect, and raise what aiohttp raises where no connection comes about."""
        key = req.connection_key
        try:
            return await super()._wrap_create_connection(*args, req=req, **settings)
        except ssl_module.CertificateError as error:
            raise aiohttp.ClientConnectorCertificateError(key, error) from None
        except ssl_module.SSLError as error:
            raise aiohttp.ClientConnectorSSLError(key, error) from None
        except TimeoutError:
            raise
        except OSError as error:
            raise aiohttp.ClientConnectorError(key, error) from None
        except _REFUSALS as error:
            said = str(error) or "it does not speak SOCKS as expected"
            failed = OSError(f"the proxy {self._name} made no connection: {said}")
            raise aiohttp.ClientConnectorError(key, failed) from None

    async def _connect_via_proxy(
        self,
        host: str,
        port: int,
        ssl: ssl_module.SSLContext | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as aiohttp-socks has it
    ) -> tuple[asyncio.Transport, ResponseHandler]:
        """Have the proxy connect, and begin TLS with the name that was asked for."""
        told = host if self._is_remote else await self._resolved(host, port)
        transport, protocol = await super()._connect_via_proxy(told, port, None, timeout)
        try:
            self._prepare(transport.get_extra_info("socket"))
            if ssl is None:
                return transport, protocol
            loop, name = asyncio.get_running_loop(), host.rstrip(".")
            layer = await loop.start_tls(transport, protocol, ssl, server_hostname=name)
        except BaseException:
            transport.abort()
            raise
        assert layer is not None  # noqa: S101 - for the type checker
        protocol.connection_made(layer)
        return layer, protocol

    async def _resolved(self, host: str, port: int) -> str:
        """Return the address of a name; the proxy resolves what can't be resolved here."""
        family = socket.AF_INET if self._only_ipv4 else socket.AF_UNSPEC
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, family=family, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            return host
        address = str(found[0][4][0])
        self._check(address)
        return address
