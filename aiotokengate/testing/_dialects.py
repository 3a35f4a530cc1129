"""How each producer shapes its chunks: one class each, from the same events to other JSON.

Strategy.  A reply is a sequence of events (opening, thought, text, call, finish, closing), and a
dialect turns each into the frames of its producer: which keys there are, in which order, null or
missing, the role on which chunks, the usage where.  The base class is OpenAI's own form; every
other (``_vendor_dialects.py``, ``_server_dialects.py``) says only where it differs.  None looks
at model names: ``_models.py`` says which model speaks which dialect.

The shapes follow recorded exchanges (OpenAI, DeepSeek, GLM, Grok, OpenRouter), the vendors'
documentation (DashScope, MiniMax) and the servers' sources (vLLM, SGLang, new-api).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

import attrs
import orjson

from aiotokengate.testing._script import Call
from aiotokengate.types import Json

__all__ = [
    "CHUNK",
    "DONE",
    "Counts",
    "Exchange",
    "Frame",
    "Json",
    "Producer",
    "Slot",
    "arguments_text",
    "event",
    "fragments",
    "whole_call",
]

Frame: TypeAlias = dict[str, Json]
Slot = Literal["delta", "message"]

CHUNK = "chat.completion.chunk"
DONE = b"data: [DONE]\n\n"

_FRAGMENT = 7


def event(value: Json) -> bytes:
    """Return one event of a stream."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


