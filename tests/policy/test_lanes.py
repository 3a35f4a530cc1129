"""One lane: who may go now, why the others wait, what counts, and what headers change."""

from __future__ import annotations

from math import inf
from typing import Any

import attrs
import pytest

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.statistics import Because, LaneStatistics, Waiting
from aiotokengate._wire.headers import Remaining
from tests.support.lanes import NOW, admitted, enter, enter_many, lane_of, told

# --- who waits, and why -------------------------------------------------------------------------


def test_nobody_slips_past() -> None:
    """A small call waits behind a large one, and goes as soon as that has gone."""
    lane = lane_of(tokens_per_minute=60, learn=False)
    lane.settle(enter(lane, NOW, 50), NOW)
    large, small = enter(lane, NOW, 40), enter(lane, NOW, 1)
    assert lane.admit(NOW) == ([], NOW + 30)
    assert lane.admit(NOW + 30) == ([large], NOW + 31)
    assert lane.admit(NOW + 31) == ([small], inf)


def test_whoever_gives_up_is_passed_by() -> None:
    """It has no place any more, and what it had not got is not taken."""
    lane = lane_of(concurrency=1, learn=False)
    first, second, third = enter_many(lane, NOW, 3)
    lane.leave(second)
    lane.settle(first, NOW)
    assert lane.admit(NOW) == ([third], inf)
    assert second.stage == "settled"


def test_who_waits_goes_in_the_order_of_arrival() -> None:
    """One that was refused comes again behind the head."""
    lane = lane_of(concurrency=1, learn=False)
    first, *others = enter_many(lane, NOW, 5)
    assert [one.stage for one in (first, *others)] == ["admitted", *["waiting"] * 4]
    lane.refuse(first, NOW)
    assert not lane.enter(first, NOW)
    went = []
    for _ in range(5):
        (one,), _at = lane.admit(NOW)
        went.append(one)
        lane.settle(one, NOW)
    assert went == [others[0], first, *others[1:]]


def test_a_call_goes_where_it_is_free_from_now_on() -> None:
    """At the very moment at which a gate opens; and never past one that waits."""
    lane = lane_of(requests_per_minute=60, learn=False)
    for _ in range(60):
        lane.settle(enter(lane, NOW), NOW)
    assert enter(lane, NOW + 1).stage == "admitted"
    assert lane.wait(Ticket(), NOW + 1.5) == 0.5
    head = enter(lane, NOW + 1.5)
    assert lane.wait(Ticket(), NOW + 1.75) == 1.25
    assert lane.admit(NOW + 1.875) == ([], NOW + 2)
    assert enter(lane, NOW + 2).stage == "waiting"
    assert lane.admit(NOW + 2) == ([head], NOW + 3)
    lane.admit(NOW + 3)
    assert (lane.wait(Ticket(), NOW + 3.5), lane.wait(Ticket(), NOW + 4)) == (0.5, 0)


@pytest.mark.parametrize(
    ("given", "tokens", "cost"),
    [
        ({"concurrency": 1}, 100, 1),
        ({"concurrency": 1, "requests_per_minute": 4}, 100, 0.25),
        ({"concurrency": 1, "tokens_per_minute": 400}, 100, 0.25),
        ({"concurrency": 1, "tokens_per_minute": 400}, 0, 1),
        ({"concurrency": 1, "tokens_per_minute": 400, "requests_per_minute": 2}, 100, 0.5),
        ({"concurrency": 1, "tokens_per_minute": 400, "requests_per_minute": 8}, 100, 0.25),
    ],
)
def test_what_a_call_takes_of_the_lane(given: dict[str, Any], tokens: float, cost: float) -> None:
    """The share of a minute that it needs, of what it needs most of; for turns between users."""
    lane = lane_of(**given)
    enter(lane, NOW)
    assert enter(lane, NOW, tokens).cost == cost


def test_how_long_calls_take_here() -> None:
    """A sixteenth of each one's time tells how long others will wait for a place."""
    lane = lane_of(concurrency=2, learn=False)
    lane.settle(enter(lane, NOW), NOW + 16)
    enter_many(lane, NOW + 16, 2)
    assert lane.wait(Ticket(), NOW + 16) == 0.5
    third = enter(lane, NOW + 16)
    assert lane.waiting(third, NOW + 16) == Waiting(1, 0.5, "concurrency")
    assert lane.wait(Ticket(), NOW + 16) == 1.0
    for ticket in admitted([*lane._going]):
        lane.settle(ticket, NOW + 17)
    lane.admit(NOW + 17)
    enter(lane, NOW + 17)
    assert lane.wait(Ticket(), NOW + 17) == 0.5


