"""The log of one reply: every delta once, in order, for any number of readers.

Strategy.  Two columns: what kind an entry is, and the entry.  Texts are stored as the strings they
are, not as delta values (those are made for whoever reads them): the folded reply needs the
strings anyway, and 142 bytes a value would be a gigabyte for ten thousand streams.  The kind
column holds ``5 * choice + 0`` for reasoning, ``+ 1`` for answer text, ``+ 2`` for commentary,
``+ 3`` for everything else that ends a phase (tool call, refusal, medium) and ``+ 4`` for what
does not (citation, what nobody knows; at the end finish and usage); these last two store the
delta itself.  So a reader finds its next text with one C-speed search, and a phase ends where the
kind changes.

Who spoke since when is needed for each claim and each call: a table of the newest entry of each
kind says it, brought up to date only when it is read, so that no entry is looked at twice.

Entries are numbered from the first; ``items`` and ``kinds`` hold the newest, from ``base`` on.
Before each read of the network those before them are packed (see :mod:`.pack`), or dropped when
nothing is to be retained and every reader has passed them.

Beside the log stands what is only known as a whole: the state of each choice, with what it claims
of its end (see :mod:`.framing` for what that is worth) and its tool calls under assembly (see
:mod:`.identity` for which piece belongs to which).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, compress, count
from typing import TYPE_CHECKING, Any, Final

import attrs

from aiotokengate._wire.endings import Ending
from aiotokengate._wire.identity import Call, Calls, News
from aiotokengate._wire.jsontext import mended, rejoined, same
from aiotokengate._wire.pack import BLOCK, Packed
from aiotokengate._wire.usage import has_counts, merged_counts, usage_of
from aiotokengate.types import (
    FREE_TEXT,
    THINKING_BLOCKS,
    AnswerDelta,
    Citation,
    CitationDelta,
    CommentaryDelta,
    Delta,
    FinishDelta,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    Usage,
    UsageDelta,
)

if TYPE_CHECKING:
    from aiotokengate._wire.audio import Audio

__all__ = [
    "ANSWER",
    "BREAK",
    "COMMENTARY",
    "NOTE",
    "REASONING",
    "TEXTS",
    "ChoiceState",
    "Transcript",
]

REASONING, ANSWER, COMMENTARY, BREAK, NOTE = range(5)
KINDS = 5
_MOST_CHOICES = 256
"""OpenAI takes ``n`` up to 128; what costs time for each choice must not grow with the bytes."""
TEXTS: Final = (ReasoningDelta, AnswerDelta, CommentaryDelta)
"""The delta of each kind of text, in the order of their numbers."""


@attrs.define
class PartialDetail:
    """One entry of ``reasoning_details``: its fields, its texts in pieces."""

    fields: dict[str, Any] = attrs.field(factory=dict)
    texts: dict[str, list[str]] = attrs.field(factory=dict)

    def whole(self) -> dict[str, Any]:
        """Return the entry as the vendor would have sent it at once."""
        texts = {key: "".join(pieces) for key, pieces in self.texts.items()}
        return {**self.fields, **mended(texts, frozenset())}


_DETAIL_TEXTS = ("text", "summary")


class ChoiceState:
    """What is known of one choice so far.

    Attributes:
        index: of the choice, from 0 up.
        finish_reason: the last that was claimed, in the vendor's word or the common one.
        ending: the class of that word, see :mod:`.endings`; ``word`` is the vendor's own.
        details_of_end: what the vendor says beside it.
        claimed_at: how many entries the log had then.
        bare: whether nothing had been said when it was claimed, so that it may mean nothing.
        spoke_from: the entry from which on something said counts for that.
        said: whether something came that has no entry (audio).
        doubtful: whether something was said after a claim.
        reasoning_field: the field that the reasoning came in, None for inline tags.
        inline: what stood in ``content`` before the answer, tags included; None without tags.
        truncated: whether the text ended inside inline thinking.
        native: ``{"protocol", "content", "model"}``, the blocks, items or parts that a protocol
            other than Chat Completions wants back in the next turn, whole and in order.
        calls: the tool calls, in the order of their appearance.
        cited: the sources that have an entry.
        audio: a spoken answer, if there is one.
        details: the entries of ``reasoning_details``, by what distinguishes them.
        halves: the first halves of characters that a text ended with, by its kind.
        thoughts: what the last of its thinking blocks goes on with, not joined yet.
        extra: fields that have no name of their own, the last value of each.
    """

    __slots__ = (
        "_newest_detail",
        "audio",
        "bare",
        "calls",
        "cited",
        "claimed_at",
        "details",
        "details_of_end",
        "doubtful",
        "ending",
        "extra",
        "finish_reason",
        "halves",
        "index",
        "inline",
        "logprobs",
        "native",
        "reasoning_field",
        "said",
        "spoke_from",
        "thoughts",
        "truncated",
        "word",
    )

    bare: bool
    claimed_at: int
    details_of_end: str
    doubtful: bool
    said: bool
    spoke_from: int
    word: str

    def __init__(self, index: int, make_id: Callable[[], str] = str) -> None:
        """Begin with nothing known."""
        self.index: int = index
        self.finish_reason: str | None = None
        self.ending: Ending | None = None
        self.word = self.details_of_end = ""
        self.claimed_at = self.spoke_from = 0
        self.bare = self.doubtful = self.said = False
        self.reasoning_field: str | None = None
        self.inline: str | None = None
        self.truncated: bool = False
        self.calls: Calls = Calls(make_id)
        self.cited: set[str] = set()
        self.details: dict[str, PartialDetail] = {}
        self._newest_detail: dict[str, str] = {}
        self.audio: Audio | None = None
        self.halves: dict[int, str] = {}
        self.logprobs: list[Any] = []
        self.native: dict[str, Any] | None = None
        self.extra: dict[str, Any] = {}
        self.thoughts: list[str] = []

    def join_thoughts(self) -> None:
        """Write what the last thinking block has gone on with into that."""
        pieces, self.thoughts = self.thoughts, []
        if pieces:
            last = self.extra[THINKING_BLOCKS][-1]
            begun = last.get("thinking")
            last["thinking"] = "".join([begun if isinstance(begun, str) else "", *pieces])

    def hear(self, piece: Mapping[str, Any]) -> None:
        """Keep a piece of a spoken answer."""
        from aiotokengate._wire.audio import Audio

        self.audio = self.audio or Audio()
        self.audio.add(piece)
        self.said = True

    def detail_key(self, entry: Mapping[str, Any]) -> str:
        """Return what distinguishes an entry of ``reasoning_details``: index, type and id.

        OpenRouter gives several entries the index 0; an id may come with one piece alone.
        """
        base, own = repr((entry.get("index", 0), entry.get("type"))), entry.get("id")
        named = f"{base}{own!r}"
        if own is None:
            return self._newest_detail.get(base, base)
        if named not in self.details and base in self.details:
            before = self.details[base].fields.get("id")
            named = base if before in (None, own) else named
        elif named not in self.details:
            named = base
        self._newest_detail[base] = named
        return named

    def keep_detail(self, entry: Mapping[str, Any], *, replace: bool) -> bool:
        """Merge an entry of ``reasoning_details`` into those of the same index.

        Returns:
            Whether a field has another value than before.
        """
        detail = self.details.setdefault(self.detail_key(entry), PartialDetail())
        changed = False
        for key, value in entry.items():
            if key in _DETAIL_TEXTS and isinstance(value, str):
                pieces = detail.texts.setdefault(key, [])
                if replace:
                    pieces.clear()
                pieces.append(value)
            elif value is not None:
                changed = changed or not same(detail.fields.get(key, value), value)
                detail.fields[key] = value
        return changed


class Transcript:
    """The log and what stands beside it.

    Attributes:
        kinds: the kind of each of the newest entries, see the head of this module.
        items: these entries: strings for text, deltas for the rest.
        base: how many entries came before them.
        retain: whether what was read is kept.
        first: the first entry that was not dropped.
        forgotten: about how many tokens of thinking and of answer were dropped.
        choices: the choices seen so far, by index.
        expected: how many choices were requested (``n``).
        claimed: how many choices have claimed to be finished.
        late_word: a word that means broken off, and came when all had been said.
        signs: how many typed events came that say nothing but that somebody is at work.
        counts: the last usage object that had any count, as it came.
        usage: the same as a value, once sealed.
        skipped: frames that could not be read and were passed over.
        notes: remarks for the reply.
        plain: whether there was nothing but text, finish reasons and usage.
        extra: fields of the chunks that have no name of their own, the last value of each.
    """

    __slots__ = (
        "_end",
        "_kept",
        "_make_id",
        "_newest",
        "_packed",
        "_seen",
        "asked",
        "base",
        "choices",
        "claimed",
        "counts",
        "created",
        "expected",
        "extra",
        "first",
        "forgotten",
        "id",
        "items",
        "kinds",
        "late_word",
        "model",
        "notes",
        "plain",
        "retain",
        "sealed",
        "signs",
        "skipped",
        "usage",
    )

    claimed: int
    signs: int

    def __init__(
        self,
        expected: int = 1,
        *,
        retain: bool = True,
        make_id: Callable[[], str] | None = None,
        asked: str = "",
    ) -> None:
        """Begin empty.

        Args:
            expected: how many choices were requested.
            retain: whether what was read is kept.
            make_id: returns an id for a call that has none; without it they are counted.
            asked: the model, as it was requested.
        """
        self._make_id = make_id or map("call_{}".format, count()).__next__
        self.asked: str = asked
        self.kinds: list[int] = []
        self.items: list[Any] = []
        self.base: int = 0
        self.retain: bool = retain
        self.first: int = 0
        self.forgotten: list[int] = [0, 0]
        self._packed: list[Packed] = []
        self._kept: list[Delta] = []
        self._newest: dict[int, int] = {}  # the last entry of each kind, of those seen
        self._seen = 0
        self.choices: dict[int, ChoiceState] = {}
        self.expected: int = expected
        self.claimed = self.signs = 0
        self.late_word: str = ""
        self._end = 0
        self.counts: Mapping[str, Any] | None = None
        self.usage: Usage | None = None
        self.skipped: int = 0
        self.notes: list[str] = []
        self.extra: dict[str, Any] = {}
        self.model: str = ""
        self.id: str = ""
        self.created: int = 0
        self.plain: bool = True
        self.sealed: bool = False

    def __len__(self) -> int:
        """Count the entries."""
        return self.base + len(self.items)

    @property
    def begun(self) -> bool:
        """Whether anything was handed out; its end alone is what gateways make up."""
        return len(self) > self._end

    @property
    def has_only_thoughts(self) -> bool:
        """Whether nothing came that is worth showing."""
        shown = (ANSWER, COMMENTARY, BREAK)
        newest = self._newest_of_kinds()
        return not (
            self.first
            or any(kind % KINDS in shown for kind in newest)
            or any(one.said for one in self.choices.values())
        )

    def choice(self, index: int) -> ChoiceState:
        """Return the state of a choice, making it when it first appears.

        Beyond a number that nobody asks for, new ones are the first.
        """
        state = self.choices.get(index)
        if state is None:
            index = index if len(self.choices) < _MOST_CHOICES else min(self.choices)
            state = self.choices.get(index)
        if state is None:
            state = self.choices[index] = ChoiceState(index, self._make_id)
        return state

    def item(self, at: int) -> Any:  # noqa: ANN401 - a text or a delta
        """Return entry ``at``, which is not before ``first``."""
        if at >= self.base:
            return self.items[at - self.base]
        block, place = divmod(at - self.first, BLOCK)
        return self._packed[block].item(place)

    def kind(self, at: int) -> int:
        """Return the kind of entry ``at``, which is not before ``first``."""
        if at >= self.base:
            return self.kinds[at - self.base]
        block, place = divmod(at - self.first, BLOCK)
        return self._packed[block].kinds[place]

    def find(self, kind: int, at: int) -> int:
        """Return the place of the next entry of a kind from ``at`` on, or of the end."""
        at = max(at, self.first)
        while at < self.base:
            if self.kind(at) == kind:
                return at
            at += 1
        try:
            return self.base + self.kinds.index(kind, at - self.base)
        except ValueError:
            return len(self)

    def delta(self, at: int) -> Delta:
        """Return the delta of entry ``at``, which is not before ``first``."""
        item: str | Delta = self.item(at)
        if not isinstance(item, str):
            return item
        choice, kind = divmod(self.kind(at), KINDS)
        return TEXTS[kind](item, choice)

    def size_from(self, at: int) -> int:
        """Return how many bytes of text stand from an entry on."""
        block, place = divmod(max(at - self.first, 0), BLOCK)
        sizes = [packed.size() for packed in self._packed[block + 1 :]]
        sizes += [packed.size(place) for packed in self._packed[block : block + 1]]
        newest = self.items[max(at - self.base, 0) :]
        return sum(sizes) + sum(len(text.encode()) for text in newest if isinstance(text, str))

    def texts(self) -> Mapping[int, str]:
        """Join all text of each kind that has any, in one pass, for replies of many choices."""
        pieces: dict[int, list[str]] = {}
        for block in self._packed:
            for kind, text in block.texts():
                pieces.setdefault(kind, []).append(text)
        for kind, item in zip(self.kinds, self.items, strict=True):
            if kind % KINDS < BREAK:
                pieces.setdefault(kind, []).append(item)
        return {kind: "".join(texts) for kind, texts in pieces.items()}

    def text(self, choice: int, kind: int) -> str:
        """Join all text of one kind."""
        wanted = KINDS * choice + kind
        newest = self._newest_text(wanted)
        if not self._packed:
            return newest
        return "".join((*(block.text(wanted) for block in self._packed), newest))

    def _newest_text(self, wanted: int) -> str:
        kinds = self.kinds
        match kinds.count(wanted):
            case 0:
                return ""
            case 1:
                text: str = self.items[kinds.index(wanted)]
                return text
        return "".join(compress(self.items, map(wanted.__eq__, kinds)))

    def text_between(self, wanted: int, start: int, end: int) -> str:
        """Join the text of one kind from an entry on, up to another, as far as it was kept."""
        at, texts = max(start, self.first), []
        while at < min(end, self.base):
            block, place = divmod(at - self.first, BLOCK)
            stop = min(BLOCK, place + end - at)
            texts.append(self._packed[block].text(wanted, place, stop))
            at += stop - place
        here = slice(max(at - self.base, 0), max(end - self.base, 0))
        texts.extend(compress(self.items[here], map(wanted.__eq__, self.kinds[here])))
        return "".join(texts)

    def has(self, *kinds: int) -> bool:
        """Return whether there is an entry of one of these kinds."""
        if self.first:
            return True
        newest = self._newest_of_kinds()
        return any(kind in newest for kind in kinds)

    def others(self) -> list[Delta]:
        """Return the entries that are not text; none if there are but a finish and the usage."""
        if self.plain:
            return []
        packed = chain.from_iterable(block.others.values() for block in self._packed)
        newest = (item for item in self.items if not isinstance(item, str))
        return [*self._kept, *packed, *newest]

    # --- making room ----------------------------------------------------------------------------

    def pack(self, before: int | None = None) -> None:
        """Pack the whole blocks among the newest entries, up to a place or to the last."""
        count = len(self.items) if before is None else min(before, len(self)) - self.base
        end = count // BLOCK * BLOCK
        for start in range(0, end, BLOCK):
            stop = start + BLOCK
            self._packed.append(Packed(self.kinds[start:stop], self.items[start:stop]))
        del self.kinds[:end], self.items[:end]
        self.base += end

    def forget(self, before: int) -> None:
        """Drop the packed blocks before a place, but for what is no text in them."""
        from aiotokengate._wire.tokens import estimate_text

        count = (before - self.first) // BLOCK
        self._newest_of_kinds()
        for block in self._packed[:count]:
            self._kept += block.others.values()
            for kind, text in block.texts():
                self.forgotten[min(kind % KINDS, ANSWER)] += estimate_text(text)
        self.first += BLOCK * len(self._packed[:count])
        del self._packed[:count]

    # --- appending ------------------------------------------------------------------------------

    def put(self, choice: int, kind: int, item: str | Delta) -> None:
        """Append one entry."""
        self.kinds.append(KINDS * choice + kind if choice else kind)
        self.items.append(item)

    def refuse(self, state: ChoiceState, text: str) -> None:
        """Append a piece of a refusal."""
        self.plain = False
        text, state.halves[BREAK] = rejoined(state.halves.get(BREAK, "") + text)
        self.put(state.index, BREAK, RefusalDelta(text, state.index))

    def show(self, state: ChoiceState, media: Media) -> None:
        """Append a medium."""
        self.plain = False
        self.put(state.index, BREAK, MediaDelta(media, state.index))

    def cite(self, state: ChoiceState, citation: Citation) -> None:
        """Append a source, once: some vendors repeat the list in every chunk."""
        self.plain = False
        seen = (citation.url, citation.start, citation.end)
        if repr(seen) not in state.cited:
            state.cited.add(repr(seen))
            self.put(state.index, NOTE, CitationDelta(citation, state.index))

    def say(self, state: ChoiceState, kind: int, text: str) -> None:
        """Append a text that may end, or begin, inside a character."""
        whole = state.halves.get(kind, "") + text
        text, state.halves[kind] = rejoined(whole)
        if _LOST in text and _LOST not in whole:
            self._note_damage()
        if text:
            self.put(state.index, kind, text)

    def _note_damage(self) -> None:
        if _DAMAGED not in self.notes:
            self.notes.append(_DAMAGED)

    def unknown(self, choice: int, protocol: str, name: str, data: object) -> None:
        """Append what no table knows."""
        self.plain = False
        self.put(choice, NOTE, UnknownDelta(choice, protocol, name, data))

    def count(self, usage: Mapping[str, Any]) -> None:
        """Keep the last of each count; never add them up, nor let a zero replace one."""
        if has_counts(usage):
            self.counts = merged_counts(self.counts, usage)

    # --- the end --------------------------------------------------------------------------------

    def spoke(self, choice: int, since: int) -> bool:
        """Return whether a choice has said anything, text or other, from an entry on."""
        low = KINDS * choice
        if since >= len(self):
            return False
        if since >= self.base and low <= self.kinds[since - self.base] < low + NOTE:
            return True  # mostly, and at no cost
        newest = self._newest_of_kinds()
        return any(newest.get(kind, -1) >= since for kind in range(low, low + NOTE))

    def _newest_of_kinds(self) -> Mapping[int, int]:
        """Return the last entry of each kind, once the new ones were looked at."""
        newest = self._newest
        while self._seen < self.base:
            block, place = divmod(self._seen - self.first, BLOCK)
            packed = self._packed[block].kinds[place:]
            newest.update(zip(packed, count(self._seen), strict=False))
            self._seen += len(packed)
        if self._seen < len(self):
            kinds = self.kinds[self._seen - self.base :]
            newest.update(zip(kinds, count(self._seen), strict=False))
            self._seen += len(kinds)
        return newest

    def finish(self, state: ChoiceState, reason: str, ending: Ending, word: str = "") -> None:
        """Note that a choice claims to be finished; the last claim stands.

        Args:
            state: of the choice.
            reason: for the reply.
            ending: its class.
            word: the vendor's own, where it is another one.
        """
        if state.finish_reason is None:
            self.claimed += 1
        else:
            self._doubt(state)
            if ending == "broken" and self._stands(state):
                self.late_word = reason
                return
        state.finish_reason, state.ending, state.word = reason, ending, word or reason
        spoke = state.said or self.spoke(state.index, state.spoke_from)
        state.bare = ending in _MAY_BE_NONE and not spoke
        state.claimed_at = len(self)

    def _stands(self, state: ChoiceState) -> bool:
        """Return whether a claim is good, and nothing was said since for a break to cut."""
        good = state.ending != "broken" and not state.bare
        return good and not self.spoke(state.index, state.claimed_at)

    def _doubt(self, state: ChoiceState) -> None:
        state.doubtful = state.doubtful or self.spoke(state.index, state.claimed_at)

    def worked(self, state: ChoiceState) -> None:
        """Note that a tool of the server's has run: what it was needed for is still to be said."""
        state.spoke_from = len(self)

    def is_finished(self, state: ChoiceState) -> bool:
        """Return whether a choice has claimed to be finished, and not before it said anything."""
        if state.finish_reason is None or state.ending == "broken":
            return False
        return not (state.bare and self.spoke(state.index, state.claimed_at))

    @property
    def complete(self) -> bool:
        """Whether every choice seen has finished (a vendor may ignore ``n``)."""
        claimed = 0 < self.claimed == len(self.choices)
        return claimed and all(map(self.is_finished, self.choices.values()))

    @property
    def settled(self) -> bool:
        """Whether all that was requested is there, as far as the choices can be believed."""
        if not 0 < self.claimed == len(self.choices) or self.claimed < self.expected:
            return False
        return not any(state.bare for state in self.choices.values())

    @property
    def doubtful(self) -> bool:
        """Whether a choice has said something after it claimed to be finished."""
        for state in self.choices.values():
            if state.finish_reason is not None:
                self._doubt(state)
        return any(state.doubtful for state in self.choices.values())

    def disbelieve(self) -> None:
        """Take back what the choices have claimed: it was not so."""
        for state in self.choices.values():
            state.finish_reason = state.ending = None
        self.claimed = 0

    def seal(self) -> None:
        """Take the end of the reply: what was held back, the finish reasons, and the usage."""
        if self.sealed:
            return
        for state in self.choices.values():
            if state.halves or state.calls.all:
                self._flush(state)
        self.sealed, before = True, len(self)
        for index in sorted(self.choices):
            state = self.choices[index]
            if state.finish_reason is not None and self.is_finished(state):
                self.put(index, NOTE, FinishDelta(index, state.finish_reason))
        if self.counts is not None:
            self.usage = usage_of(self.counts)
            self.put(0, NOTE, UsageDelta(self.usage))
        self._end = len(self) - before

    def _flush(self, state: ChoiceState) -> None:
        for kind, half in state.halves.items():
            if half:
                lost = RefusalDelta(_LOST, state.index) if kind == BREAK else _LOST
                self.put(state.index, kind, lost)
                self._note_damage()
        state.halves.clear()
        for call in state.calls:
            self._append_call(state, call, state.calls.settle(call))

    # --- tool calls -----------------------------------------------------------------------------

    def tool_piece(self, state: ChoiceState, piece: Mapping[str, Any]) -> None:
        """Append a piece of a tool call as Chat Completions has them."""
        self._append_news(state, state.calls.piece(piece, self._spoken(state)))

    def begin_call(
        self, state: ChoiceState, key: object, call_id: str, name: str, kind: str = "function"
    ) -> None:
        """Append the beginning of a call that has a key of its own; nothing if it is known."""
        self._append_news(state, state.calls.begin(key, call_id, name, kind))

    def add_to_call(self, state: ChoiceState, key: object, fragment: object) -> None:
        """Append a piece of the arguments of such a call."""
        self._append_news(state, state.calls.add(key, fragment, self._spoken(state)))

    def finish_call(self, state: ChoiceState, key: object, arguments: object = None) -> None:
        """Append what the closing event of such a call says, and no piece has said."""
        self._append_news(state, state.calls.finish(key, arguments))

    def _spoken(self, state: ChoiceState) -> Callable[[Call], bool]:
        return lambda call: self.spoke(state.index, call.spoke_at)

    def _append_news(self, state: ChoiceState, news: News | None) -> None:
        if news is None:
            return
        calls = state.calls
        place = news[0]
        if place and place == len(calls) - 1:
            before = calls.all[place - 1]
            if before.begun and not before.id and before.whole:
                self._append_call(state, before, calls.settle(before))
        self._append_call(state, calls.all[place], news)

    def _append_call(self, state: ChoiceState, call: Call, news: News | None) -> None:
        if news is None:
            return
        self.plain = False
        if any(news[1:]):
            self.put(state.index, BREAK, ToolCallDelta(state.index, *news))
        else:
            self.signs += 1
        call.spoke_at = len(self)

    def tool_calls(self, state: ChoiceState) -> tuple[ToolCall, ...]:
        """Return the calls of a choice as they stand."""
        return tuple([self.tool_call(state, call) for call in state.calls])

    def tool_call(self, state: ChoiceState, call: Call) -> ToolCall:
        """Return a call as it stands."""
        state.calls.identify(call)
        return ToolCall(
            call.id,
            call.name,
            call.arguments,
            self.is_whole(state, call),
            call.extra,
            call.kind,
        )

    def is_whole(self, state: ChoiceState, call: Call) -> bool:
        """Return whether a call is complete and certain, so that it may be run."""
        if self.skipped or call.doubted or state.calls.conflict:
            return False
        over = call.closed or (self.sealed and self.is_finished(state))
        if call.kind in FREE_TEXT:
            return over
        if not over:
            return self.spoke(state.index, call.spoke_at) and call.whole
        if call.blank:
            return call.closed or state.ending != "length"
        return call.whole or call.readable

    def ready_call(self, state: ChoiceState, place: int) -> ToolCall | None:
        """Return a call if it may be run by now, else None."""
        if place >= len(state.calls):
            return None
        call = state.calls.all[place]
        return self.tool_call(state, call) if self.is_whole(state, call) else None


_LOST = "\ufffd"
_DAMAGED = "damaged characters: what was not whole was replaced by U+FFFD"

_MAY_BE_NONE = ("finished", "calls", "other")
"""Classes of words that gateways write before anything was said, where they mean nothing."""
