"""Output items of OpenAI's Responses: which event belongs to which, and what of it was said.

Strategy.  An item has three signs, and each of them has been wrong in the field: bridges place
every item at ``output_index`` 0, or name no place at all; OpenRouter gives other ids in
``response.completed`` than in the events; some servers send no ids.  So an item is known

1. by its ``id``,
2. else by its ``call_id``,
3. else by its place and type, if the item there is not over yet,
4. else it is the last one of its type that is not over.

A new id is a new item where ``output_item.added`` brings it.  What ``response.completed`` lists is
the same as an item of the events by id, by call id, by place, type and content, or by type and
content; whatever is left is new.

What the pieces of an item have said is not kept a second time: the transcript has it.  A part
remembers from which entry to which it was the one that spoke; so the splicer may append to the
transcript without telling anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import attrs

from aiotokengate._wire.jsontext import written
from aiotokengate._wire.question import text_of
from aiotokengate._wire.transcript import Transcript

__all__ = [
    "REFUSAL",
    "SUMMARY",
    "TEXT",
    "THOUGHT",
    "Channel",
    "Item",
    "Items",
    "Part",
    "index_of",
    "place_of",
    "texts_of",
]

Fields: TypeAlias = Mapping[str, Any]
_Find: TypeAlias = Callable[[int, Fields, Mapping["Item", None]], "Item | None"]
"""Finds, among the free items, the one that is listed at a place."""


@attrs.frozen(eq=False)
class Channel:
    """A kind of text that an item says.

    Attributes:
        name: of it.
        type: of the items that say it.
        index: the key of an event that tells its parts apart.
        part: the type of these parts.
        list: the key of an item under which they stand.
        text: the key of a part that holds its text.
    """

    name: str
    type: str
    index: str
    part: str
    list: str
    text: str


TEXT: Final = Channel("text", "message", "content_index", "output_text", "content", "text")
REFUSAL: Final = Channel("refusal", "message", "content_index", "refusal", "content", "refusal")
SUMMARY: Final = Channel(
    "summary", "reasoning", "summary_index", "summary_text", "summary", "text"
)
THOUGHT: Final = Channel(
    "thought", "reasoning", "content_index", "reasoning_text", "content", "text"
)


def texts_of(item: Fields, channel: Channel) -> list[tuple[int, str]]:
    """Return the texts of an item's parts, each with its place among them."""
    parts = item.get(channel.list)
    if channel is TEXT and isinstance(parts, str):
        return [(0, parts)]  # as a message of the input may have it
    listed = enumerate(parts if isinstance(parts, list) else ())
    # Gateways leave out the type of a summary's part.
    wanted = (channel.part, None) if channel.type == "reasoning" else (channel.part,)
    return [
        (place, text)
        for place, part in listed
        if isinstance(part, dict) and part.get("type") in wanted
        if (text := text_of(part.get(channel.text)))
    ]


class Part:
    """A part of an item: a text with an index of its own.

    Attributes:
        channel: that it belongs to.
        index: of it.
        kind: of the entries of the transcript.
        pieces: what it said that stands in no text entry of the transcript.
        runs: from which entry to which it spoke, and how many characters set it apart there.
        closed: whether an event said that it is over; ``size`` and ``digest`` are of what it
            said then.
        logprobs: whether it brought any.
    """

    __slots__ = (
        "channel",
        "closed",
        "digest",
        "index",
        "kind",
        "logprobs",
        "pieces",
        "runs",
        "size",
    )

    def __init__(self, channel: Channel, index: int) -> None:
        """Begin with nothing said."""
        self.channel = channel
        self.index = index
        self.kind = 0
        self.pieces: list[str] = []
        self.runs: list[tuple[int, int, int]] = []
        self.closed = self.logprobs = False
        self.size = self.digest = 0

    def close(self, text: str) -> None:
        """Note that it is over, and what it says as a whole."""
        self.closed, self.size, self.digest = True, len(text), hash(text)

    def has_said(self, text: str) -> bool:
        """Return whether it has said this when it was closed."""
        return self.size == len(text) and self.digest == hash(text)

    def said(self, log: Transcript) -> str:
        """Return what it has said, as far as the transcript still has it."""
        if self.pieces:
            return "".join(self.pieces)
        kind, between = self.kind, log.text_between
        return "".join([between(kind, start, end)[lead:] for start, end, lead in self.runs])

    def is_dropped(self, log: Transcript) -> bool:
        """Return whether the transcript has dropped the beginning of what it said."""
        return bool(self.runs) and self.runs[0][0] < log.first


