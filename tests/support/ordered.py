"""A server that answers with bytes as they are, in order, and keeps what has come."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiotokengate.testing import VirtualClock

__all__ = ["CLOSE", "END", "GOOD_CHAT", "Sent", "Server", "answer", "ended"]

CHAT = (
    b'data: {"choices":[{"index":0,"delta":{"content":"\xe5\xa5\xbd"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """Return an answer as it stands on the wire."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *headers))
    return f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{lines}\r\n".encode() + body


GOOD_CHAT = answer(200, CHAT)
END = "Connection: close"
CLOSE = b""
"""No answer: the connection is closed once the request has come."""


@attrs.frozen
class Sent:
    """A request that has come: its connection's number, and its head in lower case."""

    connection: int
    head: str

    @property
    def key(self) -> str | None:
        """Its idempotency key."""
        found = re.search(r"^idempotency-key: (.*)\r$", self.head, re.MULTILINE)
        return found[1] if found else None


class Server:
    """Answers with bytes as they are, in order, the last one for ever; keeps what has come."""

    def __init__(self) -> None:
        self.answers: list[bytes] = [CLOSE]
        self.requests: list[Sent] = []
        self._connections = 0
        self._server: asyncio.Server | None = None
        self._next = asyncio.Event()

    async def start(self) -> str:
        """Listen; return the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.close()

    async def came(self, number: int) -> None:
        """Wait until so many requests have come."""
        while len(self.requests) < number:
            self._next.clear()
            await self._next.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await _read_body(reader, head)
                self.requests.append(Sent(number, head))
                self._next.set()
                answers = self.answers
                said = answers.pop(0) if len(answers) > 1 else answers[0]
                if said == CLOSE:
                    return
                writer.write(said)
                if b"Connection: close" in said:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def _read_body(reader: asyncio.StreamReader, head: str) -> None:
    length = re.search(r"content-length: (\d+)", head)
    if length is not None:
        await reader.readexactly(int(length[1]))
    elif "transfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")


async def ended(clock: VirtualClock, call: Awaitable[Any]) -> Any:
    """Await a call while virtual time runs; return its result, or its error."""

    async def run() -> Any:
        return await call

    task = asyncio.ensure_future(run())
    while not task.done():
        await clock.run_for(0.25)
    return task.exception() or task.result()
