"""What OpenAI's Responses reply, decoded into the common forms.

Strategy.  A reply is a list of output items, each filled by deltas; :mod:`.output_items` knows
which event belongs to which, :mod:`.output_texts` what of a text is new, :mod:`.output_calls`
which items the client has to answer.  The items themselves go back in the next turn as
``output_item.done`` brought them, because a stateless conversation needs the encrypted reasoning
of its tool calls.  What the vendor's own tools do is kept in their items, and is a sign of life.
An event, item or part that no table here knows is told as it came.

Source: platform.openai.com/docs/api-reference/responses, the types of the package ``openai``,
recorded exchanges (OpenAI, OpenRouter).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from aiotokengate._wire.endings import ending_of, reason_of
from aiotokengate._wire.jsontext import same
from aiotokengate._wire.output_calls import ACTIONS, INPUTS, STREAMED, ItemCalls, with_pieces
from aiotokengate._wire.output_items import SUMMARY, TEXT, THOUGHT, Fields, Item, texts_of
from aiotokengate._wire.output_texts import PROTOCOL, Event, TextsDecoder
from aiotokengate._wire.question import dicts_in, text_of
from aiotokengate._wire.splice import Append
from aiotokengate._wire.transcript import ChoiceState, Transcript
from aiotokengate.types import Json, Media

__all__ = ["ResponsesDecoder"]

_LATEST: Final = 2**53
"""Seconds since 1970 that a time is believed up to; a relay has to say it in JSON."""

_MOST_WHOLES: Final = 16
"""Whole responses that are read in one reply, each against all items; one is usual."""

# --- what is known ------------------------------------------------------------------------------

_HOSTED: Final = frozenset(
    (
        *("web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"),
        *("mcp_call", "mcp_list_tools", "program", "program_output", "additional_tools"),
        *("compaction", "function_call_output", "custom_tool_call_output", "computer_call_output"),
        *("shell_call_output", "apply_patch_call_output", "local_shell_call_output"),
        *("mcp_approval_response", "tool_search_output"),
        # Multi-agent beta.
        *("agent_message", "multi_agent_call", "multi_agent_call_output"),
    )
)
"""Items that nobody has to answer: the vendor's tools, and what came of them."""

_KEPT: Final = frozenset(
    (
        *("id", "object", "created_at", "model", "output", "status", "usage", "error"),
        *("incomplete_details", "instructions", "tools", "text", "input", "include"),
    )
)
"""Fields of a response that are read, or only repeat what was asked."""

_FIELDS: Final = frozenset(
    (
        *("type", "sequence_number", "obfuscation", "item_id", "output_index", "content_index"),
        *("summary_index", "annotation_index", "command_index", "delta", "text", "refusal"),
        *("arguments", "input", "code", "item", "part", "annotation", "logprobs", "response"),
        *("command", "output", "status", "name", "call_id", "diff", "partial_image_b64"),
        *("partial_image_index", "background", "output_format", "quality", "size", "error"),
        *("message", "param"),
    )
)
"""Fields of events; what an event has beside them is kept."""

_STATUSES: Final = frozenset(("completed", "incomplete", "failed", "cancelled"))
_UNFINISHED: Final = frozenset(("queued", "in_progress"))
_BROKEN: Final = frozenset(("failed", "cancelled"))
_PINGS: Final = frozenset(("ping", "keepalive", "response.keepalive"))

_IMAGE: Final = "partial_image_b64"
_PLACE: Final = frozenset(("type", "sequence_number", "item_id", "output_index"))

_WHOLE: Final = MappingProxyType(
    {"command": "action", "diff": "operation", "partial_image": "result"}
)
"""Where an item that is over has what its pieces said, if not under the same name."""


