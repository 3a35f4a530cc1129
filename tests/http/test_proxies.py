"""Proxies: how they are named, which address takes which, and that their passwords stay hidden."""

from __future__ import annotations

import asyncio
import sys
import traceback
import urllib.request
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import attrs
import pytest

from aiotokengate import CallerError, ConnectFailed, Retry, TokenGate, TokenGateError
from aiotokengate._http.proxies import Proxy, Ways, environment_proxy, parsed_proxy
from aiotokengate.testing import FakeGateway, Recorder

MODEL = "qwen3.6-max-preview"
PASSWORD = "gehe/im:pass@wört#1?%"
LOGIN = f"bot:{quote(PASSWORD, safe='')}"
SPELT = (PASSWORD, quote(PASSWORD, safe=""), b64encode(f"bot:{PASSWORD}".encode()).decode())


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name no proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


A, B = "a", "b"

# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("http://host:3128", Proxy("http", "host", 3128)),
        ("HTTP://host", Proxy("http", "host", 80)),
        ("https://host/", Proxy("https", "host", 443)),
        ("http://host:/", Proxy("http", "host", 80)),
        ("http://[::1]:3128/x?y#z", Proxy("http", "::1", 3128)),
        ("http://[::1]", Proxy("http", "::1", 80)),
        ("http://bot@host:1", Proxy("http", "host", 1, "bot")),
        ("http://:p@host:1", Proxy("http", "host", 1, "", "p")),
        (f"http://{LOGIN}@host:1", Proxy("http", "host", 1, "bot", PASSWORD)),
        ("http://bot:a@b:c@host:1", Proxy("http", "host", 1, "bot", "a@b:c")),
        ("socks://host", Proxy("socks5", "host", 1080)),
        ("Socks5h://bot:p@host:9", Proxy("socks5h", "host", 9, "bot", "p")),
        ("socks4a://bot@host", Proxy("socks4a", "host", 1080, "bot")),
        ("socks4://host", Proxy("socks4", "host", 1080)),
        ("socks5h://host", Proxy("socks5h", "host", 1080)),
        ("http://host:1", Proxy("http", "host", 1)),
        ("http://host:65535", Proxy("http", "host", 65_535)),
        ("http://host:0000080", Proxy("http", "host", 80)),
        (f"socks5://{A * 255}:{B * 255}@host", Proxy("socks5", "host", 1080, A * 255, B * 255)),
        (f"http://{A * 256}:{B * 256}@host", Proxy("http", "host", 80, A * 256, B * 256)),
        ("http://bot:好@host", Proxy("http", "host", 80, "bot", "好")),
    ],
)
def test_an_address_is_taken_apart(address: str, proxy: Proxy) -> None:
    assert parsed_proxy(address, "proxy") == proxy
    assert parsed_proxy(proxy.url, "proxy") == attrs.evolve(proxy, user="", password="")


WRONG = [
    ("http://bot:geheim99@host:port", "not a number from 1 to 65535"),
    ("http://bot:geheim99@host:0", "not a number"),
    ("http://bot:geheim99@host:65536", "not a number"),
    ("http://bot:geheim99@host:99999999999999999999", "not a number"),
    ("http://bot:geheim99@[::1]3128", "not a number"),
    ("http://bot:geheim99@::1:3128", "not a number"),
    ("http://bot:geheim99@host:\uff13\uff11", "not a number"),
    ("http://bot:geheim99@", "without a host"),
    ("http://bot:geheim99@ho st:1", "without a host"),
    ("http://bot:geheim99@ho\u200bst:1", "without a host"),
    ("http://bot:12/geheim99@host:1", "with a '/' before its '@'"),
    ("http://bot:12#geheim99@host:1", "with a '#' before its '@'"),
    ("http://bot:12?geheim99@host:1", "with a '\\?' before its '@'"),
    ("http://bot%3A:geheim99@host:1", "with a ':' in its user name"),
    ("ftp://bot:geheim99@host:1", "to begin with http://, https:// or socks5://"),
    ("bot:geheim99@host:1", "to begin with"),
    ("geheim99", "to begin with"),
    (f"socks5://bot:geheim99{'x' * 248}@host:1", "255 ASCII characters at most"),
    (f"socks5://geheim99{'x' * 248}:p@host:1", "255 ASCII characters at most"),
    ("http://geheim99@:1", "without a host"),
    *((f"http://geheim99@h{mark}st:1", "without a host") for mark in " \\\\%<>\"'"),
    ("socks5://bot:geheim99好@host:1", "255 ASCII characters at most"),
]


