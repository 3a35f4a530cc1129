"""Gauges: how much of one number of one quota is used, and how long a cost would have to wait.

The arithmetic is exact up to an instant of a microsecond: times that differ by less are the
same, since sums of times and rates are rounded, and whoever comes just when there is room must
not be refused for the last bit of a float.  Counts are integers and are not rounded at all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from itertools import accumulate

from aiotokengate.testing._limits import Because, RateLimit

__all__ = ["INSTANT", "MINUTE", "Gauge", "gauges"]

MINUTE = 60.0
SECOND = 1.0
INSTANT = 1e-6


class Gauge(ABC):
    """How much of a limit is used."""

    __slots__ = ("limit",)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    @abstractmethod
    def wait(self, now: float, cost: int) -> float:
        """Return the seconds until the cost fits, 0 if it does."""

    @abstractmethod
    def charge(self, now: float, cost: int) -> None:
        """Use so much, whether it fits or not."""

    @abstractmethod
    def left(self, now: float) -> float:
        """Return what is left; below 0 after what did not fit."""

    @abstractmethod
    def reset(self, now: float) -> float:
        """Return the seconds until nothing is used."""

    def resize(self, now: float, limit: float) -> None:
        """Change the limit, and keep what is used."""
        self.left(now)
        self.limit = limit


class Bucket(Gauge):
    """A minute's worth at most, refilled continuously.

    What is larger than the limit has to find the bucket full.
    """

    __slots__ = ("_at", "_level")

    def __init__(self, now: float, limit: float) -> None:
        super().__init__(limit)
        self._level = limit
        self._at = now

    def wait(self, now: float, cost: int) -> float:
        missing = min(cost, self.limit) - self.left(now)
        seconds = missing * MINUTE / self.limit
        return seconds if seconds > INSTANT else 0.0

    def charge(self, now: float, cost: int) -> None:
        self._level = self.left(now) - cost

    def left(self, now: float) -> float:
        refilled = (now - self._at) * self.limit / MINUTE
        self._level = min(self.limit, self._level + refilled)
        self._at = now
        return self._level

    def reset(self, now: float) -> float:
        return (self.limit - self.left(now)) * MINUTE / self.limit

    def resize(self, now: float, limit: float) -> None:
        """Keep how full it is: full stays full, and half full half full."""
        self._level = self.left(now) * limit / self.limit
        self.limit = limit


class FixedWindow(Gauge):
    """At most the limit in each minute, counted anew in the next."""

    __slots__ = ("_end", "_phase", "_used")

    def __init__(self, now: float, limit: float, phase: float) -> None:
        super().__init__(limit)
        self._phase = phase
        self._used = 0
        self._end = -math.inf
        self._turn(now)

    def _turn(self, now: float) -> None:
        """Begin the minute that ``now`` is in, if it isn't the one that is counted."""
        if now + INSTANT >= self._end:
            past = math.floor((now + INSTANT - self._phase) / MINUTE)
            self._end = self._phase + (past + 1) * MINUTE
            self._used = 0

    def wait(self, now: float, cost: int) -> float:
        self._turn(now)
        fits = self._used + min(cost, self.limit) <= self.limit
        return 0.0 if fits else self._end - now

    def charge(self, now: float, cost: int) -> None:
        self._turn(now)
        self._used += cost

    def left(self, now: float) -> float:
        self._turn(now)
        return self.limit - self._used

    def reset(self, now: float) -> float:
        self._turn(now)
        return self._end - now


class SlidingWindow(Gauge):
    """At most the limit in any span of so many seconds."""

    __slots__ = ("_log", "_span", "_used")

    def __init__(self, limit: float, span: float = MINUTE) -> None:
        super().__init__(limit)
        self._span = span
        self._used = 0
        self._log: deque[tuple[float, int]] = deque()

    def _forget(self, now: float) -> None:
        while self._log and self._log[0][0] + self._span <= now + INSTANT:
            self._used -= self._log.popleft()[1]

    def wait(self, now: float, cost: int) -> float:
        self._forget(now)
        excess = self._used + min(cost, self.limit) - self.limit
        if excess <= 0:
            return 0.0
        # What is used is all in the log; rounding must not ask for more than that.
        return self._freed(min(excess, self._used)) + self._span - now

    def _freed(self, excess: float) -> float:
        """Return the time of the call with which, once it is forgotten, the excess is gone."""
        past = accumulate(cost for _, cost in self._log)
        return next(at for (at, _), freed in zip(self._log, past, strict=True) if freed >= excess)

    def charge(self, now: float, cost: int) -> None:
        self._forget(now)
        self._log.append((now, cost))
        self._used += cost

    def left(self, now: float) -> float:
        self._forget(now)
        return self.limit - self._used

    def reset(self, now: float) -> float:
        self._forget(now)
        return self._log[-1][0] + self._span - now if self._log else 0.0


def _minute_gauge(now: float, limit: RateLimit, per_minute: float) -> Gauge:
    if limit.kind == "bucket":
        return Bucket(now, per_minute)
    if limit.kind == "fixed":
        return FixedWindow(now, per_minute, limit.phase)
    return SlidingWindow(per_minute)


def gauges(now: float, limit: RateLimit) -> dict[Because, Gauge]:
    """Return the gauges of what a limit limits, by what they refuse because of."""
    found: dict[Because, Gauge] = {}
    if limit.burst_slope is not None:
        found["burst"] = SlidingWindow(limit.burst_slope, SECOND)
    if limit.requests_per_minute is not None:
        found["requests"] = _minute_gauge(now, limit, limit.requests_per_minute)
    if limit.tokens_per_minute is not None:
        found["tokens"] = _minute_gauge(now, limit, limit.tokens_per_minute)
    return found
