"""A call and its stream: one object to await, to iterate or to enter, and views of one transcript.

Strategy.  Every view is a position in the transcript of one
:class:`~aiotokengate._stream.receiver.Receiver`; a view with nothing left pulls.  Iterators are
classes and never generators: a ``break`` drops the last reference, which closes the response and
frees what it held, with nothing left to finalise.

Two rules keep that certain.  Each ``__anext__`` lets go of ``self`` before an exception leaves it,
because the traceback of a cancelled task keeps the locals of every frame alive.  And a
:class:`ChatCall` gives its opener away when it is used, so that a call kept in a variable does not
keep the stream.

Only iterating a call directly starts a task, for the opening alone: so that
``wait_for(anext(deltas), 1)`` can run out again and again without sending the request twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias

import orjson

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import sealed
from aiotokengate._base.unused import origin, warn_unused
from aiotokengate._stream.receiver import Guard, Receiver, raise_if
from aiotokengate._wire.transcript import ANSWER, BREAK, KINDS, REASONING, Transcript
from aiotokengate.errors import CallerError, TokenGateError
from aiotokengate.types import AnswerDelta, Delta, Json, Parsed_co, ReasoningDelta, Reply, ToolCall

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ChatCall", "ChatStream", "ChoiceView", "Phase", "TextStream"]

Opener: TypeAlias = Callable[[bool], Awaitable[Receiver]]
"""Sends, and gives the reply; told whether nothing is shown before it is whole."""

Scope: TypeAlias = Literal["all", "phase", "leading"]
"""All text of a kind; one run of it; or the first run, before which there may be white space."""

_UNUSED: Final = "unused"


class ChatCall(Unique, Coroutine[Any, Any, Reply[Parsed_co]], Generic[Parsed_co]):
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

    __slots__ = ("__weakref__", "_coroutine", "_model", "_opener", "_origin", "_receiver", "_use")

    _instead = "a call is used once, make another one with chat()"

    def __init__(self, opener: Opener, model: str = "") -> None:
        """Keep how to open the call; nothing is sent."""
        self._opener: Opener | None = opener
        self._model = model
        self._use = _UNUSED
        self._coroutine: Coroutine[Any, Any, Reply] | None = None
        self._receiver: Receiver | None = None
        self._origin = origin()

    def __del__(self) -> None:
        """Warn if it was never used."""
        if self._use is _UNUSED:
            warn_unused(f"ChatCall {self._model!r}", self._origin)

    def __repr__(self) -> str:
        """Name the model and the state; never the messages."""
        return f"<ChatCall {self._model} {self._use}>"

    def hand_over(self) -> None:
        """Take it that somebody else was to use it: it may still be used, and does not warn."""
        if self._use is _UNUSED:
            self._use = "handed over"

    def opened(self, *, whole: bool) -> Awaitable[Receiver]:
        """Send, and give the reply's receiver; for calls that are made of others."""
        return self._take("opened")(whole)

    def _take(self, use: str) -> Opener:
        if self._opener is None:
            message = f"a call can be used once; this one is {self._use} already, make a new one"
            raise CallerError(message)
        opener, self._opener, self._use = self._opener, None, use
        return opener

    # --- await ----------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, Reply[Parsed_co]]:
        """Send, and give the whole reply."""
        return _whole_reply(self._take("awaited")).__await__()

    def send(self, value: Any) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Run a step, as a task does."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:  # noqa: ANN401 - the coroutine protocol
        """Raise inside, as a cancelled task does."""
        try:
            return self._begun().throw(*error)
        finally:
            del error  # which may quote what came

    def close(self) -> None:
        """Give up; a call that never ran stays silent."""
        if self._opener is not None:
            self._opener, self._use = None, "closed"
        if self._coroutine is not None:
            self._coroutine.close()

    def _begun(self) -> Coroutine[Any, Any, Reply]:
        if self._coroutine is None:
            self._coroutine = _whole_reply(self._take("awaited"))
        return self._coroutine

    # --- async for, async with ------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Send at the first step, and give the deltas."""
        return _Deltas(None, None, self._take("iterated"))

    def __aenter__(self) -> Coroutine[Any, Any, ChatStream[Parsed_co]]:
        """Send, and give the stream once its first delta is there."""
        # Taken here, and not by a first step that may be cancelled before it is made.
        return self._entered(self._take("entered"))

    async def _entered(self, opener: Opener) -> ChatStream:
        receiver = await opener(False)  # noqa: FBT003 - see Opener
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


