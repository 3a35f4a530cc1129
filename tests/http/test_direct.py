"""The ways around aiohttp: that they are in effect, and that nothing is lost on them."""

import asyncio
import contextlib
import gc
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.test_utils import TestServer

from aiotokengate import (
    Retry,
    StreamInterrupted,
    TokenGate,
    Unanswered,
    WireError,
)
from aiotokengate._http import direct, feeds, transport
from aiotokengate._http.connections import GuardedConnector, Progress
from aiotokengate._http.direct import DirectRequests, Response
from aiotokengate._http.proxies import Proxy
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from tests.support.common import sockets
from tests.support.raw_server import Wire, chat, plain, serving, tls, tunnelling

MODEL = "qwen3.6-max-preview"
MANY = 4_000
ONCE = Retry(attempts=1)


@pytest.fixture(params=["ours", "aiohttp's"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Go both ways: an aiohttp that is not known must do as well."""
    if request.param != "ours":
        monkeypatch.setattr(transport, "is_known", lambda: False)
        monkeypatch.setattr(direct, "_BUFFER_KNOWN", False)
        monkeypatch.setattr(feeds, "_is_known", lambda: False)
    return str(request.param)


ours_alone = pytest.mark.parametrize("way", ["ours"], indirect=True)
"""For what aiohttp's own way does not do."""


# --- alone --------------------------------------------------------------------------------------


def a_body() -> tuple[Any, ResponseHandler]:
    """Return a body of aiohttp's on no connection, and its protocol."""
    protocol = ResponseHandler(asyncio.get_running_loop())
    protocol.set_response_params()
    return aiohttp.StreamReader(protocol, 1024), protocol


@ours_alone
async def test_all_that_is_there_is_read_at_once() -> None:
    """And what comes later when it has come; what had come before an error is given first."""
    content, protocol = a_body()
    protocol.transport = asyncio.Transport()
    read = direct.reader_of(content)
    content.begin_http_chunk_receiving()
    for piece in ("好".encode(), b"b", b"c"):
        content.feed_data(piece)
        content.end_http_chunk_receiving()
    assert await read() == "好bc".encode()
    assert [*content._http_chunk_splits] == []
    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    content.feed_data(b"d")
    assert await reading == b"d"
    content.feed_data(b"e")
    failed = aiohttp.ClientPayloadError("cut")
    content.set_exception(failed)
    assert await read() == b"e"
    with pytest.raises(aiohttp.ClientPayloadError) as raised:
        await read()
    assert raised.value is failed


@ours_alone
async def test_a_body_that_is_over_and_one_without_a_connection() -> None:
    content, _ = a_body()
    read = direct.reader_of(content)
    with pytest.raises(aiohttp.ClientConnectionError, match="the connection is closed"):
        await read()
    content.feed_data(b"a")
    content.feed_eof()
    assert [await read() for _ in range(3)] == [b"a", b"", b""]
    assert await direct.reader_of(aiohttp.streams.EMPTY_PAYLOAD)() == b""


@ours_alone
async def test_a_reader_that_is_called_off_loses_nothing() -> None:
    """Nor does it keep others from reading."""
    content, protocol = a_body()
    protocol.transport = asyncio.Transport()
    read = direct.reader_of(content)
    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    waiting = asyncio.ensure_future(content.readany())
    await asyncio.sleep(0)
    content.feed_data(b"a")
    assert await waiting == b"a"


@ours_alone
async def test_a_full_buffer_holds_the_sender_until_it_is_read() -> None:
    """It is full at twice its limit, whatever was read before."""
    protocol = ResponseHandler(asyncio.get_running_loop())
    protocol.transport = asyncio.Transport()
    protocol.set_response_params(read_until_eof=True, read_bufsize=1000)
    protocol.data_received(b"HTTP/1.1 200 OK\r\n\r\n")
    _, content = await protocol.read()
    read = direct.reader_of(content)
    for size, held in ((1999, False), (2000, False), (2001, True), (2000, False)):
        protocol.data_received(b"x" * size)
        assert protocol._reading_paused is held
        assert len(await read()) == size
        assert not protocol._reading_paused


class Missing:
    """Has nothing."""


@pytest.mark.parametrize(
    "name", ["HttpResponseParser", "RawResponseMessage", "Connection", "ResponseHandler"]
)
async def test_where_a_part_has_another_name_requests_go_aiohttps_way(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    direct.is_known.cache_clear()
    assert direct.is_known()
    real = getattr(direct, name)
    monkeypatch.setattr(direct, name, Missing)
    direct.is_known.cache_clear()
    assert not direct.is_known()
    monkeypatch.setattr(direct, name, real)
    monkeypatch.setattr(direct, "GUARDED", False)
    direct.is_known.cache_clear()
    assert not direct.is_known()
    direct.is_known.cache_clear()


class Renamed(ResponseHandler):
    """Takes other parameters."""

    def set_response_params(self, *, read_until_eof: bool) -> None:  # type: ignore[override]
        """Take them."""


class OtherRequest(aiohttp.ClientRequest):
    """Takes them, too."""

    def __init__(self, method: str, url: Any) -> None:
        """Take them."""


class OtherStream:
    """Has no ``on_eof``."""

    exception = set_exception = None


@pytest.mark.parametrize(
    ("module", "name", "other"),
    [
        (direct, "ResponseHandler", Renamed),
        (aiohttp, "ClientRequest", OtherRequest),
        (aiohttp, "StreamReader", OtherStream),
    ],
)
async def test_where_a_part_takes_something_else_they_do_too(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, other: object
) -> None:
    monkeypatch.setattr(module, name, other)
    direct.is_known.cache_clear()
    assert not direct.is_known()
    direct.is_known.cache_clear()


def test_what_a_session_is_told_of_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what it takes."""

    class Session:
        def __init__(self, max_line_size: int, max_headers: int, more: str) -> None:
            """Take a part of it."""

    assert {*direct.header_limits().values()} <= {66_560, 1024}
    monkeypatch.setattr(aiohttp, "ClientSession", Session)
    assert direct.header_limits() == {"max_line_size": 66_560, "max_headers": 1024}


@pytest.mark.parametrize(
    ("lines", "fits"),
    [
        (["X-Policy: " + "a" * 66_500], True),
        (["X-Policy: " + "a" * 66_620], False),
        ([f"X-H{number}: v" for number in range(1023)], True),
        ([f"X-H{number}: v" for number in range(1024)], False),
    ],
    ids=["65 KiB", "more", "1,024 lines", "one more"],
)
async def test_a_long_head_is_read(lines: list[str], *, fits: bool) -> None:
    """An answer that was paid for is not thrown away for its form; only so long, though."""
    async with (
        serving(chat("好😊", *lines)[: None if fits else -1]) as server,
        TokenGate(base_url=f"{server.root}/v1", api_key="sk-x", proxy="", retry=ONCE) as gate,
    ):
        server.reply = plain(b"ok", *lines)
        if fits:
            assert await gate.request("GET", "/x") == b"ok"
        else:
            with pytest.raises(WireError, match="the answer was not HTTP"):
                await gate.request("GET", "/x")


class Writes(asyncio.Transport):
    """A connection that remembers what is written, and takes only so many writes."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.sizes: list[int] = []

    def is_closing(self) -> bool:
        return self.takes < 1

    def write(self, data: Any) -> None:
        self.takes -= 1
        self.sizes.append(len(data))


@pytest.mark.parametrize(
    ("size", "takes", "sizes", "left"),
    [
        (None, 9, [4], True),
        (65_536, 9, [65_540], True),
        (65_537, 9, [4, 65_537], True),
        (65_537, 2, [4, 65_537], True),
        (65_537, 1, [4], False),
        (5, 2, [9], True),
        (5, 1, [9], False),
        (5, 0, [], False),
    ],
)
def test_a_small_body_leaves_together_with_its_head(
    size: int | None, takes: int, sizes: list[int], *, left: bool
) -> None:
    """Whether anything may have left is known by what the kernel took."""
    link = Writes(takes)
    protocol: Any = SimpleNamespace(transport=link)
    body = None if size is None else b"x" * size
    assert direct._write(protocol, b"head", body) is left
    assert link.sizes == sizes
    protocol.transport = None
    assert direct._write(protocol, b"head", body) is False


@pytest.mark.parametrize(
    ("told", "is_over"), [("an end", True), ("a word", False), ("nothing", False)]
)
async def test_a_new_connection_that_has_ended_is_seen(told: str, *, is_over: bool) -> None:
    """What was certainly never sent may be sent again; a word before the end is worth hearing."""
    loop = asyncio.get_running_loop()
    mine, other = socket.socketpair()
    link, handler = await loop.create_connection(lambda: ResponseHandler(loop), sock=mine)
    handler.set_response_params()
    if told == "an end":
        other.close()
    elif told == "a word":
        other.send(plain(b"", status="503 Service Unavailable"))
    assert direct._is_over(handler) is is_over
    handler.force_close()  # as where it has said a whole answer, and that it ends with that
    assert direct._is_over(handler) is False
    link.abort()
    other.close()
    handler.transport = None
    assert direct._is_over(handler) is True


# --- one request --------------------------------------------------------------------------------

Spoil = Callable[[Connection], object]


class Spoiling(GuardedConnector):
    """Does something to each connection that it is about to hand out."""

    def __init__(self, *spoils: Spoil, **settings: Any) -> None:
        super().__init__(limit=0, **settings)
        self.spoils = [*spoils]

    async def usable(self, *settings: Any) -> tuple[Connection, bool]:
        connection, kept = await super().usable(*settings)
        if self.spoils:
            self.spoils.pop(0)(connection)
        return connection, kept


@asynccontextmanager
async def asking(*spoils: Spoil, **settings: Any) -> AsyncIterator[DirectRequests]:
    """Yield what sends over connections that are spoiled."""
    connector = Spoiling(*spoils, **settings)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield DirectRequests(session, connector)


async def ask(
    requests: DirectRequests,
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    progress: Progress | None = None,
    proxy: Proxy | None = None,
) -> Response:
    """Send a request with the headers that aiohttp would add."""
    headers = (("Accept", "a/b"), ("Accept-Encoding", "x"), ("User-Agent", "u"))
    timeout = aiohttp.ClientTimeout(total=None)
    sent = progress or Progress()
    return await requests.send(method, url, headers, body, timeout, sent, proxy)


async def content_of(response: Response) -> bytes:
    """Return the whole body."""
    return await response.content.read()


LINES = "Accept: a/b\r\nAccept-Encoding: x\r\nUser-Agent: u\r\n"


@ours_alone
@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        *(("GET", None, ""), ("HEAD", None, ""), ("OPTIONS", None, ""), ("TRACE", None, "")),
        *(("POST", None, "0"), ("DELETE", None, "0"), ("POST", b"", "0"), ("GET", b"", "0")),
        ("POST", "好".encode(), "3"),
    ],
)
async def test_the_head_of_a_request(method: str, body: bytes | None, length: str) -> None:
    """Twice the same, on one connection; without what it has no body for."""
    async with serving(plain(b"" if method == "HEAD" else b"ok")) as server, asking() as requests:
        for _ in range(2):
            response = await ask(requests, f"{server.root}/a%20b?c=d#e", method, body)
            assert str(response.url) == f"{server.root}/a%20b?c=d"
            await content_of(response)
        more = f"Content-Length: {length}\r\n" if length else ""
        host = f"Host: 127.0.0.1:{server.port}\r\n"
        heads = {head.replace(host, "") for head in server.heads}
        assert heads == {f"{method} /a%20b?c=d HTTP/1.1\r\n{LINES}{more}\r\n"}
        assert [wire.count for wire in server.wires] == [2]


@ours_alone
async def test_what_a_proxy_is_asked() -> None:
    """For http the whole address; for https the gateway is asked as ever, through a tunnel."""
    proxied = "GET http://gateway.test/a?b HTTP/1.1\r\n"
    async with serving(plain(b"ok")) as server, asking() as requests:
        proxy = Proxy("http", "127.0.0.1", server.port)
        await content_of(await ask(requests, "http://gateway.test/a?b", proxy=proxy))
        assert server.heads[0].startswith(proxied)
    secure, trusting = tls("gateway.test")
    async with (
        serving(plain(b"ok"), tls=secure) as server,
        tunnelling(server) as tunnel,
        asking(ssl=trusting) as requests,
    ):
        proxy = Proxy("http", "127.0.0.1", tunnel.port)
        await content_of(await ask(requests, "https://gateway.test/a?b", proxy=proxy))
        assert server.heads[0].startswith("GET /a?b HTTP/1.1\r\n")


@ours_alone
async def test_a_connection_that_is_not_to_be_kept_is_said_to_end() -> None:
    async with serving(plain(b"ok")) as server, asking(force_close=True) as requests:
        for _ in range(2):
            await content_of(await ask(requests, server.root))
            assert server.lines()["connection"] == ["close"]
        assert [wire.count for wire in server.wires] == [1, 1]


@ours_alone
async def test_where_an_answer_ends_that_says_no_length() -> None:
    """With its connection; one to HEAD has no body, whatever it says."""
    async with serving(plain(b"12345")[:-5]) as server, asking() as requests:
        response = await ask(requests, server.root, "HEAD")
        assert (response.headers["Content-Length"], response.closed) == ("5", True)
        assert await content_of(response) == b""

        async def ends(wire: Wire) -> bytes:
            wire.later(wire.close)
            return b"HTTP/1.1 206 OK\r\n\r\nabc"

        server.reply = ends
        response = await ask(requests, server.root)
        assert response.status == 206
        assert await content_of(response) == b"abc"
        assert [wire.count for wire in server.wires] == [2]


@ours_alone
@pytest.mark.parametrize("status", [100, 102, 103, 199])
async def test_a_head_that_comes_before_is_passed_over(status: int) -> None:
    early = f"HTTP/1.1 {status} Early\r\nX: y\r\n\r\n".encode()
    async with serving(early * 2 + plain(b"ok", status="200 OK")) as server, asking() as requests:
        response = await ask(requests, server.root)
        assert (response.status, await content_of(response)) == (200, b"ok")


@ours_alone
async def test_one_that_changes_the_protocol_is_an_answer() -> None:
    async with serving(b"HTTP/1.1 101 Other\r\n\r\n") as server, asking() as requests:
        response = await ask(requests, server.root)
        assert response.status == 101
        response.close()


@ours_alone
@pytest.mark.parametrize("begun", ["", "HTT", "HTTP/1.1 103 x\r\n\r\n"])
async def test_how_far_a_request_came_that_was_not_answered(begun: str) -> None:
    """And its connection is not used again."""

    async def ends(wire: Wire) -> bytes:
        wire.later(wire.close)
        return begun.encode()

    async with serving(ends) as server, asking() as requests:
        for number in (1, 2):
            progress = Progress()
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await ask(requests, server.root, progress=progress)
            assert (progress.sent, progress.kept) == (True, False)
            assert progress.begun is bool(begun)
            assert [wire.count for wire in server.wires] == [1] * number


def gone(connection: Connection) -> None:
    """Close a connection."""
    assert connection.transport is not None
    connection.transport.abort()


def deafened(connection: Connection) -> None:
    """Have the kernel take nothing more."""
    assert connection.transport is not None
    connection.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)


