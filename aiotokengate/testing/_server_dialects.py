"""The forms of what stands between vendor and client: vLLM, SGLang, new-api, OpenRouter.

Each class says only where it differs from the base class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from aiotokengate.testing._dialects import (
    CHUNK,
    Counts,
    Exchange,
    Frame,
    Json,
    Producer,
    Slot,
    arguments_text,
    fragments,
    whole_call,
)
from aiotokengate.testing._script import Call

__all__ = [
    "ClaudeBridge",
    "GeminiBridge",
    "GeminiCompat",
    "InlineThink",
    "OpenRouter",
    "Sglang",
    "SglangNulls",
    "TagSwallowed",
    "Vllm",
    "VllmBoth",
    "VllmOld",
    "VllmPlain",
]


_EMPTY_TEXT: Frame = {"role": "assistant", "content": ""}


class Vllm(Producer):
    """vLLM of today: ``reasoning``, and the finish reason on the last text (source)."""

    reasoning_fields: ClassVar[tuple[str, ...]] = ("reasoning",)
    first = _EMPTY_TEXT

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._finished: set[int] = set()

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk without fingerprint or null usage."""
        frame = {**self.head(f"chatcmpl-{self.exchange.hex(32)}", kind), "choices": choices}
        return frame if usage is None else {**frame, "usage": usage}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice; ``stop_reason`` stands beside the finish reason."""
        choice = {"index": index, slot: said, "logprobs": None, "finish_reason": finish}
        stop = {"stop_reason": None} if finish is not None else {}
        return {**choice, **stop, "token_ids": None}

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Return a piece of answer, the last one with the finish reason."""
        if finish is not None:
            self._finished.add(index)
        return self.one(index, self.text_delta(text), finish)

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Return the finish unless the last text carried it."""
        return [] if index in self._finished else self.one(index, {"content": ""}, reason)

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return a message with every key vLLM knows, most of them null."""
        empty = {"refusal": None, "annotations": None, "audio": None, "function_call": None}
        message = super().message(thoughts, text, calls)
        reasoning = {field: message.get(field) for field in self.reasoning_fields}
        tools = {"tool_calls": message.get("tool_calls", [])}
        head = {"role": "assistant", "content": message["content"]}
        return {**head, **empty, **tools, **reasoning}

    def usage(self, counts: Counts) -> Frame:
        """Return vLLM's usage."""
        return _server_usage(counts)


def _server_usage(counts: Counts) -> Frame:
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


class Sglang(Producer):
    """SGLang of today: null keys left out, ``matched_stop`` at the finish (source)."""

    reasoning_fields = ("reasoning_content",)
    first = _EMPTY_TEXT

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk with ``usage`` last, and null on all but the last."""
        head = self.head(self.exchange.hex(32), kind)
        plain = {} if kind == CHUNK else {"metadata": {"weight_version": "default"}}
        return {**head, "choices": choices, "usage": usage, **plain}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice with what matched its stop."""
        return {
            "index": index,
            slot: said,
            "logprobs": None,
            "finish_reason": finish,
            "matched_stop": 151336 if finish == "stop" else None,
        }

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return id and name once, then nulls in their places."""
        whole = whole_call(self.exchange, call, number)
        head = {**whole["function"], "arguments": ""}
        rest = [{"name": None, "arguments": text} for text in fragments(arguments_text(call))]
        ids = [whole["id"], *(None for _ in rest)]
        return [
            {"id": call_id, "index": number, "type": "function", "function": function}
            for call_id, function in zip(ids, (head, *rest), strict=True)
        ]

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Return null when nothing was thought."""
        return {"reasoning_content": thoughts or None}

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return a message whose calls are null when there are none."""
        empty = {} if calls else {"tool_calls": None}
        return {**super().message(thoughts, text, calls), **empty}

    def usage(self, counts: Counts) -> Frame:
        """Return SGLang's usage."""
        return {**_server_usage(counts), "reasoning_tokens": counts.reasoning}


class SglangNulls(Sglang):
    """SGLang 0.5.9: null keys are sent, and the reasoning count stays 0 (a bug of its own)."""

    _EMPTY: ClassVar[Frame] = {
        "role": None,
        "content": None,
        "reasoning_content": None,
        "tool_calls": None,
    }

    def one(self, index: int, delta: Frame, finish: str | None = None) -> list[Frame]:
        """Return a chunk whose delta holds every key."""
        return super().one(index, {**self._EMPTY, **delta}, finish)

    def usage(self, counts: Counts) -> Frame:
        """Return a usage that does not know of reasoning."""
        return {**super().usage(counts), "reasoning_tokens": 0}


