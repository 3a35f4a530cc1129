"""What the words mean with which vendors end a choice: one table of classes, by protocol.

A word is a claim and no proof (see :mod:`.framing`).  Its class says what the claim comes to:

- ``finished``: said all that it wanted to say; ``calls``: waits for the results of its calls.
- ``length``: cut by a limit of tokens; ``filtered``: cut, or refused, for what it says.
- ``paused``: to be continued by a further request.
- ``broken``: the work was interrupted; never a success.
- ``other``: a word that nobody has documented, taken for a finish and given as it came.

Words are compared without case.  Sources: the vendors' references (OpenAI, DeepSeek, Z.AI,
Mistral, Anthropic, Google), the types of the packages ``openai``, ``anthropic``, ``google-genai``
and ``mistralai``, the servers SGLang and vLLM; each group says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from aiotokengate.errors import (
    BadRequest,
    Overloaded,
    ServerFailed,
    StatusError,
    TokenGateError,
    WireError,
)

__all__ = ["CLASSES", "Ending", "broken_off", "details_in", "ending_of", "reason_of"]

Ending: TypeAlias = Literal["finished", "calls", "length", "filtered", "paused", "broken", "other"]


def _classes(**words: str) -> Mapping[str, Ending]:
    table = {word: name for name, listed in words.items() for word in listed.split()}
    return MappingProxyType(table)  # type: ignore[arg-type]


CLASSES: Final[Mapping[str, Mapping[str, Ending]]] = {
    "chat": _classes(
        # OpenAI, DeepSeek, Qwen, xAI; then Cohere, TGI and Bedrock behind gateways.
        finished="stop complete eos eos_token stop_sequence end_turn end",
        calls="tool_calls function_call tool_use",
        # Z.AI: model_context_window_exceeded; Mistral: model_length.
        length="length max_tokens model_length model_context_window_exceeded max_output_tokens",
        # Z.AI: sensitive; Cohere: ERROR_TOXIC; Bedrock: guardrail_intervened, content_filtered.
        filtered="content_filter sensitive error_toxic guardrail_intervened content_filtered"
        " refusal safety recitation blocklist prohibited_content spii",
        paused="pause_turn compaction continuation",
        # DeepSeek, Z.AI, SGLang and vLLM, Mistral and OpenRouter; Gemini's words through bridges.
        broken="insufficient_system_resource network_error abort error repetition"
        " malformed_function_call malformed_response unexpected_tool_call too_many_tool_calls"
        " missing_thought_signature time_limit",
    ),
    "responses": _classes(
        finished="completed stop",
        length="max_output_tokens max_messages",
        filtered="content_filter",
        paused="steered",
        broken="failed cancelled",
    ),
    "messages": _classes(
        finished="end_turn stop_sequence stop",
        calls="tool_use tool_calls",
        length="max_tokens model_context_window_exceeded length",
        filtered="refusal content_filter",
        paused="pause_turn compaction",
        broken="error network_error abort insufficient_system_resource repetition",
    ),
    # Those that only the account or an image can have are counted where google-genai puts them.
    "gemini": _classes(
        finished="stop",
        length="max_tokens",
        filtered="safety recitation language blocklist prohibited_content spii image_safety"
        " image_prohibited_content image_recitation model_armor escalation pup_limited_disabled",
        paused="continuation",
        broken="malformed_function_call unexpected_tool_call too_many_tool_calls"
        " malformed_response missing_thought_signature no_image image_other other error abort",
    ),
}
"""The class of each word, by protocol."""

_COMMON: Final[Mapping[Ending, str]] = MappingProxyType(
    {"finished": "stop", "calls": "tool_calls", "length": "length", "filtered": "content_filter"}
)
"""What a class is called in Chat Completions, for the protocols with words of their own."""

_NO_WORDS: Final = frozenset(("", "null", "none", "finish_reason_unspecified"))


def ending_of(protocol: str, word: str) -> Ending | None:
    """Return the class of a finish word, None for what is no word at all."""
    known = word.strip().lower()
    return None if known in _NO_WORDS else CLASSES[protocol].get(known, "other")


def reason_of(protocol: str, word: str) -> str:
    """Return a vendor's word in the common form, or as it came where there is none."""
    ending = CLASSES[protocol].get(word.lower(), "other")
    return _COMMON.get(ending, word)


# --- broken off ---------------------------------------------------------------------------------

_ANSWERS: Final = frozenset(
    (
        *("malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"),
        *("malformed_response", "repetition", "no_image", "image_other", "other"),
    )
)
"""Faults of what the model wrote: asked again at once it writes the same, mostly."""

_FAULTS: Final[Mapping[str, type[StatusError]]] = MappingProxyType(
    {
        "insufficient_system_resource": Overloaded,
        "missing_thought_signature": BadRequest,
    }
)


def broken_off(word: str, details: str = "") -> TokenGateError:
    """Return the error for a word that means broken off, where the chunk says no more.

    Args:
        word: as the vendor wrote it; it becomes the error's code.
        details: what the vendor says beside it (Gemini's ``finishMessage``).
    """
    known = word.lower()
    reason = f": {details}" if details else ""
    message = f"the model's reply was broken off ({word}){reason}"
    if known in _ANSWERS:
        error = WireError(message, code=word)
        error.useless_answer = True
        return error
    return _FAULTS.get(known, ServerFailed)(message, code=word)


def details_in(holder: Mapping[str, Any]) -> str:
    """Return what Gemini says beside a finish reason."""
    message = holder.get("finishMessage")
    return message if isinstance(message, str) else ""
