"""What aiohttp and asyncio do for each call and each read, and what we can do without.

Strategy.  Measured on loopback, most of what a small read costs is asyncio's buffer for a large
one, and aiohttp's parser, woken once for every piece of a chunked body.  Half of what a call costs
is aiohttp's session, which makes the headers of each request anew, and a payload and a task for
its body, and looks after cookies, redirects and clocks that are switched off here.  The ways
around use what neither promises.  So each is taken only where they are built as known here, and
else their own way is; a test says whether all are in effect.

Connections, TLS, the parsing of HTTP and the buffers are aiohttp's in any case.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import CONTENT_LENGTH, METH_POST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.connector import Connection
    from aiohttp.http_parser import RawResponseMessage

__all__ = ["KNOWN", "SMALL", "Posts", "Response", "reader_of"]

SMALL: Final = 64 * 1024
"""Bytes of a body that may be written at once, without asking whether the socket is full."""

READ: Final = 64 * 1024
"""Bytes that a read asks for.  For more than 128 KiB C's malloc goes to the kernel, and gives them
back at once: measured, that is 13 of the 16 µs of a small read."""

MOST_TARGETS: Final = 64
_INTERIM: Final = frozenset(range(100, 200)) - {101}
"""Statuses of heads that come before the answer's own (RFC 9110, 15.2)."""

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
    _read_less(protocol.transport)
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


def _read_less(transport: Any) -> None:  # noqa: ANN401 - whichever the loop has
    """Have each read of a connection ask for less than asyncio's 256 KiB."""
    layer: Any
    for layer in (transport, getattr(transport, "_ssl_protocol", None)):
        if getattr(layer, "max_size", 0) > READ:
            layer.max_size = READ


# --- asking -------------------------------------------------------------------------------------

KNOWN: Final = (
    aiohttp.__version__.startswith("3.")
    and hasattr(aiohttp.ClientSession, "_build_url")
    and {"read", "set_response_params"} <= {*dir(ResponseHandler)}
)
"""Whether aiohttp is built as :class:`Posts` knows it."""


class Response:
    """What is needed of an ``aiohttp.ClientResponse``, and no more.

    Attributes:
        status: of HTTP.
        headers: as they came.
        content: the body.
        closed: whether the connection is free, or dropped.
    """

    __slots__ = ("_connection", "_loop", "closed", "content", "headers", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, content: aiohttp.StreamReader
    ) -> None:
        """Take over a connection from which the head of an answer was read."""
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self.closed = False
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        content.on_eof(self._release)

    def _release(self) -> None:
        if not self.closed:
            self.closed = True
            self._connection.release()  # which drops it unless all was read

    def close(self) -> None:
        """Drop the connection, unless all was read; whoever reads meets an error."""
        if self.closed or self._loop.is_closed():
            return
        self.closed = True
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("the connection is closed"))
        self._connection.close()

    def __del__(self) -> None:
        """Let go of what nobody reads any more."""
        if not self._loop.is_closed():
            self._release()


class _Target:
    """Where to post, with which headers: what is the same for every request there."""

    __slots__ = ("head", "request")

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - with its insides
        url: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        merged = session.headers.copy()
        merged.update(headers or {})
        # aiohttp makes the headers of a request, and so says how a host is written; and its
        # connector takes nothing but a request.
        self.request = aiohttp.ClientRequest(
            METH_POST, session._build_url(url), headers=merged, session=session
        )
        made = self.request.headers
        made.popall(CONTENT_LENGTH, None)
        lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
        path = self.request.url.raw_path_qs
        self.head = f"POST {path} HTTP/1.1\r\n{lines}{CONTENT_LENGTH}: ".encode()


class Posts:
    """Posts small bodies through a session's connections, past the session.

    What that does for a request, beside sending it, is switched off here: cookies, redirects,
    clocks, traces, a second sending.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Begin without targets."""
        assert session.connector is not None  # noqa: S101 - it was just made
        self._session = session
        self._connector = session.connector
        self._targets: dict[object, _Target] = {}

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        clock: aiohttp.ClientTimeout,
    ) -> Response:
        """Send, and give the answer once its head has come; head and body are one write.

        Raises:
            aiohttp.ClientError: as the session would.
            HttpProcessingError: the answer is not HTTP.
            TimeoutError: there was no connection in time.
        """
        target = self._target(url, headers)
        connection = await self._connector.connect(target.request, [], clock)
        try:
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - it is until the connection is released
            protocol.set_response_params(read_until_eof=True)
            _write(protocol, b"%b%d\r\n\r\n%b" % (target.head, len(body), body))
            message, content = await protocol.read()
            while message.code in _INTERIM:
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        return Response(connection, message, content)

    def _target(self, url: str, headers: Mapping[str, str] | None) -> _Target:
        key = (url, *headers.items()) if headers else url
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MOST_TARGETS:  # a caller's headers change with each call
                self._targets.clear()
            target = self._targets[key] = _Target(self._session, url, headers)
        return target


def _write(protocol: ResponseHandler, data: bytes) -> None:
    if protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.transport.write(data)
