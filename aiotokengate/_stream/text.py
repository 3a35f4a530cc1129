"""The views of a reply that is arriving: its texts, phases and tool calls, choice by choice.

Strategy.  A view is a position in the transcript of one
:class:`~aiotokengate._stream.receiver.Receiver`; one that has nothing left waits for what it
shows, and for nothing else.  Which entries a view shows is a :class:`Passage`: of a choice, of a
kind, all of them or one phase.  What is found there comes out as it is (pieces), cut at line ends,
or collected over an interval.

Iterators are classes and never generators, and each ``__anext__`` lets go of ``self`` before an
exception leaves it; :mod:`aiotokengate._stream.call` says why.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Literal, TypeAlias

from aiotokengate._base.copying import Unique
from aiotokengate._base.sealing import sealed
from aiotokengate._stream.receiver import Guard, Receiver, Wanted, raise_if
from aiotokengate._wire.transcript import ANSWER, BREAK, KINDS, REASONING
from aiotokengate.errors import CallerError
from aiotokengate.types import Json, ToolCall

__all__ = ["ChoiceView", "Phase", "TextStream", "partial_objects"]

_AT_ONCE: Final = 512
"""Lines or calls that a view returns before the event loop has its turn again: one event may hold
a million of them."""

_PIECE: Final = 4096
"""The same, in characters of JSON that is being written."""

Scope: TypeAlias = Literal["all", "phase", "leading"]
"""All text of a kind; one run of it; or the first run, before which there may be white space."""


class ChoiceView(Unique):
    """The views of one choice of a stream; see :class:`~aiotokengate.ChatStream`."""

    __slots__ = ("_guard", "_index", "_receiver")

    _instead = "it is still arriving; the reply can be, `await stream.reply()`"

    def __init__(self, receiver: Receiver, guard: Guard, index: int) -> None:
        """Show choice ``index``."""
        self._receiver = receiver
        self._guard = guard
        self._index = index

    @property
    def reasoning(self) -> TextStream:
        """The thinking before the answer; ends the moment anything else begins."""
        return TextStream(self._receiver, self._guard, Passage(self._index, REASONING, "leading"))

    @property
    def answer(self) -> TextStream:
        """All text of the answer."""
        return TextStream(self._receiver, self._guard, Passage(self._index, ANSWER, "all"))

    @property
    def tool_calls(self) -> AsyncIterator[ToolCall]:
        """Each tool call, once it is complete."""
        return _ToolCalls(self._receiver, self._guard, self._index)

    def phases(self) -> AsyncIterator[Phase]:
        """Return thinking, commentary, answer ... in order, each a stream of text of its own."""
        return _Phases(self._receiver, self._guard, self._index)


# --- which text ---------------------------------------------------------------------------------


class Passage:
    """Which text of the transcript a view shows: of a choice, of a kind, all or one phase.

    Attributes:
        key: the kind of its entries, as the transcript numbers them.
        breaks: the kinds that end a phase of it.
        wanted: what a reader of it waits for: a text, or what ends it.
        ending: what ends it.
        start: the first entry that may belong to it.
    """

    __slots__ = ("breaks", "choice", "ending", "key", "kind", "scope", "start", "wanted")

    def __init__(self, choice: int, kind: int, scope: Scope, start: int = 0) -> None:
        self.choice: int = choice
        self.kind: int = kind
        self.scope: Scope = scope
        self.start: int = start
        self.key: int = KINDS * choice + kind
        self.breaks: range = range(KINDS * choice, KINDS * choice + BREAK + 1)
        ends = scope != "all"
        self.wanted: frozenset[int] = frozenset(self.breaks if ends else (self.key,))
        self.ending: frozenset[int] = self.wanted - {self.key}


class _Cursor:
    """A position among the texts of a passage.

    Attributes:
        at: the next entry to look at.
        over: whether the passage has ended.
        passage: where it stands.
    """

    __slots__ = ("__weakref__", "_log", "at", "over", "passage")

    def __init__(self, receiver: Receiver, passage: Passage) -> None:
        self._log = receiver.log
        self.passage = passage
        self.at: int = passage.start
        self.over: bool = False
        receiver.follow(self)

    def next(self) -> str | None:
        """Return the next text, None while there is none; ``over`` says whether one may come."""
        log = self._log
        at = self.at - log.base
        if 0 <= at < len(log.kinds) and log.kinds[at] == self.passage.key and not self.over:
            self.at += 1
            text: str = log.items[at]  # by the kind of the entry
            return text
        return self._next_of_all() if self.passage.scope == "all" else self._next_of_phase()

    def _next_of_all(self) -> str | None:
        log = self._log
        at = log.find(self.passage.key, self.at)
        if at >= len(log):
            self.at = at
            return None
        self.at = at + 1
        found: str = log.item(at)
        return found

    def _may_precede(self, at: int, kind: int) -> bool:
        """Return whether it is white space of the answer, as gateways write before thoughts."""
        answer = self.passage.scope == "leading" and kind % KINDS == ANSWER
        return answer and str(self._log.item(at)).isspace()

    def _next_of_phase(self) -> str | None:
        log, key = self._log, self.passage.key
        at, end = max(self.at, log.first), len(log)
        while at < end and not self.over:
            kind = log.kind(at)
            if kind == key:
                self.at = at + 1
                found: str = log.item(at)
                return found
            self.over = kind in self.passage.breaks and not self._may_precede(at, kind)
            at += not self.over
        self.at = at
        return None


_KINDS: Final = ("reasoning", "answer", "commentary")
"""What the kinds of text are called, in the order of their numbers."""


# --- the views of text --------------------------------------------------------------------------


class TextStream(Unique):
    """One stream of text: iterate it for the pieces as they come.

    Every use begins at its first piece: late and repeated reading gives all of it.
    """

    __slots__ = ("_guard", "_passage", "_receiver")

    _instead = "it is still arriving; its text can be, `await` it"

    def __init__(self, receiver: Receiver, guard: Guard, passage: Passage) -> None:
        """Show a passage of the transcript."""
        self._receiver = receiver
        self._guard = guard
        self._passage = passage

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the pieces as they come."""
        return _Pieces(self._receiver, self._guard, self._passage)

    @property
    def kind(self) -> Literal["reasoning", "answer", "commentary"]:
        """What the text is."""
        return _KINDS[self._passage.kind]

    def all(self) -> TextStream:
        """Return the text of every phase, where the model thinks again after answering."""
        return TextStream(
            self._receiver, self._guard, Passage(self._passage.choice, self._passage.kind, "all")
        )

    async def text(self) -> str:
        """Wait for its end, and return the whole text."""
        return "".join([piece async for piece in self])

    def lines(self) -> AsyncIterator[str]:
        """Iterate over whole lines, without their line ends; the last one may lack its own."""
        return _Lines(self._receiver, self._guard, self._passage)

    @sealed
    def snapshots(self, every: float = 1.0) -> AsyncIterator[str]:
        """Iterate over all the text so far, at most once in ``every`` seconds; then all."""
        return _Timed(self._receiver, self._guard, self._passage, every, keep=True)

    @sealed
    def bursts(self, every: float = 0.8) -> AsyncIterator[str]:
        """Iterate over all the text since the last burst, at most once in ``every`` seconds.

        For bots that edit a message: a piece is shown at most ``every`` seconds after it came,
        also when the stream falls silent.
        """
        return _Timed(self._receiver, self._guard, self._passage, every, keep=False)


