"""Google's generateContent, as the fake gateway speaks it (recorded shapes).

Requests are read in both spellings, ``camelCase`` and ``snake_case``, and base64 in both
alphabets: Google's server takes them, and its own package sends a mixture.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, pairwise
from typing import cast

import attrs
import orjson

from aiotokengate.testing._chat_request import ChatRequest, Refusal, read_body
from aiotokengate.testing._dialects import Counts, Exchange, Frame, Producer
from aiotokengate.testing._features import Features, features_of_gemini
from aiotokengate.testing._field_types import GEMINI_TYPES, check_types
from aiotokengate.testing._payloads import Payloads, function, schema_format, told
from aiotokengate.testing._refusals import refuse
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import Call
from aiotokengate.types import Json

__all__ = ["GeminiNative", "GeminiPayloads", "from_base64", "get"]


_PATH = re.compile(
    r"/v1(?:beta)?/models/(?P<model>.+):(?P<method>(?:stream)?[gG]enerateContent|countTokens)"
)
_COUNT = "countTokens"
_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_SIGNED = re.compile(r"gemini-(?:[3-9]|\d\d)")
"""Whose calls have ids and signatures: Gemini 3 and later (Google's page on signatures)."""
_CAPITAL = re.compile("[A-Z]")


def get(value: Json, name: str) -> Json:
    """Return a field by its name in camel case, also where it is written with underscores.

    Google reads both, and its own package mixes them (google-genai 3.6.1).
    """
    if not isinstance(value, Mapping):
        return None
    underscored = _CAPITAL.sub(lambda match: f"_{match[0].lower()}", name)
    found = value.get(name)
    return value.get(underscored) if found is None else found


def from_base64(text: Json) -> bytes | None:
    """Return the bytes of a text in either alphabet of base64; None if it is none."""
    if not isinstance(text, str):
        return None
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return b64decode(padded.translate(_URL_SAFE), validate=True)
    except ValueError:
        return None


_URL_SAFE = str.maketrans("-_", "+/")


class GeminiPayloads(Payloads):
    """The protocol under ``/v1beta/models`` and ``/v1/models``."""

    def takes(self, record: GatewayRequest) -> bool:
        """Return whether a request is of this protocol."""
        place = _PATH.fullmatch(record.path)
        return place is not None and place["method"] != _COUNT

    def counts(self, record: GatewayRequest) -> bool:
        """Return whether a request of this protocol only asks for the number of its tokens."""
        place = _PATH.fullmatch(record.path)
        return place is not None and place["method"] == _COUNT

    def counted(self, tokens: int) -> Json:
        """Return the answer that tells a number of tokens."""
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return {"totalTokens": tokens, "promptTokensDetails": details}

    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body in the form of Chat Completions."""
        place = cast("re.Match[str]", _PATH.fullmatch(record.path))  # no other path is taken
        body = _whole(record)
        config = get(body, "generationConfig") or {}
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            raise Refusal(400, "contents is not specified", vendor=True)
        instructions = _texts(get(body, "systemInstruction"))
        system = [{"role": "system", "content": text} for text in instructions]
        return told(
            model=place["model"],
            messages=[*system, *(turn for each in contents for turn in _messages(each))],
            stream=place["method"].startswith("stream"),
            max_tokens=get(config, "maxOutputTokens"),
            n=get(config, "candidateCount"),
            stop=get(config, "stopSequences"),
            tools=list(_tools(body.get("tools") or ())),
            tool_choice=_choice(get(body, "toolConfig") or {}),
            response_format=_format(config),
            extra_body=_thinking(get(config, "thinkingConfig")),
        )

    def checked(self, record: GatewayRequest, chat: ChatRequest) -> ChatRequest:
        """Refuse what Google refuses."""
        contents = _whole(record)["contents"]
        problems = [*_unreadable(contents), *_unpaired(contents)]
        if _SIGNED.match(chat.model.id):
            problems += _unsigned(contents)
        for problem in problems:
            raise Refusal(400, problem, vendor=True)
        refuse(_features(record, chat))
        return attrs.evolve(chat, model=attrs.evolve(chat.model, blurs=False))

    def dialect(self, exchange: Exchange, chat: ChatRequest, _record: GatewayRequest) -> Producer:
        """Return the shape of the answer."""
        return GeminiNative(exchange, named=_SIGNED.match(chat.model.id) is not None)

    def refused(self, refusal: Refusal, request_id: str) -> bytes:
        """Return an error: the gateway's own in its own form, the others as Google does."""
        if not refusal.vendor:
            return refusal.body(request_id)
        status = _STATUSES.get(refusal.status, "INTERNAL")
        error = {"code": refusal.status, "message": str(refusal), "status": status}
        return orjson.dumps({"error": error})


def _whole(record: GatewayRequest) -> Mapping[str, Json]:
    """Return the body; of ``countTokens`` also the request inside it."""
    body = read_body(record.body)
    inner = get(body, "generateContentRequest")
    whole = inner if isinstance(inner, dict) else body
    check_types(whole, GEMINI_TYPES, get)
    return whole


def _features(record: GatewayRequest, chat: ChatRequest) -> Features:
    config = get(_whole(record), "generationConfig")
    thinking = get(config, "thinkingConfig")
    asks = {"budget": get(thinking, "thinkingBudget"), "level": get(thinking, "thinkingLevel")}
    sampling = {
        "temperature": get(config, "temperature"),
        "top_p": get(config, "topP"),
        "top_k": get(config, "topK"),
    }
    return features_of_gemini(chat, sampling, asks if thinking is not None else None)


def _parts(content: Json) -> list[Mapping[str, Json]]:
    parts = get(content, "parts")
    return [part for part in parts or () if isinstance(part, dict)]


def _unreadable(contents: Sequence[Json]) -> Iterator[str]:
    """Look for bytes that are no base64, in either alphabet."""
    for content in contents:
        for part in _parts(content):
            texts = (get(get(part, "inlineData"), "data"), get(part, "thoughtSignature"))
            if any(text is not None and from_base64(text) is None for text in texts):
                yield "Invalid value (TYPE_BYTES), Base64 decoding failed"


@attrs.frozen
class _Turn:
    """What one side said, be it in one content or, as it came in a stream, in several."""

    role: str
    parts: Sequence[Mapping[str, Json]]

    def of_kind(self, name: str) -> list[Json]:
        return [found for part in self.parts if isinstance(found := get(part, name), Mapping)]


def _turns(contents: Sequence[Json]) -> list[_Turn]:
    """Join what one side said in a row: Google's package sends each chunk as a content."""
    spoken = groupby(contents, key=lambda content: str(get(content, "role") or "user"))
    return [_Turn(role, list(chain.from_iterable(map(_parts, some)))) for role, some in spoken]


def _unpaired(contents: Sequence[Json]) -> Iterator[str]:
    """Look for results that are not those of the calls before them.

    An id that is given must be that of a call (google-genai, ``types``); the package itself gives
    none back when it calls functions by itself (3.6.1).
    """
    for before, turn in pairwise(_turns(contents)):
        calls, results = before.of_kind("functionCall"), turn.of_kind("functionResponse")
        if calls and len(calls) != len(results):
            yield (
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn."
            )
        named = {call["id"] for call in calls if call.get("id")}
        for result in results:
            if result.get("id") and result["id"] not in named:
                yield f"Function response id {result['id']!r} has no function call of that id."


def _unsigned(contents: Sequence[Json]) -> Iterator[str]:
    """Look for a call of the current turn that lost its thought signature."""
    for turn in _current(_turns(contents)):
        first = next((part for part in turn.parts if get(part, "functionCall")), None)
        if turn.role == "model" and first and not get(first, "thoughtSignature"):
            name = get(first, "functionCall").get("name")
            yield f"Function call {name!r} is missing a thought_signature in functionCall"


def _current(turns: Sequence[_Turn]) -> Sequence[_Turn]:
    """Return what came since the last words of the user."""
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if turn.role != "model" and any(not get(part, "functionResponse") for part in turn.parts):
            return turns[place + 1 :]
    return turns


def _thinking(config: Json) -> Json:
    """Return whether thoughts are to be shown, where anything is said of thinking."""
    if not isinstance(config, dict):
        return None
    shown = {"include_thoughts": get(config, "includeThoughts") is True}
    return {"google": {"thinking_config": shown}}


def _texts(content: Json) -> list[str]:
    texts = (part.get("text") for part in _parts(content) if not part.get("thought"))
    return [text for text in texts if isinstance(text, str) and text]


def _messages(content: Json) -> Iterator[Mapping[str, Json]]:
    """Yield a turn as messages of Chat Completions."""
    results = _Turn("", _parts(content)).of_kind("functionResponse")
    for result in results:
        yield {"role": "tool", "content": orjson.dumps(result.get("response")).decode()}
    if not results:
        role = "assistant" if content.get("role") == "model" else "user"
        yield {"role": role, "content": "\n".join(_texts(content))}


def _tools(tools: Sequence[Mapping[str, Json]]) -> Iterator[Mapping[str, Json]]:
    for tool in tools:
        for declared in get(tool, "functionDeclarations") or ():
            schema = get(declared, "parametersJsonSchema")
            own = declared.get("parameters")
            if schema is not None and own is not None:
                message = "parameters_json_schema must not be set when parameters is set"
                raise Refusal(400, message, vendor=True)
            yield function(name=declared.get("name"), parameters=schema or own)


def _choice(config: Mapping[str, Json]) -> Json:
    calling = get(config, "functionCallingConfig") or {}
    names = get(calling, "allowedFunctionNames")
    if names:
        return function(name=names[0])
    return {"ANY": "required", "NONE": "none"}.get(calling.get("mode", ""))


def _format(config: Mapping[str, Json]) -> Json:
    """Return the form that the answer is to have."""
    schema = get(config, "responseJsonSchema")
    schema = get(config, "responseSchema") if schema is None else schema
    if get(config, "responseMimeType") != "application/json":
        if schema is not None:
            message = "response_schema is only supported with response_mime_type application/json"
            raise Refusal(400, message, vendor=True)
        return None
    if schema is None:
        return {"type": "json_object"}
    return schema_format(schema)


class GeminiNative(Producer):
    """The chunks of ``streamGenerateContent``: parts, usage on every chunk, no end mark."""

    done = b""
    first = None

    def __init__(self, exchange: Exchange, *, named: bool = False) -> None:
        """Begin a reply; ``named`` is whether its calls have ids of their own."""
        super().__init__(exchange)
        self._named = named
        self._finished: dict[int, str] = {}

    def frame(self, choices: Sequence[Frame], usage: Json = None, _kind: str = "") -> Frame:
        """Return a chunk; a plain answer has the same form."""
        return {
            "candidates": choices,
            "usageMetadata": usage or {"promptTokenCount": 1, "totalTokenCount": 1},
            "modelVersion": self.exchange.model,
            "responseId": self.exchange.hex(22),
        }

    def _part(self, index: int, part: Frame) -> list[Frame]:
        content = {"role": "model", "parts": [part]}
        return [self.frame([{"content": content, "index": index}])]

    def thought(self, index: int, text: str) -> list[Frame]:
        """Return a piece of thinking, if it was asked to be shown."""
        return self._part(index, {"text": text, "thought": True}) if self.exchange.thinks else []

    def text(self, index: int, text: str, _finish: str | None) -> list[Frame]:
        """Return a piece of answer."""
        return self._part(index, {"text": text})

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Return a whole call, the first of a turn with its signature."""
        return self._part(index, self._call(call, number))

    def _call(self, call: Call, number: int) -> Frame:
        arguments = call.arguments
        if isinstance(arguments, str):
            arguments = orjson.loads(arguments or "{}")
        part: Frame = {"functionCall": {"name": call.name, "args": arguments}}
        if call.id is not None or self._named:
            part["functionCall"]["id"] = call.id or f"{self.exchange.hex(8)}{number:02d}"
        # Of the usual alphabet, which Google's package reads and writes back in the other one.
        signature = f"Eu0D+/{self.exchange.hex(10)}"
        signed = {"thoughtSignature": signature} if number == 0 else {}
        return {**part, **signed}

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Keep the reason for the last chunk."""
        self._finished[index] = _REASONS.get(reason, reason.upper())
        return []

    def closing(self, usage: Json) -> list[Frame]:
        """Return the last chunk: an empty text, the reason, the whole usage."""
        empty = {"role": "model", "parts": [{"text": ""}]}
        choices = [
            {"content": empty, "finishReason": reason, "index": index}
            for index, reason in self._finished.items()
            if reason
        ]
        return [self.frame(choices, usage)]

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return the content of a plain answer."""
        thought = (
            [{"text": thoughts, "thought": True}] if thoughts and self.exchange.thinks else []
        )
        said = [{"text": text}] if text else []
        called = [self._call(call, number) for number, call in enumerate(calls)]
        return {"role": "model", "parts": [*thought, *said, *called]}

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Return the plain answer."""
        choices = [
            {"content": message, "finishReason": _REASONS.get(reason, reason), "index": index}
            for index, (message, reason) in enumerate(messages)
        ]
        return self.frame(choices, usage)

    def usage(self, counts: Counts) -> Frame:
        """Return Gemini's counts: thoughts beside the answer."""
        return {
            "promptTokenCount": counts.prompt,
            "candidatesTokenCount": counts.answer,
            "thoughtsTokenCount": counts.reasoning,
            "totalTokenCount": counts.prompt + counts.completion,
        }
