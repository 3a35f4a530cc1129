"""Arguments of a call that come value by value, each with its path: how Vertex streams them.

A path is JSONPath (RFC 9535), of which names and indexes are used: ``$.stops[0].name``,
``$['city']``.  A string goes on as long as its path is repeated.  A path that ends in ``[]``
appends; without a value it means that the array is there, perhaps empty, and any other path
without a value an object.

Sources: ``PartialArg`` of the package ``google-genai``; what Vercel's ``ai`` makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, TypeAlias

from aiotokengate._wire.jsontext import mended
from aiotokengate.types import Json

__all__ = ["PartialArgs"]

_STEP = re.compile(
    r"\.(?P<bare>[^.\[\]'\"\s]+)|\[(?:'(?P<one>(?:[^'\\]|\\.)*)'|\"(?P<two>(?:[^\"\\]|\\.)*)\""
    r"|(?P<index>\d{1,6})|(?P<end>))\]"
)
_ESCAPE = re.compile(r"\\(.)")
_VALUES: Final = ("stringValue", "numberValue", "boolValue")
_DEEPEST: Final = 100
_MOST_GAP: Final = 64
"""Places of an array that may be passed over; more is no honest path."""

_END: Final = -1
"""The step that appends."""

Path: TypeAlias = tuple[str | int, ...]


class _Text:
    """A string that may go on."""

    __slots__ = ("pieces",)

    def __init__(self, text: str) -> None:
        self.pieces = [text]


class PartialArgs:
    """The arguments so far.

    Attributes:
        broken: whether something could not be put where its path says.
    """

    __slots__ = ("_appended", "_root", "_whole", "broken")

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Begin, perhaps with arguments that are there already."""
        self._root: dict[str, Any] = dict(given or {})
        self._appended: tuple[str, _Text] | None = None
        self._whole: dict[str, Any] | None = None
        self.broken = False

    def take(self, piece: object) -> None:
        """Take one of ``partialArgs``."""
        self._whole = None
        path = piece.get("jsonPath") if isinstance(piece, Mapping) else None
        steps = _steps(path) if isinstance(path, str) else None
        if steps is None or not isinstance(piece, Mapping):
            self.broken = True
            return
        value = next((piece[key] for key in _VALUES if piece.get(key) is not None), None)
        bare = value is None and piece.get("nullValue") is None
        if isinstance(value, str):
            self._text(str(path), steps, value)
        else:
            self._put(steps, _container(steps) if bare else value, bare=bare)

    @property
    def value(self) -> dict[str, Any]:
        """The arguments, their strings joined; asked again, they are the same."""
        if self._whole is None:
            try:
                self._whole = _plain(self._root)
            except RecursionError:
                self.broken, self._whole = True, {}
        return self._whole

    def _text(self, path: str, steps: Path, text: str) -> None:
        """Go on with the string of a path, or begin it."""
        if steps[-1:] == (_END,):
            if self._appended is not None and self._appended[0] == path:
                self._appended[1].pieces.append(text)
                return
            self._appended = (path, _Text(text))
            self._put(steps, self._appended[1])
            return
        old = self._at(steps)
        if isinstance(old, str):
            self._put(steps, old := _Text(old))
        if isinstance(old, _Text):
            old.pieces.append(text)
        else:
            self._put(steps, _Text(text))

    def _at(self, steps: Path) -> Json:
        """Return what stands at a place, None where there is nothing."""
        here: Json = self._root
        for step in steps:
            if isinstance(here, dict) and isinstance(step, str):
                here = here.get(step)
            elif isinstance(here, list) and isinstance(step, int) and 0 <= step < len(here):
                here = here[step]
            else:
                return None
        return here

    def _put(self, steps: Path, value: Json, *, bare: bool = False) -> None:
        """Put a value at a place, with the containers that lead there."""
        if bare and steps[-1:] == (_END,):
            steps = steps[:-1]
        if bare and (not steps or self._at(steps) is not None):
            return
        if not steps:
            self.broken = True
            return
        here: Any = self._root
        for step, after in pairwise(steps):
            here = self._enter(here, step, [] if isinstance(after, int) else {})
        self._set(here, steps[-1], value)

    def _enter(self, here: Json, step: str | int, fresh: Json) -> Json:
        if isinstance(here, dict) and isinstance(here.get(step), dict | list):
            return here[step]
        known = isinstance(here, list) and isinstance(step, int) and 0 <= step < len(here)
        if known and isinstance(here[step], dict | list):
            return here[step]
        self._set(here, step, fresh)
        return fresh

    def _set(self, here: Json, step: str | int, value: Json) -> None:
        if isinstance(here, dict) and isinstance(step, str):
            here[step] = value
        elif isinstance(here, list) and step == _END:
            here.append(value)
        elif isinstance(here, list) and isinstance(step, int) and step - len(here) < _MOST_GAP:
            here.extend([None] * (step + 1 - len(here)))
            here[step] = value
        else:
            self.broken = True


def _steps(path: str) -> Path | None:
    """Return the steps of a path, None for what is none."""
    at, steps = 1, list[str | int]()
    if not path.startswith("$"):
        return None
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) == _DEEPEST:
            return None
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> str | int:
    if found["index"] is not None:
        return int(found["index"])
    if found["end"] is not None:
        return _END
    if found["bare"] is not None:
        return found["bare"]
    return _ESCAPE.sub(r"\1", found["one"] if found["one"] is not None else found["two"])


def _container(steps: Path) -> list[Any] | dict[str, Any]:
    return [] if steps[-1:] == (_END,) else {}


def _plain(value: Json) -> Json:
    """Return parsed JSON whose strings are no longer in pieces."""
    if isinstance(value, _Text):
        return mended("".join(value.pieces), frozenset())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
