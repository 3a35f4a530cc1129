"""Anthropic's Messages, as the fake gateway speaks it (recorded shapes)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

import orjson

from aiotokengate.testing._chat_request import ChatRequest, Refusal, read_body
from aiotokengate.testing._dialects import (
    Counts,
    Exchange,
    Frame,
    Producer,
    arguments_text,
    event,
    fragments,
)
from aiotokengate.testing._features import features_of_messages, plain_name
from aiotokengate.testing._field_types import MESSAGES_TYPES, check_types
from aiotokengate.testing._memory import Keep, Threads
from aiotokengate.testing._payloads import Payloads, function, schema_format, told
from aiotokengate.testing._refusals import HIDES_THOUGHTS, refuse
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._script import Call
from aiotokengate.types import Json

__all__ = ["MessagesNative", "MessagesPayloads"]


_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_CHOICES = {"any": "required", "none": "none"}
_LEAST_BUDGET = 1_024
_OLD_VERSION, _NEW_VERSION = "2023-06-01", "2026-10-21"
_ADAPTIVE_ONLY = "claude-opus-4-7"
_SUFFIX = "-thinking"
_LEAST_REPLY, _BUDGET_SHARE = 1280, 0.8
_SIGNED = ("thinking", "redacted_thinking")


class MessagesPayloads(Payloads):
    """The protocol under ``/v1/messages``."""

    path = "/v1/messages"
    counting = "/v1/messages/count_tokens"

    def __init__(self) -> None:
        """Begin without any thread."""
        self._threads = Threads()

    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body in the form of Chat Completions."""
        body = self._whole(record)
        messages = body.get("messages")
        turns = messages if isinstance(messages, list) else []
        return told(
            messages=[
                *(_system(body) if turns else ()),
                *(message for turn in turns for message in _messages(turn)),
            ],
            stop=body.get("stop_sequences"),
            tools=[_tool(tool) for tool in body.get("tools") or ()],
            tool_choice=_choice(body.get("tool_choice") or {}),
            response_format=_format(body),
            **{name: body.get(name) for name in ("model", "stream", "max_tokens")},
            **_effort(body),
        )

    def checked(self, record: GatewayRequest, chat: ChatRequest) -> ChatRequest:
        """Refuse what Anthropic refuses."""
        body = self._whole(record)
        version = record.headers.get("anthropic-version", _OLD_VERSION)
        problems = (_version_problems(body, version), _problems(body), _history_problems(body))
        for problem in chain.from_iterable(problems):
            raise Refusal(400, problem, vendor=True)
        refuse(features_of_messages(chat, body))
        return chat

    def dialect(self, exchange: Exchange, chat: ChatRequest, record: GatewayRequest) -> Producer:
        """Return the shape of the answer."""
        thinking = _thinking(read_body(record.body))
        hidden = HIDES_THOUGHTS.fullmatch(plain_name(chat.model.id))
        shown = not hidden or thinking.get("display") == "summarized"
        return MessagesNative(exchange, chat.prompt_tokens, shown=shown)

    def refused(self, refusal: Refusal, request_id: str) -> bytes:
        """Return an error: the gateway's own in its own form, the others as Anthropic does."""
        if not refusal.vendor:
            return refusal.body(request_id)
        kind = _TYPES.get(refusal.status, "api_error")
        error: Frame = {"type": kind, "message": str(refusal)}
        if "details" in refusal.fields:
            error["details"] = refusal.fields["details"]
        return orjson.dumps({"type": "error", "error": error, "request_id": request_id})

    def memory(self, record: GatewayRequest) -> Keep | None:
        """Return what holds an answer for a thread, if there is to be one."""
        if read_body(record.body).get("thread") is None:
            return None
        return partial(self._threads.keep, self._whole(record))

    def _whole(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body with what its thread holds."""
        betas = record.headers.get("anthropic-beta", "")
        body = read_body(record.body)
        check_types(body, MESSAGES_TYPES)
        return self._threads.filled(body, betas)


def _system(body: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    return [{"role": "system", "content": body["system"]}] if body.get("system") else []


def _messages(turn: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """Yield a turn as messages of Chat Completions."""
    content = turn.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for result in results:
        yield {"role": "tool", "content": result.get("content")}
    if len(results) < len(blocks):
        texts = [block for block in blocks if block.get("type") == "text"]
        yield {"role": turn.get("role"), "content": texts}


def _tool(tool: Mapping[str, Json]) -> Mapping[str, Json]:
    return function(name=tool.get("name"), parameters=tool.get("input_schema"))


def _choice(choice: Mapping[str, Json]) -> Json:
    if choice.get("type") == "tool":
        return function(name=choice.get("name"))
    return _CHOICES.get(choice.get("type", ""))


def _thinking(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return what is said of thinking; new-api says it for names that end so, if nobody has."""
    said, model = body.get("thinking"), str(body.get("model"))
    if said is not None or not model.endswith(_SUFFIX):
        return said or {}
    if model.startswith(_ADAPTIVE_ONLY):
        return {"type": "adaptive", "display": "summarized"}
    most = max(_LEAST_REPLY, body.get("max_tokens") or 0)
    return {"type": "enabled", "budget_tokens": int(most * _BUDGET_SHARE)}


def _effort(body: Mapping[str, Json]) -> Mapping[str, Json]:
    """Say in new-api's words whether it is to think."""
    thinking = _thinking(body)
    if thinking.get("type") == "enabled":
        return {"reasoning": {"max_tokens": thinking.get("budget_tokens")}}
    if thinking.get("type") == "adaptive":
        return {"reasoning_effort": "high"}
    return {"reasoning": {"max_tokens": 0}} if thinking else {}


def _format(body: Mapping[str, Json]) -> Json:
    """Return the form that the answer is to have."""
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    if wanted.get("type") != "json_schema":
        return None
    return schema_format(wanted.get("schema"))


def _version_problems(body: Mapping[str, Json], version: str) -> Iterator[str]:
    """Look for what a version does not take (Anthropic's page on versions)."""
    if version not in (_OLD_VERSION, _NEW_VERSION):
        yield f'anthropic-version: "{version}" is not a valid version'
    if version != _NEW_VERSION:
        return
    for name in ("temperature", "top_p", "top_k"):
        if body.get(name) is not None:
            yield f"{name}: may not be set with anthropic-version {_NEW_VERSION}"
    for place, turn in enumerate(body["messages"]):
        for block in _blocks(turn):
            kind, role = block.get("type"), turn.get("role")
            if role == "assistant" and kind == "document":
                yield f"messages.{place}.content: 'document' may not stand in an assistant message"
            if role == "user" and kind == "text" and block.get("citations"):
                yield f"messages.{place}.content: 'citations' may not stand in a user message"


def _blocks(turn: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    content = turn.get("content")
    return content if isinstance(content, list) else []


def _problems(body: Mapping[str, Json]) -> Iterator[str]:
    most, thinking = body.get("max_tokens"), body.get("thinking") or {}
    if not isinstance(most, int):
        yield "max_tokens: Field required"
        return
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens") or 0
        if budget < _LEAST_BUDGET:
            yield "thinking.enabled.budget_tokens: Input should be at least 1024"
        if budget >= most:
            yield "`max_tokens` must be greater than `thinking.budget_tokens`"
    if _thinks(body) and body.get("temperature") not in (None, 1):
        yield "`temperature` may only be set to 1 when thinking is enabled"


def _thinks(body: Mapping[str, Json]) -> bool:
    return (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")


def _history_problems(body: Mapping[str, Json]) -> Iterator[str]:
    """Look for results without their calls, and for calls whose thinking was lost.

    Turns must begin with thinking where it has a budget, and need not where it is adaptive
    (Anthropic's page on adaptive thinking).
    """
    wanted = _thinking(body).get("type") == "enabled"
    called: set[Json] = set()
    for place, turn in enumerate(body["messages"]):
        blocks = _blocks(turn)
        uses = [block for block in blocks if block.get("type") == "tool_use"]
        for block in blocks:
            lost = block.get("type") == "tool_result" and block.get("tool_use_id") not in called
            if lost:
                yield f"messages.{place}: unexpected `tool_use_id` found in `tool_result` blocks"
        if uses and wanted and not _is_signed(blocks[0]):
            yield (
                f"messages.{place}.content.0.type: Expected `thinking` or `redacted_thinking`, "
                f"but found `{blocks[0].get('type')}`"
            )
        called = {block.get("id") for block in uses}


def _is_signed(block: Mapping[str, Json]) -> bool:
    return block.get("type") in _SIGNED and bool(block.get("signature") or block.get("data"))


class MessagesNative(Producer):
    """The events of a message: blocks begun, filled and ended; thinking is signed at its end."""

    done = b""

    def __init__(self, exchange: Exchange, prompt_tokens: int, *, shown: bool) -> None:
        """Begin a reply; ``shown`` is whether thoughts have their text."""
        super().__init__(exchange)
        self._prompt_tokens = prompt_tokens
        self._shown = shown
        self._blocks = 0
        self._open = ""
        self._reason = ""

    def event(self, frame: Frame) -> bytes:
        """Return an event with its name."""
        return f"event: {frame['type']}\n".encode() + event(frame)

    # --- events ---------------------------------------------------------------------------------

    def opening(self, _index: int) -> list[Frame]:
        """Return the message without its content, and a ping."""
        usage = {**self.usage(Counts(self._prompt_tokens)), "output_tokens": 1}
        message = {**self._message([], None), "usage": usage}
        return [{"type": "message_start", "message": message}, {"type": "ping"}]

    def _message(self, content: Sequence[Frame], reason: str | None) -> Frame:
        return {
            "id": f"msg_{self.exchange.hex(24)}",
            "type": "message",
            "role": "assistant",
            "model": self.exchange.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
        }

    def _begin(self, kind: str, block: Frame) -> list[Frame]:
        ended = self._end()
        self._open = kind
        return [
            *ended,
            {"type": "content_block_start", "index": self._blocks, "content_block": block},
        ]

    def _end(self) -> list[Frame]:
        if not self._open:
            return []
        signed = self._open == "thinking"
        frames = self._delta({"type": "signature_delta", "signature": self._signature()})
        stop = {"type": "content_block_stop", "index": self._blocks}
        self._open, self._blocks = "", self._blocks + 1
        return [*(frames if signed else ()), stop]

    def _signature(self) -> str:
        return f"EtYD{self.exchange.hex(24)}=="

    def _delta(self, delta: Frame) -> list[Frame]:
        return [{"type": "content_block_delta", "index": self._blocks, "delta": delta}]

    def thought(self, _index: int, text: str) -> list[Frame]:
        """Return a piece of thinking; its block if it is the first."""
        empty = {"type": "thinking", "thinking": "", "signature": ""}
        begun = [] if self._open == "thinking" else self._begin("thinking", empty)
        shown = self._delta({"type": "thinking_delta", "thinking": text}) if self._shown else []
        return [*begun, *shown]

    def text(self, _index: int, text: str, _finish: str | None) -> list[Frame]:
        """Return a piece of answer; its block if it is the first."""
        begun = [] if self._open == "text" else self._begin("text", {"type": "text", "text": ""})
        return [*begun, *self._delta({"type": "text_delta", "text": text})]

    def call(self, _index: int, number: int, call: Call) -> list[Frame]:
        """Return a tool call, its arguments in fragments."""
        begun = self._begin("tool_use", {**self._use(call, number), "input": {}})
        pieces = ("", *fragments(arguments_text(call)))
        parts = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
        return [*begun, *(frame for part in parts for frame in self._delta(part))]

    def _use(self, call: Call, number: int) -> Frame:
        return {
            "type": "tool_use",
            "id": call.id or f"toolu_{self.exchange.hex(22)}{number:02d}",
            "name": call.name,
        }

    def finish(self, _index: int, reason: str) -> list[Frame]:
        """End the last block, and keep the reason for the usage."""
        self._reason = _REASONS.get(reason, reason)
        return self._end()

    def closing(self, usage: Json) -> list[Frame]:
        """Return the reason with the usage, and the end."""
        delta = {"stop_reason": self._reason or None, "stop_sequence": None}
        return [
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]

    # --- the plain answer -----------------------------------------------------------------------

    def message(self, thoughts: str, text: str, calls: Sequence[Call]) -> Frame:
        """Return the content of a plain answer."""
        shown = thoughts if self._shown else ""
        thinking = {"type": "thinking", "thinking": shown, "signature": self._signature()}
        uses = [
            {**self._use(call, number), "input": orjson.loads(arguments_text(call) or "{}")}
            for number, call in enumerate(calls)
        ]
        said = [{"type": "text", "text": text}] if text else []
        return {"content": [*([thinking] if thoughts else ()), *said, *uses]}

    def completion(self, messages: Sequence[tuple[Frame, str]], usage: Json) -> Frame:
        """Return the plain answer."""
        content, reason = messages[0]
        return {**self._message(content["content"], _REASONS.get(reason, reason)), "usage": usage}

    def usage(self, counts: Counts) -> Frame:
        """Return Anthropic's counts."""
        return {
            "input_tokens": counts.prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": counts.completion,
            "service_tier": "standard",
        }