async def _whole_reply(opener: Opener) -> Reply:
    receiver = await opener(True)  # noqa: FBT003 - see Opener
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


class _Opening:
    """The task that opens an iterated call."""

    def __init__(self, opener: Opener) -> None:
        self.task: asyncio.Task[Receiver] = asyncio.ensure_future(_awaited(opener))

    def abandon(self) -> None:
        """Let go of it, and of what it opened."""
        loop = self.task.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if not self.task.cancel() and not self.task.cancelled() and not self.task.exception():
            self.task.result().stop()


async def _awaited(opener: Opener) -> Receiver:
    return await opener(False)  # noqa: FBT003 - see Opener


class _Deltas(AsyncIterator[Delta]):
    """All deltas of a stream, from the first; opened by the first step if it is not open yet."""

    __slots__ = ("__weakref__", "_guard", "_log", "_opener", "_opening", "_receiver", "at")

    def __init__(
        self, receiver: Receiver | None, guard: Guard | None, opener: Opener | None = None
    ) -> None:
        self._opening: _Opening | None = None
        self._receiver = receiver
        self._log = receiver.log if receiver else Transcript()
        self._guard = guard
        self._opener = opener
        self.at = 0
        if receiver is not None:
            receiver.follow(self)

    async def __anext__(self) -> Delta:
        try:
            log = self._log
            at = self.at - log.base
            while at >= len(log.items):
                if self._receiver is None:
                    self._receiver = await self._open()
                    log = self._log = self._receiver.log
                elif self._receiver.ended:
                    raise_if(self._receiver.error)
                    raise StopAsyncIteration
                else:
                    await self._receiver.pull()
                at = self.at - log.base
            if at < 0:
                return self._packed()
            self.at += 1
            kind = log.kinds[at]
            if kind == REASONING:
                return ReasoningDelta(log.items[at])
            if kind == ANSWER:
                return AnswerDelta(log.items[at])
            return log.delta(at + log.base)
        finally:
            del self

    def _packed(self) -> Delta:
        """Give the next delta to a reader that comes late."""
        at = max(self.at, self._log.first)
        self.at = at + 1
        return self._log.delta(at)

    async def _open(self) -> Receiver:
        try:
            if self._opener is not None:
                self._opening = _Opening(self._opener)
                self._guard, self._opener = Guard(self._opening), None
            assert self._opening is not None  # noqa: S101 - for the type checker
            assert self._guard is not None  # noqa: S101 - for the type checker
            await asyncio.wait((self._opening.task,))
            receiver = self._guard.target = self._opening.task.result()
            self._opening = None
            receiver.follow(self)
            return receiver
        finally:
            del self


