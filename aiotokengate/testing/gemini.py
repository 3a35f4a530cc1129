"""Google's generateContent, as the fake gateway speaks it (recorded shapes)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import orjson

from aiotokengate.testing.asked import Asked, Refusal, read_body
from aiotokengate.testing.dialects import Counts, Dialect, Exchange, Frame
from aiotokengate.testing.dialects import Json as DialectJson
from aiotokengate.testing.request import GatewayRequest
from aiotokengate.testing.script import Call

__all__ = ["GeminiForm", "GeminiNative"]

Json: TypeAlias = Any

_PATH = re.compile(r"/v1beta/models/(?P<model>.+):(?P<method>(?:stream)?[gG]enerateContent)")
_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_SIGNED = "gemini-3"


class GeminiForm:
    """The protocol under ``/v1beta``."""

    def takes(self, record: GatewayRequest) -> bool:
        """Whether a request is of this protocol."""
        return _PATH.fullmatch(record.path) is not None

    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Give the body in the form of Chat Completions."""
        place = _PATH.fullmatch(record.path)
        assert place is not None  # noqa: S101 - this form takes no other path
        body = read_body(record.body)
        config = body.get("generationConfig") or {}
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            message = "contents is not specified"
            raise Refusal(400, message, vendor=True)
        common = {
            "model": place["model"],
            "messages": [message for content in contents for message in _messages(content)],
            "stream": place["method"].startswith("stream"),
            "max_tokens": config.get("maxOutputTokens"),
            "n": config.get("candidateCount"),
            "stop": config.get("stopSequences"),
            "tools": list(_tools(body.get("tools") or ())),
            "tool_choice": _choice(body.get("toolConfig") or {}),
        }
        thinking = config.get("thinkingConfig")
        if isinstance(thinking, dict):
            shown = {"include_thoughts": thinking.get("includeThoughts") is True}
            common["extra_body"] = {"google": {"thinking_config": shown}}
        return {name: value for name, value in common.items() if value not in (None, [])}

    def checked(self, record: GatewayRequest, asked: Asked) -> Asked:
        """Refuse a call of the current turn that lost its thought signature (Gemini 3)."""
        if asked.model.id.startswith(_SIGNED):
            _check_signatures(record)
        return attrs.evolve(asked, model=attrs.evolve(asked.model, blurs=False))

    def dialect(self, exchange: Exchange, asked: Asked, record: GatewayRequest) -> Dialect:
        """Give the shape of the answer."""
        del asked, record
        return GeminiNative(exchange)

    def refused(self, refusal: Refusal, request_id: str) -> bytes:
        """Give an error: the gateway's own in its own form, the others as Google does."""
        if not refusal.vendor:
            return refusal.body(request_id)
        status = _STATUSES.get(refusal.status, "INTERNAL")
        error = {"code": refusal.status, "message": str(refusal), "status": status}
        return orjson.dumps({"error": error})


def _check_signatures(record: GatewayRequest) -> None:
    for content in _current_turn(read_body(record.body)["contents"]):
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if content.get("role") == "model" and first and not first.get("thoughtSignature"):
            name = first["functionCall"].get("name")
            message = f"Function call {name!r} is missing a thought_signature in functionCall"
            raise Refusal(400, message, vendor=True)


def _current_turn(contents: Sequence[Mapping[str, Json]]) -> Sequence[Mapping[str, Json]]:
    """Give what came since the last words of the user."""
    for place in range(len(contents) - 1, -1, -1):
        parts = contents[place].get("parts") or ()
        spoken = any("functionResponse" not in part for part in parts)
        if contents[place].get("role") != "model" and spoken:
            return contents[place + 1 :]
    return contents


