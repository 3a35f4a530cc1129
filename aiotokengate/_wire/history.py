"""Why a history would be refused, said before it is sent.

Each vendor wants other things back of its own turns, and answers with 400 where they are missing
(wire facts: DeepSeek's page on thinking with tools, Google's on thought signatures, Anthropic's
on extended and on adaptive thinking and on what is new in Claude 4.6).  These checks know the
rules; they change nothing, and they never raise on what stands in a history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from aiotokengate._wire.fitting import thinks, thinks_by_budget
from aiotokengate._wire.parts import last_user_turn, tool_calls_in
from aiotokengate._wire.question import Reasoning, joined_text, native_content
from aiotokengate.catalogue import UNKNOWN, Model, ProtocolName

__all__ = ["check_history", "says_nothing"]

Messages: TypeAlias = Sequence[Mapping[str, Any]]

_THOUGHTS: Final = ("thinking", "redacted_thinking", "reasoning")


def check_history(
    messages: Messages, row: Model, protocol: ProtocolName, reasoning: Reasoning = None
) -> tuple[str, ...]:
    """Return the reasons for which the gateway or the vendor would refuse a history.

    Args:
        messages: in the form of Chat Completions.
        row: what the catalogue says of the model.
        protocol: that it is to be sent over.
        reasoning: how much thinking is to be asked for; None is the model's own way.
    """
    return (
        *_pairing(messages),
        *_lost(messages, row, protocol, reasoning),
        *_ending(messages, row, protocol, reasoning),
    )


def says_nothing(message: Mapping[str, Any]) -> bool:
    """Return whether a turn has neither text nor media nor a call; its thoughts do not count."""
    content = message.get("content")
    parts = content if isinstance(content, list | tuple) else ()
    native = message.get("native")
    blocks = native.get("content") if isinstance(native, Mapping) else None
    return not (
        joined_text(content).strip()
        or any(isinstance(part, Mapping) and part.get("type") != "text" for part in parts)
        or message.get("tool_calls")
        or any(map(_is_said, blocks if isinstance(blocks, list | tuple) else ()))
    )


def _is_said(block: object) -> bool:
    if not isinstance(block, Mapping) or block.get("type") in _THOUGHTS or block.get("thought"):
        return False
    return any(
        value not in (None, "", [], {}) for key, value in block.items() if key not in _SIGNS
    )


_SIGNS: Final = ("type", "id", "role", "status", "signature", "thoughtSignature")
"""What a block has besides what it says."""


# --- calls and results --------------------------------------------------------------------------


def _pairing(messages: Messages) -> Iterator[str]:
    """Look for results without their calls, calls without their results, and empty turns."""
    open_calls: dict[str, int] = {}
    for place, message in enumerate(messages):
        if message.get("role") == "tool":
            call_id = str(message.get("tool_call_id"))
            if open_calls.pop(call_id, None) is None:
                yield f"messages[{place}] answers a tool call that is not before it: {call_id!r}"
            continue
        yield from _unanswered(open_calls)
        open_calls = {str(call.get("id")): place for call in tool_calls_in(message)}
        if message.get("role") in ("user", "assistant") and says_nothing(message):
            yield f"messages[{place}] is empty"
    yield from _unanswered(open_calls)


def _unanswered(calls: Mapping[str, int]) -> Iterator[str]:
    for call_id, place in calls.items():
        yield f"the tool call {call_id!r} of messages[{place}] has no answer after it"


# --- what is wanted back ------------------------------------------------------------------------


def _lost(
    messages: Messages, row: Model, protocol: ProtocolName, reasoning: Reasoning
) -> Iterator[str]:
    """Look for turns with tool calls that have lost what their vendor wants back."""
    rule = _RULES[protocol]
    if not rule.holds(row, reasoning):
        return
    first = last_user_turn(messages) + 1 if rule.current_turn else 0
    for place, message in enumerate(messages[first:], first):
        if tool_calls_in(message) and not rule.has_it(message):
            what = rule.what.format(family=row.family)
            yield f"the turn with tool calls in messages[{place}] lacks its {what}"


def _wants_reasoning(row: Model, reasoning: Reasoning) -> bool:
    return row.wants_back == "tool_reasoning" and thinks(row, reasoning)


def _always(_: Model, __: Reasoning) -> bool:
    return True


def _has_reasoning(message: Mapping[str, Any]) -> bool:
    return bool(message.get("reasoning_content"))


def _is_encrypted(message: Mapping[str, Any]) -> bool:
    """Return whether all reasoning that goes back is encrypted; a turn may have none."""
    items = native_content(message, "responses") or ()
    thoughts = (item for item in items if isinstance(item, Mapping))
    return all(
        item.get("encrypted_content") for item in thoughts if item.get("type") == "reasoning"
    )


def _is_signed(message: Mapping[str, Any]) -> bool:
    """Return whether a turn begins with thinking that is signed, or hidden."""
    first = next(iter(native_content(message, "messages") or ()), None)
    if not isinstance(first, Mapping):
        return False
    sign = {"thinking": "signature", "redacted_thinking": "data"}.get(str(first.get("type")))
    return sign is not None and bool(first.get(sign))


def _has_signature(message: Mapping[str, Any]) -> bool:
    """Return whether the first of parallel calls has its signature; the others have none."""
    parts = native_content(message, "gemini")
    if parts is not None:
        calls = [part for part in parts if isinstance(part, Mapping) and "functionCall" in part]
        return not calls or bool(calls[0].get("thoughtSignature"))
    extra = tool_calls_in(message)[0].get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return isinstance(google, Mapping) and bool(google.get("thought_signature"))


@attrs.frozen
class _Rule:
    """What a protocol's turns with tool calls must have.

    Attributes:
        holds: whether the rule is one for a model that is to think so much.
        has_it: whether a turn has what is wanted.
        what: that is.
        current_turn: whether only what came since the user's last words is looked at.
    """

    holds: Callable[[Model, Reasoning], bool]
    has_it: Callable[[Mapping[str, Any]], bool]
    what: str
    current_turn: bool = False


_RULES: Final[Mapping[ProtocolName, _Rule]] = MappingProxyType(
    {
        "chat": _Rule(
            _wants_reasoning, _has_reasoning, "reasoning_content, which {family} wants back"
        ),
        "responses": _Rule(
            _always,
            _is_encrypted,
            "encrypted reasoning, which OpenAI wants back where nothing is stored",
        ),
        "messages": _Rule(
            thinks_by_budget,
            _is_signed,
            "signed thinking, which is wanted back while thinking is on",
        ),
        "gemini": _Rule(
            _always,
            _has_signature,
            "thought signature, which Gemini 3 wants back",
            current_turn=True,
        ),
    }
)


# --- the end ------------------------------------------------------------------------------------


def _ending(
    messages: Messages, row: Model, protocol: ProtocolName, reasoning: Reasoning
) -> Iterator[str]:
    """Look for an unfinished turn of the assistant that the model can't go on from."""
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant" or tool_calls_in(last) or row is UNKNOWN:
        return
    if not row.prefix:
        why = "can't go on from"
    elif row.prefix == "prefix" and protocol == "chat" and not last.get("prefix"):
        why = "goes on from only with 'prefix': True"
    elif row.prefix == "prefill" and protocol == "messages":
        why = _refused_prefill(joined_text(last.get("content")), row, reasoning)
    else:
        why = ""
    if why:
        yield f"it ends with the assistant's turn, which {row.family}'s model {why}"


def _refused_prefill(text: str, row: Model, reasoning: Reasoning) -> str:
    if thinks_by_budget(row, reasoning):
        return "can't go on from while thinking is on"
    return "takes only without white space at its end" if text != text.rstrip() else ""
