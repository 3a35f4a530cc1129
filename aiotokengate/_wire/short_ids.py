"""Ids of calls as some models take them: nine letters or digits, and nothing else.

Some deployments of Mistral's refuse a history with any other (``profiles/mistral`` of PyPI's
pydantic-ai-slim 2.68.0), so the ids of other vendors, and ours, are mapped.  The same id is
mapped alike in every request, and a call and its result agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from aiotokengate.types import Json

__all__ = ["with_short_ids"]

_LENGTH: Final = 9
_SHORT: Final = re.compile(rf"[A-Za-z0-9]{{{_LENGTH}}}")


def with_short_ids(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the messages with short ids, the same for a call and its result."""
    return [_renamed(message) for message in messages]


def _renamed(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(answered := message.get("tool_call_id"), str):
        return {**message, "tool_call_id": _short(answered)}
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple) or not calls:
        return message
    return {**message, "tool_calls": [_renamed_call(call) for call in calls]}


def _renamed_call(call: Json) -> Json:
    if isinstance(call, Mapping) and isinstance(own := call.get("id"), str):
        return {**call, "id": _short(own)}
    return call


def _short(call_id: str) -> str:
    if _SHORT.fullmatch(call_id):
        return call_id
    return sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]
