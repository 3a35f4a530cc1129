"""Splicing: where a chunk differs from an earlier one in its text alone, only that is parsed.

Strategy.  Successive chunks of one stream have the same bytes but for one JSON string.  Once a
chunk was parsed in full and taken as a piece of text, its bytes are cut around that string: what
stands before it and what stands after it are a :class:`Template`.  A later chunk with the same
beginning and the same end can differ in the middle only, and a middle that is exactly one string
literal makes a chunk of the very structure that was parsed.  That is no guess: any other middle
fails to parse, and the chunk goes the long way.

Where to cut is found by trying: the literal is replaced by a marker, and the result, parsed, must
be the chunk with the marker as its text and nowhere else.

Some gateways change another scalar in every chunk (``created``, ``obfuscation``,
``sequence_number``), or give the same text twice (``reasoning`` and ``reasoning_content``).  Such
a chunk has more than one hole: the scalars must be exactly one literal each, the twins the same
bytes as the text.

A decoder learns a template only of a chunk which, with another text, would do nothing but append
that text, and set again what is set already (fields nobody knows are kept with their last value).
When something else has set these to another value, it forgets its templates.  It keeps a few:
choices take turns, and some vendors change the order of their keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson

from aiotokengate._wire.transcript import Transcript
from aiotokengate.types import Json

__all__ = ["Append", "Hole", "Splicer"]

Hole: TypeAlias = tuple[dict[str, Any], str]
"""A place of a parsed chunk: an object in it, and the key whose value changes."""

MOST_TEMPLATES: Final = 8
MOST_PLACES: Final = 8
"""Places of a chunk that are tried, each with a parse of the whole."""
LONGEST: Final = 16_384
"""Bytes of a chunk that is worth a template; longer ones are images, or whole replies."""
FAIR_TRIAL: Final = 16
"""So many templates may be learned before it matters whether they are ever of use."""

_ALWAYS_CHANGE: Final = frozenset(("obfuscation", "sequence_number"))
"""Keys that need not be seen to change."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_MARK: Final = "\x00spliced\x00"
_MARK_JSON: Final = orjson.dumps(_MARK)


class Append:
    """What a text is for: an entry of the transcript, and perhaps more.

    Attributes:
        kind: of the entry.
        also: a list that keeps the text, too.
        through: takes the text in place of the transcript.
        typed: whether an event without text is a sign of life all the same.
    """

    __slots__ = ("also", "kind", "through", "typed")

    def __init__(
        self,
        kind: int,
        also: list[str] | None = None,
        through: Callable[[str], None] | None = None,
        *,
        typed: bool = False,
    ) -> None:
        """Show what it is for."""
        self.kind = kind
        self.also = also
        self.through = through
        self.typed = typed


_TEXT, _TWIN, _SCALAR = range(3)
_SCALARS: Final = (str, int, float)

Template: TypeAlias = Callable[[Sequence[bytes], int], int]
"""Takes the events from a place on as long as they fit; gives the place of the next one."""


def _template(
    pieces: Sequence[bytes], what: Sequence[int], append: Append, log: Transcript
) -> Template:
    """Make a template for chunks of these pieces.

    It is the loop that runs for nearly every event; all that it needs is at hand in a cell.

    Args:
        pieces: what stands before, between and after the holes.
        what: what each hole is: the text, its twin, or any scalar.
        append: what the text is for.
        log: where it goes.
    """
    prefix, *inner, suffix = pieces
    read = _reader(inner, what) if inner else orjson.loads
    head, tail = len(prefix), -len(suffix)
    kind, through = append.kind, append.through or _keeping(append, log)
    typed = append.typed
    add_kind, add_item = log.kinds.append, log.items.append

    def run(events: Sequence[bytes], at: int) -> int:
        for place in range(at, len(events)):
            data = events[place]
            if not (data.startswith(prefix) and data.endswith(suffix)):
                return place
            try:
                text = read(data[head:tail])
            except ValueError:
                return place
            if type(text) is not str:
                return place
            if not text:
                log.signs += typed
                continue
            if through is not None:
                through(text)
            else:
                add_kind(kind)
                add_item(text)
        return len(events)

    return run


def _keeping(append: Append, log: Transcript) -> Callable[[str], None] | None:
    """Make what takes a text that is also kept elsewhere, if it is."""
    if append.also is None:
        return None
    kind, keep = append.kind, append.also.append

    def through(text: str) -> None:
        log.put(0, kind, text)
        keep(text)

    return through


def _reader(inner: Sequence[bytes], what: Sequence[int]) -> Callable[[bytes], Any]:
    """Make what gives the text of a chunk with several holes, None if they don't fit."""
    place = what.index(_TEXT)
    twins = [number for number, kind in enumerate(what) if kind == _TWIN]
    scalars = [number for number, kind in enumerate(what) if kind == _SCALAR]

    def read(middle: bytes) -> Json:
        values = []
        for piece in inner:
            value, found, middle = middle.partition(piece)
            if not found:
                return None
            values.append(value)
        values.append(middle)
        text = values[place]
        for number in twins:
            if values[number] != text:
                return None
        for number in scalars:
            if type(orjson.loads(values[number])) not in _SCALARS:
                return None
        return orjson.loads(text)

    return _pair_reader(inner[0], place) if scalars and len(what) == _PAIR else read


