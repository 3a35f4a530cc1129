"""Which connection a request goes on, whichever way it goes: directly, over a proxy, as a form."""

import asyncio
import contextlib
import gc
import importlib.util
import select
import socket
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from aiotokengate import CallerError, Retry, TokenGate, Unanswered
from aiotokengate._http import connections, direct, transport
from aiotokengate._http.connections import (
    GuardedConnector,
    Progress,
    _has_begun,
    has_answered,
    has_ended,
    merged,
    parsed,
    progress_traces,
)
from tests.support.raw_server import RawServer, Wire, chat, plain, serving, tls, tunnelling

MODEL = "qwen3.6-max-preview"
ONCE = Retry(attempts=1)
KEY = "sk-geheim"
ROUTES = ["direct", "proxy", "connect"]


@pytest.fixture(params=["ours", "aiohttp's"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Go both ways: an aiohttp that is not known must do as well."""
    if request.param != "ours":
        monkeypatch.setattr(transport, "is_known", lambda: False)
        monkeypatch.setattr(direct, "_BUFFER_KNOWN", False)
    return str(request.param)


@asynccontextmanager
async def reached(
    route: str, reply: object, login: str = ""
) -> AsyncIterator[tuple[TokenGate, RawServer, RawServer | None]]:
    """Return a session that reaches a server by a route, the server, and the proxy for CONNECT."""
    secure, trusting = tls("gateway.test") if route == "connect" else (None, True)
    more = {"api_key": KEY, "retry": ONCE, "extra_headers": {"X-Tenant": "租户".encode().hex()}}
    async with serving(reply, tls=secure) as server:  # type: ignore[arg-type]
        if route == "direct":
            async with TokenGate(base_url=f"{server.root}/v1", proxy="", **more) as gate:  # type: ignore[arg-type]
                yield gate, server, None
        elif route == "proxy":
            proxy = f"http://{login}127.0.0.1:{server.port}"
            async with TokenGate(base_url="http://gateway.test/v1", proxy=proxy, **more) as gate:  # type: ignore[arg-type]
                yield gate, server, None
        else:
            async with tunnelling(server) as front:
                proxy = f"http://{login}127.0.0.1:{front.port}"
                address = "https://gateway.test/v1"
                async with TokenGate(base_url=address, proxy=proxy, ssl=trusting, **more) as gate:  # type: ignore[arg-type]
                    yield gate, server, front


async def said(gate: TokenGate, prompt: str = "嗨") -> str:
    return (await gate.chat(MODEL, prompt)).answer


# --- connections that serve again ---------------------------------------------------------------


@pytest.mark.parametrize("login", ["", "bot:p%40ss@"])
@pytest.mark.parametrize("route", ROUTES)
async def test_a_connection_is_kept(route: str, login: str) -> None:
    async with reached(route, chat("好😊"), login) as (gate, server, _):
        for _ in range(5):
            assert await said(gate) == "好😊"
        assert len(server.wires) == 1


@pytest.mark.parametrize("route", ROUTES)
async def test_one_that_the_peer_has_closed_is_not_used(route: str) -> None:
    """The server closes with the last byte; the next call is made in the same step of the loop."""
    text = 'data: {"choices":[{"delta":{"content":"好"},"finish_reason":"stop"}]}\n\n'
    event = f"{text}data: [DONE]\n\n".encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    stream = b"%b%x\r\n%b\r\n0\r\n\r\n" % (head.encode(), len(event), event)

    async def last(wire: Wire) -> None:
        wire.writer.write(stream)
        wire.close()

    async with reached(route, last) as (gate, server, _):
        for _ in range(30):
            reply = await gate.chat(MODEL, "嗨")
            assert (reply.answer, len(reply.attempts)) == ("好", 1)
        assert len(server.heads) == len(server.wires) == 30


async def test_one_that_was_reset_after_its_answer_is_not_used() -> None:
    async def resets(wire: Wire) -> bytes:
        wire.later(wire.reset)
        return chat("好")

    async with reached("direct", resets) as (gate, server, _):
        for _ in range(5):
            assert await said(gate) == "好"
            await server.wires[-1].quiet()
        assert len(server.heads) == 5


UNASKED = [
    chat("给别人的"),
    plain(b"", status="408 Request Timeout"),
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"noise",
]


@pytest.mark.parametrize("unasked", UNASKED)
@pytest.mark.parametrize("route", ROUTES)
async def test_what_came_unasked_is_nobodys_answer(route: str, unasked: bytes) -> None:
    """Not a whole answer, not the beginning of one whose rest comes with the next request."""

    async def answer(wire: Wire) -> bytes:
        if wire.count == 1:
            wire.later(unasked)
            return chat(f"答{wire.number}")
        return b"ngth: 0\r\n\r\n" + chat("错")

    async with reached(route, answer) as (gate, server, _):
        for number in range(1, 4):
            assert await said(gate) == f"答{number}"
            await server.wires[-1].quiet()


async def test_nor_that_of_an_upload() -> None:
    async def answer(wire: Wire) -> bytes:
        if "/chat/" in wire.head:
            wire.later(plain(b'{"text": "stale"}'))
            return chat("好")
        return plain('{"text": "听写😊"}'.encode())

    async with reached("direct", answer) as (gate, server, _):
        for _ in range(2):
            await said(gate)
            await server.wires[-1].quiet()
            assert (await gate.audio.transcribe("whisper-1", b"RIFF" * 9)).text == "听写😊"


async def test_without_a_look_at_them_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aiohttp of which too little is known opens a connection for each request."""
    for module in (transport, connections):
        monkeypatch.setattr(module, "GUARDED", False)
    monkeypatch.setattr(transport, "is_known", lambda: False)
    async with reached("direct", chat("好")) as (gate, server, _):
        for _ in range(3):
            assert await said(gate) == "好"
        assert len(server.wires) == 3


# --- fresh connections --------------------------------------------------------------------------


async def test_a_kept_one_that_dies_is_replaced_by_a_fresh_one() -> None:
    """Not by another kept one, which may be dying, too."""

    async def second_dies(wire: Wire) -> bytes | None:
        if wire.count == 1:
            return chat("好")
        wire.reset()
        return None

    async with reached("direct", second_dies) as (gate, server, _):
        await asyncio.gather(*(said(gate) for _ in range(4)))
        assert await said(gate) == "好"
        assert sorted(wire.count for wire in server.wires) == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("begun", ["", "HTT", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 x\r\n\r\n"])
async def test_one_that_died_without_a_byte_may_be_replaced(
    begun: str, *, resets: bool, way: str
) -> None:
    """Where an answer has begun, the request has arrived; so it has on one that was new."""

    async def second_dies(wire: Wire) -> bytes | None:
        if wire.count == 1 and "/new" not in wire.head:
            return chat("好")
        wire.writer.write(begun.encode())
        asyncio.get_running_loop().call_later(0.01, wire.reset if resets else wire.close)
        return None

    if way != "ours" and (resets or "103" in begun):
        begun = ""  # of which aiohttp's own way says nothing
    async with serving(second_dies) as server:
        for path, kept in (("/kept", True), ("/new", False)):
            sender = transport.Transport(server.root, headers={}, proxy="", ssl=True)
            if kept:
                await (await sender.send("GET", server.root + path)).whole(1000)
            with pytest.raises(Unanswered) as raised:
                await sender.send("GET", server.root + path)
            assert raised.value.reconnectable is (kept and not begun)
            await sender.close()


@pytest.mark.parametrize("told", [b"", b"x", None], ids=["an end", "a byte", "nothing"])
async def test_the_kernel_is_asked_before_a_kept_one_is_used(told: bytes | None) -> None:
    """What the loop has not met yet counts as well."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    link, handler = await loop.create_connection(lambda: ResponseHandler(loop), sock=ours)
    if told:
        theirs.send(told)
    elif told is not None:
        theirs.close()
    assert not handler.should_close
    assert connections.is_fit(handler) is (told is None)
    link.abort()
    theirs.close()


async def test_one_that_is_closing_or_closed_is_not_fit() -> None:
    """Nor is one whose last answer said that it was the last."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    link, handler = await loop.create_connection(lambda: ResponseHandler(loop), sock=ours)
    assert connections.is_fit(handler)
    handler.force_close()
    assert not connections.is_fit(handler)
    link.abort()
    handler._should_close = False
    assert not connections.is_fit(handler)
    handler.transport = None
    assert not connections.is_fit(handler)
    theirs.close()


@pytest.mark.parametrize("guarded", [True, False])
async def test_whether_a_connection_has_served(
    monkeypatch: pytest.MonkeyPatch, *, guarded: bool
) -> None:
    """Nothing is said of it where it can't be looked at."""
    monkeypatch.setattr(connections, "GUARDED", guarded)
    loop = asyncio.get_running_loop()
    found = []
    async with serving(plain(b"")) as server:
        connector = GuardedConnector()
        request: Any = aiohttp.ClientRequest("GET", parsed(server.root), loop=loop)
        for _ in range(2):
            link, kept = await connector.usable(request, aiohttp.ClientTimeout(), [])
            found.append(kept)
            link.release()
        await connector.close()
    assert found == [False, guarded]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_new_one_that_has_ended_is_seen_before_a_byte_is_written(*, ends: bool) -> None:
    """What was certainly never sent may be sent again; so the kernel is asked first."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    link, _ = await loop.create_connection(lambda: ResponseHandler(loop), sock=ours)
    if ends:
        theirs.close()
    else:
        theirs.send(plain(b"", status="503 Service Unavailable"))  # said, and worth hearing
    assert connections.has_ended(link) is ends
    link.abort()
    theirs.close()


# --- what proxies are told ----------------------------------------------------------------------


@pytest.mark.parametrize("login", ["", "bot:p%40ss@"])
async def test_connect_holds_nothing_of_the_session(login: str) -> None:
    """What aiohttp itself adds, and the proxy's own credentials."""
    async with reached("connect", chat("好"), login) as (gate, server, front):
        assert await said(gate) == "好"
        assert front is not None
        told = front.lines()
        own = {"proxy-authorization": ["Basic Ym90OnBAc3M="]} if login else {}
        assert told.pop("user-agent")[0].startswith("Python")
        assert told == {
            "host": ["gateway.test"],
            "accept": ["*/*"],
            "accept-encoding": told["accept-encoding"],
            **own,
        }
        assert KEY not in front.heads[0]
        assert server.lines()["authorization"] == [f"Bearer {KEY}"]
        assert "proxy-authorization" not in server.lines()


@pytest.mark.parametrize("login", ["", "bot:p%40ss@"])
async def test_a_plain_proxy_is_told_its_own_credentials_only(login: str) -> None:
    async with reached("proxy", chat("好"), login) as (gate, server, _):
        assert await said(gate) == "好"
        assert server.heads[0].startswith("POST http://gateway.test/v1/chat/completions HTTP/1.1")
        lines = server.lines()
        assert lines["authorization"] == [f"Bearer {KEY}"]
        assert lines.get("proxy-authorization", []) == (["Basic Ym90OnBAc3M="] if login else [])


async def test_headers_are_the_same_on_every_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in both ways."""
    found = []
    for route in ROUTES:
        for known in (True, False):
            monkeypatch.setattr(transport, "is_known", lambda known=known: known)
            async with reached(route, chat("好")) as (gate, server, _):
                await gate.chat(MODEL, "嗨", extra_headers={"X-Who": "bot", "accept": "x/y"})
                lines = server.lines()
                lines.pop("host")
                found.append(lines)
    assert all(lines == found[0] for lines in found)
    assert found[0]["accept"] == ["x/y"]


# --- alone --------------------------------------------------------------------------------------


def test_headers_are_merged() -> None:
    """Later ones go over earlier ones, however they are spelt; none begins another line."""
    lines = merged((("X-A", "1"), ("x-a", "2"), ("X-B", "3")))
    assert [*lines.values()] == ["2", "3"]
    with pytest.raises(CallerError, match="control characters, got one in 'X-A'") as raised:
        merged((("X-A", "geheim\r\nX-B: 1"),))
    assert "geheim" not in str(raised.value)


def test_an_address_that_is_none() -> None:
    """It is named without what may be a password."""
    assert parsed("http://a:1/v1").port == 1
    with pytest.raises(CallerError, match="expected an http or https address") as raised:
        parsed("http://bot:geheim99@a:port/")
    assert "geheim99" not in str(raised.value)


class Told:
    """A parser that says the same to everything, or raises."""

    def __init__(self, said: object) -> None:
        self.said = said

    def feed_eof(self) -> object:
        """Say it at the end."""
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def feed_data(self, _data: bytes) -> object:
        """Say it of more bytes."""
        return self.feed_eof()


@pytest.mark.parametrize(
    ("parser", "begun"),
    [(None, False), (Told(None), False), (Told(object()), True), (Told(ValueError()), True)],
    ids=["none", "clean", "half a head", "broken"],
)
def test_a_head_that_nobody_asked_for(parser: object, begun: bool) -> None:
    """Whatever the parser does not call a clean end has begun."""
    assert _has_begun(parser) is begun


@pytest.mark.parametrize(
    ("before", "answered"),
    [(b"", False), (b"HTTP", True), (b"HTTP/1.1 200 OK\r\nX: 1", True), (b"\x00", True)],
)
async def test_whether_a_byte_of_an_answer_came(before: bytes, answered: bool) -> None:
    """A parser that was fed nothing takes a whole answer for one, and any other does not."""
    protocol: Any = ResponseHandler(asyncio.get_running_loop())
    protocol.set_response_params()
    if before:
        with contextlib.suppress(Exception):
            protocol._parser.feed_data(before)
    assert has_answered(protocol._parser) is answered


class Connected:
    """A transport over one end of a pair of sockets, or over none."""

    def __init__(self, end: socket.socket | None) -> None:
        self.end = end

    def get_extra_info(self, _name: str) -> socket.socket | None:
        """Return the socket."""
        return self.end


def test_whether_the_peer_has_gone() -> None:
    """A word before it is none; a socket that is closed here, or is none, has its own answer."""
    mine, other = socket.socketpair()
    mine.setblocking(False)
    transport: Any = Connected(mine)
    assert not has_ended(transport)
    other.send(b"x")
    assert not has_ended(transport)
    mine.recv(1)
    other.close()
    assert has_ended(transport)
    mine.close()
    assert has_ended(transport)
    nothing: Any = Connected(None)
    assert not has_ended(nothing)


async def test_progress_as_aiohttp_tells_it() -> None:
    """How far a request came, and that it is sent once."""
    traces, progress = progress_traces(), Progress()
    session: Any = None
    context = SimpleNamespace(trace_request_ctx=progress)
    details: Any = None

    async def tell(signal: Any) -> None:
        for told in signal:
            await told(session, context, details)

    await tell(traces.on_connection_create_start)
    assert (progress.kept, progress.sent) == (False, False)
    await tell(traces.on_connection_reuseconn)
    assert (progress.kept, progress.sent) == (True, False)
    await tell(traces.on_request_headers_sent)
    assert progress.sent
    for again in (traces.on_connection_create_start, traces.on_connection_reuseconn):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await tell(again)
    await tell(traces.on_request_redirect)
    assert not progress.sent


@pytest.mark.parametrize("disowned", [True, False])
async def test_who_is_told_of_connections_that_were_left_open(*, disowned: bool) -> None:
    """Their owner, and nobody else."""
    async with serving(plain(b"ok")) as server:
        connector = GuardedConnector()
        session = aiohttp.ClientSession(connector=connector)
        async with session.get(server.root) as response:
            assert await response.read() == b"ok"
        session.detach()
        connector.disowned = disowned
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            del connector, session, response
            gc.collect()
        assert [one.category for one in told] == ([] if disowned else [ResourceWarning])


def test_a_system_without_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has select alone, and what it says is the same."""
    monkeypatch.delattr(select, "poll")
    spec = importlib.util.spec_from_file_location("connections_on_windows", connections.__file__)
    assert spec is not None
    assert spec.loader is not None
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    mine, other = socket.socketpair()
    assert not there._is_readable(Connected(mine))
    other.send(b"x")
    assert there._is_readable(Connected(mine))
    mine.close()
    other.close()
    assert there._is_readable(Connected(mine))
    assert not there._is_readable(Connected(None))
