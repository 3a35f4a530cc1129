"""What aiohttp and asyncio do for each call and each read, and what we can do without.

Strategy.  Measured on loopback, most of what a small read costs is asyncio's buffer for a large
one, and aiohttp's parser, woken once for every piece of a chunked body.  Half of what a call costs
is aiohttp's session, which makes the headers of each request anew, and a payload and a task for
its body, and looks after cookies, redirects and clocks that are switched off here.  The ways
around use what neither promises.  So each names all that it uses, is taken only where they are
built as known here, and else their own way is; a test says whether all are in effect.

Connections, TLS, the parsing of HTTP and the buffers are aiohttp's in any case.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache, partial
from inspect import signature
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from aiotokengate._http.connections import (
    GUARDED,
    VERSION_KNOWN,
    has,
    has_answered,
    has_ended,
    merged,
    parsed,
)
from aiotokengate._http.connectors import through
from aiotokengate._http.internals import (
    Connection,
    HttpResponseParser,
    RawResponseMessage,
    ResponseHandler,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from multidict import CIMultiDict

    from aiotokengate._http.connections import Headers, Progress
    from aiotokengate._http.proxies import Proxy

__all__ = [
    "DirectRequests",
    "Response",
    "header_limits",
    "is_known",
    "read_less",
    "reader_of",
    "salvaged",
]

SMALL: Final = 64 * 1024
"""Bytes of a body that are copied, so that it leaves together with its head."""

READ: Final = 64 * 1024
"""Bytes that a read asks for.  For more than 128 KiB C's malloc goes to the kernel, and gives them
back at once: measured, that is 13 of the 16 µs of a small read."""

MOST_TARGETS: Final = 64
"""Addresses with headers that are remembered; those of few programs are more."""

LONGEST_LINE: Final = 65 * 1024
MOST_LINES: Final = 1024
"""What the head of an answer may be: lines of 64 KiB, a thousand of them, and some to spare.

aiohttp's own limits are 8 KiB and 128 lines, past which an answer that was paid for is lost."""

HEADER_LIMITS: Final[dict[str, Any]] = {
    "max_line_size": LONGEST_LINE,
    "max_field_size": LONGEST_LINE,
    "max_headers": MOST_LINES,
}


def header_limits() -> dict[str, Any]:
    """Return what a session is told of them, as far as this aiohttp takes it."""
    known = signature(aiohttp.ClientSession).parameters
    return {name: most for name, most in HEADER_LIMITS.items() if name in known}


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
_BUFFER_KNOWN: Final = (
    VERSION_KNOWN
    and frozenset(getattr(aiohttp.StreamReader, "__slots__", ())) >= _BUFFER
    and has(ResponseHandler, "_reading_paused", "resume_reading", "transport")
)
_REST_KNOWN: Final = VERSION_KNOWN and has(aiohttp.StreamReader, "_exception", "read_nowait")


def reader_of(content: aiohttp.StreamReader) -> Callable[[], Awaitable[bytes]]:
    """Return what awaits the next bytes of a body and takes all that are there, b"" at the end.

    Being cancelled loses nothing; what had arrived before an error is given first.
    """
    if not _BUFFER_KNOWN or type(content) is not aiohttp.StreamReader:
        return content.readany
    read_less(content._protocol.transport)
    return _drain(content)


def _drain(content: Any) -> Callable[[], Awaitable[bytes]]:
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


def salvaged(content: aiohttp.StreamReader) -> bytes:
    """Return what was in the buffer when the connection broke; aiohttp would withhold it."""
    if not _REST_KNOWN:
        return b""
    content._exception = None  # there is no public way to these bytes
    return content.read_nowait()


def read_less(transport: Any) -> None:
    """Have each read of a connection ask for less than asyncio's 256 KiB."""
    layer: Any
    for layer in (transport, getattr(transport, "_ssl_protocol", None)):
        if getattr(layer, "max_size", 0) > READ:
            layer.max_size = READ


# --- asking -------------------------------------------------------------------------------------

_REQUEST = frozenset(("method", "url", "headers", "proxy", "proxy_headers", "loop", "session"))
_PARAMETERS = frozenset((*HEADER_LIMITS, "read_until_eof", "skip_payload"))


@lru_cache(maxsize=1)
def is_known() -> bool:
    """Say whether aiohttp has all that :class:`DirectRequests` uses; asked in a running loop."""
    return GUARDED and _has_parameters() and _has_attributes(asyncio.get_running_loop())


def _has_parameters() -> bool:
    settings = getattr(ResponseHandler, "set_response_params", None)
    return (
        settings is not None
        and {*signature(settings).parameters} >= _PARAMETERS
        and {*signature(aiohttp.ClientRequest).parameters} >= _REQUEST
    )


def _has_attributes(loop: asyncio.AbstractEventLoop) -> bool:
    asked: Any = aiohttp.ClientRequest
    request = asked("GET", URL("http://localhost/"), loop=loop, session=None)
    return (
        has(ResponseHandler(loop), "_parser", "read", "should_close", "transport")
        and has(request, "GET_METHODS", "connection_key", "headers", "is_ssl", "method")
        and has(request, "proxy", "url")
        and has(HttpResponseParser, "feed_data", "feed_eof")
        and has(RawResponseMessage, "code", "headers")
        and has(Connection, "close", "protocol", "release", "transport")
        and has(aiohttp.StreamReader, "exception", "on_eof", "set_exception")
    )


