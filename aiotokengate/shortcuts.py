"""Two things that aiohttp does for each call and each read, and that we can do without.

Strategy.  Measured on loopback, half of what reading a stream costs is aiohttp's parser, woken
once for every piece of a chunked body; and a fifth of what a call costs is to make the headers of
the request anew, and a payload and a task for its body.  Both ways around use what aiohttp does
not promise.  So each is taken only where aiohttp is built as known here, and else aiohttp's own
way is; a test says whether both are in effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.hdrs import CONTENT_LENGTH, HOST

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Awaitable, Callable

    from aiohttp.connector import Connection

__all__ = ["REQUEST_CLASS", "reader_of"]

SMALL: Final = 64 * 1024
"""Bytes of a body that may be written at once, without asking whether the socket is full."""

# --- reading ------------------------------------------------------------------------------------

_BUFFER = frozenset(
    (
        "_buffer",
        "_cursor",
        "_eof",
        "_exception",
        "_http_chunk_splits",
        "_loop",
        "_protocol",
        "_size",
        "_waiter",
    )
)
_BUFFER_KNOWN: Final = frozenset(getattr(aiohttp.StreamReader, "__slots__", ())) >= _BUFFER


def reader_of(content: aiohttp.StreamReader) -> Callable[[], Awaitable[bytes]]:
    """Give what awaits the next bytes of a body and takes all that are there, b"" at the end.

    Being cancelled loses nothing; what had arrived before an error is given first.
    """
    known = _BUFFER_KNOWN and type(content) is aiohttp.StreamReader
    return _drain(content) if known else content.readany


def _drain(content: Any) -> Callable[[], Awaitable[bytes]]:  # noqa: ANN401 - with its insides
    """Make what takes the whole buffer of a body at once.

    aiohttp's ``readany()`` takes it piece by piece, and after each lets the parser go on, whether
    it was held or not.
    """
    buffer, protocol = content._buffer, content._protocol
    create_future = content._loop.create_future

    async def read() -> bytes:
        while not buffer:
            if content._exception is not None:
                raise content._exception
            if content._eof:
                return b""
            if not protocol.connected:
                message = "the connection is closed"
                raise aiohttp.ClientConnectionError(message)
            waiter = content._waiter = create_future()
            try:
                await waiter
            finally:
                content._waiter = None
        data: bytes = buffer.popleft() if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        content._size = 0
        content._cursor += len(data)
        if content._http_chunk_splits:
            content._http_chunk_splits.clear()
        if protocol._reading_paused:
            protocol.resume_reading()
        return data

    return read


# --- writing ------------------------------------------------------------------------------------

_REQUEST_KNOWN: Final = {
    "_body",
    "_continue",
    "send",
    "update_body_from_data",
    "update_headers",
} <= vars(aiohttp.ClientRequest).keys()


class _OneWriteRequest(aiohttp.ClientRequest):
    """Writes its headers and a small body at once, without a task for the body.

    To aiohttp it has no body, and so it writes the headers and is content; through the door that
    it writes to, the body follows them in the same breath.  That body would not survive a
    redirect.
    """

    _small: bytes | None = None

    def update_headers(self, headers: Any) -> None:  # noqa: ANN401 - aiohttp's
        """Take headers that name the host as they are: they were made whole for all requests."""
        if headers and HOST in headers:
            self.headers = headers  # a copy of the session's, made for this request
        else:
            super().update_headers(headers)

    def update_body_from_data(self, body: Any, *args: Any, **named: Any) -> None:  # noqa: ANN401 - aiohttp's
        if type(body) is bytes and 0 < len(body) <= SMALL and not self.chunked:
            self._small = body
            self.headers[CONTENT_LENGTH] = str(len(body))
        else:
            super().update_body_from_data(body, *args, **named)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        small, self._small = self._small, None
        if small is None:
            return await super().send(conn)
        protocol: Any = conn.protocol
        if protocol.writing_paused or self._continue is not None:
            super().update_body_from_data(small)
            return await super().send(conn)
        transport = protocol.transport
        protocol.transport = _WithBody(transport, small)
        try:
            return await super().send(conn)
        finally:
            protocol.transport = transport


class _WithBody:
    """A transport that writes a body after what it is given."""

    __slots__ = ("_body", "_transport")

    def __init__(self, transport: Transport | None, body: bytes) -> None:
        self._transport = transport
        self._body = body

    def write(self, data: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - for the type checker
        self._transport.write(data + self._body)

    def is_closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()


REQUEST_CLASS: Final[type[aiohttp.ClientRequest]] = (
    _OneWriteRequest if _REQUEST_KNOWN else aiohttp.ClientRequest
)
