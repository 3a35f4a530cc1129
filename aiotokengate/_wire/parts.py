"""Messages in the form of Chat Completions, taken apart for the protocols that have another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = [
    "add_turn",
    "call_arguments",
    "data_uri",
    "is_system",
    "last_user_turn",
    "parts_in",
    "tool_calls_in",
]


def is_system(message: Mapping[str, Any]) -> bool:
    """Return whether a message is the system's, under either of its names."""
    return message.get("role") in ("system", "developer")


def last_user_turn(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the place of the user's last message, -1 where there is none."""
    places = (place for place, message in enumerate(messages) if message.get("role") == "user")
    return max(places, default=-1)


def tool_calls_in(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tool calls of a message, without what is no call."""
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list | tuple) else ()
    return [call for call in listed if isinstance(call, Mapping)]


def parts_in(content: object, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the parts of a message's content and where each stands; a text becomes a part.

    Raises:
        CallerError: a part is neither a text nor an object.
    """
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}, where
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        at = f"{where}.content[{place}]"
        if isinstance(part, str):
            yield {"type": "text", "text": part}, at
        elif isinstance(part, Mapping):
            yield part, at
        else:
            message = f"expected {at} as a content part, got {type(part).__name__}"
            raise CallerError(message)


def data_uri(url: str) -> tuple[str, str] | None:
    """Return the type and the payload of a ``data:`` address, None for any other address."""
    head, comma, payload = url.partition(",")
    if not comma or not head.startswith("data:"):
        return None
    return head.removeprefix("data:").partition(";")[0], payload


def call_arguments(call: Mapping[str, Any], where: str) -> Json:
    """Return the parsed arguments of a function's call; none at all are an empty object.

    Raises:
        CallerError: they are not JSON.
    """
    try:
        return orjson.loads(call.get("function", {}).get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        message = f"expected JSON as arguments of a tool call in {where}, got {error.msg}"
        raise CallerError(message) from None


def add_turn(turns: list[dict[str, Any]], role: str, parts_key: str, parts: list[Any]) -> None:
    """Add parts to the turns: to the last one if it is of that role, else as a new one."""
    if turns and turns[-1]["role"] == role:
        turns[-1][parts_key] += parts
    elif parts:
        turns.append({"role": role, parts_key: parts})
