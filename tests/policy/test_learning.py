"""What a lane learns from refusals, from full houses and from headers."""

from __future__ import annotations

import attrs
import pytest

from aiotokengate._policy.bucket import Bucket, Meter, Window
from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._policy.learning import START
from tests.support.lanes import NOW, admitted, enter, enter_many, lane_of, told

# --- refusals -----------------------------------------------------------------------------------


def test_refusals_of_calls_that_went_together_are_one() -> None:
    lane = lane_of()
    tickets = admitted(enter_many(lane, NOW, 8))
    assert len(tickets) == 8
    for ticket in tickets:
        lane.refuse(ticket, NOW + 0.1)
    assert lane.hold_until == pytest.approx(NOW + 1.1)
    assert lane.refused == 8


def test_a_hold_grows_while_nothing_gets_through() -> None:
    lane, now, holds = lane_of(), NOW, []
    for _ in range(5):
        ticket = enter(lane, now)
        lane.admit(now)
        assert ticket.stage == "admitted"
        lane.refuse(ticket, now + 0.1)
        holds.append(round(lane.hold_until - now - 0.1, 6))
        now = lane.hold_until
    assert holds == [1, 3, 9, 27, 30]
    lucky = enter(lane, now)
    lane.admit(now)
    lane.settle(lucky, now + 1)
    unlucky = enter(lane, now + 60)
    lane.admit(now + 60)
    lane.refuse(unlucky, now + 60)
    assert lane.hold_until == pytest.approx(now + 61)


def test_after_a_hold_one_goes_ahead_and_the_others_follow_when_it_was_let_in() -> None:
    lane = lane_of()
    first = admitted(enter_many(lane, NOW, 8))
    for ticket in first:
        lane.refuse(ticket, NOW)
    others = enter_many(lane, NOW, 20)
    _, at = lane.admit(NOW + 1)
    lane.admit(at)
    (probe,) = admitted(others)
    lane.admit(at + 1.9)
    assert admitted(others) == [probe]
    lane.answered(probe, at + 1.9)
    while len(admitted(others)) < 3:
        _, at = lane.admit(at + 1.9)
        assert at < NOW + 60


def test_a_call_sent_ahead_that_ends_unknown_is_followed_by_another() -> None:
    lane = lane_of()
    lane.refuse(enter(lane, NOW), NOW)
    others = enter_many(lane, NOW, 3)
    lane.admit(NOW + 1)
    (probe,) = admitted(others)
    lane.refund(probe, NOW + 1.1)
    lane.admit(NOW + 1.1)
    assert len(admitted(others)) == 1


def test_a_refusal_inside_an_answer_counts_as_one() -> None:
    # A gateway may answer 200 and refuse in the first event.
    lane = lane_of(requests_per_minute=60)
    ticket = enter(lane, NOW)
    lane.answered(ticket, NOW)
    lane.refuse(ticket, NOW)
    now = lane.statistics(NOW, "*")
    assert (now.refused, now.in_flight, now.requests_left) == (1, 0, 59)


# --- a full house -------------------------------------------------------------------------------


def test_no_room_bounds_the_number_in_flight_and_then_gives_more() -> None:
    lane = lane_of(requests_per_minute=1e6)
    tickets = enter_many(lane, NOW, 40)
    for ticket in tickets[:3]:
        lane.crowd(ticket, NOW)
    assert lane.statistics(NOW, "*").concurrency == 37
    assert lane.refused == 0
    waiting = enter(lane, NOW)
    assert waiting.stage == "waiting"
    # Time brings it back, and the lane says when to look: nobody has to end for that.
    _, at = lane.admit(NOW)
    assert NOW < at < NOW + 40
    lane.admit(at)
    assert admitted([waiting]) == [waiting]


def test_one_answer_without_room_says_nothing() -> None:
    lane = lane_of(requests_per_minute=1e6)
    for second in (0, 9, 18, 27):  # nor do two within ten seconds
        lane.crowd(enter(lane, NOW + second), NOW + second)
    assert lane.statistics(NOW + 27, "*").concurrency is None


