"""How many events of a stream are spliced, for every shape that a gateway may send.

    python benchmarks/splice_rates.py

A stream of some 300 pieces of text, thinking and answer by turns, in the very shape of each
producer: those of the fake gateway, and those that it has no model for.  The shapes serve the
tests, too, which hold each rate against the bar.
"""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import attrs

from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.responses_reply import ResponsesDecoder
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.testing import _server_dialects as servers
from aiotokengate.testing import _vendor_dialects as vendors
from aiotokengate.testing._dialects import Exchange, Frame, Json, Producer, Slot
from aiotokengate.testing._messages import MessagesNative
from aiotokengate.testing._render import Step, render_stream
from aiotokengate.testing._responses import ResponsesNative
from aiotokengate.testing._script import Part, ScriptedReply, Text, Thought

__all__ = ["LEAST", "SHAPES", "Said", "Shape", "rate", "replies"]

LEAST = 0.95
"""The bar: so many of the events are to be spliced, in every shape."""

Decoder: TypeAlias = ChatCompletionsDecoder | ResponsesDecoder | MessagesDecoder
Said: TypeAlias = Sequence[tuple[bool, str]]
"""What a model says: whether it is a thought, and a piece of text."""

# --- shapes that the fake gateway has no model for ----------------------------------------------


class PaddedOpenAi(Producer):
    """OpenAI, with padding whose length is drawn, too, so that chunks have any size."""

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Return a chunk with its padding."""
        letters = self._padding.choices(string.ascii_letters, k=self._padding.randint(1, 16))
        return {**super().frame(choices, usage, kind), "obfuscation": "".join(letters)}


class QwenInAnyOrder(vendors.Qwen):
    """DashScope, with the keys of each chunk in one of three orders, by chance."""

    _TURNS = (
        ("*", "index", "logprobs", "finish_reason"),
        ("finish_reason", "*", "index", "logprobs"),
        ("*", "finish_reason", "index", "logprobs"),
    )

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Return a choice whose keys stand in any order."""
        values = {"*": content, "index": index, "logprobs": None, "finish_reason": finish}
        order = self._padding.choice(self._TURNS)
        return {(slot if key == "*" else key): values[key] for key in order}


class GrokClock(vendors.GrokShown):
    """xAI, on a slow stream: ``created`` is the time of each chunk."""

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Return a chunk that was made later than the one before."""
        frame = super().frame(choices, usage, kind)
        return {**frame, "created": self.exchange.created + self._padding.randint(0, 60)}


class MiniMaxBoth(vendors.MiniMaxSplit):
    """The builds of MiniMax that give the details' text as a field, too."""

    def thought(self, index: int, text: str) -> list[Frame]:
        """Return a thought twice."""
        return self.one(index, {"content": "", "reasoning_content": text, **self._details(text)})


class MiniMaxSoFar(vendors.MiniMaxSplit):
    """MiniMax as its own example reads it: each detail repeats the thinking so far."""

    def thought(self, index: int, text: str) -> list[Frame]:
        """Return all thoughts up to this one."""
        self._thoughts = getattr(self, "_thoughts", "") + text
        return self.one(index, {"content": "", **self._details(self._thoughts)})


class OpenRouterSummary(servers.OpenRouter):
    """OpenRouter before a model of OpenAI's, whose reasoning is a summary."""

    def thought_delta(self, text: str) -> Frame:
        """Return the thought as a field and as a detail."""
        detail = {"type": "reasoning.summary", "summary": text, "format": "f", "index": 0}
        role = {"role": "assistant", "content": ""}
        return {**role, "reasoning": text, "reasoning_details": [detail]}


class ClaudeThroughGateway(servers.ClaudeBridge):
    """new-api before Claude, whose synthetic usage has an id of its own."""

    def closing(self, usage: Json) -> list[Frame]:
        """Return the usage as new-api makes it up."""
        return [{**self.frame([], usage), "id": ""}]


# --- the table ----------------------------------------------------------------------------------


@attrs.frozen
class Shape:
    """A producer's way to write, and the dialect that reads it.

    Attributes:
        write: makes what renders a reply.
        reads: makes the decoder.
        thinks: whether its thoughts are shown at all.
    """

    write: Callable[[Exchange], Producer]
    reads: Callable[[], Decoder]
    thinks: bool = True

    def body(self, said: Said, choices: int = 1) -> bytes:
        """Return the stream that says this."""
        exchange = Exchange(serial=7, created=1779700000, model="some-model")
        reply = ScriptedReply(parts=list(_parts(said)))
        usage = {"prompt_tokens": 9, "completion_tokens": len(said), "total_tokens": 9 + len(said)}
        steps: Iterator[Step] = render_stream(self.write(exchange), [reply] * choices, usage)
        return b"".join(step for step in steps if isinstance(step, bytes))