class ResponsesDecoder(TextsDecoder):
    """Events of one reply in, entries of its transcript out; see :class:`Decoder`."""

    TYPED = "responses"
    __slots__ = ("_calls", "_wholes")

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._calls = ItemCalls(transcript)
        self._wholes = 0

    def take(self, frame: object) -> None:
        """Take one event; or a whole response, which came as plain JSON."""
        if not isinstance(frame, dict):
            self.no_object(frame)
            return
        kind = frame.get("type")
        if kind == "response.output_text.delta" and frame.get("delta"):
            self._delta(frame, TEXT)
            if not _FIELDS.issuperset(frame):
                self._more_fields(frame)
        elif isinstance(kind, str) and kind:
            self._typed(kind, frame)
        elif frame.get("object") == "response":
            self._bare_response(frame)
        elif "error" in frame or kind is None:
            self.suspect = frame
        else:
            self._unknown(str(kind)[:64], frame)

    def _typed(self, kind: str, frame: Event) -> None:
        log, before, take = self.transcript, len(self.transcript), _EVENTS.get(kind)
        if take is not None:
            take(self, frame)
            if not _FIELDS.issuperset(frame):
                self._more_fields(frame)
        elif kind in _PINGS:
            return
        elif frame.get("error") or frame.get("object") == "error":  # the latter is vLLM's
            self.suspect = frame
        else:
            self._unknown(kind, frame)
            log.signs += 1
        if len(log) == before:
            log.signs += 1

    def learn(self, data: bytes, frame: Event) -> None:
        """Let the splicer have a piece of text or of thinking."""
        if frame.get("type") not in _TEXT_EVENTS or frame.get("logprobs"):
            return
        if self.transcript.items[-1] == frame["delta"]:
            append = Append(self.transcript.kinds[-1], typed=True)
            self.splicer.learn(data, frame, [(frame, "delta")], append, _CHANGING)

    def end(self) -> None:
        """Take the end of the stream."""
        self._fall_silent()
        self._calls.break_off()
        super().end()
        if self._items.all and self.transcript.retain:
            self._keep_items(self._choice())

    def _more_fields(self, event: Event) -> None:
        """Keep the fields of an event that have no name here, the last value of each."""
        extra = self._choice().extra
        for key in event.keys() - _FIELDS:
            value = self.clean(event[key])
            if value is not None and not (key in extra and same(extra[key], value)):
                self.splicer.forget()  # other events are to bring back what they say
                self._unknown(f"{event['type']}.{key}", value)
                extra[key] = value

    # --- calls ----------------------------------------------------------------------------------

    def on_arguments(self, event: Event) -> None:
        text = event.get("delta")
        if text and isinstance(text, str):
            self._calls.add(self._items.of_event(event, _types_of(event)), text)

    def on_arguments_done(self, event: Event) -> None:
        item = self._items.of_event(event, _types_of(event))
        named = {key: event[key] for key in ("name", "call_id") if event.get(key)}
        whole = event.get("arguments", event.get("input"))
        if not item.begun:
            named = {**(item.first or {}), **named}
        self._calls.take_whole(item, whole, named)

    # --- items ----------------------------------------------------------------------------------

    def on_added(self, event: Event) -> None:
        whole = event.get("item")
        if isinstance(whole, dict):
            self._choice()
            self._calls.go_on()
            whole = self.clean(whole)
            item = self._items.added(event, whole)
            self._fall_silent()  # texts that name no item are of the newest
            if item.type in STREAMED and not item.begun:
                self._calls.begin(item, whole)

    def on_item_done(self, event: Event) -> None:
        whole = event.get("item")
        if isinstance(whole, dict):
            self._choice()
            whole = self.clean(whole)
            self._close(self._items.done(event, whole), whole)

    def _close(self, item: Item, whole: Fields) -> None:
        """Take an item that is over, and say what no piece has said of it."""
        self._fall_silent()
        if item.open:
            self._tell(item, whole)
            item.final = whole if self.transcript.retain else {}
        elif item.type == "reasoning" and item.final and whole.get("encrypted_content"):
            # Some give the signature of a thought at the end of the response alone.
            item.final = item.final if item.final.get("encrypted_content") else whole

    def _tell(self, item: Item, whole: Fields) -> None:
        """Report what of an item no piece has said."""
        if item.type == "message":
            self._close_message(item, whole)
        elif item.type == "reasoning":
            self._close_thoughts(item, whole)
        elif item.type in INPUTS or item.type in ACTIONS:
            if self._calls.close(item, whole):
                self.transcript.worked(self._choice())
        elif item.type in _HOSTED:
            self._work(item, whole)
        else:
            self._unknown(item.type or "?", whole)

    # --- what the vendor's tools do -------------------------------------------------------------

    def _work(self, item: Item, whole: Fields) -> None:
        """Take what a tool of the vendor's has done."""
        data = text_of(whole.get("result"))
        if item.type == "image_generation_call" and data:
            mime = f"image/{text_of(whole.get('output_format')) or 'png'}"
            url = f"data:{mime};base64,{data}"
            self.transcript.show(self._choice(), Media("image", url, mime))
        else:
            self.transcript.worked(self._choice())

    def keep_piece(self, event: Event, kind: str, name: str, whole: str) -> None:
        """Keep a piece of an item of the vendor's until the item is over, which has it all."""
        item = self._items.of_event(event, (kind,))
        number = event.get("command_index")
        name = f"{name}.{number}" if type(number) is int else name
        if whole == _IMAGE:  # a picture that is not done yet, with what it looks like
            item.kept[name] = [{key: event[key] for key in event.keys() - _PLACE}]
        elif event.get(whole):
            item.kept[name] = [event[whole]]
        elif event.get("delta"):
            item.keep(name, event["delta"])

    def on_audio(self, event: Event) -> None:
        """Keep a piece of audio: base64 by itself each, or its transcript."""
        piece = text_of(event.get("delta"))
        if piece:
            name = "transcript" if "transcript" in event["type"] else "data"
            self._choice().hear({name: piece})

    def on_progress(self, event: Event) -> None:
        """Take an event that says no more than that somebody is at work."""

    # --- the response ---------------------------------------------------------------------------

    def on_about(self, event: Event) -> None:
        response = event.get("response")
        if isinstance(response, dict):
            self._identify(response)

    def _identify(self, response: Fields) -> None:
        log, response = self.transcript, self.clean(response)
        log.model = log.model or text_of(response.get("model"))
        log.id = log.id or text_of(response.get("id"))
        created = response.get("created_at")
        if isinstance(created, int | float) and 0 <= created < _LATEST:
            log.created = int(created)
        more = {key: response[key] for key in response.keys() - _KEPT}
        log.extra.update({key: value for key, value in more.items() if value is not None})

    def on_end(self, event: Event) -> None:
        self.done = True
        response = event.get("response")
        kind = event["type"].removeprefix("response.")
        self._whole(response if isinstance(response, dict) else {}, kind)

    def _whole(self, response: Fields, kind: str) -> None:
        """Take a response as it is at its end; ``kind`` is what its event says, if it has one."""
        self._identify(response)
        usage = response.get("usage")
        if isinstance(usage, dict):
            self.transcript.count(usage)
        self._fall_silent()
        output = [self.clean(item) for item in dicts_in(response.get("output"))]
        for item, whole in self._items.of_output(output, self.transcript):
            self._close(item, whole)
        self._conclude(response, _status_of(response, kind))

    def _bare_response(self, response: Fields) -> None:
        """Take a response without an event; beyond a few it is told as it came."""
        self._wholes += 1
        if self._wholes > _MOST_WHOLES:
            self._unknown("response", response)
        else:
            self._whole(response, "")

    def _conclude(self, response: Fields, status: str) -> None:
        error = response.get("error")
        if error and (status in _BROKEN or _says_something(error)):
            self.suspect = {"error": error}
        elif status in _BROKEN:
            self.transcript.finish(self._choice(), status, "broken")
        elif status not in _UNFINISHED:
            self._finish(response, status)

    def _finish(self, response: Fields, status: str) -> None:
        details = response.get("incomplete_details")
        why = text_of(details.get("reason")) if isinstance(details, dict) else ""
        cut, state = bool(why) or status == "incomplete", self._choice()
        self._settle(cut=cut)
        if cut:
            word = why or "incomplete"
            ending = ending_of(PROTOCOL, word) or "other"
            self.transcript.finish(state, reason_of(PROTOCOL, word), ending, word)
        elif state.calls:
            self.transcript.finish(state, "tool_calls", "calls", status)
        else:
            self.transcript.finish(state, "stop", "finished", status)

    def _settle(self, *, cut: bool) -> None:
        """Report what has waited for the end, and what only the beginning of an item has said."""
        for item in [item for item in self._items.all if item.open]:
            if item.type in INPUTS or item.type in ACTIONS:
                self._calls.tell_first(item, with_pieces(item))
            elif item.type in ("message", "reasoning") and not item.said(self.transcript):
                self._tell(item, item.first or {})
                self._keep_promises(item)
        self._calls.settle(self._items, cut=cut)

    def on_error(self, event: Event) -> None:
        """Take an error, flat or nested."""
        nested = event.get("error")
        self.suspect = event if isinstance(nested, dict) else {"error": {**event, "type": None}}

    # --- what goes back -------------------------------------------------------------------------

    def _keep_items(self, state: ChoiceState) -> None:
        """Keep what the vendor wants back, and what came of items that were never over."""
        log, items = self.transcript, self._items.in_order()
        if rest := [left for item in items if (left := self._left(item))]:
            state.extra["unfinished_items"] = rest
        content = [back for item in items if (back := self._back(item))]
        if content:
            native = {"protocol": PROTOCOL, "content": content}
            state.native = native | {"asked": log.asked, "model": log.model}

    def _back(self, item: Item) -> Fields | None:
        """Return an item as it goes back in the next turn, None for one that can't."""
        if item.type in INPUTS or item.type in ACTIONS:
            return self._calls.back(item)
        if item.type == "message" and not item.final:
            return self._built(item)
        return item.final if item.type else None

    def _built(self, item: Item) -> Fields | None:
        """Build a message that never came as a whole."""
        content = [
            {"type": part.channel.part, part.channel.text: part.said(self.transcript)}
            for part in item.parts
        ]
        first = item.first or {}
        phase = {"phase": first["phase"]} if first.get("phase") else {}
        built = {"type": "message", "role": "assistant", "content": content, **phase}
        return built if content else None

    def _left(self, item: Item) -> Fields | None:
        """Return what of an item is told nowhere else."""
        if item.begun:
            return None
        known = item.final or item.first or {}
        left: dict[str, Any] = {
            name: self.clean(_joined(pieces))
            for name, pieces in item.kept.items()
            if not known.get(_WHOLE.get(name.partition(".")[0], name.partition(".")[0]))
        }
        silent = SUMMARY if item.channel is THOUGHT else THOUGHT
        texts = [part.said(self.transcript) for part in item.of(silent) if item.channel]
        if texts and not texts_of(known, silent):
            left[silent.list] = texts
        if item.final is None and item.type != "message":
            return {"type": item.type, **known, **left} if known or left else None
        return {"type": item.type, "id": item.id, **left} if left else None


