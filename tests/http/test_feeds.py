"""The body of an answer goes to its sink as it comes, in the protocol's callback or by a task."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable

import attrs
import pytest

from aiotokengate._http import feeds
from aiotokengate._http.feeds import Feed, TaskFeed
from aiotokengate._http.transport import Transport
from tests.support.raw_server import RawServer, Wire, plain, serving

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(params=["at once", "by a task"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Feed both ways: an aiohttp that is not known must do as well."""
    if request.param != "at once":
        monkeypatch.setattr(feeds, "_is_known", lambda: False)
    return str(request.param)


@attrs.define(eq=False)
class Kept:
    """A sink that keeps what it was told; ``ends`` says how the body ended."""

    pieces: list[bytes] = attrs.field(factory=list)
    ends: list[str] = attrs.field(factory=list)
    over: asyncio.Event = attrs.field(factory=asyncio.Event)
    came: asyncio.Event = attrs.field(factory=asyncio.Event)
    on_data: Callable[[], object] = bool

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def data(self, data: bytes) -> None:
        self.pieces.append(data)
        self.came.set()
        self.on_data()

    def end(self) -> None:
        self.ends.append("end")
        self.over.set()

    def failed(self, error: Exception) -> None:
        self.ends.append(type(error).__name__)
        self.over.set()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with serving(plain(b"[]")) as server:
        yield server


@pytest.fixture
async def transport(server: RawServer) -> AsyncIterator[Transport]:
    transport = Transport(f"{server.root}/v1", headers={}, proxy="", ssl=True)
    yield transport
    await transport.close()


async def test_a_body_is_fed_as_it_comes(
    server: RawServer, transport: Transport, way: str
) -> None:
    """Each piece when it is there; at its end the connection serves again."""
    more, sink = asyncio.Event(), Kept()

    async def reply(wire: Wire) -> None:
        wire.writer.write(CHUNKED + chunk("你".encode()))
        await more.wait()
        wire.writer.write(chunk("好🙂".encode()) + chunk(b"!") + LAST)

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    feed = answer.feed(sink)
    assert isinstance(feed, TaskFeed) == (way != "at once")  # so that this aiohttp is known
    await sink.came.wait()
    assert (sink.body, sink.ends) == ("你".encode(), [])
    more.set()
    await sink.over.wait()
    assert (sink.body, sink.ends) == ("你好🙂!".encode(), ["end"])
    if way == "at once":
        assert sink.pieces == ["你".encode(), "好🙂!".encode()]
    answer.release()
    server.reply = plain(b"[]")
    again = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    assert await again.whole(100) == b"[]"
    assert [wire.count for wire in server.wires] == [2]


@pytest.mark.usefixtures("way")
async def test_what_is_there_already_comes_first(server: RawServer, transport: Transport) -> None:
    """A whole body that came with its head, and was not asked for at once."""
    server.reply = plain("全部".encode())
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    sink = Kept()
    answer.feed(sink)
    await sink.over.wait()
    assert (sink.body, sink.ends) == ("全部".encode(), ["end"])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("rest", ["reset", "close"])
async def test_a_break_comes_after_what_came_before(
    server: RawServer, transport: Transport, rest: str
) -> None:
    more, sink = asyncio.Event(), Kept()

    async def reply(wire: Wire) -> None:
        wire.writer.write(CHUNKED + chunk(b"one"))
        await more.wait()
        if rest == "reset":
            wire.reset()
        else:
            wire.close()

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    answer.feed(sink)
    await sink.came.wait()
    more.set()
    await sink.over.wait()
    assert sink.body == b"one"
    assert sink.ends == ["ClientPayloadError"]
    answer.close()


async def test_what_is_no_http_in_the_middle_of_a_body(
    server: RawServer, transport: Transport
) -> None:
    """Aiohttp tells no reader of it; what stood before it in the same read is not lost."""
    server.reply = CHUNKED + chunk(b"one")
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    sink = Kept()
    answer.feed(sink)
    await sink.came.wait()
    server.wires[0].writer.write(chunk(b"two") + b"no size\r\n")
    await sink.over.wait()
    assert (sink.body, sink.ends) == (b"onetwo", ["BadHttpMessage"])
    answer.close()


