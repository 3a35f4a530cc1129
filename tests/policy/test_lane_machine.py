"""Any sequence of events on a lane, beside a strict gateway: nothing refused, nothing lost.

The gateway is the one of :mod:`aiotokengate.testing`, whose arithmetic is not the library's.  When
it counts a call is chosen by the machine: at any moment between the call's admission here and its
answer, and for usage at any moment before its settling here.
"""

from typing import Any

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
from aiotokengate.testing import Enforcer, RateLimit
from aiotokengate.testing._enforcer import Permit

REQUESTS, TOKENS, IN_FLIGHT = 6, 100, 3
PROMPT = 5
SECONDS = st.sampled_from([0.01, 0.5, 1.0, 3.7, 9.99, 10.0, 20.0, 60.0, 61.0])


@attrs.define(eq=False)
class Call:
    """A call, here and there."""

    ticket: Ticket
    gateways: Any = None
    used: int = 0
    finished: bool = False


class LaneAndGateway(RuleBasedStateMachine):
    """What a client may do and meet, in any order."""

    kind = "bucket"
    gateways_kind = "bucket"
    charge = "max_tokens"

    @initialize(phase=st.floats(0, 60))
    def begin(self, phase: float) -> None:
        """Set the same limits for both."""
        given = Limits(
            concurrency=IN_FLIGHT,
            requests_per_minute=REQUESTS,
            tokens_per_minute=TOKENS,
            kind=self.kind,  # type: ignore[arg-type]
            charge=self.charge,  # type: ignore[arg-type]
            learn=False,
        )
        strict = RateLimit(
            concurrency=IN_FLIGHT,
            requests_per_minute=REQUESTS,
            tokens_per_minute=TOKENS,
            kind=self.gateways_kind,  # type: ignore[arg-type]
            charge=self.charge,  # type: ignore[arg-type]
            phase=phase,
            count_refused=True,
        )
        self.now = 1_000.0
        self.lane = Lane(given, self.now, lambda: 0.5)
        self.gateway = Enforcer(strict)
        self.waiting: list[Call] = []
        self.sent: list[Call] = []
        self.inside: list[Call] = []
        self.answered: list[Call] = []

    # --- what may happen ------------------------------------------------------------------------

    @rule(
        tokens=st.integers(PROMPT, 60) | st.sampled_from([TOKENS, TOKENS + 1, 250]),
        user=st.sampled_from([None, "甲", "乙"]),
        bulk=st.booleans(),
    )
    def ask(self, tokens: int, user: str | None, bulk: bool) -> None:
        """Somebody calls."""
        late = self.charge == "usage"
        call = Call(Ticket(tokens=tokens, late=late, fair_key=user, bulk=bulk))
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
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A request reaches the gateway, in any order; it is never refused."""
        call = data.draw(st.sampled_from(self.sent))
        self.sent.remove(call)
        verdict = self.gateway.admit(
            self.now,
            key="k",
            model="m",
            prompt_tokens=PROMPT,
            max_tokens=int(call.ticket.tokens) - PROMPT,
        )
        assert verdict.ticket is not None, verdict
        call.gateways = verdict.ticket
        self.inside.append(call)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The headers of an answer arrive."""
        call = data.draw(st.sampled_from(self.inside))
        self.lane.answered(call.ticket, self.now)
        self.inside.remove(call)
        self.answered.append(call)
        self.look()

    @precondition(lambda self: any(not call.finished for call in self.answered))
    @rule(data=st.data(), share=st.floats(0, 1))
    def finish(self, data: st.DataObject, share: float) -> None:
        """The gateway has written all that it will, and counts it."""
        call = data.draw(st.sampled_from([one for one in self.answered if not one.finished]))
        written = int((call.ticket.tokens - PROMPT) * share)
        self.gateway.finish(self.now, call.gateways, written)
        call.finished = True
        call.used = PROMPT + written

    @precondition(lambda self: any(call.finished for call in self.answered))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """The end of a reply, with its usage, is known here."""
        call = data.draw(st.sampled_from([one for one in self.answered if one.finished]))
        self.end(call)
        self.look()

    @precondition(lambda self: self.answered)
    @rule(data=st.data(), share=st.floats(0, 1))
    def true_up(self, data: st.DataObject, share: float) -> None:
        """A reply has come so far."""
        call = data.draw(st.sampled_from(self.answered))
        self.lane.true_up(call.ticket, call.ticket.tokens * share)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """A waiting call is cancelled."""
        call = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(call)
        self.lane.leave(call.ticket)
        self.look()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def never_send(self, data: st.DataObject) -> None:
        """An admitted call is cancelled before its request left."""
        call = data.draw(st.sampled_from(self.sent))
        self.sent.remove(call)
        self.lane.refund(call.ticket, self.now)
        self.look()

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), crowd=st.booleans(), seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def turn_away(self, data: st.DataObject, crowd: bool, seconds: float) -> None:
        """A request reaches the gateway, which counts it and has no room for its tokens."""
        call = data.draw(st.sampled_from(self.sent))
        self.sent.remove(call)
        (account,) = self.gateway._accounts(self.now, Permit("k", "m", PROMPT))
        account.turn_away(self.now)
        if crowd:
            self.lane.crowd(call.ticket, self.now)
        else:
            self.lane.refuse(call.ticket, self.now, seconds, hinted=True)
        self.look()

    # --- what always holds ----------------------------------------------------------------------

    @invariant()
    def counts_agree(self) -> None:
        """No slot is lost, and none is there twice."""
        if not hasattr(self, "lane"):
            return
        held = [*self.sent, *self.inside, *self.answered]
        assert self.lane.in_flight == len(held) <= IN_FLIGHT
        assert self.lane.queue.waiting == len(self.waiting)
        assert all(call.ticket.stage == "waiting" for call in self.waiting)
        assert len(list(self.lane.queue)) == len(self.waiting)

    def teardown(self) -> None:
        """Everybody gets on, and afterwards everything is free."""
        if not hasattr(self, "lane"):
            return
        for _ in range(20 + 3 * len(self.waiting)):
            self.run_out()
            if not self.waiting:
                break
            self.now = max(self.now + 1e-6, min(self.look(), self.now + 1_000))
        assert not self.waiting, "somebody is never let in"
        self.run_out()
        self.now += 1_000
        assert self.lane.in_flight == 0
        for meter, limit in ((self.lane.requests, REQUESTS), (self.lane.tokens, TOKENS)):
            assert meter is not None
            assert meter.reserved == pytest.approx(0, abs=1e-6)
            assert meter.room(self.now) == pytest.approx(limit)

    def run_out(self) -> None:
        """Let all that is on its way come to its end."""
        self.look()
        while self.sent or self.inside or self.answered:
            for call in self.sent:
                verdict = self.gateway.admit(
                    self.now,
                    key="k",
                    model="m",
                    prompt_tokens=PROMPT,
                    max_tokens=int(call.ticket.tokens) - PROMPT,
                )
                assert verdict.ticket is not None, verdict
                call.gateways = verdict.ticket
                self.lane.answered(call.ticket, self.now)
            for call in self.inside:
                self.lane.answered(call.ticket, self.now)
            self.answered += [*self.sent, *self.inside]
            self.sent, self.inside = [], []
            for call in tuple(self.answered):
                if not call.finished:
                    self.gateway.finish(self.now, call.gateways, 0)
                    call.used, call.finished = PROMPT, True
                self.end(call)
            self.look()

    def end(self, call: Call) -> None:
        """Settle a call as its gateway has charged it."""
        cost = call.used if self.charge == "usage" else call.ticket.tokens
        self.lane.settle(call.ticket, self.now, cost)
        self.answered.remove(call)

    def look(self) -> float:
        """Let in whoever may go; give when to look again."""
        going, at = self.lane.admit(self.now)
        for ticket in going:
            (call,) = (one for one in self.waiting if one.ticket is ticket)
            self.waiting.remove(call)
            self.sent.append(call)
        return at


@pytest.mark.parametrize("charge", ["max_tokens", "usage"])
@pytest.mark.parametrize(
    ("kind", "gateways_kind"),
    [("bucket", "bucket"), ("window", "sliding"), ("window", "fixed")],
)
def test_nothing_is_refused_and_nothing_lost(kind: str, gateways_kind: str, charge: str) -> None:
    """Against the enforcement that a kind of limit is meant for, and the ways of charging."""
    settled = {"kind": kind, "gateways_kind": gateways_kind, "charge": charge}
    machine = type("Machine", (LaneAndGateway,), settled)
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )
