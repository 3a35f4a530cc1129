"""Time as something that is passed in, so that hours can be simulated in milliseconds."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Clock", "RealClock", "Timer"]


class Timer(Protocol):
    """Something scheduled that can still be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""


class Clock(Protocol):
    """What the library asks of time; seconds everywhere."""

    def now(self) -> float:
        """Seconds since some fixed point; never runs backwards."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run ``callback`` in the running loop after ``delay`` seconds."""

    async def sleep(self, delay: float) -> None:
        """Return after ``delay`` seconds."""


class RealClock:
    """Real time, and the timers of the running event loop."""

    now: staticmethod[[], float] = staticmethod(time.monotonic)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Schedule on the running loop."""
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        """Sleep in real time."""
        await asyncio.sleep(delay)