def unlinked(connection: Connection) -> None:
    """Leave a connection without its transport."""
    assert connection.protocol is not None
    gone(connection)
    connection.protocol.transport = None


def kept_as_it_is(_: Connection) -> None:
    """Do nothing."""


@ours_alone
@pytest.mark.parametrize("spoil", [gone, deafened, unlinked])
async def test_a_kept_connection_that_takes_no_byte_is_replaced(spoil: Spoil) -> None:
    """Nothing of the request has left, so nobody needs to know; a new one that does is told."""
    progress = Progress()
    async with (
        serving(plain(b"ok")) as server,
        asking(kept_as_it_is, spoil, kept_as_it_is) as requests,
    ):
        await content_of(await ask(requests, server.root, progress=progress))
        assert (progress.sent, progress.kept) == (True, False)
        response = await ask(requests, server.root, "POST", b"x", progress)
        assert await content_of(response) == b"ok"
        assert (progress.sent, progress.kept) == (True, False)
        assert [wire.count for wire in server.wires] == [1, 1]
        await content_of(await ask(requests, server.root, progress=progress))
        assert (progress.sent, progress.kept) == (True, True)
        progress = Progress()
    async with serving(plain(b"ok")) as server, asking(spoil) as requests:
        with pytest.raises(aiohttp.ServerDisconnectedError, match="before the request was sent"):
            await ask(requests, server.root, progress=progress)
        assert (progress.sent, progress.kept, server.heads) == (False, False, [])


