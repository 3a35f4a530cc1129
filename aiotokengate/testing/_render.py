"""From what is said to the writes of a response, without a loop, a socket or a clock.

Strategy.  Every choice is a :class:`_Track`: its items (tokens, calls, gates, pauses) one after
another, each turned into writes by the dialect.  Several choices take turns, item by item.  What
the gateway has to wait for stands between the bytes as values: a :class:`Beat` is the time of
one token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeAlias

import attrs
import orjson

from aiotokengate.testing._dialects import DONE, Frame, Producer, event
from aiotokengate.testing._script import Call, Part, Pause, ScriptedReply, Text, Thought
from aiotokengate.testing._signals import Gate
from aiotokengate.testing._tokens import split_tokens
from aiotokengate.types import Json

__all__ = ["DONE", "Beat", "Step", "event", "render_plain", "render_stream", "render_whole"]


@attrs.frozen
class Beat:
    """The time that one token takes."""


Step: TypeAlias = bytes | Pause | Gate | Beat


@attrs.frozen
class _Piece:
    """One token or so of a phase."""

    text: str
    thought: bool


_Item: TypeAlias = _Piece | Call | Pause | Gate


def render_stream(
    dialect: Producer, replies: Sequence[ScriptedReply], usage: Json, *, swallow: bool = False
) -> Iterator[Step]:
    """Yield a streamed reply.

    Args:
        dialect: how it is shaped.
        replies: one for each choice.
        usage: the usage object.
        swallow: leave out the last chunk, as new-api does if ``include_usage`` is false.
    """
    tracks = [_Track(dialect, index, reply) for index, reply in enumerate(replies)]
    yield from (dialect.event(frame) for track in tracks for frame in dialect.opening(track.index))
    for turn in zip_longest(*(track.steps() for track in tracks), fillvalue=()):
        for steps in turn:
            yield from steps
    last = [*(frame for track in tracks for frame in track.finish()), *dialect.closing(usage)]
    yield from map(dialect.event, last[:-1] if swallow else last)
    if replies[0].done and dialect.done:
        yield dialect.done


def render_plain(
    dialect: Producer, replies: Sequence[ScriptedReply], usage: Json
) -> Iterator[Step]:
    """Yield a plain reply: the same waits, then everything at once."""
    for reply in replies:
        for item in _items(reply):
            yield item if isinstance(item, Pause | Gate) else Beat()
    yield orjson.dumps(render_whole(dialect, replies, usage))


def render_whole(dialect: Producer, replies: Sequence[ScriptedReply], usage: Json) -> Frame:
    """Return a reply in its plain form, whether or not it is streamed."""
    messages = [(_message(dialect, reply), reply.ending()) for reply in replies]
    return dialect.completion(messages, usage)


def _message(dialect: Producer, reply: ScriptedReply) -> Frame:
    items = _items(reply)
    pieces = [item for item in items if isinstance(item, _Piece)]
    thoughts = "".join(piece.text for piece in pieces if piece.thought)
    text = "".join(piece.text for piece in pieces if not piece.thought)
    return dialect.message(thoughts, text, [item for item in items if isinstance(item, Call)])


class _Track:
    """One choice on its way out."""

    def __init__(self, dialect: Producer, index: int, reply: ScriptedReply) -> None:
        self.index = index
        self._dialect = dialect
        self._reply = reply
        self._items = _items(reply)
        self._spoken = [item for item in self._items if not isinstance(item, Pause | Gate)]
        self._thinking = False
        self._calls = 0

    def steps(self) -> Iterator[Sequence[Step]]:
        """Yield the steps of each item."""
        for item in self._items:
            if isinstance(item, Pause | Gate):
                yield (item,)
            else:
                yield (Beat(), *map(self._dialect.event, self._frames(item)))

    def finish(self) -> list[Frame]:
        """Return the frames that end the choice."""
        return [
            *self._turn(thought=False),
            *self._dialect.finish(self.index, self._reply.ending()),
        ]

    def _frames(self, item: _Piece | Call) -> list[Frame]:
        thought = isinstance(item, _Piece) and item.thought
        return [*self._turn(thought=thought), *self._said(item)]

    def _turn(self, *, thought: bool) -> list[Frame]:
        """Begin or end a phase of thinking, if that is what comes next."""
        if thought == self._thinking:
            return []
        self._thinking = thought
        if thought:
            return self._dialect.thinking_begins(self.index)
        return self._dialect.thinking_ends(self.index)

    def _said(self, item: _Piece | Call) -> list[Frame]:
        if isinstance(item, Call):
            self._calls += 1
            return self._dialect.call(self.index, self._calls - 1, item)
        if item.thought:
            return self._dialect.thought(self.index, item.text)
        last = item is self._spoken[-1]
        return self._dialect.text(self.index, item.text, self._reply.ending() if last else None)


def _items(reply: ScriptedReply) -> list[_Item]:
    return [item for part in reply.all_parts() for item in _part_items(part, reply.gate)]


def _part_items(part: Part, gate: Gate | None) -> Iterator[_Item]:
    if not isinstance(part, Thought | Text):
        yield part
        return
    pieces = split_tokens(part.text) if isinstance(part.text, str) else part.text
    for piece in pieces:
        if not isinstance(piece, str):
            yield piece
            continue
        if gate is not None:
            yield gate
        yield _Piece(piece, isinstance(part, Thought))
