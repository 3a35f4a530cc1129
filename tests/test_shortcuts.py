"""The two ways around aiohttp: that they are in effect, and that nothing is lost on them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aiotokengate import StreamInterrupted, TokenGate, shortcuts
from aiotokengate.testing import FakeGateway, Raw, ScriptedReply
from aiotokengate.transport import Transport

MODEL = "qwen3.6-max-preview"
MANY = 20_000


class _Reads(asyncio.Protocol):
    """A server that answers each request, and remembers what each read gave."""

    def __init__(self, reads: list[bytes]) -> None:
        self._reads = reads
        self._begun = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reads.append(data)
        self._begun += data
        head, _, body = self._begun.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) >= length:
            self._begun = b""
            text = b'{"choices":[{"message":{"content":"ok"},"finish_reason":"stop"}]}'
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
            self._transport.write(text)


@asynccontextmanager
async def served(reads: list[bytes]) -> AsyncIterator[TokenGate]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Reads(reads), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, TokenGate(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-x") as gate:
        yield gate


async def test_both_are_in_effect() -> None:
    """An aiohttp that is built otherwise is used in its own way, and this test says so."""
    assert shortcuts.REQUEST_CLASS is not aiohttp.ClientRequest
    async with aiohttp.ClientSession() as session:
        reader = aiohttp.StreamReader(session.connector, 1)  # type: ignore[arg-type]
        assert shortcuts.reader_of(reader) != reader.readany


async def test_a_request_is_one_write() -> None:
    reads: list[bytes] = []
    async with served(reads) as gate:
        for _ in range(3):
            assert (await gate.chat(MODEL, "你好😊", stream=False)).answer == "ok"
    assert len(reads) == 3
    assert all("你好😊".encode() in read for read in reads)


async def test_a_large_request_arrives_whole() -> None:
    reads: list[bytes] = []
    prompt = "长" * shortcuts.SMALL
    async with served(reads) as gate:
        assert (await gate.chat(MODEL, prompt, stream=False)).answer == "ok"
        assert (await gate.chat(MODEL, "短", stream=False)).answer == "ok"
    assert b"".join(reads).count(prompt.encode()) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_a_slow_reader_gets_everything(
    gateway: FakeGateway, gate: TokenGate, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """What the reader leaves lying holds the sender, and taking it lets the sender go on."""
    monkeypatch.setattr(shortcuts, "_BUFFER_KNOWN", known)
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


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://wan.vnet.com/v1", "wan.vnet.com"),
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
        ("http://wan.vnet.com:80/v1", None),
        ("https://wan.vnet.com:443/v1", None),
        ("http://[::1]:8080/v1", None),
        ("https://例子.中国/v1", None),
        ("https://WAN.vnet.com/v1", None),
        ("https://user:word@wan.vnet.com/v1", None),
    ],
)
def test_how_a_host_is_written_is_aiohttps_to_say(address: str, host: str | None) -> None:
    """Only what is plain is made before; aiohttp leaves out usual ports, and spells names."""
    made = Transport(address, headers={"A": "b"}, proxy="", ssl=True)
    assert made.headers == ({"Host": host, "A": "b"} if host else {"A": "b"})


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
