"""Pools that share a real Redis as processes would, and calls that last until they are let go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.pool import Pool
from aiotokengate._pool.slots import Slot
from aiotokengate.redis import statistics

__all__ = [
    "MODEL",
    "SHORT",
    "Held",
    "Open",
    "hold",
    "lane_of",
    "one_call",
    "until",
    "until_lane",
]

MODEL = "qwen3.6-plus"

SHORT = 0.5
"""Seconds of a lease, where a test lets one run out."""

Open = Callable[..., Pool]


async def until(is_so: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something is so; pytest's time limit ends what never is."""
    while True:
        found = is_so()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0)


async def lane_of(url: str, prefix: str) -> LaneStatistics:
    """Return what the only lane of a Redis is doing."""
    (lane,) = await statistics(url, prefix=prefix)
    return lane


async def until_lane(url: str, prefix: str, **expected: object) -> None:
    """Wait until a lane of a Redis is doing what is expected."""

    async def is_so() -> bool:
        lanes = await statistics(url, prefix=prefix)
        return any(all(getattr(lane, k) == v for k, v in expected.items()) for lane in lanes)

    await until(is_so)


class Held:
    """A call that goes until it is let go."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.going = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.slot:
            self.going.set()
            self.slot.answered()
            await self.leave.wait()

    async def end(self) -> None:
        """Let it go, and wait for its end."""
        self.leave.set()
        await self.task


async def hold(pool: Pool, model: str = MODEL, **settings: Any) -> Held:
    """Begin a call, and return it when it goes."""
    held = Held(pool.slot(model, **settings))
    await held.going.wait()
    return held


async def one_call(pool: Pool, **settings: Any) -> None:
    """Begin a call, and end it."""
    async with pool.slot(MODEL, **settings) as slot:
        slot.answered()
