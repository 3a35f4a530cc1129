"""The order of the waiting: by arrival, between users, between the urgent and the patient."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate._policy.queue import PATIENCE, TURN, Place, Queue


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


@given(st.data())
def test_the_order_of_one_user_is_kept(data: st.DataObject) -> None:
    """Whatever others do, and whoever leaves."""
    queue: Queue[Place] = Queue()
    waiting: list[Place] = []
    served: list[Place] = []
    for _ in range(data.draw(st.integers(1, 60))):
        action = data.draw(st.sampled_from(["join", "join", "serve", "leave"]))
        if action == "join":
            user = data.draw(st.sampled_from([None, "甲", "乙", "丙"]))
            waiting.append(joined(queue, fair_key=user, cost=data.draw(st.floats(0.1, 9))))
        elif waiting and action == "serve":
            served.append(take(queue))
            waiting.remove(served[-1])
        elif waiting:
            gone = data.draw(st.sampled_from(waiting))
            queue.leave(gone)
            queue.leave(gone)  # harmless
            waiting.remove(gone)
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
        joined(queue, bulk=True)
    for _ in range(100):
        joined(queue)
    taken = [take(queue, PATIENCE + 1).bulk for _ in range(100)]
    assert taken.count(True) == 100 // TURN
    assert taken[TURN - 1 :: TURN] == [True] * (100 // TURN)


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
    assert [take(queue) for _ in range(4)] == [places[1], refused, places[2], places[3]]
    queue.rejoin(refused, 0)
    assert take(queue) is refused


def test_a_hundred_thousand_leave() -> None:
    """What is left behind in the heap is tidied up, and users are forgotten."""
    queue: Queue[Place] = Queue()
    places = [joined(queue, fair_key=str(number)) for number in range(100_000)]
    for place in places[1::2]:
        queue.leave(place)
    for _ in range(50_000):
        take(queue)
    assert queue.waiting == 0
    assert queue._interactive._heap == []
    assert queue._interactive._users == {}


def test_users_are_forgotten_while_others_wait() -> None:
    """A queue that is never empty does not remember everybody who ever came."""
    queue: Queue[Place] = Queue()
    for number in range(20_000):
        joined(queue, fair_key=f"u{number}")
        if number >= 10:
            take(queue)
    assert queue.waiting == 10
    assert len(queue._interactive._users) < 5_000


def test_most_of_many_give_up() -> None:
    """Those who are left keep their order, and what is kept of the others is bounded."""
    queue: Queue[Place] = Queue()
    places = [joined(queue) for _ in range(3_000)]
    for place in places[5:]:
        queue.leave(place)
    assert len(queue._interactive._heap) <= 1024 + 2 * 5
    assert list(queue) == places[:5]


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
