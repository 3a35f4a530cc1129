"""Why a history would be refused, said before it is sent.

Each vendor wants other things back of its own turns, and answers with 400 where they are missing
(wire facts: DeepSeek's and Google's pages on thinking with tools, Anthropic's on extended
thinking).  These checks know the rules; they change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiotokengate.catalogue import Model, ProtocolName
from aiotokengate.wire.question import joined_text, native_content

__all__ = ["check_history"]

_SIGNED = ("thinking", "redacted_thinking")


def check_history(
    messages: Sequence[Mapping[str, Any]], row: Model, protocol: ProtocolName
) -> tuple[str, ...]:
    """Give the reasons for which the gateway or the vendor would refuse a history.

    Args:
        messages: in the form of Chat Completions.
        row: what the catalogue says of the model.
        protocol: that it is to be sent over.
    """
    return (
        *_pairing(messages),
        *_lost_reasoning(messages, row, protocol),
        *_ending(messages, row),
    )


def _pairing(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Look for results without their calls, and calls without their results."""
    open_calls: dict[str, int] = {}
    for place, message in enumerate(messages):
        if message.get("role") == "tool":
            call_id = str(message.get("tool_call_id"))
            if open_calls.pop(call_id, None) is None:
                yield f"messages[{place}] answers a tool call that is not before it: {call_id!r}"
            continue
        yield from _unanswered(open_calls)
        open_calls = {str(call.get("id")): place for call in message.get("tool_calls") or ()}
        if message.get("role") in ("user", "assistant") and _is_empty(message):
            yield f"messages[{place}] is empty"
    yield from _unanswered(open_calls)


def _unanswered(calls: Mapping[str, int]) -> Iterator[str]:
    for call_id, place in calls.items():
        yield f"the tool call {call_id!r} of messages[{place}] has no answer after it"


def _is_empty(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts = isinstance(content, list | tuple) and len(content) > 0
    return not (parts or joined_text(content) or message.get("tool_calls"))


def _lost_reasoning(
    messages: Sequence[Mapping[str, Any]], row: Model, protocol: ProtocolName
) -> Iterator[str]:
    """Look for turns with tool calls that have lost what their vendor wants back."""
    for place, message in enumerate(messages):
        if not message.get("tool_calls"):
            continue
        where = f"the turn with tool calls in messages[{place}]"
        if row.wants_back == "tool_reasoning" and not message.get("reasoning_content"):
            yield f"{where} lacks its reasoning_content, which {row.family} wants back"
        elif protocol == "messages" and not _is_signed(message):
            yield f"{where} lacks its signed thinking, which is wanted back while thinking is on"
        elif protocol == "gemini" and not _has_signature(message):
            yield f"{where} lacks its thought signature, which Gemini 3 wants back"


def _is_signed(message: Mapping[str, Any]) -> bool:
    blocks = native_content(message, "messages") or ()
    return any(block.get("type") in _SIGNED for block in blocks)


def _has_signature(message: Mapping[str, Any]) -> bool:
    parts = native_content(message, "gemini") or ()
    calls = (call.get("extra_content") or {} for call in message.get("tool_calls") or ())
    kept = (extra.get("google", {}).get("thought_signature") for extra in calls)
    return any(part.get("thoughtSignature") for part in parts) or any(kept)


def _ending(messages: Sequence[Mapping[str, Any]], row: Model) -> Iterator[str]:
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant" and not row.prefix:
        yield f"it ends with the assistant's turn, which {row.family}'s model can't go on from"
