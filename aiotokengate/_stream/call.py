"""A chat call, and the stream of its reply: one object to await, to iterate or to enter.

Strategy.  Every reader is a position in the transcript of one
:class:`~aiotokengate._stream.receiver.Receiver`; one that has nothing left waits.  Iterators are
classes and never generators: a ``break`` drops the last reference, which closes the response and
frees what it held, with nothing left to finalise.

Two rules keep that certain.  Each ``__anext__`` lets go of ``self`` before an exception leaves it,
because the traceback of a cancelled task keeps the locals of every frame alive.  And a
:class:`ChatCall` gives its opener away when it is used, so that a call kept in a variable does not
keep the stream.

Only iterating a call directly starts a task, for the opening alone: so that
``wait_for(anext(deltas), 1)`` can run out again and again without sending the request twice.

The views of a stream's text are in :mod:`aiotokengate._stream.text`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

import orjson

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import sealed
from aiotokengate._base.single_use import SingleUse
from aiotokengate._stream.receiver import Guard, Receiver, raise_if
from aiotokengate._stream.text import ChoiceView, Phase, TextStream, partial_objects
from aiotokengate._wire.transcript import BREAK, COMMENTARY, TEXTS, Transcript
from aiotokengate.errors import CallerError, TokenGateError
from aiotokengate.types import Delta, Json, Parsed_co, Reply, ToolCall

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ChatCall", "ChatStream"]


class Opener(Protocol):
    """Sends a call."""

    def __call__(self, *, whole: bool) -> Awaitable[Receiver]:
        """Send, and return the receiver; ``whole`` if nothing is shown before the end."""


class ChatCall(SingleUse[Opener, Reply[Parsed_co]], Generic[Parsed_co]):
    """One call, not yet sent.  Use it once, in one of three ways.

    ::

        reply = await gate.chat(...)                     # the whole reply
        async for delta in gate.chat(...): ...           # deltas as they come
        async with gate.chat(...) as stream: ...         # the stream itself

    It is a coroutine object, so ``create_task``, ``gather``, ``wait_for`` and the like take it.
    One that is dropped unused warns, as a coroutine does; ``close()`` says that it is not wanted.

    Raises:
        CallerError: it is used a second time.
        TokenGateError: see :mod:`aiotokengate.errors`.
    """

    __slots__ = ("_receiver",)

    _instead = "a call is used once, make another one with chat()"

    def __init__(self, opener: Opener, model: str = "") -> None:
        """Keep how to open the call; nothing is sent."""
        super().__init__(opener, model)
        self._receiver: Receiver | None = None

    def _awaited(self, start: Opener) -> Coroutine[Any, Any, Reply]:
        return _whole_reply(start)

    def opened(self, *, whole: bool) -> Awaitable[Receiver]:
        """Send, and return the reply's receiver; for calls that are made of others."""
        return self._take("opened")(whole=whole)

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Send at the first step, and iterate over the deltas."""
        opening = _Opening(self._take("iterated"))
        return _Deltas(opening, Guard(opening))

    def __aenter__(self) -> Coroutine[Any, Any, ChatStream[Parsed_co]]:
        """Send, and return the stream once its first delta is there."""
        # Taken here, and not by a first step that may be cancelled before it is made.
        return self._entered(self._take("entered"))

    async def _entered(self, opener: Opener) -> ChatStream:
        receiver = await opener(whole=False)
        self._receiver = receiver
        return ChatStream(receiver, Guard(receiver))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Free everything, whether the stream was read to its end or not."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.stop()


async def _whole_reply(opener: Opener) -> Reply[Any]:
    receiver = await opener(whole=True)
    try:
        if not receiver.ended:
            await receiver.drain()
        error = receiver.error
        reply = receiver.reply()
    finally:
        receiver.stop()
        del receiver
    try:
        raise_if(error)
    finally:
        del error
    return reply


class ChatStream(Unique, Generic[Parsed_co]):
    """A reply that is arriving.

    Iterate it for deltas, or read its views: in any order, late, twice, or several at a time.
    """

    __slots__ = ("__weakref__", "_guard", "_receiver")

    _instead = "it is still arriving; its reply can be, `await stream.reply()`"

    def __init__(self, receiver: Receiver, guard: Guard) -> None:
        """Begin at the first delta."""
        self._receiver = receiver
        self._guard = guard

    def __repr__(self) -> str:
        """Name the model, the state and how many deltas came."""
        receiver = self._receiver
        state = receiver.status if receiver.ended else "open"
        return f"<ChatStream {receiver.log.model} {state} after {len(receiver.log)} deltas>"

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Iterate over all deltas, from the first."""
        return _Deltas(self._receiver, self._guard)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer."""
        return self._receiver.headers

    @property
    def request_id(self) -> str | None:
        """The gateway's id of the request."""
        return self._receiver.request_id

    @property
    def reasoning(self) -> TextStream:
        """The thinking before the answer; ends the moment anything else begins."""
        return self.choice(0).reasoning

    @property
    def answer(self) -> TextStream:
        """All text of the answer."""
        return self.choice(0).answer

    @property
    def tool_calls(self) -> AsyncIterator[ToolCall]:
        """Each tool call, once it is complete."""
        return self.choice(0).tool_calls

    def phases(self) -> AsyncIterator[Phase]:
        """Iterate over thinking, commentary, answer ... in order, each a stream of text."""
        return self.choice(0).phases()

    @sealed
    def objects(self, every: float = 0.25) -> AsyncIterator[Json]:
        """Iterate over the JSON of the answer as far as it is written.

        At most every so many seconds: the same growing containers each time, without what is not
        there yet; at last the whole.  Text around the JSON is skipped.
        """
        return partial_objects(self._receiver, self._guard, every)

    def choice(self, index: int) -> ChoiceView:
        """Return the views of one choice, counted from 0, where ``n`` asked for several."""
        if not isinstance(index, int) or index < 0:
            message = f"expected the number of a choice, from 0 up, got {index!r}"
            raise CallerError(message)
        return ChoiceView(self._receiver, self._guard, index)

    def sse(self) -> AsyncIterator[bytes]:
        """Iterate over the stream as Chat Completions events, to relay it to a browser.

        An interrupted reply ends with an error event in place of ``[DONE]``, and then raises.
        """
        return _Relay(self._receiver, self._guard)

    def stop(self) -> None:
        """End now, and keep what came: the reply's status becomes ``stopped``."""
        self._receiver.stop()

    async def reply(self) -> Reply[Parsed_co]:
        """Read to the end, and return the whole reply.

        Raises:
            StreamInterrupted: it was cut; ``.partial`` has what came.
        """
        try:
            await self._receiver.drain()
            raise_if(self._receiver.error)
            return self._receiver.reply()
        finally:
            del self


