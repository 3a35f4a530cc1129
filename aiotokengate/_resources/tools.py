"""Let a model call functions, turn after turn, until it answers.

Strategy.  One turn is one chat call, read to its end; then all its complete calls run side by
side, within a bound, and their results go back with whatever the vendor wants returned of its own
turn.  A function that fails is no error here: the model gets the error, and may try again.
A call that was cut short, or of a reply that lost a frame, never runs.  A reply that the vendor
has paused is sent back for it to go on.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias

import attrs
from attrs.validators import optional

from aiotokengate._base.settings import ABOVE_ZERO, FROM_ONE, expected
from aiotokengate._base.single_use import SingleUse
from aiotokengate._resources.structured import Tool, result_text, tool_of
from aiotokengate.errors import CallerError, ResponseInvalid
from aiotokengate.types import Delta, Json, Parsed_co, Reply, ToolCall

if TYPE_CHECKING:
    from aiotokengate._stream.call import ChatCall, ChatStream

__all__ = ["Bounds", "ToolCalls", "ToolOutcome", "ToolRun", "checked_tools"]

Ask: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], "ChatCall"]


MOST_PAUSES = 10
"""How often a run goes on with a reply that the vendor has paused."""


@attrs.frozen
class ToolOutcome:
    """The result of one call of a function.

    Attributes:
        call: as the model made it.
        result: what the function returned.
        error: what it raised, or why it was not called.
        text: what the model gets.
    """

    call: ToolCall
    result: Any = attrs.field(default=None, repr=False)
    error: Exception | None = None
    text: str = attrs.field(default="", repr=False)

    def message(self) -> dict[str, Json]:
        """Return the message that answers the call."""
        return {"role": "tool", "tool_call_id": self.call.id, "content": self.text}


@attrs.frozen
class ToolRun(Generic[Parsed_co]):
    """A conversation in which functions were called.

    Attributes:
        reply: the last reply; it has tool calls if ``rounds`` were not enough.
        replies: that of every turn.
        outcomes: every call of a function, in order.
        messages: the history, the last reply included.
    """

    reply: Reply[Parsed_co]
    replies: tuple[Reply, ...]
    outcomes: tuple[ToolOutcome, ...]
    messages: tuple[Mapping[str, Json], ...] = attrs.field(repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all replies, such as frames skipped or a pause of the vendor's."""
        return tuple(note for reply in self.replies for note in reply.notes)


_SECONDS = expected("tool_timeout in seconds above 0, got {got}", optional(ABOVE_ZERO))


@attrs.frozen
class Bounds:
    """How far a run may go: turns with calls, functions at a time, seconds for each."""

    rounds: int = attrs.field(validator=FROM_ONE)
    at_once: int = attrs.field(validator=FROM_ONE)
    seconds: float | None = attrs.field(validator=_SECONDS)


class ToolCalls(
    SingleUse["_Run[Parsed_co]", ToolRun[Parsed_co]],
    AsyncIterator[Delta | ToolOutcome],
    Generic[Parsed_co],
):
    """A run, not yet begun: await it for its :class:`ToolRun`, or iterate it.

    Iterating it returns the deltas of every turn and, between turns, each :class:`ToolOutcome`;
    afterwards ``result`` is the run.  Leaving the iteration, or dropping it, ends everything.

    It is a coroutine object, so that ``create_task`` and the like take it; one that is dropped
    unused warns, as a coroutine does.
    """

    __slots__ = ("_run",)

    _instead = "a run is used once, make another one with run_tools()"

    def __init__(
        self,
        ask: Ask,
        messages: Sequence[Mapping[str, Json]],
        tools: Mapping[str, Tool],
        bounds: Bounds,
    ) -> None:
        """Keep what to ask; nothing is sent."""
        self._run: _Run[Parsed_co] = _Run(ask, messages, tools, bounds)
        super().__init__(self._run, "run_tools()")

    def _label(self) -> str:
        return f"{type(self).__name__} of {self._name}"

    def _take(self, use: str) -> _Run[Parsed_co]:
        self._use, self._unused = use, False
        return self._run

    def _awaited(self, start: _Run[Parsed_co]) -> Coroutine[Any, Any, ToolRun[Parsed_co]]:
        return start.finished()

    @property
    def result(self) -> ToolRun[Parsed_co] | None:
        """The run, once it has ended."""
        return self._run.result

    def __aiter__(self) -> Self:
        """Iterate it."""
        self._take("iterated")
        return self

    def __anext__(self) -> Coroutine[Any, Any, Delta | ToolOutcome]:
        """Return the next delta, or the next outcome."""
        return self._take("iterated").next()


@attrs.define(eq=False, repr=False)
class _Turn:
    """The turn of the model that is arriving."""

    call: ChatCall
    stream: ChatStream
    deltas: AsyncIterator[Delta]


