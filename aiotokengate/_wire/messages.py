"""Anthropic's Messages, encoded from the common forms; :mod:`.messages_reply` decodes.

Strategy.  Claude wants its thinking back word by word, with the signature, in front of the tool
calls that it led to.  A history that has such blocks is sent back as it was; any other assistant
message is said anew, without its thoughts.

Source: docs.anthropic.com (Messages, streaming, extended thinking), recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.question import (
    Encoded,
    Question,
    merged,
    native_content,
)
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError

__all__ = ["encode_messages"]

PROTOCOL: Final = "messages"
VERSION: Final = "2023-06-01"

# --- the request --------------------------------------------------------------------------------

_SAME: Final = frozenset(
    ("temperature", "top_p", "top_k", "metadata", "service_tier", "thinking", "output_config")
)
_CHOICES: Final = MappingProxyType({"auto": "auto", "none": "none", "required": "any"})
_SILENT: Final = frozenset(("stream_options", "max_tokens", "max_completion_tokens", "n"))
_LEAST_TOP_P: Final = 0.95
"""What is taken while thinking (Anthropic's page on extended thinking)."""

_TOOL_FIELDS: Final = (
    *("cache_control", "strict", "defer_loading", "eager_input_streaming", "allowed_callers"),
    "input_examples",
)
"""What a tool may have besides its name and schema (anthropic 2.14.0, ``ToolParam``)."""


def encode_messages(question: Question) -> Encoded:
    """Give the request of a question for ``/messages``.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    if given.get("n", 1) != 1:
        message = f"expected n=1 over Anthropic's Messages, got {given['n']!r}"
        raise CallerError(message)
    most = given.get("max_completion_tokens") or given.get("max_tokens")
    row = question.row
    system, turns = _turns(question.messages, anywhere=row.system == "anywhere")
    body: dict[str, Any] = {
        "model": question.model,
        "max_tokens": most or row.most_tokens,
        "messages": turns,
    }
    if system:
        body["system"] = _plain(system)
    if question.stream:
        body["stream"] = True
    notes = _put_params(body, given)
    asked = ask_to_think(question, PROTOCOL, body["max_tokens"])
    body = merged(body, asked.fields)
    notes += [*asked.notes, *_cooled(body)]
    for extra in question.extra_body:
        body = merged(body, extra or {})
    headers = {"anthropic-version": VERSION}
    return Encoded("/messages", dumps(body), headers, tuple(notes))


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


def _cooled(body: dict[str, Any]) -> Iterator[str]:
    """Take out what is refused while thinking: a temperature, a small top_p."""
    thinking = body.get("thinking")
    if not isinstance(thinking, Mapping) or thinking.get("type") == "disabled":
        return
    for name in ("temperature", "top_k", "top_p"):
        value = body.get(name)
        if name == "top_p" and isinstance(value, int | float) and value >= _LEAST_TOP_P:
            continue
        if body.pop(name, None) is not None:
            yield f"parameter {name!r} is refused while thinking and was left out"


def _put_stop(body: dict[str, Any], stop: Any) -> None:  # noqa: ANN401 - JSON
    body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)


def _put_tools(body: dict[str, Any], tools: Any) -> None:  # noqa: ANN401 - JSON
    body["tools"] = [_tool(tool) for tool in tools]


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    kept = {key: function[key] for key in ("name", "description") if key in function}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    more = {key: part[key] for part in (function, tool) for key in _TOOL_FIELDS if key in part}
    return {**kept, "input_schema": schema, **more}


def _put_choice(body: dict[str, Any], choice: Any) -> None:  # noqa: ANN401 - JSON
    if isinstance(choice, str):
        wanted: dict[str, Any] = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice.get("function"), Mapping):
        wanted = {"type": "tool", "name": choice["function"].get("name")}
    else:
        wanted = dict(choice)
    body["tool_choice"] = {**body.get("tool_choice", {}), **wanted}


def _put_parallel(body: dict[str, Any], parallel: Any) -> None:  # noqa: ANN401 - JSON
    if not parallel:
        choice = body.get("tool_choice", {"type": "auto"})
        body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


def _put_user(body: dict[str, Any], user: Any) -> None:  # noqa: ANN401 - JSON
    body["metadata"] = {**body.get("metadata", {}), "user_id": user}


def _put_effort(body: dict[str, Any], effort: Any) -> None:  # noqa: ANN401 - JSON
    body["output_config"] = {**body.get("output_config", {}), "effort": effort}


def _put_format(body: dict[str, Any], form: Any) -> None:  # noqa: ANN401 - JSON
    if form.get("type") == "json_schema":
        schema = {"type": "json_schema", "schema": form.get("json_schema", {}).get("schema")}
        body["output_config"] = {**body.get("output_config", {}), "format": schema}


_PARAMS: Final[Mapping[str, Callable[[dict[str, Any], Any], None]]] = MappingProxyType(
    {
        "stop": _put_stop,
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "parallel_tool_calls": _put_parallel,
        "user": _put_user,
        "reasoning_effort": _put_effort,
        "response_format": _put_format,
    }
)


def _turns(
    messages: Sequence[Mapping[str, Any]], *, anywhere: bool
) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the system's blocks, and the turns; neighbours of one role are one turn.

    A system message in mid conversation stays there where the model takes it ``anywhere``.
    """
    system: list[Any] = []
    turns: list[dict[str, Any]] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        role = _role(message)
        if role == "system" and not (anywhere and turns):
            system += _blocks(message.get("content"), where)
            continue
        blocks = _turn(message, where)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = _plain(turn["content"])
    return system, turns


def _role(message: Mapping[str, Any]) -> str:
    role = message["role"]
    if role in ("system", "developer"):
        return "system"
    return "assistant" if role == "assistant" else "user"


def _plain(blocks: list[Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a text that stands alone as it is, which every face of this protocol reads."""
    only = blocks[0] if len(blocks) == 1 else None
    if isinstance(only, Mapping) and only.keys() == {"type", "text"} and only["type"] == "text":
        return only["text"]
    return blocks


def _turn(message: Mapping[str, Any], where: str) -> list[Any]:
    if message["role"] == "tool":
        return [_result(message, where)]
    native = native_content(message, PROTOCOL)
    if native is not None:
        return [block for block in native if not _is_blank(block)]
    blocks = list(_blocks(message.get("content"), where))
    if message["role"] == "assistant":
        blocks = [block for block in blocks if not _is_blank(block)]
    return blocks + [_call(call, where) for call in message.get("tool_calls") or ()]


def _is_blank(block: object) -> bool:
    """Whether a block is a text of white space alone, which models write and Anthropic refuses."""
    if not isinstance(block, Mapping) or block.get("type") != "text":
        return False
    text = block.get("text")
    return isinstance(text, str) and not text.strip()


def _result(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    said: Any = content
    if not isinstance(content, str):
        said = list(_blocks(content, where))
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": said}


def _call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    function = call.get("function", {})
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        message = f"expected JSON as arguments of a tool call in {where}, got {error.msg}"
        raise CallerError(message) from None
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": arguments,
    }


def _blocks(content: object, where: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"type": "text", "text": content}
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        yield _block(part, f"{where}.content[{place}]")


def _block(part: object, where: str) -> Mapping[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        message = f"expected {where} as a content part, got {type(part).__name__}"
        raise CallerError(message)
    cache = {key: part[key] for key in ("cache_control",) if key in part}
    kind = part.get("type")
    if kind == "image_url":
        inner = part.get("image_url")
        url = inner.get("url") if isinstance(inner, Mapping) else inner
        return {"type": "image", "source": _source(url, where), **cache}
    if kind == "file":
        return {"type": "document", "source": _file(part.get("file"), where), **cache}
    if kind in ("input_audio", "video_url"):
        message = f"expected {where} as text, image_url or file over Messages, got {kind!r}"
        raise CallerError(message)
    return part


def _source(url: object, where: str) -> dict[str, Any]:
    if not isinstance(url, str):
        message = f"expected {where} to have an address, got {type(url).__name__}"
        raise CallerError(message)
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:"):
        mime = head.removeprefix("data:").partition(";")[0]
        return {"type": "base64", "media_type": mime, "data": data}
    return {"type": "url", "url": url}


def _file(file: object, where: str) -> dict[str, Any]:
    fields = file if isinstance(file, Mapping) else {}
    if fields.get("file_id"):
        return {"type": "file", "file_id": fields["file_id"]}
    return _source(fields.get("file_data", fields.get("url")), where)
