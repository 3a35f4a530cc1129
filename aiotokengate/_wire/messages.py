"""Anthropic's Messages, encoded from the common forms; :mod:`.messages_reply` decodes.

Strategy.  Claude wants its thinking back word by word, with the signature, in front of the tool
calls that it led to.  A history that has such blocks is sent back as it was; any other assistant
message is said anew, without its thoughts.

Source: docs.anthropic.com (Messages, streaming, extended thinking), recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
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
from aiotokengate._wire.parts import add_turn, call_arguments, data_uri, is_system, parts_in
from aiotokengate._wire.question import Encoded, Question, merged, native_content
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = ["encode_messages"]

PROTOCOL: Final = "messages"
VERSION: Final = "2023-06-01"

# --- the request --------------------------------------------------------------------------------

_CHOICES: Final = MappingProxyType({"auto": "auto", "none": "none", "required": "any"})
_LEAST_TOP_P: Final = 0.95
"""What is taken while thinking (Anthropic's page on extended thinking)."""

_TOOL_FIELDS: Final = (
    *("cache_control", "strict", "defer_loading", "eager_input_streaming", "allowed_callers"),
    "input_examples",
)
"""What a tool may have besides its name and schema (anthropic 2.14.0, ``ToolParam``)."""


def encode_messages(question: Question) -> Encoded:
    """Return the request of a question for ``/messages``.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    given = question.given()
    check_one_choice(given, "Anthropic's Messages")
    row = question.row
    system, turns = _turns(question.messages, anywhere=row.system == "anywhere")
    body: Body = {
        "model": question.model,
        "max_tokens": most_tokens(given) or row.most_tokens,
        "messages": turns,
    }
    if system:
        body["system"] = _plain(system)
    if question.stream:
        body["stream"] = True
    notes = _PARAMETERS.put(body, given)
    thinking = ask_to_think(question, PROTOCOL, body["max_tokens"])
    body = merged(body, thinking.fields)
    notes += [*thinking.notes, *_cooled(body)]
    headers = {"anthropic-version": VERSION}
    return Encoded("/messages", dumps(with_extras(body, question)), headers, tuple(notes))


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


def _put_stop(body: Body, stop: Json) -> None:
    body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)


def _put_tools(body: Body, tools: Json) -> None:
    body["tools"] = [_tool(tool) for tool in tools]


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    kept = {key: function[key] for key in ("name", "description") if key in function}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    more = {key: part[key] for part in (function, tool) for key in _TOOL_FIELDS if key in part}
    return {**kept, "input_schema": schema, **more}


def _put_choice(body: Body, choice: Json) -> None:
    if isinstance(choice, str):
        wanted: Mapping[str, Any] = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice.get("function"), Mapping):
        wanted = {"type": "tool", "name": choice["function"].get("name")}
    else:
        wanted = choice
    put_within(body, "tool_choice", **wanted)


def _put_parallel(body: Body, parallel: Json) -> None:
    if not parallel:
        choice = body.get("tool_choice", {"type": "auto"})
        body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}


def _put_user(body: Body, user: Json) -> None:
    put_within(body, "metadata", user_id=user)


def _put_effort(body: Body, effort: Json) -> None:
    put_within(body, "output_config", effort=effort)


def _put_format(body: Body, wanted: Json) -> None:
    if wanted.get("type") == "json_schema":
        schema = wanted.get("json_schema", {}).get("schema")
        put_within(body, "output_config", format={"type": "json_schema", "schema": schema})


_SAME: Final = (
    *("temperature", "top_p", "top_k", "metadata", "service_tier", "thinking"),
    "output_config",
)
_PARAMETERS: Final = ParameterTable(
    names={name: name for name in _SAME},
    puts={
        "stop": _put_stop,
        "tools": _put_tools,
        "tool_choice": _put_choice,
        "parallel_tool_calls": _put_parallel,
        "user": _put_user,
        "reasoning_effort": _put_effort,
        "response_format": _put_format,
    },
    silent=("stream_options", "max_tokens", "max_completion_tokens", "n"),
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
        else:
            add_turn(turns, role, "content", _turn(message, where))
    for turn in turns:
        turn["content"] = _plain(turn["content"])
    return system, turns


def _role(message: Mapping[str, Any]) -> str:
    if is_system(message):
        return "system"
    return "assistant" if message["role"] == "assistant" else "user"


def _plain(blocks: list[Any]) -> Json:
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
    """Return whether a block is white space alone, which models write and Anthropic refuses."""
    if not isinstance(block, Mapping) or block.get("type") != "text":
        return False
    text = block.get("text")
    return isinstance(text, str) and not text.strip()


def _result(message: Mapping[str, Any], where: str) -> dict[str, Any]:
    content = message.get("content")
    result = content if isinstance(content, str) else list(_blocks(content, where))
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": result}


def _call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": call.get("function", {}).get("name"),
        "input": call_arguments(call, where),
    }


def _blocks(content: object, where: str) -> Iterator[Mapping[str, Any]]:
    for part, at in parts_in(content, where):
        yield _block(part, at)


def _block(part: Mapping[str, Any], where: str) -> Mapping[str, Any]:
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
    if inline := data_uri(url):
        return {"type": "base64", "media_type": inline[0], "data": inline[1]}
    return {"type": "url", "url": url}


def _file(file: object, where: str) -> dict[str, Any]:
    fields = file if isinstance(file, Mapping) else {}
    if fields.get("file_id"):
        return {"type": "file", "file_id": fields["file_id"]}
    return _source(fields.get("file_data", fields.get("url")), where)
