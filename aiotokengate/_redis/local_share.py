"""A lane's share while Redis is away: the decisions of one process, over a part of the limits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import attrs

from aiotokengate._policy.bucket import MINUTE, Bucket
from aiotokengate._policy.lanes import Lane, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate._policy.bucket import Meter
    from aiotokengate._policy.limits import Limits
    from aiotokengate.clock import Clock, Timer

__all__ = ["Share", "part_of"]


def part_of(limits: Limits, share: float) -> Limits:
    """Return a share of limits; of a number in flight, at least one."""
    return attrs.evolve(
        limits,
        concurrency=limits.concurrency and max(1, int(limits.concurrency * share)),
        requests_per_minute=limits.requests_per_minute and limits.requests_per_minute * share,
        tokens_per_minute=limits.tokens_per_minute and limits.tokens_per_minute * share,
    )


class Share:
    """A local lane with one timer.

    Args:
        limits: the share.
        clock: its time.
        chance: gives a random number from 0 up to 1, for jitter.
        in_flight: calls that Redis had admitted and that go on.
        used: whether something was used before, nobody knows how much: it begins with nothing
            left, and fills at its share of the rate.
        ahead: seconds of the rate that Redis may have granted ahead, to anybody: they are not
            there to be used again.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        chance: Callable[[], float],
        *,
        in_flight: int,
        used: bool,
        ahead: float,
    ) -> None:
        now = clock.now()
        self.lane = Lane(limits, now, chance)
        self.lane.in_flight = in_flight
        self._clock = clock
        self._timer: Timer | None = None
        self._due = inf
        if used:
            _empty(self.lane.requests, now, ahead)
            _empty(self.lane.tokens, now, ahead)

    def enter(self, ticket: Ticket) -> bool:
        """Admit a call now, or have it wait; say which."""
        arrived = ticket.arrived
        ticket.stage = "new"
        if self.lane.enter(ticket, self._clock.now()):
            return True
        ticket.arrived = arrived
        self.turn()
        return False

    def one_less(self) -> None:
        """Note that a call which Redis had admitted is over."""
        self.lane.in_flight -= 1
        self.turn()

    def turn(self) -> None:
        """Let in whoever may go, and look again when the next gate opens."""
        now = self._clock.now()
        going, at = self.lane.admit(now)
        if at < self._due:
            self.stop()
            self._timer, self._due = self._clock.call_later(at - now, self._ring), at
        for ticket in going:
            if ticket.wake is not None:
                ticket.wake()

    def stop(self) -> None:
        """Call the timer off."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = None, inf

    def _ring(self) -> None:
        self._timer, self._due = None, inf
        self.turn()


def _empty(meter: Meter | None, now: float, ahead: float) -> None:
    if isinstance(meter, Bucket):
        meter.add(now, meter.room(now) + ahead * meter.limit / MINUTE)
    elif meter is not None:
        meter.add(now + ahead, meter.room(now))