@pytest.mark.parametrize(
    ("given", "because", "position", "eta"),
    [
        ({"concurrency": 1}, "concurrency", 2, 8.0),
        ({"requests_per_minute": 1}, "requests", 3, 170.0),
        ({"tokens_per_minute": 60}, "tokens", 2, 60.0),
    ],
)
def test_why_a_call_waits(
    given: dict[str, Any], because: Because, position: int, eta: float
) -> None:
    """The gate that is shut for longest, and about until when."""
    lane = lane_of(**given, learn=False)
    lane.settle(enter(lane, NOW, 30), NOW)
    lane._seconds = 4.0
    enter(lane, NOW + 10, 40)
    last = [enter(lane, NOW + 10, 30) for _ in range(2)][-1]
    assert lane.waiting(last, NOW + 10) == Waiting(position, pytest.approx(eta), because)  # type: ignore[arg-type]
    assert lane.wait(Ticket(tokens=30), NOW + 10) > eta


def test_what_is_learned_is_a_reason_to_wait() -> None:
    """Slow start lets two dozen go at once, and the others in its pace."""
    lane = lane_of()
    waiting = [one for one in enter_many(lane, NOW, 60) if one.stage == "waiting"]
    why = lane.waiting(waiting[-1], NOW)
    assert (why.position, why.because) == (len(waiting), "learning")
    assert 0 < why.eta < 10


def test_who_need_not_wait() -> None:
    """A new call goes at once, while there is room for it and nobody before it."""
    lane = lane_of(concurrency=1, learn=False)
    assert lane.wait(Ticket(), NOW) == 0.0
    enter(lane, NOW)
    assert lane.wait(Ticket(), NOW) == inf  # nobody knows how long a call takes here


def test_who_can_be_let_in_by_the_end_of_another_only() -> None:
    """All that are in flight are in the way; time alone is in nobody's."""
    places = lane_of(concurrency=2, learn=False)
    enter_many(places, NOW, 2)
    assert places.blocked_by(Ticket(), NOW) == 2
    tokens = lane_of(tokens_per_minute=60, learn=False)
    enter(tokens, NOW, 40)
    assert tokens.blocked_by(Ticket(tokens=30), NOW) == 1
    assert tokens.blocked_by(Ticket(tokens=20), NOW) == 0


def test_what_a_lane_is_doing() -> None:
    """Limits that were given, what is left of them, and who is there."""
    lane = lane_of(concurrency=3, requests_per_minute=60, tokens_per_minute=600)
    lane.refuse(enter(lane, NOW, 100), NOW, 4.0, hinted=True)
    tickets = [enter(lane, NOW + 4, 50) for _ in range(3)]
    assert [one.stage for one in tickets] == ["admitted", "waiting", "waiting"]
    assert lane.statistics(NOW + 2, "qwen*", "sk-…") == LaneStatistics(
        pattern="qwen*",
        key="sk-…",
        waiting=2,
        in_flight=1,
        admitted=2,
        refused=1,
        concurrency=3,
        requests_per_minute=pytest.approx(60 * 0.25 * 0.93),  # type: ignore[arg-type]
        tokens_per_minute=600,
        requests_left=59,
        tokens_left=550,
        hold=2,
    )
    assert lane_of().statistics(NOW, "m") == LaneStatistics(pattern="m", requests_per_minute=1_200)
    assert lane_of(learn=False).statistics(NOW, "m") == LaneStatistics(pattern="m")


@pytest.mark.parametrize(
    ("given", "pace"),
    [
        ({"requests_per_minute": 600}, 600 / 4 * 0.93),
        ({"tokens_per_minute": 600}, 600 / 4 * 0.93),
        ({"requests_per_minute": 60, "tokens_per_minute": 600}, 60 / 4 * 0.93),
        ({}, 150 * 0.93),
    ],
)
def test_a_lane_that_is_refused_begins_from_what_is_given(
    given: dict[str, Any], pace: float
) -> None:
    """A token a call, where only these are given."""
    lane = lane_of(**given)
    lane.refuse(enter(lane, NOW), NOW)
    assert lane.statistics(NOW, "*").requests_per_minute == pytest.approx(pace)


# --- refused, and again -------------------------------------------------------------------------


def test_who_was_refused_goes_first_where_nobody_has_to_try() -> None:
    """It was there first; what it was refused for is past."""
    lane = lane_of()
    refused = enter(lane, NOW)
    lane.refuse(refused, NOW, 1.0, hinted=True)
    lane.enter(refused, NOW)
    ahead = enter(lane, NOW)
    assert lane.admit(NOW + 1)[0] == [ahead]
    other = enter(lane, NOW + 1)
    lane.settle(ahead, NOW + 1)
    assert lane.admit(NOW + 2)[0] == [refused]
    assert lane.admit(NOW + 4)[0] == [other]


