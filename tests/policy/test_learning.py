"""What a lane learns from refusals, from full houses and from headers."""

from __future__ import annotations

import pytest

from aiotokengate.policy.lanes import Lane, Ticket
from aiotokengate.policy.limits import Limits
from aiotokengate.wire.headers import Remaining

NOW = 1000.0


def lane_of(**given: float) -> Lane:
    return Lane(Limits(**given), NOW, lambda: 0.0)  # type: ignore[arg-type]


def enter(lane: Lane, now: float, tokens: float = 0.0) -> Ticket:
    ticket = Ticket(tokens=tokens)
    lane.enter(ticket, now)
    return ticket


def enter_many(lane: Lane, now: float, count: int) -> list[Ticket]:
    return [enter(lane, now) for _ in range(count)]


def admitted(tickets: list[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if ticket.stage == "admitted"]


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
    _, at = lane.admit(NOW + 1.1)
    lane.admit(at)
    assert len(admitted(others)) == 1


def test_a_refusal_inside_an_answer_counts_as_one() -> None:
    # A gateway may answer 200 and refuse in the first event.
    lane = lane_of(requests_per_minute=60)
    ticket = enter(lane, NOW)
    lane.answered(ticket, NOW)
    lane.refuse(ticket, NOW)
    now = lane.statistics(NOW, "*")
    assert (now.refused, now.in_flight, now.requests_left) == (1, 0, 60)


# --- a full house -------------------------------------------------------------------------------


def test_no_room_bounds_the_number_in_flight_and_then_gives_more() -> None:
    lane = lane_of(requests_per_minute=1e6)
    tickets = enter_many(lane, NOW, 40)
    lane.crowd(tickets[0], NOW)
    assert lane.statistics(NOW, "*").concurrency == 39
    assert lane.refused == 0
    waiting = enter(lane, NOW)
    assert waiting.stage == "waiting"
    # Room that is used grows by itself; half a minute of use brings it back and beyond.
    for second in range(1, 40):
        lane.admit(NOW + second)
    assert admitted([waiting]) == [waiting]
    assert 40 <= (lane.statistics(NOW, "*").concurrency or 0) <= 45


def test_a_refusal_for_the_number_in_flight_leaves_the_pace() -> None:
    lane = lane_of(requests_per_minute=6000)
    tickets = enter_many(lane, NOW, 10)
    lane.refuse(tickets[-1], NOW, crowded=True)
    now = lane.statistics(NOW, "*")
    assert (now.concurrency, now.requests_per_minute, now.hold) == (9, 6000, 1)


# --- headers ------------------------------------------------------------------------------------


def told(requests: float, tokens: float | None = None) -> Remaining:
    return Remaining(
        requests=requests,
        requests_limit=600,
        tokens=tokens,
        tokens_limit=None if tokens is None else 60_000,
    )


def test_a_header_names_the_limit() -> None:
    lane = lane_of()
    ticket = enter(lane, NOW, tokens=100)
    lane.answered(ticket, NOW)
    lane.sync(ticket, NOW, told(599, 59_900))
    now = lane.statistics(NOW, "*")
    assert (now.requests_per_minute, now.tokens_per_minute) == (600, 60_000)
    assert (now.requests_left, now.tokens_left) == (599, 59_900)
    assert lane.counts_tokens


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
