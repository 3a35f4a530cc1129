"""Turns that another model has signed: what of them must not go to this one.

Vendors sign or encrypt what a model thought, and bind it to the model; some also to the
conversation.  What a message is signed for stands in its ``native``: ``asked``, the name that the
model was asked by, and ``model``, the name that it answered with.  Where neither is there, the
turn counts as the same model's.  A turn of another model goes without what is signed: that is
refused nowhere, but the model no longer knows what it thought, so it is noted.

Sources: anthropic 2.14.0 and Anthropic's page on thinking (a block of another model is dropped by
the server, or refused where thinking is bound), openai 3.57.0 (``input_transformations``),
Google's page on thought signatures (with the stand-in for histories of other models).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from aiotokengate._wire.parts import last_user_turn
from aiotokengate._wire.question import joined_text
from aiotokengate.catalogue import CATALOGUE, Model, ProtocolName, bare_name
from aiotokengate.types import Json

__all__ = ["STAND_IN", "has_seals", "own_turns"]

Message: TypeAlias = Mapping[str, Any]

STAND_IN: Final = "skip_thought_signature_validator"
"""What Gemini 3 and later take for the signature of a call that they did not make themselves."""


def own_turns(
    messages: Sequence[Message],
    model: str,
    row: Model,
    protocol: ProtocolName,
    *,
    keep: bool = False,
) -> tuple[Sequence[Message], tuple[str, ...]]:
    """Return the messages without what other models have signed, and a note if there was any.

    Args:
        messages: the history.
        model: that it goes to.
        row: what the catalogue says of it.
        protocol: that it goes over.
        keep: whether blocks of another model of this protocol go along all the same, which this
            one does not see.
    """
    kept: list[Message] = []
    lost: list[int] = []
    # Google looks at what came since the user's last words.
    current = last_user_turn(messages) if protocol == "gemini" and _wants_marks(row) else None
    for place, message in enumerate(messages):
        mine = message
        if _is_foreign(message, model):
            stays = keep and _is_at_home(message, protocol)
            mine = message if stays else _unsigned(message, protocol)
            if mine is not message or _stays_behind(message, protocol, keep=keep):
                lost.append(place)
            if current is not None and place >= current:
                mine = _vouched(mine)
        kept.append(mine)
    unchanged = all(one is other for one, other in zip(kept, messages, strict=True))
    return (messages if unchanged else kept), tuple(_notes(lost))


def _notes(places: Sequence[int]) -> Iterator[str]:
    if places:
        named = ", ".join(f"messages[{place}]" for place in places)
        yield f"the signed thinking of {named} is another model's: this one does not see it"


def _stays_behind(message: Message, protocol: ProtocolName, *, keep: bool) -> bool:
    """Return whether something signed is not for this protocol, or not read by this model."""
    return _is_signed(message) and (keep or message["native"].get("protocol") != protocol)


def _is_at_home(message: Message, protocol: ProtocolName) -> bool:
    """Return whether the model that made a turn speaks this protocol of its own."""
    return any(CATALOGUE.find(name).protocol == protocol for name in _makers(message))


def _makers(message: Message) -> list[str]:
    """Return the names of the model that made a turn, none where they are not told."""
    native = message.get("native")
    if not isinstance(native, Mapping):
        return []
    names = (native.get("asked"), native.get("model"))
    return [bare_name(name) for name in names if isinstance(name, str) and name]


def _is_foreign(message: Message, model: str) -> bool:
    """Return whether a turn names the model that made it, and that is another one."""
    makers = _makers(message) if message.get("role") == "assistant" else []
    return bool(makers) and bare_name(model) not in makers


# --- what is signed -----------------------------------------------------------------------------

_SIGNS: Final = ("signature", "encrypted_content", "thoughtSignature")


def _is_signed(message: Message) -> bool:
    if message["native"].get("protocol") == "chat":
        return has_seals(message)
    content = message["native"].get("content")
    blocks = content if isinstance(content, list | tuple) else ()
    return any(_bears_sign(block) for block in blocks)


def _bears_sign(block: object) -> bool:
    if not isinstance(block, Mapping):
        return False
    return block.get("type") == "redacted_thinking" or any(block.get(key) for key in _SIGNS)


def _unsigned(message: Message, protocol: ProtocolName) -> Message:
    """Return a turn as it may go to another model; the turn itself if nothing is signed."""
    if protocol == "chat":
        return _unsigned_chat(message)
    native = message["native"]
    content = native.get("content")
    if native.get("protocol") != protocol or not isinstance(content, list | tuple):
        return _unsigned_calls(message) if protocol == "gemini" else message
    blocks = list(_STRIPPED[protocol](content))
    if blocks == list(content):
        return message
    return {**message, "native": {**native, "content": blocks}}


def _without_thinking(blocks: Sequence[Any]) -> Iterator[Any]:
    for block in blocks:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind not in ("thinking", "redacted_thinking"):
            yield block


_TIED: Final = ("message", "function_call", "custom_tool_call")
"""Items whose id OpenAI looks up, to refuse them without the reasoning before them."""


def _without_reasoning(items: Sequence[Any]) -> Iterator[Any]:
    tied = any(_is_encrypted(item) for item in items)
    for item in items:
        if _is_encrypted(item):
            continue
        if tied and isinstance(item, Mapping) and item.get("type") in _TIED:
            yield {key: value for key, value in item.items() if key != "id"}
        else:
            yield item


def _is_encrypted(item: object) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "reasoning"


def _without_marks(parts: Sequence[Any]) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, Mapping) and "thoughtSignature" in part:
            left = {key: value for key, value in part.items() if key != "thoughtSignature"}
            if left and left != {"text": ""}:
                yield left
        else:
            yield part


_STRIPPED: Final[Mapping[str, Callable[[Sequence[Any]], Iterator[Any]]]] = MappingProxyType(
    {
        "messages": _without_thinking,
        "responses": _without_reasoning,
        "gemini": _without_marks,
    }
)


def _unsigned_chat(message: Message) -> Message:
    """Take out the signed entries beside the text, thoughts in it, and the signatures of calls."""
    bare = dict(_unsigned_calls(message))
    content = bare.get("content")
    if isinstance(content, list | tuple) and any(map(_is_thought, content)):
        bare["content"] = joined_text([part for part in content if not _is_thought(part)])
    for name in ("reasoning_details", "thinking_blocks"):
        entries = bare.get(name)
        if isinstance(entries, list | tuple):
            kept = [entry for entry in entries if not _is_sealed(entry)]
            bare[name] = kept
            if not kept:
                del bare[name]
    return message if bare == message else bare


def has_seals(message: Message) -> bool:
    """Return whether a turn of Chat Completions holds anything that its model signed."""
    return _unsigned_chat(message) is not message


def _is_thought(part: object) -> bool:
    """Return whether a part of content is Mistral's form of thoughts, which others refuse."""
    return isinstance(part, Mapping) and part.get("type") == "thinking"


