"""How each producer shapes its chunks: one class each, from the same events to other JSON.

Strategy.  A reply is a sequence of events (opening, thought, text, call, finish, closing), and a
dialect turns each into the frames of its producer: which keys there are, in which order, null or
missing, the role on which chunks, the usage where.  The base class is OpenAI's own form; every
other says only where it differs.  Nothing here looks at model names: ``models.py`` says which
model speaks which dialect.

The shapes follow recorded exchanges (OpenAI, DeepSeek, GLM, Grok, OpenRouter), the vendors'
documentation (DashScope, MiniMax) and the servers' sources (vLLM, SGLang, new-api).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import attrs
import orjson

from aiotokengate.testing.script import Call

__all__ = [
    "ClaudeBridge",
    "Counts",
    "DeepSeek",
    "Dialect",
    "Exchange",
    "GeminiBridge",
    "GeminiCompat",
    "Glm",
    "Grok",
    "InlineThink",
    "MiniMaxCloud",
    "MiniMaxSplit",
    "OpenRouter",
    "Qwen",
    "Sglang",
    "SglangNulls",
    "TagSwallowed",
    "Vllm",
    "VllmBoth",
    "VllmOld",
    "VllmPlain",
]

Json: TypeAlias = Any
Frame: TypeAlias = dict[str, Json]
Slot = Literal["delta", "message"]

_FRAGMENT = 7


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
        """Give so many hexadecimal digits, the same for the same exchange."""
        dice = random.Random(self.serial)  # noqa: S311
        return f"{dice.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        """Give the form of a random uuid."""
        text = self.hex(32)
        return "-".join((text[:8], text[8:12], "4" + text[13:16], "9" + text[17:20], text[20:]))

    def call_id(self, call: Call, number: int) -> str:
        """Give the id of a tool call."""
        return call.id if call.id is not None else f"call_{self.hex(22)}{number:02d}"


def arguments_text(call: Call) -> str:
    """Give the arguments of a call as the JSON text that is sent."""
    if isinstance(call.arguments, str):
        return call.arguments
    return orjson.dumps(call.arguments).decode()


def fragments(text: str) -> list[str]:
    """Give the arguments in the small pieces in which a model writes them."""
    return [text[start : start + _FRAGMENT] for start in range(0, len(text), _FRAGMENT)]


def _whole_call(exchange: Exchange, call: Call, number: int) -> Frame:
    function = {"name": call.name, "arguments": arguments_text(call)}
    call_id = exchange.call_id(call, number)
    return {"id": call_id, "type": "function", "function": function}


class Dialect:
    """OpenAI's own form, and what the others differ from (recorded: gpt-5).

    Attributes:
        reasoning_fields: the keys that carry reasoning text; none means it is never shown.
        opener: pieces of text before inline thinking.
        closer: pieces of text after it.
    """

    reasoning_fields: ClassVar[tuple[str, ...]] = ()
    opener: ClassVar[tuple[str, ...]] = ()
    closer: ClassVar[tuple[str, ...]] = ()

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        self.exchange = exchange
        self._padding = random.Random(exchange.serial)  # noqa: S311

    @classmethod
    def shows_reasoning(cls) -> bool:
        """Whether the reasoning's text reaches the client at all."""
        return bool(cls.reasoning_fields)

    # --- frames ---------------------------------------------------------------------------------

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a whole chunk, or with another ``kind`` a whole plain answer."""
        frame = {
            "id": f"chatcmpl-{self.exchange.hex(28)}",
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "service_tier": "default",
            "system_fingerprint": None,
            "usage": usage,
            "choices": choices,
        }
        if self.exchange.padded and kind.endswith("chunk"):
            frame["obfuscation"] = f"{self._padding.getrandbits(48):x}"
        return frame

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give one element of ``choices``."""
        return {"index": index, slot: content, "finish_reason": finish}

    def one(self, index: int, delta: Frame, finish: str | None = None) -> list[Frame]:
        """Give a chunk that holds one choice."""
        return [self.frame([self.choice(index, delta, finish)])]

    # --- events of a stream ---------------------------------------------------------------------

    def opening(self, index: int) -> list[Frame]:
        """Give what comes before the first token."""
        return self.one(index, {"role": "assistant", "content": None})

    def thinking_begins(self, index: int) -> list[Frame]:
        """Give what comes before the first thought of a phase."""
        return [frame for piece in self.opener for frame in self.text(index, piece, None)]

    def thinking_ends(self, index: int) -> list[Frame]:
        """Give what comes after the last thought of a phase."""
        return [frame for piece in self.closer for frame in self.text(index, piece, None)]

    def thought_delta(self, text: str) -> Frame:
        """Give the delta of a piece of reasoning."""
        return dict.fromkeys(self.reasoning_fields, text)

    def text_delta(self, text: str) -> Frame:
        """Give the delta of a piece of answer."""
        return {"content": text}

    def thought(self, index: int, text: str) -> list[Frame]:
        """Give a piece of reasoning."""
        delta = self.thought_delta(text)
        return self.one(index, delta) if delta else []

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Give a piece of answer; ``finish`` is the reason if it is the last of its choice."""
        del finish
        return self.one(index, self.text_delta(text))

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Give a tool call."""
        pieces = self.call_pieces(number, call)
        return [frame for piece in pieces for frame in self.one(index, {"tool_calls": [piece]})]

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the elements of ``tool_calls``, one for each chunk."""
        head = _whole_call(self.exchange, call, number)
        head["function"]["arguments"] = ""
        rest = [{"function": {"arguments": text}} for text in fragments(arguments_text(call))]
        return [{"index": number, **piece} for piece in (head, *rest)]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Give the chunk that says why a choice ended."""
        return self.one(index, {}, reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Give what comes after all choices have finished."""
        return [self.frame([], usage)]

    # --- the plain answer -----------------------------------------------------------------------

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Give the message of a plain answer."""
        message: Frame = {"role": "assistant", "content": self.inline(thoughts) + text or None}
        message.update(self.plain_reasoning(thoughts))
        if calls:
            message["tool_calls"] = self.plain_calls(calls)
        return message

    def inline(self, thoughts: str) -> str:
        """Give the thinking as it stands in ``content``."""
        inside = thoughts and (self.opener or self.closer)
        return "".join((*self.opener, thoughts, *self.closer)) if inside else ""

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Give the reasoning fields of a plain message."""
        return dict.fromkeys(self.reasoning_fields, thoughts) if thoughts else {}

    def plain_calls(self, calls: Sequence[Call]) -> list[Frame]:
        """Give the tool calls of a plain message."""
        return [_whole_call(self.exchange, call, number) for number, call in enumerate(calls)]

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Give the plain answer of several messages, each with its finish reason."""
        choices = [
            self.choice(index, message, finish, "message")
            for index, (message, finish) in enumerate(messages)
        ]
        return self.frame(choices, usage, "chat.completion")

    # --- usage ----------------------------------------------------------------------------------

    def usage(self, counts: Counts) -> Frame:
        """Give the usage object."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": counts.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class _BothKeys(Dialect):
    """The vendors whose deltas always hold both keys, the idle one null, while they think."""

    reasoning_fields = ("reasoning_content",)

    def thought_delta(self, text: str) -> Frame:
        return {"content": None, "reasoning_content": text}

    def text_delta(self, text: str) -> Frame:
        return {"content": text, "reasoning_content": None} if self.exchange.thinks else {
            "content": text
        }


class DeepSeek(_BothKeys):
    """DeepSeek's cloud: the last chunk holds finish reason and usage (recorded)."""

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._last: list[Frame] = []

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk, with ``usage`` last."""
        return {
            "id": self.exchange.uuid(),
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "system_fingerprint": f"fp_{self.exchange.hex(10)}",
            "choices": choices,
            "usage": usage,
        }

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice with its null ``logprobs``."""
        return {"index": index, slot: content, "logprobs": None, "finish_reason": finish}

    def opening(self, index: int) -> list[Frame]:
        """Give the role, with the idle key null."""
        empty = {"content": None, "reasoning_content": ""}
        return self.one(
            index, {"role": "assistant", **(empty if self.exchange.thinks else {"content": ""})}
        )

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Keep the finish of each choice for the chunk that also holds the usage."""
        self._last.append(self.choice(index, self.text_delta(""), reason))
        return []

    def closing(self, usage: Json) -> list[Frame]:
        """Give the finish chunks, the last of them with the usage."""
        *others, last = self._last
        return [*(self.frame([other]) for other in others), self.frame([last], usage)]

    def usage(self, counts: Counts) -> Frame:
        """Give DeepSeek's usage, with its cache counters."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
            "prompt_cache_hit_tokens": 0,
            "prompt_cache_miss_tokens": counts.prompt,
        }


