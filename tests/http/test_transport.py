"""What aiohttp does by default would break streams; each default that was turned is tested."""

import asyncio
import gc
import gzip
import os
import socket
import ssl
import subprocess
import sys
import time
import weakref
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from aiotokengate import (
    BadRequest,
    CallerError,
    ConnectFailed,
    Retry,
    StatusError,
    TimedOut,
    Timeout,
    TokenGate,
    TokenGateError,
    TransportError,
    Unanswered,
    WireError,
)
from aiotokengate._calls.routes import Endpoint
from aiotokengate._http import direct, transport
from aiotokengate._http.connections import GuardedConnector
from aiotokengate._http.connectors import Trust
from aiotokengate._http.proxies import Ways
from aiotokengate._http.transport import Transport
from aiotokengate._http.uploads import Form, file_part
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from tests.support.common import sockets
from tests.support.raw_server import Wire, chat, plain, serving, tls, tunnelling
from tests.support.socks_server import socks_server

MODEL = "qwen3.6-max-preview"
STREAM = (
    'data: {"choices":[{"index":0,"delta":{"content":"好"},"finish_reason":"stop"}]}\n\n'
    "data: [DONE]\n\n"
).encode()
RESET = Raw(status=None, end="reset")
JSON = {"Content-Type": "application/json"}
ONCE = Retry(attempts=1)
NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CODINGS = {
    "gzip, gzip": "gzip, gzip",
    "x-gzip": "x-gzip",
    "X-Compress": "x-compress",
    "compress": "compress",
    "identity,  Deflate ": "identity,  deflate",
    "gzip, br": "gzip, br",
    "identity, zstd": "identity, zstd",
    "br, x": "br, x",
    "identity": None,
    "utf-8": None,
    "aws-chunked": None,
    "": None,
}
"""Codings of an answer, and what is said of those that nobody here undoes."""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment name no proxy."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# --- answers ------------------------------------------------------------------------------------


