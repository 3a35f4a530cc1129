"""The clocks of all calls of a session on one loop: one coarse tick looks at them.

Strategy.  No timer is made for a call, let alone for a read: nearly all would be cancelled again.
A new call is looked at with the next tick, and then with the tick at which one of its clocks may
have run out.  So a short call is looked at once at most, and thousands of long ones no more often
than they need.

A tick that comes late says that something has blocked the loop; what arrived meanwhile is still in
the sockets.  So that this is not taken for silence, the look is put off, once, until it was read.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Protocol

from aiotokengate.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from aiotokengate.clock import Clock, Timer
    from aiotokengate.errors import Phase

__all__ = ["Watch", "Watched", "limited", "run_out"]

TICK = 0.25
"""Seconds between two looks at clocks of a session's calls."""

FAR = 60.0
"""Seconds after which a call is looked at again, however much time it has left."""


class Watched(Protocol):
    """Something with clocks.

    Attributes:
        due_tick: the tick at which it is looked at next, at first 0; for the watch alone.
    """

    due_tick: int

    def tick(self, now: float) -> float:
        """Look at the clocks, and return the time before which none can run out."""


_NOT_WATCHED, _NEW = 0, -1
"""Ticks are numbered from 1 up, from the watch's beginning; these are none."""


class Watch:
    """Looks at the clocks of whatever has clocks when one may have run out."""

    def __init__(self, clock: Clock) -> None:
        """Wait until there is something to watch."""
        self._new: set[Watched] = set()
        self._due: dict[int, set[Watched]] = {}
        self._clock = clock
        self._began = clock.now()
        self._timer: Timer | None = None
        self._next_at: float
        self._put_off = False

    def watched(self) -> Iterable[Watched]:
        """Return what is watched now."""
        return [*chain(self._new, *self._due.values())]

    def add(self, watched: Watched) -> None:
        """Watch something until :meth:`discard`."""
        watched.due_tick = _NEW
        self._new.add(watched)
        if self._timer is None:
            self._arm(self._clock.now())

    def discard(self, watched: Watched) -> None:
        """Forget it; the tick stops by itself when nothing is left."""
        tick, watched.due_tick = watched.due_tick, _NOT_WATCHED
        if tick == _NEW:
            self._new.discard(watched)
        elif tick in self._due:
            self._due[tick].discard(watched)

    def stop(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        self._next_at = now + TICK
        self._timer = self._clock.call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = self._clock.now()
        self._put_off = not self._put_off and now - self._next_at > TICK
        if not self._put_off:
            for watched in self._take_due(now):
                self._look(watched, now)
        if self._new or any(self._due.values()):
            self._arm(now)
        else:
            self._timer = None

    def _take_due(self, now: float) -> list[Watched]:
        due, self._new = [*self._new], set()
        reached = (now - self._began) / TICK
        for tick in [tick for tick in self._due if tick <= reached]:
            due += self._due.pop(tick)
        return due

    def _look(self, watched: Watched, now: float) -> None:
        if not watched.due_tick:
            return  # ended by what was done to another
        try:
            again = watched.tick(now)
        except Exception as error:  # noqa: BLE001 - the clocks of the others go on
            watched.due_tick = _NOT_WATCHED
            context = {"message": "the end of a call failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        else:
            if watched.due_tick:
                again = min(max(again, now), now + FAR)
                watched.due_tick = tick = int((again - self._began) / TICK) + 1
                self._due.setdefault(tick, set()).add(watched)


def run_out(
    limit: tuple[float, Phase, float] | None,
    began: float,
    stall: float | None,
    waited: float,
    now: float,
) -> tuple[TimedOut | None, float]:
    """Return which clock of a body has run out, and the time before which none can."""
    end = inf
    if limit is not None:
        seconds, phase, setting = limit
        end = began + seconds
        if now >= end:
            return TimedOut(phase, setting), inf
    if stall is None:
        return None, end
    if waited >= stall:
        return TimedOut("stall", stall), inf
    return None, min(end, now + stall - waited)


class limited:  # noqa: N801 - used like asyncio.timeout
    """``async with limited(clock, seconds)``: raise :class:`TimeoutError` when it takes longer.

    The same as :func:`asyncio.timeout`, on whichever clock.
    """

    __slots__ = ("_clock", "_limit", "_seconds", "_timer")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._limit = asyncio.timeout(None)
        self._timer: Timer

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._timer = self._clock.call_later(self._seconds, self._expire)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, traceback)

    def _expire(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())