class ChatStream(Unique, Generic[Parsed_co]):
    """A reply that is arriving.

    Iterate it for deltas, or read its views: in any order, late, twice, or several at a time.
    """

    __slots__ = ("__weakref__", "_guard", "_receiver")

    _instead = "it is still arriving; its reply can be, `await stream.reply()`"

    def __init__(self, receiver: Receiver, guard: Guard) -> None:
        """Stand at the beginning."""
        self._receiver = receiver
        self._guard = guard

    def __repr__(self) -> str:
        """Say how far it is."""
        receiver = self._receiver
        state = receiver.status if receiver.ended else "open"
        return f"<ChatStream {receiver.log.model} {state} after {len(receiver.log)} deltas>"

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Give all deltas, from the first."""
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
        """Thinking, commentary, answer ... in order, each a stream of text of its own."""
        return self.choice(0).phases()

    @sealed
    def objects(self, every: float = 0.25) -> AsyncIterator[Json]:
        """Give the JSON of the answer as far as it is written, at most every so many seconds.

        The same growing containers each time, without what is not there yet; at last the whole.
        Text around the JSON is passed over.
        """
        place = _Place(0, ANSWER, "all")
        return _Objects(_Timed(self._receiver, self._guard, place, every, keep=False))

    def choice(self, index: int) -> ChoiceView:
        """Give the views of one choice, counted from 0, where ``n`` asked for several."""
        if not isinstance(index, int) or index < 0:
            message = f"expected the number of a choice, from 0 up, got {index!r}"
            raise CallerError(message)
        return ChoiceView(self._receiver, self._guard, index)

    def sse(self) -> AsyncIterator[bytes]:
        """Give the stream again as Chat Completions events, to relay to a browser.

        An interrupted reply ends with an error event in place of ``[DONE]``, and then raises.
        """
        return _Relay(self._receiver, self._guard)

    def stop(self) -> None:
        """End now, and keep what came: the reply's status becomes ``stopped``."""
        self._receiver.stop()

    async def reply(self) -> Reply[Parsed_co]:
        """Read to the end, and give the whole reply.

        Raises:
            StreamInterrupted: it was cut; ``.partial`` has what came.
        """
        try:
            await self._receiver.drain()
            raise_if(self._receiver.error)
            return self._receiver.reply()
        finally:
            del self


class ChoiceView(Unique):
    """The views of one choice of a stream; see :class:`ChatStream`."""

    __slots__ = ("_guard", "_index", "_receiver")

    _instead = "it is still arriving; the reply can be, `await stream.reply()`"

    def __init__(self, receiver: Receiver, guard: Guard, index: int) -> None:
        """Look at choice ``index``."""
        self._receiver = receiver
        self._guard = guard
        self._index = index

    @property
    def reasoning(self) -> TextStream:
        """The thinking before the answer; ends the moment anything else begins."""
        return TextStream(self._receiver, self._guard, _Place(self._index, REASONING, "leading"))

    @property
    def answer(self) -> TextStream:
        """All text of the answer."""
        return TextStream(self._receiver, self._guard, _Place(self._index, ANSWER, "all"))

    @property
    def tool_calls(self) -> AsyncIterator[ToolCall]:
        """Each tool call, once it is complete."""
        return _ToolCalls(self._receiver, self._guard, self._index)

    def phases(self) -> AsyncIterator[Phase]:
        """Thinking, commentary, answer, thinking ... in order."""
        return _Phases(self._receiver, self._guard, self._index)


# --- text ---------------------------------------------------------------------------------------


class _Place:
    """Which text of the transcript a view shows: of a choice, of a kind, all or one phase."""

    __slots__ = ("breaks", "choice", "key", "kind", "scope", "start")

    def __init__(self, choice: int, kind: int, scope: Scope, start: int = 0) -> None:
        self.choice: int = choice
        self.kind: int = kind
        self.scope = scope
        self.start: int = start
        self.key: int = KINDS * choice + kind
        self.breaks: range = range(KINDS * choice, KINDS * choice + BREAK + 1)


