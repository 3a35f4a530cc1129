"""The log of one reply: every delta once, in order, for any number of readers.

Strategy.  Two columns: what kind an entry is, and the entry.  Texts are stored as the strings they
are, not as delta values (those are made for whoever reads them): the folded reply needs the
strings anyway, and 142 bytes a value would be a gigabyte for ten thousand streams.  The kind
column holds ``4 * choice + 0`` for reasoning, ``+ 1`` for answer text, ``+ 2`` for everything else
that ends a phase (tool call, refusal, medium, finish) and ``+ 3`` for what does not (citation,
usage); these last two store the delta itself.  So a reader finds its next text with one C-speed
search, and a phase ends where the kind changes.

Entries are numbered from the first; ``items`` and ``kinds`` hold the newest, from ``base`` on.
Before each read of the network those before them are packed (see :mod:`.pack`), or dropped when
nothing is to be retained and every reader has passed them.

Beside the log stands what is only known as a whole: the state of each choice, with its tool calls
under assembly.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import chain, compress
from typing import Any

import attrs
import orjson

from aiotokengate.types import (
    AnswerDelta,
    Citation,
    CitationDelta,
    Delta,
    FinishDelta,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageDelta,
)
from aiotokengate.wire.jsontext import rejoined, same, written
from aiotokengate.wire.pack import BLOCK, Packed
from aiotokengate.wire.usage import has_counts, usage_of

__all__ = ["ANSWER", "BREAK", "NOTE", "REASONING", "ChoiceState", "Transcript"]

REASONING, ANSWER, BREAK, NOTE = range(4)
KINDS = 4


@attrs.define
class PartialCall:
    """A tool call under assembly."""

    id: str = ""
    name: str = ""
    fragments: list[str] = attrs.field(factory=list)
    half: str = ""
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define
class PartialDetail:
    """One entry of ``reasoning_details``: its fields, its texts in pieces."""

    fields: dict[str, Any] = attrs.field(factory=dict)
    texts: dict[str, list[str]] = attrs.field(factory=dict)

    def whole(self) -> dict[str, Any]:
        """Give the entry as the vendor would have sent it at once."""
        return self.fields | {key: "".join(pieces) for key, pieces in self.texts.items()}


_DETAIL_TEXTS = ("text", "summary")


class ChoiceState:
    """What is known of one choice so far.

    Attributes:
        index: of the choice, from 0 up.
        finish_reason: in the vendor's word, once it came.
        reasoning_field: the field that the reasoning came in, None for inline tags.
        inline: what stood in ``content`` before the answer, tags included; None without tags.
        truncated: whether the text ended inside inline thinking.
        native: ``{"protocol", "content"}``, the blocks, items or parts that a protocol other than
            Chat Completions wants back in the next turn, whole and in order.
        calls: the tool calls, in the order of their appearance.
        cited: the sources that were given already.
        details: the entries of ``reasoning_details``, by their index.
        extra: fields that have no name of their own, the last value of each.
    """

    __slots__ = (
        "call_ids",
        "call_indexes",
        "calls",
        "cited",
        "details",
        "extra",
        "finish_reason",
        "index",
        "inline",
        "logprobs",
        "native",
        "reasoning_field",
        "truncated",
    )

    def __init__(self, index: int) -> None:
        """Know nothing yet."""
        self.index = index
        self.finish_reason: str | None = None
        self.reasoning_field: str | None = None
        self.inline: str | None = None
        self.truncated = False
        self.calls: list[PartialCall] = []
        self.call_ids: dict[str, int] = {}
        self.call_indexes: dict[int, int] = {}
        self.cited: set[str] = set()
        self.details: dict[str, PartialDetail] = {}
        self.logprobs: list[Any] = []
        self.native: dict[str, Any] | None = None
        self.extra: dict[str, Any] = {}

    def keep_detail(self, entry: Mapping[str, Any], *, replace: bool) -> bool:
        """Merge an entry of ``reasoning_details`` into those of the same index.

        Returns:
            Whether a field has another value than before.
        """
        detail = self.details.setdefault(detail_key(entry), PartialDetail())
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

    def remember(self, place: int, index: object, new_id: str) -> None:
        """Remember where pieces with this index or id belong."""
        if isinstance(index, int):
            self.call_indexes[index] = place
        if new_id:
            self.call_ids[new_id] = place

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Give the calls as they stand; complete ones only after the finish."""
        return tuple(self._call(place, call) for place, call in enumerate(self.calls))

    def _call(self, place: int, call: PartialCall) -> ToolCall:
        arguments = "".join(call.fragments) + ("\ufffd" if call.half else "")
        return ToolCall(
            id=call.id or f"call_{place}",
            name=call.name,
            arguments=arguments,
            complete=self.finish_reason is not None and self._whole(arguments),
            extra=call.extra,
        )

    def _whole(self, arguments: str) -> bool:
        if not arguments.strip():
            return self.finish_reason != "length"
        try:
            orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return False
        return True


