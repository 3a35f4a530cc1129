"""Kept connections: which of them may serve again, and how far a request came on one.

Strategy.  aiohttp hands out a kept connection as long as its loop has not met the end of it.  What
came on it unasked would be taken for the answer to the next request, and on one that the peer has
closed that request is lost.  So each is looked at where it is handed out, whichever way a request
goes: nothing may be left in aiohttp's buffers, nothing begun in its parser, and the kernel must
have nothing to read, neither bytes nor an end.  What dies after that look is replaced by the
reconnect rule (:mod:`aiotokengate._policy.reconnect`).  The kernel is asked because some servers
close with the last byte of a reply, and the next request may be made before the loop looks again.

Where aiohttp is not built as known here, no connection is kept at all.
"""

from __future__ import annotations

import os
import select
import socket
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from aiotokengate._http.internals import Connection, ResponseHandler
from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    import asyncio
    from types import SimpleNamespace

__all__ = [
    "GUARDED",
    "VERSION_KNOWN",
    "Guarded",
    "GuardedConnector",
    "Headers",
    "Progress",
    "has",
    "has_answered",
    "has_ended",
    "merged",
    "parsed",
    "progress_traces",
]

_EMPTY = 204

VERSION_KNOWN: Final = aiohttp.__version__.startswith("3.")
"""Whether aiohttp is of the line whose insides are known: a name may keep and change its sense."""


def has(thing: object, *names: str) -> bool:
    """Say whether an object or a class has all of these attributes."""
    return all(hasattr(thing, name) for name in names)


_CONNECT = ("self", "req", "traces", "timeout")

GUARDED: Final = (
    VERSION_KNOWN
    and has(ResponseHandler, "should_close", "transport")
    and ResponseHandler.__dictoffset__ != 0  # for a note of ours
    and has(Connection, "protocol", "close")
    and has(aiohttp.TCPConnector, "connect", "closed")
    and tuple(signature(aiohttp.TCPConnector.connect).parameters) == _CONNECT
)
"""Whether a kept connection can be looked at."""


class Progress:
    """How far a request came, so that a failure can be told by it.

    Attributes:
        sent: whether a byte of it may have left.
        kept: whether its connection had served before.
        begun: whether a byte of an answer came.
        hops: redirects that led to it.
    """

    __slots__ = ("begun", "hops", "kept", "sent")

    def __init__(self, hops: int = 0) -> None:
        """Begin with nothing sent."""
        self.sent = self.kept = self.begun = False
        self.hops = hops


_NOTE: Final = "aiotokengate_served"
"""The name of the note on a connection that was handed out before."""


class Guarded:
    """A part of a connector: hands out a kept connection only if nothing came on it."""

    disowned = False
    """Whether the sockets are a parent process's, so that nothing may be written or closed."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
    ) -> Connection:
        """Return a connection, a kept one if there is one that is fit."""
        return (await self.usable(req, timeout, traces))[0]

    async def usable(
        self,
        request: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
        traces: list[Any],
    ) -> tuple[Connection, bool]:
        """Return a connection, and whether it has served before."""
        base: Any = super()
        while True:
            connection: Connection = await base.connect(request, traces, timeout)
            if not GUARDED:
                return connection, False
            protocol: Any = connection.protocol
            if not hasattr(protocol, _NOTE):
                setattr(protocol, _NOTE, None)
                return connection, False
            if is_fit(protocol):
                return connection, True
            connection.close()

    def __del__(self, _: Any = None) -> None:
        """Say that connections were left open, unless they are somebody else's."""
        end: Any = getattr(super(), "__del__", None)
        if end is not None and not self.disowned:
            end()


class GuardedConnector(Guarded, aiohttp.TCPConnector):
    """aiohttp's connector with a look at each kept connection."""