_TEXT_EVENTS: Final = (
    "response.output_text.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
)
_CHANGING: Final = ("sequence_number", "obfuscation")
"""What changes in every event and does not matter."""


# --- the events ---------------------------------------------------------------------------------

_Take: TypeAlias = Callable[[ResponsesDecoder, Event], None]


def _kept_as(kind: str, name: str, whole: str) -> _Take:
    """Return what keeps the pieces of an item; ``whole`` is the key of an event that has all."""

    def take(decoder: ResponsesDecoder, event: Event) -> None:
        decoder.keep_piece(event, kind, name, whole)

    return take


_SPEAKING: Final[Mapping[str, _Take]] = {
    "output_item.added": ResponsesDecoder.on_added,
    "output_item.done": ResponsesDecoder.on_item_done,
    "content_part.added": ResponsesDecoder.on_part_added,
    "content_part.done": ResponsesDecoder.on_content_part,
    "output_text.delta": ResponsesDecoder.on_progress,  # those with text go first
    "output_text.done": ResponsesDecoder.on_text_done,
    "output_text.annotation.added": ResponsesDecoder.on_annotation,
    "refusal.delta": ResponsesDecoder.on_refusal,
    "refusal.done": ResponsesDecoder.on_refusal_done,
    "reasoning_text.delta": ResponsesDecoder.on_thought,
    "reasoning_text.done": ResponsesDecoder.on_thought_done,
    "reasoning_summary_text.delta": ResponsesDecoder.on_summary,
    "reasoning_summary_text.done": ResponsesDecoder.on_summary_done,
    "reasoning_summary_part.added": ResponsesDecoder.on_part_added,
    "reasoning_summary_part.done": ResponsesDecoder.on_content_part,
    "function_call_arguments.delta": ResponsesDecoder.on_arguments,
    "function_call_arguments.done": ResponsesDecoder.on_arguments_done,
    "custom_tool_call_input.delta": ResponsesDecoder.on_arguments,
    "custom_tool_call_input.done": ResponsesDecoder.on_arguments_done,
    "audio.delta": ResponsesDecoder.on_audio,
    "audio.transcript.delta": ResponsesDecoder.on_audio,
    "image_generation_call.partial_image": _kept_as(
        "image_generation_call", "partial_image", _IMAGE
    ),
    "created": ResponsesDecoder.on_about,
    "queued": ResponsesDecoder.on_about,
    "in_progress": ResponsesDecoder.on_about,
    "completed": ResponsesDecoder.on_end,
    "incomplete": ResponsesDecoder.on_end,
    "failed": ResponsesDecoder.on_end,
    "cancelled": ResponsesDecoder.on_end,  # in no package, but plain
}

