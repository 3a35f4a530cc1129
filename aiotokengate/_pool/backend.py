"""Where lanes are kept: what a pool asks of them, and those of this process.

Strategy.  A lane decides in the same step in which it is asked, or later; so nothing here waits,
and whoever waits is woken by a callback.  The lanes of this process are the pure ones of
:mod:`aiotokengate._policy.lanes`, given the time and one timer each: a lane is looked at when a
call comes, goes or changes, and when its timer says that a gate opens.  Nothing polls.
"""

from __future__ import annotations

import random
import weakref
from math import inf
from typing import TYPE_CHECKING, Protocol

from aiotokengate._policy.lanes import Lane, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate._policy.limits import Limits
    from aiotokengate._policy.statistics import LaneStatistics, Waiting
    from aiotokengate._wire.headers import Remaining
    from aiotokengate.clock import Clock, Timer

__all__ = ["Backend", "BackendLane", "LocalBackend"]


class BackendLane(Protocol):
    """One lane, wherever it is kept.  No method waits; ``ticket.wake`` is called later."""

    limits: Limits

    def enter(self, ticket: Ticket) -> bool:
        """Admit a call now, or have it wait until ``ticket.wake`` is called; say which.

        A ticket that was refused may enter again, and takes the place that it had.
        """

    def leave(self, ticket: Ticket) -> None:
        """Stop waiting."""

    def answered(self, ticket: Ticket, told: Remaining | None = None) -> None:
        """Count a call that the gateway let in, and believe what it said is left."""

    def true_up(self, ticket: Ticket, tokens: float) -> None:
        """Reserve more for a call that has already used more than was expected."""

    def settle(self, ticket: Ticket, tokens: float | None = None) -> None:
        """End a call that cost ``tokens``, by default what was expected of it."""

    def refund(self, ticket: Ticket) -> None:
        """End a call that never left."""

    def refuse(
        self,
        ticket: Ticket,
        retry_after: float | None,
        *,
        crowded: bool,
        hinted: bool = False,
        final: bool = False,
    ) -> float:
        """End a call that the gateway refused, hold the lane, and give for how long.

        Args:
            ticket: the call.
            retry_after: seconds to wait, jitter included.
            crowded: whether the reason is the number in flight.
            hinted: whether the gateway named these seconds; then the lane holds no longer.
            final: whether the call does not come again.
        """

    def crowd(self, ticket: Ticket) -> None:
        """End a call for which the gateway had no room: so many in flight are too many."""

    def waiting(self, ticket: Ticket) -> Waiting:
        """Say why a call waits."""

    def statistics(self) -> LaneStatistics:
        """Return what the lane is doing."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters here how many tokens a call has."""

    def wait(self, ticket: Ticket) -> float:
        """Return about how many seconds a new call would wait; 0 if it can go at once."""

    def blocked_by(self, ticket: Ticket) -> int:
        """Count the calls in flight of which one must end before this one can go.

        0 where that is not known, or where time may let it in.
        """

    def queued(self) -> int:
        """Count those of this process that wait."""

    def successor(self) -> BackendLane:
        """Return a lane that knows what was used, and none of the calls: their loop is gone."""


class Backend(Protocol):
    """Where lanes are kept: in this process, or where several share them."""

    def lane(self, pattern: str, key: str, limits: Limits) -> BackendLane:
        """Make the lane of a pattern of models and of a key (a masked name, never the key)."""

    def close(self) -> None:
        """Let go of what is held; what is admitted counts no more."""


