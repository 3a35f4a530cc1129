"""Entries of a transcript that were read, packed: one text in place of a string for each.

A short string costs CPython 50 to 80 bytes beside its place in a list; thousands of open streams
would keep little else.  Packed, an entry costs its characters and six bytes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

__all__ = ["BLOCK", "Packed"]

BLOCK: Final = 128
"""Entries of a block."""


class Packed:
    """One block of entries.

    Attributes:
        kinds: of the entries, in their order.
        others: those that are no text, by their place.
    """

    __slots__ = ("_ends", "_text", "kinds", "others")

    def __init__(self, kinds: Sequence[int], items: Sequence[Any]) -> None:
        """Pack entries."""
        texts = [item if type(item) is str else "" for item in items]
        self._text = "".join(texts)
        self._ends = array("I", accumulate(map(len, texts)))
        self.kinds = array("H", kinds)
        self.others = {place: item for place, item in enumerate(items) if type(item) is not str}

    def size(self, place: int = 0) -> int:
        """Return the bytes of its text, from a place on."""
        start = self._ends[place - 1] if place else 0
        return len(self._text[start:].encode())

    def item(self, place: int) -> Any:  # noqa: ANN401 - a text or a delta
        """Return one entry."""
        if place in self.others:
            return self.others[place]
        start = self._ends[place - 1] if place else 0
        return self._text[start : self._ends[place]]

    def texts(self) -> Iterator[tuple[int, str]]:
        """Return the texts of the block, those of one kind together."""
        if len(self.others) == len(self.kinds):
            return
        if self.kinds.count(self.kinds[0]) == len(self.kinds):
            yield self.kinds[0], self._text
            return
        pieces: dict[int, list[str]] = {}
        start = 0
        for place, (kind, end) in enumerate(zip(self.kinds, self._ends, strict=True)):
            if place not in self.others:
                pieces.setdefault(kind, []).append(self._text[start:end])
            start = end
        yield from ((kind, "".join(texts)) for kind, texts in pieces.items())

    def text(self, kind: int, start: int = 0, stop: int = BLOCK) -> str:
        """Join the texts of one kind, of the whole block or from a place up to another."""
        count = self.kinds.count(kind)
        if count == len(self.kinds) and not start and stop >= count:
            return self._text
        places = range(start, min(stop, len(self.kinds))) if count else ()
        return "".join([self.item(place) for place in places if self.kinds[place] == kind])
