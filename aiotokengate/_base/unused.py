"""Warn of a call that was made and never used, as Python warns of a coroutine.

Strategy.  ``__del__`` warns of a call that was not used when it is dropped.  The place where it
was made is kept only while Python keeps such places (``-X dev``, asyncio's debug mode,
tracemalloc), because a look at the stack costs as much as the rest of the call.
"""

from __future__ import annotations

import os
import sys
import warnings
from abc import ABC, abstractmethod
from linecache import getline
from sys import get_coroutine_origin_tracking_depth
from traceback import format_list
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WarnsUnused", "hand_over", "origin"]

Origin: TypeAlias = tuple[tuple[str, int, str], ...]
"""File, line and function of each frame, the innermost first."""

_DEPTH: Final = 10
"""As many frames as asyncio keeps of a coroutine in its debug mode."""

_OURS: Final = f"{__name__.partition('.')[0]}."
_ALWAYS: Final = sys.flags.dev_mode or bool(
    sys._xoptions.get("tracemalloc") or os.environ.get("PYTHONTRACEMALLOC", "0").strip("0")  # noqa: SLF001 - documented
)
"""Whether Python was started so that it keeps where things are made."""


def origin() -> Origin | None:
    """Return where a call is being made, outside of the library, if such places are kept."""
    if not (_ALWAYS or get_coroutine_origin_tracking_depth() or _is_tracing()):
        return None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no other way
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_OURS):
        frame = frame.f_back
    places: list[tuple[str, int, str]] = []
    while frame is not None and len(places) < _DEPTH:
        places.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return tuple(places)


def _is_tracing() -> bool:
    """Return whether tracemalloc was started, without importing it."""
    tracemalloc = sys.modules.get("tracemalloc")
    return tracemalloc is not None and tracemalloc.is_tracing()


def hand_over(calls: Iterable[object]) -> None:
    """Keep calls from warning that were given to somebody who refuses them with an error."""
    for call in calls:
        if isinstance(call, WarnsUnused):
            call.hand_over()
        elif isinstance(call, CoroutineType):
            call.close()


class WarnsUnused(ABC):
    """Something to be used, which warns when it is dropped before it was."""

    __slots__ = ("_origin", "_unused")

    def __init__(self) -> None:
        """Remember where it is made, if such places are kept."""
        self._unused = True
        self._origin = origin()

    def __del__(self) -> None:
        """Warn if it was never used."""
        if self._unused:
            # Pointing to where it was dropped. Without source=: that would keep it alive.
            warnings.warn(_warning(self._label(), self._origin), RuntimeWarning, stacklevel=2)

    def hand_over(self) -> None:
        """Do not warn: somebody else was to use it, and still may."""
        self._unused = False

    @abstractmethod
    def _label(self) -> str:
        """Return what to call it in the warning; never the prompt."""


def _warning(what: str, made: Origin | None) -> str:
    message = f"{what} was never awaited"
    if not made:
        return f"{message} (python -X dev tells where it was made)"
    lines = [(*place, getline(*place[:2])) for place in reversed(made)]
    places = "".join(format_list(lines)).rstrip()
    return f"{message}\nIt was made at (most recent call last)\n{places}"
