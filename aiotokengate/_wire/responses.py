"""OpenAI's Responses: the request; see :mod:`.responses_reply` for what comes back.

Strategy.  The items of a reply go back in the next turn as they were, because a stateless
conversation needs the encrypted reasoning of its tool calls.

Source: platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.parameters import (
    Body,
    ParameterTable,
    check_one_choice,
    most_tokens,
    put_within,
    with_extras,
)
from aiotokengate._wire.parts import is_system, parts_in
from aiotokengate._wire.question import Encoded, Question, joined_text, merged, native_content
from aiotokengate._wire.results import calls_by_id, result_item
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = ["encode_responses"]

PROTOCOL: Final = "responses"
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"


def encode_responses(question: Question) -> Encoded:
    """Return the request of a question for ``/responses``.

    Nothing is stored at the vendor, unless ``store`` says so: the items of each turn go back
    whole.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    check_one_choice(given, "OpenAI's Responses")
    instructions, items = _input(question.messages)
    body: Body = {"model": question.model, "input": items}
    if instructions:
        body["instructions"] = instructions
    body |= {"store": False, "include": [_ENCRYPTED]}
    if question.stream:
        # Random padding would make every chunk another one.
        body |= {"stream": True, "stream_options": {"include_obfuscation": False}}
    if (most := most_tokens(given)) is not None:
        body["max_output_tokens"] = most
    notes = _PARAMETERS.put(body, given)
    thinking = ask_to_think(question, PROTOCOL, most)
    body = with_extras(merged(body, thinking.fields), question)
    return Encoded("/responses", dumps(body), notes=(*notes, *thinking.notes))


def _put_tools(body: Body, tools: Json) -> None:
    body["tools"] = [*body.get("tools", ()), *map(_flat, tools)]


def _flat(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    return {"type": "function", "strict": False, **function}


def _put_choice(body: Body, choice: Json) -> None:
    named = isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping)
    body["tool_choice"] = {"type": "function", **choice["function"]} if named else choice


def _put_format(body: Body, wanted: Json) -> None:
    flat = {"type": wanted.get("type"), **(wanted.get("json_schema") or {})}
    put_within(body, "text", format=flat)


def _put_verbosity(body: Body, verbosity: Json) -> None:
    put_within(body, "text", verbosity=verbosity)


def _put_effort(body: Body, effort: Json) -> None:
    put_within(body, "reasoning", effort=effort)


def _put_logprobs(body: Body, wanted: Json) -> None:
    if wanted:
        body["include"] = [*body["include"], _LOGPROBS]


def _put_search(body: Body, options: Json) -> None:
    body["tools"] = [*body.get("tools", ()), {"type": "web_search", **options}]


_SAME: Final = (
    *("temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier"),
    *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs"),
    *("store", "reasoning"),
)
_PARAMETERS: Final = ParameterTable(
    names={name: name for name in _SAME},
    puts={
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "response_format": _put_format,
        "verbosity": _put_verbosity,
        "reasoning_effort": _put_effort,
        "logprobs": _put_logprobs,
        "web_search_options": _put_search,
    },
    silent=("stream_options", "max_tokens", "max_completion_tokens", "n"),
)


def _input(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """Return the instructions at the beginning, and the items of all that follows."""
    instructions: list[str] = []
    items: list[Any] = []
    calls: dict[str, Mapping[str, Any]] = {}
    for place, message in enumerate(messages):
        if is_system(message) and not items:
            instructions.append(joined_text(message.get("content")))
        else:
            added = list(_items(message, f"messages[{place}]", calls))
            calls.update(calls_by_id(added))
            items += added
    return "\n\n".join(instructions), items


def _items(
    message: Mapping[str, Any], where: str, calls: Mapping[str, Mapping[str, Any]]
) -> Iterator[Any]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        call_id = message.get("tool_call_id")
        inputs = list(_parts(content, where, "input_text"))
        yield result_item(call_id, content, calls.get(str(call_id), {}), inputs)
        return
    native = native_content(message, PROTOCOL)
    if native is not None:
        yield from native
        return
    parts = list(_parts(content, where, "output_text" if role == "assistant" else "input_text"))
    if parts:
        yield {"role": "developer" if is_system(message) else role, "content": parts}
    yield from map(_call, message.get("tool_calls") or ())


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(custom := call.get("custom"), Mapping):
        named = {"name": custom.get("name"), "input": custom.get("input") or ""}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **named}
    function = call.get("function", {})
    named = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"type": "function_call", "call_id": call.get("id"), **named}


def _parts(content: object, where: str, text_type: str) -> Iterator[Mapping[str, Any]]:
    for part, at in parts_in(content, where):
        yield _part(part, at, text_type)


def _part(part: Mapping[str, Any], where: str, text_type: str) -> Mapping[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": text_type, "text": part.get("text", "")}
    if kind == "image_url":
        inner = part.get("image_url")
        fields = inner if isinstance(inner, Mapping) else {"url": inner}
        detail = {"detail": fields["detail"]} if "detail" in fields else {}
        return {"type": "input_image", "image_url": fields.get("url"), **detail}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    if kind == "video_url":
        message = f"expected {where} as text, image_url, input_audio or file, got {kind!r}"
        raise CallerError(message)
    return part
