"""The forms of the vendors' own clouds: Qwen, DeepSeek, GLM, Grok, MiniMax.

Each class says only where it differs from the base class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from aiotokengate.testing._dialects import (
    CHUNK,
    Counts,
    Exchange,
    Frame,
    Json,
    Producer,
    Slot,
    whole_call,
)
from aiotokengate.testing._script import Call

__all__ = ["DeepSeek", "Glm", "Grok", "GrokShown", "MiniMaxCloud", "MiniMaxSplit", "Qwen"]


def _usage_with_details(counts: Counts) -> Frame:
    return {
        **counts.totals(),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


class _FinishWithUsage(Producer):
    """The vendors whose last chunk holds both the finish reason and the usage."""

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._last: list[Frame] = []

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Keep the finish of each choice for the chunk that also holds the usage."""
        self._last.append(self.choice(index, self.text_delta(""), reason))
        return []

    def closing(self, usage: Json) -> list[Frame]:
        """Return the finish chunks, the last of them with the usage."""
        *others, last = self._last
        return [*(self.frame([other]) for other in others), self.frame([last], usage)]


class _BothKeys(Producer):
    """The vendors whose deltas always hold both keys, the idle one null, while they think."""

    reasoning_fields = ("reasoning_content",)

    def thought_delta(self, text: str) -> Frame:
        return {"content": None, "reasoning_content": text}

    def text_delta(self, text: str) -> Frame:
        idle = {"reasoning_content": None} if self.exchange.thinks else {}
        return {"content": text, **idle}


