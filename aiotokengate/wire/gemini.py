"""Google's own generateContent, encoded from and decoded into the common forms.

Strategy.  A reply is a list of parts: thoughts, text, function calls, inline media.  Each part
becomes an entry of the transcript, and the parts themselves are kept as they came, because Gemini
wants its thought signatures back on the very part that carried them.  There is no end mark: the
body ends after a finish reason, and every chunk repeats the usage so far.

Source: ai.google.dev/api/generate-content, recorded exchanges.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import orjson

from aiotokengate.errors import CallerError
from aiotokengate.types import Citation, Media
from aiotokengate.wire.endings import ending_of, reason_of
from aiotokengate.wire.jsontext import dumps
from aiotokengate.wire.question import (
    Encoded,
    FrameDecoder,
    Question,
    count_in,
    joined_text,
    merged,
    native_content,
    text_of,
)
from aiotokengate.wire.thinking import ask_to_think
from aiotokengate.wire.transcript import ANSWER, REASONING, ChoiceState, Transcript

__all__ = ["GeminiDecoder", "encode_gemini"]

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


# --- the reply ----------------------------------------------------------------------------------

_USUAL: Final = frozenset(
    (
        *("candidates", "usageMetadata", "modelVersion", "responseId", "createTime"),
        *("promptFeedback", "error"),
    )
)
_USUAL_CANDIDATE: Final = frozenset(
    ("content", "index", "finishReason", "groundingMetadata", "citationMetadata")
)


class GeminiDecoder(FrameDecoder):
    """Chunks of one reply in, entries of its transcript out; see :class:`Decoder`."""

    __slots__ = ("_parts",)

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._parts: dict[int, list[_Part]] = {}

    def end(self) -> None:
        """Take the end of the stream."""
        for index, parts in self._parts.items():
            content = [part.whole() for part in parts]
            self.transcript.choice(index).native = {"protocol": PROTOCOL, "content": content}
        super().end()

    def take(self, frame: object) -> None:
        """Take one chunk; or all of them, as an array that is no event stream."""
        if isinstance(frame, list):
            for one in frame:
                self.take(one)
        elif isinstance(frame, dict):
            self._chunk(frame)
        else:
            self.no_object(frame)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        log = self.transcript
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                self._candidate(candidate)
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict):
            log.count(_counts(usage))
        if not log.model:
            log.model = text_of(chunk.get("modelVersion"))
            log.id = text_of(chunk.get("responseId"))
        if not candidates:
            self.suspect = _blocked(chunk) or chunk
        log.extra.update({key: chunk[key] for key in chunk.keys() - _USUAL})

    def _candidate(self, candidate: dict[str, Any]) -> None:
        index = candidate.get("index")
        state = self.transcript.choice(index if isinstance(index, int) and index >= 0 else 0)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part:
                self._part(state, part)
        for source in _sources(candidate.get("groundingMetadata")):
            self.transcript.cite(state, source)
        state.extra.update({key: candidate[key] for key in candidate.keys() - _USUAL_CANDIDATE})
        reason = candidate.get("finishReason")
        if isinstance(reason, str):
            self._finish(state, str(reason))

    def _part(self, state: ChoiceState, part: dict[str, Any]) -> None:
        log = self.transcript
        if log.retain:
            _keep(self._parts.setdefault(state.index, []), part)
        text = part.get("text")
        if text and isinstance(text, str):
            log.put(state.index, REASONING if part.get("thought") is True else ANSWER, text)
        elif isinstance(call := part.get("functionCall"), dict):
            log.tool_piece(state, _piece(call, part.get("thoughtSignature"), len(state.calls)))
        elif isinstance(data := part.get("inlineData"), dict):
            log.show(state, _media(data))
        elif isinstance(file := part.get("fileData"), dict):
            mime = text_of(file.get("mimeType")) or None
            kind = (mime or "file").partition("/")[0]
            log.show(state, Media(kind, text_of(file.get("fileUri")), mime))

    def _finish(self, state: ChoiceState, word: str) -> None:
        ending = ending_of(PROTOCOL, word)
        if ending is None:
            return
        state.extra["finish_reason"] = word
        if ending == "finished" and state.calls:
            self.transcript.finish(state, "tool_calls", "calls", word)
        else:
            self.transcript.finish(state, reason_of(PROTOCOL, word), ending, word)


class _Part:
    """A part to send back: its fields, and its text in pieces."""

    __slots__ = ("fields", "pieces")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = dict(fields)
        self.pieces = [fields["text"]] if isinstance(fields.get("text"), str) else []

    def takes(self, part: Mapping[str, Any]) -> bool:
        """Say whether the text of the next part goes on with this one's; a signed one is over."""
        both = self.pieces and isinstance(part.get("text"), str)
        same = self.fields.get("thought") == part.get("thought")
        return bool(both and same and "thoughtSignature" not in self.fields)

    def add(self, part: Mapping[str, Any]) -> None:
        self.fields.update(part)
        self.pieces.append(part["text"])

    def whole(self) -> dict[str, Any]:
        return {**self.fields, "text": "".join(self.pieces)} if self.pieces else self.fields


def _keep(parts: list[_Part], part: dict[str, Any]) -> None:
    """Keep a part to send back; pieces of one text are joined, up to the one that is signed."""
    if parts and parts[-1].takes(part):
        parts[-1].add(part)
    else:
        parts.append(_Part(part))


def _piece(call: Mapping[str, Any], signature: object, number: int) -> dict[str, Any]:
    """Give a call in the form of Chat Completions, signature and all."""
    function = {"name": call.get("name"), "arguments": call.get("args") or {}}
    piece: dict[str, Any] = {
        "index": number,
        "id": call.get("id") or f"call_{number}",
        "function": function,
    }
    if signature:
        piece["extra_content"] = {"google": {"thought_signature": signature}}
    return piece


def _media(data: Mapping[str, Any]) -> Media:
    mime = text_of(data.get("mimeType")) or "image/png"
    url = f"data:{mime};base64,{text_of(data.get('data'))}"
    return Media(mime.partition("/")[0], url, mime)


def _sources(grounding: object) -> Iterator[Citation]:
    chunks = grounding.get("groundingChunks") if isinstance(grounding, dict) else None
    for chunk in chunks if isinstance(chunks, list) else ():
        web = chunk.get("web") if isinstance(chunk, dict) else None
        if isinstance(web, dict) and web.get("uri"):
            yield Citation(text_of(web["uri"]), web.get("title"))


def _counts(usage: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the counts under the common names; Gemini counts thoughts beside the answer."""
    thoughts, written = (
        count_in(usage, "thoughtsTokenCount"),
        count_in(usage, "candidatesTokenCount"),
    )
    return {
        **usage,
        "prompt_tokens": count_in(usage, "promptTokenCount"),
        "completion_tokens": written + thoughts,
        "total_tokens": count_in(usage, "totalTokenCount"),
        "prompt_tokens_details": {"cached_tokens": count_in(usage, "cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }


def _blocked(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give a blocked prompt the form of an error."""
    feedback = chunk.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not reason:
        return None
    message = f"the prompt was blocked: {reason}"
    return {"error": {"message": message, "code": "prompt_blocked", "type": "content_filter"}}