class _Cursor:
    """A position among the texts of a place."""

    __slots__ = ("__weakref__", "_log", "_place", "at", "over")

    def __init__(self, receiver: Receiver, place: _Place) -> None:
        self._log = receiver.log
        self._place = place
        self.at = place.start
        self.over = False
        receiver.follow(self)

    def next(self) -> str | None:
        """Give the next text, or None: there is none yet, or ``over`` says there never will be."""
        log = self._log
        at = self.at - log.base
        if 0 <= at < len(log.kinds) and log.kinds[at] == self._place.key and not self.over:
            self.at += 1
            text: str = log.items[at]  # by the kind of the entry
            return text
        return self._next_of_all() if self._place.scope == "all" else self._next_of_phase()

    def _next_of_all(self) -> str | None:
        log = self._log
        at = log.find(self._place.key, self.at)
        if at >= len(log):
            self.at = at
            return None
        self.at = at + 1
        found: str = log.item(at)
        return found

    def _may_precede(self, at: int, kind: int) -> bool:
        """Whether an entry is white space of the answer, which gateways write before thoughts."""
        answer = self._place.scope == "leading" and kind % KINDS == ANSWER
        return answer and str(self._log.item(at)).isspace()

    def _next_of_phase(self) -> str | None:
        log, key = self._log, self._place.key
        at, end = max(self.at, log.first), len(log)
        while at < end and not self.over:
            kind = log.kind(at)
            if kind == key:
                self.at = at + 1
                found: str = log.item(at)
                return found
            self.over = kind in self._place.breaks and not self._may_precede(at, kind)
            at += not self.over
        self.at = at
        return None


_KINDS: Final = ("reasoning", "answer", "commentary")
"""What the kinds of text are called, in the order of their numbers."""


class TextStream(Unique):
    """One stream of text: iterate it for the pieces as they come.

    Every use begins at its first piece: late and repeated reading gives all of it.
    """

    __slots__ = ("_guard", "_place", "_receiver")

    _instead = "it is still arriving; its text can be, `await` it"

    def __init__(self, receiver: Receiver, guard: Guard, place: _Place) -> None:
        """Show a place of the transcript."""
        self._receiver = receiver
        self._guard = guard
        self._place = place

    def __aiter__(self) -> AsyncIterator[str]:
        """Give the pieces as they come."""
        return _Texts(self._receiver, self._guard, self._place)

    @property
    def kind(self) -> Literal["reasoning", "answer", "commentary"]:
        """What the text is."""
        return _KINDS[self._place.kind]

    def all(self) -> TextStream:
        """Give the text of every phase, where the model thinks again after answering."""
        return TextStream(
            self._receiver, self._guard, _Place(self._place.choice, self._place.kind, "all")
        )

    async def text(self) -> str:
        """Wait for its end, and give the whole text."""
        return "".join([piece async for piece in self])

    def lines(self) -> AsyncIterator[str]:
        """Give whole lines, without their line ends; the last one also without one."""
        return _Lines(self._receiver, self._guard, self._place)

    @sealed
    def snapshots(self, every: float = 1.0) -> AsyncIterator[str]:
        """Give all the text so far, at most once in ``every`` seconds, and at last all of it."""
        return _Timed(self._receiver, self._guard, self._place, every, keep=True)

    @sealed
    def bursts(self, every: float = 0.8) -> AsyncIterator[str]:
        """Give all the text since the last burst, at most once in ``every`` seconds.

        For bots that edit a message: a piece is shown at most ``every`` seconds after it came,
        also when the stream falls silent.
        """
        return _Timed(self._receiver, self._guard, self._place, every, keep=False)


class Phase(TextStream):
    """A run of thinking or of answer, between other things; see :meth:`ChatStream.phases`."""

    __slots__ = ()


class _TextReader:
    """What the iterators over text share: a cursor, and how to wait for more."""

    __slots__ = ("_cursor", "_guard", "_receiver")

    def __init__(self, receiver: Receiver, guard: Guard, place: _Place) -> None:
        self._receiver = receiver
        self._guard = guard
        self._cursor = _Cursor(receiver, place)

    @property
    def _over(self) -> bool:
        return self._cursor.over or self._receiver.ended

    def _end_if_over(self) -> None:
        """End the iteration when the cursor gave nothing, and nothing more can come."""
        if self._over:
            error = None if self._cursor.over else self._receiver.error
            del self
            raise_if(error)
            raise StopAsyncIteration


