"""An answer that is no chat: bytes, JSON or events, read in pieces, under the same clocks.

Strategy.  As with a :mod:`receiver <aiotokengate._stream.receiver>`, what reads (:class:`_Flow`)
and what users hold (:class:`Download`) are two objects: the traceback of a cancelled task may keep
the first alive, and dropping the second closes the connection at once and frees the place in the
pool.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

import attrs

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import bare, sealed_class
from aiotokengate._stream.clocks import run_out
from aiotokengate._stream.receiver import Guard, raise_if
from aiotokengate._wire.jsontext import loads
from aiotokengate._wire.problems import find_problem, status_error
from aiotokengate._wire.sse import ServerSentEvent, SSEDecoder
from aiotokengate.errors import (
    CallerError,
    StatusError,
    TimedOut,
    TokenGateError,
    TransportError,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from io import BufferedWriter
    from types import TracebackType

    from aiotokengate._pool.holding import Hold
    from aiotokengate._stream.clocks import Watch
    from aiotokengate.clock import Clock
    from aiotokengate.errors import Phase
    from aiotokengate.types import Attempt, Json

__all__ = ["Download", "DownloadSettings", "make_room", "write_whole"]

Again: TypeAlias = "Callable[[int, Mapping[str, str]], Awaitable[Download]]"

_BLANK = b"\xef\xbb\xbf \t\r\n"

_PIECE = 1024 * 1024
"""Bytes that are written to a file at once, in a thread."""

_PARTIAL = 206
_NOT_SATISFIABLE = 416
_PAGES = ("text/html", "application/xhtml+xml")
_CONTENT_RANGE = re.compile(r"bytes\s+(\d{1,18})-")


@attrs.define(eq=False)
class DownloadSettings:
    """What a download has to know of its call.

    Attributes:
        clock: the session's.
        began: its time at the beginning of the call.
        limit: when the call must have ended, in seconds since then, with phase and setting.
        stall: seconds of silence that are too long.
        most: bytes that :meth:`Download.read` takes at most.
        attempts: how often in all it may be requested without a byte of progress.
        again: requests the same once more with further headers, sending so many times at most;
            None where that can't be done.
        headers: of the answer.
        secrets: returns the texts to be blanked in an error that echoes them.
        made: the attempts of the call, for its errors.
    """

    clock: Clock
    began: float
    limit: tuple[float, Phase, float] | None
    stall: float | None
    most: int
    attempts: int = 1
    again: Again | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    secrets: Callable[[], Iterable[str]] = tuple
    made: tuple[Attempt, ...] = ()

    def error_in(self, parsed: object, body: bytes) -> StatusError | None:
        """Return the error that is in a part of the answer, if there is one."""
        problem = find_problem(parsed)
        if problem is None:
            return None
        error = status_error(None, body, self.headers, problem=problem)
        error.redact(self.secrets())
        error.attempts = self.made
        return error


class ReadBody(Protocol):
    """The body of an answer that is read as its reader likes."""

    @property
    def read(self) -> Callable[[], Awaitable[bytes]]:
        """Await the next bytes, b"" at the end; being cancelled loses nothing."""

    def at_end(self) -> bool:
        """Return whether ``read`` would return b"" at once."""

    def salvage(self) -> bytes:
        """Return what had arrived before the error that ``read`` raised."""

    def explain(self, error: Exception) -> TokenGateError:
        """Translate an error that ``read`` raised; raise it again if it is none of the network."""

    def close(self) -> None:
        """Drop the connection now; a pending ``read`` raises."""

    def release(self) -> None:
        """Let the last bytes arrive, within a bound, so that the connection serves again."""


class _Flow:
    """The body of an answer: who waits for its next bytes, and when it has ended."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_loop",
        "_read",
        "_reading",
        "_since",
        "_thread",
        "_waited",
        "due_tick",
        "ended",
        "error",
        "hold",
        "on_end",
        "settings",
        "watch",
    )

    def __init__(self, body: ReadBody, settings: DownloadSettings) -> None:
        self.settings = settings
        self.ended = False
        self.error: TokenGateError | None = None
        self.on_end: Callable[[TokenGateError | None], object] = _nothing
        self.watch: Watch | None = None
        self.hold: Hold | None = None
        self._body = body
        self._read = body.read
        self._reading = False
        self._since: float  # when the read began that is waited for
        self._waited = 0.0  # in those before it that were called off
        self.due_tick: int
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    async def read(self) -> bytes:
        """Return the next bytes, b"" at the end.

        Raises:
            CallerError: somebody else reads, or another loop.
            TokenGateError: the connection broke, or a clock ran out.
        """
        if self._loop is not asyncio.get_running_loop() or self._reading:
            message = "a download is read by one reader, in the event loop that opened it"
            raise CallerError(message)
        if self.ended:
            raise_if(self.error)
            return b""
        if self.hold is not None:
            self.hold.touch()
        self._reading, self._since = True, self.settings.clock.now()
        try:
            data = await self._read()
            self._waited = 0.0
        except asyncio.CancelledError:
            self._waited += self.settings.clock.now() - self._since
            raise
        except Exception as error:  # noqa: BLE001 - every way a transport can break
            failure = self._body.explain(error)
            data = b"" if self.ended else self._body.salvage()
            self.end(failure)
        finally:
            self._reading = False
        if not data:
            self.end()
            raise_if(self.error)
        return data

    def end(self, error: TokenGateError | None = None) -> None:
        """End once, whichever way."""
        if self.ended:
            return
        self.ended, self.error = True, error
        if error is not None:
            error.attempts = error.attempts or self.settings.made
        if error is None and self._body.at_end():
            self._body.release()
        else:
            self._body.close()
        if self.watch is not None:
            self.watch.discard(self)
        self.on_end(error)

    def abandon(self) -> None:
        """End, whichever thread the last reader was dropped in."""
        if self.ended or self._loop.is_closed():
            return
        if threading.get_ident() == self._thread:
            self.end()
        else:
            self._loop.call_soon_threadsafe(self.end)

    def tick(self, now: float) -> float:
        """Look at the clocks, and return the time before which none can run out."""
        settings = self.settings
        waited = self._waited + (now - self._since if self._reading else 0.0)
        error, again = run_out(settings.limit, settings.began, settings.stall, waited, now)
        if error is not None:
            self.end(error)
        return again