class Phase(TextStream):
    """A run of thinking or of answer, between other things; see :meth:`ChoiceView.phases`."""

    __slots__ = ()


# --- their iterators ----------------------------------------------------------------------------


class _TextReader:
    """What the iterators over text share: a cursor, and how to wait for more."""

    __slots__ = ("_cursor", "_guard", "_receiver")

    def __init__(self, receiver: Receiver, guard: Guard, passage: Passage) -> None:
        self._receiver = receiver
        self._guard = guard
        self._cursor = _Cursor(receiver, passage)

    @property
    def _over(self) -> bool:
        return self._cursor.over or self._receiver.ended

    def _more(self) -> Awaitable[None]:
        """Return what waits for a text, or the end of them."""
        return self._receiver.wait(self._cursor.passage.wanted, reader=self._cursor)

    def _end_if_over(self) -> None:
        """End the iteration if nothing more can come, once the cursor returned nothing."""
        if self._over:
            error = None if self._cursor.over else self._receiver.error
            del self
            raise_if(error)
            raise StopAsyncIteration


class _Pieces(_TextReader, AsyncIterator[str]):
    """The pieces of a text, as they come."""

    __slots__ = ()

    async def __anext__(self) -> str:
        try:
            while (text := self._cursor.next()) is None:
                self._end_if_over()
                await self._more()
            return text
        finally:
            del self


