"""The protocols by name: how each encodes a question, and what reads its reply.

Those that a program does not speak are not imported.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, TypeAlias, get_args

import attrs

from aiotokengate._wire.chat_completions import ChatCompletionsDecoder, encode_chat
from aiotokengate._wire.dialects import Dialect
from aiotokengate._wire.question import Decoder, Encoded, Question
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import ProtocolName
from aiotokengate.errors import CallerError

__all__ = ["ProtocolForm", "checked_protocol", "find_protocol"]

MakeDecoder: TypeAlias = Callable[[Dialect, Transcript], Decoder]

_NAMES: Final[tuple[ProtocolName, ...]] = get_args(ProtocolName)


@attrs.frozen(eq=False, repr=False)
class ProtocolForm:
    """One protocol.

    Attributes:
        encode: gives the request of a question.
        decoder: makes what reads the reply.
    """

    encode: Callable[[Question], Encoded]
    decoder: MakeDecoder


@cache
def find_protocol(name: ProtocolName) -> ProtocolForm:
    """Give a protocol by its name."""
    if name == "responses":
        from aiotokengate._wire import responses, responses_reply  # noqa: PLC0415 - see the head

        return ProtocolForm(
            responses.encode_responses, lambda _, log: responses_reply.ResponsesDecoder(log)
        )
    if name == "messages":
        from aiotokengate._wire import messages, messages_reply  # noqa: PLC0415 - the same

        return ProtocolForm(
            messages.encode_messages, lambda _, log: messages_reply.MessagesDecoder(log)
        )
    if name == "gemini":
        from aiotokengate._wire import gemini, gemini_reply  # noqa: PLC0415 - the same

        return ProtocolForm(gemini.encode_gemini, lambda _, log: gemini_reply.GeminiDecoder(log))
    return ProtocolForm(encode_chat, ChatCompletionsDecoder)


def checked_protocol(name: object) -> ProtocolName | None:
    """Check the option.

    Raises:
        CallerError: there is no such protocol.
    """
    if name is None or name in _NAMES:
        return name
    message = f"expected protocol as one of {', '.join(_NAMES)}, got {name!r}"
    raise CallerError(message)
