"""The order of the waiting: by arrival, between users, between the urgent and the patient."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.queue import Place, Queue

SLOW = (("甲", 1e-4), ("甲", 1e-4), ("乙", 1e-4), ("丙", 1.0))
"""Users in the order of their calls, and their weights."""


def take(queue: Queue[Place], now: float = 0.0) -> Place:
    """Serve the next one."""
    head = queue.head(now)
    assert head is not None
    queue.pop(head, now)
    return head


def joined(queue: Queue[Place], now: float = 0.0, **place: object) -> Place:
    """Let somebody wait."""
    one = Place(**place)  # type: ignore[arg-type]
    queue.join(one, now)
    return one


@given(st.lists(st.floats(0.001, 100), max_size=30))
def test_without_users_the_order_is_that_of_arrival(costs: list[float]) -> None:
    """However large or small: nobody slips past."""
    queue: Queue[Place] = Queue()
    places = [joined(queue, cost=cost) for cost in costs]
    assert [take(queue) for _ in places] == places
    assert queue.head(0) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([None, "甲", "乙", "丙"]), st.floats(0.1, 9))
        | st.integers(-1, 20),
        max_size=40,
    )
)
def test_the_order_of_one_user_is_kept(events: list[tuple[str | None, float] | int]) -> None:
    """Whatever others do, and whoever leaves; a number says who, and -1 that one is served."""
    queue: Queue[Place] = Queue()
    waiting: list[Place] = []
    served: list[Place] = []
    for event in events:
        if isinstance(event, tuple):
            waiting.append(joined(queue, fair_key=event[0], cost=event[1]))
        elif waiting and event < 0:
            served.append(take(queue))
            waiting.remove(served[-1])
        elif waiting:
            gone = waiting.pop(event % len(waiting))
            queue.leave(gone)
            queue.leave(gone)  # harmless
        assert queue.waiting == len(waiting)
        assert set(map(id, queue)) == set(map(id, waiting))
    for user in {place.fair_key for place in served}:
        numbers = [place.number for place in served if place.fair_key == user]
        assert numbers == sorted(numbers)


def test_users_take_turns() -> None:
    """One who comes later with a single call does not wait behind the backlog of another."""
    queue: Queue[Place] = Queue()
    many = [joined(queue, fair_key="甲") for _ in range(20)]
    assert [take(queue), take(queue)] == many[:2]
    one = joined(queue, fair_key="乙")
    assert one in [take(queue), take(queue)]


@pytest.mark.parametrize("weight", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("cost", [1.0, 4.0])
def test_shares_follow_the_weights(weight: float, cost: float) -> None:
    """While both wait, what two users have had differs from their shares by one call at most."""
    queue: Queue[Place] = Queue()
    for _ in range(400):
        joined(queue, fair_key="甲", weight=weight, cost=cost)
        joined(queue, fair_key="乙", cost=1.0)
    had: Counter[str | None] = Counter()
    for _ in range(200):
        place = take(queue)
        had[place.fair_key] += place.cost  # type: ignore[assignment]
        assert abs(had["甲"] / weight - had["乙"]) <= cost / weight + 1.0


def test_a_second_call_is_not_passed_by_for_ever() -> None:
    """Users who keep coming anew do not starve one who came twice."""
    queue: Queue[Place] = Queue()
    joined(queue, fair_key="甲")
    second = joined(queue, fair_key="甲")
    for number in range(50):
        joined(queue, fair_key=f"新{number}")
        joined(queue, fair_key=f"新{number}'")
        if take(queue) is second:
            return
    raise AssertionError


def test_the_urgent_go_first() -> None:
    """Bulk waits while nobody's patience is at its end."""
    queue: Queue[Place] = Queue()
    bulk = joined(queue, bulk=True)
    urgent = [joined(queue) for _ in range(5)]
    assert [take(queue) for _ in range(6)] == [*urgent, bulk]


def test_bulk_gets_on() -> None:
    """After its patience every tenth place is bulk's, however busy the others are."""
    queue: Queue[Place] = Queue()
    for _ in range(10):
        joined(queue, 7.0, bulk=True)
    for _ in range(100):
        joined(queue, 7.0)
    assert not any(take(queue, 36.9).bulk for _ in range(15))
    taken = [take(queue, 37.0).bulk for _ in range(60)]
    assert taken == ([False] * 9 + [True]) * 6


def test_bulk_that_goes_begins_to_count_anew() -> None:
    """Also one that went because nobody else waited; and none is counted while it is patient."""
    queue: Queue[Place] = Queue()
    for arrived in (0.0, 0.0, 25.0):
        joined(queue, arrived, bulk=True)
    urgent = [joined(queue) for _ in range(5)]
    assert [take(queue, 40.0) for _ in range(5)] == urgent
    assert take(queue, 40.0).bulk
    for _ in range(30):
        joined(queue)
    assert [take(queue, 40.0).bulk for _ in range(10)] == [False] * 9 + [True]
    assert not any(take(queue, 54.9).bulk for _ in range(10))
    assert [take(queue, 55.0).bulk for _ in range(10)] == [False] * 9 + [True]