class Response:
    """What is needed of an ``aiohttp.ClientResponse``, and no more.

    Attributes:
        url: that was asked.
        status: of HTTP.
        headers: as they came.
        content: the body.
    """

    __slots__ = ("_connection", "_connector", "_loop", "content", "headers", "status", "url")

    def __init__(
        self,
        url: URL,
        connection: Connection,
        connector: Any,
        message: RawResponseMessage,
        content: aiohttp.StreamReader,
    ) -> None:
        """Take over a connection from which the head of an answer was read."""
        self.url = url
        self.status = message.code
        self.headers = message.headers
        self.content = content
        self._connection = connection
        self._connector = connector
        self._loop = asyncio.get_running_loop()
        # Not a method of ours: the body would hold us, who hold the body.
        content.on_eof(partial(_free, connection))

    @property
    def closed(self) -> bool:
        """Whether the connection is free for others, or dropped."""
        return self._connection.protocol is None

    def close(self) -> None:
        """Drop the connection, unless all was read; whoever reads meets an error."""
        if self.closed or self._loop.is_closed():
            return
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("the connection is closed"))
        _drop(self._connection)

    def __del__(self) -> None:
        """Let go of what nobody reads any more."""
        # A connector that is closed has let go of everything, and so touches no loop.
        if self._connector.closed or not self._loop.is_closed():
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

    __slots__ = ("head", "is_head", "request")

    def __init__(
        self,
        session: aiohttp.ClientSession,
        method: str,
        url: str,
        headers: CIMultiDict[str],
        proxy: Proxy | None,
    ) -> None:
        # aiohttp makes the headers of a request, and so says how a host is written; and its
        # connector takes nothing but a request.
        make: Any = partial(
            aiohttp.ClientRequest,
            method,
            parsed(url),
            loop=asyncio.get_running_loop(),
            session=session,
        )
        request = make(**through(proxy, url, headers))
        is_whole = request.proxy is not None and not request.is_ssl()
        path = str(request.url) if is_whole else request.url.raw_path_qs
        request.headers.popall("Content-Length", None)
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        self.request: aiohttp.ClientRequest = request
        self.head = f"{request.method} {path} HTTP/1.1\r\n{lines}".encode()
        self.is_head = request.method == "HEAD"

    def head_of(self, body: bytes | None) -> bytes:
        """Return the head of a request with that body."""
        if body is None and self.request.method in aiohttp.ClientRequest.GET_METHODS:
            return self.head + b"\r\n"
        return b"%bContent-Length: %d\r\n\r\n" % (self.head, len(body or b""))


class DirectRequests:
    """Sends requests through a session's connections, past the session.

    What that does for a request, beside sending it, is switched off here: cookies, redirects,
    clocks, traces, a second sending.
    """

    def __init__(self, session: aiohttp.ClientSession, connector: Any) -> None:
        """Begin without targets; the connector is the session's, and guarded."""
        self._session = session
        self._connector = connector
        self._targets: dict[object, _Target] = {}

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
        progress: Progress,
        proxy: Proxy | None = None,
    ) -> Response:
        """Send, and return the answer once its head has come.

        Raises:
            aiohttp.ClientError: as the session would.
            HttpProcessingError: the answer is not HTTP.
            TimeoutError: there was no connection in time.
        """
        target = self._target(method, url, headers, proxy)
        connection, protocol = await self._written(target, body, timeout, progress)
        parser = protocol._parser
        try:
            message, content = await protocol.read()
            while message.code in _INTERIM:
                progress.begun = True
                message, content = await protocol.read()
        except BaseException:
            progress.begun = progress.begun or has_answered(parser)
            _drop(connection)
            raise
        return Response(target.request.url, connection, self._connector, message, content)

    async def _written(
        self,
        target: _Target,
        body: bytes | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
        progress: Progress,
    ) -> tuple[Connection, ResponseHandler]:
        """Write a request on a connection; on another where a kept one takes not a byte of it."""
        while True:
            connection, kept = await self._connector.usable(target.request, timeout, [])
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101 - it is until the connection is released
            read_less(protocol.transport)
            try:
                _prepare(protocol, target)
                left = (kept or not _is_over(protocol)) and _write(
                    protocol, target.head_of(body), body
                )
            except BaseException:
                _drop(connection)
                raise
            if left:
                progress.sent, progress.kept = True, kept
                return connection, protocol
            _drop(connection)
            if not kept:
                message = "the connection was closed before the request was sent"
                raise aiohttp.ServerDisconnectedError(message)

    def _target(self, method: str, url: str, headers: Headers, proxy: Proxy | None) -> _Target:
        key = (method, url, headers, proxy)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MOST_TARGETS:  # a caller's headers change with each call
                self._targets.clear()
            lines = merged(headers)
            if self._connector.force_close:
                lines["Connection"] = "close"
            target = _Target(self._session, method, url, lines, proxy)
            self._targets[key] = target
        return target


def _prepare(protocol: ResponseHandler, target: _Target) -> None:
    """Say what an answer may be."""
    protocol.set_response_params(
        read_until_eof=True,
        skip_payload=target.is_head,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
        max_headers=MOST_LINES,
    )


def _is_over(protocol: ResponseHandler) -> bool:
    """Say whether a new connection has ended already, with no word."""
    transport = protocol.transport
    return transport is None or (not protocol.should_close and has_ended(transport))


def _write(protocol: ResponseHandler, head: bytes, body: bytes | None) -> bool:
    """Write a request, a small one at once; say whether any of it may have left."""
    transport, body = protocol.transport, body or b""
    if transport is None or transport.is_closing():
        return False
    small = len(body) <= SMALL
    transport.write(head + body if small else head)
    if transport.is_closing():  # the kernel did not take it
        return False
    if not small:
        transport.write(body)
    return True