@ours_alone
async def test_a_mistake_while_a_request_is_written_closes_its_connection() -> None:
    def wrong(connection: Connection) -> None:
        protocol: Any = connection.protocol
        protocol.set_response_params = None

    async with serving(plain(b"ok")) as server, asking(wrong) as requests:
        with pytest.raises(TypeError):
            await ask(requests, server.root)
        await content_of(await ask(requests, server.root))
        assert [wire.count for wire in server.wires] == [0, 1]


@ours_alone
async def test_an_answer_that_is_closed_is_read_no_further() -> None:
    """Unless all of it was read, and its connection has gone back."""
    async with serving(plain(b"abcdef")[:-3]) as server, asking() as requests:
        response = await ask(requests, server.root)
        assert not response.closed
        response.close()
        assert response.closed
        with pytest.raises(aiohttp.ClientConnectionError, match="the connection is closed"):
            await response.content.readany()
        server.reply = plain(b"ok")
        response = await ask(requests, server.root)
        assert await content_of(response) == b"ok"
        assert response.closed
        response.close()
        assert await content_of(response) == b""
        await ask(requests, server.root)
        assert [wire.count for wire in server.wires] == [1, 2]

        async def ends(wire: Wire) -> bytes:
            wire.later(wire.close)
            return plain(b"abcdef")[:-3]

        server.reply = ends
        response = await ask(requests, server.root)
        with pytest.raises(aiohttp.ClientPayloadError):
            await content_of(response)
        response.close()
        assert isinstance(response.content.exception(), aiohttp.ClientPayloadError)


