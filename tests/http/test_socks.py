"""SOCKS proxies: what they are told, and that everything else is as without them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import Any

import aiohttp
import pytest
import trustme

from aiotokengate import CallerError, ConnectFailed, Retry, TokenGate, TokenGateError
from aiotokengate._http.proxies import Proxy
from aiotokengate._http.socks import SocksConnector
from aiotokengate.testing import FakeGateway, Raw, ScriptedReply
from tests.support.common import sockets
from tests.support.socks_server import SocksServer, socks_server

MODEL = "qwen3.6-max-preview"
ONCE = Retry(attempts=1)
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name no proxy."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let ``gateway.test`` be an address of loopback, and note what is asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(str(host))
        return real("127.0.0.1" if host == "gateway.test" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def port_of(gateway: FakeGateway) -> int:
    return int(gateway.base_url.rpartition(":")[2].partition("/")[0])


def through(proxy: SocksServer, gateway: FakeGateway, scheme: str, **settings: Any) -> TokenGate:
    url = proxy.url(scheme, settings.pop("login", ""))
    address = "http://gateway.test/v1"
    return TokenGate(api_key=gateway.api_key, base_url=address, proxy=url, retry=ONCE, **settings)


@pytest.mark.parametrize(
    ("scheme", "version", "host"),
    [
        ("socks5", 5, "127.0.0.1"),
        ("socks", 5, "127.0.0.1"),
        ("SOCKS5", 5, "127.0.0.1"),
        ("socks5h", 5, "gateway.test"),
        ("socks4", 4, "127.0.0.1"),
        ("socks4a", 4, "gateway.test"),
    ],
)
async def test_each_kind(
    gateway: FakeGateway, resolved: list[str], scheme: str, version: int, host: str
) -> None:
    """Names are resolved here, or by the proxy where the scheme says so."""
    async with socks_server(port_of(gateway)) as proxy, through(proxy, gateway, scheme) as gate:
        assert (await gate.chat(MODEL, "你好 👋")).status == "complete"
    assert proxy.asked == [(host, 80)]
    assert set(proxy.versions) == {version}
    assert ("gateway.test" in resolved) == (host == "127.0.0.1")
    assert gateway.requests[0].headers["Host"] == "gateway.test"


@pytest.mark.parametrize("variable", ["all_proxy", "ALL_PROXY", "http_proxy"])
async def test_out_of_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    async with socks_server(port_of(gateway)) as proxy:
        monkeypatch.setenv(variable, proxy.url("socks5h"))
        address = "http://gateway.test/v1"
        async with TokenGate(api_key=gateway.api_key, base_url=address) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        monkeypatch.setenv("NO_PROXY", "*.0.0.1")
        async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert proxy.asked == [("gateway.test", 80)]


async def test_a_name_that_only_the_proxy_knows(gateway: FakeGateway) -> None:
    """What can't be resolved here is left to the proxy."""
    async with socks_server(port_of(gateway)) as proxy:
        address = "http://nowhere.invalid/v1"
        url = proxy.url("socks5")
        async with TokenGate(api_key=gateway.api_key, base_url=address, proxy=url) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert proxy.asked == [("nowhere.invalid", 80)]


async def test_with_a_password(gateway: FakeGateway) -> None:
    """It may be percent-encoded; a wrong one is told, and not shown."""
    login = ("bot", "passw0rd/1")
    async with socks_server(port_of(gateway), login) as proxy:
        async with through(proxy, gateway, "socks5h", login="bot:passw0rd%2F1@") as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        for wrong in ("bot:geheim99@", ""):
            async with through(proxy, gateway, "socks5h", login=wrong) as gate:
                with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1") as raised:
                    await gate.chat(MODEL, "嗨")
                assert "geheim99" not in f"{raised.value} {raised.value!r} {gate!r}"
    assert len(gateway.requests) == 1


