"""What a lane learns from refusals, from full houses and from headers."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest

from aiotokengate._policy.bucket import Bucket, Meter, Window
from aiotokengate._policy.lanes import Lane, Ticket
from aiotokengate._policy.learning import START, Learner
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


# --- the numbers --------------------------------------------------------------------------------


def learner(given: float | None = None, chance: float = 0.0) -> Learner:
    """Return what a lane learns with, asked by nobody yet."""
    return Learner(NOW, lambda: chance, given)


def let_go(
    one: Learner, now: float, calls: int = 1, tokens: float = 0.0, in_flight: int = 1
) -> None:
    """Note that so many were admitted."""
    for _ in range(calls):
        one.took(now, tokens, in_flight, object())


def answer(one: Learner, now: float, seconds: float, calls: int = 1) -> None:
    """Note that so many were answered."""
    for _ in range(calls):
        one.answered(now, seconds, object())


def paces(one: Learner) -> tuple[float | None, float | None]:
    """Return the paces in force, a second."""
    requests, tokens = one.paces
    return (None if requests is None else requests.rate, None if tokens is None else tokens.rate)


def look(one: Learner, now: float) -> float | None:
    """Look at what was used, and return the pace of requests."""
    one.ready_at(now, 0.0, 1)
    return paces(one)[0]


def cut(one: Learner, now: float, admitted: float | None = None) -> None:
    """Refuse a call for what is not known, and let the one that goes ahead in."""
    one.refused(now, now if admitted is None else admitted, "unknown")
    probe = object()
    one.took(now, 0.0, 1, probe)
    one.answered(now, 0.5, probe)


def about(*rates: float) -> object:
    return pytest.approx(rates if len(rates) > 1 else rates[0], rel=1e-9)


def test_the_first_two_dozen_go_at_once_and_the_others_in_a_pace() -> None:
    """Twenty a second, of which four may go together."""
    one = learner()
    assert paces(one) == (20, None)
    let_go(one, NOW, 30, in_flight=24)
    assert one.wait(NOW, 24, 0) == 1
    let_go(one, NOW, 4, in_flight=25)
    assert one.ready_at(NOW, 0, 23) == NOW
    assert one.ready_at(NOW, 0, 24) == NOW + 0.05
    assert one.wait(NOW, 1, 0) == 0.05
    assert one.wait(NOW + 1, 4, 0) == 0


def test_a_rate_that_is_given_needs_no_pace_until_a_refusal() -> None:
    one = learner(100)
    assert paces(one) == (None, None)
    assert (one.ready_at(NOW, 1e9, 10_000), one.wait(NOW, 99, 99)) == (NOW, 0)
    cut(one, NOW)
    assert paces(one) == (about(25 * 0.93), None)
    assert one.ready_at(NOW, 0, 1) == about(NOW + 1 / 23.25)


@pytest.mark.parametrize(
    ("answers", "ends", "rate"),
    [
        ([0.25], [], 48),
        ([0.25], [0.5], 96),
        ([0.25], [0.5, 0.1], 96),  # the first one tells
        ([0.25], [30], 48),
        ([8], [8], 20),
        ([1.5], [0.1], 32),
        ([0.01], [0.01], 480),
        ([0.2, 0.6], [0.1], 160),
        ([1.0, 0.36], [0.1], 48 / 0.99),
    ],
)
def test_the_first_answers_tell_how_fast_to_begin(
    answers: list[float], ends: list[float], rate: float
) -> None:
    """Twice two dozen in the time of an answer, as far as that says something."""
    one = learner()
    for seconds in answers:
        answer(one, NOW, seconds)
    for seconds in ends:
        one.ended(NOW, seconds)
    assert paces(one) == (about(rate), None)
    assert one.wait(NOW, 4, 0) == 0  # what could go at once still can
    assert one.wait(NOW, 5, 0) == about(1 / rate)


@pytest.mark.parametrize(
    ("seconds", "calls", "answers", "grown"),
    [
        (0.25, 8, 2, 0.25),
        (0.25, 7, 2, 0),  # less than four fifths were used
        (0.25, 8, 1, 0),  # less than a quarter were answered
        (0.24, 8, 2, 0),  # too soon
        (0.5, 16, 4, 0.5),
        (9.0, 288, 72, 1.92),  # never more than twice as many
    ],
)
def test_slow_start_doubles_in_the_time_of_an_answer(
    seconds: float, calls: int, answers: int, grown: float
) -> None:
    """And a little longer: 1.6 times that."""
    one = learner()
    answer(one, NOW, 1.2, answers)
    let_go(one, NOW, calls)
    assert look(one, NOW + seconds) == about(40 * 2 ** (grown / 1.92))


def test_a_look_counts_what_was_used_since_the_last_one() -> None:
    one = learner()
    answer(one, NOW, 1.2, 50)
    let_go(one, NOW, 7)
    assert look(one, NOW + 0.25) == 40
    let_go(one, NOW + 0.25, 7)
    assert look(one, NOW + 0.5) == 40
    let_go(one, NOW + 0.5, 8)
    assert look(one, NOW + 0.75) == about(40 * 2 ** (0.25 / 1.92))


def test_replies_that_take_longer_slow_the_start_down() -> None:
    """A quarter of what is more counts, and a sixteenth of what is less."""
    for last, whole in ((0.9, 0.6), (0.1, 0.475), (77, 0.625)):
        one = learner()
        answer(one, NOW, 0.1, 5)
        one.ended(NOW, 0.5)
        one.ended(NOW, last)
        let_go(one, NOW, 20)
        assert look(one, NOW + 0.25) == about(96 * 2 ** (0.25 / (1.6 * whole)))


def test_ten_seconds_without_a_call_start_slowly_again() -> None:
    """With a quarter of the pace, and never less than at first."""
    for whole, seconds, rate in ((0.01, 9.9, 480), (0.01, 10, 120), (0.8, 9.9, 60), (0.8, 10, 20)):
        one = learner()
        answer(one, NOW, 0.01)
        one.ended(NOW, whole)
        let_go(one, NOW + 1)
        assert look(one, NOW + 1 + seconds) == about(rate)


def test_a_refusal_out_of_nothing_is_answered_blindly() -> None:
    """With a quarter of the pace, of the first one at most two and a half a second."""
    one = learner()
    let_go(one, NOW, 10, tokens=100)
    let_go(one, NOW, 10)  # of these nobody knows the tokens
    assert one.refused(NOW, NOW, "unknown")
    assert paces(one) == (about(2.5 * 0.93), about(250 * 0.93))


def test_a_refusal_after_many_leaves_what_was_let_in() -> None:
    """Taken for a whole minute, and what has passed of the next one."""
    one = learner()
    let_go(one, NOW, 601, tokens=10)
    one.turned_away(NOW + 15, NOW, 10)  # the one that was refused
    one.refused(NOW + 15, NOW, "unknown")
    assert paces(one) == (about(8 * 0.93), about(80 * 0.93))


@pytest.mark.parametrize(
    ("calls", "seconds", "rate"), [(10, 5, 2), (10, 0.5, 10), (5, 1, 5), (4, 1, None)]
)
def test_from_one_refusal_to_the_next_is_a_measurement(
    calls: int, seconds: float, rate: float | None
) -> None:
    """Where five were let in, over a second at least; with fewer, nothing changes."""
    one = learner(100)
    cut(one, NOW)
    let_go(one, NOW, calls - 1, tokens=30)  # one went ahead
    let_go(one, NOW + seconds, tokens=30)
    one.turned_away(NOW + seconds, NOW + seconds, 30)
    assert one.refused(NOW + seconds, NOW + seconds, "unknown")
    if rate is None:
        assert paces(one) == (about(25 * 0.93), None)
    else:
        assert paces(one) == (about(rate * 0.93), about(rate * 30 * 0.93))


def test_a_pause_spoils_a_measurement() -> None:
    """Then a refusal is answered blindly again, with a quarter of the pace there is."""
    one = learner(100)
    cut(one, NOW)
    let_go(one, NOW, 10)
    assert look(one, NOW + 20) == 20
    let_go(one, NOW + 20, 10)
    one.refused(NOW + 21, NOW + 21, "unknown")
    assert paces(one) == (about(5 * 0.93), None)


def test_a_whole_minute_measures_where_it_had_more() -> None:
    """Once it no longer reaches back to before the first refusal, second by second."""
    one = learner(100)
    one.refused(NOW, NOW, "unknown")
    for second in range(60):
        let_go(one, NOW + second, tokens=20)
        let_go(one, NOW + second + 0.5, tokens=40)
        one.answered(NOW + second, 0.5, None)
    one.refused(NOW + 60, NOW + 60, "unknown")
    assert paces(one) == (about(2 * 0.93), about(60 * 0.93))
    let_go(one, NOW + 60, 6, tokens=30)
    one.turned_away(NOW + 70, NOW + 60, 30)
    one.refused(NOW + 70, NOW + 70, "unknown")
    rate = (2 * 50 + 5) / 60
    assert paces(one) == (about(rate * 0.93), about(rate * 30 * 0.93))


def test_a_minute_that_reaches_back_too_far_measures_nothing() -> None:
    """Before the first refusal a bucket was full."""
    one = learner(100)
    one.refused(NOW, NOW, "unknown")
    let_go(one, NOW, 50)
    one.refused(NOW + 50, NOW + 50, "unknown")
    let_go(one, NOW + 50, 5)
    one.refused(NOW + 59, NOW + 59, "unknown")
    assert paces(one) == (about(5 / 9 * 0.93), None)


def test_refusals_of_what_was_on_its_way_change_nothing() -> None:
    one = learner(100)
    let_go(one, NOW, 3)
    assert one.refused(NOW + 1, NOW, "unknown")
    let_go(one, NOW + 0.9, 30)
    before = paces(one)
    assert not one.refused(NOW + 2, NOW + 0.9, "unknown")
    assert paces(one) == before
    assert one.wants_probe
    assert one.refused(NOW + 3, NOW + 1, "unknown")
    assert paces(one) != before


@pytest.mark.parametrize("reason", ["told", "crowd"])
def test_a_refusal_for_what_is_known_leaves_the_pace(reason: Any) -> None:
    """It is held for, and the next one is sent ahead."""
    one = learner()
    assert one.refused(NOW, NOW, reason)
    assert (paces(one), one.wants_probe) == ((20, None), True)
    assert not one.refused(NOW, NOW - 1, "unknown")
    assert paces(one) == (20, None)


@pytest.mark.parametrize(
    ("requests", "tokens", "slow", "learned"),
    [
        (False, False, (20, None), (2.325, 232.5)),
        (True, False, (20, None), (None, 232.5)),
        (False, True, (20, None), (2.325, None)),
        (True, True, (None, None), (None, None)),
    ],
)
def test_what_the_gateway_tells_is_not_guessed(
    requests: bool, tokens: bool, slow: tuple[Any, ...], learned: tuple[Any, ...]
) -> None:
    """Slow start goes on while either is not told."""
    one = learner()
    one.told(requests=requests, tokens=tokens)
    assert paces(one) == slow
    let_go(one, NOW, 10, tokens=100)
    one.refused(NOW, NOW, "unknown")
    assert paces(one) == tuple(None if rate is None else about(rate) for rate in learned)


def test_a_pace_comes_back_to_what_was_let_in_and_then_rises_ever_faster() -> None:
    """As long as it is used; after three times the plateau it is half as much again."""
    one, now = learner(160), NOW
    cut(one, now)
    found = {}
    for second in range(1, 46):
        let_go(one, now, math.ceil(paces(one)[0] or 0))
        now += 1
        found[second] = look(one, now)
    assert [found[at] for at in (1, 15, 30, 45)] == [
        about(40 * (1 - 0.07 * (14 / 15) ** 3)),
        about(40),
        about(40 * 1.07),
        about(40 * 1.56),
    ]


def test_a_pace_is_also_used_by_tokens() -> None:
    """Four fifths of either; what is used less stays."""
    for tokens, grows in ((372, True), (297, False)):
        one = learner(160)
        let_go(one, NOW, tokens=100)
        one.refused(NOW, NOW, "unknown")
        let_go(one, NOW, 9, tokens=tokens)
        one.answered(NOW, 0.5, None)
        one.took(NOW, tokens, 1, None)
        assert look(one, NOW + 3) == about(37.2)  # a call is ahead
        one._probe = None
        let_go(one, NOW + 3, 10, tokens=tokens)
        look(one, NOW + 4)
        factor = 1 + 0.07 * ((1 - 15) / 15) ** 3 if grows else 0.93
        assert paces(one) == (about(40 * factor), about(4_000 * factor))


def test_a_slow_pace_is_touched_by_one_call_in_sixty() -> None:
    """Its plateau is longer; and it is looked at when five could have gone."""
    one = learner(2)
    cut(one, NOW)
    let_go(one, NOW, 30)
    assert look(one, NOW + 10.7) == about(0.5 * 0.93)
    let_go(one, NOW + 55)
    assert look(one, NOW + 60) == about(0.5 * (1 - 0.07 / 8))


def test_a_pace_is_one_a_minute_at_least() -> None:
    one = learner(0.001)
    cut(one, NOW)
    assert paces(one) == (about(1 / 60), None)
    assert one.wait(NOW, 1, 0) == 60


def test_after_a_pause_a_pace_that_is_known_is_found_by_slow_start() -> None:
    """And then kept to, as after its plateau."""
    one, now = learner(400), NOW
    cut(one, now)
    let_go(one, now)
    now += 10
    rates = [look(one, now)]
    for _ in range(5):
        let_go(one, now, 100)
        now += 1
        rates.append(look(one, now))
    step = 2 ** (1 / 1.6)
    start = 23.25
    assert rates == [
        *(about(start), about(start * step), about(start * step**2), about(start * step**3)),
        *(about(93), about(93 * (1 + 0.07 / 15**3))),
    ]


def test_a_pause_in_slow_start_keeps_what_was_known() -> None:
    one, now = learner(400), NOW
    cut(one, now)
    let_go(one, now)
    assert look(one, now + 10) == about(23.25)
    let_go(one, now + 10, 30)
    faster = 23.25 * 2 ** (1 / 1.6)
    assert look(one, now + 11) == about(faster)
    assert look(one, now + 21) == about(20)
    for second in range(21, 25):
        let_go(one, now + second, 100)
        look(one, now + second + 1)
    assert paces(one)[0] == about(93)


# --- who goes ahead -----------------------------------------------------------------------------


def test_one_goes_ahead_and_the_others_wait_for_it() -> None:
    """Two seconds at most; nothing that was saved up follows it at once."""
    one = learner(100)
    let_go(one, NOW, tokens=10)
    one.refused(NOW, NOW, "unknown")
    assert one.ready_at(NOW, 10, 1) == NOW  # no pace is in its way
    one.took(NOW + 5, 10, 1, object())
    assert not one.wants_probe
    assert one.ready_at(NOW + 5, 0, 1) == NOW + 7
    assert (one.wait(NOW + 5, 1, 0), one.wait(NOW + 5, 0, 10)) == (about(1 / 23.25),) * 2
    assert one.ready_at(NOW + 6.9, 0, 1) == NOW + 7
    assert one.ready_at(NOW + 7, 0, 1) == NOW + 7


def test_the_others_follow_when_the_one_that_goes_ahead_is_answered() -> None:
    """Whatever becomes of any other one."""
    one, probe = learner(100), object()
    one.refused(NOW, NOW, "unknown")
    one.took(NOW, 0, 1, probe)
    one.left(object())
    one.answered(NOW, 0.1, object())
    assert (one.ready_at(NOW, 0, 1), one.wants_probe) == (NOW + 2, False)
    one.answered(NOW, 0.1, probe)
    assert one.ready_at(NOW, 0, 1) == about(NOW + 1 / 23.25)
    one.left(probe)
    assert not one.wants_probe


def test_another_one_goes_ahead_where_nobody_knows_what_became_of_the_first() -> None:
    one, probe = learner(100), object()
    one.refused(NOW, NOW, "unknown")
    one.took(NOW, 0, 1, probe)
    one.left(probe)
    assert one.wants_probe
    assert one.ready_at(NOW, 0, 1) == NOW


@pytest.mark.parametrize(
    ("alone", "final", "holds"),
    [
        (True, False, [1, 3, 9, 27, 30, 30]),
        (True, True, [1, 2, 2, 2, 2, 2]),
        (False, False, [1, 3, 8, 8, 8, 8]),
        (False, True, [1, 3, 8, 8, 8, 8]),
    ],
)
def test_holds_grow_while_nothing_is_let_in(alone: bool, final: bool, holds: list[float]) -> None:
    """A call that was let in, and not refused inside its answer, begins anew."""
    one = learner()
    assert [one.hold(alone=alone, final=final) for _ in holds] == holds
    answer(one, NOW, 0.1)
    assert [one.hold(alone=alone, final=final) for _ in range(2)] == holds[:2]
    answer(one, NOW, 0.1)
    one.recalled()
    assert one.hold(alone=alone, final=final) == holds[2]


def test_holds_differ_by_chance() -> None:
    """A quarter more at most."""
    assert learner(chance=1.0).hold(alone=True, final=False) == 1.25


# --- the number in flight -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peak", "seconds", "ceiling"),
    [
        *((1, 0, 1), (1, 15, 1), (1, 30, 2), (40, 0, 40), (40, 15, 40), (40, 30, 42.8)),
        *((8, 30, 9), (8, 60, 8 * 2.89), (40, -5, 40)),
    ],
)
def test_what_may_be_in_flight_after_some_time(peak: int, seconds: float, ceiling: float) -> None:
    """By the curve, and by one in each plateau at least."""
    one = learner(1e6)
    assert one.ceiling(NOW + seconds) == math.inf
    one.crowded(NOW, peak)
    assert one.ceiling(NOW + seconds) == about(ceiling)


@pytest.mark.parametrize(
    ("peak", "in_flight", "seconds"),
    [(1, 0, 0), (1, 1, 30), (1, 2, 45), (0, 1, 30), (40, 39, 0), (40, 40, 25.6423756)],
)
def test_when_there_is_room_for_one_more(peak: int, in_flight: int, seconds: float) -> None:
    """As soon as the ceiling says so, and not a moment too soon, or it would be asked twice."""
    one = learner(1e6)
    one.crowded(NOW, peak)
    at = one.ready_at(NOW, 0, in_flight)
    assert at == pytest.approx(NOW + seconds, abs=3e-6)
    assert one.ready_at(at, 0, in_flight) == at
    assert one.ceiling(at) == pytest.approx(max(in_flight + 1, 1, peak), abs=1e-5)


def test_a_gateway_without_room_three_times_in_ten_seconds() -> None:
    for last, ceiling in ((10.0, 30), (10.1, math.inf)):
        one = learner(1e6)
        for second in (0, 5, last):
            assert one.ceiling(NOW) == math.inf
            one.overloaded(NOW + second, 30)
        assert one.ceiling(NOW + last) == ceiling
    few = learner(1e6)
    for _ in range(3):
        few.overloaded(NOW, 3)
    assert few.ceiling(NOW) == 8
