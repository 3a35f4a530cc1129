r"""JSON that is still being written: what there is of it after every piece.

Strategy.  A push parser: pieces go in, containers grow in place, and every character is looked at
once, so a long reply costs what its length costs.  Inside a string one search jumps to its end.
Text before the first brace is passed over (models like to say "Here it is:" or to open a code
fence), and so is what follows the value.

However a text is cut, the value is the same: an escape that is half is held back, and each escape
is decoded by itself.  One that is none (``\u00e!``) stays as it was written, and does no harm to
the others of its string.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from aiotokengate.types import Json

__all__ = ["NOTHING", "PartialJson"]

NOTHING: Final = object()
"""Stands for no value yet."""

_WHITE = re.compile(r"[ \t\n\r]*")
_BARE_END = re.compile(r"[,\]}\s]")
_HALF_ESCAPE = re.compile(
    r"(?<!\\)(?:\\\\)*"  # whole escapes of the backslash itself
    r"(\\(?:u[0-9a-fA-F]{0,3})?|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)\Z"
)
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}"
    r'|\\["\\/bfnrt]'
)
"""An escape, or a pair of them that is one character."""

_DEEPEST: Final = 200
"""Levels of nesting that are read, as elsewhere."""


class PartialJson:
    """Builds one JSON value from its text, piece by piece.

    Attributes:
        whole: whether the value is complete; what comes then is passed over.
        broken: whether the text was no JSON from some place on.
    """

    __slots__ = (
        "_escaped",
        "_keys",
        "_open",
        "_raw",
        "_read",
        "_root",
        "_stack",
        "_step",
        "broken",
        "whole",
    )

    def __init__(self) -> None:
        """Begin before the first character."""
        self.whole = False
        self.broken = False
        self._root: Any = NOTHING
        self._stack: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._raw: list[str] = []  # of the string or number that is being read
        self._read = ""  # what is decoded of that string already
        self._escaped = False
        self._open = False  # whether the last item of a list is not whole yet
        self._step = PartialJson._before

    def feed(self, text: str) -> None:
        """Take a piece."""
        at = 0
        while at < len(text) and not self.whole and not self.broken:
            at = self._step(self, text, at)

    @property
    def in_string(self) -> bool:
        """Whether the text has ended inside a string, and not in the middle of an escape."""
        return self._step is PartialJson._string and not self._escaped

    @property
    def begun(self) -> bool:
        """Whether there is a value yet."""
        return self._root is not NOTHING

    @property
    def value(self) -> Json:
        """What there is so far: the same growing containers every time; NOTHING at first."""
        if self._step is PartialJson._string and self._raw and not self._is_key():
            self._read_raw()
            self._put(self._read, whole=False)
        return self._root

    def _read_raw(self) -> None:
        """Decode what came of a string since the last time, but for an escape that is half."""
        raw = "".join(self._raw)
        sure = _without_half(raw)
        self._read += _decoded(sure)
        self._raw = [raw[len(sure) :]] if len(sure) < len(raw) else []

    # --- places in the text: each takes what it knows, and gives where the next goes on ---------

    def _before(self, text: str, at: int) -> int:
        """Pass over everything up to the first brace or bracket."""
        places = [place for place in (text.find("{", at), text.find("[", at)) if place >= 0]
        if not places:
            return len(text)
        return self._value(text, min(places))

    def _value(self, text: str, at: int) -> int:
        at = _skip(text, at)
        if at == len(text):
            return at
        sign = text[at]
        if sign in "{[":
            self._enter({} if sign == "{" else [])
        elif sign == '"':
            self._raw, self._read, self._step = [], "", PartialJson._string
        elif sign == "]" and self._stack and self._stack[-1] == []:
            self._leave()
        elif sign in "-0123456789tfn":
            self._raw, self._step = [], PartialJson._bare
            return at
        else:
            self.broken = True
        return at + 1

    def _key(self, text: str, at: int) -> int:
        at = _skip(text, at)
        if at == len(text):
            return at
        if text[at] == '"':
            self._raw, self._read, self._step = [], "", PartialJson._string
        elif text[at] == "}":
            self._leave()
        else:
            self.broken = True
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        at = _skip(text, at)
        if at < len(text):
            self.broken = text[at] != ":"
            self._step = PartialJson._value
            at += 1
        return at

    def _after(self, text: str, at: int) -> int:
        at = _skip(text, at)
        if at == len(text):
            return at
        inside_object = isinstance(self._stack[-1], dict)
        if text[at] == ",":
            self._step = PartialJson._key if inside_object else PartialJson._value
            self._keys[-1] = None
        elif text[at] == ("}" if inside_object else "]"):
            self._leave()
        else:
            self.broken = True
        return at + 1

    def _string(self, text: str, at: int) -> int:
        if self._escaped:
            self._raw.append(text[at])
            self._escaped = False
            return at + 1
        end = text.find('"', at)
        stop = end if end >= 0 else len(text)
        last = stop
        while last > at and text[last - 1] == "\\":
            last -= 1
        escaped = (stop - last) % 2 == 1
        if end < 0:
            self._raw.append(text[at:])
            self._escaped = escaped
            return len(text)
        if escaped:
            self._raw.append(text[at : end + 1])
        else:
            self._raw.append(text[at:end])
            self._end_string("".join(self._raw))
        return end + 1

    def _bare(self, text: str, at: int) -> int:
        found = _BARE_END.search(text, at)
        if found is None:
            self._raw.append(text[at:])
            return len(text)
        self._raw.append(text[at : found.start()])
        try:
            self._put(orjson.loads("".join(self._raw)), whole=True)
        except orjson.JSONDecodeError:
            self.broken = True
        self._step = PartialJson._after
        return found.start()

    # --- values ---------------------------------------------------------------------------------

    def _is_key(self) -> bool:
        return isinstance(self._stack[-1], dict) and self._keys[-1] is None

    def _end_string(self, raw: str) -> None:
        text = self._read + _decoded(raw)
        if self._is_key():
            self._keys[-1] = text
            self._step = PartialJson._colon
        else:
            self._put(text, whole=True)
            self._step = PartialJson._after

    def _put(self, value: Json, *, whole: bool) -> None:
        """Put a value where it belongs, in place of what was there of it."""
        if not self._stack:
            self._root = value
            return
        container, key = self._stack[-1], self._keys[-1]
        if isinstance(container, dict):
            container[key or ""] = value
        elif self._open:
            container[-1] = value
        else:
            container.append(value)
        self._open = isinstance(container, list) and not whole

    def _enter(self, container: dict[str, Any] | list[Any]) -> None:
        if len(self._stack) == _DEEPEST:
            self.broken = True
            return
        self._put(container, whole=True)
        self._stack.append(container)
        self._keys.append(None)
        self._step = PartialJson._key if isinstance(container, dict) else PartialJson._value

    def _leave(self) -> None:
        self._stack.pop()
        self._keys.pop()
        self.whole = not self._stack
        self._step = PartialJson._after


def _skip(text: str, at: int) -> int:
    found = _WHITE.match(text, at)
    return found.end() if found else at


def _without_half(raw: str) -> str:
    """Leave out an escape that is not whole, or the first half of a pair."""
    half = _HALF_ESCAPE.search(raw)
    return raw[: half.start(1)] if half else raw


def _decoded(raw: str) -> str:
    """Return the text of a JSON string; control characters, which models write, are themselves."""
    if "\\" not in raw:
        return raw
    try:
        decoded: str = json.loads(f'"{raw}"', strict=False)
    except ValueError:
        return _ESCAPE.sub(_decoded_alone, raw)
    return decoded


def _decoded_alone(found: re.Match[str]) -> str:
    decoded: str = json.loads(f'"{found[0]}"')
    return decoded
