"""What a gateway's headers say is left, beside calls of ours that may be in it or not.

Strategy.  What an answer says was true at some moment between the admission of its call and now,
and nobody knows at which: some gateways write it when the request comes, some when the answer
goes, and answers overtake each other.  Between these two moments lie calls of ours that may be in
it or not.  So a header gives two bounds.  At least what it says *without all of these* is left.
And if it says less than what we had left when that call was admitted, *less all of these*, then
somebody else uses the same key.  Whatever lies between the bounds says nothing new, so however many
answers tell of one thing, it is counted once.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias

from aiotokengate.policy.bucket import Bucket, Window

if TYPE_CHECKING:
    from aiotokengate.policy.bucket import Meter
    from aiotokengate.policy.limits import Kind

__all__ = ["NOTHING", "Account", "Mark"]

Mark: TypeAlias = tuple[float, float]
"""How an account stood when a call was admitted.

First what the gateway may not have counted, less all that was sent until then.  Second what was
left, plus what was sent and what the headers had taken off until then.
"""

NOTHING: Final[Mark] = (inf, -inf)
"""Of a call that was admitted when nobody looked: it bounds nothing."""

TOLERANCE: Final = 0.02
"""Share of a limit by which the gateway may count otherwise before others are seen in it."""


class Account:
    """What is sent of one dimension, requests or tokens, and what the headers say of it.

    Attributes:
        sent: all that was admitted so far; also what a call used beyond that.
        open: the part that the gateway may not have counted yet.
        moved: what the headers have taken off so far, less what they have given.
        told: whether the limit itself is the headers'.
    """

    __slots__ = ("moved", "open", "sent", "told")

    def __init__(self) -> None:
        self.sent = self.open = self.moved = 0.0
        self.told = False

    def sends(self, amount: float, room: float) -> Mark:
        """Note that a call is admitted, and ``room`` is left; give how things stand."""
        uncounted = self.open - self.sent
        self.sent += amount
        self.open += amount
        return uncounted, room + self.sent + self.moved

    def uses(self, amount: float) -> None:
        """Note that calls in flight use more than was thought."""
        self.sent += amount
        self.open += amount

    def unsure(self, mark: Mark) -> float:
        """Give what may be missing in what the answer of that call says."""
        return mark[0] + self.sent

    def born(self, kind: Kind, now: float, limit: float, room: float, reserved: float) -> Meter:
        """Make the meter of a limit that the headers name, with so much left beside all calls."""
        meter: Meter = Window(limit) if kind == "window" else Bucket(limit, now)
        meter.reserve(reserved)
        meter.add(now, limit - reserved - min(room, limit))
        self.told = True
        return meter

    def hears(self, meter: Meter, now: float, mark: Mark, left: float, own: float = 0.0) -> None:
        """Believe that so much was left at a moment since the mark.

        Args:
            meter: of this dimension.
            now: seconds.
            mark: of the call whose answer says so.
            left: what it says.
            own: what of the call itself is certainly counted in it.
        """
        self.lower(meter, now, mark, left)
        if self.told:
            sure = left - (self.unsure(mark) - own)
            before = meter.room(now)
            if sure > before:
                meter.lift(now, sure - before)
                self.moved -= meter.room(now) - before

    def lower(self, meter: Meter, now: float, mark: Mark, left: float) -> None:
        """Take off what others have used, if it is more than a difference in counting."""
        more = mark[1] - self.sent - self.moved - left
        if more > max(1.0, meter.limit * TOLERANCE):
            meter.add(now, more)
            self.moved += more
