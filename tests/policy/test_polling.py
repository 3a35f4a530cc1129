"""When a job is asked after again."""

import pytest

from aiotokengate._policy.polling import FIRST_WAIT, LAST_WAIT, PollPlan


def never() -> float:
    return 0.0


def test_waits_grow_from_one_second_to_fifteen() -> None:
    plan = PollPlan()
    waits = [plan.next_wait(now, None, never) for now in range(100)]
    assert waits == [1, 1.5, 2.25, 3.375, 5.0625, 7.59375, 11.390625, *[15] * 93]
    assert plan.waits == 100


def test_chance_makes_them_shorter_only() -> None:
    plan = PollPlan(waits=50)
    assert plan.next_wait(0, None, lambda: 0.5) == 0.9 * LAST_WAIT
    assert PollPlan(waits=2).next_wait(0, None, lambda: 0.5) == 2.25 * 0.9
    assert PollPlan().next_wait(0, None, lambda: 0.999) == FIRST_WAIT


def test_progress_that_will_soon_be_over_is_asked_after_soon() -> None:
    """Half in 30 s, then 0.9 after 54 s: 6 s are left."""
    plan = PollPlan(waits=50)
    assert plan.next_wait(0, 0.0, never) == LAST_WAIT
    assert plan.next_wait(30, 0.5, never) == LAST_WAIT
    assert plan.next_wait(54, 0.9, never) == pytest.approx(6)


def test_progress_that_stands_still_foretells_nothing() -> None:
    plan = PollPlan(waits=50)
    plan.next_wait(0, 0.0, never)
    assert plan.next_wait(10, 0.99, never) == FIRST_WAIT
    assert plan.next_wait(20, 0.99, never) == LAST_WAIT


def test_what_was_foretold_holds_while_a_percentage_stands_still() -> None:
    """99 % at 297 s, and still at 299.5 s: the end is near, and not 15 s away."""
    plan = PollPlan(waits=50)
    plan.next_wait(0, 0.0, never)
    assert plan.next_wait(297, 0.99, never) == pytest.approx(3)
    assert plan.next_wait(298, 0.99, never) == pytest.approx(2)
    assert plan.next_wait(299.5, 0.99, never) == FIRST_WAIT
    assert plan.next_wait(300.5, 0.99, never) == LAST_WAIT


def test_what_was_foretold_is_over_when_its_time_has_come() -> None:
    """Half in 10 s foretells 20 s: until then it is waited for, and from then on it is not."""
    plan = PollPlan(waits=50)
    plan.next_wait(0, 0.0, never)
    assert plan.next_wait(10, 0.5, never) == 10
    assert plan.next_wait(18, 0.5, never) == 2
    assert plan.next_wait(20, 0.5, never) == LAST_WAIT


def test_what_moves_in_no_time_foretells_nothing() -> None:
    """Nor does a job that says nothing in between lose what it has said."""
    plan = PollPlan(waits=50)
    assert plan.next_wait(5, 0.0, never) == LAST_WAIT
    assert plan.next_wait(5, 0.9, never) == LAST_WAIT
    assert plan.next_wait(6, None, never) == LAST_WAIT
    assert plan.next_wait(7, 0.5, never) == 2
    assert plan.next_wait(9, 1.0, never) == FIRST_WAIT


def test_a_job_of_days_is_asked_after_as_often_as_one_of_hours() -> None:
    assert PollPlan(waits=10_000).next_wait(0, None, never) == 15


def test_a_job_found_half_done_is_judged_by_what_was_seen() -> None:
    plan = PollPlan(waits=50)
    assert plan.next_wait(1_000, 0.9, never) == LAST_WAIT
    assert plan.next_wait(1_010, 0.95, never) == pytest.approx(10)


def test_progress_that_goes_back_foretells_nothing() -> None:
    plan = PollPlan(waits=50)
    plan.next_wait(0, 0.5, never)
    assert plan.next_wait(10, 0.4, never) == LAST_WAIT
