"""What somebody meant who gave a name that does not exist: only read once there is such a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Final

__all__ = ["AS_IT_IS", "meant", "nearest", "unknown"]

AS_IT_IS: Final = "pass it in extra_body={...} to send it as it is"

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_ROWS: Final = (
    ("", "extra_query"),
    ("api_key idempotency_key", "key"),
    ("api_key tokens", "token"),
    ("base_url", "api_base url"),
    ("concurrency", "max_concurrency"),
    ("dimensions", "dim embedding_size output_dimension output_dimensionality"),
    ("extra_body", "extra_params model_kwargs"),
    ("extra_headers", "custom_headers default_headers headers"),
    ("guidance_scale", "cfg_scale"),
    ("image", "input_image"),
    ("language", "lang"),
    ("limits pool", "limit limits"),
    ("max_tokens", "max_length max_new_tokens max_output_tokens num_predict"),
    ("n", "count n_results num_images num_results num_return_sequences"),
    ("num_inference_steps", "steps"),
    ("reasoning", "thinking_budget"),
    ("reasoning reasoning_effort", "effort"),
    ("requests_per_minute", "rpm"),
    ("response_format", "format"),
    ("response_type", "output_type response_model text_format"),
    ("response_type response_format", "response_schema"),
    ("retry attempts", "max_retries num_retries retries"),
    ("seconds", "duration"),
    ("size", "resolution"),
    ("stall", "read_timeout"),
    ("stop", "stop_sequence stop_sequences"),
    ("system", "system_message system_prompt"),
    ("system instructions", "instructions"),
    ("tags", "style"),
    ("temperature", "temp"),
    ("timeout", "request_timeout"),
    ("timestamps", "timestamp_granularities"),
    ("tokens_per_minute", "tpm"),
    ("user fair_key", "end_user user_id"),
    ("voice", "speaker"),
)
_ELSEWHERE: Final[Mapping[str, Collection[str]]] = {
    name: ours.split() for ours, names in _ROWS for name in names.split()
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
