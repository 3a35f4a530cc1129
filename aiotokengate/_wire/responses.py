"""OpenAI's Responses: the request; see :mod:`.responses_reply` for what comes back.

Strategy.  The items of a reply go back in the next turn as they were, because a stateless
conversation needs the encrypted reasoning of its tool calls.

Source: platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.question import (
    Encoded,
    Question,
    joined_text,
    merged,
    native_content,
)
from aiotokengate._wire.results import calls_by_id, result_item
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError

__all__ = ["encode_responses"]

PROTOCOL: Final = "responses"
_ENCRYPTED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"

_SAME: Final = frozenset(
    (
        *("temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs"),
        *("store", "reasoning"),
    )
)
_SILENT: Final = frozenset(("stream_options", "max_tokens", "max_completion_tokens", "n"))


def encode_responses(question: Question) -> Encoded:
    """Give the request of a question for ``/responses``.

    Nothing is stored at the vendor, unless ``store`` says so: the items of each turn go back
    whole.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    if given.get("n", 1) != 1:
        message = f"expected n=1 over OpenAI's Responses, got {given['n']!r}"
        raise CallerError(message)
    instructions, items = _input(question.messages)
    body: dict[str, Any] = {"model": question.model, "input": items}
    if instructions:
        body["instructions"] = instructions
    body |= {"store": False, "include": [_ENCRYPTED]}
    if question.stream:
        # Random padding would make every chunk another one.
        body |= {"stream": True, "stream_options": {"include_obfuscation": False}}
    most = given.get("max_completion_tokens") or given.get("max_tokens")
    if most is not None:
        body["max_output_tokens"] = most
    notes = _put_params(body, given)
    asked = ask_to_think(question, PROTOCOL, most)
    body = merged(body, asked.fields)
    for extra in question.extra_body:
        body = merged(body, extra or {})
    return Encoded("/responses", dumps(body), notes=(*notes, *asked.notes))


def _put_params(body: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """Put what the protocol knows into the body; give notes of what it does not."""
    notes: list[str] = []
    for name, value in given.items():
        if name in _SAME:
            body[name] = value
        elif name in _PARAMS:
            _PARAMS[name](body, value)
        elif name not in _SILENT:
            notes.append(f"parameter {name!r} is not part of this protocol and was left out")
    return notes


def _put_tools(body: dict[str, Any], tools: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [*body.get("tools", ()), *map(_flat, tools)]


def _flat(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    return {"type": "function", "strict": False, **function}


def _put_choice(body: dict[str, Any], choice: Any) -> None:  # noqa: ANN401 - JSON
    named = isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping)
    body["tool_choice"] = {"type": "function", **choice["function"]} if named else choice


def _put_format(body: dict[str, Any], form: Any) -> None:  # noqa: ANN401 - JSON
    flat = {"type": form.get("type"), **(form.get("json_schema") or {})}
    body["text"] = {**body.get("text", {}), "format": flat}


def _put_verbosity(body: dict[str, Any], verbosity: Any) -> None:  # noqa: ANN401 - JSON
    body["text"] = {**body.get("text", {}), "verbosity": verbosity}


def _put_effort(body: dict[str, Any], effort: Any) -> None:  # noqa: ANN401 - JSON
    body["reasoning"] = {**body.get("reasoning", {}), "effort": effort}


def _put_logprobs(body: dict[str, Any], wanted: Any) -> None:  # noqa: ANN401 - JSON
    if wanted:
        body["include"] = [*body["include"], _LOGPROBS]


def _put_search(body: dict[str, Any], options: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [*body.get("tools", ()), {"type": "web_search", **options}]


_PARAMS: Final[Mapping[str, Callable[[dict[str, Any], Any], None]]] = MappingProxyType(
    {
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "response_format": _put_format,
        "verbosity": _put_verbosity,
        "reasoning_effort": _put_effort,
        "logprobs": _put_logprobs,
        "web_search_options": _put_search,
    }
)


def _input(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Any]]:
    """Give the instructions at the beginning, and the items of all that follows."""
    instructions: list[str] = []
    items: list[Any] = []
    calls: dict[str, Mapping[str, Any]] = {}
    for place, message in enumerate(messages):
        is_system = message["role"] in ("system", "developer")
        if is_system and not items:
            instructions.append(joined_text(message.get("content")))
        else:
            said = list(_items(message, f"messages[{place}]", calls))
            calls.update(calls_by_id(said))
            items += said
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
        yield {"role": "developer" if role == "system" else role, "content": parts}
    yield from map(_call, message.get("tool_calls") or ())


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(custom := call.get("custom"), Mapping):
        told = {"name": custom.get("name"), "input": custom.get("input") or ""}
        return {"type": "custom_tool_call", "call_id": call.get("id"), **told}
    function = call.get("function", {})
    named = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"type": "function_call", "call_id": call.get("id"), **named}


def _parts(content: object, where: str, text_type: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"type": text_type, "text": content}
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        yield _part(part, f"{where}.content[{place}]", text_type)


def _part(part: object, where: str, text_type: str) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": text_type, "text": part}
    if not isinstance(part, Mapping):
        message = f"expected {where} as a content part, got {type(part).__name__}"
        raise CallerError(message)
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
