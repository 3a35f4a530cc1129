"""How much of a minute's allowance is left: a bucket, and a window.

Strategy.  When exactly a gateway counts a call can't be seen from here: somewhere between our
sending it and its answer.  Both meters therefore take the worse of the two ends.  What is admitted
is *reserved* at once, so that nobody else gets it, and *charged* only when the answer has shown
that the gateway counted it; a bucket refills, and a window's minute runs, from then on.  Whatever
the moments in between really were, the gateway's own meter holds at least what ours does.

An amount above the whole allowance can't ever fit.  It is let in when the meter is untouched,
alone, and what it takes too much is waited for by those after it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from math import inf
from typing import Protocol

__all__ = ["MINUTE", "Bucket", "Meter", "Window"]

MINUTE = 60.0
_GRAIN = 1e-9
"""Shares of the limit below this are the floating point's, not the gateway's."""


class Meter(Protocol):
    """An allowance per minute.

    Attributes:
        limit: amount per minute.
        reserved: what was admitted and is not charged yet.
    """

    limit: float
    reserved: float

    def room(self, now: float) -> float:
        """Return what can be admitted; below 0 after too large an amount."""

    def ready_at(self, now: float, amount: float) -> float:
        """Return when ``amount`` can be admitted if only time passes; now, later, or inf."""

    def reserve(self, amount: float) -> None:
        """Admit; or, with an amount below 0, give back what was reserved."""

    def charge(self, now: float, reserved: float, amount: float) -> float:
        """Count ``amount`` in place of what was ``reserved`` for it; give until when it counts."""

    def add(self, now: float, amount: float) -> None:
        """Count something more."""

    def refund(self, now: float, amount: float, until: float) -> None:
        """Count that much less of what :meth:`charge` said would count ``until`` then."""

    def lift(self, now: float, amount: float) -> None:
        """Count that much less, of whatever is counted: the gateway has said so."""

    def resize(self, now: float, limit: float) -> None:
        """Change the limit, and keep what is counted."""


class Bucket:
    """Holds one minute's allowance, and refills continuously.

    Args:
        limit: amount per minute.
        now: seconds; it starts full.
        capacity: what it holds, one minute's by default.
    """

    __slots__ = ("_at", "_level", "capacity", "limit", "rate", "reserved")

    def __init__(self, limit: float, now: float, capacity: float | None = None) -> None:
        self.limit = limit
        self.rate = limit / MINUTE
        self.capacity = self._level = limit if capacity is None else capacity
        self.reserved = 0.0
        self._at = now

    def room(self, now: float) -> float:
        """Return what can be admitted; below 0 after too large an amount."""
        if now > self._at:
            level = self._level + (now - self._at) * self.rate
            self._level = min(self.capacity, level)
            self._at = now
        return self._level - self.reserved

    def ready_at(self, now: float, amount: float) -> float:
        """Return when ``amount`` can be admitted if only time passes; now, later, or inf."""
        need = min(self.capacity, amount)
        missing = need - self.room(now)
        if missing <= self.capacity * _GRAIN:
            return now
        # Full is full: what is reserved comes back by an answer only.
        if need + self.reserved > self.capacity * (1 + _GRAIN):
            return inf
        return now + missing / self.rate

    def reserve(self, amount: float) -> None:
        """Admit; or, with an amount below 0, give back what was reserved."""
        self.reserved += amount

    def charge(self, now: float, reserved: float, amount: float) -> float:
        """Count ``amount`` in place of what was ``reserved`` for it."""
        self.room(now)
        self.reserved -= reserved
        self._level -= amount
        return inf

    def add(self, now: float, amount: float) -> None:
        """Count something more."""
        self.room(now)
        self._level -= amount

    def refund(self, now: float, amount: float, until: float) -> None:
        """Count that much less of what was charged."""
        if until > now:
            self.lift(now, amount)

    def lift(self, now: float, amount: float) -> None:
        """Count that much less, of whatever is counted."""
        self.room(now)
        self._level = min(self.capacity, self._level + amount)

    def resize(self, now: float, limit: float) -> None:
        """Change the limit, and keep what is counted."""
        used = self.capacity - (self.room(now) + self.reserved)
        self.capacity *= limit / self.limit
        self.limit = limit
        self.rate = limit / MINUTE
        self._level = self.capacity - used


class Window:
    """Any 60 seconds hold at most the limit.

    Args:
        limit: amount in any 60 seconds.
    """

    __slots__ = ("_counted", "_ends", "limit", "reserved")

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.reserved = 0.0
        self._counted = 0.0
        self._ends: deque[tuple[float, float]] = deque()

    def room(self, now: float) -> float:
        """Return what can be admitted; below 0 after too large an amount."""
        ends = self._ends
        while ends and ends[0][0] <= now:
            self._counted -= ends.popleft()[1]
        if not ends:
            self._counted = 0.0  # and no rounding is carried on
        return self.limit - self._counted - self.reserved

    def ready_at(self, now: float, amount: float) -> float:
        """Return when ``amount`` can be admitted if only time passes; now, later, or inf."""
        missing = min(amount, self.limit) - self.room(now) - self.limit * _GRAIN
        if missing <= 0:
            return now
        for end, counted in self._ends:
            missing -= counted
            if missing <= 0:
                return end
        return inf

    def reserve(self, amount: float) -> None:
        """Admit; or, with an amount below 0, give back what was reserved."""
        self.reserved += amount

    def charge(self, now: float, reserved: float, amount: float) -> float:
        """Count ``amount`` in place of what was ``reserved`` for it."""
        self.reserved -= reserved
        self.add(now, amount)
        return now + MINUTE

    def add(self, now: float, amount: float) -> None:
        """Count something more."""
        self._counted += amount
        self._ends.append((now + MINUTE, amount))

    def refund(self, now: float, amount: float, until: float) -> None:
        """Count that much less of what was charged, as long as it counts."""
        if until > now:
            self._counted -= amount
            # In its place among the ends: it must stop counting when what it corrects does.
            insort(self._ends, (until, -amount))

    def lift(self, now: float, amount: float) -> None:
        """Count that much less: of what would have ended first, so the rest ends no sooner."""
        self.room(now)
        ends = self._ends
        while amount > 0 and ends:
            end, counted = ends.popleft()
            part = min(amount, counted) if counted > 0 else counted
            self._counted -= part
            amount -= part
            if counted > part:
                ends.appendleft((end, counted - part))

    def resize(self, now: float, limit: float) -> None:
        """Change the limit, and keep what is counted."""
        self.room(now)
        self.limit = limit