class DeepSeek(_BothKeys, _FinishWithUsage):
    """DeepSeek's cloud: the last chunk holds finish reason and usage (recorded)."""

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk, with ``usage`` last."""
        head = self.head(self.exchange.uuid(), kind)
        fingerprint = {"system_fingerprint": f"fp_{self.exchange.hex(10)}"}
        return {**head, **fingerprint, "choices": choices, "usage": usage}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice with its null ``logprobs``."""
        return {"index": index, slot: said, "logprobs": None, "finish_reason": finish}

    def opening(self, index: int) -> list[Frame]:
        """Return the role, with the idle key null."""
        thinking = {"content": None, "reasoning_content": ""}
        idle = thinking if self.exchange.thinks else {"content": ""}
        return self.one(index, {"role": "assistant", **idle})

    def usage(self, counts: Counts) -> Frame:
        """Return DeepSeek's usage, with its cache counters."""
        return {
            **_usage_with_details(counts),
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

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk in DashScope's order: choices first, id last."""
        return {
            "choices": choices,
            "object": kind,
            "usage": usage,
            "created": self.exchange.created,
            "system_fingerprint": None,
            "model": self.exchange.model,
            "id": f"chatcmpl-{self.exchange.uuid()}",
        }

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice whose keys stand in the order of its kind."""
        values = {"*": said, "index": index, "logprobs": None, "finish_reason": finish}
        order = self._ORDERS[self._kind(said, finish, slot)]
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
        """Return the role between the two texts."""
        if not self.exchange.thinks:
            return self.one(index, {"content": "", "role": "assistant"})
        return self.one(index, {"content": None, "role": "assistant", "reasoning_content": ""})

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the id once, then empty ids, and an empty function at the end (captured)."""
        head, *rest = super().call_pieces(number, call)
        later = [{**piece, "id": "", "type": "function"} for piece in rest]
        return [head, *later, {"index": number, "id": "", "type": "function", "function": {}}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Return the finish with an empty text."""
        return self.one(index, self.text_delta(""), reason)

    def usage(self, counts: Counts) -> Frame:
        """Return DashScope's usage, whose prompt details are empty."""
        thought = {"reasoning_tokens": counts.reasoning} if counts.reasoning else {}
        return {
            **counts.totals(),
            "completion_tokens_details": thought,
            "prompt_tokens_details": {},
        }


class Glm(_FinishWithUsage):
    """GLM 4.7 and 5: the role on every chunk, no null keys, usage on the finish (recorded)."""

    reasoning_fields = ("reasoning_content",)
    first = None

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk; ``usage`` is there or it is not."""
        frame = {
            "id": f"20260525{self.exchange.hex(24)}",
            "created": self.exchange.created,
            "object": kind,
            "model": self.exchange.model,
            "choices": choices,
        }
        return frame if usage is None else {**frame, "usage": usage}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice; ``finish_reason`` is there or it is not."""
        end = {} if finish is None else {"finish_reason": finish}
        return {"index": index, **end, slot: said}

    def thought_delta(self, text: str) -> Frame:
        """Return the role and the reasoning alone."""
        return {"role": "assistant", "reasoning_content": text}

    def text_delta(self, text: str) -> Frame:
        """Return the role and the answer alone."""
        return {"role": "assistant", "content": text}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the whole call in one chunk."""
        whole = whole_call(self.exchange, call, number)
        return [{"id": whole["id"], "index": number, **whole}]

    def usage(self, counts: Counts) -> Frame:
        """Return GLM's usage."""
        return _usage_with_details(counts)


class Grok(Producer):
    """xAI: the role rides on the first delta, and reasoning is beside completion (recorded).

    The grok-4 models think without showing it; grok-code-fast-1 shows it.
    """

    first = None

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._begun: set[int] = set()

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk that ends in the fingerprint."""
        frame = {**self.head(self.exchange.uuid(), kind), "choices": choices}
        counted = {} if usage is None else {"usage": usage}
        return {**frame, **counted, "system_fingerprint": f"fp_{self.exchange.hex(10)}"}

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice; the first delta of each carries the role."""
        if slot == "delta" and index not in self._begun:
            self._begun.add(index)
            said = {**said, "role": "assistant"}
        end = {} if finish is None else {"finish_reason": finish}
        return {"index": index, slot: said, **end}

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the whole call in one chunk."""
        whole = whole_call(self.exchange, call, number)
        return [{"id": whole["id"], "function": whole["function"], "index": number, **whole}]

    def usage(self, counts: Counts) -> Frame:
        """Return xAI's usage: the total is prompt + completion + reasoning."""
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


class MiniMaxCloud(Producer):
    """MiniMax's cloud: inline tags cut anywhere, and the whole message once more at the end."""

    opener: ClassVar[tuple[str, ...]] = ("<th", "ink>\n")
    closer: ClassVar[tuple[str, ...]] = ("\n</thi", "nk>\n\n")
    first = None

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._said: dict[int, str] = {}
        self._calls: dict[int, list[Call]] = {}
        self._reasons: dict[int, str] = {}

    def frame(self, choices: Sequence[Frame], usage: Json = None, kind: str = CHUNK) -> Frame:
        """Return a chunk whose usage is a placeholder until the end."""
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

    def choice(self, index: int, said: Frame, finish: str | None, slot: Slot = "delta") -> Frame:
        """Return a choice with the speaker's name; only its first chunk names a role."""
        role = "assistant" if slot == "message" or index not in self._said else ""
        self._said.setdefault(index, "")
        body = {**said, "role": role, "name": "MiniMax AI", "audio_content": ""}
        end = {} if finish is None else {"finish_reason": finish}
        return {**end, "index": index, slot: body}

    def thought(self, index: int, text: str) -> list[Frame]:
        """Return a thought as text."""
        return self.text(index, text, None)

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Return a piece of text, and remember it for the last frame."""
        frames = super().text(index, text, finish)
        self._said[index] += text
        return frames

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Return a whole call, and remember it for the last frame."""
        self._calls.setdefault(index, []).append(call)
        return super().call(index, number, call)

    def call_pieces(self, number: int, call: Call) -> list[Frame]:
        """Return the whole call in one chunk."""
        return [{**whole_call(self.exchange, call, number), "index": number}]

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Return the finish reason, and remember it for the last frame."""
        self._reasons[index] = reason
        return self.one(index, {"content": ""}, reason)

    def closing(self, usage: Json) -> list[Frame]:
        """Return everything again in one frame, which alone has the true usage (user reports)."""
        messages = []
        for index, why in sorted(self._reasons.items()):
            said, calls = self._said.get(index, ""), self._calls.get(index, ())
            messages.append((Producer.message(self, "", said, calls), why))
        return [self.completion(messages, usage)]

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Return the plain answer, with MiniMax's own status beside it."""
        verdict = {"base_resp": {"status_code": 0, "status_msg": ""}}
        return {**super().completion(messages, usage), **verdict}

    def usage(self, counts: Counts) -> Frame:
        """Return MiniMax's usage."""
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
        """Return a thought as a detail."""
        return self.one(index, {"content": "", **self._details(text)})

    def plain_reasoning(self, thoughts: str) -> Frame:
        """Return all thoughts as one detail."""
        return self._details(thoughts) if thoughts else {}
