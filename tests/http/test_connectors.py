"""Every socket is looked at before it is made and probed while it is silent; who trusts whom."""

import socket
import ssl
from collections.abc import Iterable
from typing import Any

import aiohttp
import pytest

from aiotokengate._http.connectors import Trust, keep_alive, make_connector, through
from aiotokengate._http.proxies import Proxy

HTTP = Proxy("http", "proxy.test", 8080, "user", "secret")
SOCKS = Proxy("socks5", "proxy.test", 1080)
HEADERS = {"X-Own": "一"}


def test_certificates_are_read_when_they_are_needed() -> None:
    """Once for each session; what was given stands."""
    trust = Trust(True)
    made = trust.context()
    assert isinstance(made, ssl.SSLContext)
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert trust.context() is made
    given = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert Trust(given).context() is given
    assert Trust(False).context() is False


def test_with_certificates_of_the_system_it_is_http_1_that_is_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As aiohttp says it of its own."""
    said: list[list[str]] = []

    class Noted(ssl.SSLContext):
        def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
            said.append([*alpn_protocols])

    monkeypatch.setattr(ssl, "create_default_context", lambda: Noted(ssl.PROTOCOL_TLS_CLIENT))
    assert isinstance(Trust(True).context(), Noted)
    assert said == [["http/1.1"]]


def options_of(made: socket.socket) -> list[int]:
    """Return whether a silent socket is probed, after how long, how often, and how many times."""
    names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    more = [made.getsockopt(socket.IPPROTO_TCP, name) for name in names]
    return [made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *more]


def test_a_silent_socket_is_probed() -> None:
    """The kernel finds out within two minutes that a peer is gone."""
    with socket.socket() as made:
        keep_alive(made)
        assert options_of(made) == [1, 60, 15, 4]


@pytest.mark.parametrize("name", ["TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"])
def test_where_the_kernel_lets_nobody_say_how_often(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is probed as often as the system says."""
    with socket.socket() as made, socket.socket() as as_it_was:
        with monkeypatch.context() as patched:
            patched.delattr(socket, name)
            keep_alive(made)
        expected, before = [1, 60, 15, 4], options_of(as_it_was)
        at = ["", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"].index(name)
        expected[at] = before[at]
        assert options_of(made) == expected


INFO: Any = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))


async def test_each_address_is_looked_at_before_its_socket_is_made() -> None:
    """And may be refused."""
    seen: list[str] = []
    connector = make_connector(None, seen.append)
    connector._socket_factory(INFO).close()  # type: ignore[misc] # as aiohttp calls it
    assert seen == ["127.0.0.1"]
    assert connector.limit == 0  # who may send is decided elsewhere
    await connector.close()


async def test_the_address_of_a_proxy_is_its_users_business() -> None:
    """It is not looked at; what stands behind a SOCKS proxy is."""
    seen: list[str] = []
    connector = make_connector(HTTP, seen.append)
    made = connector._socket_factory(INFO)  # type: ignore[misc] # as aiohttp calls it
    assert options_of(made) == [1, 60, 15, 4]
    assert connector.limit == 0
    made.close()
    await connector.close()
    behind = make_connector(SOCKS, seen.append)
    assert isinstance(behind, aiohttp.TCPConnector)
    assert type(behind) is not type(connector)
    assert behind.limit == 0
    await behind.close()
    assert seen == []


@pytest.mark.parametrize("proxy", [None, SOCKS], ids=["none", "socks"])
def test_a_request_that_goes_by_no_http_proxy_is_as_it_was(proxy: Proxy | None) -> None:
    """A SOCKS proxy belongs to the connection, not to the request."""
    assert through(proxy, "https://a.test/v1", HEADERS) == {"headers": HEADERS}


def test_credentials_are_for_the_proxy_alone() -> None:
    """Where the request is hidden from it, CONNECT holds them, and the host."""
    told = through(HTTP, "https://a.test:444/v1", HEADERS)
    assert told["headers"] == HEADERS
    assert told["proxy_headers"] == {"Host": "a.test:444", **HTTP.headers}
    given = through(HTTP, "https://a.test/v1", {"Host": "b.test"})
    assert given["proxy_headers"]["Host"] == "b.test"


def test_a_request_that_the_proxy_reads_holds_them_itself() -> None:
    """It is the proxy's own request then."""
    told = through(HTTP, "http://a.test/v1", HEADERS)
    assert dict(told["headers"]) == {**HEADERS, **HTTP.headers}
    assert "proxy_headers" not in told


def test_a_proxy_without_credentials_gets_none() -> None:
    told = through(Proxy("http", "proxy.test", 8080), "http://a.test/v1", HEADERS)
    assert told == {"headers": HEADERS, "proxy": told["proxy"]}
    assert str(told["proxy"]) == "http://proxy.test:8080"
