"""Counts the texts that the replies of a client give, and notes what they cost on the way."""

from __future__ import annotations

import asyncio
import time
from statistics import fmean

__all__ = ["Marks", "Meter", "Tap"]

Marks = list[tuple[float, float]]
"""CPU and real time, in seconds, at some places."""


class Meter:
    """What all replies of a client have in common; each has a :class:`Tap`.

    Attributes:
        timed: whether each text is the time at which it was sent.
    """

    def __init__(self) -> None:
        """Begin at nothing."""
        self.timed = False
        self._count = 0
        self._goal = self._last = 0
        self._every = 0
        self._reached: asyncio.Future[None] | None = None
        self._marks: Marks = []
        self._taps: list[Tap] = []

    def tap(self) -> Tap:
        """Return the meter of one more reply."""
        tap = Tap(self)
        self._taps.append(tap)
        return tap

    async def reach(self, count: int, every: int = 0) -> Marks:
        """Wait for so many texts more; return CPU and real time now, and at each mark."""
        self._marks = [_now()]
        self._every = every or count
        self._goal, self._last = self._count + self._every, self._count + count
        self._reached = asyncio.get_running_loop().create_future()
        await self._reached
        return self._marks

    def add(self) -> None:
        """Count one text."""
        self._count += 1
        if self._count == self._goal:
            self._mark()

    def _mark(self) -> None:
        self._marks.append(_now())
        if self._count < self._last:
            self._goal += self._every
        elif self._reached is not None:
            self._reached.set_result(None)

    def lateness(self) -> dict[str, float]:
        """Say in milliseconds how late texts were, and the worst-served reply's mean."""
        late = sorted(late for tap in self._taps for late in tap.late)
        means = [fmean(tap.late) for tap in self._taps if tap.late]
        for tap in self._taps:
            tap.late.clear()
        found = {
            "median": late[len(late) // 2],
            "p99": late[len(late) * 99 // 100],
            "worst": late[-1],
            "worst reply": max(means),
        }
        return {name: value / 1e6 for name, value in found.items()}


class Tap:
    """The meter of one reply."""

    __slots__ = ("_meter", "late")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.late: list[int] = []

    def take(self, text: str) -> None:
        """Count a text."""
        meter = self._meter
        if meter.timed:
            self.late.append(time.monotonic_ns() - int(text))
        meter.add()


def _now() -> tuple[float, float]:
    return time.process_time(), time.monotonic()