@sealed_class
class Download(Unique):
    """An answer whose headers have come: read it in one of five ways.

    ::

        async for piece in download: ...       # bytes as they come
        await download.read()                  # all of them
        await download.json()                  # parsed
        async for event in download.events():  # of an event stream
            ...
        await download.save("speech.mp3")      # to a file, whole or not at all

    Attributes:
        status: the HTTP status.
        headers: of the answer.
        request_id: the gateway's id of the request.
        endpoint: the key that was used, as a digest; "" where there is one only.
    """

    __slots__ = ("__weakref__", "_flow", "_guard", "endpoint", "headers", "request_id", "status")

    _instead = "it is still arriving; its bytes can be, `await download.read()`"

    def __init__(
        self,
        body: ReadBody,
        settings: DownloadSettings,
        status: int,
        headers: Mapping[str, str],
        request_id: str | None,
    ) -> None:
        """Take over an answer whose headers have come."""
        self.status: int = status
        self.headers: Mapping[str, str] = headers
        self.request_id: str | None = request_id
        self.endpoint: str = ""
        self._flow = _Flow(body, settings)
        self._guard = Guard(self._flow)

    @property
    def content_type(self) -> str:
        """What the answer says it is, in lower case and without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def __repr__(self) -> str:
        """Name the status, the type and the state."""
        state = "ended" if self._flow.ended else "open"
        return f"<Download {self.status} {self.content_type or 'untyped'} {state}>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes as they come."""
        return _Pieces(self._flow, self._guard)

    async def __aenter__(self) -> Self:
        """Enter, to be closed at the end."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def note_attempts(self, attempts: tuple[Attempt, ...]) -> None:
        """Keep what was tried, for the errors; for the session."""
        self._flow.settings.made = attempts

    def watched(
        self,
        watch: Watch,
        on_end: Callable[[TokenGateError | None], object],
        hold: Hold | None = None,
    ) -> None:
        """Watch its clocks, and set what to call when it ends or is read; for the session."""
        self._flow.watch, self._flow.on_end, self._flow.hold = watch, on_end, hold
        watch.add(self._flow)

    def close(self) -> None:
        """Drop what is left, and free the place in the pool."""
        self._flow.end()

    async def read(self) -> bytes:
        """Return all bytes.

        Raises:
            WireError: there are more than ``max_reply_bytes``.
            TransportError: the connection broke.
        """
        pieces: list[bytes] = []
        size, most = 0, self._flow.settings.most
        try:
            while piece := await self._flow.read():
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    self.close()
                    message = f"expected at most {most} bytes (max_reply_bytes), got more"
                    raise self.unfit(message)
            return b"".join(pieces)
        finally:
            del self

    async def json(self) -> Json:
        """Return the parsed JSON.

        Raises:
            WireError: it is none.
            StatusError: it is an error, in spite of its status.
        """
        body = await self.read()
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            message = f"expected JSON, got {len(body)} bytes that are not"
            raise self.unfit(message) from None
        self.raise_error_in(parsed, body)
        return parsed

    def raise_error_in(self, parsed: object, body: bytes) -> None:
        """Raise the error that a part of the answer is, in spite of its status; for resources.

        Raises:
            StatusError: it is one; what it quotes of the prompt is blanked.
        """
        raise_if(self._flow.settings.error_in(parsed, body))

    async def expect(self, what: str) -> None:
        """Refuse JSON, and a page for people, where a file is expected; for resources.

        Args:
            what: the file, for the error.

        Raises:
            StatusError: it is an error, in spite of its status.
            WireError: it is no file.
        """
        kind = self.content_type
        if kind.endswith("json"):
            await self.json()
        if kind.endswith("json") or kind in _PAGES:
            self.close()
            message = f"expected {what}, got an answer of type {kind}"
            raise self.unfit(message)

    def unfit(self, message: str) -> WireError:
        """Return the error of an answer that is not what was expected."""
        error = WireError(message, request_id=self.request_id)
        error.attempts = self._flow.settings.made
        return error

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """Iterate over the events of an event stream, ``[DONE]`` included.

        JSON in place of a stream, whatever its type says, is one event; an error in its place, or
        bare among the events, is raised.

        Raises:
            StatusError: it is an error.
            WireError: it is neither events nor JSON.
            TransportError: the connection broke.
        """
        return _Events(self._flow, self._guard)

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all bytes to a file; it appears there when it is whole, never before.

        Directories are made.  A download by GET that is cut goes on where it was, if the server
        can.

        Raises:
            CallerError: that is a directory.
            TransportError: the connection broke.
            OSError: the file can't be written.
        """
        return await _saved(Path(path), partial(_write_all, self))