class LocalBackend:
    """Keeps the lanes in this process; what a pool uses if nothing else is given."""

    def __init__(self, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._lanes: weakref.WeakSet[LocalLane] = weakref.WeakSet()

    def lane(self, pattern: str, key: str, limits: Limits) -> LocalLane:
        """Make a lane."""
        lane = LocalLane(pattern, key, limits, self._clock, self._chance)
        self._lanes.add(lane)
        return lane

    def close(self) -> None:
        """Stop the timers."""
        for lane in self._lanes:
            lane.stop()


class LocalLane:
    """A lane of this process: the decisions of :class:`Lane`, a clock, and one timer."""

    __slots__ = (
        "__weakref__",
        "_chance",
        "_clock",
        "_due",
        "_lane",
        "_timer",
        "key",
        "limits",
        "pattern",
    )

    def __init__(
        self, pattern: str, key: str, limits: Limits, clock: Clock, chance: Callable[[], float]
    ) -> None:
        self.pattern: str = pattern
        self.key: str = key
        self.limits: Limits = limits
        self._clock = clock
        self._chance = chance
        self._lane = Lane(limits, clock.now(), chance)
        self._timer: Timer | None = None
        self._due = inf

    def enter(self, ticket: Ticket) -> bool:
        """Admit a call now, or have it wait until ``ticket.wake`` is called; say which."""
        if self._lane.enter(ticket, self._clock.now()):
            return True
        self._turn()
        return False

    def leave(self, ticket: Ticket) -> None:
        """Stop waiting."""
        self._lane.leave(ticket)
        if self._lane.queue.waiting:
            self._turn()

    def answered(self, ticket: Ticket, told: Remaining | None = None) -> None:
        """Count a call that the gateway let in, and believe what it said is left."""
        now = self._clock.now()
        self._lane.answered(ticket, now)
        if told is not None:
            self._lane.sync(ticket, now, told)
        if self._lane.queue.waiting:
            self._turn()

    def true_up(self, ticket: Ticket, tokens: float) -> None:
        """Reserve more for a call that has already used more than was expected."""
        self._lane.true_up(ticket, tokens)

    def settle(self, ticket: Ticket, tokens: float | None = None) -> None:
        """End a call that cost ``tokens``, by default what was expected of it."""
        self._lane.settle(ticket, self._clock.now(), tokens)
        if self._lane.queue.waiting:
            self._turn()

    def refund(self, ticket: Ticket) -> None:
        """End a call that never left."""
        self._lane.refund(ticket, self._clock.now())
        if self._lane.queue.waiting:
            self._turn()

    def refuse(
        self,
        ticket: Ticket,
        retry_after: float | None,
        *,
        crowded: bool,
        hinted: bool = False,
        final: bool = False,
    ) -> float:
        """End a call that the gateway refused, hold the lane, and give for how long."""
        now = self._clock.now()
        self._lane.refuse(ticket, now, retry_after, crowded=crowded, hinted=hinted, final=final)
        if self._lane.queue.waiting:
            self._turn()
        return max(0.0, self._lane.hold_until - now)

    def crowd(self, ticket: Ticket) -> None:
        """End a call for which the gateway had no room: so many in flight are too many."""
        self._lane.crowd(ticket, self._clock.now())
        if self._lane.queue.waiting:
            self._turn()

    def waiting(self, ticket: Ticket) -> Waiting:
        """Say why a call waits."""
        return self._lane.waiting(ticket, self._clock.now())

    def statistics(self) -> LaneStatistics:
        """Return what the lane is doing."""
        return self._lane.statistics(self._clock.now(), self.pattern, self.key)

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters here how many tokens a call has."""
        return self._lane.counts_tokens

    def wait(self, ticket: Ticket) -> float:
        """Return about how many seconds a new call would wait; 0 if it can go at once."""
        return self._lane.wait(ticket, self._clock.now())

    def blocked_by(self, ticket: Ticket) -> int:
        """Count the calls in flight of which one must end before this one can go."""
        return self._lane.blocked_by(ticket, self._clock.now())

    def queued(self) -> int:
        """Count those who wait."""
        return self._lane.queue.waiting

    def successor(self) -> LocalLane:
        """Return a lane that knows what was used, and none of the calls: their loop is gone."""
        lane = LocalLane(self.pattern, self.key, self.limits, self._clock, self._chance)
        lane._lane = self._lane.successor(self._clock.now())
        return lane

    def stop(self) -> None:
        """Call the timer off."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._due = None, inf

    def _turn(self) -> None:
        """Let in whoever may go, and look again when the next gate opens."""
        now = self._clock.now()
        going, at = self._lane.admit(now)
        if at < self._due:
            self.stop()
            self._timer, self._due = self._clock.call_later(at - now, self._ring), at
        for ticket in going:
            if ticket.wake is not None:
                ticket.wake()

    def _ring(self) -> None:
        self._timer, self._due = None, inf
        if self._lane.queue.waiting:
            self._turn()
