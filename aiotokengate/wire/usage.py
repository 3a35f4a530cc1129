"""Token counts: what vendors call them, and an estimate where none came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiotokengate.types import Usage

__all__ = ["estimated_usage", "has_counts", "usage_of"]

BYTES_PER_TOKEN = 4
"""UTF-8 bytes a token: about 4 letters of English, 1.3 Chinese characters."""

_Path = tuple[str, ...]
_PROMPT: tuple[_Path, ...] = (("prompt_tokens",), ("input_tokens",))
_COMPLETION: tuple[_Path, ...] = (("completion_tokens",), ("output_tokens",))
_REASONING: tuple[_Path, ...] = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("reasoning_tokens",),  # SGLang
)
_CACHED: tuple[_Path, ...] = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cache_read_input_tokens",),  # Anthropic
)


def has_counts(raw: Mapping[str, Any]) -> bool:
    """Say whether any token count is above 0: some vendors send placeholders first."""
    return any(_first(raw, paths) for paths in (_PROMPT, _COMPLETION, (("total_tokens",),)))


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in any vendor's words.

    xAI counts reasoning beside the completion (288 + 27 + 313 = 628), everybody else inside it.
    """
    prompt, completion = _first(raw, _PROMPT), _first(raw, _COMPLETION)
    reasoning = _first(raw, _REASONING)
    total = _first(raw, (("total_tokens",),))
    if reasoning and prompt + completion != total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=reasoning,
        cached_tokens=_first(raw, _CACHED),
        total_tokens=total or prompt + completion,
        extra=dict(raw),
    )


def estimated_usage(prompt_bytes: int, answer: str, reasoning: str) -> Usage:
    """Estimate from sizes, for a reply that ended before its usage came."""
    prompt = -(-prompt_bytes // BYTES_PER_TOKEN)
    thought = _estimate(reasoning)
    completion = thought + _estimate(answer)
    return Usage(prompt, completion, thought, 0, prompt + completion, estimated=True)


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _first(raw: Mapping[str, Any], paths: tuple[_Path, ...]) -> int:
    """Give the first count above 0 among the places where it may stand."""
    return next((count for count in _counts(raw, paths) if count > 0), 0)


def _counts(raw: Mapping[str, Any], paths: tuple[_Path, ...]) -> Iterator[int]:
    for path in paths:
        value: Any = raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield int(value)
