"""Bytes to values and back: pure, without a loop, a socket or a clock.

What few calls need is imported when it is first looked up here (PEP 562), so that
``import aiotokengate`` does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from html import unescape

    from aiotokengate._base.redaction import blanked, mask_keys, texts_in
    from aiotokengate._wire.extent import Extent
    from aiotokengate._wire.fitting import fitted
    from aiotokengate._wire.gemini import encode_gemini
    from aiotokengate._wire.gemini_reply import GeminiDecoder
    from aiotokengate._wire.history import check_history
    from aiotokengate._wire.messages import encode_messages
    from aiotokengate._wire.messages_reply import MessagesDecoder
    from aiotokengate._wire.responses import encode_responses
    from aiotokengate._wire.responses_reply import ResponsesDecoder
    from aiotokengate._wire.signed import has_seals
    from aiotokengate._wire.thinking import ask_to_think, checked_reasoning, unheeded
    from aiotokengate._wire.tokens import estimate_messages

__all__ = [
    "Extent",
    "GeminiDecoder",
    "MessagesDecoder",
    "ResponsesDecoder",
    "ask_to_think",
    "blanked",
    "check_history",
    "checked_reasoning",
    "encode_gemini",
    "encode_messages",
    "encode_responses",
    "estimate_messages",
    "fitted",
    "has_seals",
    "mask_keys",
    "texts_in",
    "unescape",
    "unheeded",
]

if not TYPE_CHECKING:  # to a type checker every name would be there
    _WHERE = {
        "Extent": "aiotokengate._wire.extent",
        "GeminiDecoder": "aiotokengate._wire.gemini_reply",
        "MessagesDecoder": "aiotokengate._wire.messages_reply",
        "ResponsesDecoder": "aiotokengate._wire.responses_reply",
        "ask_to_think": "aiotokengate._wire.thinking",
        "blanked": "aiotokengate._base.redaction",
        "check_history": "aiotokengate._wire.history",
        "checked_reasoning": "aiotokengate._wire.thinking",
        "encode_gemini": "aiotokengate._wire.gemini",
        "encode_messages": "aiotokengate._wire.messages",
        "encode_responses": "aiotokengate._wire.responses",
        "estimate_messages": "aiotokengate._wire.tokens",
        "fitted": "aiotokengate._wire.fitting",
        "has_seals": "aiotokengate._wire.signed",
        "mask_keys": "aiotokengate._base.redaction",
        "texts_in": "aiotokengate._base.redaction",
        "unescape": "html",
        "unheeded": "aiotokengate._wire.thinking",
    }

    def __getattr__(name: str) -> object:
        """Import a name where it is, and keep it."""
        if name not in _WHERE:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = globals()[name] = getattr(import_module(_WHERE[name]), name)
        return value
