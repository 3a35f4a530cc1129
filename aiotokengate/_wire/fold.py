"""A transcript folded into a reply, and the value that its answer was to have.

Strategy.  The usual reply has one choice, whose texts are joined one by one.  Where there are
more, the transcript is gone through once for all of them: its texts, and what is no text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Protocol, TypeAlias

from aiotokengate._wire.chat_completions import media_of
from aiotokengate._wire.dialects import Dialect
from aiotokengate._wire.transcript import (
    ANSWER,
    COMMENTARY,
    KINDS,
    REASONING,
    ChoiceState,
    Transcript,
)
from aiotokengate._wire.usage import usage_of
from aiotokengate.errors import ResponseInvalid
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

__all__ = ["About", "fold", "parsed_answer"]

_INDEX = attrgetter("index")
_LINK = "](data:"
_LINK_END = re.compile(r"[)\s]")


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
    """Return the reply that a transcript comes to, as far as it goes.

    ``dialect`` says which field carries reasoning back in the next turn.
    """
    states = sorted(log.choices.values(), key=_INDEX) or [ChoiceState(0)]
    text, others = _text_of(log), _others(log)
    choices = tuple([_choice(log, state, dialect, about.status, text, others) for state in states])
    return Reply(
        choices,
        about.status,
        log.usage or _usage(log, about, text),
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


_Text: TypeAlias = Callable[[int, int], str]
"""Joins the text of a choice and a kind."""

_Others: TypeAlias = Mapping[int, Sequence[Any]]
"""The entries of each choice that are no text."""


def _text_of(log: Transcript) -> _Text:
    if len(log.choices) <= _FEW:
        return log.text
    texts = log.texts()
    return lambda choice, kind: texts.get(KINDS * choice + kind, "")


_FEW: Final = 2


def _others(log: Transcript) -> _Others:
    found: dict[int, list[Any]] = {}
    for one in log.others():
        found.setdefault(getattr(one, "choice", 0), []).append(one)
    return found


def _usage(log: Transcript, about: About, text: _Text) -> Usage:
    if log.counts is not None:
        return usage_of(log.counts)
    from aiotokengate._wire.tokens import estimate_texts

    prompt = about.prompt_tokens
    thought = log.forgotten[REASONING] + estimate_texts(_texts(log, text, REASONING))
    said = log.forgotten[ANSWER] + estimate_texts(_texts(log, text, ANSWER, COMMENTARY))
    completion = thought + said
    return Usage(prompt, completion, thought, 0, prompt + completion, estimated=True)


def _texts(log: Transcript, text: _Text, *kinds: int) -> list[str]:
    return [text(index, kind) for kind in kinds for index in log.choices]


def _choice(
    log: Transcript,
    state: ChoiceState,
    dialect: Dialect,
    status: Status,
    text: _Text,
    of_choices: _Others,
) -> Choice:
    index = state.index
    whole = not log.first  # half a text is none
    answer = text(index, ANSWER) if whole else ""
    others = of_choices.get(index, ())
    return Choice(
        index,
        answer,
        text(index, REASONING) if whole else "",
        "".join(_of(others, RefusalDelta, "text")) if others else "",
        log.tool_calls(state) if state.calls else (),
        state.finish_reason,
        _status(log, state, status),
        tuple(state.logprobs) if state.logprobs else None,
        _media(others, answer),
        tuple(_of(others, CitationDelta, "citation")) if others else (),
        _echo(state.reasoning_field, dialect),
        [detail.whole() for detail in state.details.values()] if state.details else [],
        state.inline or "",
        state.native,
        _extra(state, others),
        text(index, COMMENTARY) if whole else "",
    )


def _extra(state: ChoiceState, others: Sequence[Any]) -> Mapping[str, Any]:
    """Add a spoken answer, and what no table knows, to the fields without a name."""
    state.join_thoughts()
    kept = [
        {"protocol": one.protocol, "type": one.type, "data": one.data}
        for one in others
        if isinstance(one, UnknownDelta)
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


def _of(items: Sequence[Any], kind: type[Any], name: str) -> Iterator[Any]:
    return (getattr(one, name) for one in items if isinstance(one, kind))


def _media(items: Sequence[Any], answer: str) -> tuple[Media, ...]:
    """Lift media from everywhere: parts and fields, and ``data:`` links inside the text."""
    own = tuple(_of(items, MediaDelta, "media")) if items else ()
    return own + tuple(map(media_of, _links(answer))) if _LINK in answer else own


def _links(text: str) -> Iterator[str]:
    """Return the addresses of the links to data, as Markdown has them: ``[…](data:…)``.

    Each character is looked at a fixed number of times, whatever brackets stand there.
    """
    begin, end = 0, -1  # where an opening bracket may stand; the newest end of an address
    at = text.find(_LINK)
    while at >= 0:
        start, bracket = at + len("]("), text.rfind("[", begin, at)
        closed = text.rfind("]", begin, at) > bracket
        if end < start:
            found = _LINK_END.search(text, start)
            end = found.start() if found else len(text)
        is_link = text.startswith(")", end) and end - start > len("data:")
        begin = at + 1
        if is_link and bracket >= 0 and not closed:
            yield text[start:end]
            begin = end
        at = text.find(_LINK, begin)


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


# --- the value of an answer ---------------------------------------------------------------------


def parsed_answer(
    reply: Reply, parse: Callable[[str], object]
) -> tuple[object, ResponseInvalid | None]:
    """Return the value of a whole answer, or the error of one that has none.

    A turn of tool calls has neither yet.
    """
    if reply.tool_calls:
        return None, None
    if reply.skipped:
        invalid = ResponseInvalid(f"frames of the reply could not be read: {reply.skipped}")
    else:
        try:
            return parse(reply.answer), None
        except Exception as error:  # noqa: BLE001 - a type of the user's may raise anything
            invalid = error if isinstance(error, ResponseInvalid) else _unfit(error)
    invalid.reply, invalid.request_id = reply, reply.request_id
    return None, invalid


def _unfit(error: Exception) -> ResponseInvalid:
    """Return the error of a type that raised something else than a refusal of the answer."""
    invalid = ResponseInvalid(f"the check of the answer's type raised {type(error).__name__}")
    trace = error.__traceback__
    # Without its first frame, the caller's, which holds the error that is made here.
    invalid.__cause__ = error.with_traceback(trace and trace.tb_next)
    return invalid