class Qwen(_BothKeys):
    """DashScope's compatible route: choices first, keys in changing order (documented)."""

    _ORDERS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "opening": ("*", "index", "logprobs", "finish_reason"),
        "thought": ("finish_reason", "*", "index", "logprobs"),
        "text": ("*", "finish_reason", "index", "logprobs"),
        "finish": ("finish_reason", "*", "index", "logprobs"),
    }

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk in DashScope's order: choices first, id last."""
        return {
            "choices": choices,
            "object": kind,
            "usage": usage,
            "created": self.exchange.created,
            "system_fingerprint": None,
            "model": self.exchange.model,
            "id": f"chatcmpl-{self.exchange.uuid()}",
        }

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice whose keys stand in the order of its kind."""
        values = {"*": content, "index": index, "logprobs": None, "finish_reason": finish}
        order = self._ORDERS[self._kind(content, finish, slot)]
        return {(slot if key == "*" else key): values[key] for key in order}

    @staticmethod
    def _kind(content: Frame, finish: str | None, slot: Slot) -> str:
        if slot == "message":
            return "text"
        if finish is not None:
            return "finish"
        if "role" in content:
            return "opening"
        return "thought" if content.get("reasoning_content") else "text"

    def opening(self, index: int) -> list[Frame]:
        """Give the role between the two texts."""
        if not self.exchange.thinks:
            return self.one(index, {"content": "", "role": "assistant"})
        return self.one(index, {"content": None, "role": "assistant", "reasoning_content": ""})

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the id once, then empty ids, and an empty function at the end (captured)."""
        head, *rest = super().call_pieces(number, call)
        later = [{**piece, "id": "", "type": "function"} for piece in rest]
        return [head, *later, {"index": number, "id": "", "type": "function", "function": {}}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Give the finish with an empty text."""
        return self.one(index, self.text_delta(""), reason)

    def usage(self, counts: Counts) -> Frame:
        """Give DashScope's usage, whose prompt details are empty."""
        thought = {"reasoning_tokens": counts.reasoning} if counts.reasoning else {}
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "completion_tokens_details": thought,
            "prompt_tokens_details": {},
        }


