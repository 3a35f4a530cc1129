"""A lane's share while Redis is away: the decisions of one process, over a part of the limits."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import attrs

from aiotokengate._policy.bucket import MINUTE, Bucket
from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._redis.operations import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate._policy.bucket import Meter
    from aiotokengate._policy.lanes import Stage
    from aiotokengate._policy.limits import Limits
    from aiotokengate._redis.operations import Call, Operation
    from aiotokengate.clock import Clock, Timer

__all__ = ["LocalShare", "share_of"]


def share_of(limits: Limits, share: float) -> Limits:
    """Return a share of limits; of a number in flight, at least one."""
    return attrs.evolve(
        limits,
        concurrency=limits.concurrency and max(1, int(limits.concurrency * share)),
        requests_per_minute=limits.requests_per_minute and limits.requests_per_minute * share,
        tokens_per_minute=limits.tokens_per_minute and limits.tokens_per_minute * share,
    )


class LocalShare:
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

    Attributes:
        since: when Redis was lost.
        used: what calls cost of which Redis will never know.
        adopted: the calls that Redis is being told of, and how far they were then.
        ended: those of them that have ended since, and what they cost; None for one never sent.
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
        self.since = now
        self.used: list[float] = []
        self.adopted: dict[str, Stage] = {}
        self.ended: list[tuple[str, float | None]] = []
        self._reported: list[float] = []
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

    def end(self, call: Call, cost: float | None) -> None:
        """End a call of the share, or one that Redis had admitted; None for one never sent."""
        ticket, now = call.ticket, self._clock.now()
        self._note(call, cost)
        if not call.local:
            ticket.stage = "settled"
            self.lane.in_flight -= 1
        elif cost is None:
            self.lane.refund(ticket, now)
        else:
            self.lane.settle(ticket, now, cost)
        self.turn()

    def refuse(
        self,
        call: Call,
        retry_after: float | None,
        hold: float,
        *,
        crowded: bool,
        hinted: bool,
        final: bool,
    ) -> float:
        """End a call that the gateway refused; return for how many seconds the lane holds."""
        lane, now, ticket = self.lane, self._clock.now(), call.ticket
        if call.local:
            self._note(call, 0.0)
            lane.refuse(ticket, now, retry_after, crowded=crowded, hinted=hinted, final=final)
        else:
            lane.hold_until = max(lane.hold_until, now + hold)
            self.end(call, 0.0)
        self.turn()
        return max(0.0, lane.hold_until - now)

    def _note(self, call: Call, cost: float | None) -> None:
        """Note what to tell Redis of a call that ends here."""
        if call.id in self.adopted:
            self.ended.append((call.id, cost if call.local else call.ticket.tokens))
        elif call.local and cost is not None:
            self.used.append(cost)

    def report(self) -> Operation:
        """Return what tells Redis what was used here so far."""
        self._reported, self.used = self.used, []
        return ("add", str(len(self._reported)), number(sum(self._reported)))

    def keep_report(self) -> None:
        """Take the last report back, which did not arrive, and what has ended since."""
        ended = [cost for _, cost in self.ended if cost is not None]
        self.used = [*self._reported, *self.used, *ended]
        self.adopted, self.ended = {}, []

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