class Item:
    """An output item under assembly.

    Attributes:
        type: of it.
        id: the vendor's.
        call_id: the vendor's.
        place: its ``output_index``, None for none.
        first: as ``output_item.added`` brought it.
        final: as it is whole, None before it is over; empty where nothing is to be retained.
        parts: what it said, in order of appearance.
        channel: which of its thoughts are told: the summary, or they themselves.
        kind: of its text, once it has said any.
        speaker: the part that spoke last.
        promised: parts that had a text when they began, with their channels and indexes.
        kept: pieces of what is neither text nor the arguments of a call for the client.
        seen: annotations and parts that were told.
        begun: whether it is a tool call that was told.
        own: whether a delta has named it by its own id.
    """

    __slots__ = (
        "_open",
        "begun",
        "call_id",
        "channel",
        "final",
        "first",
        "id",
        "kept",
        "kind",
        "own",
        "parts",
        "place",
        "promised",
        "seen",
        "speaker",
        "type",
    )

    def __init__(self, kind: str, place: int | None = None, new_id: str = "") -> None:
        """Know nothing but these."""
        self.type = kind
        self.id = new_id
        self.call_id = ""
        self.place = place
        self.first: Fields | None = None
        self.final: Fields | None = None
        self.parts: list[Part] = []
        self._open: dict[tuple[str, int], Part] = {}
        self.channel: Channel | None = None
        self.kind: int | None = None
        self.speaker: Part | None = None
        self.promised: list[tuple[Channel, int, Fields]] = []
        self.kept: dict[str, list[Any]] = {}
        self.seen: set[str] = set()
        self.begun = self.own = False

    @property
    def open(self) -> bool:
        """Whether no event has said that it is over."""
        return self.final is None

    def part(self, channel: Channel, index: int) -> Part:
        """Return the part that a piece belongs to; after a closed one there is another."""
        known = self._open.get((channel.name, index))
        return self.new_part(channel, index) if known is None or known.closed else known

    def new_part(self, channel: Channel, index: int) -> Part:
        """Begin a part."""
        part = self._open[channel.name, index] = Part(channel, index)
        self.parts.append(part)
        return part

    def known_part(self, channel: Channel, index: int) -> Part | None:
        """Return the newest part of an index."""
        return self._open.get((channel.name, index))

    def of(self, channel: Channel) -> list[Part]:
        """Return the parts of a channel."""
        return [part for part in self.parts if part.channel is channel]

    def is_new(self, value: object) -> bool:
        """Return whether something was not told before; from now on it was."""
        text = written(value)
        new = text not in self.seen
        self.seen.add(text)
        return new

    def keep(self, name: str, piece: object) -> None:
        """Keep a piece under the name that the whole will have."""
        self.kept.setdefault(name, []).append(piece)

    def said(self, log: Transcript) -> str:
        """Return all text that it has said."""
        return "".join([part.said(log) for part in self.parts if self._is_told(part)])

    def _is_told(self, part: Part) -> bool:
        return part.channel.type == "message" or part.channel is self.channel