def _is_sealed(entry: object) -> bool:
    if not isinstance(entry, Mapping):
        return False
    return bool(entry.get("signature") or entry.get("data"))


def _unsigned_calls(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple) or not any(map(_google, calls)):
        return message
    return {**message, "tool_calls": [_unmarked(call) for call in calls]}


def _google(call: object) -> Mapping[str, Any]:
    """Return what Google put beside a call, if that has its signature."""
    extra = call.get("extra_content") if isinstance(call, Mapping) else None
    google = extra.get("google") if isinstance(extra, Mapping) else None
    return google if isinstance(google, Mapping) and google.get("thought_signature") else {}


def _unmarked(call: Json) -> Json:
    if not _google(call):
        return call
    return {key: value for key, value in call.items() if key != "extra_content"}


# --- Google's stand-in --------------------------------------------------------------------------


def _wants_marks(row: Model) -> bool:
    """Return whether a model refuses a call without its mark: Gemini from 3 on, asked by level."""
    return row.wants_back == "blocks" and bool(row.efforts)


def _vouched(message: Message) -> Message:
    """Sign the first call of a turn of another model with the stand-in.

    A turn of Gemini's own that has lost its signature is left as it is, to be refused: what it
    lost was thrown away by mistake.
    """
    native = message["native"]
    if native.get("protocol") == "gemini" and isinstance(native.get("content"), list | tuple):
        return _vouched_parts(message)
    return _vouched_call(message)


def _vouched_parts(message: Message) -> Message:
    parts = list(message["native"]["content"])
    for place, part in enumerate(parts):
        if isinstance(part, Mapping) and "functionCall" in part:
            parts[place] = {**part, "thoughtSignature": STAND_IN}
            return {**message, "native": {**message["native"], "content": parts}}
    return message


def _vouched_call(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list | tuple) or not calls or not isinstance(calls[0], Mapping):
        return message
    signed = {**calls[0], "extra_content": {"google": {"thought_signature": STAND_IN}}}
    return {**message, "tool_calls": [signed, *calls[1:]]}
