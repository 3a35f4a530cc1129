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
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import attrs
import orjson

from aiotokengate.wire.transcript import Transcript

__all__ = ["Append", "Hole", "Splicer"]

Hole: TypeAlias = tuple[dict[str, Any], str]
"""A place of a parsed chunk: an object in it, and the key whose value changes."""

MOST_TEMPLATES: Final = 8
LONGEST: Final = 16_384
"""Bytes of a chunk that is worth a template; longer ones are images, or whole replies."""
FAIR_TRIAL: Final = 16
"""So many templates may be learned before it matters whether they are ever of use."""

_ALWAYS_CHANGE: Final = ("obfuscation", "sequence_number")
"""Keys that need not be seen to change."""

_MARK: Final = "\x00spliced\x00"
_MARK_JSON: Final = orjson.dumps(_MARK)


@attrs.define(eq=False)
class Append:
    """What a text is for: an entry of the transcript, and perhaps more.

    Attributes:
        kind: of the entry.
        also: a list that keeps the text, too.
        through: takes the decoder and the text, in place of the transcript, and says whether the
            next one is to take the same way.  It must not hold the decoder, which holds it.
    """

    kind: int
    also: list[str] | None = None
    through: Callable[[Any, str], bool] | None = None


class Template:
    """The bytes around the holes of a chunk, and what is to be done with its text."""

    __slots__ = ("_append", "_inner", "_order", "_read", "live", "prefix", "suffix")

    def __init__(self, pieces: Sequence[bytes], order: Sequence[int], append: Append) -> None:
        """Stand for chunks of these pieces.

        Args:
            pieces: what stands before, between and after the holes.
            order: what each hole is: 0 the text, 1 its twin, 2 any scalar.
            append: what the text is for.
        """
        self.prefix, *inner, self.suffix = pieces
        self._inner = inner
        self._order = order
        self._append = append
        self._read: Callable[[bytes], Any] = self._text_of if inner else orjson.loads
        self.live = True

    def run(self, events: Sequence[bytes], at: int, log: Transcript, decoder: object) -> int:
        """Take the events from ``at`` on as long as they fit; give the place of the next one."""
        append = self._append
        if append.through is not None:
            return self._run_through(events, at, partial(append.through, decoder))
        prefix, suffix, read, also = self.prefix, self.suffix, self._read, append.also
        head, tail, kind = len(prefix), -len(suffix), append.kind
        kinds, items = log.kinds, log.items
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
            if text:
                kinds.append(kind)
                items.append(text)
                if also is not None:
                    also.append(text)
        return len(events)

    def _run_through(
        self, events: Sequence[bytes], at: int, through: Callable[[str], bool]
    ) -> int:
        head, tail = len(self.prefix), -len(self.suffix)
        for place in range(at, len(events)):
            data = events[place]
            if not (self.live and data.startswith(self.prefix) and data.endswith(self.suffix)):
                return place
            try:
                text = self._read(data[head:tail])
            except ValueError:
                return place
            if type(text) is not str:
                return place
            if text and not through(text):
                self.live = False
        return len(events)

    def _text_of(self, middle: bytes) -> Any:  # noqa: ANN401 - one JSON value
        """Give the text of a chunk with several holes, None if they don't fit."""
        values = []
        for piece in self._inner:
            value, found, middle = middle.partition(piece)
            if not found:
                return None
            values.append(value)
        values.append(middle)
        text = b""
        for what, value in zip(self._order, values, strict=True):
            if what == _TEXT:
                text = value
            elif what == _SCALAR and type(orjson.loads(value)) not in _SCALARS:
                return None
        for what, value in zip(self._order, values, strict=True):
            if what == _TWIN and value != text:
                return None
        return orjson.loads(text)


_TEXT, _TWIN, _SCALAR = range(3)
_SCALARS: Final = (str, int, float)


class Splicer:
    """The templates of one reply.

    Attributes:
        hits: how many events a template has taken.
    """

    __slots__ = ("_changing", "_last", "_learned", "_log", "_seen", "_templates", "hits")

    def __init__(self, log: Transcript) -> None:
        """Know no template yet."""
        self.hits = 0
        self._log = log
        self._templates: list[Template] = []
        self._seen = False
        self._learned = 0
        self._last: dict[str, Any] = {}
        self._changing = set(_ALWAYS_CHANGE)

    def take(self, events: Sequence[bytes], at: int, decoder: object) -> int:
        """Take the events from ``at`` on that a template fits; give the place of the next one.

        What a text goes through is given ``decoder``.
        """
        begin = at
        while at < len(events) and (after := self._run(events, at, decoder)) > at:
            at = after
        self.hits += at - begin
        return at

    def _run(self, events: Sequence[bytes], at: int, decoder: object) -> int:
        templates = self._templates
        for place, template in enumerate(templates):
            after = template.run(events, at, self._log, decoder)
            if after > at:
                if not template.live:
                    templates[:] = [one for one in templates if one.live]
                elif place:
                    templates.insert(0, templates.pop(place))
                return after
        return at

    def worth(self, data: bytes) -> bool:
        """Say whether a piece of text is worth a template: not the first one, nor in vain."""
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
        template = _template(data, chunk, holes, len(texts), append)
        if template is not None:
            self._templates.insert(0, template)
            del self._templates[MOST_TEMPLATES:]

    def forget(self) -> None:
        """Drop all templates: what they would do is not what is to be done any more."""
        for template in self._templates:
            template.live = False
        self._templates.clear()

    def _scalars(self, chunk: dict[str, Any], changing: Iterable[str]) -> list[Hole]:
        """Give the values that have changed since the last time."""
        now = {key: chunk[key] for key in changing if type(chunk.get(key)) in _SCALARS}
        new = {key for key in now.keys() & self._last.keys() if now[key] != self._last[key]}
        self._last = now
        if not new <= self._changing:
            self._changing |= new
            self.forget()
        return [(chunk, key) for key in now if key in self._changing]


def _template(
    data: bytes, chunk: dict[str, Any], holes: Sequence[Hole], texts: int, append: Append
) -> Template | None:
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
    return Template([*pieces, data[begin:]], [what for _, _, what in spans], append)


def _find(data: bytes, chunk: object, inside: dict[str, Any], key: str) -> tuple[int, int] | None:
    """Find the literal of a value, as the one whose change changes that value alone."""
    value = inside[key]
    if value == _MARK:
        return None  # any literal could be replaced without a change
    for found in _values_of(key).finditer(data):
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
