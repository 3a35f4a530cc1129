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
    reasoning = (
        _detail(raw, "completion_tokens_details", "reasoning_tokens")
        or _detail(raw, "output_tokens_details", "reasoning_tokens")
        or _count(raw, "reasoning_tokens")  # SGLang
    )
    cached = (
        _detail(raw, "prompt_tokens_details", "cached_tokens")
        or _detail(raw, "input_tokens_details", "cached_tokens")
        or _count(raw, "prompt_cache_hit_tokens")  # DeepSeek
        or _count(raw, "cache_read_input_tokens")  # Anthropic
    )
    total = _count(raw, "total_tokens")
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


def _detail(raw: Mapping[str, Any], group: str, key: str) -> int:
    details = raw.get(group)
    return _count(details, key) if isinstance(details, dict) else 0


def _count(raw: Mapping[str, Any], key: str) -> int:
    """Give a count, 0 where it is missing, null, or not a number."""
    value = raw.get(key)
    if type(value) is int:
        return max(value, 0)
    return int(value) if type(value) is float and 0 < value < float("inf") else 0
