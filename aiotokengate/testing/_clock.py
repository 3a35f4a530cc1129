"""A clock that stands still until a test moves it, so that hours pass in milliseconds.

Strategy.  Timers are kept in a heap by the time they are due and, within one moment, in the order
they were made.  Moving the clock stops at every due timer, so that a timer made by another one
runs at its own moment, too, and ``now()`` is never ahead of what has happened.  Between two
moments :meth:`VirtualClock.run_for` lets the event loop turn a number of times: that wakes the
tasks that the timers released, and lets loopback sockets move.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from itertools import count
from typing import TYPE_CHECKING

import attrs

from aiotokengate.errors import CallerError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VirtualClock", "VirtualTimer"]

TURNS = 20
"""How often the loop turns between two moments; a longer chain of awaits goes on in the next."""


@attrs.define(order=True)
class VirtualTimer:
    """Something scheduled on a :class:`VirtualClock`.

    Attributes:
        due: when, in the clock's own seconds.
        cancelled: whether it was called off.
    """

    due: float
    _number: int
    _callback: Callable[[], object] = attrs.field(order=False, repr=False)
    cancelled: bool = attrs.field(default=False, order=False)

    def cancel(self) -> None:
        """Call it off; harmless when it already ran."""
        self.cancelled = True

    def run(self) -> None:
        """Call what was scheduled."""
        self._callback()


class VirtualClock:
    """Time that a test moves; give it to a session, or to anything that takes a ``Clock``.

    Example::

        clock = VirtualClock()
        async with TokenGate(api_key=gateway.api_key, base_url=url, clock=clock) as gate:
            task = asyncio.ensure_future(gate.chat("qwen3.6-plus", "在吗？"))
            await clock.run_for(301)    # five minutes of silence, in no time
    """

    def __init__(self, start: float = 0.0) -> None:
        """Begin at ``start`` seconds."""
        self._now = start
        self._timers: list[VirtualTimer] = []
        self._numbers = count()

    def __repr__(self) -> str:
        """Show the time and how much is scheduled."""
        return f"<VirtualClock {self._now:g} s, {self.pending} pending>"

    @property
    def pending(self) -> int:
        """How many timers are still to run."""
        return sum(not timer.cancelled for timer in self._timers)

    def now(self) -> float:
        """Return the seconds since the clock's own zero."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], object]) -> VirtualTimer:
        """Run ``callback`` once the clock was moved ``delay`` seconds on."""
        timer = VirtualTimer(self._now + max(0.0, delay), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, delay: float) -> None:
        """Wait until the clock was moved ``delay`` seconds on; for 0, when the loop turns."""
        if delay <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        timer = self.call_later(delay, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Move on and run what is due, in order; tasks see it when the loop turns again.

        Raises:
            CallerError: time does not run backwards, nor for ever.
        """
        end = self._end(seconds)
        while self._step(end):
            pass

    async def run_for(self, seconds: float) -> None:
        """Move on and run what is due, in order, letting the loop turn at every moment.

        Raises:
            CallerError: time does not run backwards, nor for ever.
        """
        end = self._end(seconds)
        await self.settle()
        while self._step(end):
            await self.settle()

    async def settle(self) -> None:
        """Let the event loop turn, without moving the clock."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _end(self, seconds: float) -> float:
        if not 0 <= seconds < math.inf:
            message = f"expected to move the clock by 0 or more seconds, got {seconds!r}"
            raise CallerError(message)
        return self._now + seconds

    def _step(self, end: float) -> bool:
        """Go to the next moment at which a timer is due and run it; say whether there was one."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0].due > end:
            self._now = end
            return False
        timer = heapq.heappop(self._timers)
        self._now = timer.due
        timer.run()
        return True
