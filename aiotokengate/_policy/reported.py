"""What a gateway's headers say is left, beside calls of ours that may be in it or not.

Strategy.  What an answer says was true at some moment between the sending of its call and now, and
nobody knows at which: some gateways write it when the request comes, some when the answer goes,
and answers overtake each other.  Between these two moments lie calls of ours that may be in it or
not.  So a header gives two bounds.  At least what it says *without all of these* is left.  And if
it says less than what we had left when that call was sent, *less all of these*, then somebody else
uses the same key.  Whatever lies between the bounds says nothing new, so however many answers tell
of one thing, it is counted once.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from aiotokengate._policy.bucket import Bucket, Window

if TYPE_CHECKING:
    from aiotokengate._policy.bucket import Meter
    from aiotokengate._policy.limits import Kind

__all__ = ["NOTHING", "OVERTAKE", "Account", "Mark"]

TOLERANCE: Final = 0.02
"""Share of a limit by which the gateway may count otherwise before others are seen in it."""

OVERTAKE: Final = 0.1
"""Seconds by which a request may arrive later than one that was sent after it."""


class Mark(NamedTuple):
    """How an account stood when a call was sent.

    Attributes:
        at: seconds; when that was.
        sent: all that was sent until then, itself included.
        sure: what the gateway had certainly counted of all that was sent until then.
        seen: what was left, plus what was sent and what the headers had taken off until then.
    """

    at: float
    sent: float
    sure: float
    seen: float


NOTHING: Final = Mark(inf, 0.0, -inf, -inf)
"""Of a call that was sent when nobody looked: it bounds nothing."""


class Account:
    """What is sent of one dimension, requests or tokens, and what the headers say of it.

    Attributes:
        sent: all that was sent so far; also what a call used beyond that.
        open: what counts later only, when the reply is over.
        moved: what the headers have taken off so far, less what they have given.
        last: what the last header said was left.
        told: whether the limit itself is the headers'.
        at_once: whether a call counts when it is sent, and not when its answer shows that it has
            counted.  So it is for a bucket that is told: a moment too early matters little where
            every answer says what is left, and a bucket that waited would lose what it refills.
    """

    __slots__ = (
        "_recent",
        "_recent_at",
        "_settled",
        "at_once",
        "last",
        "moved",
        "open",
        "sent",
        "told",
    )

    def __init__(self) -> None:
        self.sent = self.open = self.moved = self.last = 0.0
        self.told = self.at_once = False
        self._recent_at, self._recent, self._settled = -inf, 0.0, 0.0

    def inherit(self, other: Account) -> None:
        """Take over what is known, and none of the calls."""
        self.told, self.at_once = other.told, other.at_once

    def sends(self, now: float, amount: float, room: float | None, *, late: bool) -> Mark:
        """Note that a call is sent, and ``room`` is left; give how things stood."""
        sure = self._sure(now)
        self.uses(amount, late=late)
        seen = -inf if room is None else room + self.sent + self.moved
        return Mark(now, self.sent, sure, seen)

    def uses(self, amount: float, *, late: bool) -> None:
        """Note that calls in flight use so much more."""
        self.sent += amount
        if late:
            self.open += amount

    def _sure(self, now: float) -> float:
        """Return what has certainly been counted by now."""
        if now - self._recent_at >= OVERTAKE:
            self._settled = self._recent if now - self._recent_at < 2 * OVERTAKE else self.sent
            self._recent_at, self._recent = now, self.sent
        return self._settled - self.open

    def born(self, kind: Kind, now: float, limit: float, room: float, reserved: float) -> Meter:
        """Make the meter of a limit that the headers name, with so much left beside all calls."""
        meter: Meter = Window(limit) if kind == "window" else Bucket(limit, now)
        meter.reserve(reserved)
        meter.add(now, limit - reserved - min(room, limit))
        self.told = True
        self.at_once = kind == "bucket"
        return meter

    def left(self, now: float, mark: Mark, left: float, own: float, rate: float) -> float:
        """Return what at least is left beside all calls, when so much was left since a mark.

        Either the header was written when the call came: then all that was sent since is not in
        it, and neither what was refilled.  Or just now: then only the last moment is missing.

        Args:
            now: seconds.
            mark: of the call whose answer says so.
            left: what it says.
            own: what of the call itself is counted in it.
            rate: what is refilled in a second.
        """
        early = left + own - (self.sent - mark.sure) + rate * (now - mark.at)
        missing = self.sent - self._sure(now)
        if mark.sent > self._settled:
            missing -= own
        return min(early, left - missing)

    def hears(self, meter: Meter, now: float, mark: Mark, left: float, own: float) -> None:
        """Believe what the headers of an answer say is left."""
        self.last = left
        self.lower(meter, now, mark, left)
        if not self.told or mark is NOTHING:
            return
        before = meter.room(now)
        more = self.left(now, mark, left, own, getattr(meter, "rate", 0.0)) - before
        if more > 0:
            meter.lift(now, more)
            self.moved -= meter.room(now) - before

    def spare(self, meter: Meter | None, now: float, cost: float) -> float:
        """Return the share of the limit that is left beside a call, by our count and by theirs.

        inf where no limit is told.
        """
        if meter is None or not self.told:
            return inf
        return (min(meter.room(now), self.last) - cost) / meter.limit

    def lower(self, meter: Meter | None, now: float, mark: Mark, left: float) -> None:
        """Take off what others have used, if it is more than a difference in counting."""
        if meter is None:
            return
        more = mark.seen - self.sent - self.moved - left
        if more > max(1.0, meter.limit * TOLERANCE):
            meter.add(now, more)
            self.moved += more