def test_no_room_again_and_again_leaves_eight_places() -> None:
    lane = lane_of(requests_per_minute=1e6)
    for _ in range(5):
        lane.crowd(enter(lane, NOW), NOW)
    assert lane.statistics(NOW, "*").concurrency == 8
    assert len(admitted(enter_many(lane, NOW, 12))) == 8


@pytest.mark.parametrize("peak", [1, 2, 40])
def test_a_ceiling_rises_by_time_also_where_nobody_calls(peak: int) -> None:
    lane = lane_of(requests_per_minute=1e6)
    tickets = enter_many(lane, NOW, peak + 1)
    lane.refuse(tickets[0], NOW, crowded=True)
    bounds = [lane.statistics(NOW + second, "*").concurrency or 0 for second in range(0, 120, 10)]
    assert bounds[0] == peak
    assert bounds == sorted(bounds)
    assert bounds[4] > peak
    assert bounds[-1] > 5 * peak


def test_a_refusal_while_all_budgets_are_told_as_free_is_for_the_number_in_flight() -> None:
    lane = lane_of()
    first = enter(lane, NOW, tokens=100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(599, 59_900))
    many = enter_many(lane, NOW, 4)
    lane.refuse(many[0], NOW + 0.1)
    now = lane.statistics(NOW + 0.1, "*")
    assert (now.concurrency, now.requests_per_minute) == (4, 600)


def test_a_refusal_where_a_told_budget_is_used_up_teaches_nothing() -> None:
    lane = lane_of()
    first = enter(lane, NOW, tokens=100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(1, 59_900))
    second = enter(lane, NOW)
    lane.refuse(second, NOW + 0.1)
    now = lane.statistics(NOW + 0.1, "*")
    assert (now.concurrency, now.requests_per_minute) == (None, 600)
    assert now.hold == pytest.approx(1)


# --- waits that are named -----------------------------------------------------------------------


def test_a_wait_that_is_named_is_kept_to_however_often() -> None:
    lane, now = lane_of(), NOW
    for _ in range(6):
        ticket = enter(lane, now)
        lane.admit(now)
        assert ticket.stage == "admitted"
        lane.refuse(ticket, now, 1.2, hinted=True)
        assert lane.hold_until == pytest.approx(now + 1.2)
        now = lane.hold_until
    other = enter(lane, now)
    lane.admit(now)
    assert other.stage == "admitted"


def test_a_wait_that_is_named_is_no_longer_for_a_pace_that_was_guessed() -> None:
    lane = lane_of(requests_per_minute=60)
    lane.refuse(enter(lane, NOW), NOW, 0.2, hinted=True)
    again = enter(lane, NOW + 0.2)
    assert again.stage == "admitted"


def test_who_does_not_come_again_holds_nobody_for_long() -> None:
    lane, now = lane_of(), NOW
    for final in (False, False, True):
        ticket = enter(lane, now)
        lane.admit(now)
        lane.refuse(ticket, now, final=final)
        held, now = lane.hold_until - now, lane.hold_until
    assert held <= 2.5


def test_nobody_goes_ahead_twice_while_others_have_not() -> None:
    lane, now = lane_of(), NOW
    tickets = enter_many(lane, now, 40)
    for ticket in admitted(tickets):
        lane.refuse(ticket, now)
        lane.enter(ticket, now)
    for _ in range(10):
        now = max(now, lane.hold_until)
        (probe,), _ = lane.admit(now)
        lane.refuse(probe, now)
        lane.enter(probe, now)
    assert max(ticket.refusals for ticket in tickets) == 1


def test_a_refusal_for_the_number_in_flight_leaves_the_pace() -> None:
    lane = lane_of(requests_per_minute=6000)
    tickets = enter_many(lane, NOW, 10)
    lane.refuse(tickets[-1], NOW, crowded=True)
    now = lane.statistics(NOW, "*")
    assert (now.concurrency, now.requests_per_minute, now.hold) == (9, 6000, 1)


# --- slow start ---------------------------------------------------------------------------------


