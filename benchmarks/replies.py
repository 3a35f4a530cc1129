"""The replies that the bench server sends: made before the first request, as vendors shape them.

The events are written by the fake gateway's dialects, which share no code with what reads them.
Nineteen texts in twenty are thinking, as in a long reply of a model that thinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice

import attrs
import orjson

from aiotokengate.testing import _vendor_dialects as vendors
from aiotokengate.testing._dialects import Counts, Exchange, Frame, Producer
from aiotokengate.testing._messages import MessagesNative
from aiotokengate.testing._responses import ResponsesNative

__all__ = ["BLOCK", "SHAPES", "Shape", "Writer", "answer_of", "thoughts_of"]

BLOCK = 1_000
"""A reply with more texts repeats blocks of so many."""

_THOUGHTS = ("嗯", "，", "用户", "只", "说了", "“你好”", "，\n", "所以", " reply", " warmly", "。")
_ANSWERS = ("你好", "！", "很高兴", "见到", "你", "😊", "，", "今天", "想", "聊", "什么", "？")
_MARK = "@here@"
_CREATED = 1779700000


@attrs.frozen
class Shape:
    """One way to write a reply, and a model that is known to speak so."""

    make: Callable[[Exchange], Producer]
    model: str


def _responses(exchange: Exchange) -> Producer:
    return ResponsesNative(exchange, summary=True, encrypted=False)


def _messages(exchange: Exchange) -> Producer:
    return MessagesNative(exchange, 11, shown=True)


SHAPES = {
    "qwen": Shape(vendors.Qwen, "qwen3.6-max-preview"),
    "thinking": Shape(vendors.Qwen, "qwen3.6-max-preview"),
    "responses": Shape(_responses, "gpt-5.3-codex"),
    "messages": Shape(_messages, "claude-opus-4-6"),
}


def thoughts_of(texts: int) -> list[str]:
    """Return the thoughts of a reply of so many texts; one alone is an answer."""
    return list(islice(cycle(_THOUGHTS), 0 if texts == 1 else texts * 19 // 20))


def answer_of(texts: int) -> list[str]:
    """Return the pieces of its answer."""
    return list(islice(cycle(_ANSWERS), texts - len(thoughts_of(texts))))


class Writer:
    """Writes one reply as events."""

    def __init__(self, shape: str) -> None:
        """Begin a reply of this shape, the same one every time."""
        known = SHAPES[shape]
        exchange = Exchange(serial=7, created=_CREATED, model=known.model, padded=False)
        self._dialect = known.make(exchange)
        self._paces = self._thoughts if shape == "thinking" else self._texts

    def events(self, texts: int) -> Iterator[bytes]:
        """Yield a whole reply, event by event."""
        yield from self.opening()
        yield from self._thoughts(thoughts_of(texts))
        yield from self._texts(answer_of(texts))
        yield from self.ending(texts)

    def opening(self) -> list[bytes]:
        """Return what comes before the first text."""
        return self._written(self._dialect.opening(0))

    def block(self) -> list[bytes]:
        """Return a block of thoughts."""
        return self._thoughts(thoughts_of(BLOCK * 2)[:BLOCK])

    def around(self) -> tuple[bytes, bytes]:
        """Return what stands before and after the text of a piece, of thinking for that shape."""
        (written,) = self._paces([_MARK])
        head, tail = written.split(_MARK.encode())
        return head, tail

    def ending(self, texts: int) -> list[bytes]:
        """Return what comes after the last text."""
        counts = Counts(prompt=11, answer=len(answer_of(texts)), reasoning=len(thoughts_of(texts)))
        finish = self._dialect.finish(0, "stop")
        closing = self._dialect.closing(self._dialect.usage(counts))
        return [*self._written([*finish, *closing]), self._dialect.done]

    def plain(self) -> bytes:
        """Return the JSON of a reply of one token that is not streamed."""
        usage = self._dialect.usage(Counts(prompt=11, answer=1))
        message = self._dialect.message("", "".join(answer_of(1)), ())
        return orjson.dumps(self._dialect.completion([(message, "stop")], usage))

    def _thoughts(self, texts: list[str]) -> list[bytes]:
        if not texts:
            return []
        frames = (self._dialect.thought(0, text) for text in texts)
        begins, ends = self._dialect.thinking_begins(0), self._dialect.thinking_ends(0)
        return self._written([*begins, *chain.from_iterable(frames), *ends])

    def _texts(self, texts: list[str]) -> list[bytes]:
        last = len(texts) - 1
        frames = (
            self._dialect.text(0, text, "stop" if place == last else None)
            for place, text in enumerate(texts)
        )
        return self._written(list(chain.from_iterable(frames)))

    def _written(self, frames: list[Frame]) -> list[bytes]:
        return [self._dialect.event(frame) for frame in frames]