class _Texts(_TextReader, AsyncIterator[str]):
    __slots__ = ()

    async def __anext__(self) -> str:
        try:
            while (text := self._cursor.next()) is None:
                self._end_if_over()
                await self._receiver.pull()
            return text
        finally:
            del self


_AT_ONCE: Final = 512
"""Lines or calls that a view may give before the event loop has its turn again: one event may hold
a million of them."""

_PIECE: Final = 4096
"""The same, in characters of JSON that is being written."""


class _Lines(_TextReader, AsyncIterator[str]):
    __slots__ = ("_begun", "_given", "_lines")

    def __init__(self, receiver: Receiver, guard: Guard, place: _Place) -> None:
        super().__init__(receiver, guard, place)
        self._lines: deque[str] = deque()
        self._begun: list[str] = []
        self._given = 0

    async def __anext__(self) -> str:
        try:
            self._given += 1
            if not self._given % _AT_ONCE:
                await asyncio.sleep(0)
            while not self._lines:
                text = self._cursor.next()
                if text is not None:
                    self._add(text)
                elif self._begun and self._over:
                    self._add("\n")
                else:
                    self._end_if_over()
                    await self._receiver.pull()
            return self._lines.popleft()
        finally:
            del self

    def _add(self, text: str) -> None:
        lines = text.split("\n")
        if len(lines) > 1 and self._begun:
            lines[0] = "".join([*self._begun, lines[0]])
            self._begun.clear()
        if rest := lines.pop():
            self._begun.append(rest)
        self._lines.extend(lines)


class _Timed(_TextReader, AsyncIterator[str]):
    """Snapshots (``keep``) or bursts: what came is shown when the interval is over."""

    __slots__ = ("_due", "_every", "_keep", "_pieces", "_shown")

    def __init__(
        self, receiver: Receiver, guard: Guard, place: _Place, every: float, *, keep: bool
    ) -> None:
        super().__init__(receiver, guard, place)
        if not isinstance(every, int | float) or not every >= 0:
            message = f"expected every= in seconds from 0 up, got {every!r}"
            raise CallerError(message)
        self._every = every
        self._keep = keep
        self._pieces: list[str] = []
        self._shown = 0
        self._due = receiver.clock.now()

    async def __anext__(self) -> str:
        try:
            while True:
                self._collect()
                news = len(self._pieces) > self._shown
                wait = self._due - self._receiver.clock.now()
                if news and (self._over or wait <= 0):
                    return self._show()
                self._end_if_over()
                await (self._receiver.pull_for(wait) if news else self._receiver.pull())
        finally:
            del self

    def _collect(self) -> None:
        while (text := self._cursor.next()) is not None:
            self._pieces.append(text)

    def _show(self) -> str:
        text = "".join(self._pieces)
        self._pieces = [text] if self._keep else []
        self._shown = len(self._pieces)
        self._due = self._receiver.clock.now() + self._every
        return text


class _Objects(AsyncIterator[Json]):
    """What there is of the answer's JSON after each burst of it; a long one is read by and by."""

    __slots__ = ("_at", "_burst", "_bursts", "_partial")

    def __init__(self, bursts: AsyncIterator[str]) -> None:
        from aiotokengate._wire.partial import PartialJson  # noqa: PLC0415 - for few streams

        self._bursts = bursts
        self._partial = PartialJson()
        self._burst, self._at = "", 0

    async def __anext__(self) -> Json:
        try:
            while not self._partial.whole:
                await self._read_burst()
                if self._partial.begun:
                    return self._partial.value
            await self._read_on()
            raise StopAsyncIteration
        finally:
            del self

    async def _read_burst(self) -> None:
        if self._at >= len(self._burst):
            self._burst, self._at = await anext(self._bursts), 0
        while self._at < len(self._burst):
            if self._at:
                await asyncio.sleep(0)
            start, self._at = self._at, self._at + _PIECE
            self._partial.feed(self._burst[start : self._at])

    async def _read_on(self) -> None:
        """Meet the end of the stream, or its error, as every reader does."""
        async for _ in self._bursts:
            pass