class _Run(Generic[Parsed_co]):
    """The turns of a run, one after the other; no attrs class, of which rich shows all fields."""

    def __init__(
        self,
        ask: Ask,
        messages: Sequence[Mapping[str, Json]],
        tools: Mapping[str, Tool],
        bounds: Bounds,
    ) -> None:
        self.result: ToolRun[Parsed_co] | None = None
        self._ask = ask
        self._messages = list(messages)
        self._tools = tools
        self._bounds = bounds
        self._replies: list[Reply] = []
        self._pauses = 0
        self._outcomes: list[ToolOutcome] = []
        self._waiting: deque[ToolOutcome] = deque()
        self._turn: _Turn | None = None

    async def finished(self) -> ToolRun[Parsed_co]:
        """Run to the end."""
        while self.result is None:
            await self._step()
        self._waiting.clear()
        return self.result

    async def next(self) -> Delta | ToolOutcome:
        """Return the next delta, or the next outcome."""
        try:
            while not self._waiting:
                if self.result is not None:
                    raise StopAsyncIteration
                delta = await self._step()
                if delta is not None:
                    return delta
            return self._waiting.popleft()
        finally:
            del self

    async def _step(self) -> Delta | None:
        """Return the next delta of a turn, None when the turn has ended."""
        turn = self._turn = self._turn or await self._begin_turn()
        delta = await anext(turn.deltas, None)
        if delta is None:
            await self._end_turn(turn)
        return delta

    async def _begin_turn(self) -> _Turn:
        call = self._ask(self._messages)
        stream = await call.__aenter__()
        return _Turn(call, stream, aiter(stream))

    async def _end_turn(self, turn: _Turn) -> None:
        reply = await turn.stream.reply()
        await turn.call.__aexit__(None, None, None)
        self._turn = None
        self._replies.append(reply)
        self._messages.append(reply.message())
        calls = [call for call in reply.tool_calls if call.complete]
        if reply.status == "paused" and not calls and self._pauses < MOST_PAUSES:
            self._pauses += 1
            return
        if not calls or len(self._replies) - self._pauses > self._bounds.rounds:
            rest = tuple(self._replies), tuple(self._outcomes), tuple(self._messages)
            self.result = ToolRun(reply, *rest)
            return
        outcomes = await self._run_all(calls)
        self._outcomes += outcomes
        self._waiting.extend(outcomes)
        self._messages += [outcome.message() for outcome in outcomes]

    async def _run_all(self, calls: Sequence[ToolCall]) -> list[ToolOutcome]:
        room = asyncio.Semaphore(self._bounds.at_once)

        async def one(call: ToolCall) -> ToolOutcome:
            async with room:
                return await self._run_one(call)

        return await asyncio.gather(*map(one, calls))

    async def _run_one(self, call: ToolCall) -> ToolOutcome:
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools)
            unknown = CallerError(f"there is no tool {call.name!r}, there are: {known}")
            return ToolOutcome(call, None, unknown, f"Error: {unknown.message}")
        try:
            arguments = tool.arguments(call.parse())
        except (CallerError, ResponseInvalid) as error:
            return ToolOutcome(call, None, error, f"Error in the arguments: {error.message}")
        seconds = self._bounds.seconds
        try:
            async with asyncio.timeout(seconds) as clock:
                result = await _called(tool, arguments)
            return ToolOutcome(call, result, None, result_text(result))
        except Exception as error:  # noqa: BLE001 - whatever a function raises is for the model
            late = f"it took longer than {seconds:g} s" if clock.expired() else str(error)
            return ToolOutcome(call, None, error, f"Error: {type(error).__name__}: {late}")


async def _called(tool: Tool, arguments: Mapping[str, Json]) -> object:
    """Call a function, in a thread unless it is ``async``, so that nothing else waits."""
    if inspect.iscoroutinefunction(tool.function):
        return await tool.function(**arguments)
    result = await asyncio.to_thread(tool.function, **arguments)
    return await result if inspect.isawaitable(result) else result


def checked_tools(tools: object) -> dict[str, Tool]:
    """Return the functions by name.

    Raises:
        CallerError: one is no function, or two have the same name.
    """
    if not isinstance(tools, list | tuple) or not tools:
        got = "an empty one" if isinstance(tools, list | tuple) else type(tools).__name__
        message = f"expected tools as a list of functions, got {got}"
        raise CallerError(message)
    named: dict[str, Tool] = {}
    for one in tools:
        tool = one if isinstance(one, Tool) else tool_of(one)
        if tool.name in named:
            message = f"expected tools with different names, got {tool.name!r} twice"
            raise CallerError(message)
        named[tool.name] = tool
    return named
