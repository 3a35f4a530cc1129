"""The clocks of all calls of a session on one loop: one coarse tick looks at them.

Strategy.  No timer is made for a call, let alone for a read: nearly all would be called off again.
Who has come is looked at with the next tick, and then in the slot of time in which a clock may run
out.  So a short call is looked at once at most, and thousands of long ones together no more often
than they ask for.

A tick that comes late says that something has blocked the loop; what arrived meanwhile still lies
in the sockets.  So that it is not taken for silence, the look is put off, once, until it was read.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Protocol

from aiotokengate.errors import TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiotokengate.clock import Clock, Timer
    from aiotokengate.errors import Phase

__all__ = ["Watch", "Watched", "run_out"]

TICK = 0.25
"""Seconds between two looks at clocks of a session's calls."""

FAR = 60.0
"""Seconds after which a call is looked at again, however much time it has left."""


class Watched(Protocol):
    """Something with clocks.

    Attributes:
        slot: where its watch keeps it, at first 0; for the watch alone.
    """

    slot: int

    def tick(self, now: float) -> float:
        """Look at the clocks, and give the time before which none can run out."""


_NOT_WATCHED, _NEW = 0, -1
"""Slots of time are numbered from 1 up, from the watch's beginning; these are none."""


class Watch:
    """Looks at the clocks of whatever has clocks, when one may have run out."""

    def __init__(self, clock: Clock) -> None:
        """Stand still until there is something to watch."""
        self._new: set[Watched] = set()
        self._slots: dict[int, set[Watched]] = {}
        self._clock = clock
        self._began = clock.now()
        self._timer: Timer | None = None
        self._due = 0.0
        self._put_off = False

    def watched(self) -> Iterable[Watched]:
        """Give what is watched now."""
        return [*chain(self._new, *self._slots.values())]

    def add(self, watched: Watched) -> None:
        """Watch something until :meth:`discard`."""
        watched.slot = _NEW
        self._new.add(watched)
        if self._timer is None:
            self._arm(self._clock.now())

    def discard(self, watched: Watched) -> None:
        """Forget it; the tick stops by itself when nothing is left."""
        slot, watched.slot = watched.slot, _NOT_WATCHED
        if slot == _NEW:
            self._new.discard(watched)
        elif slot in self._slots:
            self._slots[slot].discard(watched)

    def stop(self) -> None:
        """Stop ticking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, now: float) -> None:
        self._due = now + TICK
        self._timer = self._clock.call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = self._clock.now()
        self._put_off = not self._put_off and now - self._due > TICK
        if not self._put_off:
            for watched in self._take_due(now):
                self._look(watched, now)
        if self._new or any(self._slots.values()):
            self._arm(now)
        else:
            self._timer = None

    def _take_due(self, now: float) -> list[Watched]:
        due, self._new = [*self._new], set()
        reached = (now - self._began) / TICK
        for slot in [slot for slot in self._slots if slot <= reached]:
            due += self._slots.pop(slot)
        return due

    def _look(self, watched: Watched, now: float) -> None:
        if not watched.slot:
            return  # ended by what was done to another
        try:
            again = watched.tick(now)
        except Exception as error:  # noqa: BLE001 - the clocks of the others go on
            watched.slot = _NOT_WATCHED
            context = {"message": "the end of a call failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        else:
            if watched.slot:
                again = min(max(again, now), now + FAR)
                watched.slot = slot = int((again - self._began) / TICK) + 1
                self._slots.setdefault(slot, set()).add(watched)


def run_out(
    limit: tuple[float, Phase, float] | None,
    began: float,
    stall: float | None,
    waited: float,
    now: float,
) -> tuple[TimedOut | None, float]:
    """Say which clock of a body has run out, and before which time none can."""
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