def test_of_those_who_were_refused_as_often_the_head_goes() -> None:
    lane = lane_of()
    tickets = enter_many(lane, NOW, 2)
    for ticket in tickets:
        lane.refuse(ticket, NOW, 1.0, hinted=True)
        lane.enter(ticket, NOW)
    assert lane.admit(NOW + 1)[0] == tickets[:1]


def test_a_large_call_is_not_passed_by_where_the_other_one_can_not_go() -> None:
    """Who was refused less often goes ahead only where there is room for it."""
    lane = lane_of(tokens_per_minute=600)
    refused = enter(lane, NOW, 10)
    enter(lane, NOW, 500)
    lane.refuse(refused, NOW, 1.0, hinted=True)
    lane.enter(refused, NOW)
    enter(lane, NOW, 400)
    assert lane.admit(NOW + 1)[0] == [refused]


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({}, [1, 3, 9]),
        ({"final": True}, [1, 2, 2]),
        ({"crowded": True}, [1, 3, 9]),
        ({"retry_after": 4.0}, [4, 4, 9]),
        ({"retry_after": 4.0, "hinted": True}, [4, 4, 4]),
    ],
)
@pytest.mark.parametrize("answered", [False, True], ids=["refused", "inside an answer"])
def test_for_how_long_a_lane_holds(
    options: dict[str, Any], holds: list[float], answered: bool
) -> None:
    """Ever longer while nothing is let in, but for a wait that the gateway named."""
    lane, now, found = lane_of(), NOW, []
    for _ in range(3):
        ticket = enter(lane, now)
        if answered:
            lane.answered(ticket, now)
        lane.refuse(ticket, now, **options)
        found.append(lane.hold_until - now)
        assert lane.admit(now) == ([], inf)
        now = lane.hold_until
    assert found == holds


def test_where_others_wait_a_lane_holds_for_less() -> None:
    lane, now, found = lane_of(), NOW, []
    for _ in range(4):
        tickets = [*enter_many(lane, now, 2), *lane.queue]
        lane.admit(now)
        lane.refuse(admitted(tickets)[0], now)
        found.append(lane.hold_until - now)
        now = lane.hold_until
    assert found == [1, 3, 8, 8]


def test_a_hold_is_made_no_shorter() -> None:
    lane = lane_of(learn=False)
    first, second = enter_many(lane, NOW, 2)
    lane.refuse(first, NOW, 5.0)
    lane.refuse(second, NOW, 1.0)
    assert lane.hold_until == NOW + 5
    waiting = enter(lane, NOW + 1)
    assert lane.waiting(waiting, NOW + 1) == Waiting(1, 4, "hold")
    assert lane.admit(NOW + 4.9) == ([], NOW + 5)
    assert lane.admit(NOW + 5) == ([waiting], inf)


@pytest.mark.parametrize("learn", [True, False])
def test_tokens_matter_from_the_first_refusal_on(learn: bool) -> None:
    """Where something is learned: nobody says for what it was."""
    lane = lane_of(learn=learn)
    lane.refuse(enter(lane, NOW), NOW, 1.0, hinted=True)
    assert lane.counts_tokens == learn
    measured = Ticket(measure=lambda one: setattr(one, "tokens", 7.0))
    lane.enter(measured, NOW + 1)
    assert measured.tokens == (7 if learn else 0)
    assert (measured.measure is None) == learn


@pytest.mark.parametrize(("left", "learned"), [(32, False), (33, True)])
def test_how_much_must_be_left_for_a_refusal_to_have_another_reason(
    left: float, learned: bool
) -> None:
    """More than a twentieth, beside the call itself."""
    lane = lane_of()
    first = enter(lane, NOW, 10)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(left))
    lane.refuse(enter(lane, NOW, 10), NOW)
    assert (lane.statistics(NOW, "*").tokens_per_minute is not None) == learned


@pytest.mark.parametrize(("left", "after"), [(14, 0), (13, 12)])
def test_a_refusal_shows_that_a_told_limit_is_used_up(left: float, after: float) -> None:
    """Unless that is a difference in counting, of two in a hundred."""
    lane = lane_of()
    first = enter(lane, NOW)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(left))
    lane.refuse(enter(lane, NOW), NOW)
    assert lane.statistics(NOW, "*").requests_left == after