@pytest.fixture(params=["ours", "aiohttp's"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Go both ways: an aiohttp that is not known must do as well."""
    if request.param != "ours":
        monkeypatch.setattr(transport, "is_known", lambda: False)
        monkeypatch.setattr(direct, "_BUFFER_KNOWN", False)
    return str(request.param)


both_ways = pytest.mark.usefixtures("way")


@asynccontextmanager
async def sending(root: str, **settings: Any) -> AsyncIterator[Transport]:
    """Yield what sends to a gateway, by no proxy and with no headers if none are given."""
    given = {"headers": {}, "proxy": "", "ssl": True, **settings}
    sender = Transport(f"{root}/v1", **given)
    yield sender
    await sender.close()


class Parts:
    """A server's answer in parts, each sent when it is asked for."""

    def __init__(self, *parts: bytes, ends: bool = False) -> None:
        self._parts = parts
        self._left = [*parts]
        self._ends = ends
        self.wire: Wire | None = None

    async def __call__(self, wire: Wire) -> None:
        """Begin."""
        self.wire, self._left = wire, [*self._parts]
        self.more()

    def more(self) -> None:
        """Send the next part; close after the last if that is the end."""
        assert self.wire is not None
        self.wire.writer.write(self._left.pop(0))
        if self._ends and not self._left:
            self.wire.close()


def head(size: int, *lines: str, status: str = "200 OK") -> bytes:
    """Return the head of an answer whose body comes later."""
    return plain(b"x" * size, *lines, status=status)[:-size]


async def carried() -> None:
    """Let what was written come to the other end, and to whoever waits for it."""
    for _ in range(100):
        await asyncio.sleep(0)


async def status(sender: Transport, url: str, method: str = "POST") -> int:
    """Return the status of an answer, and close it."""
    answer = await sender.send(method, url)
    answer.close()
    return answer.status


async def test_what_an_answer_says(way: str) -> None:
    body = "正文 😊".encode()
    said = plain(body, "X-Request-Id: r-1", "X-A: b", status="201 Made")
    async with serving(said) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x?y=1")
        assert isinstance(answer._response, aiohttp.ClientResponse) is (way != "ours")
        assert (answer.status, answer.url) == (201, f"{server.root}/v1/x?y=1")
        assert answer.request_id == "r-1"
        assert [*answer.headers.values()] == ["r-1", "b", str(len(body))]
        assert answer.headers["x-a"] == "b"
        assert not answer.at_end()
        assert await answer.whole(1000) == body
        assert answer.at_end()
        assert await answer.read() == b""


@both_ways
async def test_no_more_is_read_than_is_wanted() -> None:
    """Not even waited for: what came up to the limit is given at once."""
    parts = Parts(head(100) + b"abc", b"defgh")
    async with serving(parts) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        assert await answer.whole(3) == b"abc"
        parts.more()
        assert await answer.whole(5) == b"defgh"
    parts = Parts(head(100) + b"abc", b"defgh")
    async with serving(parts) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        reading = asyncio.ensure_future(answer.whole(4))
        await carried()
        assert not reading.done()
        parts.more()
        assert await reading == b"abcd"


@both_ways
async def test_a_body_that_breaks_is_no_whole_one() -> None:
    """The break may be known before it is read."""
    parts = Parts(head(100) + b"abc", ends=True)
    async with serving(parts) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        await carried()
        with pytest.raises(TransportError, match="the connection broke") as raised:
            await answer.whole(1000)
        assert type(raised.value) is TransportError


@both_ways
async def test_of_an_errors_body_what_came_is_given() -> None:
    """Up to 64 KiB of it, whether it breaks or not."""
    text = bytes(range(256)) * 300
    for size, ends in ((len(text), False), (len(text) + 1, True)):
        parts = Parts(head(size) + text, ends=ends)
        async with serving(parts) as server, sending(server.root) as sender:
            answer = await sender.send("GET", f"{server.root}/v1/x")
            await carried()
            assert await answer.error_body() == text[:65_536]
    parts = Parts(head(100) + b"abc", b"def", ends=True)
    async with serving(parts) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        reading = asyncio.ensure_future(answer.error_body())
        await carried()
        parts.more()
        assert await reading == b"abcdef"


@both_ways
async def test_the_last_bytes_of_a_reply_have_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its connection is given up, and nobody holds the reply any more."""
    loop = asyncio.get_running_loop()
    later: list[tuple[Any, ...]] = []
    parts = Parts(head(6) + b"abc", b"def")
    async with serving(parts) as server, sending(server.root) as sender:
        for comes in (True, False):
            answer = await sender.send("GET", f"{server.root}/v1/x")
            assert await answer.read() == b"abc"
            with monkeypatch.context() as patched:
                patched.setattr(loop, "call_later", lambda *told: later.append(told))
                answer.release()
            (seconds, close, *rest) = later.pop()
            assert seconds == 0.25
            if comes:
                parts.more()
                await carried()
            close(*rest)
            await carried()
            assert server.wires[-1].reader.at_eof() is not comes
            assert answer._draining == set()
        again = await sender.send("GET", f"{server.root}/v1/x")
        assert [wire.count for wire in server.wires] == [2, 1]
        again.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            while True:
                await again.read()
        again.release()
        assert later == []


@both_ways
async def test_who_is_called_off_waits_for_no_last_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "DRAIN_SECONDS", 1000)
    async with serving(Parts(head(6) + b"abc")) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        reading = asyncio.ensure_future(answer.whole(10))
        await carried()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await carried()
        assert server.wires[0].reader.at_eof()


async def test_a_mistake_of_ours_is_raised_as_it_is() -> None:
    async with serving(chat("好")) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        mistake = KeyError(1)
        with pytest.raises(KeyError) as raised:
            answer.explain(mistake)
        assert raised.value is mistake
        told = answer.explain(ConnectionResetError(104, "reset"))
        assert str(told).startswith("the connection broke: ")
        answer.close()


# --- requests -----------------------------------------------------------------------------------

ALL = {"Accept": "a/b", "Accept-Encoding": "gzip", "User-Agent": "mine"}


@both_ways
async def test_what_goes_along_to_the_gateway_and_to_others() -> None:
    """Later headers go over earlier ones; nothing of the gateway's goes to another host."""
    async with (
        serving(chat("好")) as server,
        sending(server.root, headers={**ALL, "K": "1"}) as us,
    ):
        url = f"{server.root}/v1/x"
        for call, own, found in [
            (None, None, {**ALL, "K": "1"}),
            ({"k": "2"}, None, {**ALL, "K": "2"}),
            (None, {"k": "3", "O": "4"}, {**ALL, "K": "3", "O": "4"}),
            ({"o": "5"}, {"k": "3", "O": "4"}, {**ALL, "K": "3", "O": "5"}),
        ]:
            await (await us.send("GET", url, headers=call, own=own)).whole(1000)
            lines = server.lines()
            del lines["host"]
            assert lines == {name.lower(): [value] for name, value in found.items()}
        other = url.replace("127.0.0.1", "localhost")
        for call, agent in [({}, "aiotokengate"), ({"X": "1", "user-agent": "u"}, "u")]:
            answer = await us.send("GET", other, headers=call, own={"K": "3"})
            await answer.whole(1000)
            lines = server.lines()
            assert lines.pop("accept") == ["*/*"]
            assert lines == {
                "host": [f"localhost:{server.port}"],
                "accept-encoding": ["identity"],
                "user-agent": [agent],
                **({"x": ["1"]} if call else {}),
            }
        assert await status(us, other) == 200
        assert "k" not in server.lines()


@both_ways
async def test_a_connection_is_kept_unless_a_fresh_one_is_asked_for() -> None:
    """A fresh one serves once, whatever is kept beside it; other hosts' are kept as well."""
    async with serving(chat("好")) as server, sending(server.root) as sender:
        url = f"{server.root}/v1/x"
        await (await sender.send("POST", url, data=b"{}")).whole(1000)
        for fresh in (True, True, False):
            await (await sender.send("POST", url, data=b"{}", fresh=fresh)).whole(1000)
        await (await sender.send("POST", url, data=b"{}")).whole(1000)
        assert [wire.count for wire in server.wires] == [3, 1, 1]
        assert ["connection" in server.lines(at) for at in range(5)] == [
            *(False, True, True, False, False)
        ]
        assert server.lines(1)["connection"] == ["close"]
        for _ in range(2):
            other = url.replace("127.0.0.1", "localhost")
            await (await sender.send("GET", other)).whole(1000)
        assert [wire.count for wire in server.wires] == [3, 1, 1, 2]


async def test_without_a_look_at_them_no_connection_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An aiohttp of which too little is known opens a connection for each request."""
    monkeypatch.setattr(transport, "GUARDED", False)
    async with serving(chat("好")) as server, sending(server.root) as sender:
        for _ in range(3):
            await (await sender.send("GET", f"{server.root}/v1/x")).whole(1000)
        assert [wire.count for wire in server.wires] == [1, 1, 1]


async def test_how_long_a_connection_is_kept() -> None:
    """Less long than servers keep it."""
    async with serving(chat("好")) as server, sending(server.root) as sender:
        await (await sender.send("GET", f"{server.root}/v1/x")).whole(1000)
        (connector,) = [it for it in gc.get_objects() if type(it) is GuardedConnector][-1:]
        assert connector._keepalive_timeout == 15.0
        assert not connector.force_close


FORM = (
    "--{0}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    'Content-Disposition: form-data; name="model"\r\n\r\nwhisper 🎤\r\n'
    "--{0}\r\nContent-Type: audio/mpeg\r\n"
    'Content-Disposition: form-data; name="file"; filename="录 音.mp3"\r\n\r\n声音\r\n'
    "--{0}\r\nContent-Type: a/b\r\n"
    'Content-Disposition: form-data; name="more"; filename="x"\r\n\r\nbytes\r\n'
    "--{0}--\r\n"
)


@both_ways
async def test_a_form_is_sent_as_it_stands(tmp_path: Path) -> None:
    """Text first, then files, whose names are as they are."""
    path = tmp_path / "录 音.mp3"
    path.write_bytes("声音".encode())
    forms = [
        Form((("model", "whisper 🎤"),), ()),
        Form(
            (("model", "whisper 🎤"),),
            (file_part("file", path), file_part("more", b"bytes", "x", "a/b")),
        ),
    ]
    got: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers["Content-Type"], await request.read()))
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/v1/x", take)
    async with TestServer(app) as server, sending(str(server.make_url("/"))[:-1]) as sender:
        for form in forms:
            mine = {"Content-Type": "application/json"}
            url = str(server.make_url("/v1/x"))
            answer = await sender.send("POST", url, data=form, headers=mine)
            assert await answer.whole(10) == b"ok"
    for form, (kind, body) in zip(forms, got, strict=True):
        mark = kind.removeprefix("multipart/form-data; boundary=")
        parts = body.decode().split(f"--{mark}")
        assert len(parts) == len(form.fields) + len(form.files) + 2
        expected = [sorted(part.split("\r\n")) for part in FORM.split("--{0}")]
        found = [
            sorted(line for line in part.split("\r\n") if not line.startswith("Content-Length"))
            for part in parts
        ]
        assert found == [*expected[: len(found) - 1], expected[-1]]


@both_ways
async def test_a_large_body_makes_no_noise() -> None:
    """Where it would be written at once, aiohttp warns."""
    async with serving(chat("好")) as server, sending(server.root) as sender:
        answer = await sender.send("POST", f"{server.root}/v1/x", data=b"x" * 2_000_000)
        assert await answer.whole(1000)
        assert server.lines()["content-length"] == ["2000000"]


@both_ways
@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding or "none")
async def test_a_body_that_nobody_unpacks_is_not_handed_over(coding: str) -> None:
    """A file of packed bytes would pass for what was asked for; names of no coding do no harm."""
    packed = [f"Content-Encoding: {coding}"]
    async with (
        serving(plain(b"abc", *packed)) as server,
        sending(server.root) as sender,
    ):
        url = f"{server.root}/v1/x"
        if (shown := CODINGS[coding]) is None:
            assert await (await sender.send("GET", url)).whole(1000) == b"abc"
            return
        for code in (200, 299):
            server.reply = head(9, *packed, status=f"{code} X") + b"begun"
            with pytest.raises(WireError) as raised:
                await sender.send("GET", url)
            assert str(raised.value) == (
                f"the body of the answer can't be decoded: it is packed as {shown!r}"
            )
            await carried()
            assert server.wires[-1].reader.at_eof()
        server.reply = plain(b"abc", *packed, status="300 X")
        assert await status(sender, url, "GET") == 300


@both_ways
@pytest.mark.parametrize("coding", ["gzip", "deflate", "GZIP"])
async def test_a_body_that_aiohttp_unpacks_is_handed_over(coding: str) -> None:
    pack = zlib.compressobj(wbits=31 if coding.lower() == "gzip" else 15)
    packed = pack.compress(b"abc") + pack.flush()
    said = plain(packed, f"Content-Encoding: {coding}")
    async with serving(said) as server, sending(server.root) as sender:
        answer = await sender.send("GET", f"{server.root}/v1/x")
        assert await answer.whole(1000) == b"abc"


# --- proxies ------------------------------------------------------------------------------------


@both_ways
async def test_a_plain_proxy_that_wants_a_password_is_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether it is the session's or one for downloads; that of a gateway is its own answer."""
    refusal = head(9, status="407 No") + b"begun"
    async with serving(refusal) as proxy:
        async with sending("http://gateway.test", proxy=proxy.root) as sender:
            for url in ("http://gateway.test/v1/x", "http://files.test/a"):
                with pytest.raises(ConnectFailed) as raised:
                    await sender.send("POST", url)
                assert raised.value.status == 407
                assert str(raised.value).startswith(
                    "the proxy did not let the request through: it wants a user and password"
                )
                await carried()
                assert proxy.wires[-1].reader.at_eof()
        async with sending(proxy.root) as sender:
            assert await status(sender, f"{proxy.root}/v1/x") == 407
        monkeypatch.setenv("http_proxy", f"http://bot:geheim99@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with sending(proxy.root, proxy=None) as sender:
            assert await status(sender, f"{proxy.root}/v1/x") == 407
            assert sender.secrets == set()
            with pytest.raises(ConnectFailed):
                await sender.send("POST", "http://files.test/a")
            assert sender.secrets == {"geheim99", "Ym90OmdlaGVpbTk5"}
        server, trusting = tls("gateway.test")
        async with (
            serving(refusal, tls=server) as secure,
            tunnelling(secure) as tunnel,
            sending("https://gateway.test", proxy=tunnel.root, ssl=trusting) as sender,
        ):
            assert await status(sender, "https://gateway.test/v1/x") == 407
        async with (
            socks_server(proxy.port) as socks,
            sending("http://localhost", proxy=socks.url("socks5h")) as sender,
        ):
            for url in ("http://localhost/v1/x", "http://127.0.0.1/v1/x"):
                assert await status(sender, url) == 407


async def test_a_proxy_that_can_not_be_used_is_told_by_the_first_call() -> None:
    async with sending("http://gateway.test", proxy="http://a@b:c") as sender:
        with pytest.raises(CallerError, match="expected proxy as an address"):
            await sender.send("POST", "http://gateway.test/v1/x")


async def test_a_download_from_inside_is_refused_unless_it_is_allowed() -> None:
    """Where the session itself stands outside, or where nobody knows."""
    async with serving(plain(b"png")) as server:
        url = f"{server.root}/cat.png"
        for more, allowed in (({}, False), ({"allow_private": True}, True)):
            async with sending("http://[2001:4860::1]", **more) as sender:
                if allowed:
                    assert await (await sender.send("GET", url)).whole(9) == b"png"
                    continue
                with pytest.raises(CallerError, match="which is loopback"):
                    await sender.send("GET", url)
                assert await status(sender, url) == 200  # to which something is given
        assert [head.split(" ")[0] for head in server.heads] == ["POST", "GET"]


async def test_the_secrets_of_a_sessions_proxy_are_known_at_once() -> None:
    ways = Ways.of("http://bot:geheim99@127.0.0.1:9")
    sender = Transport("http://gateway.test/v1", headers={"A": "b"}, proxy=ways, ssl=True)
    assert sender.secrets == {"geheim99", "Ym90OmdlaGVpbTk5"}
    assert (sender.proxy, sender.headers) == (ways.given, {"A": "b"})


class Counted(Trust):
    """Certificates that are counted when they are read."""

    reads = 0

    def context(self) -> ssl.SSLContext | bool:
        """Read them."""
        self.reads += 1
        return super().context()


@both_ways
@pytest.mark.parametrize(
    ("root", "proxy", "reads"),
    [
        ("http://127.0.0.1:9", "", 0),
        ("http://127.0.0.1:9", "http://127.0.0.1:9", 0),
        ("http://127.0.0.1:9", "https://127.0.0.1:9", 1),
        ("https://127.0.0.1:9", "", 1),
        ("https://127.0.0.1:9", "http://127.0.0.1:9", 1),
    ],
)
async def test_certificates_are_read_by_whoever_needs_them(
    root: str, proxy: str, reads: int
) -> None:
    """That takes a while."""
    trust = Counted(False)
    async with sending(root, proxy=proxy, ssl=trust) as sender:
        for _ in range(2):
            with pytest.raises(ConnectFailed):
                await sender.send("POST", f"{root}/v1/x")
        assert trust.reads == reads


# --- loops --------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("closes", [True, False])
def test_each_loop_has_connections_of_its_own(fake_gateway: FakeGateway, *, closes: bool) -> None:
    """They are closed with it, said or not, with all that is left on them; it is not held."""
    fake_gateway.script(*[Raw(body=[b"abc"], end="hang")] * 2, path="/v1/models")
    root = fake_gateway.base_url.removesuffix("/v1")
    headers = {"Authorization": f"Bearer {fake_gateway.api_key}"}
    sender = Transport(fake_gateway.base_url, headers=headers, proxy="", ssl=True)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def ask() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        answer = await sender.send("GET", f"{root}/v1/models")
        assert await answer.read() == b"abc"
        answer.release()
        if closes:
            await sender.close()

    async def close() -> None:
        await sender.close()

    for number, use in enumerate((ask, ask, close), 1):
        asyncio.run(use())
        gc.collect()
        if number > 1:
            assert loops[number - 2]() is None
    assert [request.connection for request in fake_gateway.requests] == [1, 2]


def test_a_loop_that_ends_sends_nothing_more() -> None:
    """Its connections are closed, and another would never be."""

    async def ask() -> None:
        async with serving(chat("好")) as server:
            sender = Transport(f"{server.root}/v1", headers={}, proxy="", ssl=True)
            await (await sender.send("GET", f"{server.root}/v1/x")).whole(1000)
            await asyncio.get_running_loop().shutdown_asyncgens()
            with pytest.raises(CallerError, match="this event loop is ending"):
                await sender.send("GET", f"{server.root}/v1/x")
            assert len(server.heads) == 1

    asyncio.run(ask())


@both_ways
async def test_a_child_has_none_of_its_parents_connections() -> None:
    """What was just forked closes none of them, and opens its own."""
    async with serving(chat("好")) as server, sending(server.root) as sender:
        url = f"{server.root}/v1/x"
        for fresh in (False, True):
            await (await sender.send("GET", url, fresh=fresh)).whole(1000)
        await (await sender.send("GET", url.replace("127.0.0.1", "localhost"))).whole(1000)
        keeper = weakref.ref(sender._open[asyncio.get_running_loop()]._keeper)
        transport._after_fork()  # as the system calls it, in a child
        gc.collect()
        assert keeper() is not None  # whose end would be told to the parent's loop
        await carried()
        assert [wire.reader.at_eof() for wire in server.wires] == [False, True, False]
        await (await sender.send("GET", url)).whole(1000)
        assert [wire.count for wire in server.wires] == [1, 1, 1, 1]
    await carried()  # which ends them all


# --- what aiohttp would do by itself -------------------------------------------------------------


async def test_no_limit_on_connections(gateway: FakeGateway, gate: TokenGate) -> None:
    """More streams than aiohttp's 100 are open at the same time."""
    turn = Gate()
    gateway.script(*[ScriptedReply(answer=["一", turn]) for _ in range(130)])
    async with asyncio.TaskGroup() as group:
        for _ in range(130):
            group.create_task(gate.chat(MODEL, "嗨"))
        await gateway.wait_connections(130)
        turn.open()


async def test_no_total_timeout(
    gateway: FakeGateway, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left alone, aiohttp would end every reply after five minutes; here, hours do no harm."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "嗨") as stream:
        loop = asyncio.get_running_loop()
        reader = asyncio.ensure_future(stream.answer.text())
        await turn.reached()
        with monkeypatch.context() as later:
            later.setattr(loop, "time", lambda: time.monotonic() + 100_000)
            for _ in range(10):
                await asyncio.sleep(0)
        turn.open()
        assert await reader == "一二"


@both_ways
async def test_no_cookies(gateway: FakeGateway, gate: TokenGate) -> None:
    """A cookie that a balancer sets is not sent back: sessions of other users hang on it."""
    gateway.script(Raw(headers={"Set-Cookie": "a=b; Path=/"}, body=STREAM))
    await gate.chat(MODEL, "嗨")
    await gate.chat(MODEL, "嗨")
    assert "Cookie" not in gateway.requests[1].headers


async def test_no_compression_is_asked_for(gateway: FakeGateway, gate: TokenGate) -> None:
    """A proxy that compresses holds tokens back; one that does it anyway is still read."""
    headers = {"Content-Encoding": "gzip"}
    gateway.script(Raw(headers=headers, body=gzip.compress(STREAM)))
    assert (await gate.chat(MODEL, "嗨")).answer == "好"
    assert gateway.requests[0].headers["Accept-Encoding"] == "identity"


async def test_netrc_is_never_read(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry in netrc would replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    await gate.chat(MODEL, "嗨")
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {gateway.api_key}"


@both_ways
async def test_proxies_of_the_environment(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment's proxy is asked for a host that only it reaches, unless excepted."""
    root = gateway.base_url.removesuffix("/v1")
    address = "http://gateway.invalid/v1"
    for name in ("http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", root)
    async with TokenGate(api_key=gateway.api_key, base_url=address) as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
    assert gateway.requests[0].headers["Host"] == "gateway.invalid"
    once = Retry(attempts=1)
    async with TokenGate(api_key="sk-test", base_url=address, proxy="") as gate:
        with pytest.raises(ConnectFailed):
            await gate.chat(MODEL, "嗨", retry=once)
    monkeypatch.setenv("no_proxy", "gateway.invalid")
    async with TokenGate(api_key="sk-test", base_url=address) as gate:
        with pytest.raises(ConnectFailed):
            await gate.chat(MODEL, "嗨", retry=once)
    async with TokenGate(api_key=gateway.api_key, base_url=address, proxy=root) as gate:
        assert (await gate.chat(MODEL, "嗨")).status == "complete"


async def test_a_kept_connection_that_died(gateway: FakeGateway, gate: TokenGate) -> None:
    """A fresh socket takes its place, within the one attempt that there is, and is visible."""
    gateway.script(ScriptedReply(answer="一"), RESET, ScriptedReply(answer="二"))
    await gate.chat(MODEL, "嗨")
    reply = await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))
    assert reply.answer == "二"
    assert [(attempt.error, attempt.reconnected) for attempt in reply.attempts] == [(None, True)]
    assert [request.connection for request in gateway.requests] == [1, 1, 2]


@both_ways
async def test_nothing_is_sent_again_silently(gateway: FakeGateway, gate: TokenGate) -> None:
    """Left alone, aiohttp repeats a GET by itself; here each sending is an attempt."""
    await gate.models()
    gateway.script(RESET, RESET, RESET, path="/v1/models")
    with pytest.raises(Unanswered) as raised:
        async with TokenGate(
            api_key=gateway.api_key, base_url=gateway.base_url, retry=Retry(attempts=2, max_wait=0)
        ) as other:
            await other.models()
    assert len(raised.value.attempts) == 2
    assert len(gateway.requests) == 3


async def test_tcp_keep_alive_is_on(gateway: FakeGateway, gate: TokenGate) -> None:
    """The kernel probes a silent connection, so that middle boxes do not forget it."""
    await gate.chat(MODEL, "嗨")
    port = gateway.requests[0].peername[1]
    mine = next(s for s in sockets() if s.getsockname()[1:2] == (port,))
    assert mine.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert mine.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def test_a_custom_tls_context() -> None:
    """A private certificate authority is accepted through ``ssl=``, and refused without it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with FakeGateway(ssl=server) as gateway:
        key, address = gateway.api_key, gateway.base_url
        async with TokenGate(api_key=key, base_url=address, ssl=client) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        async with TokenGate(api_key=key, base_url=address) as gate:
            with pytest.raises(ConnectFailed, match="certificate"):
                await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))


async def test_certificates_that_are_set_late(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a program sets after its imports counts, and is read once for a whole session."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = []
    real = ssl.create_default_context

    def create() -> ssl.SSLContext:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", create)
    async with FakeGateway(ssl=server) as gateway:
        key, address = gateway.api_key, gateway.base_url
        endpoints = [Endpoint(api_key=key), Endpoint(api_key=key)]
        async with TokenGate(endpoints=endpoints, base_url=address) as gate:
            assert not made
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            for _ in range(3):
                assert (await gate.chat(MODEL, "嗨")).status == "complete"
        assert len(made) == 1
        async with TokenGate(api_key=key, base_url=address, ssl=False) as gate:
            assert (await gate.chat(MODEL, "嗨")).status == "complete"
        assert len(made) == 1


async def test_plain_http_reads_no_certificates(
    gateway: FakeGateway, gate: TokenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes a while."""
    monkeypatch.delattr(ssl, "create_default_context")
    assert (await gate.chat(MODEL, "嗨")).status == "complete"


async def test_a_connection_that_does_not_come() -> None:
    """Connecting has a clock of its own, and the error is also a builtin one."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        # A full backlog: the kernel drops further attempts to connect without a word.
        full = [socket.socket() for _ in range(4)]
        for client in full:
            client.settimeout(0)
            client.connect_ex(server.getsockname())
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        timeout = Timeout(connect=0.05)
        async with TokenGate(api_key="sk-test", base_url=address, timeout=timeout) as gate:
            with pytest.raises(TimedOut, match=r"no connection within 0\.05 s") as raised:
                await gate.chat(MODEL, "嗨", retry=Retry(attempts=1))
        for client in full:
            client.close()
    assert raised.value.phase == "connect"
    assert isinstance(raised.value, TimeoutError)


FORKED = """
import asyncio, gc, os, sys
from aiotokengate import TokenGate
gate = TokenGate()
async def ask():
    return (await gate.chat("qwen3.6-max-preview", "你好")).status
async def main():
    first = await ask()
    child = os.fork()
    if child == 0:
        asyncio.events._set_running_loop(None)
        asyncio.set_event_loop(None)
        status = asyncio.run(ask())
        # Whatever the parent has open is collected here, too, and stays open there.
        globals().pop("gate")
        gc.collect()
        os._exit(0 if status == "complete" else 1)
    _, code = os.waitpid(child, 0)
    assert code == 0, code
    assert (first, await ask()) == ("complete", "complete")
asyncio.run(main())
"""


def test_a_forked_child_uses_its_own_connection(fake_gateway: FakeGateway) -> None:
    """A child never writes into its parent's socket, and the parent's goes on working."""
    process = subprocess.run(
        [sys.executable, "-c", FORKED],
        env={
            **os.environ,
            "TOKENGATE_API_KEY": fake_gateway.api_key,
            "TOKENGATE_BASE_URL": fake_gateway.base_url,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    connections = [request.connection for request in fake_gateway.requests]
    assert connections[0] == connections[2] != connections[1]


async def test_an_error_gives_its_connection_back(gateway: FakeGateway, gate: TokenGate) -> None:
    """The body of an error is read, so that refusals do not use up connections."""
    for _ in range(5):
        with pytest.raises(TokenGateError):
            await gate.chat("no-such-model", "嗨")
    assert {request.connection for request in gateway.requests} == {1}


async def test_an_endless_error_body_is_given_up(gateway: FakeGateway, gate: TokenGate) -> None:
    """Of an error only so much is read, and the connection is dropped then."""
    gateway.script(Raw(status=400, body=[b"x" * 70_000], end="hang"))
    with pytest.raises(TokenGateError):
        await gate.chat(MODEL, "嗨")
    await gateway.requests[0].disconnected.wait()


async def test_an_error_whose_body_breaks_off_says_what_came(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """The status is not lost with the rest of the body."""
    said = '{"error": {"message": "参数错误 🙅", "code": "bad_value"'.encode()
    gateway.script(Raw(status=400, body=[said], end="close"))
    with pytest.raises(BadRequest) as caught:
        await gate.chat(MODEL, "嗨")
    assert caught.value.status == 400
    assert "参数错误 🙅" in caught.value.body


async def test_an_answer_that_is_called_off_is_closed(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """A body that nobody waits for any more does not stay on a connection that is kept."""
    turn = Gate()
    gateway.script(Raw(headers=JSON, body=[b'{"data": [', turn, b"]}"]), path="/v1/models")
    asking = asyncio.ensure_future(gate.models())
    await turn.reached()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await gateway.wait_connections(0)


async def test_an_answer_that_breaks_off_is_told(gateway: FakeGateway, gate: TokenGate) -> None:
    """Half of a JSON body is no answer, and not taken for a bad one."""
    half = Raw(headers=JSON, body=[b'{"data": ['], end="close")
    gateway.script(*[half] * 3, path="/v1/models")
    with pytest.raises(TransportError):
        await gate.models()


# --- redirects and downloads --------------------------------------------------------------------


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


@both_ways
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


@both_ways
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
