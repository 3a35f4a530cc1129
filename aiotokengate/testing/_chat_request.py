"""A chat request as the fake gateway reads it, and how it refuses what it can't serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email import message_from_bytes
from typing import NoReturn

import attrs
import orjson

from aiotokengate.testing._dialects import Producer
from aiotokengate.testing._models import Model, find
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._tokens import count_tokens
from aiotokengate.types import Json

__all__ = [
    "ChatRequest",
    "Refusal",
    "Weight",
    "read_anyhow",
    "read_body",
    "read_chat",
    "read_fields",
    "weigh",
]


_TEMPLATE_TOKENS = 9
"""What a chat template adds to the prompt: 你好 is 11 tokens on the gateway's own page."""


_TYPES: Mapping[str, tuple[type, ...]] = {
    "stop": (str, list),
    "stream_options": (dict,),
    "tools": (list,),
}
_MOST: Mapping[str, int] = {"max_tokens": 2**31, "max_completion_tokens": 2**31, "n": 128}


class Refusal(Exception):
    """An answer that is no reply, in the shapes of the gateway's own errors (wire: new-api).

    Attributes:
        status: the HTTP status.
        body: the error object, without the request id that the gateway adds to its message.
        vendor: whether it is the vendor who refuses, in the form of its protocol.
    """

    def __init__(self, status: int, message: str, *, vendor: bool = False, **fields: Json) -> None:
        """Refuse with that status; ``fields`` stand beside the message, ``type`` among them."""
        super().__init__(message)
        self.status = status
        self.vendor = vendor
        self.fields = {"type": "new_api_error", **fields}

    def body(self, request_id: str) -> bytes:
        """Return the error object, whose message quotes the request."""
        message = f"{self} (request id: {request_id})"
        return orjson.dumps({"error": {"message": message, **self.fields}})


@attrs.frozen
class ChatRequest:
    """What a chat request asks for, as far as the fake gateway looks at it."""

    model: Model
    body: Mapping[str, Json] = attrs.field(repr=False)
    prompt: str = attrs.field(repr=False)
    prompt_tokens: int = _TEMPLATE_TOKENS

    @property
    def stream(self) -> bool:
        """Whether to stream."""
        return self.body.get("stream") is True

    @property
    def thinks(self) -> bool:
        """Whether the model is to think."""
        return self.model.thinks_about(self.body)

    @property
    def choices(self) -> int:
        """How many answers to give."""
        return int(self.body.get("n") or 1)

    @property
    def limit(self) -> int | None:
        """How many tokens the model may produce for each choice."""
        return _limit(self.body)

    @property
    def stops(self) -> Sequence[str]:
        """The texts at which an answer ends."""
        stop = self.body.get("stop") or ()
        stops = (stop,) if isinstance(stop, str) else stop
        return [text for text in stops if isinstance(text, str)]

    @property
    def stream_options(self) -> Mapping[str, Json]:
        """The options of the stream."""
        return self.body.get("stream_options") or {}

    @property
    def answers_tool(self) -> bool:
        """Whether the last message is the result of a tool."""
        return bool(self.body["messages"][-1].get("role") == "tool")


@attrs.frozen
class Weight:
    """What limits count of a request, whatever it is for."""

    model: str = ""
    prompt_tokens: int = 0
    max_tokens: int | None = None
    stream: bool = False