@pytest.mark.parametrize(
    ("admitted_at", "learned"), [(0.0, True), (9.9, True), (10.0, False), (-0.5, False)]
)
def test_for_how_long_one_refusal_is_laid_to_a_limit_that_is_told(
    admitted_at: float, learned: bool
) -> None:
    """Ten seconds; a call that was sent before the refusal belongs to it."""
    lane = lane_of()
    first = enter(lane, NOW - 1, 100)
    lane.answered(first, NOW - 1)
    lane.sync(first, NOW - 1, told(3))
    refused = enter(lane, NOW - 1, 100)
    early = enter(lane, NOW - 0.5, 100)
    lane.refuse(refused, NOW, 0.0, hinted=True)
    lane.sync(first, NOW + admitted_at, told(3))
    again = early if admitted_at < 0 else enter(lane, NOW + admitted_at, 100)
    lane.refuse(again, NOW + max(0.0, admitted_at), 0.0, hinted=True)
    now = lane.statistics(NOW + 11, "*")
    assert (now.tokens_per_minute is not None) == learned


def test_who_was_refused_lets_another_one_go_ahead() -> None:
    """One that was refused less often, where the lane sends somebody to try."""
    lane = lane_of()
    refused = enter(lane, NOW)
    lane.refuse(refused, NOW, 1.0, hinted=True)
    lane.enter(refused, NOW)
    assert (refused.stage, refused.refusals) == ("waiting", 1)
    other = enter(lane, NOW)
    assert lane.admit(NOW + 1)[0] == [other]
    lane.settle(other, NOW + 1)
    assert lane.admit(NOW + 2)[0] == [refused]


def test_a_lane_that_learns_nothing_holds_for_what_is_named() -> None:
    """And for nothing else."""
    lane = lane_of(learn=False)
    lane.refuse(enter(lane, NOW), NOW)
    assert lane.hold_until == NOW
    lane.refuse(enter(lane, NOW), NOW, 3.0)
    assert lane.statistics(NOW + 1, "*").hold == 2
    assert lane.refused == 2


def test_a_refusal_that_names_the_number_in_flight() -> None:
    """Bounds it at those that are left."""
    lane = lane_of()
    lane.refuse(enter_many(lane, NOW, 5)[0], NOW, crowded=True)
    assert lane.statistics(NOW, "*").concurrency == 4


def test_a_refusal_where_both_budgets_are_told_as_free() -> None:
    """Is for the number in flight; where one is used up, for that."""
    lane = lane_of()
    first = enter(lane, NOW, 100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(599, 59_900))
    lane.refuse(enter_many(lane, NOW, 4)[0], NOW)
    assert lane.statistics(NOW, "*").concurrency == 4
    later = NOW + 90
    lane.sync(first, later, told(1, 59_900))
    ahead = enter(lane, later)
    lane.refuse(ahead, later + 0.1)
    assert lane.statistics(later, "*").requests_per_minute == 600


@pytest.mark.parametrize("requests", [599, None], ids=["requests free", "requests not told"])
def test_a_refusal_where_the_tokens_are_used_up(requests: float | None) -> None:
    """No more is left of them than would have been refused."""
    lane = lane_of()
    first = enter(lane, NOW, 100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(requests, 6_000))
    second = enter(lane, NOW, 5_900)
    lane.refuse(second, NOW)
    assert lane.statistics(NOW, "*").tokens_left == pytest.approx(5_900, abs=101)
    assert lane.statistics(NOW, "*").tokens_per_minute == 60_000


def test_a_second_refusal_is_laid_to_the_limit_that_is_not_told() -> None:
    """Those of calls that went together to the one that is; then the other one is learned."""
    lane = lane_of()
    first = enter(lane, NOW, 100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(3))
    for ticket in [enter(lane, NOW, 100) for _ in range(2)]:
        lane.refuse(ticket, NOW + 0.1, 0.0, hinted=True)
    assert lane.statistics(NOW + 0.1, "*").tokens_per_minute is None
    lane.refuse(enter(lane, NOW + 0.3, 100), NOW + 0.4)
    assert lane.statistics(NOW + 0.4, "*").tokens_per_minute is not None
    assert lane.statistics(NOW + 0.4, "*").requests_per_minute == 600


def test_what_is_over_is_over() -> None:
    """Nothing happens to a call twice, whoever says so once more."""
    lane = lane_of(requests_per_minute=60, tokens_per_minute=600)
    ticket = enter(lane, NOW, 10)
    lane.answered(ticket, NOW)
    lane.answered(ticket, NOW)
    lane.settle(ticket, NOW)
    assert ticket.stage == "settled"
    before = lane.statistics(NOW, "*")
    lane.settle(ticket, NOW)
    lane.refund(ticket, NOW)
    lane.refuse(ticket, NOW, 9.0)
    lane.crowd(ticket, NOW)
    lane.answered(ticket, NOW)
    assert lane.statistics(NOW, "*") == before