def test_patience_is_not_needed_where_nobody_else_waits() -> None:
    """Bulk alone goes at once."""
    queue: Queue[Place] = Queue()
    places = [joined(queue, bulk=True) for _ in range(3)]
    assert [take(queue) for _ in range(3)] == places


def test_again_after_a_refusal() -> None:
    """Behind the head, before all others: calls take turns to go ahead."""
    queue: Queue[Place] = Queue()
    places = [joined(queue) for _ in range(4)]
    refused = take(queue)
    queue.rejoin(refused, 0)
    assert queue.waiting == 4
    assert [take(queue) for _ in range(4)] == [places[1], refused, places[2], places[3]]
    queue.rejoin(refused, 0)
    assert take(queue) is refused


def test_a_refused_call_goes_on_with_its_user() -> None:
    """It keeps its weight, and the calls of its user that come later come after it."""
    queue: Queue[Place] = Queue()
    first = joined(queue, fair_key="甲", cost=4.0)
    assert take(queue) is first
    queue.rejoin(first, 0)
    other = joined(queue, fair_key="乙", cost=1.0)
    assert (first.start, other.start) == (0.0, 0.0)
    assert [take(queue), take(queue)] == [first, other]


def test_where_calls_begin() -> None:
    """In served cost: where its user's last one ends, and not before what is served."""
    queue: Queue[Place] = Queue()
    one, two = (joined(queue, fair_key="甲", cost=6.0, weight=2.0) for _ in range(2))
    other = joined(queue, fair_key="乙", cost=2.0)
    assert [(place.start, place.number) for place in (one, two, other)] == [(0, 1), (3, 2), (0, 3)]
    assert take(queue) is one  # 6 of a weight of 3
    late = joined(queue, fair_key="丙", cost=8.0)
    assert late.start == 2
    assert take(queue) is other  # nothing before 2 is served any more
    later = joined(queue, fair_key="丁")
    assert later.start == pytest.approx(2 + 2 / 4)
    assert [take(queue) for _ in range(3)] == [late, later, two]
    assert joined(queue, 5.0, fair_key="丙").start == 0.0  # all is forgotten


def test_both_classes_are_seen_in_their_order() -> None:
    """Whoever has left is not, and those who wait are counted."""
    queue: Queue[Place] = Queue()
    bulk = [joined(queue, 1.0, bulk=True) for _ in range(3)]
    urgent = [joined(queue, 2.0) for _ in range(3)]
    queue.leave(urgent[1])
    queue.leave(bulk[0])
    assert list(queue) == [urgent[0], urgent[2], *bulk[1:]]
    assert (queue.waiting, urgent[1].queued, urgent[2].queued) == (4, False, True)
    assert (bulk[0].arrived, urgent[0].arrived) == (1.0, 2.0)


def test_many_leave() -> None:
    """What is left behind is tidied up, and users are forgotten."""
    queue: Queue[Place] = Queue()
    places = [joined(queue, fair_key=str(number)) for number in range(3_000)]
    for place in places[1::2]:
        queue.leave(place)
    assert [take(queue) for _ in range(1_500)] == places[::2]
    assert queue.waiting == 0
    assert queue._interactive._heap == []
    assert queue._interactive._users == {}


def test_who_had_much_is_remembered_among_many() -> None:
    """Users that are even with all others are forgotten, and nobody else."""
    queue: Queue[Place] = Queue()
    first, _, greedy, _ = (joined(queue, fair_key=user, weight=weight) for user, weight in SLOW)
    assert [take(queue), take(queue)] == [first, greedy]
    take(queue)
    most = 0
    for number in range(5_000):
        joined(queue, fair_key=f"u{number}")
        take(queue)
        most = max(most, len(queue._interactive._users))
    assert 1_024 <= most < 1_100
    again, new = joined(queue, fair_key="乙"), joined(queue, fair_key="新")
    assert again.start >= 10_000 > new.start
    assert take(queue) is new


def test_most_of_many_give_up() -> None:
    """Those who are left keep their order, and what is kept of the others is bounded."""
    queue: Queue[Place] = Queue()
    places = [joined(queue) for _ in range(3_000)]
    for place in places[5:]:
        queue.leave(place)
    assert len(queue._interactive._heap) <= 1024 + 2 * 5
    assert list(queue) == places[:5]


def test_who_goes_ahead_is_looked_for_among_the_first() -> None:
    """Sixty-four of each class: a long queue costs no more than a short one."""
    for number, found in ((63, True), (64, False)):
        queue: Queue[Place] = Queue()
        places = [joined(queue, refusals=1) for _ in range(70)]
        places[number].refusals = 0
        assert (queue.least_refused() is places[number]) is found
        assert queue.least_refused() is places[number if found else 0]


def test_who_was_refused_least_often() -> None:
    """They take turns: the urgent before the bulk, and the first of equals."""
    queue: Queue[Place] = Queue()
    bulk = joined(queue, bulk=True)
    often, first, second = (joined(queue, refusals=n) for n in (2, 1, 1))
    assert queue.least_refused() is bulk
    queue.leave(bulk)
    assert queue.least_refused() is first
    queue.leave(first)
    assert queue.least_refused() is second
    queue.leave(second)
    assert queue.least_refused() is often
