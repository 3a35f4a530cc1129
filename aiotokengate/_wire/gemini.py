"""Google's own generateContent, encoded from the common forms; :mod:`.gemini_reply` decodes.

Strategy.  Gemini wants its thought signatures back on the very part that carried them.  A history
that has such parts is sent back as it was; any other assistant message is said anew.

Source: ai.google.dev/api/generate-content, recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from aiotokengate._wire.jsontext import dumps
from aiotokengate._wire.question import (
    Encoded,
    Question,
    joined_text,
    merged,
    native_content,
)
from aiotokengate._wire.thinking import ask_to_think
from aiotokengate.errors import CallerError

__all__ = ["encode_gemini"]

PROTOCOL: Final = "gemini"

# --- the request --------------------------------------------------------------------------------

_CONFIG: Final[Mapping[str, str]] = MappingProxyType(
    {
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
    }
)
_MODES: Final = MappingProxyType({"auto": "AUTO", "none": "NONE", "required": "ANY"})


def encode_gemini(question: Question) -> Encoded:
    """Give the request of a question for ``generateContent``.

    Raises:
        CallerError: a message or a parameter can't be said in this protocol.
    """
    system, contents = _contents(question.messages)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    given = question.given()
    notes = _put_params(body, given)
    most = given.get("max_completion_tokens") or given.get("max_tokens")
    asked = ask_to_think(question, "gemini", most)
    body = merged(body, asked.fields)
    for extra in question.extra_body:
        body = merged(body, extra or {})
    method = "streamGenerateContent?alt=sse" if question.stream else "generateContent"
    path = f"../v1beta/models/{question.model}:{method}"
    return Encoded(path, dumps(body), notes=(*notes, *asked.notes))


def _put_params(body: dict[str, Any], given: dict[str, Any]) -> tuple[str, ...]:
    """Put what the protocol knows into the body; give notes of what it does not."""
    config: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in given.items():
        if name in _CONFIG:
            config[_CONFIG[name]] = value
        elif name in _PARAMS:
            _PARAMS[name](body, config, value)
        elif name != "stream_options":
            notes.append(f"parameter {name!r} is not part of this protocol and was left out")
    if config:
        body["generationConfig"] = config
    return tuple(notes)


def _put_stop(_: dict[str, Any], config: dict[str, Any], stop: Any) -> None:  # noqa: ANN401 - JSON
    config["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)


def _put_modalities(_: dict[str, Any], config: dict[str, Any], names: Any) -> None:  # noqa: ANN401
    config["responseModalities"] = [str(name).upper() for name in names]


def _put_format(_: dict[str, Any], config: dict[str, Any], form: Any) -> None:  # noqa: ANN401
    kind = form.get("type")
    if kind in ("json_object", "json_schema"):
        config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        config["responseJsonSchema"] = form.get("json_schema", {}).get("schema")


def _put_tools(body: dict[str, Any], _: dict[str, Any], tools: Any) -> None:  # noqa: ANN401
    functions = [tool["function"] for tool in tools if "function" in tool]
    wanted = ("name", "description", "parameters")
    declared = [{key: one[key] for key in wanted if key in one} for one in functions]
    others = [tool for tool in tools if "function" not in tool]
    body["tools"] = [*([{"functionDeclarations": declared}] if declared else ()), *others]


def _put_choice(body: dict[str, Any], _: dict[str, Any], choice: Any) -> None:  # noqa: ANN401
    if isinstance(choice, str):
        config: dict[str, Any] = {"mode": _MODES.get(choice, choice.upper())}
    else:
        name = choice.get("function", {}).get("name")
        config = {"mode": "ANY", "allowedFunctionNames": [name]}
    body["toolConfig"] = {"functionCallingConfig": config}


_PARAMS: Final[Mapping[str, Callable[[dict[str, Any], dict[str, Any], Any], None]]] = (
    MappingProxyType(
        {
            "stop": _put_stop,
            "modalities": _put_modalities,
            "response_format": _put_format,
            "tools": _put_tools,
            "tool_choice": _put_choice,
        }
    )
)


def _contents(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give the system's parts, and the turns; neighbours of one role are one turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    ids: set[str] = set()
    for place, message in enumerate(messages):
        role = message["role"]
        if role in ("system", "developer"):
            system.append({"text": joined_text(message.get("content"))})
            continue
        names.update(_call_names(message))
        ids.update(_vendor_ids(message))
        parts = _turn(message, f"messages[{place}]", names, ids)
        if not parts:
            continue  # Google refuses a turn without any
        speaker = "model" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": speaker, "parts": parts})
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
    told = {"id": call_id} if call_id in ids else {}
    return {"functionResponse": {**told, "name": name, "response": response}}


def _call(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    function = call.get("function", {})
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except orjson.JSONDecodeError as error:
        message = f"expected JSON as arguments of a tool call in {where}, got {error.msg}"
        raise CallerError(message) from None
    part: dict[str, Any] = {"functionCall": {"name": function.get("name"), "args": arguments}}
    google = (call.get("extra_content") or {}).get("google") or {}
    if signature := google.get("thought_signature"):
        part["thoughtSignature"] = signature
    return part


def _parts(content: object, where: str) -> Iterator[dict[str, Any]]:
    if isinstance(content, str):
        if content:
            yield {"text": content}
        return
    for place, part in enumerate(content if isinstance(content, list | tuple) else ()):
        yield _part(part, f"{where}.content[{place}]")


def _part(part: object, where: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    if not isinstance(part, Mapping):
        message = f"expected {where} as a content part, got {type(part).__name__}"
        raise CallerError(message)
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
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:"):
        return _inline(head.removeprefix("data:").partition(";")[0], data)
    return {"fileData": {"fileUri": url}}


def _inline(mime: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": data}}