_PAIR: Final = 2


def _pair_reader(between: bytes, place: int) -> Callable[[bytes], Any]:
    """Make the same for a text and one scalar, as Responses numbers its events."""

    def read(middle: bytes) -> Json:
        first, found, second = middle.partition(between)
        text, scalar = (second, first) if place else (first, second)
        number = scalar.isdigit() and not scalar.startswith(b"0")  # parsed in no time
        if not number and (not found or type(orjson.loads(scalar)) not in _SCALARS):
            return None
        return orjson.loads(text)

    return read


class Splicer:
    """The templates of one reply.

    Attributes:
        templates: the last one that fitted comes first.
        hits: how many events a template has taken.
    """

    __slots__ = ("_changing", "_last", "_learned", "_log", "_seen", "hits", "templates")

    def __init__(self, log: Transcript) -> None:
        """Know no template yet."""
        self.hits = 0
        self._log = log
        self.templates: list[Template] = []
        self._seen = False
        self._learned = 0
        self._last = _NOTHING
        self._changing = _ALWAYS_CHANGE

    def take(self, events: Sequence[bytes], at: int) -> int:
        """Take the events from ``at`` on that a template fits; give the place of the next one.

        There must be a template.
        """
        begin, templates = at, self.templates
        at = templates[0](events, at)
        # What a text goes through may forget all templates.
        while at < len(events) and templates:
            after = self._try_others(events, at)
            if after == at:
                break
            at = templates[0](events, after) if templates else after
        self.hits += at - begin
        return at

    def _try_others(self, events: Sequence[bytes], at: int) -> int:
        """Let the other templates try, and put the one that fits to the front."""
        templates = self.templates
        for place in range(1, len(templates)):
            after = templates[place](events, at)
            if after > at:
                if templates:
                    templates.insert(0, templates.pop(place))
                return after
        return at

    def worth(self, data: bytes) -> bool:
        """Return whether a piece of text is worth a template: not the first one, nor in vain."""
        seen, self._seen = self._seen, True
        vain = self._learned >= FAIR_TRIAL and self.hits < 4 * self._learned
        return seen and not vain and len(data) <= LONGEST

    def learn(
        self,
        data: bytes,
        chunk: dict[str, Any],
        texts: Sequence[Hole],
        append: Append,
        changing: Iterable[str] = (),
    ) -> None:
        """Make a template of a chunk that was taken as a piece of text.

        Args:
            data: its bytes.
            chunk: the same, parsed.
            texts: where its text stands, and where the same text stands again.
            append: what the text is for.
            changing: keys of the chunk whose values may change, and do not matter.
        """
        self._learned += 1
        holes = [*texts, *self._scalars(chunk, changing)]
        cut = _cut(data, chunk, holes, len(texts))
        if cut is not None:
            self.templates.insert(0, _template(*cut, append, self._log))
            del self.templates[MOST_TEMPLATES:]

    def forget(self) -> None:
        """Drop all templates: what they would do is not what is to be done any more."""
        self.templates.clear()

    def _scalars(self, chunk: dict[str, Any], changing: Iterable[str]) -> list[Hole]:
        """Return the values that have changed since the last time."""
        now = {key: chunk[key] for key in changing if type(chunk.get(key)) in _SCALARS}
        new = {key for key in now.keys() & self._last.keys() if now[key] != self._last[key]}
        self._last = now
        if not new <= self._changing:
            self._changing |= new
            self.forget()
        return [(chunk, key) for key in now if key in self._changing]


def _cut(
    data: bytes, chunk: dict[str, Any], holes: Sequence[Hole], texts: int
) -> tuple[list[bytes], list[int]] | None:
    """Cut a chunk at its holes, the first of which is the text, the next ones its twins."""
    spans = []
    for number, hole in enumerate(holes):
        span = _find(data, chunk, *hole)
        if span is None:
            return None
        spans.append((*span, min(number, _TWIN) if number < texts else _SCALAR))
    spans.sort()
    pieces, begin = [], 0
    for start, end, _ in spans:
        pieces.append(data[begin:start])
        begin = end
    return [*pieces, data[begin:]], [what for _, _, what in spans]


def _find(data: bytes, chunk: object, inside: dict[str, Any], key: str) -> tuple[int, int] | None:
    """Find the literal of a value, as the one whose change changes that value alone."""
    value = inside[key]
    if value == _MARK:
        return None  # any literal could be replaced without a change
    for found in islice(_values_of(key).finditer(data), MOST_PLACES):
        start, end = found.span(1)
        inside[key] = _MARK
        try:
            if orjson.loads(data[:start] + _MARK_JSON + data[end:]) == chunk:
                return start, end
        except (orjson.JSONDecodeError, RecursionError):
            continue
        finally:
            inside[key] = value
    return None


@lru_cache(maxsize=64)
def _values_of(key: str) -> re.Pattern[bytes]:
    """Find the strings and numbers that are the value of a key."""
    literal = rb'("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*)'
    return re.compile(b'"%b"[ \t]*:[ \t]*%b' % (re.escape(key.encode()), literal))