_PIECES: Final[Mapping[str, _Take]] = {
    "code_interpreter_call_code": _kept_as("code_interpreter_call", "code", "code"),
    "mcp_call_arguments": _kept_as("mcp_call", "arguments", "arguments"),
    "shell_call_command": _kept_as("shell_call", "command", "command"),
    "shell_call_output_content": _kept_as("shell_call_output", "output", "output"),
    # In the types of Vercel's package alone.
    "apply_patch_call_operation_diff": _kept_as("apply_patch_call", "diff", "diff"),
}

_AT_WORK: Final[Mapping[str, tuple[str, ...]]] = {
    "audio": ("done",),
    "audio.transcript": ("done",),
    "compaction": ("compacting",),
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
}

_EVENTS: Final[Mapping[str, _Take]] = MappingProxyType(
    {
        **{f"response.{kind}": take for kind, take in _SPEAKING.items()},
        **{
            f"response.{kind}.{state}": take
            for kind, take in _PIECES.items()
            for state in ("added", "delta", "done")
        },
        **{
            f"response.{kind}.{state}": ResponsesDecoder.on_progress
            for kind, states in _AT_WORK.items()
            for state in states
        },
        "error": ResponsesDecoder.on_error,
    }
)


def _types_of(event: Event) -> tuple[str, ...]:
    """Return the types of the items that arguments may belong to, the likely one first."""
    return STREAMED[::-1] if "custom" in event["type"] else STREAMED


def _status_of(response: Fields, kind: str) -> str:
    """Return how a response has ended: what its event says, unless its status says worse."""
    status = text_of(response.get("status")).lower()
    if not kind:
        begun = status in _UNFINISHED or not (status or response.get("output"))
        return "in_progress" if begun else status if status in _STATUSES else "completed"
    if kind == "completed":
        return status if status in _STATUSES else kind
    return status if status in _BROKEN else kind


def _says_something(error: object) -> bool:
    """Return whether an error has any content; some relays write an empty one into every frame."""
    if isinstance(error, dict):
        return any(error.get(key) for key in ("message", "code", "type"))
    return bool(error)


def _joined(pieces: list[Json]) -> Json:
    """Join pieces of a text, or the texts of objects (a command's ``stdout`` and ``stderr``)."""
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    if not all(isinstance(piece, dict) for piece in pieces):
        return pieces
    keys = dict.fromkeys(key for piece in pieces for key in piece)
    return {key: "".join([text_of(piece.get(key)) for piece in pieces]) for key in keys}