# --- what counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", ["bucket", "window"])
@pytest.mark.parametrize("way", ["refuse", "crowd"])
def test_what_was_refused_counts_as_a_request_and_costs_no_tokens(
    way: str, kind: str, late: bool
) -> None:
    lane = lane_of(requests_per_minute=60, tokens_per_minute=6_000, kind=kind, learn=False)
    for answered in (False, True):
        ticket = Ticket(tokens=100, late=late)
        lane.enter(ticket, NOW)
        if answered:
            lane.answered(ticket, NOW)
        getattr(lane, way)(ticket, NOW)
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left, now.in_flight) == (58, 6_000, 0)


def test_what_never_left_counts_nowhere() -> None:
    lane = lane_of(requests_per_minute=60, tokens_per_minute=6_000)
    lane.refund(enter(lane, NOW, tokens=100), NOW)
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left) == (60, 6_000)


@pytest.mark.parametrize(("cost", "left"), [(None, 500), (40, 560), (100, 500), (250, 350)])
@pytest.mark.parametrize("late", [False, True])
def test_what_a_call_has_cost_takes_the_place_of_what_was_expected(
    cost: float | None, left: float, late: bool
) -> None:
    """Whichever is more; and a reply that grew beyond it has reserved that already."""
    lane = lane_of(tokens_per_minute=600, learn=False)
    ticket = Ticket(tokens=100, late=late)
    lane.enter(ticket, NOW)
    lane.answered(ticket, NOW)
    lane.settle(ticket, NOW, cost)
    assert lane.statistics(NOW, "*").tokens_left == left


@pytest.mark.parametrize(("late", "left"), [(True, 450), (False, 500)])
def test_a_reply_that_grows_reserves_more(late: bool, left: float) -> None:
    """Where its tokens count when they are known; else all were counted before it began."""
    lane = lane_of(tokens_per_minute=600, learn=False)
    ticket = Ticket(tokens=100, late=late)
    lane.enter(ticket, NOW)
    lane.answered(ticket, NOW)
    for so_far in (50, 150, 120):
        lane.true_up(ticket, so_far)
    assert lane.statistics(NOW, "*").tokens_left == left


@pytest.mark.parametrize("learn", [True, False])
def test_what_was_answered_and_never_counted_is_given_back(learn: bool) -> None:
    """Its request and its tokens, as if it had not been."""
    lane = lane_of(requests_per_minute=60, tokens_per_minute=600, learn=learn)
    ticket = enter(lane, NOW, 100)
    lane.answered(ticket, NOW)
    lane.refund(ticket, NOW)
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left, now.in_flight) == (60, 600, 0)


@pytest.mark.parametrize("given", [{"requests_per_minute": 60, "tokens_per_minute": 600}, {}])
def test_a_successor_knows_what_was_used_and_none_of_the_calls(given: dict[str, Any]) -> None:
    """What was on its way counts, since what became of it can't be known any more."""
    lane = lane_of(**given)
    lane.refuse(enter(lane, NOW, 10), NOW, 5.0, hinted=True)
    enter_many(lane, NOW + 5, 3)
    after = lane.successor(NOW + 5)
    now = after.statistics(NOW + 5, "*")
    assert (now.admitted, now.refused, now.in_flight, now.waiting) == (lane.admitted, 1, 0, 0)
    assert now.requests_left == (60 - lane.in_flight if given else None)
    assert after.hold_until == NOW + 5
    assert lane.learner is None


# --- headers ------------------------------------------------------------------------------------


def test_a_header_names_the_limit() -> None:
    lane = lane_of()
    ticket = enter(lane, NOW, tokens=100)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, told(599, 59_900))
    now = lane.statistics(NOW, "*")
    assert (now.requests_per_minute, now.tokens_per_minute) == (600, 60_000)
    assert (now.requests_left, now.tokens_left) == (599, 59_900)
    assert lane.counts_tokens


