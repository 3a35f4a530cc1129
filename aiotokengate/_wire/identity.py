"""Who a tool call is: the one place where pieces find the call that they belong to.

Strategy.  A call has three signs (an id, an index, a name), and every one of them has been wrong
in the field.  No sign decides alone; what the call's arguments are so far (not begun, begun,
whole) decides with them:

=====================================================  ============================================
what a piece brings                                    the call that it belongs to
=====================================================  ============================================
an id that is known, at its own index or at none       that call
the same with a name, at another index                 a new one, with an id of ours; unless the
                                                       name is the same, and the arguments there
                                                       are begun and not whole, or begin now
the same without a name, at another index              that call: the index drifts
a new id and a name at a known index                   a new one; unless it has the name of the
                                                       call there, whose arguments are not whole
                                                       (two that have none are two)
a new id without a name at a known index               the call there; its first id stays
a name without an id at a known index                  a new one if the arguments there are whole
                                                       or begun under another name; else that call
neither, at a known index                              the call there
neither, at an index never seen, or at none            the last call
anything else                                          a new one
=====================================================  ============================================

An index that is text is a number.  A name that comes in pieces is joined until arguments come;
one that is repeated is not.  ``{}`` and ``null`` before other arguments are placeholders, which
are held back until that is certain.  Whole arguments that are sent again are said once.  Raw
control characters inside their strings are escaped.

Protocols with items and blocks know better: they :meth:`~Calls.begin` a call under a key of their
own, :meth:`~Calls.add` to it, and close it with :meth:`~Calls.finish`.

Nothing of a call is joined, parsed or compared once for each piece: its arguments are parsed when
their last bracket is closed, and a name is compared with another of its length alone.

A call whose arguments are a whole object is *ready* once anything else of its choice came after
it, or its item was closed, or the reply is over: then it may be run, and must not change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from aiotokengate._wire.jsontext import index_of, rejoined, written
from aiotokengate.types import FREE_TEXT, Json

if TYPE_CHECKING:
    from aiotokengate._wire.extent import Extent

__all__ = ["Call", "Calls", "News", "alike", "is_loose", "parsed"]

_PLACEHOLDERS: Final = ("{}", "null")
_NO_WORDS: Final = ("", "null", "None")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_CALL_KEYS: Final = frozenset(("index", "id", "type", "function", "custom"))


class Call:
    """A tool call under assembly.

    Attributes:
        id: the vendor's, or ours once one had to be made.
        wire_id: the vendor's, also where another call has it already.
        name_size: of its name, as far as it came.
        size: how many characters its arguments have, placeholders aside.
        blank: whether these are white space, or nothing.
        kind: see :class:`~aiotokengate.types.ToolCall`.
        index: that the wire gave it first, None for none.
        extra: fields of the pieces that have no name here.
        closed: whether an event said that it is over.
        doubted: whether its arguments were said in two ways; such a call is never run.
        spoke_at: how many entries the transcript had after its last piece.
        told: whether its id was told.
    """

    __slots__ = (
        "_extent",
        "_fragments",
        "_half",
        "_held",
        "_names",
        "_parsed",
        "_read",
        "_readable",
        "_whole",
        "blank",
        "closed",
        "doubted",
        "extra",
        "id",
        "index",
        "kind",
        "name_size",
        "size",
        "spoke_at",
        "told",
        "wire_id",
    )

    closed: bool
    doubted: bool
    id: str
    name_size: int
    size: int
    told: bool
    wire_id: str

    def __init__(self, kind: str = "function", index: int | None = None) -> None:
        """Know nothing yet."""
        self.id = self.wire_id = ""
        self.kind: str = kind
        self.name_size = self.size = 0
        self.index: int | None = index
        self.extra: dict[str, Any] = {}
        self.closed = self.doubted = self.told = False
        self.blank: bool = True
        self.spoke_at: int = 0
        self._names: list[str] = []
        self._fragments: list[str] = []
        self._half = self._held = ""
        self._extent: Extent | None = None
        self._read = 0
        self._whole = False
        self._readable: tuple[int, bool] | None = None
        self._parsed: Any = None

    @property
    def name(self) -> str:
        """The name as far as it came."""
        if len(self._names) > 1:
            self._names = ["".join(self._names)]
        return self._names[0] if self._names else ""

    def is_named(self, name: str) -> bool:
        """Return whether this is its name so far; one of another length is not even looked at."""
        return len(name) == self.name_size and name == self.name

    @property
    def arguments(self) -> str:
        """The arguments so far."""
        return "".join(self._fragments) or self._held

    @property
    def so_far(self) -> str:
        """The arguments so far, placeholders aside."""
        return "".join(self._fragments)

    @property
    def begun(self) -> bool:
        """Whether there are arguments, placeholders aside."""
        return bool(self._fragments)

    @property
    def held(self) -> bool:
        """Whether there is a placeholder for arguments, and nothing else."""
        return bool(self._held) and not self._fragments

    @property
    def bare(self) -> bool:
        """Whether there are no arguments at all."""
        return not self._fragments and not self._held

    @property
    def whole(self) -> bool:
        """Whether the arguments are a whole JSON object; asked again it costs only the news."""
        if self._read < len(self._fragments) and self.kind not in FREE_TEXT:
            self._read_news()
        return self._whole

    def _read_news(self) -> Extent:
        """Read what came since the last time; where the last bracket is closed, parse it all.

        That is done once: an object that is over goes on with white space or is none.
        """
        from aiotokengate._wire.extent import Extent

        extent = self._extent = self._extent or Extent()
        news = "".join(self._fragments[self._read :])
        self._read = len(self._fragments)
        if extent.over:
            self._whole = self._whole and not news.strip()
            return extent
        extent.feed(news)
        if extent.over:
            self._whole = isinstance(parsed(self.arguments), dict)
        return extent

    @property
    def readable(self) -> bool:
        """Whether the arguments are JSON at all; asked again, nothing is read again."""
        if self._readable is None or self._readable[0] != self.size:
            self._readable = self.size, parsed(self.arguments) is not None
        return self._readable[1]

    def take(self, fragment: str) -> str:
        """Keep a fragment of the arguments; return what of it is certain and new."""
        if self.kind not in FREE_TEXT:
            if not self._fragments and fragment.strip() in _PLACEHOLDERS:
                self._held = "{}"
                return ""
            if self.repeats(fragment):
                return ""
        if self._half or not fragment.isascii():
            fragment, self._half = rejoined(self._half + fragment)
        if not fragment:
            return ""
        self._held = ""
        if self.kind not in FREE_TEXT and _CONTROL.search(fragment):
            extent = self._read_news()
            fragment = fragment if extent.over else extent.escaped(fragment)
        self._keep(fragment)
        return fragment

    def _keep(self, fragment: str) -> None:
        self._fragments.append(fragment)
        self.size += len(fragment)
        self.blank = self.blank and not fragment.strip()

    def repeats(self, fragment: str) -> bool:
        """Return whether a fragment says the whole arguments once more."""
        if not self._fragments or not fragment.rstrip().endswith("}") or not self.whole:
            return False
        again = parsed(fragment)
        if not isinstance(again, dict):
            return False
        if self._parsed is None:
            self._parsed = parsed(self.arguments)
        return alike(again, self._parsed)

    def rest(self) -> str:
        """Return what was held back, now that nothing more comes."""
        held, self._held = self._held, ""
        held += "\ufffd" if self._half else ""
        self._half = ""
        if held:
            self._keep(held)
        return held

    def named(self, name: str) -> str:
        """Keep a name, or a piece of one; return what of it is new."""
        size = self.name_size
        if not name or (size and self._fragments) or self.is_named(name):
            return ""
        news = name[size:] if len(name) > size and name.startswith(self.name) else name
        self._names.append(news)
        self.name_size += len(news)
        return news


News: TypeAlias = tuple[int, str, str, str]
"""What a piece has told: the place of its call, and what is new of its id, name and arguments."""


class Calls:
    """The tool calls of one choice, in the order of their appearance.

    Attributes:
        all: the calls.
        conflict: whether a call that was ready to be run has changed afterwards.
    """

    __slots__ = ("_by_id", "_by_index", "_by_key", "_ids", "_make_id", "_place", "all", "conflict")

    def __init__(self, make_id: Callable[[], str]) -> None:
        """Begin without calls; ``make_id`` returns an id for those that have none of their own."""
        self.all: list[Call] = []
        self.conflict: bool = False
        self._make_id = make_id
        self._ids: set[str] = set()
        self._by_id: dict[str, Call] = {}
        self._by_index: dict[int, Call] = {}
        self._by_key: dict[Hashable, Call] = {}
        self._place: dict[Call, int] = {}

    def __len__(self) -> int:
        """Count the calls."""
        return len(self.all)

    def __iter__(self) -> Iterator[Call]:
        """Return the calls in order."""
        return iter(self.all)

    # --- pieces of Chat Completions -------------------------------------------------------------

    def piece(self, piece: Mapping[str, Any], spoken: Callable[[Call], bool]) -> News:
        """Take a piece of a call, as Chat Completions has them.

        Args:
            piece: an entry of ``tool_calls``.
            spoken: says whether anything else of the choice came after a call's last piece.
        """
        kind = "custom" if isinstance(piece.get("custom"), Mapping) else "function"
        inner = piece.get(kind)
        inner = inner if isinstance(inner, Mapping) else {}
        new_id, name = _word(piece.get("id")), _word(inner.get("name"))
        fragment = _fragment(inner.get("input" if kind == "custom" else "arguments"))
        index = index_of(piece.get("index"))
        call = self._find(index, new_id, name, fragment)
        if call is None:
            call = self._new(kind, index)
        if index is not None:
            self._by_index[index] = call
        call.extra.update({key: piece[key] for key in piece.keys() - _CALL_KEYS if piece[key]})
        return self._told(call, new_id, name, fragment, spoken)

    def _find(self, index: int | None, new_id: str, name: str, fragment: str) -> Call | None:
        """Return the call that a piece belongs to, None for a new one; see the table above."""
        known = self._by_index.get(index) if index is not None else None
        same = self._by_id.get(new_id) if new_id else None
        if same is not None:
            # Of two calls with one id the index tells which.
            if known is not None and known.wire_id == new_id:
                same = known
            return _of_known_id(same, index, name, fragment)
        if known is not None:
            return None if _is_another(known, new_id, name, fragment) else known
        last = self.all[-1] if self.all else None
        if not new_id and not name:
            return last
        if index is None and last is not None and not new_id and last.index is None:
            return last if last.is_named(name) and last.begun and not last.whole else None
        return None

    def _new(self, kind: str, index: int | None) -> Call:
        call = Call(kind, index)
        self._place[call] = len(self.all)
        self.all.append(call)
        return call

    def _told(
        self,
        call: Call,
        new_id: str,
        name: str,
        fragment: str,
        spoken: Callable[[Call], bool],
    ) -> News:
        ready = call.closed or (call.begun and spoken(call) and call.whole)
        told_id = self._identified(call, new_id)
        told_name = call.named(name)
        told = call.take(fragment)
        if ready and (told_name or told.strip()):
            self.conflict = True
        return self._place[call], told_id, told_name, told

    def _identified(self, call: Call, new_id: str) -> str:
        """Keep the vendor's id of a call; return it if it is new, or ours where it is taken."""
        if not new_id or call.id:
            return ""
        call.wire_id = new_id
        self._by_id.setdefault(new_id, call)
        if new_id in self._ids:
            new_id = self._make_id()
        self._ids.add(new_id)
        call.id, call.told = new_id, True
        return new_id

    # --- items and blocks -----------------------------------------------------------------------

    def begin(self, key: Hashable, new_id: str, name: str, kind: str = "function") -> News | None:
        """Begin the call of an item or block; None if it has begun already."""
        if key in self._by_key:
            return None
        call = self._by_key[key] = self._new(kind, None)
        told_id = self._identified(call, new_id)
        return self._place[call], told_id, call.named(name), ""

    def add(self, key: Hashable, fragment: object, spoken: Callable[[Call], bool]) -> News | None:
        """Add to the arguments of a call that has begun; None if it never has."""
        call = self._by_key.get(key)
        return None if call is None else self._told(call, "", "", _fragment(fragment), spoken)

    def finish(self, key: Hashable, arguments: object = None) -> News | None:
        """Close a call; ``arguments`` are all of them as its last event tells them, if it does."""
        call = self._by_key.get(key)
        if call is None:
            return None
        final, rest = _fragment(arguments), ""
        if final and not call.closed:
            rest = self._completed(call, final)
        told_id = self._untold_id(call)
        if not call.closed:
            call.closed = True
            rest += call.rest()
        return (self._place[call], told_id, "", rest) if told_id or rest else None

    def _completed(self, call: Call, final: str) -> str:
        """Take what a closing event says and no piece has said."""
        so_far = call.so_far
        if final.startswith(so_far):
            return call.take(final[len(so_far) :])
        call.doubted = call.kind in FREE_TEXT or not alike(parsed(final), parsed(so_far))
        return ""

    def get(self, key: Hashable) -> Call | None:
        """Return the call of an item or block."""
        return self._by_key.get(key)

    # --- the end --------------------------------------------------------------------------------

    def identify(self, call: Call) -> None:
        """Make an id for a call that has none."""
        if not call.id:
            call.id = self._make_id()
            self._ids.add(call.id)

    def _untold_id(self, call: Call) -> str:
        """Return the id of a call that is over, "" if it was told before."""
        self.identify(call)
        untold, call.told = not call.told, True
        return call.id if untold else ""

    def settle(self, call: Call) -> News | None:
        """Report what was held back of a call that is over, and its id; None if nothing was."""
        told_id, rest = self._untold_id(call), call.rest()
        return (self._place[call], told_id, "", rest) if told_id or rest else None