async def write_whole(pieces: AsyncIterator[bytes], path: str | os.PathLike[str]) -> Path:
    """Write pieces to a file, which appears when it is whole.

    Raises:
        OSError: the file can't be written.
    """
    return await _saved(Path(path), partial(_write_pieces, pieces))


def make_room(target: Path) -> None:
    """Make the directories that a file is to stand in.

    Raises:
        CallerError: it is a directory itself.
        OSError: they can't be made.
    """
    if target.is_dir():
        message = f"expected the path of a file, got the directory {str(target)!r}"
        raise CallerError(message)
    target.parent.mkdir(parents=True, exist_ok=True)


async def _saved(target: Path, write: Callable[[_Writer], Awaitable[None]]) -> Path:
    """Write a file beside its place, then move it there."""
    await asyncio.to_thread(make_room, target)
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    file = await asyncio.to_thread(beside.open, "wb")
    try:
        try:
            await write(_Writer(file))
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))
        await asyncio.to_thread(os.replace, beside, target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    finally:
        del write
    return target


async def _write_pieces(pieces: AsyncIterator[bytes], writer: _Writer) -> None:
    async for piece in pieces:
        await writer.take(piece)
    await writer.flush()


class _Writer:
    """Collects small pieces, and writes large ones in a thread."""

    __slots__ = ("_file", "_held", "_pieces", "size")

    def __init__(self, file: BufferedWriter) -> None:
        self.size = 0
        self._file = file
        self._pieces: list[bytes] = []
        self._held = 0

    async def take(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._held += len(piece)
        self.size += len(piece)
        if self._held >= _PIECE:
            await self.flush()

    async def flush(self) -> None:
        pieces, self._pieces, self._held = self._pieces, [], 0
        if pieces:
            await asyncio.to_thread(self._file.write, b"".join(pieces))

    async def start_again(self) -> None:
        self.size = 0
        await asyncio.to_thread(_empty, self._file)


async def _write_all(download: Download, writer: _Writer) -> None:
    """Write a download to a file, requesting the rest where it is cut."""
    settings = download._flow.settings  # noqa: SLF001 - of this module
    most, again = settings.attempts - 1, settings.again
    left, furthest, whole = most, 0, download.headers
    try:
        while True:
            try:
                async for piece in download:
                    await writer.take(piece)
            except TransportError as error:
                await writer.flush()
                # A server that begins anew each time, and is cut each time, makes no progress.
                left = most if writer.size > furthest else left
                furthest = max(furthest, writer.size)
                if again is None or not left or _is_over(error):
                    raise
            else:
                await writer.flush()
                return
            download = await _rest_of(whole, partial(again, left), writer)
            left -= 1
            whole = whole if download.status == _PARTIAL else download.headers
    finally:
        del download


async def _rest_of(
    headers: Mapping[str, str],
    again: Callable[[Mapping[str, str]], Awaitable[Download]],
    writer: _Writer,
) -> Download:
    """Request what is missing; all of it where that is of another file, or can't be had."""
    if writer.size:
        try:
            download = await again(_range_headers(headers, writer.size))
        except StatusError as error:
            if error.status != _NOT_SATISFIABLE:
                raise
        else:
            if _goes_on(download, headers, writer.size):
                return download
            if download.status != _PARTIAL:
                await writer.start_again()
                return download
            download.close()
    await writer.start_again()
    return await again({})


def _range_headers(headers: Mapping[str, str], start: int) -> dict[str, str]:
    """Return headers that ask for the rest from a byte on, if the file has not changed."""
    tag = headers.get("ETag", "")
    mark = headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
    unchanged = {"If-Range": mark} if mark else {}
    return {"Range": f"bytes={start}-", **unchanged}


def _goes_on(download: Download, before: Mapping[str, str], start: int) -> bool:
    """Return whether an answer is the rest of the same file, as far as it says."""
    headers = download.headers
    tags = [said.get("ETag") for said in (before, headers)]
    found = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    is_there = found is None or int(found[1]) == start
    is_same = None in tags or tags[0] == tags[1]
    return download.status == _PARTIAL and is_there and is_same


def _is_over(error: TransportError) -> bool:
    """Return whether there is no time left."""
    return isinstance(error, TimedOut) and error.phase in ("total", "deadline")


def _empty(file: BufferedWriter) -> None:
    file.seek(0)
    file.truncate()


class _Pieces(AsyncIterator[bytes]):
    __slots__ = ("_flow", "_guard")

    def __init__(self, flow: _Flow, guard: Guard) -> None:
        self._flow = flow
        self._guard = guard

    async def __anext__(self) -> bytes:
        try:
            if data := await self._flow.read():
                return data
        except TokenGateError as error:
            bare(error)
            raise
        finally:
            del self
        raise StopAsyncIteration


class _Events(AsyncIterator[ServerSentEvent]):
    __slots__ = ("_begun", "_decoder", "_error", "_events", "_flow", "_guard")

    def __init__(self, flow: _Flow, guard: Guard) -> None:
        self._flow = flow
        self._guard = guard
        self._decoder: SSEDecoder | None = SSEDecoder(max_event_bytes=flow.settings.most)
        self._events: deque[ServerSentEvent] = deque()
        self._error: TokenGateError | None = None
        self._begun = False

    async def __anext__(self) -> ServerSentEvent:
        try:
            while not self._events:
                if self._error is not None:
                    self._flow.end(self._error)
                    raise_if(self._error)
                if self._decoder is None:
                    raise StopAsyncIteration
                await self._more(self._decoder)
            return self._events.popleft()
        except TokenGateError as error:
            bare(error)
            raise
        finally:
            del self

    async def _more(self, decoder: SSEDecoder) -> None:
        data = await self._flow.read()
        if not self._begun and (first := data.lstrip(_BLANK)[:1]):
            self._begun = True
            if first in b"{[":
                await self._take_json(data)
                return
        if data:
            self._events += decoder.feed(data)
        else:
            self._decoder = None
            last = decoder.close()
            self._events += [last] if last is not None else []
        for _, _, line in decoder.odd:
            if line.startswith(b"{") and self._error is None:
                self._judge(line)

    async def _take_json(self, data: bytes) -> None:
        """Take JSON that came in place of a stream; gateways label it as one."""
        self._decoder = None
        pieces, size = [data], len(data)
        while (piece := await self._flow.read()) and size <= self._flow.settings.most:
            pieces.append(piece)
            size += len(piece)
        body = b"".join(pieces).strip(_BLANK)
        if self._judge(body):
            self._events += [ServerSentEvent("", body)] if self._error is None else []
        else:
            message = f"expected events, got {size} bytes that are neither events nor JSON"
            self._error = WireError(message)

    def _judge(self, body: bytes) -> bool:
        """Look for an error in what should have been an event; return whether it is JSON."""
        try:
            parsed = loads(body)
        except (ValueError, RecursionError):
            return False
        self._error = self._flow.settings.error_in(parsed, body)
        return True


def _nothing(_: TokenGateError | None) -> None:
    """Stand in for a callback that nobody set."""