def _parts(said: Said) -> Iterator[Part]:
    for thought, run in itertools.groupby(said, lambda piece: piece[0]):
        texts = [text for _, text in run]
        yield Thought(texts) if thought else Text(texts)


def _chat(
    write: Callable[[Exchange], Producer],
    dialect: str = "openai-compatible",
    *,
    thinks: bool = True,
) -> Shape:
    return Shape(write, lambda: ChatCompletionsDecoder(DIALECTS[dialect], Transcript()), thinks)


def _responses(exchange: Exchange) -> Producer:
    return ResponsesNative(exchange, summary=True, encrypted=True)


def _messages(exchange: Exchange) -> Producer:
    return MessagesNative(exchange, 9, shown=True)


SHAPES: Mapping[str, Shape] = {
    "OpenAI, padded": _chat(PaddedOpenAi, "openai", thinks=False),
    "DeepSeek": _chat(vendors.DeepSeek, "deepseek"),
    "DashScope": _chat(vendors.Qwen, "qwen"),
    "DashScope, keys in any order": _chat(QwenInAnyOrder, "qwen"),
    "GLM": _chat(vendors.Glm, "glm"),
    "Grok": _chat(vendors.GrokShown, "grok"),
    "Grok, created changes": _chat(GrokClock, "grok"),
    "vLLM": _chat(servers.Vllm),
    "vLLM 0.10": _chat(servers.VllmOld),
    "vLLM 0.11, both fields": _chat(servers.VllmBoth),
    "SGLang": _chat(servers.Sglang),
    "SGLang 0.5.9, nulls": _chat(servers.SglangNulls),
    "MiniMax, tags": _chat(vendors.MiniMaxCloud, "minimax"),
    "MiniMax, details": _chat(vendors.MiniMaxSplit, "minimax"),
    "MiniMax, details and field": _chat(MiniMaxBoth, "minimax"),
    "MiniMax, details so far": _chat(MiniMaxSoFar, "minimax"),
    "OpenRouter": _chat(servers.OpenRouter),
    "OpenRouter, summaries": _chat(OpenRouterSummary),
    "new-api, Claude": _chat(ClaudeThroughGateway, "claude"),
    "new-api, Gemini": _chat(servers.GeminiBridge, "gemini"),
    "new-api, thinking in content": _chat(servers.InlineThink),
    "opening tag swallowed": _chat(servers.TagSwallowed, "open-thinking"),
    "Google's own, <thought>": _chat(servers.GeminiCompat, "gemini"),
    "Responses": Shape(_responses, lambda: ResponsesDecoder(Transcript())),
    "Messages": Shape(_messages, lambda: MessagesDecoder(Transcript())),
}

# --- what is said, and what it comes to ---------------------------------------------------------

_WORDS = (
    "嗯",
    "，",
    "用户",
    " the",
    ' "quoted"',
    "\n\n",
    "😀",
    "a\\b",
    "。",
    " content",
    "1",
    "<b>",
)


def replies(shape: Shape, pieces: int = 360) -> Said:
    """Return a reply of so many pieces: mostly thinking first, if it is shown, then the answer."""
    dice = random.Random(pieces)
    thoughts = pieces * 2 // 3 if shape.thinks else 0
    return [(place < thoughts, dice.choice(_WORDS)) for place in range(pieces)]


def events_of(shape: Shape, spoken: Said) -> list[bytes]:
    """Return the data of a stream's events."""
    return SSEDecoder().feed_data(shape.body(spoken))


def rate(shape: Shape, spoken: Said) -> tuple[int, float]:
    """Return the number of events, and the share of them that was spliced."""
    decoder, events = shape.reads(), events_of(shape, spoken)
    at = 0
    while at < len(events) and not decoder.done:
        at, _ = decoder.feed_from(events, at)
    return len(events), decoder.splicer.hits / len(events)


def main() -> None:
    """Print the table."""
    print(f"{'shape':32}{'events':>8}{'spliced':>10}")
    for name, shape in SHAPES.items():
        events, share = rate(shape, replies(shape))
        print(f"{name:32}{events:8}{share:10.1%}{'' if share >= LEAST else '  below the bar'}")


if __name__ == "__main__":
    main()