@pytest.mark.parametrize(("address", "why"), WRONG)
def test_an_address_that_is_none(address: str, why: str) -> None:
    """The error says what is wrong with which setting, and nothing of the address."""
    with pytest.raises(CallerError, match=f"expected proxy .*{why}") as raised:
        parsed_proxy(address, "proxy")
    assert_hidden(raised.value, "geheim99")
    error = raised.value
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [
        frame for frame in told.stack if frame.filename.endswith("aiotokengate/_http/proxies.py")
    ]
    assert "geheim99" not in "".join(str(frame.locals) for frame in ours)


def assert_hidden(error: BaseException | None, *secrets: str) -> None:
    """Look for a secret in all that an error shows, and in what led to it."""
    while error is not None:
        values = vars(error).values()
        shown = f"{error} {error!r} {error.args} {[*map(repr, values)]} {[*map(str, values)]}"
        assert not [secret for secret in secrets if secret in shown], type(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("address", [one for one, _ in WRONG if "@" in one])
async def test_what_may_hold_a_password_is_refused_by_the_first_call(address: str) -> None:
    """A traceback of the constructor would quote the line of source where it stands."""
    gate = TokenGate(api_key="sk-test", base_url="http://gateway.test/v1", proxy=address)
    assert "geheim99" not in repr(gate)
    for _ in range(2):
        with pytest.raises(CallerError, match="expected proxy") as raised:
            await gate.chat(MODEL, "嗨")
        assert "base_url" not in str(raised.value)
        assert_hidden(raised.value, "geheim99")
    await gate.close()


def test_a_proxy_shows_no_password() -> None:
    proxy = parsed_proxy(f"http://{LOGIN}@host:1", "proxy")
    assert not [
        spelt for spelt in SPELT if spelt in f"{proxy!r} {proxy} {proxy.url} {Ways(proxy)}"
    ]
    assert {*SPELT} == {*proxy.secrets}
    assert proxy.headers == {"Proxy-Authorization": f"Basic {SPELT[2]}"}


@pytest.mark.parametrize(
    ("user", "password", "basic", "secrets"),
    [
        ("", "", "", ()),
        ("bot", "", "Ym90Og==", ("bot", "bot", "Ym90Og==")),
        ("", "p@/", "OnBALw==", ("p@/", "p%40%2F", "OnBALw==")),
        ("bot", "p", "Ym90OnA=", ("p", "p", "Ym90OnA=")),
    ],
)
def test_who_asks_a_proxy(user: str, password: str, basic: str, secrets: tuple[str, ...]) -> None:
    """By user, by password, or by both; a user name that stands alone is a secret."""
    proxy = Proxy("http", "::1", 1, user, password)
    assert proxy.headers == ({"Proxy-Authorization": f"Basic {basic}"} if basic else {})
    assert proxy.secrets == secrets
    assert (proxy.url, proxy.is_socks) == ("http://[::1]:1", False)
    assert Proxy("socks4", "a", 1).is_socks


def test_a_proxy_that_can_not_be_used_is_kept_until_the_first_call() -> None:
    """Then it is told, with a hint; until then nothing goes through another."""
    ways = Ways.of("http://bot:geheim99@host:port")
    assert (ways.given, ways.direct, ways.to("http://a")) == (None, True, None)
    with pytest.raises(CallerError, match="expected proxy as an address") as raised:
        ways.check()
    assert (raised.value.hint or "").startswith("hint: in a proxy's user name and password")
    Ways.of("").check()
    assert (Ways.of(None), Ways.of("")) == (Ways(), Ways(direct=True))


# --- the environment ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "url", "proxy"),
    [
        ({"HTTP_PROXY": "http://a:1"}, "http://x", "http://a:1"),
        ({"http_proxy": "http://a:1"}, "http://x", "http://a:1"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": "http://b:1"}, "http://x", "http://b:1"),
        ({"HTTP_PROXY": "http://a:1", "http_proxy": ""}, "http://x", None),
        ({"HTTP_PROXY": "http://a:1"}, "https://x", None),
        ({"HTTPS_PROXY": "http://a:1"}, "https://x", "http://a:1"),
        ({"ALL_PROXY": "http://a:1"}, "https://x", "http://a:1"),
        ({"all_proxy": "http://a:1", "https_proxy": "http://b:1"}, "https://x", "http://b:1"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": " "}, "https://x", "http://a:1"),
        ({"HTTP_PROXY": "a:1"}, "http://x", "http://a:1"),
        ({"HTTP_PROXY": "//a:1"}, "http://x", "http://a:1"),
        ({"HTTP_PROXY": " http://a:1\n"}, "http://x", "http://a:1"),
        ({"HTTP_PROXY": "\ufeffhttp://a:1\u200b"}, "http://x", "http://a:1"),
        ({"ALL_PROXY": "socks://a"}, "http://x", "socks5://a:1080"),
        # In CGI, HTTP_PROXY is a header of the client's; in small letters it is not.
        ({"HTTP_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http://x", None),
        ({"http_proxy": "http://a:1", "REQUEST_METHOD": "GET"}, "http://x", "http://a:1"),
        ({"ALL_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "http://x", "http://a:1"),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "x"}, "https://x", None),
        ({"ALL_PROXY": "http://a:1", "no_proxy": "x:443"}, "https://x", None),
        ({"ALL_PROXY": "http://a:1", "NO_PROXY": "x", "no_proxy": "y"}, "http://x", "http://a:1"),
        ({"NO_PROXY": "y"}, "http://x", None),
    ],
)
def test_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = environment_proxy(url)
    assert (found and found.url) == proxy


def test_the_settings_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """They count where the environment names nothing, and so do the system's own exceptions."""
    monkeypatch.setattr(urllib.request, "getproxies_environment", dict)
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://a:1"})
    monkeypatch.setattr(urllib.request, "proxy_bypass", lambda place: place == "inside")
    found = environment_proxy("https://x")
    assert found is not None
    assert found.url == "http://a:1"
    assert environment_proxy("https://inside") is None


def test_a_socks_proxy_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named at once, with what to install, and without the password."""
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with pytest.raises(CallerError, match=r"extra \[socks\]") as raised:
        parsed_proxy("socks5://bot:geheim99@a", "proxy")
    assert "pip install 'aiotokengate[socks]'" in str(raised.value)
    assert_hidden(raised.value, "geheim99")


def test_which_way_an_address_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the session's own proxy, by none, or as the environment says."""
    monkeypatch.setenv("ALL_PROXY", "http://b:2")
    own, environment = (Ways.of(given).to("https://x") for given in ("http://a:1", None))
    assert (own and own.url, environment and environment.url) == ("http://a:1", "http://b:2")
    assert Ways.of(" ").to("https://x") is None
    with pytest.raises(CallerError, match="expected proxy to begin with"):
        Ways.of("a:1")


def test_a_wrong_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://bot:geheim99@host:port")
    with pytest.raises(CallerError, match="expected https_proxy of the environment") as raised:
        TokenGate(api_key="sk-test", base_url="https://gateway.test/v1")
    assert_hidden(raised.value, "geheim99")
    TokenGate(api_key="sk-test", base_url="https://gateway.test/v1", proxy="")
    TokenGate(api_key="sk-test", base_url="http://gateway.test/v1")


# --- on the wire --------------------------------------------------------------------------------


@asynccontextmanager
async def proxy_server(answer: bytes) -> AsyncIterator[tuple[int, list[str]]]:
    """Run a proxy that says the same to everybody; give its port and what it was told."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()


def refusal(status: int, text: str) -> bytes:
    body = text.encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_password_reaches_the_proxy_and_no_error(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Percent-encoded or not, given or the environment's, even where the proxy echoes it."""
    echo = f"who is {' or '.join(SPELT)}?"
    async with proxy_server(refusal(407, echo)) as (port, heads):
        address = f"http://{LOGIN}@127.0.0.1:{port}"
        for given in (True, False):
            monkeypatch.setenv("ALL_PROXY", "" if given else address)
            async with TokenGate(
                api_key="sk-test",
                base_url=f"{scheme}://gateway.test/v1",
                proxy=address if given else None,
                retry=Retry(attempts=1),
            ) as gate:
                with pytest.raises(TokenGateError) as raised:
                    await gate.chat(MODEL, "嗨")
                assert_hidden(raised.value, *SPELT)
                assert not [spelt for spelt in SPELT if spelt in repr(gate)]
    assert len(heads) == 2
    for head in heads:
        lines = [line for line in head.split("\r\n") if line.startswith("Proxy-Authorization:")]
        assert lines == [f"Proxy-Authorization: Basic {SPELT[2]}"]


async def test_a_dead_proxy_with_a_password() -> None:
    async with proxy_server(b"") as (port, _):
        pass
    address = f"http://{LOGIN}@127.0.0.1:{port}"
    async with TokenGate(
        api_key="sk-test",
        base_url="http://gateway.test/v1",
        proxy=address,
        retry=Retry(attempts=1),
    ) as gate:
        with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}") as raised:
            await gate.chat(MODEL, "嗨")
    assert_hidden(raised.value, *SPELT)


async def test_a_given_proxy_is_for_downloads_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the session's, and not the environment's, that everything goes through."""
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    png = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\npng"
    async with proxy_server(png) as (port, heads):
        address, proxy = "http://gateway.test/v1", f"http://127.0.0.1:{port}"
        async with TokenGate(api_key="sk-test", base_url=address, proxy=proxy) as gate:
            assert await gate.request("GET", "http://files.test/cat.png") == b"png"
    assert heads[0].startswith("GET http://files.test/cat.png HTTP/1.1\r\nHost: files.test\r\n")
    assert "sk-test" not in heads[0]


async def test_the_password_of_a_proxy_for_downloads_alone(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy_server(refusal(403, f"who is {' or '.join(SPELT)}?")) as (port, heads):
        monkeypatch.setenv("http_proxy", f"http://{LOGIN}@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
            with pytest.raises(TokenGateError, match="403") as raised:
                await gate.request("GET", "http://files.test/cat.png")
    assert SPELT[2] in heads[0]
    assert_hidden(raised.value, *SPELT)


async def test_a_recorder_goes_through_the_proxy_of_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: str
) -> None:
    root = gateway.base_url.removeprefix("http://").removesuffix("/v1")
    monkeypatch.setenv("http_proxy", f"http://{LOGIN}@{root}")
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    async with (
        Recorder(f"{tmp_path}/a.json", base_url="http://gateway.test/v1") as recorder,
        TokenGate(api_key=gateway.api_key, base_url=recorder.base_url) as gate,
    ):
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert gateway.requests[0].headers["Host"] == "gateway.test"
    monkeypatch.setenv("http_proxy", "http://bot:geheim99@host:port")
    with pytest.raises(ValueError, match="http_proxy of the environment") as raised:
        await Recorder(f"{tmp_path}/b.json", base_url="http://gateway.test/v1").__aenter__()
    assert_hidden(raised.value, "geheim99")