def _messages(content: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """Give a turn as messages of Chat Completions."""
    parts = [part for part in content.get("parts") or () if isinstance(part, dict)]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    for result in results:
        yield {"role": "tool", "content": orjson.dumps(result.get("response")).decode()}
    if not results:
        role = "assistant" if content.get("role") == "model" else "user"
        texts = (part.get("text") for part in parts if not part.get("thought"))
        yield {"role": role, "content": "\n".join(text for text in texts if text)}


def _tools(tools: Sequence[Mapping[str, Json]]) -> Iterator[Mapping[str, Json]]:
    for tool in tools:
        for function in tool.get("functionDeclarations") or ():
            yield {"type": "function", "function": function}


def _choice(config: Mapping[str, Json]) -> Json:
    calling = config.get("functionCallingConfig") or {}
    names = calling.get("allowedFunctionNames")
    if names:
        return {"type": "function", "function": {"name": names[0]}}
    return {"ANY": "required", "NONE": "none"}.get(calling.get("mode", ""))


class GeminiNative(Dialect):
    """The chunks of ``streamGenerateContent``: parts, usage on every chunk, no end mark."""

    done = b""

    def __init__(self, exchange: Exchange) -> None:
        """Begin a reply."""
        super().__init__(exchange)
        self._finished: dict[int, str] = {}

    def frame(self, choices: Sequence[Frame], usage: DialectJson = None, kind: str = "") -> Frame:
        """Give a chunk; a plain answer has the same form."""
        del kind
        return {
            "candidates": choices,
            "usageMetadata": usage or {"promptTokenCount": 1, "totalTokenCount": 1},
            "modelVersion": self.exchange.model,
            "responseId": self.exchange.hex(22),
        }

    def _part(self, index: int, part: Frame) -> list[Frame]:
        content = {"role": "model", "parts": [part]}
        return [self.frame([{"content": content, "index": index}])]

    def opening(self, index: int) -> list[Frame]:
        """Give nothing: the first part is the first chunk."""
        del index
        return []

    def thought(self, index: int, text: str) -> list[Frame]:
        """Give a piece of thinking, if it was asked to be shown."""
        return self._part(index, {"text": text, "thought": True}) if self.exchange.thinks else []

    def text(self, index: int, text: str, finish: str | None) -> list[Frame]:
        """Give a piece of answer."""
        del finish
        return self._part(index, {"text": text})

    def call(self, index: int, number: int, call: Call) -> list[Frame]:
        """Give a whole call, the first of a turn with its signature."""
        return self._part(index, self._call(call, number))

    def _call(self, call: Call, number: int) -> Frame:
        arguments = call.arguments
        if isinstance(arguments, str):
            arguments = orjson.loads(arguments or "{}")
        part: Frame = {"functionCall": {"name": call.name, "args": arguments}}
        if call.id is not None:
            part["functionCall"]["id"] = call.id
        signed = {"thoughtSignature": f"Eu0D{self.exchange.hex(12)}"} if number == 0 else {}
        return {**part, **signed}

    def finish(self, index: int, reason: str) -> list[Frame]:
        """Keep the reason for the last chunk."""
        self._finished[index] = _REASONS.get(reason, reason.upper())
        return []

    def closing(self, usage: DialectJson) -> list[Frame]:
        """Give the last chunk: an empty text, the reason, the whole usage."""
        empty = {"role": "model", "parts": [{"text": ""}]}
        choices = [
            {"content": empty, "finishReason": reason, "index": index}
            for index, reason in self._finished.items()
            if reason
        ]
        return [self.frame(choices, usage)]

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Give the content of a plain answer."""
        thought = (
            [{"text": thoughts, "thought": True}] if thoughts and self.exchange.thinks else []
        )
        said = [{"text": text}] if text else []
        called = [self._call(call, number) for number, call in enumerate(calls)]
        return {"role": "model", "parts": [*thought, *said, *called]}

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: DialectJson) -> Frame:
        """Give the plain answer."""
        choices = [
            {"content": message, "finishReason": _REASONS.get(reason, reason), "index": index}
            for index, (message, reason) in enumerate(messages)
        ]
        return self.frame(choices, usage)

    def usage(self, counts: Counts) -> Frame:
        """Give Gemini's counts: thoughts beside the answer."""
        return {
            "promptTokenCount": counts.prompt,
            "candidatesTokenCount": counts.answer,
            "thoughtsTokenCount": counts.reasoning,
            "totalTokenCount": counts.prompt + counts.completion,
        }
