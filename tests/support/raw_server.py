"""Servers and proxies that speak HTTP by hand, so that a test decides every byte and every end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trustme

__all__ = ["RawServer", "Wire", "chat", "plain", "serving", "tls", "tunnelling"]

Reply = Callable[["Wire"], Awaitable[bytes | None]] | bytes
TURNS = 100
RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER on, for no time: a close is a reset then."""


def plain(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """Return an answer with a length."""
    more = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chat(text: str, *lines: str) -> bytes:
    """Return a whole answer to a chat, unstreamed, which is taken for a streamed one, too."""
    said = f'{{"choices":[{{"message":{{"content":"{text}"}},"finish_reason":"stop"}}]}}'
    return plain(said.encode(), "Content-Type: application/json", *lines)


async def _carried() -> None:
    """Wait until what was written has come to the other end.

    Server, proxy and client share a loop, and loopback holds nothing back: a few turns do.
    """
    for _ in range(TURNS):
        await asyncio.sleep(0)


@attrs.define(eq=False)
class Wire:
    """A connection of a server: ``count`` requests came on it, and the newest has this head."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    count: int = 0
    head: str = ""
    _later: Callable[[], object] | None = None
    _quiet: asyncio.Event = attrs.field(factory=asyncio.Event)

    def later(self, do: bytes | Callable[[], object]) -> None:
        """Send something unasked, or do something, when the answer has been sent."""
        self._quiet.clear()
        self._later = partial(self.writer.write, do) if isinstance(do, bytes) else do

    async def answered(self) -> None:
        """Do what was to be done later, once the answer has come to the other end."""
        do, self._later = self._later, None
        if do is not None:
            await _carried()
            do()
        self._quiet.set()

    async def quiet(self) -> None:
        """Wait until that is done, and has come to the other end."""
        await self._quiet.wait()
        await _carried()

    def close(self) -> None:
        """Close in good order."""
        self.writer.close()

    def reset(self) -> None:
        """Break the connection."""
        found = self.writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


class RawServer:
    """A server that answers as it is told.

    Attributes:
        root: its address.
        heads: of the requests, as they came; ``wires``: the connections.
    """

    def __init__(self, reply: Reply, tls: ssl_module.SSLContext | None) -> None:
        self.reply, self.tls = reply, tls
        self.heads: list[str] = []
        self.wires: list[Wire] = []
        self.root = ""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection until one of the two sides closes it."""
        wire = Wire(reader, writer, len(self.wires) + 1)
        self.wires.append(wire)
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, ssl_module.SSLError
        ):
            while not writer.is_closing():
                wire.head = (await reader.readuntil(b"\r\n\r\n")).decode()
                await _read_body(wire.head.lower(), reader)
                wire.count += 1
                self.heads.append(wire.head)
                reply = self.reply
                answer = reply if isinstance(reply, bytes) else await reply(wire)
                if answer is not None:
                    writer.write(answer)
                    await writer.drain()
                await wire.answered()
        writer.close()

    def lines(self, number: int = -1) -> dict[str, list[str]]:
        """Return the header lines of a request by their names."""
        found: dict[str, list[str]] = {}
        for line in self.heads[number].split("\r\n")[1:-2]:
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return found


async def _read_body(head: str, reader: asyncio.StreamReader) -> None:
    length = head.partition("content-length: ")[2].split("\r\n")[0]
    if length:
        await reader.readexactly(int(length))
    elif "transfer-encoding: chunked" in head:
        await reader.readuntil(b"\r\n0\r\n\r\n")


@asynccontextmanager
async def serving(
    reply: Reply, *, tls: ssl_module.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Run a server."""
    made = RawServer(reply, tls)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls, limit=1 << 24)
    made.port = server.sockets[0].getsockname()[1]
    made.root = f"http{'s' if tls else ''}://127.0.0.1:{made.port}"
    try:
        yield made
    finally:
        server.close()
        for wire in made.wires:
            wire.writer.close()


@asynccontextmanager
async def tunnelling(to: RawServer, refusal: bytes = b"") -> AsyncIterator[RawServer]:
    """Run a proxy for CONNECT that leads to one server, whatever is asked for, or refuses."""

    async def connect(wire: Wire) -> None:
        wire.writer.write(refusal or b"HTTP/1.1 200 OK\r\n\r\n")
        if refusal:
            wire.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", to.port)
        await asyncio.gather(_pipe(wire.reader, back), _pipe(there, wire.writer))

    async with serving(connect) as proxy:
        yield proxy


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


def tls(*names: str) -> tuple[ssl_module.SSLContext, ssl_module.SSLContext]:
    """Return a context for a server of these names, and one that trusts it."""
    authority = trustme.CA()
    server = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    client = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_CLIENT)  # trusts nobody else
    authority.issue_cert(*names).configure_cert(server)
    authority.configure_trust(client)
    return server, client