@attrs.frozen
class Counts:
    """The tokens of an exchange: ``answer`` are those of text and tool calls."""

    prompt: int = 0
    answer: int = 0
    reasoning: int = 0

    @property
    def completion(self) -> int:
        """What the model produced in all."""
        return self.answer + self.reasoning

    def totals(self) -> Frame:
        """Return the three counts that every usage object has."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        }


@attrs.frozen
class Exchange:
    """What all frames of one exchange share.

    Attributes:
        serial: the number of the exchange, from which its ids are made.
        created: seconds since 1970.
        model: the name in the chunks.
        thinks: whether the model was asked to think, or does by itself.
        padded: whether chunks carry OpenAI's random ``obfuscation``.
    """

    serial: int
    created: int
    model: str
    thinks: bool = True
    padded: bool = True

    def hex(self, digits: int) -> str:
        """Return so many hexadecimal digits, the same for the same exchange."""
        dice = random.Random(self.serial)
        return f"{dice.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        """Return the form of a random uuid."""
        text = self.hex(32)
        return "-".join((text[:8], text[8:12], "4" + text[13:16], "9" + text[17:20], text[20:]))

    def call_id(self, call: Call, number: int) -> str:
        """Return the id of a tool call."""
        return call.id if call.id is not None else f"call_{self.hex(22)}{number:02d}"


def arguments_text(call: Call) -> str:
    """Return the arguments of a call as the JSON text that is sent."""
    if isinstance(call.arguments, str):
        return call.arguments
    return orjson.dumps(call.arguments).decode()


def fragments(text: str) -> list[str]:
    """Return the arguments in the small pieces in which a model writes them."""
    return [text[start : start + _FRAGMENT] for start in range(0, len(text), _FRAGMENT)]


def whole_call(exchange: Exchange, call: Call, number: int) -> Frame:
    """Return a tool call in the form of a plain answer."""
    function = {"name": call.name, "arguments": arguments_text(call)}
    call_id = exchange.call_id(call, number)
    return {"id": call_id, "type": "function", "function": function}


class Producer:
    """OpenAI's own form, and what the others differ from (recorded: gpt-5).

    Attributes:
        reasoning_fields: the keys that carry reasoning text; none means it is never shown.
        opener: pieces of text before inline thinking.
        closer: pieces of text after it.
        first: the delta before the first token, None where that token opens the stream.
        done: what ends the stream.
    """

    reasoning_fields: ClassVar[tuple[str, ...]] = ()
    opener: ClassVar[tuple[str, ...]] = ()
    closer: ClassVar[tuple[str, ...]] = ()
    first: ClassVar[Frame | None] = {"role": "assistant", "content": None}
    done: ClassVar[bytes] = DONE

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        self.exchange = exchange
        self._padding = random.Random(exchange.serial)

    # --- frames ---------------------------------------------------------------------------------

    def event(self, frame: Frame) -> bytes:
        """Return a frame as an event."""
        return event(frame)

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a whole chunk, or with another ``kind`` a whole plain answer."""
        frame = {
            **self.head(f"chatcmpl-{self.exchange.hex(28)}", kind),
            "service_tier": "default",
            "system_fingerprint": None,
            "usage": usage,
            "choices": choices,
        }
        if self.exchange.padded and kind == CHUNK:
            frame["obfuscation"] = f"{self._padding.getrandbits(48):x}"
        return frame

    def head(self, name: str, kind: str) -> Frame:
        """Return the keys with which most producers begin, ``name`` being the id."""
        exchange = self.exchange
        return {"id": name, "object": kind, "created": exchange.created, "model": exchange.model}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return one element of ``choices``."""
        return {"index": index, slot: said, "finish_reason": finish}

    def one(self, index: int, delta: Frame, finish: str | None = None) -> list[Frame]:
        """Return a chunk that holds one choice."""
        return [self.frame([self.choice(index, delta, finish)])]

    # --- events of a stream ---------------------------------------------------------------------

    def opening(self, index: int) -> list[Frame]:
        """Return what comes before the first token."""
        return [] if self.first is None else self.one(index, self.first)

    def thinking_begins(self, index: int) -> list[Frame]:
        """Return what comes before the first thought of a phase."""
        return [frame for piece in self.opener for frame in self.text(index, piece, None)]

    def thinking_ends(self, index: int) -> list[Frame]:
        """Return what comes after the last thought of a phase."""
        return [frame for piece in self.closer for frame in self.text(index, piece, None)]

    def thought_delta(self, text: str) -> Frame:
        """Return the delta of a piece of reasoning."""
        return dict.fromkeys(self.reasoning_fields, text)

    def text_delta(self, text: str) -> Frame:
        """Return the delta of a piece of answer."""
        return {"content": text}

    def thought(self, index: int, text: str) -> list[Frame]:
        """Return a piece of reasoning."""
        delta = self.thought_delta(text)
        return self.one(index, delta) if delta else []

    def text(self, index: int, text: str, _finish: str | None) -> list[Frame]:
        """Return a piece of answer; with it comes the finish reason if it is the last."""
        return self.one(index, self.text_delta(text))

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Return a tool call."""
        pieces = self.call_pieces(number, call)
        return [frame for piece in pieces for frame in self.one(index, {"tool_calls": [piece]})]

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the elements of ``tool_calls``, one for each chunk."""
        head = whole_call(self.exchange, call, number)
        head["function"]["arguments"] = ""
        rest = [{"function": {"arguments": text}} for text in fragments(arguments_text(call))]
        return [{"index": number, **piece} for piece in (head, *rest)]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Return the chunk that says why a choice ended."""
        return self.one(index, {}, reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Return what comes after all choices have finished."""
        return [self.frame([], usage)]

    # --- the plain answer -----------------------------------------------------------------------

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return the message of a plain answer."""
        message: Frame = {"role": "assistant", "content": self.inline(thoughts) + text or None}
        message.update(self.plain_reasoning(thoughts))
        if calls:
            message["tool_calls"] = self.plain_calls(calls)
        return message

    def inline(self, thoughts: str) -> str:
        """Return the thinking as it stands in ``content``."""
        inside = thoughts and (self.opener or self.closer)
        return "".join((*self.opener, thoughts, *self.closer)) if inside else ""

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Return the reasoning fields of a plain message."""
        return dict.fromkeys(self.reasoning_fields, thoughts) if thoughts else {}

    def plain_calls(self, calls: Sequence[Call]) -> list[Frame]:
        """Return the tool calls of a plain message."""
        return [whole_call(self.exchange, call, number) for number, call in enumerate(calls)]

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Return the plain answer of several messages, each with its finish reason."""
        choices = [
            self.choice(index, message, finish, "message")
            for index, (message, finish) in enumerate(messages)
        ]
        return self.frame(choices, usage, "chat.completion")

    # --- usage ----------------------------------------------------------------------------------

    def usage(self, counts: Counts) -> Frame:
        """Return the usage object."""
        return {
            **counts.totals(),
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": counts.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }
