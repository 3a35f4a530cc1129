"""Redirects and downloads: where they lead, what goes along, and what stands inside."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiotokengate import CallerError, Retry, StatusError, TokenGate, TokenGateError, WireError
from aiotokengate._http.redirects import named, onward, refused, travelling
from aiotokengate.testing import FakeGateway, Raw

GW = "https://gw.test/v1/file?sig=geheim99"
ONCE = Retry(attempts=1)
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name no proxy."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# --- decisions ----------------------------------------------------------------------------------

FOLLOWED = [
    ("https://files.test/a", "https://files.test/a"),
    ("//files.test/a?b=1#c", "https://files.test/a?b=1"),
    ("http://gw.test/a", "http://gw.test/a"),
    ("https://gw.test:8443/a", "https://gw.test:8443/a"),
    (" https://files.test/a b/文件.png ", "https://files.test/a b/文件.png"),
    ("HTTPS://FILES.test/a", "https://FILES.test/a"),
]


@pytest.mark.parametrize(("location", "target"), FOLLOWED)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_followed_to_another_host(location: str, target: str, status: int) -> None:
    assert onward("GET", GW, status, location, ours=True) == target
    assert onward("GET", GW, status, location, ours=False) == target
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert onward(method, GW, status, location, ours=True) is None
        assert onward(method, GW, status, location, ours=False) is None


@pytest.mark.parametrize(
    "location", ["/b", "b", "?c", "https://gw.test/b", "https://GW.test:443/b"]
)
def test_the_host_itself(location: str) -> None:
    """The gateway would get the key again, at a place nobody asked for; others get none."""
    assert onward("GET", GW, 302, location, ours=True) is None
    assert onward("GET", GW, 302, location, ours=False) is not None
    assert onward("POST", GW, 307, location, ours=False) is not None
    assert onward("POST", GW, 302, location, ours=False) is None
    assert onward("POST", GW, 307, location, ours=True) is None


@pytest.mark.parametrize(
    "location",
    [
        *("", "ftp://files.test/a", "file:///etc/passwd", "data:,a", "javascript:1", "http://"),
        *("http://files.test:99999/", "http://files.test:0/", "http://[::1", "http://a b/"),
        *("http://files.test\\@127.0.0.1/", "http://a@b@c/", "http:///a", "http://f.test:x/"),
        *("http://\udcff.test/", "https://files.test/\udcff", "http://[a]b/"),
    ],
)
def test_what_is_no_address(location: str) -> None:
    """Where two parsers may find two hosts, neither is asked."""
    assert onward("GET", GW, 302, location, ours=False) is None
    assert named(location) == "an address that is none"


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 400])
def test_what_is_no_redirect(status: int) -> None:
    assert onward("GET", GW, status, "https://files.test/a", ours=True) is None


def test_only_headers_that_say_nothing_of_the_caller_travel() -> None:
    mine = ("Authorization", "api-key", "X-Auth-Token", "Cookie", "X-Api-Key", "Referer", "Host")
    fit = ("Accept", "RANGE", "if-range", "User-Agent", "If-None-Match", "Accept-Language")
    more = ("Proxy-Authorization", "Forwarded", "X-Forwarded-For", "Origin", "Content-Type", "X")
    headers = dict.fromkeys((*mine, *fit, *more), "x")
    assert tuple(travelling(headers)) == fit


def test_a_refusal_names_the_place_and_no_more() -> None:
    target = "https://bot:geheim99@files.test:8443/geheim99?sig=geheim99#geheim99"
    message, hint = refused(GW, 302, target)
    assert message.endswith("to https://files.test:8443 (302)")
    assert hint is None
    message, hint = refused("http://gw.test:80/v1/chat", 308, "https://gw.test:8443/v1/chat")
    assert message == "redirect not followed: this address moved to https://gw.test:8443 (308)"
    assert "begin base_url with https:// (https://gw.test:8443)" in (hint or "")
    message, _ = refused(GW, 302, "nowhere://geheim99")
    assert message == "redirect not followed, it leads to no http or https address (302)"
    message, _ = refused(GW, 302, f"https://{'a' * 300}.test/")
    assert len(message) < 120


# --- end to end ---------------------------------------------------------------------------------


@asynccontextmanager
async def server(
    answer: Callable[[str], bytes], host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a server; give its root and the heads of what it was asked."""
    heads: list[str] = []
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                heads.append(head)
                writer.write(answer(head.split(" ")[1]))
        except asyncio.IncompleteReadError:
            writer.close()

    made = await asyncio.start_server(serve, host, 0)
    port = made.sockets[0].getsockname()[1]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}", heads
    finally:
        made.close()
        for writer in writers:
            writer.close()


