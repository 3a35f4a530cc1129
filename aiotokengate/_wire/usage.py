"""Token counts: what vendors call them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from aiotokengate.types import Usage

__all__ = ["has_counts", "merged_counts", "usage_of"]

MOST: Final = 2**53
"""A count above this is none: floats could not hold it."""

MAX_DEPTH: Final = 8
"""How deep counts are merged; details stand 1 or 2 deep."""


MOST_KEYS: Final = 64
"""How many counts are kept, of a usage and of each of its details: vendors have some twenty."""


def has_counts(raw: Mapping[str, Any]) -> bool:
    """Return whether any token count is above 0: some vendors send placeholders first."""
    return _first(raw, _COUNTS) > 0


def merged_counts(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a usage with what a later one says: a zero never replaces a count.

    Counts are running totals, and the later one stands; what is 0, empty, absent or no number
    there is a placeholder, and leaves what was counted before.  Details are merged alike.
    """
    return _merged(old, new, MAX_DEPTH) if old else _first_keys(new)


def _first_keys(counts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return as many counts as a usage may have; those that are known are among them."""
    if len(counts) <= MOST_KEYS:
        return counts
    known = {key: counts[key] for key in _KNOWN if key in counts}
    return {**dict(islice(counts.items(), MOST_KEYS - len(known))), **known}


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], depth: int) -> dict[str, Any]:
    whole = dict(_first_keys(old))
    for key, value in new.items():
        was = whole.get(key)
        if was is None and len(whole) >= MOST_KEYS and key not in _KNOWN:
            continue
        if depth and isinstance(was, Mapping) and isinstance(value, Mapping):
            whole[key] = _merged(was, value, depth - 1)
        elif not was or _replaces(value, was):
            whole[key] = value
    return whole


def _replaces(value: object, was: object) -> bool:
    """Return whether a value says more than one that is not empty."""
    if not value or _is_positive(value):
        return bool(value)
    return isinstance(value, Mapping) if isinstance(was, Mapping) else not _is_positive(was)


def _is_positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value <= MOST


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """Read a usage object in any vendor's words (SGLang has the reasoning beside the details).

    xAI counts reasoning beside the completion (288 + 27 + 313 = 628), everybody else inside it.
    """
    get = raw.get
    prompt, completion = _first(raw, _PROMPT), _first(raw, _COMPLETION)
    total = _count(get("total_tokens"))
    written = get("completion_tokens_details") or get("output_tokens_details")
    read = get("prompt_tokens_details") or get("input_tokens_details")
    reasoning = (
        _inside(written, "reasoning_tokens")
        or _count(get("reasoning_tokens"))
        or _inside(written, "thinking_tokens")  # Anthropic
    )
    cached = _inside(read, "cached_tokens") or _first(raw, _CACHED)
    if total == prompt + completion + reasoning:
        completion += reasoning
    return Usage(prompt, completion, reasoning, cached, total or prompt + completion, extra=raw)


_PROMPT = ("prompt_tokens", "input_tokens")
_COMPLETION = ("completion_tokens", "output_tokens")
_COUNTS = ("total_tokens", *_COMPLETION, *_PROMPT)
# DeepSeek, Anthropic, Moonshot
_CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens")
_KNOWN = frozenset(
    (
        *(*_COUNTS, *_CACHED, "cache_creation_input_tokens", "reasoning_tokens"),
        *("completion_tokens_details", "output_tokens_details", "thinking_tokens"),
        *("prompt_tokens_details", "input_tokens_details", "totalTokenCount"),
        *("thoughtsTokenCount", "promptTokenCount", "toolUsePromptTokenCount"),
        *("candidatesTokenCount", "cachedContentTokenCount"),
    )
)
"""What is read of a usage in any protocol."""


def _inside(details: object, key: str) -> int:
    """Return a count out of the details."""
    return _count(details.get(key)) if isinstance(details, dict) else 0


def _first(raw: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    """Return the first count above 0."""
    for key in keys:
        if count := _count(raw.get(key)):
            return count
    return 0


def _count(value: object) -> int:
    """Return a count; what is missing, null, negative, endless or not a number is 0."""
    if type(value) is int:
        return value if 0 < value <= MOST else 0
    if type(value) is float and 1 <= value <= MOST:
        return int(value)
    return 0
