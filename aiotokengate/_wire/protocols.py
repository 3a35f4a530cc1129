"""The protocols by name: how each encodes a question, and what reads its reply.

Those that a program does not speak are not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from aiotokengate._wire.chat_completions import ChatCompletionsDecoder, encode_chat
from aiotokengate._wire.dialects import Dialect
from aiotokengate._wire.question import Decoder, Encoded, Question
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import ProtocolName
from aiotokengate.errors import CallerError

__all__ = ["Codec", "checked_protocol", "find_protocol"]

MakeDecoder: TypeAlias = Callable[[Dialect, Transcript], Decoder]


@attrs.frozen(eq=False, repr=False)
class Codec:
    """One protocol.

    Attributes:
        encode: returns the request of a question.
        decoder: makes what reads the reply.
    """

    encode: Callable[[Question], Encoded]
    decoder: MakeDecoder


def _responses() -> Codec:
    from aiotokengate._wire.responses import encode_responses
    from aiotokengate._wire.responses_reply import ResponsesDecoder

    return Codec(encode_responses, lambda _, log: ResponsesDecoder(log))


def _messages() -> Codec:
    from aiotokengate._wire.messages import encode_messages
    from aiotokengate._wire.messages_reply import MessagesDecoder

    return Codec(encode_messages, lambda _, log: MessagesDecoder(log))


def _gemini() -> Codec:
    from aiotokengate._wire.gemini import encode_gemini
    from aiotokengate._wire.gemini_reply import GeminiDecoder

    return Codec(encode_gemini, lambda _, log: GeminiDecoder(log))


_CODECS: Final[Mapping[str, Callable[[], Codec]]] = MappingProxyType(
    {
        "chat": lambda: Codec(encode_chat, ChatCompletionsDecoder),
        "responses": _responses,
        "messages": _messages,
        "gemini": _gemini,
    }
)


@cache
def find_protocol(name: ProtocolName) -> Codec:
    """Return a protocol by its name."""
    return _CODECS.get(name, _CODECS["chat"])()


def checked_protocol(name: object) -> ProtocolName | None:
    """Return the option, if it names a protocol or is None.

    Raises:
        CallerError: there is no such protocol.
    """
    if name is None or name in _CODECS:
        return name  # type: ignore[return-value]
    message = f"expected protocol as one of {', '.join(_CODECS)}, got {name!r}"
    raise CallerError(message)