@pytest.mark.parametrize(
    "answer", [b"\x05\x05\x00\x01" + bytes(6), b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05"]
)
async def test_a_proxy_that_does_not_connect(gateway: FakeGateway, answer: bytes) -> None:
    """Nothing was sent, and so it may be tried again; the key never went out."""
    async with (
        socks_server(port_of(gateway), answer=answer) as proxy,
        through(proxy, gateway, "socks5h") as gate,
    ):
        with pytest.raises(ConnectFailed, match="made no connection"):
            await gate.chat(MODEL, "嗨")
        with pytest.raises(ConnectFailed) as raised:
            await gate.chat(MODEL, "嗨", retry=Retry(attempts=2, max_wait=0))
    assert len(raised.value.attempts) == 2
    assert len(proxy.asked) == 3
    assert not gateway.requests


async def test_a_proxy_that_is_not_there(gateway: FakeGateway) -> None:
    async with socks_server(port_of(gateway)) as proxy:
        pass
    async with through(proxy, gateway, "socks5h") as gate:
        with pytest.raises(ConnectFailed, match=f"127.0.0.1:{proxy.place}"):
            await gate.chat(MODEL, "嗨")


async def test_tls_goes_through_end_to_end() -> None:
    """The certificate is the gateway's own, for the name that was asked, and is checked."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("gateway.test").configure_cert(server)
    authority.configure_trust(client)
    async with (
        FakeGateway(ssl=server) as gateway,
        socks_server(port_of(gateway)) as proxy,
    ):
        for name, context, good in (
            ("gateway.test", client, True),
            ("other.test", client, False),
            ("gateway.test", True, False),
        ):
            settings: dict[str, Any] = {"proxy": proxy.url("socks5h"), "ssl": context}
            async with TokenGate(
                api_key=gateway.api_key, base_url=f"https://{name}/v1", retry=ONCE, **settings
            ) as gate:
                if good:
                    assert (await gate.chat(MODEL, "嗨")).status == "complete"
                    assert (await gate.chat(MODEL, "嗨")).status == "complete"
                else:
                    with pytest.raises(TokenGateError, match="certificate"):
                        await gate.chat(MODEL, "嗨")
    assert [host for host, _ in proxy.asked] == ["gateway.test", "other.test", "gateway.test"]
    assert len(gateway.requests) == 2


async def test_connections_are_kept_and_looked_at(gateway: FakeGateway) -> None:
    """One connection serves one call after another; one that died is not used again."""
    async with (
        socks_server(port_of(gateway)) as proxy,
        through(proxy, gateway, "socks5h") as gate,
    ):
        for _ in range(3):
            await gate.chat(MODEL, "嗨")
        assert {request.connection for request in gateway.requests} == {1}
        gateway.script(Raw(status=None, end="reset"), ScriptedReply(answer="好"))
        reply = await gate.chat(MODEL, "嗨", retry=Retry(attempts=2, max_wait=0))
    assert reply.answer == "好"
    assert len(proxy.asked) == 2


async def test_the_kernel_probes_it(gateway: FakeGateway) -> None:
    async with (
        socks_server(port_of(gateway)) as proxy,
        through(proxy, gateway, "socks5h") as gate,
    ):
        await gate.chat(MODEL, "嗨")
        mine = [made for made in sockets() if _peer(made) == proxy.place]
        assert mine
        assert all(made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for made in mine)


def _peer(made: socket.socket) -> int:
    try:
        return int(made.getpeername()[1])
    except OSError:
        return 0


@pytest.mark.parametrize("given", [True, False])
async def test_without_the_extra(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    """It is named, wherever the proxy came from, and nothing is sent in its place."""
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    async with socks_server(port_of(gateway)) as proxy:
        url = proxy.url("socks5", "bot:geheim99@")
        settings: dict[str, Any] = {"base_url": "http://gateway.test/v1", "api_key": "sk-test"}
        if given:
            settings["proxy"] = url
        else:
            monkeypatch.setenv("ALL_PROXY", url)
        with pytest.raises(CallerError, match=r"aiotokengate\[socks\]") as raised:
            await TokenGate(**settings).chat(MODEL, "嗨")
    assert "geheim99" not in str(raised.value)
    assert not proxy.versions


async def test_a_cancelled_connection_leaves_nothing(gateway: FakeGateway) -> None:
    """A proxy that says nothing holds nobody who has left."""
    reached = asyncio.Event()
    writers = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        reached.set()
        assert await reader.read(3) == b"\x05\x01\x00"
        assert await reader.read() == b""
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with TokenGate(
        api_key="sk-test", base_url="http://gateway.test/v1", proxy=f"socks5h://127.0.0.1:{port}"
    ) as gate:
        call = asyncio.ensure_future(gate.chat(MODEL, "嗨"))
        await reached.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert call.cancelled()
        await writers[0].wait_closed()
    server.close()


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (ssl.SSLError(1, "handshake"), aiohttp.ClientConnectorSSLError),
        (ssl.SSLCertVerificationError(1, "no"), aiohttp.ClientConnectorCertificateError),
        (OSError(113, "no route"), aiohttp.ClientConnectorError),
        (EOFError(), aiohttp.ClientConnectorError),
        (TimeoutError(), TimeoutError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_what_breaks_is_aiohttps_error(broken: Exception, kind: type[Exception]) -> None:
    """Whoever knows aiohttp's errors knows that nothing was sent; the clock's stays its own."""

    def breaks(_made: socket.socket) -> None:
        raise broken

    async with socks_server(0, answer=b"\x05\x00\x00\x01" + bytes(6)) as proxy:
        made = Proxy("socks5h", "127.0.0.1", proxy.place)
        connector = SocksConnector(made, prepare=breaks, check=str)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(kind):
                await session.get("http://gateway.test/")
