"""Token counts: what vendors call them, and an estimate where none came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiotokengate.types import Usage

__all__ = ["estimated_usage", "has_counts", "usage_of"]

BYTES_PER_TOKEN = 4
"""UTF-8 bytes a token: about 4 letters of English, 1.3 Chinese characters."""


def has_counts(raw: Mapping[str, Any]) -> bool:
    """Say whether any token count is above 0: some vendors send placeholders first."""
    return bool(_first(raw, _TOTAL) or _first(raw, _COMPLETION) or _first(raw, _PROMPT))


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in any vendor's words.

    xAI counts reasoning beside the completion (288 + 27 + 313 = 628), everybody else inside it.
    """
    prompt, completion = _first(raw, _PROMPT), _first(raw, _COMPLETION)
    total = _first(raw, _TOTAL)
    reasoning = _detail(raw, _OUTPUT_DETAILS, _REASONING) or _first(raw, _REASONING)
    cached = _detail(raw, _INPUT_DETAILS, _CACHED_INSIDE) or _first(raw, _CACHED)
    if reasoning and prompt + completion != total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(prompt, completion, reasoning, cached, total or prompt + completion, extra=raw)


def estimated_usage(prompt_bytes: int, answer: str, reasoning: str) -> Usage:
    """Estimate from sizes, for a reply that ended before its usage came."""
    prompt = -(-prompt_bytes // BYTES_PER_TOKEN)
    thought = _estimate(reasoning)
    completion = thought + _estimate(answer)
    return Usage(prompt, completion, thought, 0, prompt + completion, estimated=True)


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
_TOTAL = ("total_tokens",)
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_REASONING = ("reasoning_tokens",)  # inside the details; SGLang beside them
_CACHED_INSIDE = ("cached_tokens",)
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens")  # DeepSeek, Anthropic


def _detail(raw: Mapping[str, Any], groups: tuple[str, ...], keys: tuple[str, ...]) -> int:
    for group in groups:
        details = raw.get(group)
        if details and isinstance(details, dict) and (count := _first(details, keys)):
            return count
    return 0


def _first(raw: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    """Give the first count above 0; missing, null or not a number are 0."""
    for key in keys:
        value = raw.get(key)
        if type(value) is int and value > 0:
            return value
        if type(value) is float and 1 <= value < float("inf"):
            return int(value)
    return 0