def _of_known_id(same: Call, index: int | None, name: str, fragment: str) -> Call | None:
    """Return the call of a known id that a piece belongs to, None for a new one."""
    elsewhere = index is not None and same.index is not None and index != same.index
    if not name or (same.begun and not same.whole and not (elsewhere and not same.is_named(name))):
        return same
    if same.is_named(name) and fragment.strip() and same.bare:
        return same
    if elsewhere:
        return None
    another = same.whole and fragment.strip() and not same.repeats(fragment)
    return None if another else same


def _is_another(known: Call, new_id: str, name: str, fragment: str) -> bool:
    """Return whether a piece at the index of a call begins another one; its id is not known."""
    if not name:
        return False
    again = known.held and isinstance(parsed(fragment), dict)
    if new_id and known.id:
        return not known.is_named(name) or known.whole or known.closed or again
    if known.whole:
        news = fragment.strip() and not known.repeats(fragment)
        return not known.is_named(name) or bool(news)
    return not known.is_named(name) and (known.begun or again)


def _word(value: object) -> str:
    """Return an id or a name, "" for what is none; some relays write "null"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)[:64] if -(10**18) < value < 10**18 else ""
    return value if isinstance(value, str) and value not in _NO_WORDS else ""


def _fragment(value: object) -> str:
    """Return a fragment of JSON text; some vendors send the arguments as an object already."""
    if value is None or isinstance(value, str):
        return value or ""
    return written(value)


def parsed(text: str) -> Json:
    """Return the JSON of a text, None for what is none; raw control characters are read."""
    whole = _strictly(text)
    return _parsed_loosely(text) if whole is None and _CONTROL.search(text) else whole


def _strictly(text: str) -> Json:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def alike(one: object, other: object) -> bool:
    """Return whether two parsed texts say the same; of what is nested too deeply, nobody knows."""
    try:
        return one == other
    except RecursionError:
        return False


def is_loose(text: str) -> bool:
    """Return whether a text is JSON for :func:`parsed` alone."""
    return _CONTROL.search(text) is not None and _strictly(text) is None


def _parsed_loosely(text: str) -> Json:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
