"""Warn of a call that was made and never used, as Python warns of a coroutine.

Strategy.  A call is told apart from a used one when it is dropped, by its ``__del__``; where it
was made is kept only while Python was asked for such places (``-X dev``, asyncio's debug mode,
tracemalloc), because a look at the stack costs as much as the rest of the call.
"""

from __future__ import annotations

import os
import sys
import warnings
from linecache import getline
from sys import get_coroutine_origin_tracking_depth
from traceback import format_list
from types import CoroutineType, FrameType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Origin", "hand_over", "origin", "warn_unused"]

Origin: TypeAlias = tuple[tuple[str, int, str], ...]
"""File, line and function of each frame, the innermost first."""

_DEPTH: Final = 10
"""As many frames as asyncio keeps of a coroutine in its debug mode."""

_OURS: Final = f"{__name__.partition('.')[0]}."
_ALWAYS: Final = sys.flags.dev_mode or bool(
    sys._xoptions.get("tracemalloc") or os.environ.get("PYTHONTRACEMALLOC", "0").strip("0")  # noqa: SLF001 - documented
)
"""Whether Python was begun so that it tells where things are made."""


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
    """Whether tracemalloc was started; it is not imported for the question."""
    tracemalloc = sys.modules.get("tracemalloc")
    return tracemalloc is not None and tracemalloc.is_tracing()


def hand_over(calls: Iterable[object]) -> None:
    """Let calls be silent that were given to somebody who does not use them, but says so."""
    for call in calls:
        give = getattr(call, "hand_over", None)
        if give is not None:
            give()
        elif isinstance(call, CoroutineType):
            call.close()


def warn_unused(what: str, made: Origin | None) -> None:
    """Warn that a call is dropped unused; for its ``__del__``, where the warning then points.

    Args:
        what: names it; never the prompt.
        made: what :func:`origin` gave.
    """
    message = f"{what} was never awaited"
    if not made:
        message += " (python -X dev tells where it was made)"
    else:
        lines = [(*place, getline(*place[:2])) for place in reversed(made)]
        told = "".join(format_list(lines)).rstrip()
        message = f"{message}\nIt was made at (most recent call last)\n{told}"
    # Without source=: that would keep the call alive.
    warnings.warn(message, RuntimeWarning, stacklevel=3)