class Transcript:
    """The log and what stands beside it.

    Attributes:
        kinds: the kind of each of the newest entries, see the head of this module.
        items: these entries: strings for text, deltas for the rest.
        base: how many entries came before them.
        retain: whether what was read is kept.
        first: the first entry that was not dropped.
        forgotten: bytes of thinking and of answer that were dropped.
        choices: the choices seen so far, by index.
        expected: how many choices were asked for (``n``).
        finished: how many choices have a finish reason.
        counts: the last usage object that had any count, as it came.
        usage: the same as a value, once sealed.
        skipped: frames that were not JSON and were passed over.
        notes: remarks for the reply.
        plain: whether there was nothing but text, finish reasons and usage.
        extra: fields of the chunks that have no name of their own, the last value of each.
    """

    __slots__ = (
        "_kept",
        "_packed",
        "base",
        "choices",
        "counts",
        "created",
        "expected",
        "extra",
        "finished",
        "first",
        "forgotten",
        "id",
        "items",
        "kinds",
        "model",
        "notes",
        "plain",
        "retain",
        "sealed",
        "skipped",
        "usage",
    )

    def __init__(self, expected: int = 1, *, retain: bool = True) -> None:
        """Begin empty."""
        self.kinds: list[int] = []
        self.items: list[Any] = []
        self.base = 0
        self.retain = retain
        self.first = 0
        self.forgotten = [0, 0]
        self._packed: list[Packed] = []
        self._kept: list[Delta] = []
        self.choices: dict[int, ChoiceState] = {}
        self.expected = expected
        self.finished = 0
        self.counts: Mapping[str, Any] | None = None
        self.usage: Usage | None = None
        self.skipped = 0
        self.notes: list[str] = []
        self.extra: dict[str, Any] = {}
        self.model = ""
        self.id = ""
        self.created = 0
        self.plain = True
        self.sealed = False

    def __len__(self) -> int:
        """Count the entries."""
        return self.base + len(self.items)

    @property
    def begun(self) -> bool:
        """Whether anything came that can be shown; a usage alone is what gateways make up."""
        return len(self) > (self.usage is not None)

    @property
    def complete(self) -> bool:
        """Whether every choice seen has a finish reason (a vendor may ignore ``n``)."""
        return 0 < self.finished == len(self.choices)

    @property
    def settled(self) -> bool:
        """Whether every choice that was asked for has a finish reason."""
        return self.complete and self.finished >= self.expected

    def choice(self, index: int) -> ChoiceState:
        """Give the state of a choice, making it when it first appears."""
        state = self.choices.get(index)
        if state is None:
            state = self.choices[index] = ChoiceState(index)
        return state

    def item(self, at: int) -> Any:  # noqa: ANN401 - a text or a delta
        """Give entry ``at``, which is not before ``first``."""
        if at >= self.base:
            return self.items[at - self.base]
        block, place = divmod(at - self.first, BLOCK)
        return self._packed[block].item(place)

    def kind(self, at: int) -> int:
        """Give the kind of entry ``at``, which is not before ``first``."""
        if at >= self.base:
            return self.kinds[at - self.base]
        block, place = divmod(at - self.first, BLOCK)
        return self._packed[block].kinds[place]

    def find(self, kind: int, at: int) -> int:
        """Give the place of the next entry of a kind from ``at`` on, that of the end for none."""
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
        """Make the delta of entry ``at``."""
        item: str | Delta = self.item(at)
        if not isinstance(item, str):
            return item
        choice, kind = divmod(self.kind(at), KINDS)
        return AnswerDelta(item, choice) if kind else ReasoningDelta(item, choice)

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

    def has(self, kinds: Container[int]) -> bool:
        """Say whether there is an entry of one of these kinds."""
        if self.first:
            return True
        packed = (block.kinds for block in self._packed)
        return any(kind in kinds for each in (*packed, self.kinds) for kind in each)

    def others(self) -> list[Delta]:
        """Give the entries that are not text; none if there are but a finish and the usage."""
        if self.plain:
            return []
        packed = chain.from_iterable(block.others.values() for block in self._packed)
        newest = (item for item in self.items if not isinstance(item, str))
        return [*self._kept, *packed, *newest]

    # --- making room ----------------------------------------------------------------------------

    def pack(self) -> None:
        """Pack the whole blocks among the newest entries."""
        end = len(self.items) // BLOCK * BLOCK
        for start in range(0, end, BLOCK):
            stop = start + BLOCK
            self._packed.append(Packed(self.kinds[start:stop], self.items[start:stop]))
        del self.kinds[:end], self.items[:end]
        self.base += end

    def forget(self, before: int) -> None:
        """Drop the packed blocks before a place, but for what is no text in them."""
        count = (before - self.first) // BLOCK
        for block in self._packed[:count]:
            self._kept += block.others.values()
            for kind in {kind for kind in block.kinds if kind % KINDS < BREAK}:
                size = len(block.text(kind).encode("utf-8", "replace"))
                self.forgotten[kind % KINDS] += size
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

    def finish(self, state: ChoiceState, reason: str) -> None:
        """Note that a choice ended; the first reason stands."""
        if state.finish_reason is None:
            state.finish_reason = reason
            self.finished += 1
            self.put(state.index, BREAK, FinishDelta(state.index, reason))

    def count(self, usage: Mapping[str, Any]) -> None:
        """Keep the last usage that counts anything; never add usages up."""
        if has_counts(usage):
            self.counts = usage

    def seal(self) -> None:
        """Take the end of the reply: the usage becomes the last entry."""
        if not self.sealed and self.counts is not None:
            self.usage = usage_of(self.counts)
            self.put(0, NOTE, UsageDelta(self.usage))
        self.sealed = True

    # --- tool calls -----------------------------------------------------------------------------

    def tool_piece(self, state: ChoiceState, piece: Mapping[str, Any]) -> None:
        """Append a piece of a tool call, and find the call that it belongs to."""
        function = piece.get("function")
        function = function if isinstance(function, Mapping) else {}
        new_id, name = _string(piece.get("id")), _string(function.get("name"))
        place = _place(state, piece.get("index"), new_id, name)
        if place == len(state.calls):
            state.calls.append(PartialCall())
        call = state.calls[place]
        state.remember(place, piece.get("index"), new_id)
        fragment = _arguments(function.get("arguments"))
        if call.half or not fragment.isascii():
            fragment, call.half = rejoined(call.half + fragment)
        call.fragments.append(fragment)
        call.extra.update(
            {key: value for key, value in piece.items() if key not in _CALL_KEYS and value}
        )
        first_id, first_name = new_id if not call.id else "", name if not call.name else ""
        call.id, call.name = call.id or new_id, call.name or name
        delta = ToolCallDelta(state.index, place, first_id, first_name, fragment)
        self.put(state.index, BREAK, delta)


_CALL_KEYS = frozenset({"index", "id", "type", "function"})


def _place(state: ChoiceState, index: object, new_id: str, name: str) -> int:
    """Find the call that a piece belongs to; the number of calls stands for a new one.

    An id that is known beats everything, because gateways renumber.  Then the index decides,
    unless it is used again for another call (a new id together with a name).  Without an index,
    an id or a name begins a call, and what has neither goes on with the last one.
    """
    new = len(state.calls)
    if new_id in state.call_ids:
        return state.call_ids[new_id]
    if isinstance(index, int):
        known = state.call_indexes.get(index, new)
        reused = known < new and new_id and name and state.calls[known].id
        return new if reused else known
    return new if new_id or name or not new else new - 1


def detail_key(entry: Mapping[str, Any]) -> str:
    """Tell the entries of ``reasoning_details`` apart by their index, whatever its type."""
    return repr(entry.get("index", 0))


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _arguments(value: object) -> str:
    """Give a fragment of JSON text; some vendors send the arguments as an object already."""
    if value is None or isinstance(value, str):
        return value or ""
    return written(value)