class Glm(Dialect):
    """GLM 4.7 and 5: the role on every chunk, no null keys, usage on the finish (recorded)."""

    reasoning_fields = ("reasoning_content",)

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._last: list[Frame] = []

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk; ``usage`` is there or it is not."""
        frame = {
            "id": f"20260525{self.exchange.hex(24)}",
            "created": self.exchange.created,
            "object": kind,
            "model": self.exchange.model,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice; ``finish_reason`` is there or it is not."""
        end = {} if finish is None else {"finish_reason": finish}
        return {"index": index, **end, slot: content}

    def opening(self, index: int) -> list[Frame]:
        """Give nothing: the role rides on every chunk."""
        del index
        return []

    def thought_delta(self, text: str) -> Frame:
        """Give the role and the reasoning alone."""
        return {"role": "assistant", "reasoning_content": text}

    def text_delta(self, text: str) -> Frame:
        """Give the role and the answer alone."""
        return {"role": "assistant", "content": text}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the whole call in one chunk."""
        whole = _whole_call(self.exchange, call, number)
        return [{"id": whole["id"], "index": number, **whole}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Keep the finish of each choice for the chunk that also holds the usage."""
        self._last.append(self.choice(index, self.text_delta(""), reason))
        return []

    def closing(self, usage: Json) -> list[Frame]:
        """Give the finish chunks, the last of them with the usage."""
        *others, last = self._last
        return [*(self.frame([other]) for other in others), self.frame([last], usage)]

    def usage(self, counts: Counts) -> Frame:
        """Give GLM's usage."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }


class Grok(Dialect):
    """xAI: the role rides on the first delta, and reasoning is beside completion (recorded).

    The grok-4 models think without showing it; grok-code-fast-1 shows it.
    """

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._begun: set[int] = set()

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk that ends in the fingerprint."""
        frame = {
            "id": self.exchange.uuid(),
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "choices": choices,
        }
        counted = {} if usage is None else {"usage": usage}
        return {**frame, **counted, "system_fingerprint": f"fp_{self.exchange.hex(10)}"}

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice; the first delta of each carries the role."""
        if slot == "delta" and index not in self._begun:
            self._begun.add(index)
            content = {**content, "role": "assistant"}
        end = {} if finish is None else {"finish_reason": finish}
        return {"index": index, slot: content, **end}

    def opening(self, index: int) -> list[Frame]:
        """Give nothing: the first token is the first chunk."""
        del index
        return []

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the whole call in one chunk."""
        whole = _whole_call(self.exchange, call, number)
        return [{"id": whole["id"], "function": whole["function"], "index": number} | whole]

    def usage(self, counts: Counts) -> Frame:
        """Give xAI's usage: the total is prompt + completion + reasoning."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.answer,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {
                "text_tokens": counts.prompt,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": counts.reasoning,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
            "num_sources_used": 0,
            "cost_in_usd_ticks": 166 * counts.completion,
        }


class GrokShown(Grok):
    """grok-code-fast-1, which shows its reasoning."""

    reasoning_fields = ("reasoning_content",)


class Vllm(Dialect):
    """vLLM of today: ``reasoning``, and the finish reason on the last text (source)."""

    reasoning_fields = ("reasoning",)

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._finished: set[int] = set()

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk without fingerprint or null usage."""
        frame = {
            "id": f"chatcmpl-{self.exchange.hex(32)}",
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice; ``stop_reason`` stands beside the finish reason."""
        choice = {"index": index, slot: content, "logprobs": None, "finish_reason": finish}
        stop = {"stop_reason": None} if finish is not None else {}
        return {**choice, **stop, "token_ids": None}

    def opening(self, index: int) -> list[Frame]:
        """Give the role and an empty text."""
        return self.one(index, {"role": "assistant", "content": ""})

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Give a piece of answer, the last one with the finish reason."""
        if finish is not None:
            self._finished.add(index)
        return self.one(index, self.text_delta(text), finish)

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Give the finish unless the last text carried it."""
        return [] if index in self._finished else self.one(index, {"content": ""}, reason)

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Give a message with every key vLLM knows, most of them null."""
        empty = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        message = {**super().message(thoughts, text, calls)}
        reasoning = {field: message.get(field) for field in self.reasoning_fields}
        tools = {"tool_calls": message.get("tool_calls", [])}
        head = {"role": "assistant", "content": message["content"]}
        return {**head, **empty, **tools, **reasoning}

    def usage(self, counts: Counts) -> Frame:
        """Give vLLM's usage."""
        return {
            "prompt_tokens": counts.prompt,
            "total_tokens": counts.prompt + counts.completion,
            "completion_tokens": counts.completion,
            "prompt_tokens_details": None,
        }


class VllmOld(Vllm):
    """vLLM up to 0.10: ``reasoning_content``."""

    reasoning_fields = ("reasoning_content",)


class VllmBoth(Vllm):
    """vLLM 0.11: the same text in both fields."""

    reasoning_fields = ("reasoning", "reasoning_content")


class VllmPlain(Vllm):
    """vLLM with a model that does not think."""

    reasoning_fields = ()


class Sglang(Dialect):
    """SGLang of today: null keys left out, ``matched_stop`` at the finish (source)."""

    reasoning_fields = ("reasoning_content",)

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk with ``usage`` last, and null on all but the last."""
        frame = {
            "id": self.exchange.hex(32),
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "choices": choices,
            "usage": usage,
        }
        plain = {"metadata": {"weight_version": "default"}}
        return {**frame, **plain} if kind == "chat.completion" else frame

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice with what matched its stop."""
        return {
            "index": index,
            slot: content,
            "logprobs": None,
            "finish_reason": finish,
            "matched_stop": 151336 if finish == "stop" else None,
        }

    def opening(self, index: int) -> list[Frame]:
        """Give the role and an empty text."""
        return self.one(index, {"role": "assistant", "content": ""})

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give id and name once, then nulls in their places."""
        whole = _whole_call(self.exchange, call, number)
        head = {**whole["function"], "arguments": ""}
        rest = [{"name": None, "arguments": text} for text in fragments(arguments_text(call))]
        ids = [whole["id"], *(None for _ in rest)]
        return [
            {"id": call_id, "index": number, "type": "function", "function": function}
            for call_id, function in zip(ids, (head, *rest), strict=True)
        ]

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Give null when nothing was thought."""
        return {"reasoning_content": thoughts or None}

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Give a message whose calls are null when there are none."""
        return {**super().message(thoughts, text, calls)} | (
            {} if calls else {"tool_calls": None}
        )

    def usage(self, counts: Counts) -> Frame:
        """Give SGLang's usage."""
        return {
            "prompt_tokens": counts.prompt,
            "total_tokens": counts.prompt + counts.completion,
            "completion_tokens": counts.completion,
            "prompt_tokens_details": None,
            "reasoning_tokens": counts.reasoning,
        }


class SglangNulls(Sglang):
    """SGLang 0.5.9: null keys are sent, and the reasoning count stays 0 (a bug of its own)."""

    _EMPTY: ClassVar[Frame] = {
        "role": None,
        "content": None,
        "reasoning_content": None,
        "tool_calls": None,
    }

    def one(self, index: int, delta: Frame, finish: str | None = None) -> list[Frame]:
        """Give a chunk whose delta holds every key."""
        return super().one(index, {**self._EMPTY, **delta}, finish)

    def usage(self, counts: Counts) -> Frame:
        """Give a usage that does not know of reasoning."""
        return {**super().usage(counts), "reasoning_tokens": 0}


class MiniMaxCloud(Dialect):
    """MiniMax's cloud: inline tags cut anywhere, and the whole message once more at the end."""

    opener = ("<th", "ink>\n")
    closer = ("\n</thi", "nk>\n\n")

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._said: dict[int, str] = {}
        self._calls: dict[int, list[Call]] = {}
        self._reasons: dict[int, str] = {}

    @classmethod
    def shows_reasoning(cls) -> bool:
        """Show it, inside the answer."""
        return True

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk whose usage is a placeholder until the end."""
        return {
            "id": f"06{self.exchange.hex(30)}",
            "choices": choices,
            "created": self.exchange.created,
            "model": self.exchange.model,
            "object": kind,
            "usage": usage or {"total_tokens": 0, "total_characters": 0},
            "input_sensitive": False,
            "output_sensitive": False,
            "input_sensitive_type": 0,
            "output_sensitive_type": 0,
            "output_sensitive_int": 0,
        }

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice with the speaker's name; only its first chunk names a role."""
        role = "assistant" if slot == "message" or index not in self._said else ""
        self._said.setdefault(index, "")
        body = {**content, "role": role, "name": "MiniMax AI", "audio_content": ""}
        end = {} if finish is None else {"finish_reason": finish}
        return {**end, "index": index, slot: body}

    def opening(self, index: int) -> list[Frame]:
        """Give nothing: the first token is the first chunk."""
        del index
        return []

    def thought(self, index: int, text: str) -> list[Frame]:
        """Give a thought as text."""
        return self.text(index, text, None)

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Give a piece of text, and remember it for the last frame."""
        frames = super().text(index, text, finish)
        self._said[index] += text
        return frames

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Give a whole call, and remember it for the last frame."""
        self._calls.setdefault(index, []).append(call)
        return super().call(index, number, call)

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the whole call in one chunk."""
        return [{**_whole_call(self.exchange, call, number), "index": number}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Give the finish reason, and remember it for the last frame."""
        self._reasons[index] = reason
        return self.one(index, {"content": ""}, reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Give everything again in one frame, which alone has the true usage (user reports)."""
        messages = [
            (Dialect.message(self, "", self._said.get(index, ""), self._calls.get(index, ())), why)
            for index, why in sorted(self._reasons.items())
        ]
        return [self.completion(messages, usage)]

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Give the plain answer, with MiniMax's own status beside it."""
        verdict = {"base_resp": {"status_code": 0, "status_msg": ""}}
        return {**super().completion(messages, usage), **verdict}

    def usage(self, counts: Counts) -> Frame:
        """Give MiniMax's usage."""
        return {
            "total_tokens": counts.prompt + counts.completion,
            "total_characters": 0,
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }


class MiniMaxSplit(MiniMaxCloud):
    """MiniMax's cloud asked for ``reasoning_split``: the thinking in ``reasoning_details``."""

    opener = ()
    closer = ()

    @staticmethod
    def _details(text: str) -> Frame:
        detail = {"type": "reasoning.text", "id": "reasoning-text-1", "index": 0, "text": text}
        return {"reasoning_details": [{**detail, "format": "MiniMax-response-v1"}]}

    def thought(self, index: int, text: str) -> list[Frame]:
        """Give a thought as a detail."""
        return self.one(index, {"content": "", **self._details(text)})

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Give all thoughts as one detail."""
        return self._details(thoughts) if thoughts else {}


class _NewApi(Dialect):
    """The form of new-api where it converts another protocol to Chat Completions (source)."""

    reasoning_fields = ("reasoning_content",)

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        fingerprint = {"system_fingerprint": None} if kind.endswith("chunk") else {}
        return {
            "id": f"chatcmpl-{self.exchange.hex(32)}",
            "object": kind,
            "created": self.exchange.created,
            "model": self.exchange.model,
            **fingerprint,
            "choices": choices,
            "usage": usage,
        }

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        if slot == "message":
            return {"index": index, slot: content, "finish_reason": finish}
        return {slot: content, "logprobs": None, "finish_reason": finish, "index": index}

    def opening(self, index: int) -> list[Frame]:
        return self.one(index, {"content": "", "role": "assistant"})

    def usage(self, counts: Counts) -> Frame:
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "prompt_tokens_details": {
                "cached_tokens": 0,
                "text_tokens": 0,
                "audio_tokens": 0,
                "image_tokens": 0,
            },
            "completion_tokens_details": {
                "text_tokens": 0,
                "audio_tokens": 0,
                "reasoning_tokens": counts.reasoning,
            },
        }


class ClaudeBridge(_NewApi):
    """new-api before a Claude model: a signature becomes a thought of one line end.

    Tool calls keep Claude's block numbers, so that they begin at 1 or 2.
    """

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._blocks = 0

    def thinking_ends(self, index: int) -> list[Frame]:
        """Give what is left of the signature."""
        self._blocks = 1
        return self.thought(index, "\n")

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Give a piece of answer, a block of its own in Claude's count."""
        self._blocks = 2 if self.exchange.thinks else 1
        return super().text(index, text, finish)

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the pieces under Claude's block number, each with its type."""
        pieces = super().call_pieces(number, call)
        return [
            {**piece, "index": number + max(self._blocks, 1), "type": "function"}
            for piece in pieces
        ]

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Give a message that is never empty: new-api writes three dots."""
        message = super().message(thoughts, text, calls)
        return {**message, "content": message["content"] or "..."}

    def usage(self, counts: Counts) -> Frame:
        """Give Claude's counters, in which reasoning is not told apart."""
        merged = attrs.evolve(counts, answer=counts.completion, reasoning=0)
        caches = {"claude_cache_creation_5_m_tokens": 0, "claude_cache_creation_1_h_tokens": 0}
        return {**super().usage(merged), **caches}


class GeminiBridge(_NewApi):
    """new-api before a Gemini model: a call's name first, then all its arguments."""

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give two pieces, the second without id and type."""
        head, *_ = super().call_pieces(number, call)
        function = {"name": "", "arguments": arguments_text(call)}
        return [head, {"index": number, "id": "", "type": None, "function": function}]


class OpenRouter(Dialect):
    """OpenRouter: reasoning twice in every delta, a usage chunk with a dummy choice (recorded)."""

    reasoning_fields = ("reasoning",)

    def frame(
        self, choices: Sequence[Frame], usage: Json = None, kind: str = "chat.completion.chunk"
    ) -> Frame:
        """Give a chunk that names the provider."""
        frame = {
            "id": f"gen-{self.exchange.created}-{self.exchange.hex(20)}",
            "provider": "Chutes",
            "model": self.exchange.model,
            "object": kind,
            "created": self.exchange.created,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}

    def choice(
        self, index: int, content: Frame, finish: str | None = None, slot: Slot = "delta"
    ) -> Frame:
        """Give a choice with the provider's own finish reason beside it."""
        return {
            "index": index,
            slot: content,
            "finish_reason": finish,
            "native_finish_reason": finish,
            "logprobs": None,
        }

    @staticmethod
    def _details(text: str) -> list[Frame]:
        return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]

    def opening(self, index: int) -> list[Frame]:
        """Give nothing: the role rides on every chunk."""
        del index
        return []

    def thought_delta(self, text: str) -> Frame:
        """Give the thought as a field and as a detail."""
        details = {"reasoning": text, "reasoning_details": self._details(text)}
        return {"role": "assistant", "content": "", **details}

    def text_delta(self, text: str) -> Frame:
        """Give the answer beside empty reasoning."""
        empty: Frame = {"reasoning": None, "reasoning_details": []}
        return {"role": "assistant", "content": text, **empty}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the whole call under a null index."""
        return [{"index": None, **_whole_call(self.exchange, call, number)}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Give the finish with an empty text."""
        return self.one(index, self.text_delta(""), reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Give the usage beside a choice that says nothing."""
        return [self.frame([self.choice(0, self.text_delta(""))], usage)]

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Give the thoughts as a field and as one detail."""
        if not thoughts:
            return {"refusal": None, "reasoning": None}
        details = {"reasoning": thoughts, "reasoning_details": self._details(thoughts)}
        return {"refusal": None, **details}

    def usage(self, counts: Counts) -> Frame:
        """Give a usage with its price."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.prompt + counts.completion,
            "cost": 0.0006,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }


class InlineThink(Dialect):
    """new-api told to put the thinking into the content: each tag a chunk of its own (source)."""

    opener = ("<think>\n",)
    closer = ("\n</think>\n",)

    @classmethod
    def shows_reasoning(cls) -> bool:
        """Show it, inside the answer."""
        return True

    def thought_delta(self, text: str) -> Frame:
        """Give a thought as content."""
        return {"content": text}


class TagSwallowed(InlineThink):
    """A server without reasoning parser whose template swallowed the opening tag."""

    opener = ()
    closer = ("</thi", "nk>\n\n")


class GeminiCompat(InlineThink):
    """Google's own compatible endpoint: ``<thought>``, marked, and calls without an index."""

    opener = ("<thought>",)
    closer = ("</thought>",)

    def thought_delta(self, text: str) -> Frame:
        """Give a thought, marked as one."""
        return {"content": text, "extra_content": {"google": {"thought": True}}}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Give the whole call with its signature."""
        signature = {"google": {"thought_signature": self.exchange.hex(40)}}
        return [{"extra_content": signature, **_whole_call(self.exchange, call, number)}]