@pytest.mark.parametrize("kind", ["bucket", "window"])
def test_a_meter_knows_of_the_calls_in_flight_at_its_birth(kind: str) -> None:
    lane = lane_of(kind=kind)
    tickets = []
    for _ in range(20):
        ticket = Ticket(measure=lambda one: setattr(one, "tokens", 100.0))
        assert lane.enter(ticket, NOW)
        tickets.append(ticket)
    lane.answered(tickets[0], NOW + 0.5)
    lane.sync(tickets[0], NOW + 0.5, told(599, 59_900))  # as when the first one came
    now = lane.statistics(NOW + 0.5, "*")
    assert now.requests_left == pytest.approx(580, abs=6)
    assert now.tokens_left == pytest.approx(58_000, abs=600)
    for ticket in tickets[1:]:
        lane.answered(ticket, NOW + 0.5)
    for ticket in tickets:
        lane.settle(ticket, NOW + 0.5, 100)
    after = lane.statistics(NOW + 0.5, "*")
    assert after.requests_left == pytest.approx(now.requests_left)
    assert after.tokens_left == pytest.approx(now.tokens_left)


def test_what_waits_is_measured_when_tokens_begin_to_matter() -> None:
    lane = lane_of()
    tickets = [Ticket(measure=lambda one: setattr(one, "tokens", 6_000.0)) for _ in range(60)]
    for ticket in tickets:
        lane.enter(ticket, NOW)
    went = len(admitted(tickets))
    lane.answered(tickets[0], NOW + 0.5)
    lane.sync(tickets[0], NOW + 0.5, told(599, 54_000))
    lane.admit(NOW + 0.5)
    assert len(admitted(tickets)) == went - 1 > 10  # more than a minute's tokens had gone


def test_answers_tell_of_our_own_calls_whenever_they_are_written() -> None:
    lane = lane_of(requests_per_minute=600)
    together = enter_many(lane, NOW, 300)
    for ticket in together:  # each says what is left when all have come
        lane.answered(ticket, NOW + 0.5)
        lane.sync(ticket, NOW + 0.5, told(300))
    assert lane.statistics(NOW + 0.5, "*").requests_left == 300


def test_a_limit_that_is_told_replaces_the_pace_in_its_dimension() -> None:
    lane = lane_of()
    refused = enter(lane, NOW, tokens=100)
    lane.refuse(refused, NOW)
    assert (lane.statistics(NOW, "*").requests_per_minute or 0) < 200
    probe = enter(lane, NOW + 1, tokens=100)
    lane.answered(probe, NOW + 1)
    lane.sync(probe, NOW + 1, told(590))
    assert lane.statistics(NOW + 1, "*").requests_per_minute == 600
    lane.sync(probe, NOW + 1, Remaining(requests=100, requests_limit=300))
    assert lane.statistics(NOW + 1, "*").requests_per_minute == 300


def test_a_limit_that_was_given_is_kept() -> None:
    lane = lane_of(requests_per_minute=60)
    ticket = enter(lane, NOW)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, told(500))
    assert lane.statistics(NOW, "*").requests_per_minute == 60


def test_what_others_use_is_taken_off_once() -> None:
    lane = lane_of(requests_per_minute=600, tokens_per_minute=60_000)
    first = enter(lane, NOW, tokens=100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(599, 59_900))
    # Ten that go together are all told of the same hundred that somebody else has used.
    together = [enter(lane, NOW, tokens=100) for _ in range(10)]
    for place, ticket in enumerate(together):
        lane.answered(ticket, NOW)
        left = 599 - 100 - (place + 1)
        lane.sync(ticket, NOW, told(left, left * 100))
    now = lane.statistics(NOW, "*")
    assert now.requests_left == pytest.approx(489, abs=12)
    assert now.tokens_left == pytest.approx(48_900, abs=1_200)


def test_a_difference_in_counting_is_none() -> None:
    lane = lane_of(requests_per_minute=600)
    for _ in range(3):
        ticket = enter(lane, NOW)
        lane.answered(ticket, NOW)
        lane.sync(ticket, NOW, told(lane.statistics(NOW, "*").requests_left or 0 - 1))
    assert lane.statistics(NOW, "*").requests_left == 597


def test_a_limit_of_tokens_that_changes() -> None:
    """What the gateway says now is in force now."""
    lane = lane_of()
    ticket = enter(lane, NOW, 100)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, told(None, 59_900))
    lane.sync(ticket, NOW, Remaining(tokens=29_900, tokens_limit=30_000))
    now = lane.statistics(NOW, "*")
    assert (now.tokens_per_minute, now.requests_left) == (30_000, None)


def test_headers_without_a_limit_begin_nothing() -> None:
    """What is left of an unknown limit is no limit."""
    lane = lane_of()
    ticket = enter(lane, NOW)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, Remaining(requests=5, tokens=5))
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left) == (None, None)


