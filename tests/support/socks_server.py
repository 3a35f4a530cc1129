"""A SOCKS proxy for tests: versions 4, 4a and 5 (RFC 1928, RFC 1929), on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

DONE_4, DONE_5 = b"\x00\x5a" + bytes(6), b"\x05\x00\x00\x01" + bytes(6)


@attrs.define(eq=False)
class SocksServer:
    """Connects to one server, whatever it is asked for.

    Attributes:
        port: of that server.
        login: user and password that it wants, if any.
        answer: what it says in place of connecting, if not b"".
        asked: the host and port of each connection that was wanted.
        versions: the first byte of each connection to it.
        users: who logged in.
    """

    port: int
    login: tuple[str, str] | None = None
    answer: bytes = b""
    asked: list[tuple[str, int]] = attrs.field(factory=list)
    versions: list[int] = attrs.field(factory=list)
    users: list[str] = attrs.field(factory=list)
    place: int = 0
    writers: list[asyncio.StreamWriter] = attrs.field(factory=list)

    def url(self, scheme: str, login: str = "") -> str:
        """Return its address."""
        return f"{scheme}://{login}127.0.0.1:{self.place}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.versions.append((await reader.readexactly(1))[0])
            if self.versions[-1] == 5:
                done = await self._read_5(reader, writer)
            else:
                done = await self._read_4(reader)
            writer.write(self.answer or done)
            if done and not self.answer:
                await self._pass_on(reader, writer)
        writer.close()

    async def _read_4(self, reader: asyncio.StreamReader) -> bytes:
        _, port, address = await self._numbers(reader)
        self.users.append((await reader.readuntil(b"\x00"))[:-1].decode())
        is_name = address[:3] == bytes(3)
        host = socket.inet_ntoa(address)
        if is_name:
            host = (await reader.readuntil(b"\x00"))[:-1].decode()
        self.asked.append((host, port))
        return DONE_4

    async def _numbers(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        first = await reader.readexactly(7)
        return first[0], int.from_bytes(first[1:3]), first[3:]

    async def _read_5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        ways = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login and not (2 in ways and await self._is_known(reader, writer)):
            return b""
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, await reader.readexactly(size))
        self.asked.append((host, int.from_bytes(await reader.readexactly(2))))
        return DONE_5

    async def _is_known(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readexactly(1)
        user = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        self.users.append(user)
        known = (user, password) == self.login
        writer.write(b"\x01\x00" if known else b"\x01\x01")
        return known

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(_pipe(reader, there), _pipe(back, writer))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def socks_server(
    port: int, login: tuple[str, str] | None = None, answer: bytes = b""
) -> AsyncIterator[SocksServer]:
    """Run one that connects to a port on loopback."""
    proxy = SocksServer(port, login, answer)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.place = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for writer in proxy.writers:
            writer.close()
        await asyncio.sleep(0)
