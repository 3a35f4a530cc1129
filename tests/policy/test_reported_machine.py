"""Any sequence of events on a lane that is told its limits: born late, told stale, told in part.

Nothing is given.  The gateway's headers may be written when a call comes or when its answer goes,
may name one dimension only, and may begin with any answer; it may refuse.  Whatever happens, the
account is even in the end, and no lane believes that more is used than can have been.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._wire.headers import remaining
from aiotokengate.testing import Enforcer, RateLimit
from aiotokengate.testing._enforcer import Permit

REQUESTS, TOKENS, PROMPT = 40, 1_000, 5
SECONDS = st.sampled_from([0.0, 0.01, 0.09, 0.5, 1.0, 9.99, 20.0, 61.0])


@attrs.define(eq=False)
class Call:
    """A call, here and there; ``told`` is what was written when it came."""

    ticket: Ticket
    size: int
    permit: Permit | None = None
    told: dict[str, str] = attrs.field(factory=dict)


class ToldLane(RuleBasedStateMachine):
    """What a client may do and meet, in any order."""

    kind = "bucket"
    gateways_kind = "bucket"

    @initialize(phase=st.floats(0, 60))
    def begin(self, phase: float) -> None:
        """Return the limits to the gateway only."""
        strict = RateLimit(
            requests_per_minute=REQUESTS,
            tokens_per_minute=TOKENS,
            kind=self.gateways_kind,  # type: ignore[arg-type]
            phase=phase,
            headers=True,
        )
        self.now = 1_000.0
        self.lane = Lane(Limits(kind=self.kind), self.now, lambda: 0.5)  # type: ignore[arg-type]
        self.gateway = Enforcer(strict)
        self.waiting: list[Call] = []
        self.sent: list[Call] = []
        self.inside: list[Call] = []
        self.answered: list[Call] = []
        self.used = 0

    @rule(size=st.integers(PROMPT, 60), late=st.booleans(), many=st.integers(1, 12))
    def ask(self, size: int, late: bool, many: int) -> None:
        """Some call; what a call takes is worked out when it matters."""
        for _ in range(many):
            call = Call(Ticket(late=late), size)
            if self.lane.counts_tokens:
                call.ticket.tokens = size
            else:
                call.ticket.measure = lambda ticket, size=size: setattr(ticket, "tokens", size)
            if self.lane.enter(call.ticket, self.now):
                self.sent.append(call)
            else:
                self.waiting.append(call)

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: float) -> None:
        """Time passes; the lane is looked at when it asked for it."""
        end = self.now + seconds
        while (at := self.look()) <= end:
            self.now = max(at, self.now + 1e-6)
        self.now = end
        self.look()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), named=st.booleans())
    def arrive(self, data: st.DataObject, named: bool) -> None:
        """A request reaches the gateway, in any order, and may be refused."""
        call = data.draw(st.sampled_from(self.sent))
        self.sent.remove(call)
        self.used += call.size
        verdict = self.gateway.admit(
            self.now, key="k", model="m", prompt_tokens=PROMPT, max_tokens=call.size - PROMPT
        )
        if verdict.ticket is None:
            self.lane.refuse(call.ticket, self.now, 1.0 if named else None, hinted=named)
        else:
            call.permit, call.told = verdict.ticket, dict(verdict.headers)
            self.inside.append(call)
        self.look()

    @precondition(lambda self: self.inside)
    @rule(
        data=st.data(),
        stale=st.booleans(),
        measures=st.sampled_from(["", "requests", "tokens", "requests tokens"]),
    )
    def answer(self, data: st.DataObject, stale: bool, measures: str) -> None:
        """The headers of an answer arrive, with any of the limits in them."""
        call = data.draw(st.sampled_from(self.inside))
        self.inside.remove(call)
        self.answered.append(call)
        told = call.told if stale else self.gateway.told(self.now, key="k", model="m")
        some = {name: told[name] for name in told if name.rpartition("-")[2] in measures.split()}
        self.lane.answered(call.ticket, self.now)
        if (left := remaining(some)) is not None:
            self.lane.sync(call.ticket, self.now, left)
        self.look()

    @precondition(lambda self: self.answered)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """The end of a reply, with its usage."""
        self.end(data.draw(st.sampled_from(self.answered)))
        self.look()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), sent=st.booleans())
    def fail(self, data: st.DataObject, sent: bool) -> None:
        """A call is never sent, or breaks and may have been begun."""
        call = data.draw(st.sampled_from(self.sent))
        self.sent.remove(call)
        self.used += call.size
        if sent:
            self.lane.settle(call.ticket, self.now)
        else:
            self.lane.refund(call.ticket, self.now)
        self.look()

    @invariant()
    def believes_what_can_be(self) -> None:
        """No slot is lost, and no more is believed to be used than ever was."""
        if not hasattr(self, "lane"):
            return
        held = [*self.sent, *self.inside, *self.answered]
        assert self.lane.in_flight == len(held)
        assert self.lane.queue.waiting == len(self.waiting)
        used = self.used + sum(call.size for call in self.sent)
        for meter, limit, most in (
            (self.lane.requests, REQUESTS, self.lane.admitted),
            (self.lane.tokens, TOKENS, used),
        ):
            if meter is not None:
                room = meter.room(self.now)
                # A header says twice what it may say; what is taken off is given back by the next.
                assert limit - 2 * most - 1 - limit * 0.02 <= room <= limit + 1e-6

    def teardown(self) -> None:
        """All end, and in time everything is free."""
        if not hasattr(self, "lane"):
            return
        for call in tuple(self.waiting):
            self.lane.leave(call.ticket)
        self.waiting.clear()
        for call in (*self.sent, *self.inside):
            self.lane.answered(call.ticket, self.now)
        self.answered += [*self.sent, *self.inside]
        for call in tuple(self.answered):
            self.end(call)
        self.now += 10_000
        assert self.lane.in_flight == 0
        for meter, limit in ((self.lane.requests, REQUESTS), (self.lane.tokens, TOKENS)):
            if meter is not None:
                assert meter.reserved == pytest.approx(0, abs=1e-6)
                assert meter.room(self.now) == pytest.approx(limit)

    def end(self, call: Call) -> None:
        """Settle a call as its gateway has charged it."""
        if call.permit is not None:
            self.gateway.finish(self.now, call.permit)
        self.lane.settle(call.ticket, self.now, call.size)
        if call in self.answered:
            self.answered.remove(call)

    def look(self) -> float:
        """Let in whoever may go; give when to look again."""
        going, at = self.lane.admit(self.now)
        for ticket in going:
            (call,) = (one for one in self.waiting if one.ticket is ticket)
            self.waiting.remove(call)
            self.sent.append(call)
        return at


@pytest.mark.parametrize(
    ("kind", "gateways_kind"),
    [("bucket", "bucket"), ("window", "sliding"), ("window", "fixed"), ("bucket", "fixed")],
)
def test_the_account_is_even_whatever_is_told(kind: str, gateways_kind: str) -> None:
    """Births in the midst of calls, stale headers, headers of one dimension only."""
    machine = type("Machine", (ToldLane,), {"kind": kind, "gateways_kind": gateways_kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=50, stateful_step_count=40, deadline=None)
    )