@ours_alone
async def test_an_answer_that_nobody_holds_lets_its_connection_go() -> None:
    async with serving(plain(b"abcdef")[:-3]) as server, asking() as requests:
        await ask(requests, server.root)
        gc.collect()
        server.reply = plain(b"ok")
        await content_of(await ask(requests, server.root))
        assert [wire.count for wire in server.wires] == [1, 1]
        held = await ask(requests, server.root)
    del held
    gc.collect()


@ours_alone
async def test_what_was_made_for_earlier_requests_is_forgotten_in_time() -> None:
    """A caller's headers may change with each call."""
    async with asking() as requests:
        made = [requests._target("GET", "http://a/", (("X", str(at)),), None) for at in range(64)]
        assert made[0] is requests._target("GET", "http://a/", (("X", "0"),), None)
        assert len(requests._targets) == 64
        requests._target("GET", "http://a/", (("X", "64"),), None)
        assert len(requests._targets) == 1
        assert made[0] is not requests._target("GET", "http://a/", (("X", "0"),), None)
        assert [b"X: 63\r\n" in target.head for target in made[-2:]] == [False, True]


# --- what calls meet -----------------------------------------------------------------------------

ANSWER = b'{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


class _Reads(asyncio.Protocol):
    """A server that answers each request, and remembers what each read gave."""

    def __init__(self, reads: list[bytes]) -> None:
        self._reads = reads
        self._begun = b""
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        self._reads.append(data)
        self._begun += data
        head, _, body = self._begun.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self._begun = b""
            self._transport.write(HEAD)
            self._transport.write(ANSWER)