def test_a_pause_starts_slowly_again() -> None:
    lane, now = lane_of(), NOW
    while (before := lane.statistics(now, "*").requests_per_minute or 0) < 3_000:
        ticket = Ticket()
        going = [ticket] if lane.enter(ticket, now) else lane.admit(now)[0]
        for each in going:
            lane.settle(each, now)
        now += 0.01
        assert now < NOW + 120
    while lane.queue.waiting:
        now += 0.01
        for each in lane.admit(now)[0]:
            lane.settle(each, now)
    enter_many(lane, now + 30, 9)
    assert lane.statistics(now + 30, "*").requests_per_minute == pytest.approx(before / 4, rel=0.1)


# --- the curve ----------------------------------------------------------------------------------


@attrs.define
class Traffic:
    """Callers who always have more to send, and a gateway with a limit that it does not tell."""

    lane: Lane
    limit: Meter
    tokens: float = 0.0
    costs: float = 1.0
    now: float = NOW
    let_in: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)

    def flow(self, seconds: float) -> None:
        """Let time pass; each call takes no time, and one that is refused comes again."""
        end = self.now + seconds
        while self.now < end:
            while self.lane.queue.waiting < 40:
                if self.lane.enter(ticket := Ticket(tokens=self.tokens), self.now):
                    self.meet(ticket)
            going, at = self.lane.admit(self.now)
            for ticket in going:
                self.meet(ticket)
            self.now = min(end, max(at, self.now + 0.02))

    def meet(self, ticket: Ticket) -> None:
        """Have a call let in, or refused."""
        if self.limit.room(self.now) >= self.costs:
            self.limit.add(self.now, self.costs)
            self.let_in.append(self.now)
            self.lane.settle(ticket, self.now)
        else:
            self.refused.append(self.now)
            self.lane.refuse(ticket, self.now)
            self.lane.enter(ticket, self.now)

    def rate(self, seconds: float) -> float:
        """Return how many a minute were let in during the last seconds."""
        return sum(at > self.now - seconds for at in self.let_in) * 60 / seconds


@pytest.mark.parametrize("meter", [Bucket(300, NOW), Window(300)], ids=["bucket", "window"])
def test_a_limit_that_nobody_tells_is_found_and_kept_to(meter: Meter) -> None:
    traffic = Traffic(lane_of(), meter)
    traffic.flow(600)
    assert traffic.rate(240) == pytest.approx(300, rel=0.15)
    assert len([at for at in traffic.refused if at > NOW + 360]) <= 0.02 * 300 * 4


def test_a_limit_that_was_raised_is_found_again() -> None:
    limit = Bucket(120, NOW)
    traffic = Traffic(lane_of(), limit)
    traffic.flow(240)
    assert traffic.rate(60) < 130
    limit.resize(traffic.now, 240)
    traffic.flow(240)
    assert traffic.rate(60) > 190


def test_a_pace_of_tokens_is_learned_with_that_of_calls() -> None:
    traffic = Traffic(lane_of(), Bucket(60_000, NOW), tokens=500, costs=500)
    traffic.flow(420)
    now = traffic.lane.statistics(traffic.now, "*")
    assert now.requests_per_minute == pytest.approx(120, rel=0.2)
    assert now.tokens_per_minute == pytest.approx(60_000, rel=0.2)
    assert traffic.lane.wait(Ticket(tokens=500), traffic.now) > 0


def test_a_pace_that_is_not_used_proves_nothing() -> None:
    traffic = Traffic(lane_of(), Bucket(300, NOW))
    traffic.flow(120)
    lane, now = traffic.lane, traffic.now
    for waiting in tuple(lane.queue):
        lane.leave(waiting)
    learned = lane.statistics(now, "*").requests_per_minute
    for second in range(60, 180):
        ticket = enter(lane, now + second)
        assert ticket.stage == "admitted"
        lane.settle(ticket, now + second)
    assert lane.statistics(now + 180, "*").requests_per_minute == learned


def test_slow_start_grows_by_what_is_used_and_answered() -> None:
    lane, now = lane_of(), NOW
    paces = [START]
    waiting: list[Ticket] = []
    for _ in range(600):
        now += 0.01
        waiting += enter_many(lane, now, 10)
        for each in admitted(waiting):
            lane.settle(each, now)
        lane.admit(now)
        paces.append((lane.statistics(now, "*").requests_per_minute or 0) / 60)
    assert paces == sorted(paces)
    assert paces[-1] > 50 * START