def test_headers_of_a_lane_that_learns_nothing() -> None:
    """Take off what others have used, and name no limit."""
    lane = lane_of(requests_per_minute=600, learn=False)
    ticket = enter(lane, NOW)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, told(400, 5_000))
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left) == (400, None)


@pytest.mark.parametrize(("kind", "left"), [("bucket", 597), ("window", 595)])
def test_calls_in_flight_when_a_limit_of_requests_is_told_count_once(
    kind: str, left: float
) -> None:
    """When they are answered, or given back; a window does not refill what may be missing."""
    lane = lane_of(kind=kind)
    first, second, third = enter_many(lane, NOW, 3)
    lane.answered(first, NOW + 1)
    lane.sync(first, NOW + 1, told(597))
    found = [lane.statistics(NOW + 1, "*").requests_left]
    for end in (lane.answered, lane.refund):
        for ticket in (second, third):
            end(ticket, NOW + 1)
            found.append(lane.statistics(NOW + 1, "*").requests_left)
    for ticket in enter_many(lane, NOW + 1, 2):
        lane.answered(ticket, NOW + 1)
    found.append(lane.statistics(NOW + 1, "*").requests_left)
    assert found == [left, left, left, left + 1, left + 2, left]


@pytest.mark.parametrize(
    ("kind", "late", "lefts"),
    [
        ("bucket", False, [59_700, 59_750, 59_700, 59_700]),
        ("bucket", True, [59_700, 59_750, 59_700, 59_700]),
        ("window", False, [59_500, 59_550, 59_500, 59_500]),
        ("window", True, [59_500, 59_550, 59_500, 59_500]),
    ],
)
def test_calls_in_flight_when_a_limit_of_tokens_is_told_count_once(
    kind: str, late: bool, lefts: list[float]
) -> None:
    """With what they really cost, whenever that is charged."""
    lane = lane_of(kind=kind)
    tickets = [
        Ticket(late=late, measure=lambda one: setattr(one, "tokens", 100.0)) for _ in range(3)
    ]
    for ticket in tickets:
        assert lane.enter(ticket, NOW)
    first, second, third = tickets
    lane.answered(first, NOW + 1)
    lane.sync(first, NOW + 1, told(None, 59_700))
    found = [lane.statistics(NOW + 1, "*").tokens_left]
    assert [(one.tokens, one.measure) for one in tickets] == [(100, None)] * 3
    for ticket, cost in ((second, 50), (third, 150), (first, None)):
        lane.settle(ticket, NOW + 1, cost)
        found.append(lane.statistics(NOW + 1, "*").tokens_left)
    assert found == lefts
    assert lane.tokens is not None
    assert lane.tokens.reserved == 0


def test_calls_in_flight_when_a_window_of_tokens_is_told_count_from_their_answer_on() -> None:
    """Those that were answered, from now on."""
    lane = lane_of(kind="window")
    first, second = (enter(lane, NOW, 100) for _ in range(2))
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(None, 59_800))
    lane.answered(second, NOW + 30)
    lefts = [lane.statistics(NOW + second, "*").tokens_left for second in (59, 60, 89, 90)]
    assert lefts == [59_700, 59_900, 59_900, 60_000]


def test_a_call_that_cost_less_counts_as_sent_in_full() -> None:
    """And not more than that, or others would be seen in the next header."""
    lane = lane_of(tokens_per_minute=50, learn=False)
    one, other = (enter(lane, NOW, 10) for _ in range(2))
    for ticket in (one, other):
        lane.answered(ticket, NOW)
    lane.settle(one, NOW, 10)
    lane.sync(other, NOW, Remaining(tokens=28.5, tokens_limit=50))
    assert lane.statistics(NOW, "*").tokens_left == 28.5


def test_only_those_before_it_may_be_in_the_way() -> None:
    """Where all gates are open, and nobody has looked yet."""
    lane = lane_of(concurrency=1, learn=False)
    first, second = enter_many(lane, NOW, 2)
    lane.settle(first, NOW)
    assert lane.waiting(second, NOW) == Waiting(1, 0.0, "queue")


@pytest.mark.parametrize(
    ("since", "late", "left"),
    [(1.0, False, 50_000), (0.05, False, 49_000), (1.0, True, 49_000), (0.2, False, 50_000)],
)
def test_what_a_header_of_tokens_may_not_know_of(since: float, late: bool, left: float) -> None:
    """Calls that came just before, and all that are charged at their end."""
    lane = lane_of(kind="window")
    lane.enter(Ticket(tokens=1_000, late=late), NOW - since)
    second = enter(lane, NOW, 100)
    lane.answered(second, NOW + 0.5)
    lane.sync(second, NOW + 0.5, told(None, 50_000))
    assert lane.statistics(NOW + 0.5, "*").tokens_left == left


