"""The protocols that the fake gateway speaks: how each is read, answered and refused.

Strategy.  A request of any protocol is read into the form of Chat Completions, so that one
composer answers all of them and one set of limits counts them; the answer is shaped by a
:class:`Producer <aiotokengate.testing._dialects.Producer>` of that protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from aiotokengate.testing._chat_request import (
    ChatRequest,
    Refusal,
    read_anyhow,
    read_body,
    read_chat,
)
from aiotokengate.testing._dialects import Exchange, Producer
from aiotokengate.testing._features import features_of_chat
from aiotokengate.testing._field_types import CHAT_TYPES, check_types
from aiotokengate.testing._memory import Keep
from aiotokengate.testing._refusals import refuse
from aiotokengate.testing._request import GatewayRequest
from aiotokengate.testing._server_dialects import GeminiCompat
from aiotokengate.types import Json

__all__ = [
    "CHAT",
    "ChatPayloads",
    "Payloads",
    "function",
    "read",
    "read_scripted",
    "schema_format",
    "told",
]


CHAT = "/v1/chat/completions"


class Payloads(ABC):
    """One protocol, as the fake gateway speaks it.

    Attributes:
        path: of a question to a model.
        counting: where a question is asked for the number of its tokens alone, "" for nowhere.
    """

    path: ClassVar[str] = ""
    counting: ClassVar[str] = ""

    def takes(self, record: GatewayRequest) -> bool:
        """Return whether a request is of this protocol."""
        return record.path == self.path

    def counts(self, record: GatewayRequest) -> bool:
        """Return whether a request of this protocol only asks for the number of its tokens."""
        return record.path == self.counting

    def counted(self, tokens: int) -> Json:
        """Return the answer that tells a number of tokens."""
        return {"input_tokens": tokens}

    @abstractmethod
    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body in the form of Chat Completions.

        Raises:
            Refusal: it is none that this protocol knows.
        """

    @abstractmethod
    def checked(self, record: GatewayRequest, chat: ChatRequest) -> ChatRequest:
        """Refuse what the vendor of this protocol refuses; return what is asked of it.

        Raises:
            Refusal: there is something.
        """

    @abstractmethod
    def dialect(self, exchange: Exchange, chat: ChatRequest, record: GatewayRequest) -> Producer:
        """Return the shape of the answer."""

    def refused(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the body of an error, as new-api does unless a vendor has a form of its own."""
        return refusal.body(request_id)

    def memory(self, _record: GatewayRequest) -> Keep | None:
        """Return what keeps the answer to a request, if it is to be kept."""
        return None


def told(**fields: Json) -> Mapping[str, Json]:
    """Return the fields of a body that say something."""
    return {name: value for name, value in fields.items() if value not in (None, [])}


def function(**fields: Json) -> Mapping[str, Json]:
    """Return a function, or which one is to be called, in the form of Chat Completions."""
    return {"type": "function", "function": fields}


def schema_format(schema: Json) -> Mapping[str, Json]:
    """Return the form of an answer that has a schema, in the form of Chat Completions."""
    return {"type": "json_schema", "json_schema": {"schema": schema}}


def read(payloads: Payloads, record: GatewayRequest) -> ChatRequest:
    """Read a request.

    Raises:
        Refusal: the gateway, or the vendor, refuses it.
    """
    return payloads.checked(record, read_chat(payloads.body(record)))


def read_scripted(payloads: Payloads, record: GatewayRequest, name: str | None) -> ChatRequest:
    """Read a request whose answer is scripted: nearly everything will do.

    Raises:
        Refusal: it can't even be read.
    """
    return read_anyhow(payloads.body(record), name)


class ChatPayloads(Payloads):
    """Chat Completions."""

    path = CHAT

    def body(self, record: GatewayRequest) -> Mapping[str, Json]:
        """Return the body as it is."""
        body = read_body(record.body)
        check_types(body, CHAT_TYPES)
        return body

    def checked(self, _record: GatewayRequest, chat: ChatRequest) -> ChatRequest:
        """Refuse what a vendor behind it refuses (the docs of DeepSeek and of Google)."""
        calling = [turn for turn in chat.body["messages"] if turn.get("tool_calls")]
        missing = ""
        if chat.model.owner == "deepseek" and chat.thinks:
            # An empty one is taken, of a turn that did not think.
            if any(turn.get("reasoning_content") is None for turn in calling):
                missing = (
                    "The `reasoning_content` in the thinking mode must be passed back to the API."
                )
        elif chat.model.dialect is GeminiCompat and not all(map(_is_signed, calling)):
            missing = "Function call is missing a thought_signature in functionCall parts."
        if missing:
            kind = "invalid_request_error"
            raise Refusal(400, missing, vendor=True, type=kind, param=None, code=kind)
        refuse(features_of_chat(chat))
        return chat

    def dialect(self, exchange: Exchange, chat: ChatRequest, _record: GatewayRequest) -> Producer:
        """Return the dialect of the model."""
        return chat.model.dialect(exchange)


def _is_signed(turn: Mapping[str, Json]) -> bool:
    """Return whether the first of a turn's calls has its signature; parallel ones have none."""
    value: Json = turn["tool_calls"][0]
    for key in ("extra_content", "google", "thought_signature"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return bool(value)