def read_body(raw: bytes) -> Mapping[str, Json]:
    """Read a request's JSON object.

    Raises:
        Refusal: 400, it is none.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        _refuse(f"无效的请求 / invalid request: {error}")
    if not isinstance(body, dict):
        _refuse(f"无效的请求 / invalid request: expected an object, got {_name(body)}")
    return body


def read_fields(record: GatewayRequest) -> Mapping[str, Json]:
    """Return the fields of a form or of JSON; a file as its bytes."""
    kind = record.headers.get("Content-Type", "")
    if not kind.startswith("multipart/form-data"):
        return read_body(record.body)
    message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + record.body)
    fields: dict[str, Json] = {}
    for part in message.walk():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            fields[name] = data if part.get_filename() else data.decode()
    return fields


def read_chat(body: Mapping[str, Json]) -> ChatRequest:
    """Read a chat request, in the order in which new-api looks at it.

    Raises:
        Refusal: 503 for a model that nobody serves, 400 for whatever else is wrong.
    """
    model = _model(body)
    _check(body)
    prompt = _text(body["messages"][-1].get("content"))
    size = _prompt_tokens(body["messages"])
    if size > model.context:
        raise _too_long(model, size)
    return ChatRequest(model, body, prompt, size)


def read_anyhow(body: Mapping[str, Json], name: str | None) -> ChatRequest:
    """Read a chat request whose answer is scripted: any model, any messages will do.

    Raises:
        Refusal: 400, a field that shapes the answer is malformed.
    """
    _check_fields(body)
    name = name or str(body.get("model"))
    return ChatRequest(find(name, body) or Model(name, Producer, "aiotokengate"), body, "")


def weigh(raw: bytes) -> Weight:
    """Weigh a request before anybody checks it; what can't be read weighs nothing."""
    try:
        body = read_body(raw)
    except Refusal:
        return Weight()
    model = body.get("model")
    return Weight(
        model if isinstance(model, str) else "",
        _input_tokens(body),
        _most_tokens(body),
        body.get("stream") is True,
    )


def _input_tokens(body: Mapping[str, Json]) -> int:
    messages = body.get("messages")
    if isinstance(messages, list):
        return _prompt_tokens([message for message in messages if isinstance(message, dict)])
    texts = body.get("input") or body.get("prompt")
    texts = texts if isinstance(texts, list) else [texts]
    return sum(count_tokens(text) for text in texts if isinstance(text, str))


def _prompt_tokens(messages: Sequence[Mapping[str, Json]]) -> int:
    texts = (_text(message.get("content")) for message in messages)
    return _TEMPLATE_TOKENS + sum(map(count_tokens, texts))


def _most_tokens(body: Mapping[str, Json]) -> int | None:
    """Return the most that all choices together may have."""
    try:
        _check_fields(body)
    except Refusal:
        return None
    limit = _limit(body)
    return None if limit is None else limit * (body.get("n") or 1)


def _limit(body: Mapping[str, Json]) -> int | None:
    limit = body.get("max_completion_tokens")
    return body.get("max_tokens") if limit is None else limit


def _model(body: Mapping[str, Json]) -> Model:
    name = body.get("model")
    if not isinstance(name, str) or not name:
        _refuse("未指定模型名称，模型名称不能为空 / model name not given")
    model = find(name, body)
    if model is None:
        message = (
            f"分组 default 下模型 {name} 无可用渠道（distributor）"
            f" / no available channel for model {name} under group default (distributor)"
        )
        raise Refusal(503, message, param="", code="model_not_found")
    return model


def _check(body: Mapping[str, Json]) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        _refuse("field messages is required: expected at least one message")
    if not all(isinstance(message, dict) and message.get("role") for message in messages):
        _refuse("field messages: expected objects with a role")
    _check_fields(body)


def _check_fields(body: Mapping[str, Json]) -> None:
    """Look at the fields that the fake gateway honours, and at no others."""
    for field, types in _TYPES.items():
        value = body.get(field)
        if value is not None and not isinstance(value, types):
            wanted = " or ".join(kind.__name__ for kind in types)
            _refuse(f"field {field}: expected {wanted}, got {_name(value)}")
    for field, most in _MOST.items():
        value = body.get(field)
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            _refuse(f"field {field}: expected an integer from 1 to {most}, got {_name(value)}")


def _refuse(message: str) -> NoReturn:
    raise Refusal(400, message, param="", code="invalid_request")


def _too_long(model: Model, size: int) -> Refusal:
    message = (
        f"This model's maximum context length is {model.context} tokens."
        f" However, your messages resulted in {size} tokens."
    )
    kind = "invalid_request_error"
    return Refusal(400, message, type=kind, param="messages", code="context_length_exceeded")


def _name(value: Json) -> str:
    return repr(value) if isinstance(value, int | float) else type(value).__name__


def _text(content: Json) -> str:
    """Return the text of a message, whichever form its content has."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))
