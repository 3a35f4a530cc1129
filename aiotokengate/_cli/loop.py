"""The event loop of the command line: uvloop's where it is installed (extra ``fast``)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["new_runner", "run_async"]

_T = TypeVar("_T")


def new_runner() -> asyncio.Runner:
    """Return what runs coroutines, one after the other, on one event loop."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=new_event_loop)


def run_async(main: Coroutine[Any, Any, _T]) -> _T:
    """Run one coroutine to its end."""
    with new_runner() as runner:
        return runner.run(main)
