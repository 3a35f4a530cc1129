"""Lines of a terminal broken where a reader of English or Chinese expects it.

rich breaks at white space only: a long run of Chinese would always begin a new line.  Here a line
may also end between ideographs and kana, but neither before closing nor after opening punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import attrs
from rich import markdown
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

__all__ = ["Folded", "Markdown"]

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_OPENING = "（《「『【〈“‘"
_CLOSING = "，。、；：？！）》」』】〉”’…—·,.;:?!%"
_UNIT = re.compile(
    rf"[{_OPENING}]*(?:[{_IDEOGRAPHS}]|[^\s{_IDEOGRAPHS}{_OPENING}]+)?[{_CLOSING}]*\s*"
)


def _breaks(line: str, width: int) -> Iterator[int]:
    """Yield the places where a line has to be broken to fit."""
    used = 0
    for unit in _UNIT.finditer(line):
        text = unit[0]
        if used and used + cell_len(text.rstrip()) > width:
            yield unit.start()
            used = 0
        if cell_len(text.rstrip()) > width:
            *whole, text = chop_cells(text.rstrip(), width)
            at = unit.start()
            for piece in whole:
                at += len(piece)
                yield at
        used += cell_len(text)


@attrs.frozen
class Folded:
    """A text that fills the lines of a terminal."""

    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render line by line."""
        for line in self.text.split("\n", allow_blank=True):
            for part in line.divide(_breaks(line.plain, options.max_width)):
                part.rstrip()
                yield part


class _Paragraph(markdown.Paragraph):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Folded(self.text)


class Markdown(markdown.Markdown):
    """Markdown whose paragraphs are folded like that."""

    elements: ClassVar = {**markdown.Markdown.elements, "paragraph_open": _Paragraph}
