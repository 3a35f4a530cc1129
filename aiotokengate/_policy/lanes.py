"""One lane: the calls that share a quota, who of them may go now, and why the others wait.

Strategy.  A lane is plain state with the time passed in.  The admission decision is one method,
:meth:`Lane._ready_at`, which :meth:`Lane.enter` asks for a call that comes, and :meth:`Lane.admit`
for those that wait.  A call is admitted when every gate is
open for it: the hold after a refusal, the number in flight, the minute's requests and tokens, and
what was learned.  Only the head of the queue is looked at, so nobody slips past, and a large call
is not starved by small ones; when it can't go yet, the lane says when to look again, and whoever
owns the lane sets one timer for that.  Every change that may open a gate ends in the same
:meth:`Lane.admit`.

A call goes through :class:`Stage` in one direction.  What it costs is reserved when it is
admitted, charged when the gateway's answer shows that it counted (``charge="max_tokens"``) or when
its tokens are known (``charge="usage"``), and given back when it never left.  A request that left
counts as one, whatever became of it: vendors count what they refuse, too (OpenAI's guide to rate
limits: "unsuccessful requests contribute to your per-minute limit").
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from aiotokengate._policy.bucket import MINUTE, Bucket, Meter, Window
from aiotokengate._policy.queue import Place, Queue
from aiotokengate._policy.reported import NOTHING, OVERTAKE, Account

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiotokengate._policy.learning import Learner, Reason
    from aiotokengate._policy.limits import Kind, Limits
    from aiotokengate._policy.reported import Mark
    from aiotokengate._policy.statistics import Because, LaneStatistics, Waiting
    from aiotokengate._wire.headers import Remaining

__all__ = ["Lane", "Stage", "Ticket"]

SPARE: Final = 0.05
"""Share of a limit of which more is left when a refusal must have another reason."""

EXCUSED: Final = 10.0
"""Seconds for which one refusal may be laid to a limit that is told, where another one is not."""


Stage: TypeAlias = Literal["new", "waiting", "admitted", "answered", "settled"]
"""How far a call is."""


@attrs.define(eq=False, repr=False, kw_only=True)
class Ticket(Place):
    """A call, as its lane knows it.

    Attributes:
        tokens: what it is expected to cost.
        estimate: tokens of its prompt as they were guessed, or counted by the caller's tokenizer.
        late: whether its tokens are charged when they are known (``charge="usage"``).
        wake: called once, when it is admitted after waiting.
        admitted: seconds; when it was.
        charged: tokens charged so far.
        requests_until: until when its request counts.
        tokens_until: until when its tokens count.
        measure: works out what it is expected to cost, if that was of no interest so far.
        requests_mark: how the account of requests stood when it was admitted.
        tokens_mark: the same of tokens.
        trouble: why it can't be admitted, where it was woken without; whoever waits raises it.
    """

    tokens: float = 0.0
    estimate: float = 0.0
    late: bool = False
    wake: Callable[[], object] | None = None
    stage: Stage = "new"
    admitted: float = 0.0
    charged: float = 0.0
    requests_until: float = -inf
    tokens_until: float = -inf
    measure: Callable[[Ticket], None] | None = None
    requests_mark: Mark = NOTHING
    tokens_mark: Mark = NOTHING
    trouble: Exception | None = None


class Lane:
    """The calls that share a quota.

    Args:
        limits: what is given.
        now: seconds.
        chance: gives a random number from 0 up to 1, for jitter.

    Attributes:
        counts_tokens: whether it matters here how many tokens a call has.
    """

    def __init__(self, limits: Limits, now: float, chance: Callable[[], float]) -> None:
        self.limits = limits
        self._chance = chance
        self.queue: Queue[Ticket] = Queue()
        self.in_flight = self.admitted = self.refused = 0
        self.hold_until = -inf
        self.requests = _meter(limits, limits.requests_per_minute, now)
        self.tokens = _meter(limits, limits.tokens_per_minute, now)
        self._concurrency: float = limits.concurrency or inf
        self.learner = _learner(limits, now, chance) if limits.learn else None
        self.counts_tokens = self.tokens is not None
        self._seconds = 0.0
        self._going: set[Ticket] = set()
        self._sent, self._sent_tokens = Account(), Account()
        self._excused_at = -inf

    # --- waiting --------------------------------------------------------------------------------

    def enter(self, ticket: Ticket, now: float) -> bool:
        """Admit a call at once, or let it wait for :meth:`admit`; say which."""
        if not self.queue.waiting and self._ready_at(ticket, now) <= now:
            self._take(ticket, now)
            return True
        ticket.cost = self._cost(ticket)
        if ticket.stage == "new":
            self.queue.join(ticket, now)
        else:
            self.queue.rejoin(ticket, now)
        ticket.stage = "waiting"
        return False

    def leave(self, ticket: Ticket) -> None:
        """Stop waiting."""
        self.queue.leave(ticket)
        ticket.stage = "settled"

    def admit(self, now: float) -> tuple[list[Ticket], float]:
        """Admit whoever may go; give them, and when to look again (inf: when a call changes)."""
        going: list[Ticket] = []
        while (head := self.queue.head(now)) is not None:
            at = self._ready_at(head, now)
            if at > now:
                return going, at
            ticket = self._next(head, now)
            self._take(ticket, now)
            going.append(ticket)
        return going, inf

    def _next(self, head: Ticket, now: float) -> Ticket:
        """Take out the head; or one that was refused less often, where somebody goes ahead."""
        if head.refusals and self.learner is not None and self.learner.wants_probe:
            other = self.queue.least_refused()
            if other.refusals < head.refusals and self._ready_at(other, now) <= now:
                self.queue.leave(other)
                return other
        self.queue.pop(head, now)
        return head

    # --- going ----------------------------------------------------------------------------------

    def answered(self, ticket: Ticket, now: float) -> None:
        """Count a call that the gateway let in; harmless when it is counted."""
        if ticket.stage != "admitted":
            return
        self._count(ticket, now)
        ticket.stage = "answered"
        if not ticket.late:
            self._charge_tokens(ticket, now)
        if self.learner is not None:
            self.learner.answered(now, now - ticket.admitted, ticket)

    def _count(self, ticket: Ticket, now: float) -> None:
        """Count a request that the gateway has had by now."""
        if self.requests is not None and ticket.requests_until == -inf:
            ticket.requests_until = self.requests.charge(now, 1.0, 1.0)

    def _charge_tokens(self, ticket: Ticket, now: float) -> None:
        if self.tokens is not None and ticket.tokens_until == -inf:
            ticket.tokens_until = self.tokens.charge(now, ticket.tokens, ticket.tokens)
            ticket.charged = ticket.tokens

    def true_up(self, ticket: Ticket, tokens: float) -> None:
        """Reserve more for a call that has already used more than was expected."""
        if self.tokens is not None and ticket.late and tokens > ticket.tokens:
            self.tokens.reserve(tokens - ticket.tokens)
            self._sent_tokens.uses(tokens - ticket.tokens, late=True)
            ticket.tokens = tokens

    def settle(self, ticket: Ticket, now: float, tokens: float | None = None) -> None:
        """End a call that cost ``tokens``, by default what was expected of it."""
        if ticket.stage == "admitted":
            self.answered(ticket, now)
        elif ticket.stage != "answered":
            return
        self._end(ticket, now)
        ticket.measure = None
        if self.learner is not None:
            self.learner.ended(now, now - ticket.admitted)
        if self.tokens is None:
            return
        cost = ticket.tokens if tokens is None else tokens
        self._sent_tokens.sent += max(0.0, cost - ticket.tokens)
        if ticket.late:
            self.tokens.charge(now, ticket.tokens, cost)
        elif cost > ticket.charged:
            self.tokens.add(now, cost - ticket.charged)
        elif cost < ticket.charged:
            self.tokens.refund(now, ticket.charged - cost, ticket.tokens_until)

    def refund(self, ticket: Ticket, now: float) -> None:
        """End a call that never left, as if it had not been."""
        if ticket.stage not in ("admitted", "answered"):
            return
        if self.requests is not None and ticket.requests_until == -inf:
            self.requests.reserve(-1.0)
        elif self.requests is not None:
            self.requests.refund(now, 1.0, ticket.requests_until)
        if self.learner is not None:
            self.learner.turned_away(now, ticket.admitted, ticket.tokens)
        self._give_tokens_back(ticket, now)
        self._end(ticket, now)

    def refuse(
        self,
        ticket: Ticket,
        now: float,
        retry_after: float | None = None,
        *,
        crowded: bool = False,
        hinted: bool = False,
        final: bool = False,
    ) -> None:
        """End a call that the gateway refused for a limit, and hold the lane.

        Args:
            ticket: the call.
            now: seconds.
            retry_after: seconds to wait, jitter included.
            crowded: whether the reason is the number in flight.
            hinted: whether the gateway named these seconds; then the lane holds no longer.
            final: whether the call does not come again.
        """
        if not self._turned_away(ticket, now):
            return
        self.refused += 1
        hold = retry_after or 0.0
        if self.learner is not None:
            self.counts_tokens = True
            reason = "crowd" if crowded else self._reason(ticket, now)
            if reason == "crowd":
                self.learner.crowded(now, self.in_flight)
            refused = self.learner.refused(now, ticket.admitted, reason)
            if refused and not hinted:
                alone = not self.queue.waiting
                hold = max(hold, self.learner.hold(alone=alone, final=final))
        self.hold_until = max(self.hold_until, now + hold)

    def crowd(self, ticket: Ticket, now: float) -> None:
        """End a call for which the gateway had no room: several such are too many in flight."""
        if self._turned_away(ticket, now) and self.learner is not None:
            self.learner.overloaded(now, self.in_flight)

    def _turned_away(self, ticket: Ticket, now: float) -> bool:
        """End a call that was refused, perhaps inside an answer that looked like a good one.

        Its request counts, its tokens don't.
        """
        if ticket.stage not in ("admitted", "answered"):
            return False
        if ticket.stage == "admitted":
            self._count(ticket, now)
        elif self.learner is not None:
            self.learner.recalled()
        if self.learner is not None:
            self.learner.turned_away(now, ticket.admitted, ticket.tokens)
        self._give_tokens_back(ticket, now)
        self._end(ticket, now)
        ticket.refusals += 1
        return True

    def _give_tokens_back(self, ticket: Ticket, now: float) -> None:
        if self.tokens is None:
            return
        if ticket.tokens_until > -inf:
            self.tokens.refund(now, ticket.charged, ticket.tokens_until)
        else:
            self.tokens.reserve(-ticket.tokens)

    def _reason(self, ticket: Ticket, now: float) -> Reason:
        """Say for what a call was probably refused: what the gateway told comes first.

        Where both budgets are told as free, it is the number in flight.
        """
        both = self._sent.told and self._sent_tokens.told
        spare = self._sent.spare(self.requests, now, 1.0)
        spare_tokens = self._sent_tokens.spare(self.tokens, now, ticket.tokens)
        if min(spare, spare_tokens) > SPARE:
            return "crowd" if both else "unknown"
        if not both and self._excused_at <= ticket.admitted < self._excused_at + EXCUSED:
            return "unknown"  # again, so it is rather the limit that is not told
        if ticket.admitted >= self._excused_at:
            self._excused_at = now
        # Of the tighter one no more is left than would have been refused.
        if spare <= spare_tokens:
            self._sent.lower(self.requests, now, ticket.requests_mark, 0.0)
        else:
            self._sent_tokens.lower(self.tokens, now, ticket.tokens_mark, ticket.tokens)
        return "told"

    # --- what the gateway says ------------------------------------------------------------------

    def sync(self, ticket: Ticket, now: float, told: Remaining) -> None:
        """Believe what the headers of an answer say: the limits, and what is left of them.

        A limit that nobody gave is known from now on, and replaces what was learned of it.
        """
        if self.learner is not None:
            self._hear_requests(ticket, now, told)
            self._hear_tokens(ticket, now, told)
            self.learner.told(requests=self._sent.told, tokens=self._sent_tokens.told)
        if self.requests is not None and told.requests is not None:
            self._sent.hears(self.requests, now, ticket.requests_mark, told.requests, 1.0)
        if self.tokens is not None and told.tokens is not None:
            own = 0.0 if ticket.late else ticket.tokens
            self._sent_tokens.hears(self.tokens, now, ticket.tokens_mark, told.tokens, own)

    def _hear_requests(self, ticket: Ticket, now: float, told: Remaining) -> None:
        limit, left, sent = told.requests_limit, told.requests, self._sent
        if not limit or left is None:
            return
        if self.requests is None:
            kind, mark = self.limits.kind, ticket.requests_mark
            room = sent.left(now, mark, left, 1.0, _refill(kind, limit))
            waiting = [going for going in self._going if going.stage == "admitted"]
            reserved = 0.0 if kind == "bucket" else len(waiting)
            self.requests = sent.born(kind, now, limit, room, reserved)
            if sent.at_once:
                for going in waiting:
                    going.requests_until = inf
        elif sent.told and limit != self.requests.limit:
            self.requests.resize(now, limit)

    def _hear_tokens(self, ticket: Ticket, now: float, told: Remaining) -> None:
        limit, left, sent = told.tokens_limit, told.tokens, self._sent_tokens
        if not limit or left is None:
            return
        if self.tokens is None:
            self.counts_tokens = True
            kind = self.limits.kind
            reserved = sum(self._found(going, now, kind) for going in self._going)
            since = [going for going in self._going if _uncounted(going, ticket)]
            refilled = _refill(kind, limit) * (now - ticket.admitted)
            missing = sum(going.tokens for going in since)
            room = min(left, left - missing + refilled)
            self.tokens = sent.born(kind, now, limit, room, reserved)
        elif sent.told and limit != self.tokens.limit:
            self.tokens.resize(now, limit)

    def _found(self, ticket: Ticket, now: float, kind: Kind) -> float:
        """Count a call in flight, now that its tokens matter; give what is reserved for it."""
        self._measure(ticket)
        ticket.tokens_mark = NOTHING
        if ticket.late or (ticket.stage == "admitted" and kind == "window"):
            return ticket.tokens
        ticket.charged, ticket.tokens_until = ticket.tokens, now + MINUTE
        return 0.0

    def _measure(self, ticket: Ticket) -> None:
        """Work out what a call costs, where that was of no interest when it came."""
        if ticket.measure is None:
            return
        ticket.measure(ticket)
        ticket.measure = None
        if ticket in self._going:
            self._sent_tokens.uses(ticket.tokens, late=ticket.late)

    def successor(self, now: float) -> Lane:
        """Return a lane that knows what was used and learned, and none of the calls."""
        lane = Lane(self.limits, now, self._chance)
        lane.requests, lane.tokens = _carried(self.requests, now), _carried(self.tokens, now)
        lane.learner = self.learner
        lane.counts_tokens = self.counts_tokens
        lane._sent.inherit(self._sent)
        lane._sent_tokens.inherit(self._sent_tokens)
        lane.hold_until = self.hold_until
        lane.admitted, lane.refused = self.admitted, self.refused
        self.requests = self.tokens = self.learner = None
        return lane

    # --- asking ---------------------------------------------------------------------------------

    def waiting(self, ticket: Ticket, now: float) -> Waiting:
        """Say why a call waits, at which place, and for about how long."""
        from aiotokengate._policy.statistics import Waiting

        calls, tokens = 0, 0.0
        for place in self.queue:
            calls += 1
            tokens += place.tokens if isinstance(place, Ticket) else 0.0
            if place is ticket:
                break
        eta, because = self._outlook(now, calls, tokens)
        return Waiting(calls, eta, because)

    def blocked_by(self, ticket: Ticket, now: float) -> int:
        """Count the calls in flight of which one must end before this one can go.

        0 where time may let it in: what is given alone is certain, what is learned changes.
        """
        meters = ((self.requests, 1.0), (self.tokens, ticket.tokens))
        never = any(
            meter is not None and meter.ready_at(now, amount) == inf for meter, amount in meters
        )
        return self.in_flight if never or self.in_flight >= self._concurrency else 0

    def wait(self, ticket: Ticket, now: float) -> float:
        """Return about how many seconds a new call would wait; 0 if it can go at once."""
        waiting = self.queue.waiting
        if not waiting and self._ready_at(ticket, now) <= now:
            return 0.0
        return self._outlook(now, waiting + 1, (waiting + 1) * ticket.tokens)[0]

    def _outlook(self, now: float, calls: int, tokens: float) -> tuple[float, Because]:
        """Return when so many calls will probably have gone, and what holds them up most."""
        waits: dict[Because, float] = {
            "queue": 0.0,
            "hold": self.hold_until - now,
            "concurrency": self._until_free(calls),
            "requests": _until_room(self.requests, now, calls),
            "tokens": _until_room(self.tokens, now, tokens),
        }
        if self.learner is not None:
            waits["learning"] = self.learner.wait(now, calls, tokens)
        because = max(waits, key=lambda gate: waits[gate])
        return waits[because], because

    def statistics(self, now: float, pattern: str, key: str = "") -> LaneStatistics:
        """Return what the lane is doing, and has done."""
        from aiotokengate._policy.statistics import LaneStatistics

        learner = self.learner
        paces = learner.paces if learner is not None else (None, None)
        concurrency = min(self._concurrency, learner.ceiling(now) if learner is not None else inf)
        return LaneStatistics(
            pattern=pattern,
            key=key,
            waiting=self.queue.waiting,
            in_flight=self.in_flight,
            admitted=self.admitted,
            refused=self.refused,
            concurrency=None if concurrency == inf else int(concurrency),
            requests_per_minute=_least(self.requests, paces[0]),
            tokens_per_minute=_least(self.tokens, paces[1]),
            requests_left=None if self.requests is None else self.requests.room(now),
            tokens_left=None if self.tokens is None else self.tokens.room(now),
            hold=max(0.0, self.hold_until - now),
        )

    # --- inside ---------------------------------------------------------------------------------

    def _ready_at(self, ticket: Ticket, now: float) -> float:
        """Return when a call may go if nothing happens but time: now, later, or inf."""
        if self.in_flight >= self._concurrency:
            return inf
        if self.counts_tokens:
            self._measure(ticket)
        at = max(now, self.hold_until)
        if self.requests is not None:
            at = max(at, self.requests.ready_at(now, 1.0))
        if self.tokens is not None:
            at = max(at, self.tokens.ready_at(now, ticket.tokens))
        if self.learner is not None:
            at = max(at, self.learner.ready_at(now, ticket.tokens, self.in_flight))
        return at

    def _take(self, ticket: Ticket, now: float) -> None:
        ticket.stage = "admitted"
        ticket.admitted = now
        ticket.charged = 0.0
        ticket.requests_until = ticket.tokens_until = -inf
        self.in_flight += 1
        self.admitted += 1
        if self.requests is not None:
            self.requests.reserve(1.0)
        if self.tokens is not None:
            self.tokens.reserve(ticket.tokens)
        if self.learner is not None:
            self.learner.took(now, ticket.tokens, self.in_flight, ticket)
        requests, tokens = self.requests, self.tokens
        self._going.add(ticket)
        if self._sent.at_once and requests is not None:
            ticket.requests_until = requests.charge(now, 1.0, 1.0)
        if self._sent_tokens.at_once and not ticket.late:
            self._charge_tokens(ticket, now)
        room = None if requests is None else requests.room(now)
        ticket.requests_mark = self._sent.sends(now, 1.0, room, late=False)
        room = None if tokens is None else tokens.room(now)
        ticket.tokens_mark = self._sent_tokens.sends(now, ticket.tokens, room, late=ticket.late)

    def _end(self, ticket: Ticket, now: float) -> None:
        ticket.stage = "settled"
        self._going.discard(ticket)
        if ticket.late:
            self._sent_tokens.open -= ticket.tokens
        self.in_flight -= 1
        self._seconds += (now - ticket.admitted - self._seconds) / 16
        if self.learner is not None:
            self.learner.left(ticket)

    def _cost(self, ticket: Ticket) -> float:
        """Return the share of a minute that a call takes, of the limit it takes most of."""
        share = 1.0 / self.requests.limit if self.requests is not None else 0.0
        if self.tokens is not None:
            share = max(share, ticket.tokens / self.tokens.limit)
        return share or 1.0

    def _until_free(self, calls: int) -> float:
        short = calls - (self._concurrency - self.in_flight)
        if short <= 0:
            return 0.0
        return short * self._seconds / self._concurrency if self._seconds else inf


def _learner(limits: Limits, now: float, chance: Callable[[], float]) -> Learner:
    from aiotokengate._policy.learning import Learner

    return Learner(now, chance, _known_rate(limits))


def _known_rate(limits: Limits) -> float | None:
    """Return the requests a second that are allowed, as far as that is given."""
    if limits.requests_per_minute is not None:
        return limits.requests_per_minute / MINUTE
    return None if limits.tokens_per_minute is None else limits.tokens_per_minute / MINUTE


def _meter(limits: Limits, limit: float | None, now: float) -> Meter | None:
    if limit is None:
        return None
    return Bucket(limit, now) if limits.kind == "bucket" else Window(limit)


def _carried(meter: Meter | None, now: float) -> Meter | None:
    """Count all that was reserved: what became of it can't be known any more."""
    if meter is not None:
        meter.charge(now, meter.reserved, meter.reserved)
    return meter


def _refill(kind: Kind, limit: float) -> float:
    return limit / MINUTE if kind == "bucket" else 0.0


def _uncounted(ticket: Ticket, answered: Ticket) -> bool:
    """Say whether a call may be missing in what the answer of another says is left."""
    after = ticket.admitted > answered.admitted - OVERTAKE
    return ticket is not answered and (ticket.late or after)


def _until_room(meter: Meter | None, now: float, amount: float) -> float:
    if meter is None:
        return 0.0
    return max(0.0, (amount - meter.room(now)) * MINUTE / meter.limit)


def _least(meter: Meter | None, pace: Bucket | None) -> float | None:
    limits = [known.limit for known in (meter, pace) if known is not None]
    return min(limits, default=None)