class Items:
    """The output items of a reply, in order of appearance."""

    __slots__ = ("_by_call", "_by_id", "_by_place", "_last", "all", "listed")

    def __init__(self) -> None:
        """Begin without any."""
        self.all: list[Item] = []
        self.listed: list[Item] = []
        self._by_id: dict[tuple[str, str], Item] = {}
        self._by_call: dict[tuple[str, str], Item] = {}
        self._by_place: dict[int, Item] = {}
        self._last: dict[str, Item] = {}

    def _new(self, kind: str, place: int | None, new_id: str, call_id: str = "") -> Item:
        item = Item(kind, place, new_id)
        self.all.append(item)
        self._last[kind] = item
        if place is not None:
            self._by_place[place] = item
        self._sign(item, new_id, call_id)
        return item

    def _sign(self, item: Item, new_id: str, call_id: str) -> None:
        """Know an item by its ids from now on."""
        if new_id:
            item.id = item.id or new_id
            self._by_id[new_id, item.type] = item
        if call_id:
            item.call_id = item.call_id or call_id
            self._by_call[call_id, item.type] = item

    # --- events that name their item ------------------------------------------------------------

    def of_event(self, event: Fields, types: Sequence[str]) -> Item:
        """Return the item that an event without an item of its own belongs to.

        Args:
            event: with an ``item_id``, an ``output_index``, both or neither.
            types: that the item may have; the first one is that of a new one.
        """
        item_id, place = text_of(event.get("item_id")), place_of(event)
        for kind in types if item_id else ():
            known = self._by_id.get((item_id, kind))
            if known is not None:
                known.own = True
                return known
        item = self._without_id(place, types, item_id)
        if item is None:
            item = self._new(types[0], place, item_id)
            item.own = bool(item_id)
        elif item_id:
            self._by_id[item_id, item.type] = item  # a relay's own id for it
        return item

    def _without_id(self, place: int | None, types: Sequence[str], item_id: str) -> Item | None:
        if place is not None:
            here = self._by_place.get(place)
            fits = here is not None and here.open and here.type in types
            taken = fits and item_id and here is not None and here.own
            return here if fits and not taken else None
        if item_id:
            return None
        last = (self._last.get(kind) for kind in types)
        return next((item for item in last if item is not None and item.open), None)

    # --- events that bring an item --------------------------------------------------------------

    def added(self, event: Fields, whole: Fields) -> Item:
        """Return the item that an ``output_item.added`` begins, or has begun already."""
        kind, new_id, call_id = _signs(whole)
        place = place_of(event)
        item = self._known(kind, new_id, call_id)
        if item is not None and not (item.open or call_id):
            item = None
        if item is None and not new_id and call_id:
            item = self._by_call.get((call_id, kind))
        if item is None and place is not None:
            here = self._by_place.get(place)
            if here is not None and here.type == kind and _is_unnamed(here):
                item = here  # its pieces came first
        item = item or self._new(kind, place, new_id)
        self._sign(item, new_id, call_id)
        item.first = item.first or whole
        return item

    def done(self, event: Fields, whole: Fields) -> Item:
        """Return the item that an ``output_item.done`` ends, which may be new."""
        kind, new_id, call_id = _signs(whole)
        place = place_of(event)
        item = self._known(kind, new_id, call_id)
        if item is None and call_id:
            same = self._by_call.get((call_id, kind))
            item = same if same is not None and (same.open or not new_id) else None
        item = item or self._open_one(kind, place, call_id, new_id)
        item = item or self._new(kind, place, new_id)
        self._sign(item, new_id, call_id)
        return item

    def _known(self, kind: str, new_id: str, call_id: str) -> Item | None:
        """Return the item of an id; two calls that share one are told apart by their own."""
        item = self._by_id.get((new_id, kind)) if new_id else None
        if item is None or not _differ(item.call_id, call_id):
            return item
        return self._by_call.get((call_id, kind))

    def _open_one(self, kind: str, place: int | None, call_id: str, new_id: str) -> Item | None:
        found = self._by_place.get(place) if place is not None else self._last.get(kind)
        if found is None or found.type != kind or not found.open:
            return None
        unlike = place is None and _differ(found.id, new_id)
        return None if unlike or _differ(found.call_id, call_id) else found

    # --- what a whole response lists ------------------------------------------------------------

    def of_output(self, output: Iterable[Fields], log: Transcript) -> list[tuple[Item, Fields]]:
        """Return what ``response.output`` lists, each with the item that it is."""
        wholes = list(output)
        found: list[Item | None] = [None] * len(wholes)
        free = dict.fromkeys(self.all)
        for find in (self._by_signs(), _by_places(self.all, log), _by_contents(self.all, log)):
            for place, whole in enumerate(wholes):
                if found[place] is None and (item := find(place, whole, free)) is not None:
                    found[place] = item
                    del free[item]
        pairs = []
        for place, (item, whole) in enumerate(zip(found, wholes, strict=True)):
            kind, new_id, call_id = _signs(whole)
            known = item or self._new(kind, place, new_id, call_id)
            known.call_id = known.call_id or call_id
            pairs.append((known, whole))
        self.listed = [item for item, _ in pairs]
        return pairs

    def _by_signs(self) -> _Find:
        def find(_: int, whole: Fields, free: Mapping[Item, None]) -> Item | None:
            kind, new_id, call_id = _signs(whole)
            item = self._known(kind, new_id, call_id)
            if (item is None or item not in free) and call_id:
                item = self._by_call.get((call_id, kind))
            return item if item in free else None

        return find

    def in_order(self) -> list[Item]:
        """Return the items as they go back: by their places, if these can be believed."""
        listed = dict.fromkeys(self.listed)
        if len(listed) == len(self.all):
            return list(listed)
        streamed = [item for item in self.all if item.first or item not in listed or item.parts]
        places = [item.place for item in streamed if item.place is not None]
        if len(set(places)) == len(streamed):
            streamed.sort(key=lambda item: item.place or 0)
        return _merged(streamed, list(listed))