@asynccontextmanager
async def served(reads: list[bytes]) -> AsyncIterator[TokenGate]:
    loop = asyncio.get_running_loop()
    connections: list[_Reads] = []

    def connected() -> _Reads:
        connections.append(_Reads(reads))
        return connections[-1]

    server = await loop.create_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with TokenGate(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-x") as gate:
            yield gate
        for connection in connections:
            await connection.closed.wait()


async def test_they_are_in_effect(way: str) -> None:
    """An aiohttp that is built otherwise is used in its own way, and this test says so."""
    direct.is_known.cache_clear()
    assert direct.is_known()
    if way != "ours":
        return
    reader = aiohttp.StreamReader(ResponseHandler(asyncio.get_running_loop()), 1)
    assert direct.reader_of(reader) != reader.readany


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_read_asks_for_no_more_than_malloc_has_at_hand(
    monkeypatch: pytest.MonkeyPatch, way: str, *, encrypted: bool
) -> None:
    """Over TLS, that is the read of what was decrypted."""
    found: list[Any] = []
    plain = direct.read_less

    def noted(transport: Any) -> None:
        plain(transport)
        found.append(transport)

    for module in (direct, feeds):
        monkeypatch.setattr(module, "read_less", noted)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with (
        FakeGateway(ssl=server if encrypted else None) as gateway,
        TokenGate(
            api_key=gateway.api_key, base_url=gateway.base_url, ssl=client if encrypted else True
        ) as gate,
    ):
        assert (await gate.chat(MODEL, "嗨")).status == "complete"
    sizes = [(it._ssl_protocol if encrypted else it).max_size for it in found]
    assert {*sizes} == ({65_536} if way == "ours" else set())


async def test_a_request_is_one_write(way: str) -> None:
    reads: list[bytes] = []
    async with served(reads) as gate:
        for _ in range(3):
            assert (await gate.chat(MODEL, "你好😊", stream=False)).answer == "ok"
    if way == "ours":
        assert len(reads) == 3
        assert all("你好😊".encode() in read for read in reads)
    assert b"".join(reads).count("你好😊".encode()) == 3


async def test_both_ways_send_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bytes] = []
    async with served(reads) as gate:
        for known in (True, False):
            monkeypatch.setattr(transport, "is_known", lambda known=known: known)
            async with TokenGate(base_url=gate.base_url, api_key="sk-x") as other:
                await other.chat(MODEL, "你好😊", stream=False, extra_headers={"X-Who": "bot"})
    sent = b"".join(reads).split(b"POST ")[1:]
    assert len(sent) == 2
    assert lines_of(sent[0]) == lines_of(sent[1])
    assert sent[0].partition(b"\r\n\r\n")[2] == sent[1].partition(b"\r\n\r\n")[2]