def moved(target: str, status: int = 302) -> bytes:
    body = f'<a href="{target}">here</a>'.encode()
    head = f"HTTP/1.1 {status} Found\r\nLocation: {target}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def file(data: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def test_another_host_gets_listed_headers_only() -> None:
    """Neither the session's nor the call's own, along a chain that comes back to the gateway."""
    chain: list[str] = []

    def answer(path: str) -> bytes:
        target = {"/v1/file": chain[0] + "/1", "/1": chain[0] + "/2", "/2": chain[1] + "/end"}
        return moved(target[path]) if path in target else file(b"png")

    async with server(answer) as (gateway, asked), server(answer) as (other, told):
        chain[:] = other, gateway
        mine = {"X-Auth-Token": "geheim1", "api-key": "geheim2", "Range": "bytes=0-"}
        async with TokenGate(
            api_key="sk-geheim3", base_url=f"{gateway}/v1", extra_headers={"X-Org": "geheim4"}
        ) as gate:
            assert await gate.request("GET", "/file", extra_headers=mine) == b"png"
    assert [head.split(" ")[1] for head in asked + told] == ["/v1/file", "/end", "/1", "/2"]
    assert all(f"geheim{number}" in asked[0] for number in range(1, 5))
    for head in (asked[1], *told):
        assert "geheim" not in head
        assert "Range: bytes=0-" in head


async def test_a_host_that_was_asked_keeps_what_it_was_given() -> None:
    """Headers that a call has for another host stay there, and so does its body."""

    def answer(path: str) -> bytes:
        return moved("/end", 307) if path == "/begin" else file(b"png")

    async with (
        server(answer) as (other, asked),
        server(answer) as (gateway, _),
        TokenGate(api_key="sk-test", base_url=f"{gateway}/v1") as gate,
    ):
        mine = {"X-Auth-Token": "for you"}
        assert await gate.request("GET", f"{other}/begin", extra_headers=mine) == b"png"
        with pytest.raises(StatusError, match="redirect not followed"):
            await gate.request("POST", "../begin", json={}, retry=ONCE)
    assert ["X-Auth-Token: for you" in head for head in asked] == [True, True]


async def test_a_chain_without_an_end() -> None:
    async with (
        server(lambda _: moved("/again")) as (other, asked),
        server(lambda _: moved(f"{other}/again")) as (gateway, _),
        TokenGate(api_key="sk-test", base_url=f"{gateway}/v1", retry=ONCE) as gate,
    ):
        with pytest.raises(WireError, match="at most 10 redirects"):
            await gate.request("GET", "/file")
    assert len(asked) == 10


async def test_an_upgrade_is_advised() -> None:
    """For a GET, too, which would go on without the key."""

    def answer(path: str) -> bytes:
        return moved(
            f"https://127.0.0.1:9{path}?sig=geheim99" if "file" in path else secure + path
        )

    async with server(answer) as (gateway, asked):
        secure = gateway.replace("http:", "https:")
        async with TokenGate(api_key="sk-test", base_url=f"{gateway}/v1", retry=ONCE) as gate:
            for call in (gate.chat("m", "嗨"), gate.models()):
                with pytest.raises(StatusError, match=f"moved to {secure}") as raised:
                    await call
                assert "base_url with https://" in str(raised.value)
                assert raised.value.body == ""
            with pytest.raises(StatusError, match=r"to https://127\.0\.0\.1:9 ") as raised:
                await gate.request("POST", "/file", json={})
            assert "geheim99" not in f"{raised.value} {vars(raised.value)}"
    assert len(asked) == 3


