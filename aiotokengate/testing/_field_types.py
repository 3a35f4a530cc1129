"""Whether the fields of a request that the fake gateway reads are of the kinds they must be.

A table for each protocol says where something must be an object, a list or a text; what is of
another kind is refused with its place, as every vendor does, and nobody has to look again.  In a
path ``*`` stands for each element of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from aiotokengate.testing._chat_request import Refusal
from aiotokengate.types import Json

__all__ = ["CHAT_TYPES", "GEMINI_TYPES", "MESSAGES_TYPES", "RESPONSES_TYPES", "check_types"]

Kinds: TypeAlias = type | tuple[type, ...]
Getter: TypeAlias = Callable[[Mapping[str, Json], str], Json]

CHAT_TYPES: Mapping[str, Kinds] = {"response_format": dict, "response_format.json_schema": dict}
RESPONSES_TYPES: Mapping[str, Kinds] = {
    "input": (str, list),
    "input.*": dict,
    "input.*.id": str,
    "input.*.call_id": str,
    "include": list,
    "reasoning": dict,
    "stream_options": dict,
    "text": dict,
    "text.format": dict,
    "tools": list,
    "tools.*": dict,
}
MESSAGES_TYPES: Mapping[str, Kinds] = {
    "messages": list,
    "messages.*": dict,
    "messages.*.content": (str, list),
    "messages.*.content.*": dict,
    "messages.*.content.*.id": str,
    "messages.*.content.*.tool_use_id": str,
    "output_config": dict,
    "output_config.format": dict,
    "output_format": dict,
    "thinking": dict,
    "thinking.budget_tokens": int,
    "thread": dict,
    "tool_choice": dict,
    "tool_choice.type": str,
    "tools": list,
    "tools.*": dict,
}
GEMINI_TYPES: Mapping[str, Kinds] = {
    "contents": list,
    "contents.*": dict,
    "contents.*.parts": list,
    "contents.*.parts.*": dict,
    "contents.*.parts.*.functionCall": dict,
    "contents.*.parts.*.functionCall.id": str,
    "contents.*.parts.*.functionResponse": dict,
    "contents.*.parts.*.functionResponse.id": str,
    "generationConfig": dict,
    "generationConfig.thinkingConfig": dict,
    "systemInstruction": dict,
    "systemInstruction.parts": list,
    "toolConfig": dict,
    "toolConfig.functionCallingConfig": dict,
    "toolConfig.functionCallingConfig.mode": str,
    "toolConfig.functionCallingConfig.allowedFunctionNames": list,
    "tools": list,
    "tools.*": dict,
    "tools.*.functionDeclarations": list,
    "tools.*.functionDeclarations.*": dict,
}

_NAMES: Mapping[type, str] = {dict: "an object", list: "a list", str: "a text", int: "an integer"}


def _by_name(value: Mapping[str, Json], name: str) -> Json:
    return value.get(name)


def check_types(
    body: Mapping[str, Json], shape: Mapping[str, Kinds], get: Getter = _by_name
) -> None:
    """Look at the kinds of a request's fields; what is not there, or null, is right.

    Args:
        body: the request.
        shape: one of the tables above.
        get: how to find a field in an object.

    Raises:
        Refusal: 400, naming the first field of another kind.
    """
    for path, kinds in shape.items():
        for place, value in _found(body, path.split("."), get):
            if not isinstance(value, kinds):
                wanted = kinds if isinstance(kinds, tuple) else (kinds,)
                names = " or ".join(_NAMES[kind] for kind in wanted)
                message = f"{place}: expected {names}, got {type(value).__name__}"
                kind = "invalid_request_error"
                raise Refusal(400, message, vendor=True, type=kind, param=place, code=None)


def _found(value: Json, path: list[str], get: Getter, place: str = "") -> Iterator[Json]:
    """Return what stands at a path, with its place."""
    if not path:
        yield place, value
        return
    key, *rest = path
    if key != "*":
        below = get(value, key) if isinstance(value, dict) else None
        if below is not None:
            yield from _found(below, rest, get, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _found(each, rest, get, f"{place}.{number}")
