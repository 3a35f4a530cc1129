"""Hours of waiting in no time."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

from aiotokengate.testing import VirtualClock

__all__ = ["soon"]

_T = TypeVar("_T")
_LONG = 3_600.0


async def soon(clock: VirtualClock, work: Awaitable[_T]) -> _T:
    """Await something while virtual time runs, which stands still when it is done."""
    task = asyncio.ensure_future(work)
    while not task.done():
        moving = asyncio.ensure_future(clock.run_for(_LONG if clock.pending else 0.25))
        task.add_done_callback(partial(_stop, moving))
        await asyncio.wait([moving])
    return task.result()


def _stop(moving: asyncio.Future[None], _: object) -> None:
    moving.cancel()