# --- deltas -------------------------------------------------------------------------------------


class _Opening:
    """An iterated call that is not open yet: the first step opens it, in a task of its own."""

    __slots__ = ("_opener", "_task")

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._task: asyncio.Future[Receiver] | None = None

    async def receiver(self) -> Receiver:
        """Wait until it is open; being cancelled loses nothing."""
        try:
            if self._task is None:
                self._task = asyncio.ensure_future(self._opener(whole=False))
            await asyncio.wait((self._task,))
            return self._task.result()
        finally:
            del self

    def abandon(self) -> None:
        """Let go of it, and of what it opened."""
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.get_loop().call_soon_threadsafe(_let_go, self._task)


def _let_go(task: asyncio.Future[Receiver]) -> None:
    if not task.cancel() and not task.cancelled() and not task.exception():
        task.result().stop()


class _Deltas(AsyncIterator[Delta]):
    """All deltas of a stream, from the first.

    Attributes:
        at: the next entry.
    """

    __slots__ = ("__weakref__", "_guard", "_log", "_source", "at")

    def __init__(self, source: Receiver | _Opening, guard: Guard) -> None:
        self._source = source
        self._guard = guard
        self.at = 0
        if isinstance(source, Receiver):
            self._log = source.log
            source.follow(self)
        else:
            self._log = Transcript()

    async def __anext__(self) -> Delta:
        try:
            log = self._log
            place = self.at - log.base
            while place >= len(log.items):
                if isinstance(self._source, _Opening):
                    await self._open(self._source)
                    log = self._log
                elif self._source.ended:
                    raise_if(self._source.error)
                    raise StopAsyncIteration
                else:
                    await self._source.wait(reader=self)
                place = self.at - log.base
            if place < 0:
                return self._packed()
            self.at += 1
            kind = log.kinds[place]
            if kind < BREAK:  # a text of the first choice, as nearly all are: without a call
                text: Delta = TEXTS[kind](log.items[place])
                return text
            return log.delta(self.at - 1)
        finally:
            del self

    def _packed(self) -> Delta:
        """Return the next delta to a reader that comes late."""
        at = max(self.at, self._log.first)
        self.at = at + 1
        return self._log.delta(at)

    async def _open(self, opening: _Opening) -> None:
        try:
            receiver = self._source = self._guard.target = await opening.receiver()
            self._log = receiver.log
            receiver.follow(self)
        finally:
            del self, opening


# --- relay --------------------------------------------------------------------------------------

_DONE: Final = b"data: [DONE]\n\n"


class _Relay(AsyncIterator[bytes]):
    """The stream as events; the last one is ``[DONE]``, or an error which then is raised."""

    __slots__ = ("_closed", "_deltas", "_log", "_relay")

    def __init__(self, receiver: Receiver, guard: Guard) -> None:
        from aiotokengate._wire.relay import Relay

        self._log = receiver.log
        self._relay = Relay(receiver.log)
        self._deltas = _Deltas(receiver, guard)
        self._closed = False

    async def __anext__(self) -> bytes:
        try:
            deltas, log = self._deltas, self._log
            place = deltas.at - log.base
            if 0 <= place < len(log.items) and log.kinds[place] < COMMENTARY:
                deltas.at += 1
                return self._relay.write_text(log.kinds[place], log.items[place])
            event = b""
            while not event:
                event = self._relay.write(await deltas.__anext__())
        except StopAsyncIteration:
            if self._closed:
                raise
            self._closed = True
            return _DONE
        except TokenGateError as error:
            if self._closed:
                raise
            self._closed = True
            return _error_event(error)
        else:
            return event
        finally:
            del self


def _error_event(error: TokenGateError) -> bytes:
    body = {"message": error.message, "type": type(error).__name__, "code": error.code}
    return b"data: " + orjson.dumps({"error": body}) + b"\n\n"
