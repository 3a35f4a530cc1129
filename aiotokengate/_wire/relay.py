"""A reply written once more as a Chat Completions stream, for whoever stands behind us.

Strategy.  The plainest dialect: reasoning goes out as ``reasoning_content``, whatever field, tag
or block it came in.  What a later turn needs goes along: the signatures of calls with the calls,
``reasoning_details``, thinking blocks and logprobs with the next frame of their choice.

Nearly all events differ from the one before in their text alone; so what stands around a text is
written once, and again when the reply's head or the choice is another.

A call has one id, and it is told with the first piece, because that is where clients look for it.
So the pieces of a call whose id is not certain yet wait for it.

Commentary and what nobody knows have no place in this form and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from aiotokengate._wire.jsontext import written
from aiotokengate._wire.question import dicts_in
from aiotokengate._wire.transcript import TEXTS, ChoiceState, Transcript
from aiotokengate.types import (
    THINKING_BLOCKS,
    AnswerDelta,
    Citation,
    CitationDelta,
    CommentaryDelta,
    Delta,
    FinishDelta,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCallDelta,
    UnknownDelta,
    Usage,
    UsageDelta,
)

__all__ = ["Relay"]

_SIGNED = ("thinking", "redacted_thinking")


class _Call:
    """A call as far as it was sent on."""

    __slots__ = ("arguments", "fields", "id", "name", "sent")

    def __init__(self) -> None:
        self.id = ""
        self.name: list[str] = []
        self.arguments: list[str] = []
        self.fields = 0  # so many of those beside it
        self.sent = False


class Relay:
    """Writes the deltas of one reply as events."""

    __slots__ = ("_around", "_begun", "_calls", "_log", "_logprobs")

    def __init__(self, log: Transcript) -> None:
        """Begin before the first delta of a transcript."""
        self._log = log
        self._begun: set[int] = set()
        self._calls: dict[int, dict[int, _Call]] = {}
        self._logprobs: dict[int, int] = {}
        self._around: dict[int, tuple[str, object, str, bytes, bytes]] = {}

    def write(self, delta: Delta) -> bytes:
        """Return a delta as events of a Chat Completions stream, b"" for one that has none."""
        if isinstance(delta, UsageDelta):
            return self._event([], usage=_usage(delta.usage))
        if isinstance(delta, CommentaryDelta | UnknownDelta):
            return b""
        if isinstance(delta, ToolCallDelta):
            return self._tool_call(delta)
        if isinstance(delta, FinishDelta):
            return self._finish(delta)
        return self._frame(delta.choice, _fields(delta))

    def write_text(self, kind: int, text: str) -> bytes:
        """Return a text of the first choice as an event, by what stands around all of its kind."""
        log, state, found = self._log, self._log.choices.get(0), self._around.get(kind)
        if 0 not in self._begun or (state is not None and state.logprobs):
            return self.write(TEXTS[kind](text))
        if found is None or log.id != found[0] or log.model != found[2] or log.created != found[1]:
            head, tail = self.write(TEXTS[kind]("")).rsplit(b'""', 1)
            found = self._around[kind] = log.id, log.created, log.model, head, tail
        return b"%b%b%b" % (found[3], orjson.dumps(text), found[4])

    def _event(self, choices: list[Any], **more: object) -> bytes:
        log = self._log
        head = {"id": log.id, "object": "chat.completion.chunk", "created": log.created}
        chunk = {**head, "model": log.model, "choices": choices, **more}
        try:
            text = orjson.dumps(chunk)
        except TypeError:  # numbers beyond 64 bits, which a vendor has sent
            text = written(chunk).encode("utf-8", "replace")
        return b"data: " + text + b"\n\n"

    def _frame(self, index: int, fields: dict[str, Any], reason: str | None = None) -> bytes:
        if index not in self._begun:
            self._begun.add(index)
            fields = {"role": "assistant", **fields}
        choice = {"index": index, "delta": fields, "finish_reason": reason}
        news = self._new_logprobs(index)
        return self._event([{**choice, "logprobs": {"content": news}} if news else choice])

    def _new_logprobs(self, index: int) -> list[Any]:
        state = self._log.choices.get(index)
        if state is None or not state.logprobs:
            return []
        sent = self._logprobs.get(index, 0)
        self._logprobs[index] = len(state.logprobs)
        return state.logprobs[sent:]

    # --- tool calls -----------------------------------------------------------------------------

    def _tool_call(self, delta: ToolCallDelta) -> bytes:
        calls = self._calls.setdefault(delta.choice, {})
        call = calls.get(delta.index) or calls.setdefault(delta.index, _Call())
        call.id = call.id or delta.id
        call.name += [delta.name] if delta.name else ()
        call.arguments += [delta.arguments] if delta.arguments else ()
        certain = call.sent or (call.id and call.name)
        return self._send(delta.choice, delta.index, call) if certain else b""

    def _send(self, choice: int, index: int, call: _Call) -> bytes:
        function: dict[str, Any] = {"arguments": "".join(call.arguments)}
        piece: dict[str, Any] = {"index": index, "function": function}
        if not call.sent:
            piece |= {"id": call.id, "type": "function"}
            function["name"] = "".join(call.name)
        elif call.name:
            function["name"] = "".join(call.name)  # a piece of it that came later
        piece |= self._new_extra(choice, index, call)
        call.name, call.arguments, call.sent = [], [], True
        return self._frame(choice, {"tool_calls": [piece]})

    def _new_extra(self, choice: int, index: int, call: _Call) -> Mapping[str, Any]:
        """Return what a vendor wants back with a call, once; new fields are the last ones."""
        extra = self._extra(choice, index)
        news = islice(reversed(extra), len(extra) - call.fields)
        call.fields = len(extra)
        return {key: extra[key] for key in news}

    def _extra(self, choice: int, index: int) -> dict[str, Any]:
        state = self._log.choices.get(choice)
        calls = state.calls.all if state is not None else []
        return calls[index].extra if index < len(calls) else {}

    # --- the end of a choice --------------------------------------------------------------------

    def _finish(self, delta: FinishDelta) -> bytes:
        index = delta.choice
        late = b"".join(self._late_calls(index))
        return late + self._frame(index, self._kept(index), delta.reason)

    def _late_calls(self, choice: int) -> Iterator[bytes]:
        """Send what is left of the calls of a choice: those without a name, late signatures."""
        for index, call in self._calls.get(choice, {}).items():
            if not call.sent or len(self._extra(choice, index)) > call.fields:
                yield self._send(choice, index, call)

    def _kept(self, index: int) -> dict[str, Any]:
        """Return what belongs to a choice beside its text, and is only known as a whole."""
        state = self._log.choices.get(index)
        if state is None:
            return {}
        fields: dict[str, Any] = {}
        if state.details:
            fields["reasoning_details"] = [detail.whole() for detail in state.details.values()]
        if blocks := _blocks(state):
            fields[THINKING_BLOCKS] = blocks
        if state.audio is not None:
            fields["audio"] = state.audio.whole()
        return fields


def _blocks(state: ChoiceState) -> list[Any]:
    """Return the signed thoughts of a choice, as LiteLLM passes them on."""
    native = state.native or {}
    if native.get("protocol") == "messages":
        return [one for one in dicts_in(native.get("content")) if one.get("type") in _SIGNED]
    return list(state.extra.get(THINKING_BLOCKS, ()))


def _fields(
    delta: ReasoningDelta | AnswerDelta | RefusalDelta | MediaDelta | CitationDelta,
) -> dict[str, Any]:
    match delta:
        case ReasoningDelta():
            return {"reasoning_content": delta.text}
        case AnswerDelta():
            return {"content": delta.text}
        case RefusalDelta():
            return {"refusal": delta.text}
        case MediaDelta():
            return {"images": [{"type": "image_url", "image_url": {"url": delta.media.url}}]}
        case CitationDelta():
            return {"annotations": [_citation(delta.citation)]}


def _citation(citation: Citation) -> dict[str, Any]:
    inner = {
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start,
        "end_index": citation.end,
        **citation.extra,
    }
    return {"type": "url_citation", "url_citation": inner}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
