"""A transcript folded into a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from aiotokengate.types import (
    Attempt,
    Choice,
    CitationDelta,
    Media,
    MediaDelta,
    RefusalDelta,
    Reply,
    Status,
    Timeline,
    Usage,
)
from aiotokengate.wire.chat_completions import media_of
from aiotokengate.wire.dialects import Dialect
from aiotokengate.wire.transcript import ANSWER, REASONING, ChoiceState, Transcript
from aiotokengate.wire.usage import estimated_usage, usage_of

__all__ = ["About", "fold"]

_INLINE_MEDIA = re.compile(r"!?\[[^\]]*\]\((data:[^)\s]+)\)")


@attrs.define(eq=False)
class About:
    """What a reply says beyond what came in the body.

    Attributes:
        status: of the call; a choice without a finish reason is never ``complete``.
        prompt_bytes: size of the request, for the estimate where no usage came.
    """

    status: Status
    prompt_bytes: int = 0
    headers: Mapping[str, str] = attrs.field(factory=dict)
    request_id: str | None = None
    timeline: Timeline = attrs.field(factory=Timeline)
    attempts: tuple[Attempt, ...] = ()


def fold(log: Transcript, dialect: Dialect, about: About) -> Reply:
    """Make the reply that a transcript comes to, as far as it goes.

    ``dialect`` says which field carries reasoning back in the next turn.
    """
    states = [log.choices[index] for index in sorted(log.choices)] or [ChoiceState(0)]
    choices = tuple([_choice(log, state, dialect, about.status) for state in states])
    return Reply(
        choices=choices,
        status=about.status,
        usage=_usage(log, choices, about.prompt_bytes),
        model=log.model,
        id=log.id,
        request_id=about.request_id,
        headers=about.headers,
        extra=dict(log.extra),
        notes=tuple(_notes(log, choices)),
        timeline=about.timeline,
        attempts=about.attempts,
    )


def _usage(log: Transcript, choices: tuple[Choice, ...], prompt_bytes: int) -> Usage:
    if log.usage is not None:
        return log.usage
    if log.counts is not None:
        return usage_of(log.counts)
    answers = "".join(choice.answer for choice in choices)
    return estimated_usage(prompt_bytes, answers, "".join(choice.reasoning for choice in choices))


def _choice(log: Transcript, state: ChoiceState, dialect: Dialect, status: Status) -> Choice:
    answer = log.text(state.index, ANSWER)
    reasoning = log.text(state.index, REASONING)
    rest = log.others()
    finished = state.finish_reason is not None
    open_status: Status = "stopped" if status == "stopped" else "interrupted"
    return Choice(
        index=state.index,
        answer=answer,
        reasoning=reasoning,
        refusal="".join(_of(rest, RefusalDelta, state.index, "text")) if rest else "",
        tool_calls=state.tool_calls(),
        finish_reason=state.finish_reason,
        status="complete" if finished else open_status,
        logprobs=tuple(state.logprobs) or None,
        media=_media(rest, state.index, answer),
        citations=tuple(_of(rest, CitationDelta, state.index, "citation")) if rest else (),
        raw=_raw(state, answer, reasoning, dialect),
        extra=state.extra,
    )


def _of(items: list[Any], kind: type[Any], choice: int, name: str) -> Iterator[Any]:
    return (getattr(i, name) for i in items if isinstance(i, kind) and i.choice == choice)


def _media(items: list[Any], choice: int, answer: str) -> tuple[Media, ...]:
    """Lift media from everywhere: parts and fields, and ``data:`` links inside the text."""
    own = tuple(_of(items, MediaDelta, choice, "media")) if items else ()
    if "](data:" not in answer:
        return own
    return own + tuple(media_of(found[1]) for found in _INLINE_MEDIA.finditer(answer))


def _raw(state: ChoiceState, answer: str, reasoning: str, dialect: Dialect) -> Mapping[str, Any]:
    """Give the assistant message as its vendor wants it back."""
    calls = [call.to_dict() for call in state.tool_calls() if call.complete] if state.calls else []
    content = (state.inline or "") + answer
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content or ("" if not calls else None),
    }
    field = state.reasoning_field
    if field not in (None, "reasoning_details"):
        message[dialect.echo or field] = reasoning
    if state.details:
        message["reasoning_details"] = [detail.whole() for detail in state.details.values()]
    if calls:
        message["tool_calls"] = calls
    return message


def _notes(log: Transcript, choices: tuple[Choice, ...]) -> Iterator[str]:
    for choice in choices:
        out_of_room = choice.finish_reason == "length" and choice.reasoning and not choice.answer
        if out_of_room or (choice.index in log.choices and log.choices[choice.index].truncated):
            yield "thinking cut short: the reply ended inside the reasoning"
            break
    if log.skipped:
        yield f"frames skipped: {log.skipped} not readable as JSON objects"
    if log.finished and len(choices) < log.expected:
        yield f"fewer choices: {log.expected} asked for, {len(choices)} came"
    yield from log.notes
