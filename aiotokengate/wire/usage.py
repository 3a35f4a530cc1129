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
    return bool(_count(raw, "total_tokens") or _completion(raw) or _prompt(raw))


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in any vendor's words.

    xAI counts reasoning beside the completion (288 + 27 + 313 = 628), everybody else inside it.
    """
    prompt, completion = _prompt(raw), _completion(raw)
    total = _count(raw, "total_tokens")
    reasoning = _detail(raw, _OUTPUT_DETAILS, "reasoning_tokens") or _any(raw, _REASONING)
    cached = _detail(raw, _INPUT_DETAILS, "cached_tokens") or _any(raw, _CACHED)
    if reasoning and prompt + completion != total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
        cached_tokens=cached,
        total_tokens=total or prompt + completion,
        extra=raw,
    )


def estimated_usage(prompt_bytes: int, answer: str, reasoning: str) -> Usage:
    """Estimate from sizes, for a reply that ended before its usage came."""
    prompt = -(-prompt_bytes // BYTES_PER_TOKEN)
    thought = _estimate(reasoning)
    completion = thought + _estimate(answer)
    return Usage(prompt, completion, thought, 0, prompt + completion, estimated=True)


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _prompt(raw: Mapping[str, Any]) -> int:
    return _count(raw, "prompt_tokens") or _count(raw, "input_tokens")


def _completion(raw: Mapping[str, Any]) -> int:
    return _count(raw, "completion_tokens") or _count(raw, "output_tokens")


_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_REASONING = ("reasoning_tokens",)  # SGLang
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens")  # DeepSeek, Anthropic


def _detail(raw: Mapping[str, Any], groups: tuple[str, ...], key: str) -> int:
    for group in groups:
        details = raw.get(group)
        if details and isinstance(details, dict) and (count := _count(details, key)):
            return count
    return 0


def _any(raw: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    for key in keys:
        if key in raw and (count := _count(raw, key)):
            return count
    return 0


def _count(raw: Mapping[str, Any], key: str) -> int:
    """Give a count, 0 where it is missing, null, or not a number."""
    value = raw.get(key)
    if type(value) is int:
        return max(0, value)
    return int(value) if type(value) is float and 0 < value < float("inf") else 0