class _NewApi(Producer):
    """The form of new-api where it converts another protocol to Chat Completions (source)."""

    reasoning_fields = ("reasoning_content",)
    first: ClassVar[Frame | None] = {"content": "", "role": "assistant"}

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        head = self.head(f"chatcmpl-{self.exchange.hex(32)}", kind)
        fingerprint = {"system_fingerprint": None} if kind == CHUNK else {}
        return {**head, **fingerprint, "choices": choices, "usage": usage}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        if slot == "message":
            return {"index": index, slot: said, "finish_reason": finish}
        return {slot: said, "logprobs": None, "finish_reason": finish, "index": index}

    def usage(self, counts: Counts) -> Frame:
        return {
            **counts.totals(),
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
        """Return what is left of the signature."""
        self._blocks = 1
        return self.thought(index, "\n")

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Return a piece of answer, a block of its own in Claude's count."""
        self._blocks = 2 if self.exchange.thinks else 1
        return super().text(index, text, finish)

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the pieces under Claude's block number, each with its type."""
        pieces = super().call_pieces(number, call)
        return [
            {**piece, "index": number + max(self._blocks, 1), "type": "function"}
            for piece in pieces
        ]

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return a message that is never empty: new-api writes three dots."""
        message = super().message(thoughts, text, calls)
        return {**message, "content": message["content"] or "..."}

    def usage(self, counts: Counts) -> Frame:
        """Return Claude's counters, in which reasoning is not told apart."""
        merged = attrs.evolve(counts, answer=counts.completion, reasoning=0)
        caches = {"claude_cache_creation_5_m_tokens": 0, "claude_cache_creation_1_h_tokens": 0}
        return {**super().usage(merged), **caches}


class GeminiBridge(_NewApi):
    """new-api before a Gemini model: a call's name first, then all its arguments."""

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return two pieces, the second without id and type."""
        head, *_ = super().call_pieces(number, call)
        function = {"name": "", "arguments": arguments_text(call)}
        return [head, {"index": number, "id": "", "type": None, "function": function}]


class OpenRouter(Producer):
    """OpenRouter: reasoning twice in every delta, a usage chunk with a dummy choice (recorded)."""

    reasoning_fields = ("reasoning",)
    first = None  # the role rides on every chunk

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk that names the provider."""
        frame = {
            "id": f"gen-{self.exchange.created}-{self.exchange.hex(20)}",
            "provider": "Chutes",
            "model": self.exchange.model,
            "object": kind,
            "created": self.exchange.created,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice with the provider's own finish reason beside it."""
        return {
            "index": index,
            slot: said,
            "finish_reason": finish,
            "native_finish_reason": finish,
            "logprobs": None,
        }

    @staticmethod
    def _details(text: str) -> list[Frame]:
        return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]

    def thought_delta(self, text: str) -> Frame:
        """Return the thought as a field and as a detail."""
        details = {"reasoning": text, "reasoning_details": self._details(text)}
        return {"role": "assistant", "content": "", **details}

    def text_delta(self, text: str) -> Frame:
        """Return the answer beside empty reasoning."""
        empty: Frame = {"reasoning": None, "reasoning_details": []}
        return {"role": "assistant", "content": text, **empty}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the whole call under a null index."""
        return [{"index": None, **whole_call(self.exchange, call, number)}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Return the finish with an empty text."""
        return self.one(index, self.text_delta(""), reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Return the usage beside a choice that says nothing."""
        return [self.frame([self.choice(0, self.text_delta(""), None)], usage)]

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Return the thoughts as a field and as one detail."""
        if not thoughts:
            return {"refusal": None, "reasoning": None}
        details = {"reasoning": thoughts, "reasoning_details": self._details(thoughts)}
        return {"refusal": None, **details}

    def usage(self, counts: Counts) -> Frame:
        """Return a usage with its price."""
        return {
            **counts.totals(),
            "cost": 0.0006,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }


class InlineThink(Producer):
    """new-api told to put the thinking into the content: each tag a chunk of its own (source)."""

    opener: ClassVar[tuple[str, ...]] = ("<think>\n",)
    closer: ClassVar[tuple[str, ...]] = ("\n</think>\n",)

    def thought_delta(self, text: str) -> Frame:
        """Return a thought as content."""
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
        """Return a thought, marked as one."""
        return {"content": text, "extra_content": {"google": {"thought": True}}}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the whole call with its signature."""
        signature = {"google": {"thought_signature": self.exchange.hex(40)}}
        return [{"extra_content": signature, **whole_call(self.exchange, call, number)}]