def _merged(streamed: Sequence[Item], listed: Sequence[Item]) -> list[Item]:
    """Put what was only listed before that of the streamed which follows it in the list."""
    known = set(streamed)
    before: dict[Item | None, list[Item]] = {}
    waiting: list[Item] = []
    for item in listed:
        if item in known:
            before[item], waiting = waiting, []
        else:
            waiting.append(item)
    merged = [each for item in streamed for each in (*before.get(item, ()), item)]
    return [*merged, *waiting]


def _by_places(items: Sequence[Item], log: Transcript) -> _Find:
    here = {(item.place, item.type): item for item in reversed(items)}

    def find(place: int, whole: Fields, free: Mapping[Item, None]) -> Item | None:
        kind, _, call_id = _signs(whole)
        item = here.get((place, kind))
        if item is None or item not in free or _differ(item.call_id, call_id):
            return None
        return item if _agree(_said(item, log), _content(whole)) else None

    return find


def _by_contents(items: Sequence[Item], log: Transcript) -> _Find:
    by_content: dict[tuple[str, str], list[Item]] = {}
    begun = False

    def find(_: int, whole: Fields, free: Mapping[Item, None]) -> Item | None:
        nonlocal begun
        if not begun:
            begun = True
            for item in reversed([item for item in items if item in free]):
                by_content.setdefault((item.type, _said(item, log)), []).append(item)
        content = _content(whole)
        like = by_content.get((text_of(whole.get("type")), content)) if content else None
        return like.pop() if like else None

    return find


def _said(item: Item, log: Transcript) -> str:
    """Return what tells an item of the events from others of its type."""
    if item.type in ("message", "reasoning"):
        said = item.said(log)
        return said or (_content(item.final) if item.final else "")
    return _content(item.final) if item.final else ""


_NAMES: Final = frozenset(("id", "status"))


def _content(whole: Fields) -> str:
    """Return the same of an item that is listed."""
    kind = whole.get("type")
    if kind == "message":
        return "".join([text for _, text in (*texts_of(whole, TEXT), *texts_of(whole, REFUSAL))])
    if kind == "reasoning":
        found = texts_of(whole, SUMMARY) or texts_of(whole, THOUGHT)
        return "".join([text for _, text in found]) or text_of(whole.get("encrypted_content"))
    return written({key: whole[key] for key in sorted(whole) if key not in _NAMES})


def _agree(said: str, content: str) -> bool:
    """Return whether one content begins the other, or they differ in margins."""
    if said.startswith(content) or content.startswith(said):
        return True
    return said.strip() == content.strip()


def _is_unnamed(item: Item) -> bool:
    return item.open and item.first is None and not (item.id or item.call_id)


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _signs(whole: Fields) -> tuple[str, str, str]:
    """Return the type, the id and the call id of an item."""
    return text_of(whole.get("type")), text_of(whole.get("id")), text_of(whole.get("call_id"))


def place_of(event: Fields) -> int | None:
    """Return the place of an event's item in the output."""
    place = event.get("output_index")
    return place if type(place) is int else None


def index_of(event: Fields, channel: Channel) -> int:
    """Return the index of an event's part."""
    index = event.get(channel.index)
    return index if type(index) is int else 0