# --- inside -------------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let names be addresses as a test says."""
    known: dict[str, str] = {}
    real = socket.getaddrinfo

    def answer(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        address = known.get(str(host))
        if address is None:
            return real(host, port, *rest, **more)
        is_six = ":" in address
        place = (address, int(port or 0), 0, 0) if is_six else (address, int(port or 0))
        family = socket.AF_INET6 if is_six else socket.AF_INET
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


INSIDE = ["127.0.0.1", "10.0.0.5", "169.254.169.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("address", INSIDE)
async def test_what_is_connected_to_decides(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A name that leads inside is not asked, though the gateway's name for it says nothing."""
    names["files.test"] = address
    target = "http://files.test:9/cat.png?sig=geheim99"
    async with server(lambda _: moved(target)) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "files.test")
        async with TokenGate(api_key="sk-test", base_url="http://gateway.test/v1") as gate:
            for path in ("/file", target):
                with pytest.raises(CallerError, match=r"http://files\.test:9, which is") as raised:
                    await gate.request("GET", path)
                assert "allow_private=True" in str(raised.value)
                assert "geheim99" not in f"{raised.value} {raised.value.__cause__!r}"
    assert len(asked) == 1


@pytest.mark.parametrize("own", ["127.0.0.1", "localhost", "gateway.test", "[::1]"])
async def test_a_session_inside_takes_from_inside(names: dict[str, str], own: str) -> None:
    """Its own address says so, or what that leads to; even before it was asked itself."""
    names["gateway.test"] = "127.0.0.1"
    host = "::1" if own == "[::1]" else "127.0.0.1"
    async with (
        server(lambda _: file(b"png")) as (inside, _),
        server(lambda _: moved(f"{inside}/cat.png"), host) as (gateway, _),
    ):
        address = f"http://{own}:{gateway.rpartition(':')[2]}/v1"
        async with TokenGate(api_key="sk-test", base_url=address) as gate:
            assert await gate.request("GET", f"{inside}/cat.png") == b"png"
            assert await gate.request("GET", "/file") == b"png"


async def test_a_gateway_with_one_foot_inside_does_not_count(
    names: dict[str, str],
) -> None:
    """All addresses of its own must be inside: who rules its DNS could add one."""
    async with server(lambda _: file(b"png")) as (inside, told):
        names["gateway.test"] = "8.8.8.8"
        async with TokenGate(api_key="sk-test", base_url="http://gateway.test/v1") as gate:
            with pytest.raises(CallerError, match="which is loopback"):
                await gate.request("GET", f"{inside}/cat.png")
        nowhere = "http://gateway.invalid/v1"
        async with TokenGate(api_key="sk-test", base_url=nowhere) as gate:
            with pytest.raises(CallerError, match="which is loopback"):
                await gate.request("GET", f"{inside}/cat.png")
    assert not told


SPELT = ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
SPELT += ["localhost", "LOCALHOST.", "a.localhost", "169.254.169.254", "10.0.0.1", "0"]


@pytest.mark.parametrize("host", SPELT)
async def test_behind_a_proxy_what_is_written_is_judged(host: str) -> None:
    """Redirected to, named by the gateway, or asked for: the proxy is never told to go there."""
    target = f"http://{host}:8080/latest/meta-data?sig=geheim99"
    async with server(lambda _: moved(target)) as (proxy, asked):
        address = "http://gateway.test/v1"
        async with TokenGate(api_key="sk-test", base_url=address, proxy=proxy) as gate:
            for path in ("/file", target, "http://files.test/a"):
                with pytest.raises(CallerError, match="expected a download") as raised:
                    await gate.request("GET", path)
                assert f"got http://{host}:8080, which" in str(raised.value)
                assert "geheim99" not in str(raised.value)
    assert not [head for head in asked if head.startswith(f"GET {target}")]
    assert len(asked) == 2


@pytest.mark.parametrize("proxied", [True, False])
async def test_what_stands_inside_may_be_allowed(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    names["files.test"] = "127.0.0.1"
    async with server(lambda _: file(b"png")) as (inside, _):
        port = inside.rpartition(":")[2]

        def answer(path: str) -> bytes:
            return file(b"png") if "cat" in path else moved(f"http://files.test:{port}/cat.png")

        async with server(answer) as (proxy, _):
            monkeypatch.setenv("http_proxy", proxy)
            monkeypatch.setenv("no_proxy", "" if proxied else "files.test")
            address = "http://gateway.test/v1"
            async with TokenGate(api_key="sk-test", base_url=address, allow_private=True) as gate:
                assert await gate.request("GET", "/file") == b"png"


async def test_who_writes_somewhere_inside_means_it(
    names: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is for no download, though."""
    names["files.test"] = "127.0.0.1"
    async with (
        server(lambda _: file(b"png")) as (inside, told),
        server(lambda _: b"") as (proxy, _),
    ):
        url = f"http://files.test:{inside.rpartition(':')[2]}/a"
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "files.test")
        async with TokenGate(api_key="sk-test", base_url="http://gateway.test/v1") as gate:
            for _ in range(2):
                assert await gate.request("POST", url, json={}) == b"png"
                with pytest.raises(CallerError, match="which is loopback"):
                    await gate.request("GET", url)
    assert ["POST /a" in head for head in told] == [True, True]


async def test_an_image_that_the_gateway_places_inside(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What resources download by themselves is judged as well."""
    body = b'{"data":[{"url":"http://127.0.0.1:9/cat.png?sig=geheim99"}]}'
    gateway.script(
        Raw(body=body, headers={"Content-Type": "application/json"}), path="/v1/images/generations"
    )
    monkeypatch.setenv("http_proxy", gateway.base_url.removesuffix("/v1"))
    async with TokenGate(api_key=gateway.api_key, base_url="http://gateway.test/v1") as gate:
        (image,) = (await gate.images.generate("gpt-image-1", "一只猫 🐱")).images
        with pytest.raises(CallerError, match=r"got http://127\.0\.0\.1:9, which"):
            await image.read()


@pytest.mark.parametrize(
    "url", ["http://a\\@127.0.0.1/x", "http://a@b@127.0.0.1/", "http://[::1/"]
)
async def test_an_address_that_is_read_in_two_ways(url: str) -> None:
    async with TokenGate(api_key="sk-test", base_url="http://127.0.0.1:9/v1") as gate:
        with pytest.raises(TokenGateError, match="expected an http or https address"):
            await gate.request("GET", url)