@pytest.mark.usefixtures("way")
async def test_a_body_that_the_connection_ends(server: RawServer, transport: Transport) -> None:
    """Of no told length, as old servers send it."""

    async def reply(wire: Wire) -> None:
        wire.writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        await wire.writer.drain()
        wire.close()

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    sink = Kept()
    answer.feed(sink)
    await sink.over.wait()
    assert (sink.body, sink.ends) == (b"abc", ["end"])


async def test_a_packed_body_is_unpacked(server: RawServer, transport: Transport) -> None:
    """By a task, so that a small read can't become a large one at once."""
    server.reply = plain(gzip.compress("包".encode() * 100), "Content-Encoding: gzip")
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    sink = Kept()
    assert isinstance(answer.feed(sink), TaskFeed)
    await sink.over.wait()
    assert (sink.body, sink.ends) == ("包".encode() * 100, ["end"])


@pytest.mark.usefixtures("way")
async def test_a_paused_feed_holds_the_sender_up(server: RawServer, transport: Transport) -> None:
    """Kernels keep some megabytes, and no more is sent until it goes on; then all comes."""
    size, piece = 64 << 20, b"x" * (1 << 16)
    sent = 0
    sink = Kept()
    held: list[Feed] = []
    sink.on_data = lambda: [each.pause() for each in held]  # type: ignore[func-returns-value]

    async def reply(wire: Wire) -> None:
        nonlocal sent
        wire.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            wire.writer.write(piece)
            await wire.writer.drain()
            sent += len(piece)

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    held.append(answer.feed(sink))
    await sink.came.wait()
    before = -1
    while before != sent:  # until nothing moves any more
        before = sent
        for _ in range(1000):
            await asyncio.sleep(0)
    assert sent < size // 2
    assert not sink.ends
    sink.on_data = bool
    held[0].resume()
    await sink.over.wait()
    assert (len(sink.body), sink.ends, sent) == (size, ["end"], size)


async def test_what_had_filled_the_buffer_is_fed_too(
    server: RawServer, transport: Transport, way: str
) -> None:
    """Aiohttp has stopped reading by then, and goes on."""
    whole = "满🙂".encode() * 200_000
    server.reply = plain(whole)
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    content = answer._response.content
    for _ in range(10_000):
        await asyncio.sleep(0)
    assert (content._protocol._reading_paused, content.at_eof()) == (True, False)
    sink = Kept()
    answer.feed(sink)
    if way == "at once":
        content._protocol.pause_reading()
        content._protocol.resume_reading()
    await sink.over.wait()
    assert (sink.body == whole, sink.ends) == (True, ["end"])


@pytest.mark.usefixtures("way")
async def test_a_stopped_feed_says_nothing_more(server: RawServer, transport: Transport) -> None:
    """Neither the rest nor its end; the connection is given up when it is closed."""
    more, sink = asyncio.Event(), Kept()

    async def reply(wire: Wire) -> None:
        wire.writer.write(CHUNKED + chunk(b"one"))
        await more.wait()
        wire.writer.write(chunk(b"two") + LAST)

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    feed = answer.feed(sink)
    await sink.came.wait()
    feed.pause()
    feed.stop()
    feed.stop()
    feed.resume()
    more.set()
    for _ in range(200):
        await asyncio.sleep(0)
    answer.close()
    assert (sink.body, sink.ends) == (b"one", [])


@pytest.mark.usefixtures("way")
async def test_a_sink_that_closes_while_it_is_fed(server: RawServer, transport: Transport) -> None:
    """As a reply does that is over before its body is."""
    sink = Kept()

    async def reply(wire: Wire) -> None:
        wire.writer.write(CHUNKED + chunk(b"one"))
        await wire.writer.drain()
        await wire.quiet()

    server.reply = reply
    answer = await transport.send("POST", f"{server.root}/v1/chat", data=b"{}")
    sink.on_data = answer.close
    answer.feed(sink)
    await sink.came.wait()
    for _ in range(200):
        await asyncio.sleep(0)
    assert (sink.body, sink.ends) == (b"one", [])
    for wire in server.wires:
        wire.close()
