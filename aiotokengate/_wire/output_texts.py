"""The texts of output items of OpenAI's Responses: each said once, whatever event tells it.

Strategy.  A text comes in deltas, and again as a whole when its part, its item and the response
are over; any of these may be missing.  Of a whole only that is taken which the pieces, up to
then, have not said.  Where an item gives both a summary and the thoughts themselves, the one that
comes first is told.  A whole that contradicts its pieces is noted: what was said stays so.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeAlias

from aiotokengate._wire.jsontext import rejoined
from aiotokengate._wire.output_items import (
    REFUSAL,
    SUMMARY,
    TEXT,
    THOUGHT,
    Channel,
    Fields,
    Item,
    Items,
    Part,
    index_of,
    place_of,
    texts_of,
)
from aiotokengate._wire.question import FrameDecoder, dicts_in, text_of
from aiotokengate._wire.transcript import ANSWER, COMMENTARY, REASONING, ChoiceState, Transcript
from aiotokengate.types import Citation

__all__ = ["PROTOCOL", "Event", "TextsDecoder"]

Event: TypeAlias = dict[str, Any]

PROTOCOL: Final = "responses"

_CHANNELS: Final = MappingProxyType(
    {channel.part: channel for channel in (TEXT, REFUSAL, SUMMARY, THOUGHT)}
)
"""The types of parts that are known."""

_OTHERWISE: Final = "a text was told otherwise at its end; what came in pieces was kept"


class TextsDecoder(FrameDecoder):
    """What a decoder does with texts, refusals and annotations."""

    __slots__ = ("_items", "_key", "_run", "_speaker", "_state")

    TEXTS: ClassVar[frozenset[str]] = frozenset(("delta",))

    def __init__(self, transcript: Transcript) -> None:
        """Begin a reply."""
        super().__init__(transcript)
        self._state: ChoiceState | None = None
        self._items = Items()
        # What the last text event was known by, and whose text it was.
        self._key: tuple[object, ...] = ()
        self._speaker: tuple[Item, Part] | None = None
        # Whose text the transcript takes now, from which entry on, and what sets it apart there.
        self._run: tuple[Part, int, int] | None = None

    def _choice(self) -> ChoiceState:
        if self._state is None:
            self._state = self.transcript.choice(0)
        return self._state

    def _unknown(self, name: str, data: object) -> None:
        """Report what no table knows."""
        self._choice()
        self.transcript.unknown(0, PROTOCOL, name, self.clean(data))

    def _clean_text(self, text: str) -> str:
        return "".join(rejoined(text + "\0"))[:-1] if self.uneven else text

    # --- in pieces ------------------------------------------------------------------------------

    def _delta(self, event: Event, channel: Channel) -> None:
        text = event.get("delta")
        if text and isinstance(text, str):
            item, part = self._part(event, channel)
            self._say(item, part, text)
            if event.get("logprobs"):
                self._take_logprobs(part, event["logprobs"])

    def on_summary(self, event: Event) -> None:
        self._delta(event, SUMMARY)

    def on_thought(self, event: Event) -> None:
        self._delta(event, THOUGHT)

    def on_refusal(self, event: Event) -> None:
        self._delta(event, REFUSAL)

    def _part(self, event: Event, channel: Channel) -> tuple[Item, Part]:
        """Return the item and the part that a delta belongs to."""
        index = index_of(event, channel)
        key = (text_of(event.get("item_id")), place_of(event), index, channel.name)
        if key == self._key and self._speaker is not None:
            return self._speaker
        item = self._items.of_event(event, (channel.type,))
        self._speaker = item, item.part(channel, index)
        self._key = key
        return self._speaker

    def _say(self, item: Item, part: Part, text: str) -> None:
        """Append a text; of two ways to tell a thought only the first."""
        state, channel = self._choice(), part.channel
        if channel.type == "reasoning":
            item.channel = item.channel or channel
            if item.channel is not channel:
                part.pieces.append(self._clean_text(text))
                return
        elif channel is REFUSAL:
            text = self._clean_text(text)
            part.pieces.append(text)
            self.transcript.refuse(state, text)
            return
        if self._run is None or self._run[0] is not part:
            text = self._begin_run(item, part) + text
        self.say(state, part.kind, text)

    def _begin_run(self, item: Item, part: Part) -> str:
        """Let another part speak; return what sets it apart."""
        self._end_run()
        if part.channel is TEXT:
            if item.kind is None:
                item.kind = COMMENTARY if _is_commentary(item.first) else ANSWER
            part.kind, lead = item.kind, ""
        else:
            part.kind = REASONING
            lead = "" if item.speaker in (None, part) else "\n\n"
        item.speaker = part
        self._run = part, len(self.transcript), len(lead)
        return lead

    def _end_run(self) -> None:
        """Note what a part has said up to now; its templates would go on for it."""
        self.splicer.forget()
        if self._run is not None:
            part, start, lead = self._run
            part.runs.append((start, len(self.transcript), lead))
            self._run = None

    def _fall_silent(self) -> None:
        """Let nobody speak, so that what was said can be looked at."""
        self._end_run()
        self._key, self._speaker = (), None

    def _take_logprobs(self, part: Part, logprobs: object) -> None:
        if isinstance(logprobs, list) and logprobs:
            part.logprobs = True
            self._choice().logprobs.extend(self.clean(logprobs))

    # --- a part as a whole ----------------------------------------------------------------------

    def on_text_done(self, event: Event) -> None:
        self._part_done(event, TEXT, event.get("text"))

    def on_refusal_done(self, event: Event) -> None:
        self._part_done(event, REFUSAL, event.get("refusal"))

    def on_summary_done(self, event: Event) -> None:
        self._part_done(event, SUMMARY, event.get("text"))

    def on_thought_done(self, event: Event) -> None:
        self._part_done(event, THOUGHT, event.get("text"))

    def on_content_part(self, event: Event) -> None:
        """Take a part as it is at its end."""
        part = event.get("part")
        channel = _channel_of(event, part) if isinstance(part, dict) else None
        if channel is not None and isinstance(part, dict):
            logprobs = {"logprobs": part.get("logprobs")}
            item = self._part_done({**event, **logprobs}, channel, part.get(channel.text))
            self._annotations(item, part)
        elif isinstance(part, dict):
            self._unknown_part(self._items.of_event(event, ("message",)), part)

    def on_part_added(self, event: Event) -> None:
        """Take a part that begins; what text it has by then mostly comes again."""
        part = event.get("part")
        if not isinstance(part, dict):
            return
        channel = _channel_of(event, part)
        item = self._items.of_event(event, (channel.type if channel else "message",))
        if channel is None:
            self._unknown_part(item, part)
        elif part.get(channel.text):
            item.promised.append((channel, index_of(event, channel), self.clean(part)))
        self._annotations(item, part)

    def _keep_promises(self, item: Item) -> None:
        """Report what parts had when they began, and nothing has said since."""
        for channel, index, whole in item.promised:
            part = item.part(channel, index)
            self._close_part(item, part, text_of(whole[channel.text]))
            self._take_logprobs(part, whole.get("logprobs"))

    def _part_done(self, event: Event, channel: Channel, text: object) -> Item:
        """Take the event that closes a part, and tells its text."""
        item = self._items.of_event(event, (channel.type,))
        index = index_of(event, channel)
        part = item.known_part(channel, index)
        if isinstance(text, str) and text and item.open:
            text = self._clean_text(text)
            if part is None or not part.closed:
                part = part or item.new_part(channel, index)
                self._close_part(item, part, text)
            elif not part.has_said(text):
                part = self._reopened(item, part, text)
                self._close_part(item, part, text)
        if part is not None and not part.logprobs:
            self._take_logprobs(part, event.get("logprobs"))
        return item

    def _reopened(self, item: Item, part: Part, text: str) -> Part:
        """Return a closed part if it goes on, else another one under the same index."""
        goes_on = len(text) > part.size and text.startswith(part.said(self.transcript))
        return part if goes_on else item.new_part(part.channel, part.index)

    def _close_part(self, item: Item, part: Part, text: str) -> None:
        self._fall_silent()
        said, dropped = part.said(self.transcript), part.is_dropped(self.transcript)
        if rest := self._rest_of(text, said, dropped=dropped):
            self._say_rest(item, part, rest)
        part.close(text)

    def _rest_of(self, whole: str, said: str, *, dropped: bool) -> str:
        """Return what of a text the pieces have not said; note where they say otherwise."""
        if dropped:  # its beginning is not known any more
            # Backwards, because only the search for the first place is linear whatever they say.
            rest, found, _ = whole[::-1].partition(said[::-1]) if said else ("", "", "")
            return rest[::-1] if found else whole if said else ""
        if whole.startswith(said):
            return whole[len(said) :]
        if whole.strip() not in said and _OTHERWISE not in self.transcript.notes:
            self.transcript.notes.append(_OTHERWISE)
        return ""

    def _say_rest(self, item: Item, part: Part, rest: str) -> None:
        """Report what no piece has said; a character that was cut in two is in it as a whole."""
        self._choice().halves.clear()
        uneven, self.uneven = self.uneven, False
        self._say(item, part, rest)
        self.uneven = uneven
        self._fall_silent()

    # --- an item as a whole ---------------------------------------------------------------------

    def _close_thoughts(self, item: Item, whole: Fields) -> None:
        channel = item.channel or (SUMMARY if texts_of(whole, SUMMARY) else THOUGHT)
        self._close_texts(item, channel, texts_of(whole, channel))

    def _close_message(self, item: Item, whole: Fields) -> None:
        if item.kind is None and _is_commentary(whole):
            item.kind = COMMENTARY
        silent = not any(part.logprobs for part in item.parts)
        self._close_texts(item, TEXT, texts_of(whole, TEXT))
        self._close_texts(item, REFUSAL, texts_of(whole, REFUSAL))
        for part in dicts_in(whole.get("content")):
            self._annotations(item, part)
            if silent and isinstance(part.get("logprobs"), list):
                self._choice().logprobs.extend(part["logprobs"])
            if text_of(part.get("type")) not in _CHANNELS:
                self._unknown_part(item, part)

    def _close_texts(self, item: Item, channel: Channel, told: list[tuple[int, str]]) -> None:
        """Take the texts of an item, or of a channel of it, that is over."""
        parts = item.of(channel)
        if not told or _are_told(parts, told):
            return
        self._fall_silent()
        said = [part.said(self.transcript) for part in parts]
        whole, joined = "".join([text for _, text in told]), "".join(said)
        rests = None if whole.startswith(joined) else _rests(parts, said, told)
        if rests is None:
            dropped = any(part.is_dropped(self.transcript) for part in parts)
            size = len(self._rest_of(whole, joined, dropped=dropped))
            rests = _ends(parts[-1] if parts else None, told, size)
        for index, part, text in rests:
            self._say_rest(item, part or item.new_part(channel, index), text)

    # --- what stands beside the text ------------------------------------------------------------

    def _unknown_part(self, item: Item, part: Fields) -> None:
        if item.is_new(part):
            self._unknown(text_of(part.get("type")) or "?", part)

    def on_annotation(self, event: Event) -> None:
        annotation = event.get("annotation")
        if isinstance(annotation, dict):
            self._cite(self._items.of_event(event, ("message",)), annotation)

    def _annotations(self, item: Item, part: Fields) -> None:
        for annotation in dicts_in(part.get("annotations")):
            self._cite(item, annotation)

    def _cite(self, item: Item, annotation: Fields) -> None:
        if not item.is_new(annotation):
            return
        state, annotation = self._choice(), self.clean(annotation)
        nested = annotation.get("url_citation")  # as Chat Completions has it
        source = nested if isinstance(nested, dict) else annotation
        if text_of(source.get("url")):
            self.transcript.cite(state, _citation(source))
        else:
            state.extra.setdefault("annotations", []).append(annotation)


def _are_told(parts: list[Part], told: list[tuple[int, str]]) -> bool:
    """Return whether all was said when the parts were closed."""
    return len(parts) == len(told) and all(
        part.closed and part.has_said(text) for part, (_, text) in zip(parts, told, strict=True)
    )


_Rests: TypeAlias = list[tuple[int, Part | None, str]]
"""What is still to be said: the index, the part unless it is a new one, and the text."""


def _rests(parts: list[Part], said: list[str], told: list[tuple[int, str]]) -> _Rests | None:
    """Return what each part lacks; None where the parts don't fit by their indexes."""
    wholes = dict(told)
    by_index = {part.index: (part, so_far) for part, so_far in zip(parts, said, strict=True)}
    fit = len(by_index) == len(parts) and all(
        wholes.get(index, "").startswith(so_far) for index, (_, so_far) in by_index.items()
    )
    if not fit:
        return None
    rests: _Rests = []
    for index, text in told:
        part, so_far = by_index.get(index, (None, ""))
        if len(text) > len(so_far):
            rests.append((index, part, text[len(so_far) :]))
    return rests


def _ends(last: Part | None, told: list[tuple[int, str]], size: int) -> _Rests:
    """Return the last characters of a text that stands in parts; the first may go on."""
    rests: _Rests = []
    for index, text in reversed(told):
        if size <= 0:
            break
        rests.append((index, last if len(text) > size else None, text[-size:]))
        size -= len(text)
    return rests[::-1]


def _channel_of(event: Event, part: Fields) -> Channel | None:
    """Return what a part belongs to; gateways leave out the type of a summary's."""
    if "summary_index" in event:
        return SUMMARY
    return _CHANNELS.get(text_of(part.get("type")))


def _is_commentary(item: Fields | None) -> bool:
    return item is not None and item.get("phase") == "commentary"


_CITATION_KEYS: Final = frozenset(("url", "title", "start_index", "end_index"))


def _citation(annotation: Fields) -> Citation:
    title = annotation.get("title")
    return Citation(
        text_of(annotation["url"]),
        title if isinstance(title, str) else None,
        annotation.get("start_index"),
        annotation.get("end_index"),
        {key: value for key, value in annotation.items() if key not in _CITATION_KEYS},
    )