# --- what is sent -------------------------------------------------------------------------------

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Headers of a request: later ones go over earlier ones, however they are spelt."""

_UNFIT = frozenset("\r\n\0")


def merged(headers: Headers) -> CIMultiDict[str]:
    """Return headers, each name once.

    Raises:
        CallerError: one would begin another line.
    """
    lines: CIMultiDict[str] = CIMultiDict()
    for name, value in headers:
        if not _UNFIT.isdisjoint(name + value):
            message = f"expected headers without control characters, got one in {name!r}"
            raise CallerError(message)
        lines[name] = value
    return lines


def parsed(url: str) -> URL:
    """Return an address as aiohttp takes it.

    Raises:
        CallerError: it is none.
    """
    try:
        return URL(url)
    except ValueError as error:
        from aiotokengate._http.redirects import named

        message = f"expected an http or https address, got {named(url)}: {error}"
        raise CallerError(message) from None


# --- looking at a connection --------------------------------------------------------------------


def is_fit(protocol: ResponseHandler) -> bool:
    """Say whether a kept connection is open, and nothing has come on it since its last answer."""
    transport = protocol.transport
    if transport is None or transport.is_closing() or protocol.should_close:
        return False
    return not _has_begun(getattr(protocol, "_parser", None)) and not _is_readable(transport)


def _has_begun(parser: Any) -> bool:
    """Say whether a head was begun that nobody asked for; the parser is not used again."""
    if not hasattr(parser, "feed_eof"):
        return False
    try:
        return parser.feed_eof() is not None
    except Exception:  # noqa: BLE001 - whatever it does not like is no clean end
        return True


def has_answered(parser: Any) -> bool:
    """Say whether a byte of an answer came on a connection that broke.

    A parser that was fed nothing takes a whole answer for one, and any other does not.
    """
    try:
        messages, _, _ = parser.feed_data(b"HTTP/1.1 204 \r\n\r\n")
    except Exception:  # noqa: BLE001 - whatever it does not like, it had begun
        return True
    return [message.code for message, _ in messages] != [_EMPTY]


def has_ended(transport: asyncio.Transport) -> bool:
    """Say whether the peer has closed a connection on which it said nothing."""
    if not _is_readable(transport):
        return False

    try:
        with socket.socket(fileno=os.dup(_number(transport))) as found:
            return not found.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


if hasattr(select, "poll"):

    def _is_readable(transport: asyncio.Transport) -> bool:
        """Say whether the kernel has anything to tell: bytes, an end, or an error."""
        number = _number(transport)
        if number is None:
            return False
        if number < 0:
            return True
        asked = select.poll()
        asked.register(number, select.POLLIN)
        return bool(asked.poll(0))

else:  # Windows, whose select has no bound on the numbers of sockets

    def _is_readable(transport: asyncio.Transport) -> bool:
        """Say whether the kernel has anything to tell: bytes, an end, or an error."""
        number = _number(transport)
        if number is None:
            return False
        return number < 0 or bool(select.select([number], [], [], 0)[0])


def _number(transport: asyncio.Transport) -> Any:
    """Return the number of a connection's socket, -1 if it is closed."""
    found = transport.get_extra_info("socket")
    return None if found is None else found.fileno()


# --- aiohttp's own way --------------------------------------------------------------------------


def progress_traces() -> aiohttp.TraceConfig:
    """Note the progress of each request of a session, by what aiohttp promises to tell.

    It is handed over as ``trace_request_ctx``.
    """
    traces = aiohttp.TraceConfig()
    traces.on_connection_create_start.append(_made)
    traces.on_connection_reuseconn.append(_reused)
    traces.on_request_headers_sent.append(_left)
    traces.on_request_redirect.append(_redirected)
    return traces


async def _made(_: object, context: SimpleNamespace, __: object) -> None:
    _once(context.trace_request_ctx)
    context.trace_request_ctx.kept = False


async def _reused(_: object, context: SimpleNamespace, __: object) -> None:
    _once(context.trace_request_ctx)
    context.trace_request_ctx.kept = True


async def _left(_: object, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.sent = True


async def _redirected(_: object, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.sent = False


def _once(progress: Progress) -> None:
    """Refuse a second sending by aiohttp itself; attempts are ours to count."""
    if progress.sent:
        raise aiohttp.ServerDisconnectedError
