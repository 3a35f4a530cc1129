"""Google's own generateContent, encoded from the common forms; :mod:`.gemini_reply` decodes.

Strategy.  Gemini wants its thought signatures back on the very part that carried them.  A history
that has such parts is sent back as it was; any other assistant message is said anew.

Source: ai.google.dev/api/generate-content, recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.parameters import (
    Body,
    ParameterTable,
    most_tokens,
    put_within,
    with_extras,
)
from aiotokengate._wire.parts import add_turn, call_arguments, data_uri, is_system, parts_in
from aiotokengate._wire.question import Encoded, Question, joined_text, merged, native_content
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError
from aiotokengate.types import Json

__all__ = ["encode_gemini"]

PROTOCOL: Final = "gemini"

# --- the request --------------------------------------------------------------------------------


def encode_gemini(question: Question) -> Encoded:
    """Return the request of a question for ``generateContent``.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    system, contents = _contents(question.messages)
    body: Body = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    given = question.given()
    notes = _PARAMETERS.put(body, given)
    thinking = ask_to_think(question, PROTOCOL, most_tokens(given))
    body = with_extras(merged(body, thinking.fields), question)
    method = "streamGenerateContent?alt=sse" if question.stream else "generateContent"
    path = f"../v1beta/models/{question.model}:{method}"
    return Encoded(path, dumps(body), notes=(*notes, *thinking.notes))


_CONFIG: Final = "generationConfig"


def _put_stop(body: Body, stop: Json) -> None:
    put_within(body, _CONFIG, stopSequences=[stop] if isinstance(stop, str) else list(stop))


def _put_modalities(body: Body, names: Json) -> None:
    put_within(body, _CONFIG, responseModalities=[str(name).upper() for name in names])


def _put_format(body: Body, wanted: Json) -> None:
    kind = wanted.get("type")
    if kind in ("json_object", "json_schema"):
        put_within(body, _CONFIG, responseMimeType="application/json")
    if kind == "json_schema":
        schema = wanted.get("json_schema", {}).get("schema")
        put_within(body, _CONFIG, responseJsonSchema=schema)


def _put_tools(body: Body, tools: Json) -> None:
    functions = [tool["function"] for tool in tools if "function" in tool]
    wanted = ("name", "description", "parameters")
    declared = [{key: one[key] for key in wanted if key in one} for one in functions]
    others = [tool for tool in tools if "function" not in tool]
    body["tools"] = [*([{"functionDeclarations": declared}] if declared else ()), *others]


def _put_choice(body: Body, choice: Json) -> None:
    if isinstance(choice, str):
        config: dict[str, Any] = {"mode": "ANY" if choice == "required" else choice.upper()}
    else:
        name = choice.get("function", {}).get("name")
        config = {"mode": "ANY", "allowedFunctionNames": [name]}
    body["toolConfig"] = {"functionCallingConfig": config}


_PARAMETERS: Final = ParameterTable(
    names={
        "max_tokens": "maxOutputTokens",
        "max_completion_tokens": "maxOutputTokens",
        "temperature": "temperature",
        "top_p": "topP",
        "top_k": "topK",
        "n": "candidateCount",
        "seed": "seed",
        "presence_penalty": "presencePenalty",
        "frequency_penalty": "frequencyPenalty",
        "logprobs": "responseLogprobs",
        "top_logprobs": "logprobs",
    },
    puts={
        "stop": _put_stop,
        "modalities": _put_modalities,
        "response_format": _put_format,
        "tools": _put_tools,
        "tool_choice": _put_choice,
    },
    silent=("stream_options",),
    within=_CONFIG,
)


def _contents(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the system's parts, and the turns; neighbours of one role are one turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    ids: set[str] = set()
    for place, message in enumerate(messages):
        if is_system(message):
            system.append({"text": joined_text(message.get("content"))})
            continue
        names.update(_call_names(message))
        ids.update(_vendor_ids(message))
        parts = _turn(message, f"messages[{place}]", names, ids)
        # Google refuses a turn without any parts, and none is added.
        add_turn(turns, "model" if message["role"] == "assistant" else "user", "parts", parts)
    return system, turns


def _call_names(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for call in message.get("tool_calls") or ():
        yield str(call.get("id")), str(call.get("function", {}).get("name"))


def _vendor_ids(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids that Google gave to its calls; those made up here are not sent."""
    for part in native_content(message, PROTOCOL) or ():
        call = part.get("functionCall") if isinstance(part, Mapping) else None
        if isinstance(call, Mapping) and isinstance(call.get("id"), str):
            yield call["id"]


def _turn(
    message: Mapping[str, Any], where: str, names: Mapping[str, str], ids: Collection[str]
) -> list[Any]:
    if message["role"] == "tool":
        return [_result(message, where, names, ids)]
    native = native_content(message, PROTOCOL)
    if native is not None:
        return native
    parts = list(_parts(message.get("content"), where))
    return parts + [_call(call, where) for call in message.get("tool_calls") or ()]


def _result(
    message: Mapping[str, Any], where: str, names: Mapping[str, str], ids: Collection[str]
) -> dict[str, Any]:
    name = message.get("name") or names.get(str(message.get("tool_call_id")))
    if name is None:
        message_id = message.get("tool_call_id")
        text = f"expected {where} to answer a tool call before it, there is none of {message_id!r}"
        raise CallerError(text)
    text = joined_text(message.get("content"))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = text
    response = value if isinstance(value, dict) else {"result": value}
    call_id = message.get("tool_call_id")
    named = {"id": call_id} if call_id in ids else {}
    return {"functionResponse": {**named, "name": name, "response": response}}


def _call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    name, arguments = call.get("function", {}).get("name"), call_arguments(call, where)
    part: dict[str, Any] = {"functionCall": {"name": name, "args": arguments}}
    google = (call.get("extra_content") or {}).get("google") or {}
    if signature := google.get("thought_signature"):
        part["thoughtSignature"] = signature
    return part


def _parts(content: object, where: str) -> Iterator[dict[str, Any]]:
    for part, at in parts_in(content, where):
        yield _part(part, at)


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"text": part.get("text", "")}
    if kind == "input_audio":
        audio = part.get("input_audio", {})
        return _inline(f"audio/{audio.get('format', 'wav')}", audio.get("data", ""))
    inner = part.get(kind) if isinstance(kind, str) else None
    url = inner.get("url", inner.get("file_data")) if isinstance(inner, Mapping) else inner
    if kind in ("image_url", "video_url", "file") and isinstance(url, str):
        return _by_address(url)
    message = f"expected {where} as text, image_url, input_audio, video_url or file, got {kind!r}"
    raise CallerError(message)


def _by_address(url: str) -> dict[str, Any]:
    if inline := data_uri(url):
        return _inline(*inline)
    return {"fileData": {"fileUri": url}}


def _inline(mime: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": data}}