def test_headers_of_calls_from_before_a_limit_of_tokens_take_nothing_off() -> None:
    """Nobody looked when they were sent, so that it is not known what is missing in them."""
    lane = lane_of()
    first, second = (enter(lane, NOW, 100) for _ in range(2))
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(None, 50_000))
    before = lane.statistics(NOW, "*").tokens_left
    lane.answered(second, NOW)
    lane.sync(second, NOW, told(None, 1_000))
    assert lane.statistics(NOW, "*").tokens_left == before
    third = enter(lane, NOW, 100)
    lane.answered(third, NOW)
    lane.sync(third, NOW, told(None, 1_000))
    assert lane.statistics(NOW, "*").tokens_left == 1_000


@pytest.mark.parametrize("late", [False, True])
def test_a_call_of_ours_that_grew_is_not_taken_for_somebody_elses(late: bool) -> None:
    """While it goes, or at its end: others that are in flight are told of it."""
    lane = lane_of(tokens_per_minute=60_000, learn=False)
    large, other = Ticket(tokens=100, late=late), Ticket(tokens=100)
    for ticket in (large, other):
        lane.enter(ticket, NOW)
        lane.answered(ticket, NOW)
    lane.true_up(large, 20_000)
    lane.settle(large, NOW, 30_000)
    lane.sync(other, NOW, told(None, 29_900))
    assert lane.statistics(NOW, "*").tokens_left == 29_900
    lane.sync(other, NOW, told(None, 9_900))
    assert lane.statistics(NOW, "*").tokens_left == 9_900


def test_a_lane_without_limits_of_one_kind_hears_nothing_of_it() -> None:
    """A gateway may say how much is left of either."""
    lane = lane_of(tokens_per_minute=60_000)
    ticket = enter(lane, NOW, 100)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, Remaining(requests=5))
    lane.sync(ticket, NOW, Remaining(requests_limit=600))
    lane.sync(ticket, NOW, Remaining(requests=5, requests_limit=0))
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left) == (None, 59_900)


def test_what_a_successor_takes_over() -> None:
    """Limits that were told, what is left of them, what is learned, and a hold."""
    lane = lane_of(concurrency=9)
    first = enter(lane, NOW, 100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(500, 50_000))
    lane.settle(first, NOW)
    enter(lane, NOW, 1_000)
    lane.refuse(enter(lane, NOW, 10), NOW, 3.0, crowded=True, hinted=True)
    before = lane.statistics(NOW, "m", "k")
    after = lane.successor(NOW)
    assert after.statistics(NOW, "m", "k") == attrs.evolve(before, in_flight=0)
    assert after.counts_tokens
    later = enter(after, NOW + 3)
    after.answered(later, NOW + 3)
    after.sync(later, NOW + 3, Remaining(requests=250, requests_limit=300))
    assert after.statistics(NOW + 3, "*").requests_per_minute == 300
    assert lane.statistics(NOW, "m").requests_left is None


@pytest.mark.parametrize("way", ["refuse", "refund", "crowd"])
def test_what_was_not_let_in_is_not_measured(way: str) -> None:
    """From one refusal to the next, the calls that the gateway let in make the pace."""
    lane = lane_of(requests_per_minute=6_000)
    lane.refuse(enter(lane, NOW), NOW, 0.0, hinted=True)
    for number in range(10):
        now = NOW + 0.5 + number / 4
        lane.settle(enter(lane, now), now)
    others = [enter(lane, NOW + 4), enter(lane, NOW + 4.5)]
    assert admitted(others) == others
    if way == "refuse":
        lane.refuse(others[0], NOW + 5, 0.0, hinted=True)
        lane.refund(others[1], NOW + 5)
    else:
        getattr(lane, way)(others[0], NOW + 5)
        lane.refuse(others[1], NOW + 5, 0.0, hinted=True)
    pace = lane.statistics(NOW + 5, "*").requests_per_minute
    assert pace == pytest.approx((10 + (way == "refuse")) / 5 * 0.93 * 60)


def test_where_both_limits_are_as_tight_a_refusal_is_for_the_number_of_requests() -> None:
    lane = lane_of()
    first = enter(lane, NOW, 100)
    lane.answered(first, NOW)
    lane.sync(first, NOW, told(20, 2_000))
    lane.refuse(enter(lane, NOW, 100), NOW)
    now = lane.statistics(NOW, "*")
    assert (now.requests_left, now.tokens_left) == (0, 2_000)