class _Lines(_TextReader, AsyncIterator[str]):
    """The lines of a text, each when it is whole."""

    __slots__ = ("_begun", "_given", "_lines")

    def __init__(self, receiver: Receiver, guard: Guard, passage: Passage) -> None:
        super().__init__(receiver, guard, passage)
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
                    await self._more()
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
    """Snapshots (``keep``) or bursts: what came is returned when the interval is over."""

    __slots__ = ("_due", "_every", "_keep", "_pieces", "_shown")

    def __init__(
        self, receiver: Receiver, guard: Guard, passage: Passage, every: float, *, keep: bool
    ) -> None:
        super().__init__(receiver, guard, passage)
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
                ending = self._cursor.passage.ending
                await (self._receiver.wait(ending, wait) if news else self._more())
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


def partial_objects(receiver: Receiver, guard: Guard, every: float) -> AsyncIterator[Json]:
    """Iterate over the JSON of the answer, as far as it is written, in bursts."""
    return _Objects(_Timed(receiver, guard, Passage(0, ANSWER, "all"), every, keep=False))


class _Objects(AsyncIterator[Json]):
    """What there is of the answer's JSON after each burst, a long one being read by and by."""

    __slots__ = ("_at", "_burst", "_bursts", "_partial")

    def __init__(self, bursts: AsyncIterator[str]) -> None:
        from aiotokengate._wire.partial import PartialJson

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
        """Read to the end of the stream, or to its error, as every reader does."""
        async for _ in self._bursts:
            pass


# --- phases, tool calls -------------------------------------------------------------------------


class _Phases(AsyncIterator[Phase]):
    """The phases of a choice; one that was not read to its end is skipped."""

    __slots__ = ("_cursor", "_guard", "_index", "_receiver", "_wanted")

    def __init__(self, receiver: Receiver, guard: Guard, index: int) -> None:
        self._receiver = receiver
        self._guard = guard
        self._index = index
        self._wanted = frozenset(range(KINDS * index, KINDS * index + BREAK))
        self._cursor: _Cursor | None = None

    async def __anext__(self) -> Phase:
        try:
            start = 0
            if self._cursor is not None:
                await _skip(self._receiver, self._cursor)
                start = self._cursor.at
            while (passage := self._find(start)) is None:
                start = len(self._receiver.log)
                if self._receiver.ended:
                    raise_if(self._receiver.error)
                    raise StopAsyncIteration
                await self._receiver.wait(self._wanted)
            self._cursor = _Cursor(self._receiver, passage)
            return Phase(self._receiver, self._guard, passage)
        finally:
            del self

    def _find(self, start: int) -> Passage | None:
        """Return the next phase of the choice, from an entry on."""
        log = self._receiver.log
        for at in range(max(start, log.first), len(log)):
            choice, kind = divmod(log.kind(at), KINDS)
            if choice == self._index and kind < BREAK:
                return Passage(choice, kind, "phase", at)
        return None


async def _skip(receiver: Receiver, cursor: _Cursor) -> None:
    """Read a phase to its end."""
    while not cursor.over:
        if cursor.next() is None and not cursor.over:
            if receiver.ended:
                return
            await receiver.wait(cursor.passage.wanted, reader=cursor)


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
                await self._receiver.wait(self._wanted)
            return call
        finally:
            del self

    @property
    def _wanted(self) -> Wanted:
        """What may bring a call: the beginning of one, then anything at all."""
        state = self._receiver.log.choices.get(self._index)
        if state is not None and self._at < len(state.calls):
            return None
        first = KINDS * self._index
        return frozenset(range(first + BREAK, first + KINDS))

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
