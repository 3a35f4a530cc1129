"""The protocols by name: how each encodes a question, and what reads its reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import attrs

from aiotokengate.catalogue import ProtocolName
from aiotokengate.errors import CallerError
from aiotokengate.wire.chat_completions import ChatCompletionsDecoder, encode_chat
from aiotokengate.wire.dialects import Dialect
from aiotokengate.wire.gemini import GeminiDecoder, encode_gemini
from aiotokengate.wire.messages import MessagesDecoder, encode_messages
from aiotokengate.wire.question import Decoder, Encoded, Question
from aiotokengate.wire.responses import ResponsesDecoder, encode_responses
from aiotokengate.wire.transcript import Transcript

__all__ = ["PROTOCOLS", "ProtocolForm", "checked_protocol"]

MakeDecoder: TypeAlias = Callable[[Dialect, Transcript], Decoder]


@attrs.frozen
class ProtocolForm:
    """One protocol.

    Attributes:
        encode: gives the request of a question.
        decoder: makes what reads the reply.
    """

    encode: Callable[[Question], Encoded]
    decoder: MakeDecoder


PROTOCOLS: Mapping[ProtocolName, ProtocolForm] = MappingProxyType(
    {
        "chat": ProtocolForm(encode_chat, ChatCompletionsDecoder),
        "responses": ProtocolForm(encode_responses, lambda _, log: ResponsesDecoder(log)),
        "messages": ProtocolForm(encode_messages, lambda _, log: MessagesDecoder(log)),
        "gemini": ProtocolForm(encode_gemini, lambda _, log: GeminiDecoder(log)),
    }
)


def checked_protocol(name: object) -> ProtocolName | None:
    """Check the option.

    Raises:
        CallerError: there is no such protocol.
    """
    if name is None or name in PROTOCOLS:
        return name  # type: ignore[return-value]
    message = f"expected protocol as one of {', '.join(PROTOCOLS)}, got {name!r}"
    raise CallerError(message)
