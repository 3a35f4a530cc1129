"""A transcript folded into a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from aiotokengate.types import (
    NOT_KEPT,
    UNKNOWN,
    Attempt,
    Choice,
    CitationDelta,
    Media,
    MediaDelta,
    RefusalDelta,
    Reply,
    Status,
    Timeline,
    UnknownDelta,
    Usage,
)
from aiotokengate.wire.chat_completions import media_of
from aiotokengate.wire.dialects import Dialect
from aiotokengate.wire.transcript import ANSWER, COMMENTARY, REASONING, ChoiceState, Transcript
from aiotokengate.wire.usage import usage_of

__all__ = ["About", "fold"]

_INDEX = attrgetter("index")
_INLINE_MEDIA = re.compile(r"!?\[[^\]]*\]\((data:[^)\s]+)\)")


class About(Protocol):
    """What a reply says beyond what came in the body.

    Attributes:
        status: of the call; a choice without a finish reason is never ``complete``.
    """

    status: Status
    headers: Mapping[str, str]
    request_id: str | None
    timeline: Timeline
    attempts: tuple[Attempt, ...]

    @property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt has, for the estimate where no usage came."""


def fold(log: Transcript, dialect: Dialect, about: About) -> Reply:
    """Make the reply that a transcript comes to, as far as it goes.

    ``dialect`` says which field carries reasoning back in the next turn.
    """
    states = sorted(log.choices.values(), key=_INDEX) or [ChoiceState(0)]
    choices = tuple([_choice(log, state, dialect, about.status) for state in states])
    return Reply(
        choices,
        about.status,
        log.usage or _usage(log, about),
        log.model,
        log.id,
        about.request_id,
        about.headers,
        log.extra,
        _notes(log, states, choices),
        None,
        about.timeline,
        about.attempts,
        log.skipped,
    )


def _usage(log: Transcript, about: About) -> Usage:
    if log.counts is not None:
        return usage_of(log.counts)
    from aiotokengate.wire.tokens import estimate_texts  # noqa: PLC0415 - for few replies

    prompt = about.prompt_tokens
    thought = log.forgotten[REASONING] + estimate_texts(_texts(log, REASONING))
    said = log.forgotten[ANSWER] + estimate_texts(_texts(log, ANSWER, COMMENTARY))
    completion = thought + said
    return Usage(prompt, completion, thought, 0, prompt + completion, estimated=True)


def _texts(log: Transcript, *kinds: int) -> list[str]:
    return [log.text(index, kind) for kind in kinds for index in log.choices]


def _choice(log: Transcript, state: ChoiceState, dialect: Dialect, status: Status) -> Choice:
    index = state.index
    whole = not log.first  # half a text is none
    answer = log.text(index, ANSWER) if whole else ""
    others = [] if log.plain else log.others()
    return Choice(
        index,
        answer,
        log.text(index, REASONING) if whole else "",
        "".join(_of(others, RefusalDelta, index, "text")) if others else "",
        log.tool_calls(state) if state.calls else (),
        state.finish_reason,
        _status(log, state, status),
        tuple(state.logprobs) if state.logprobs else None,
        _media(others, index, answer),
        tuple(_of(others, CitationDelta, index, "citation")) if others else (),
        _echo(state.reasoning_field, dialect),
        [detail.whole() for detail in state.details.values()] if state.details else [],
        state.inline or "",
        state.native,
        _extra(state, others),
        log.text(index, COMMENTARY) if whole else "",
    )


def _extra(state: ChoiceState, others: Sequence[Any]) -> Mapping[str, Any]:
    """Add a spoken answer, and what no table knows, to the fields without a name."""
    kept = [
        {"protocol": one.protocol, "type": one.type, "data": one.data}
        for one in others
        if isinstance(one, UnknownDelta) and one.choice == state.index
    ]
    audio = {"audio": state.audio.whole()} if state.audio is not None else {}
    more = {**audio, UNKNOWN: kept} if kept else audio
    return {**state.extra, **more} if more else state.extra


def _echo(field: str | None, dialect: Dialect) -> str | None:
    """Name the field that carries the reasoning back; details go back as they are."""
    return None if field in (None, "reasoning_details") else dialect.echo or field


def _status(log: Transcript, state: ChoiceState, status: Status) -> Status:
    if log.is_finished(state):
        return "paused" if state.ending == "paused" else "complete"
    return "stopped" if status == "stopped" else "interrupted"


def _of(items: list[Any], kind: type[Any], choice: int, name: str) -> Iterator[Any]:
    return (getattr(i, name) for i in items if isinstance(i, kind) and i.choice == choice)


def _media(items: list[Any], choice: int, answer: str) -> tuple[Media, ...]:
    """Lift media from everywhere: parts and fields, and ``data:`` links inside the text."""
    own = tuple(_of(items, MediaDelta, choice, "media")) if items else ()
    if "](data:" not in answer:
        return own
    return own + tuple(media_of(found[1]) for found in _INLINE_MEDIA.finditer(answer))


def _notes(
    log: Transcript, states: Sequence[ChoiceState], choices: Sequence[Choice]
) -> tuple[str, ...]:
    notes: list[str] = []
    for state, choice in zip(states, choices, strict=True):
        out_of_room = state.finish_reason == "length" and choice.reasoning and not choice.answer
        if out_of_room or state.truncated:
            notes.append("thinking cut short: the reply ended inside the reasoning")
            break
    else:
        notes += _empty(log, choices)
    if log.first:
        notes.append(NOT_KEPT)
    if log.skipped:
        notes.append(f"frames skipped: {log.skipped} not readable as JSON objects")
    if any(choice.status == "paused" for choice in choices):
        notes.append("paused by the vendor: send the reply's message back to go on")
    if log.claimed and len(choices) < log.expected:
        notes.append(f"fewer choices: {log.expected} asked for, {len(choices)} came")
    return tuple(notes + log.notes)


def _empty(log: Transcript, choices: Sequence[Choice]) -> list[str]:
    for choice in choices:
        if choice.status == "complete" and choice.empty and not log.first:
            return [f"empty: finished with {choice.finish_reason!r} and nothing to show"]
    return []
