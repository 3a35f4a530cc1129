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

from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import CONTENT_LENGTH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.connector import Connection
    from aiohttp.http_parser import RawResponseMessage
    from yarl import URL

__all__ = ["KNOWN", "DirectRequests", "Response", "reader_of"]

SMALL: Final = 64 * 1024
"""Bytes of a body that are copied, so that it leaves together with its head."""

READ: Final = 64 * 1024
"""Bytes that a read asks for.  For more than 128 KiB C's malloc goes to the kernel, and gives them
back at once: measured, that is 13 of the 16 µs of a small read."""

MOST_TARGETS: Final = 64
"""Addresses with headers that are remembered; those of few programs are more."""
_INTERIM: Final = frozenset(range(100, 200)) - {101}
"""Statuses of heads that come before the answer's own (RFC 9110, 15.2)."""

# --- reading ------------------------------------------------------------------------------------

_BUFFER = frozenset(
    (
        "_buffer",
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
    if not _BUFFER_KNOWN or type(content) is not aiohttp.StreamReader:
        return content.readany
    _read_less(content._protocol.transport)
    return _drain(content)


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
            if protocol.transport is None:
                message = "the connection is closed"
                raise aiohttp.ClientConnectionError(message)
            waiter = content._waiter = create_future()
            try:
                await waiter
            finally:
                content._waiter = None
        data: bytes
        if len(buffer) == 1:
            data = buffer.popleft()
        else:
            data = b"".join(buffer)
            buffer.clear()
        content._size = 0
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

_CONNECT = ("self", "req", "traces", "timeout")

KNOWN: Final = (
    aiohttp.__version__.startswith("3.")
    and hasattr(aiohttp.ClientSession, "_build_url")
    and {"_parser", "read", "set_response_params", "should_close"} <= {*dir(ResponseHandler)}
    and tuple(signature(aiohttp.BaseConnector.connect).parameters) == _CONNECT
    and {"method", "url", "headers", "session"} <= {*signature(aiohttp.ClientRequest).parameters}
)
"""Whether aiohttp is built as :class:`DirectRequests` knows it."""


class Response:
    """What is needed of an ``aiohttp.ClientResponse``, and no more.

    Attributes:
        url: that was asked.
        status: of HTTP.
        headers: as they came.
        content: the body.
    """

    __slots__ = ("_connection", "content", "headers", "status", "url")

    def __init__(
        self,
        url: URL,
        connection: Connection,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
    ) -> None:
        """Take over a connection from which the head of an answer was read."""
        self.url = url
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self._connection = connection
        # Not a method of ours: the body would hold us, who hold the body.
        content.on_eof(partial(_free, connection))

    @property
    def closed(self) -> bool:
        """Whether the connection is free for others, or dropped."""
        return self._connection.protocol is None

    def close(self) -> None:
        """Drop the connection, unless all was read; whoever reads meets an error."""
        if self.closed or self._loop_has_ended:
            return
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("the connection is closed"))
        _drop(self._connection)

    @property
    def _loop_has_ended(self) -> bool:
        return self._connection._loop.is_closed()

    def __del__(self) -> None:
        """Let go of what nobody reads any more."""
        # A connector that is closed has let go of everything, and so touches no loop.
        if self._connection._connector.closed or not self._loop_has_ended:
            self._connection.release()  # which drops it unless all was read


def _free(connection: Connection) -> None:
    """Let a connection serve again, unless its request was answered before it was sent whole."""
    if _is_writing(connection):
        _drop(connection)
    else:
        connection.release()


def _drop(connection: Connection) -> None:
    """Close a connection at once, and not when all has left, which may be never."""
    if _is_writing(connection):
        assert connection.transport is not None  # noqa: S101 - it is writing
        connection.transport.abort()
    connection.close()


def _is_writing(connection: Connection) -> bool:
    transport = connection.transport
    return transport is not None and transport.get_write_buffer_size() > 0


class _Target:
    """What is asked where, with which headers: what is the same for every such request."""

    __slots__ = ("head", "request")

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - with its insides
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
    ) -> None:
        merged = session.headers.copy()
        for name, value in (headers or {}).items():
            merged[name] = value  # however it is spelt
        # aiohttp makes the headers of a request, and so says how a host is written; and its
        # connector takes nothing but a request.
        self.request = aiohttp.ClientRequest(
            method, session._build_url(url), headers=merged, session=session
        )
        made = self.request.headers
        made.popall(CONTENT_LENGTH, None)
        lines = "".join(f"{name}: {value}\r\n" for name, value in made.items())
        path = self.request.url.raw_path_qs
        self.head = f"{self.request.method} {path} HTTP/1.1\r\n{lines}".encode()

    def head_of(self, body: bytes | None) -> bytes:
        """Give the head of a request with that body."""
        if body is None and self.request.method in aiohttp.ClientRequest.GET_METHODS:
            return self.head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n" % (self.head, len(body or b""))


class DirectRequests:
    """Sends requests through a session's connections, past the session.

    What that does for a request, beside sending it, is switched off here: cookies, redirects,
    clocks, traces, a second sending.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Begin without targets."""
        assert session.connector is not None  # noqa: S101 - it was just made
        self._session = session
        self._connector = session.connector
        self._targets: dict[object, _Target] = {}

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Response:
        """Send, and give the answer once its head has come.

        Raises:
            aiohttp.ClientError: as the session would.
            HttpProcessingError: the answer is not HTTP.
            TimeoutError: there was no connection in time.
        """
        target = self._target(method, url, headers)
        connection, protocol = await self._clean_connection(target.request, timeout)
        kept = protocol._parser is not None
        try:
            protocol.set_response_params(read_until_eof=True)
            _write(protocol, target.head_of(body), body or b"")
            message, content = await protocol.read()
            while message.code in _INTERIM:
                message, content = await protocol.read()
        except BaseException as error:
            _drop(connection)
            error.__dict__["kept"] = kept
            raise
        return Response(target.request.url, connection, message, content)

    async def _clean_connection(
        self,
        request: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> tuple[Connection, ResponseHandler]:
        """Give a connection on which nothing is left of an exchange before.

        aiohttp gives a kept one as long as it is open.  What came on it unasked (a 408 to an idle
        client) would be taken for the answer to the next question, and so on for ever.
        """
        while True:
            connection = await self._connector.connect(request, [], timeout)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - it is until the connection is released
            is_new = protocol._parser is None
            if is_new or not protocol.should_close:
                return connection, protocol
            connection.close()

    def _target(self, method: str, url: str, headers: Mapping[str, str] | None) -> _Target:
        key = (method, url, *headers.items()) if headers else (method, url)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MOST_TARGETS:  # a caller's headers change with each call
                self._targets.clear()
            target = self._targets[key] = _Target(self._session, method, url, headers)
        return target


def _write(protocol: ResponseHandler, head: bytes, body: bytes) -> None:
    """Write a request, a small one at once."""
    if protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    if len(body) <= SMALL:
        protocol.transport.write(head + body)
    else:
        protocol.transport.write(head)
        protocol.transport.write(body)
