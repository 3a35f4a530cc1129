"""How far a JSON text that comes in pieces has come: inside a string, inside brackets, or over.

Nothing is parsed, and no character costs more than a few searches in C: escapes are taken out,
what stands between quotes is passed over, brackets are counted.  A text that is JSON is over
exactly where its last bracket is closed; one that is over and no JSON cannot become any.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Extent"]

_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_ESCAPED: Final = re.compile(r"(?<=\\)[\x00-\x1f]")
"""A control character behind a backslash is a broken escape, and stays one."""

# Halves of surrogate pairs, which no text has by then, stand for the escapes that matter.
_BACKSLASH: Final = "\ud800"
_QUOTE: Final = "\ud801"
_FIRST_CONTROL: Final = 0xD810


class Extent:
    """Reads a text piece by piece.

    Attributes:
        over: whether as many brackets were closed as were opened, and any was.
    """

    __slots__ = ("_after_backslash", "_depth", "_in_string", "over")

    def __init__(self) -> None:
        """Begin before the first character."""
        self.over = False
        self._depth = 0
        self._in_string = self._after_backslash = False

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if not text:
            return
        if self._after_backslash:
            text = text[1:]
        plain = text.replace("\\\\", "").replace('\\"', "") if "\\" in text else text
        self._after_backslash = plain.endswith("\\")
        pieces = plain.split('"')
        brackets = "".join(pieces[self._in_string :: 2]).count
        self._in_string ^= len(pieces) % 2 == 0
        closed = brackets("}") + brackets("]")
        self._depth += brackets("{") + brackets("[") - closed
        self.over = self._depth <= 0 and closed > 0

    def escaped(self, text: str) -> str:
        """Return the next piece with the control characters inside its strings escaped.

        Models write them, and JSON forbids them.
        """
        first = text[:1] if self._after_backslash else ""
        text = text[len(first) :].replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
        pieces = _ESCAPED.sub(_hidden, text).split('"')
        inside = slice(not self._in_string, None, 2)
        strings = '"'.join(pieces[inside])
        for control in set(_CONTROL.findall(strings)):
            strings = strings.replace(control, f"\\u{ord(control):04x}")
        if pieces[inside]:
            pieces[inside] = strings.split('"')
        return first + _shown('"'.join(pieces))


def _hidden(found: re.Match[str]) -> str:
    return chr(_FIRST_CONTROL + ord(found[0]))


def _shown(text: str) -> str:
    """Put back what was hidden from the search for quotes and controls."""
    text = text.replace(_BACKSLASH, "\\\\").replace(_QUOTE, '\\"')
    return _HIDDEN.sub(lambda found: chr(ord(found[0]) - _FIRST_CONTROL), text)


_HIDDEN: Final = re.compile(f"[{chr(_FIRST_CONTROL)}-{chr(_FIRST_CONTROL + 0x1F)}]")
