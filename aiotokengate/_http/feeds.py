"""How the body of an answer reaches its sink: in the callback that received it.

Strategy.  With a future, a wake-up and a step of a task for each read, a token that comes alone
costs more in asyncio and aiohttp than in all that is done with it.  So the sink is handed the
bytes where they arrive.  aiohttp parses HTTP as ever; what stands in the place of the parser hands
on what a read brought, at once and in one piece, when the parser is done with it.  Whoever waits
for something is woken by the sink, once that came.

Taken only where aiohttp is built as known; else, and where the body is packed (a small read may
unpack to a thousand times its size, which aiohttp gives by and by), a task reads for the sink.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, final

import aiohttp

from aiotokengate._http.connections import VERSION_KNOWN, has
from aiotokengate._http.direct import read_less, reader_of, salvaged
from aiotokengate._http.internals import HttpResponseParser, ResponseHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Feed", "Sink", "TaskFeed", "feed_of"]


class Sink(Protocol):
    """Takes the body of an answer as it comes; nothing it does may raise."""

    def data(self, data: bytes) -> None:
        """Take the next bytes."""

    def end(self) -> None:
        """Take note that all of it came."""

    def failed(self, error: Exception) -> None:
        """Take note of what broke it, after all that had come before."""


class Feed(Protocol):
    """Feeds a sink with a body, from its start on."""

    def pause(self) -> None:
        """Hand on nothing more for now, so that the sender has to wait."""

    def resume(self) -> None:
        """Go on."""

    def stop(self) -> None:
        """Forget the sink; what may still come is for nobody."""


def feed_of(content: aiohttp.StreamReader, *, packed: bool) -> TaskFeed | _DirectFeed:
    """Return what feeds with a body, which is packed or not; it is to be started."""
    if not packed and type(content) is aiohttp.StreamReader and _is_known():
        return _DirectFeed(content)
    return TaskFeed(reader_of(content), lambda: salvaged(content))


class TaskFeed:
    """Reads in a task, in any way of reading."""

    __slots__ = ("_read", "_resumed", "_salvage", "_sink", "_task")

    def __init__(self, read: Callable[[], Awaitable[bytes]], salvage: Callable[[], bytes]) -> None:
        """Note how to read.

        Args:
            read: awaits the next bytes, b"" at the end.
            salvage: returns what had come before the error that ``read`` raised.
        """
        self._read = read
        self._salvage = salvage
        self._sink: Sink | None = None
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._task: asyncio.Task[None]

    def start(self, sink: Sink) -> None:
        """Begin with the next turn of the loop."""
        self._sink = sink
        self._task = asyncio.get_running_loop().create_task(self._read_on())

    def pause(self) -> None:
        """Read nothing more for now."""
        self._resumed.clear()

    def resume(self) -> None:
        """Read on."""
        self._resumed.set()

    def stop(self) -> None:
        """End the task, unless it is what stops it, and so about to end."""
        self._sink = None
        loop = self._task.get_loop()
        if not loop.is_closed() and self._task is not asyncio.current_task(loop):
            self._task.cancel()

    async def _read_on(self) -> None:
        error: Exception | None = None
        try:
            while data := await self._read():
                self._hand_on(data)
                await self._resumed.wait()
        except Exception as found:  # noqa: BLE001 - every way a transport can break
            error = found
            self._hand_on(self._salvage())
        if self._sink is None:
            return
        if error is None:
            self._sink.end()
        else:
            self._sink.failed(error)

    def _hand_on(self, data: bytes) -> None:
        if data and self._sink is not None:
            self._sink.data(data)


# --- without a task -----------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _is_known() -> bool:
    """Say whether aiohttp has all that :class:`_DirectFeed` uses; asked in a running loop."""
    return (
        VERSION_KNOWN
        and has(HttpResponseParser, "feed_data", "feed_eof", "pause_reading")
        and has(aiohttp.StreamReader, "_buffer", "_eof", "_exception", "_protocol", "_waiter")
        and has(aiohttp.StreamReader, "begin_http_chunk_receiving", "end_http_chunk_receiving")
        and has(aiohttp.StreamReader, "feed_data", "feed_eof", "set_exception")
        and has(ResponseHandler, "_reading_paused", "resume_reading")
        and has(ResponseHandler(asyncio.get_running_loop()), "_parser", "transport")
        # Else no reader can be made one of ours.
        and _FedReader.__basicsize__ == aiohttp.StreamReader.__basicsize__
    )


class _FedReader(aiohttp.StreamReader):
    """The body, as the parser of aiohttp knows it; in the place of who waits stands the feed."""

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:  # noqa: ARG002 - aiohttp's
        """Keep it until the read is parsed, if anybody wants it."""
        if self._waiter is not None:
            self._buffer.append(data)
        return False

    def begin_http_chunk_receiving(self) -> None:
        """Take no note of where a chunk began: that is no border of anything."""

    def end_http_chunk_receiving(self) -> None:
        """Take no note of where it ended."""

    def feed_eof(self) -> None:
        """Free the connection; the feed sees the end when the read is parsed."""
        self._waiter = None
        super().feed_eof()

    def set_exception(self, exc: BaseException, *cause: Any) -> None:  # noqa: ANN401 - aiohttp's
        """Tell of a break."""
        fed: Any = self._waiter  # the feed stands in that place
        self._waiter = None
        super().set_exception(exc, *cause)
        if fed is not None:
            fed.flush()


@final
class _DirectFeed:
    """Feeds a sink from within the protocol's callback, in the place of its parser."""

    __slots__ = ("_buffer", "_content", "_parse", "_parser", "_paused", "_protocol", "_sink")

    def __init__(self, content: Any) -> None:  # noqa: ANN401 - aiohttp's, and its insides
        self._content = content
        self._buffer = content._buffer
        self._protocol = content._protocol
        self._sink: Sink | None = None
        self._paused = False
        self._parser: Any = None

    def start(self, sink: Sink) -> None:
        """Take the parser's place, if it has anything left to parse; hand on what is there."""
        content, protocol = self._content, self._protocol
        self._sink = sink
        if not content._eof and content._exception is None:
            read_less(protocol.transport)
            content.__class__ = _FedReader
            content._waiter = self
            self._parser = protocol._parser
            self._parse = self._parser.feed_data
            protocol._parser = self
            if protocol._reading_paused:
                protocol.resume_reading()
        self.flush()

    # --- for the protocol, as its parser --------------------------------------------------------

    def feed_data(self, data: bytes) -> object:
        """Parse what was read, and hand it on."""
        try:
            parsed = self._parse(data)
        except Exception as error:
            self._fail(error)  # aiohttp drops the connection, and tells nobody who reads
            raise
        sink, buffer = self._sink, self._buffer
        if sink is not None and len(buffer) == 1 and not self._content._eof:
            sink.data(buffer.popleft())  # as nearly all reads: without a call more
        else:
            self.flush()
        return parsed

    def feed_eof(self) -> object:
        """Parse the end of a connection, which may be that of a body."""
        try:
            return self._parser.feed_eof()
        finally:
            self.flush()

    def pause_reading(self) -> None:
        """Stop parsing."""
        self._parser.pause_reading()

    # --- for the sink ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand on what came."""
        buffer, content = self._buffer, self._content
        if buffer:
            data = buffer.popleft() if len(buffer) == 1 else b"".join(buffer)
            buffer.clear()
            if self._sink is not None:
                self._sink.data(data)
        if (content._eof or content._exception is not None) and self._sink is not None:
            sink, error = self._sink, content._exception
            self.stop()
            if error is None:
                sink.end()
            else:
                sink.failed(error)

    def _fail(self, error: Exception) -> None:
        """Hand on what came before a break, and tell of that."""
        self.flush()
        sink = self._sink
        if sink is not None:
            self.stop()
            sink.failed(error)

    def pause(self) -> None:
        """Stop reading from the socket."""
        transport = self._protocol.transport
        if transport is not None and not self._paused and self._sink is not None:
            self._paused = True
            transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        transport = self._protocol.transport
        if self._paused and transport is not None:
            transport.resume_reading()
        self._paused = False

    def stop(self) -> None:
        """Put the parser back in its place, and read on for nobody."""
        self._sink = None
        self.resume()
        if self._parser is not None and self._protocol._parser is self:
            self._protocol._parser = self._parser
            self._content._waiter = None
