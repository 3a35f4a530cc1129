"""The ways around aiohttp: that they are in effect, and that nothing is lost on them."""

import asyncio
import contextlib
import gc
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.test_utils import TestServer

from aiotokengate import (
    Retry,
    StreamInterrupted,
    TokenGate,
    Unanswered,
    WireError,
)
from aiotokengate._http import direct, feeds, transport
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from tests.support.common import sockets

MODEL = "qwen3.6-max-preview"
MANY = 20_000
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
    assert sizes == ([direct.READ] if way == "ours" else [])


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


async def test_headers_that_change_with_each_call(gateway: FakeGateway, gate: TokenGate) -> None:
    """What was made for earlier ones is forgotten in time."""
    for number in range(direct.MOST_TARGETS + 2):
        await gate.chat(MODEL, "嗨", extra_headers={"X-Trace": str(number)})
    traces = [request.headers["X-Trace"] for request in gateway.requests]
    assert traces == [str(number) for number in range(direct.MOST_TARGETS + 2)]


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
            if len(read) % 1000 == 0:
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