async def test_heads_before_the_answers_own_are_passed_over(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    gateway.script(Raw(status=None, body=[early, early + HEAD, ANSWER]))
    assert (await gate.chat(MODEL, "嗨", stream=False)).answer == "ok"


@pytest.mark.parametrize("begun", [b"", HEAD[:20]])
async def test_a_connection_that_ends_before_the_answer(
    gateway: FakeGateway, gate: TokenGate, begun: bytes
) -> None:
    gateway.script(Raw(status=None, body=begun, end="close"))
    with pytest.raises(Unanswered, match="closed the connection before it answered") as raised:
        await gate.chat(MODEL, "嗨", retry=ONCE)
    assert not raised.value.reconnectable


async def test_what_is_not_http_is_named(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(Raw(status=None, body=b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    with pytest.raises(WireError, match="the answer was not HTTP") as raised:
        await gate.chat(MODEL, "嗨")
    assert len(raised.value.message.splitlines()) == 1
    assert len(gateway.requests) == 1


async def test_a_call_cancelled_before_the_answer_closes_its_connection(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Kept, it would give the answer to this question to whoever asks next."""
    gateway.script(Raw(status=None, body=b"", end="hang"), ScriptedReply(answer="二"))
    call = asyncio.ensure_future(gate.chat(MODEL, "一"))
    await gateway.wait_requests(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gateway.requests[0].disconnected.wait()
    assert (await gate.chat(MODEL, "二")).answer == "二"


@ours_alone
async def test_what_came_unasked_is_no_answer(gateway: FakeGateway, gate: TokenGate) -> None:
    """A server that says something to an idle client is not asked on that connection again.

    Else every answer would be taken for that to the next question, as aiohttp's session does.
    """
    late = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    idle = Gate()
    gateway.script(
        Raw(status=None, body=[HEAD + ANSWER, idle, late], end="hang"),
        *[ScriptedReply(answer=f"答{number}") for number in range(3)],
    )
    assert (await gate.chat(MODEL, "嗨", stream=False)).answer == "ok"
    idle.open()
    for _ in range(20):
        await asyncio.sleep(0)
    for number in range(3):
        assert (await gate.chat(MODEL, "嗨", retry=ONCE)).answer == f"答{number}"
    assert [request.connection for request in gateway.requests] == [1, 2, 2, 2]


@asynccontextmanager
async def deaf(answer: bytes) -> AsyncIterator[tuple[TokenGate, asyncio.Queue[object]]]:
    """Yield a session with a server that answers to a head and reads no body, and who asked it."""
    over = asyncio.Event()
    asked: asyncio.Queue[object] = asyncio.Queue()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        asked.put_nowait(writer.get_extra_info("peername"))
        await over.wait()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        async with TokenGate(base_url=address, api_key="sk-x", proxy="", retry=ONCE) as gate:
            yield gate, asked
        over.set()
        await asyncio.gather(*serving)


LARGE = "长" * 5_000_000


async def test_a_request_that_was_answered_early_is_no_beginning_of_the_next() -> None:
    """A connection on which a part of one still waits is not used again."""
    async with deaf(HEAD + ANSWER) as (gate, asked):
        for _ in range(2):
            assert (await gate.chat(MODEL, LARGE, stream=False)).answer == "ok"
        assert await asked.get() != await asked.get()


@ours_alone
async def test_a_request_that_is_called_off_leaves_no_socket() -> None:
    """Not even one that has a lot to send to a server that does not read."""
    async with deaf(b"") as (gate, asked):
        call = asyncio.ensure_future(gate.chat(MODEL, LARGE))
        ours = await asked.get()
        assert ours in {found.getsockname() for found in sockets()}
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(0)
        assert ours not in {found.getsockname() for found in sockets()}


async def test_the_key_is_in_no_traceback(gateway: FakeGateway, gate: TokenGate) -> None:
    """Not where a broken proxy quotes it in a head that is not HTTP, either."""
    key = gateway.api_key.encode()
    head = b"HTTP/1.1 200 OK\r\nAuthorization : Bearer %b\r\n\r\n" % key
    gateway.script(Raw(status=None, body=head))
    with pytest.raises(WireError, match="the answer was not HTTP") as raised:
        await gate.chat(MODEL, "嗨", retry=ONCE)
    assert gateway.api_key not in "".join(traceback.format_exception(raised.value))


async def test_a_connection_serves_again(gateway: FakeGateway, gate: TokenGate) -> None:
    """So does that of a reply without a body, and of one that was read to its end."""
    gateway.script(Raw(status=204), ScriptedReply(answer="一"), ScriptedReply(answer="二"))
    with pytest.raises(StreamInterrupted, match="before its first token"):
        await gate.chat(MODEL, "嗨", retry=ONCE)
    for _ in range(2):
        await gate.chat(MODEL, "嗨")
    assert {request.connection for request in gateway.requests} == {1}


async def test_a_broken_answer_that_nobody_closes_is_let_go(gateway: FakeGateway) -> None:
    """Without a word: what is left of it is in nobody's hands."""
    gateway.script(Raw(body=b"data: {}\n\n", end="reset"))
    headers = {"Authorization": f"Bearer {gateway.api_key}", "Content-Type": "application/json"}
    sender = transport.Transport(gateway.base_url, headers=headers, proxy="", ssl=True)
    body = b'{"model": "%b", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
    url = f"{gateway.base_url}/chat/completions"
    answer = await sender.send("POST", url, data=body % MODEL.encode())
    with pytest.raises((aiohttp.ClientError, OSError)):
        while await answer.read():
            pass
    del answer
    gc.collect()
    await sender.close()


async def test_a_large_request_arrives_whole() -> None:
    reads: list[bytes] = []
    prompt = "长" * 1_000_000
    async with served(reads) as gate:
        assert (await gate.chat(MODEL, prompt, stream=False)).answer == "ok"
        assert (await gate.chat(MODEL, "短", stream=False)).answer == "ok"
    assert b"".join(reads).count(prompt.encode()) == 1


async def test_a_slow_reader_gets_everything(gateway: FakeGateway, gate: TokenGate) -> None:
    """What the reader leaves lying holds the sender, and taking it lets the sender go on."""
    pieces = [f"第{number}段" + "内容" * 50 for number in range(MANY)]
    gateway.script(ScriptedReply(answer=pieces))
    read = []
    async with gate.chat(MODEL, "嗨") as stream:
        async for piece in stream.answer:
            read.append(piece)
            if len(read) % 200 == 0:
                for _ in range(20):
                    await asyncio.sleep(0)
    assert read == pieces


async def test_what_came_before_a_cut_is_given(gateway: FakeGateway, gate: TokenGate) -> None:
    text = 'data: {"choices":[{"index":0,"delta":{"content":"来了"}}]}\n\n'
    gateway.script(Raw(body=text.encode(), end="reset"))
    with pytest.raises(StreamInterrupted) as caught:
        await gate.chat(MODEL, "嗨")
    assert caught.value.partial.answer == "来了"


async def test_headers_are_whole_and_said_once() -> None:
    """What is the same for all requests was made once; what a call adds goes over it."""
    reads: list[bytes] = []
    async with served(reads) as gate:
        await gate.chat(MODEL, "嗨", stream=False)
        more = {"X-Who": "bot", "Host": "other.example", "user-agent": "mine"}
        await gate.chat(MODEL, "嗨", stream=False, extra_headers=more)
        port = int(gate.base_url.rpartition(":")[2].partition("/")[0])
    first, second = (lines_of(read) for read in reads)
    assert first["host"] == [f"127.0.0.1:{port}"]
    assert second["host"] == ["other.example"]
    assert second["user-agent"] == ["mine"]
    assert second["x-who"] == ["bot"]
    assert all(len(values) == 1 for head in (first, second) for values in head.values())
    assert {*first, "x-who"} == {*second}
    assert {"authorization", "content-type", "content-length", "accept"} <= {*first}


def lines_of(request: bytes) -> dict[str, list[str]]:
    head = request.partition(b"\r\n\r\n")[0].decode()
    found: dict[str, list[str]] = {}
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


async def test_a_redirect_elsewhere_keeps_the_body() -> None:
    """On other hosts redirects are followed, and a small body goes along."""
    got: list[bytes] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/from":
            return web.Response(status=307, headers={"Location": "/to"})
        got.append(await request.read())
        return web.json_response({"done": True})

    app = web.Application()
    app.router.add_route("*", "/{_:.*}", answer)
    async with TestServer(app) as other, served([]) as gate:
        asked = await gate.request("POST", str(other.make_url("/from")), json={"问": "😊"})
    assert asked == {"done": True}
    assert got == ['{"问":"😊"}'.encode()]


async def test_a_broken_connection_withholds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where aiohttp's buffer has another name, what it holds stays with it."""
    protocol = ResponseHandler(asyncio.get_running_loop())
    content = aiohttp.StreamReader(protocol, 1024)
    content.feed_data("半".encode())
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    assert direct.salvaged(content) == "半".encode()
    monkeypatch.setattr(direct, "_REST_KNOWN", False)
    assert direct.salvaged(content) == b""
