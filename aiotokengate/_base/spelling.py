"""What somebody meant who gave a name that does not exist: only read once there is such a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

__all__ = ["AS_IT_IS", "meant", "nearest", "unknown"]

AS_IT_IS: Final = "pass it in extra_body={...} to send it as it is"

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_ELSEWHERE: Final[Mapping[str, Collection[str]]] = {
    "api_base": ("base_url",),
    "cfg_scale": ("guidance_scale",),
    "count": ("n",),
    "custom_headers": ("extra_headers",),
    "default_headers": ("extra_headers",),
    "dim": ("dimensions",),
    "duration": ("seconds",),
    "effort": ("reasoning", "reasoning_effort"),
    "embedding_size": ("dimensions",),
    "end_user": ("user", "fair_key"),
    "extra_params": ("extra_body",),
    "extra_query": (),
    "format": ("response_format",),
    "headers": ("extra_headers",),
    "input_image": ("image",),
    "instructions": ("system", "instructions"),
    "lang": ("language",),
    "key": ("api_key", "idempotency_key"),
    "limit": ("limits", "pool"),
    "limits": ("limits", "pool"),
    "max_concurrency": ("concurrency",),
    "max_length": ("max_tokens",),
    "max_new_tokens": ("max_tokens",),
    "max_output_tokens": ("max_tokens",),
    "max_retries": ("retry", "attempts"),
    "model_kwargs": ("extra_body",),
    "n_results": ("n",),
    "num_images": ("n",),
    "num_predict": ("max_tokens",),
    "num_results": ("n",),
    "num_retries": ("retry", "attempts"),
    "num_return_sequences": ("n",),
    "output_dimension": ("dimensions",),
    "output_dimensionality": ("dimensions",),
    "output_type": ("response_type",),
    "request_timeout": ("timeout",),
    "resolution": ("size",),
    "read_timeout": ("stall",),
    "response_model": ("response_type",),
    "response_schema": ("response_type", "response_format"),
    "retries": ("retry", "attempts"),
    "rpm": ("requests_per_minute",),
    "speaker": ("voice",),
    "steps": ("num_inference_steps",),
    "stop_sequence": ("stop",),
    "stop_sequences": ("stop",),
    "style": ("tags",),
    "system_message": ("system",),
    "system_prompt": ("system",),
    "temp": ("temperature",),
    "text_format": ("response_type",),
    "thinking_budget": ("reasoning",),
    "timestamp_granularities": ("timestamps",),
    "token": ("api_key", "tokens"),
    "tpm": ("tokens_per_minute",),
    "url": ("base_url",),
    "user_id": ("user", "fair_key"),
}
"""What other clients and vendors call it; the first of ours that there is."""

_SETTINGS: Final = frozenset(
    (
        *("api_key", "base_url", "catalogue", "clock", "endpoints", "hooks", "max_reply_bytes"),
        *("paths", "pool", "proxy", "ssl"),
    )
)
"""Settings of the session, which no call has."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return which of the known names was meant, or None."""
    names = sorted(known)
    plain = _HUMP.sub("_", name).lower().replace("-", "_").strip("_")
    if plain in names:
        return plain
    if (ours := _ELSEWHERE.get(plain)) is not None:
        return next((one for one in ours if one in names), None)
    return next(iter(get_close_matches(plain, names, n=1)), None)


def meant(name: str, known: Iterable[str]) -> str:
    """Return a question that asks for the known name that was meant, "" without one."""
    near = nearest(name, known)
    return f", did you mean {near!r}?" if near else ""


def unknown(name: str, known: Iterable[str], way: str = AS_IT_IS) -> str:
    """Say what is wrong with a name that does not exist.

    Args:
        name: as it was given.
        known: all that could have been meant.
        way: what to do if it was no mistake.
    """
    if name in _SETTINGS:
        return f"unknown parameter {name!r} (it is a setting of TokenGate(...))"
    return f"unknown parameter {name!r}{meant(name, known)} ({way})"
