"""A server that says on loopback exactly what it is told, in the time of a virtual clock."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import attrs
import orjson

from aiotokengate.testing._clock import VirtualClock

__all__ = ["FieldServer", "Sent", "Step"]

Step = str | Mapping[str, Any]
"""A text to send; ``{"hex"}``: bytes; ``{"wait"}``: seconds; ``{"end"}``: clean, reset or hold."""

_SETTLED = 0.2
"""Seconds before a reset, in which what was sent arrives."""


@attrs.frozen
class Sent:
    """A request that came."""

    path: str
    json: Any


@attrs.define(eq=False)
class FieldServer:
    """Answers each request with the next answer, and then with the last again.

    Attributes:
        answers: each with ``steps``, and perhaps ``status`` and ``headers``.
        clock: that its silences are of.
        cut: whether each byte is a write of its own; silences are left out then.
        requests: that came.
        busy: how many answers are just being written; while there are any, no time may pass.
    """

    answers: Sequence[Mapping[str, Any]]
    clock: VirtualClock
    cut: bool = False
    requests: list[Sent] = attrs.field(factory=list)
    busy: int = 0
    url: str = ""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up on everybody."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has left
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and answer it; say whether the connection goes on."""
        head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(fields.get("content-length", 0)))
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(Sent(head.split()[1], orjson.loads(body)))
        with self._at_work():
            return await self._answer(answer, reader, writer)

    @contextmanager
    def _at_work(self, by: int = 1) -> Iterator[None]:
        self.busy += by
        try:
            yield
        finally:
            self.busy -= by

    async def _answer(
        self,
        answer: Mapping[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        writer.write(_head(answer))
        for step in answer["steps"]:
            if isinstance(step, str):
                await self._send(writer, step.encode())
            elif "hex" in step:
                await self._send(writer, bytes.fromhex(step["hex"]))
            elif "wait" in step:
                await self._wait(0 if self.cut else step["wait"])
            elif step["end"] == "hold":
                with self._at_work(-1):
                    await reader.read()
                return False
            elif step["end"] == "reset":
                await self._wait(_SETTLED)
                _reset(writer)
                return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _wait(self, seconds: float) -> None:
        with self._at_work(-1):
            await self.clock.sleep(seconds)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = 1 if self.cut else max(1, len(data))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)


def _head(answer: Mapping[str, Any]) -> bytes:
    fields = {
        "Content-Type": "text/event-stream",
        **answer.get("headers", {}),
        "Transfer-Encoding": "chunked",
    }
    lines = [f"HTTP/1.1 {answer.get('status', 200)} Said", *map(": ".join, fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other end sees a reset."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
