"""The clocks of all calls of a session on one loop: one coarse tick looks at them.

Strategy.  No timer is made for a call, let alone for a read: nearly all would be called off again.
Who has come is looked at with the next tick, and then in the slot of time in which a clock may run
out.  So a short call is looked at once at most, and thousands of long ones together no more often
than they ask for.
"""

from __future__ import annotations

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
"""Slots of time are numbered from 1 up; these are none."""


class Watch:
    """Looks at the clocks of whatever has clocks, when one may have run out."""

    def __init__(self, clock: Clock) -> None:
        """Stand still until there is something to watch."""
        self._new: set[Watched] = set()
        self._slots: dict[int, set[Watched]] = {}
        self._clock = clock
        self._timer: Timer | None = None

    def watched(self) -> Iterable[Watched]:
        """Give what is watched now."""
        return [*chain(self._new, *self._slots.values())]

    def add(self, watched: Watched) -> None:
        """Watch something until :meth:`discard`."""
        watched.slot = _NEW
        self._new.add(watched)
        if self._timer is None:
            self._timer = self._clock.call_later(TICK, self._tick)

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

    def _tick(self) -> None:
        now = self._clock.now()
        due, self._new = [*self._new], set()
        for slot in [slot for slot in self._slots if slot * TICK <= now]:
            due += self._slots.pop(slot)
        for watched in due:
            # What is done to one of them may end another.
            again = watched.tick(now) if watched.slot else inf
            if watched.slot:
                watched.slot = slot = int(min(again, now + FAR) // TICK) + 1
                self._slots.setdefault(slot, set()).add(watched)
        more = self._new or any(self._slots.values())
        self._timer = self._clock.call_later(TICK, self._tick) if more else None


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