# --- phases, tool calls, relay ------------------------------------------------------------------


class _Phases(AsyncIterator[Phase]):
    """The phases of a choice; one that was not read to its end is passed over."""

    __slots__ = ("_cursor", "_guard", "_index", "_receiver")

    def __init__(self, receiver: Receiver, guard: Guard, index: int) -> None:
        self._receiver = receiver
        self._guard = guard
        self._index = index
        self._cursor: _Cursor | None = None

    async def __anext__(self) -> Phase:
        try:
            start = 0
            if self._cursor is not None:
                await _skip(self._receiver, self._cursor)
                start = self._cursor.at
            while (place := self._place(start)) is None:
                start = len(self._receiver.log)
                if self._receiver.ended:
                    raise_if(self._receiver.error)
                    raise StopAsyncIteration
                await self._receiver.pull()
            self._cursor = _Cursor(self._receiver, place)
            return Phase(self._receiver, self._guard, place)
        finally:
            del self

    def _place(self, start: int) -> _Place | None:
        """Find the next text of the choice."""
        log = self._receiver.log
        for at in range(max(start, log.first), len(log)):
            choice, kind = divmod(log.kind(at), KINDS)
            if choice == self._index and kind < BREAK:
                return _Place(choice, kind, "phase", at)
        return None


async def _skip(receiver: Receiver, cursor: _Cursor) -> None:
    """Read a phase to its end."""
    while not cursor.over:
        if cursor.next() is None and not cursor.over:
            if receiver.ended:
                return
            await receiver.pull()


class _ToolCalls(AsyncIterator[ToolCall]):
    """The complete calls of a choice, each as soon as it is certain."""

    __slots__ = ("_at", "_guard", "_index", "_receiver")

    def __init__(self, receiver: Receiver, guard: Guard, index: int) -> None:
        self._receiver = receiver
        self._guard = guard
        self._index = index
        self._at = 0

    async def __anext__(self) -> ToolCall:
        try:
            if self._at and not self._at % _AT_ONCE:
                await asyncio.sleep(0)
            while (call := self._next()) is None:
                if self._receiver.ended:
                    raise_if(self._receiver.error)
                    raise StopAsyncIteration
                await self._receiver.pull()
            return call
        finally:
            del self

    def _next(self) -> ToolCall | None:
        log = self._receiver.log
        state = log.choices.get(self._index)
        while state is not None and self._at < len(state.calls):
            call = log.ready_call(state, self._at)
            if call is None and not self._receiver.ended:
                return None
            self._at += 1
            if call is not None:
                return call
        return None


_DONE = b"data: [DONE]\n\n"


class _Relay(AsyncIterator[bytes]):
    """The stream as events; the last one is ``[DONE]``, or an error which then is raised."""

    __slots__ = ("_closed", "_deltas", "_relay")

    def __init__(self, receiver: Receiver, guard: Guard) -> None:
        from aiotokengate._wire.relay import Relay  # noqa: PLC0415 - for few streams

        self._relay = Relay(receiver.log)
        self._deltas = _Deltas(receiver, guard)
        self._closed = False

    async def __anext__(self) -> bytes:
        try:
            return await self._next_event()
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
        finally:
            del self

    async def _next_event(self) -> bytes:
        event = b""
        while not event:
            event = self._relay.write(await self._deltas.__anext__())
        return event


def _error_event(error: TokenGateError) -> bytes:
    body = {"message": error.message, "type": type(error).__name__, "code": error.code}
    return b"data: " + orjson.dumps({"error": body}) + b"\n\n"
