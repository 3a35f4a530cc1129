"""The lanes of this process: who goes, who waits, and one timer that looks when a gate opens."""

from typing import Any

import pytest

from aiotokengate import Limits
from aiotokengate._policy.lanes import Ticket
from aiotokengate._pool.backend import LocalBackend, LocalLane
from aiotokengate._wire.headers import remaining
from aiotokengate.testing import VirtualClock

ONE = Limits(concurrency=1, learn=False)


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
def backend(clock: VirtualClock) -> LocalBackend:
    """Return a backend whose chance is none."""
    return LocalBackend(clock, lambda: 0.5)


def ticket(woken: list[str], name: str, tokens: float = 0.0) -> Ticket:
    """Return a ticket that says when it is let in."""
    made = Ticket()
    made.tokens = tokens
    made.wake = lambda: woken.append(name)
    return made


def full(backend: LocalBackend, limits: Limits = ONE) -> tuple[LocalLane, Ticket, Ticket]:
    """Return a lane, the call that has its place, and the one that waits for it."""
    lane = backend.lane("qwen*", "", limits)
    first, second = ticket([], "first"), Ticket()
    assert lane.enter(first)
    assert not lane.enter(second)
    return lane, first, second


@pytest.mark.parametrize("way", ["settle", "refund", "refuse", "crowd"])
async def test_whoever_ends_lets_the_next_one_in(
    backend: LocalBackend, clock: VirtualClock, way: str
) -> None:
    """However a call ends, the one behind it is woken, at once or when the hold is over."""
    lane, first, second = full(backend)
    woken: list[str] = []
    second.wake = lambda: woken.append("second")
    assert (lane.queued(), lane.waiting(second).because) == (1, "concurrency")
    match way:
        case "settle":
            lane.settle(first)
        case "refund":
            lane.refund(first)
        case "refuse":
            assert lane.refuse(first, 2.0, crowded=False, hinted=True) == pytest.approx(2)
        case "crowd":
            lane.crowd(first)
    await clock.run_for(3)
    assert woken == ["second"]
    assert (lane.queued(), lane.statistics().in_flight) == (0, 1)


@pytest.mark.parametrize("way", ["settle", "refund", "refuse", "crowd"])
async def test_the_last_one_leaves_no_timer(
    backend: LocalBackend, clock: VirtualClock, way: str
) -> None:
    """Where nobody waits, nothing is looked at."""
    lane, only = backend.lane("m", "", ONE), Ticket()
    assert lane.enter(only)
    match way:
        case "refuse":
            lane.refuse(only, None, crowded=False)
        case _:
            getattr(lane, way)(only)
    assert (lane.statistics().in_flight, clock.pending) == (0, 0)


async def test_whoever_gives_up_is_not_woken(backend: LocalBackend) -> None:
    """Its turn is the next one's."""
    lane, first, second = full(backend)
    third, woken = Ticket(), list[str]()
    second.wake = lambda: woken.append("second")
    third.wake = lambda: woken.append("third")
    assert not lane.enter(third)
    lane.leave(second)
    assert woken == []
    lane.settle(first)
    assert woken == ["third"]


async def test_the_last_that_gives_up(backend: LocalBackend, clock: VirtualClock) -> None:
    """An empty queue is one."""
    lane, _, second = full(backend)
    lane.leave(second)
    assert (lane.queued(), clock.pending) == (0, 0)


async def test_a_gate_opens_with_time(backend: LocalBackend, clock: VirtualClock) -> None:
    """One timer rings when there is room; it is none that rings in vain."""
    lane = backend.lane("m", "", Limits(requests_per_minute=1, learn=False))
    first, second = ticket([], "first"), ticket([], "second")
    woken: list[str] = []
    second.wake = lambda: woken.append("second")
    assert lane.enter(first)
    lane.answered(first)
    lane.settle(first)
    assert not lane.enter(second)
    assert clock.pending == 1
    await clock.run_for(30)
    assert woken == []
    await clock.run_for(31)
    assert woken == ["second"]


async def test_a_timer_that_rings_for_nobody(backend: LocalBackend, clock: VirtualClock) -> None:
    """Whoever waited has left meanwhile."""
    lane = backend.lane("m", "", Limits(requests_per_minute=1, learn=False))
    first, second = Ticket(), Ticket()
    assert lane.enter(first)
    lane.answered(first)
    assert not lane.enter(second)
    assert clock.pending == 1
    lane.leave(second)
    await clock.run_for(61)
    assert (lane.queued(), clock.pending) == (0, 0)


async def test_what_an_answer_says_is_left_is_believed(backend: LocalBackend) -> None:
    """The gateway knows of calls of others."""
    lane, first, second = full(backend, Limits(concurrency=1, requests_per_minute=100))
    told = remaining({"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "3"})
    assert told is not None
    lane.answered(first, told)
    left = lane.statistics().requests_left
    assert left is not None
    assert left <= 3
    assert second.stage == "waiting"


async def test_tokens_that_were_not_expected(backend: LocalBackend) -> None:
    """A call that grows takes more of the minute, while it goes and at its end."""
    lane = backend.lane("m", "", Limits(tokens_per_minute=600, learn=False))
    call = ticket([], "call", tokens=100)
    call.late = True  # charged by usage
    assert lane.counts_tokens
    assert lane.enter(call)
    lane.true_up(call, 300)
    assert lane.statistics().tokens_left == pytest.approx(300)
    lane.settle(call, 400)
    assert lane.statistics().tokens_left == pytest.approx(200)
    assert lane.wait(ticket([], "next", tokens=260)) == pytest.approx(6)


async def test_who_is_in_the_way(backend: LocalBackend) -> None:
    """One place, one call in it: that one has to end."""
    lane, _, _ = full(backend)
    assert lane.blocked_by(Ticket()) == 1


async def test_a_successor_knows_what_was_used_and_none_of_the_calls(
    backend: LocalBackend,
) -> None:
    """Their loop is gone; the gateway has counted them all the same."""
    lane = backend.lane("m", "k", Limits(requests_per_minute=10, concurrency=1, learn=False))
    call = Ticket()
    assert lane.enter(call)
    lane.answered(call)
    before, after = lane.statistics(), lane.successor().statistics()
    assert (before.in_flight, after.in_flight) == (1, 0)
    assert (after.pattern, after.key) == ("m", "k")
    assert after.requests_left == before.requests_left


async def test_a_backend_that_is_closed_has_no_timers(
    backend: LocalBackend, clock: VirtualClock
) -> None:
    """Nothing holds a loop that wants to end."""
    lane, first = backend.lane("m", "", Limits(requests_per_minute=1, learn=False)), Ticket()
    assert lane.enter(first)
    lane.answered(first)
    assert not lane.enter(Ticket())
    assert clock.pending == 1
    backend.close()
    assert clock.pending == 0
    lane.stop()


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({}, [1.125, 3.375, 10.125]),
        ({"final": True}, [1.125, 2.25, 2.25]),
        ({"retry_after": 2.0, "hinted": True}, [2, 2, 2]),
    ],
)
async def test_for_how_long_a_lane_holds(
    backend: LocalBackend, clock: VirtualClock, options: dict[str, Any], holds: list[float]
) -> None:
    """As its backend's chance will have it; and not at all where nothing is learned."""
    lane = backend.lane("m", "", Limits())
    dull = backend.lane("m", "", Limits(learn=False))
    found = []
    for _ in holds:
        call, other = Ticket(), Ticket()
        assert lane.enter(call)
        assert dull.enter(other)
        found.append(lane.refuse(call, **{"retry_after": None, "crowded": False, **options}))
        assert dull.refuse(other, None, crowded=False) == 0
        assert lane.statistics().hold == found[-1]
        await clock.run_for(found[-1])
    assert found == holds
    assert lane.statistics().concurrency is None


async def test_a_refusal_for_the_number_in_flight(backend: LocalBackend) -> None:
    lane = backend.lane("m", "", Limits())
    calls = [Ticket() for _ in range(3)]
    assert all(map(lane.enter, calls))
    lane.refuse(calls[0], None, crowded=True)
    assert lane.statistics().concurrency == 2


async def test_the_timer_is_set_for_what_comes_first(
    backend: LocalBackend, clock: VirtualClock
) -> None:
    """One that is later stays; one that is sooner takes its place."""
    lane = backend.lane("m", "", Limits(tokens_per_minute=60, learn=False))
    first = ticket([], "first", 60)
    assert lane.enter(first)
    large, small = ticket([], "large", 30), ticket([], "small", 10)
    assert not lane.enter(large)
    lane.settle(Ticket())
    assert clock.pending == 0  # the call in flight has to end
    lane.answered(first)
    assert clock.pending == 1  # from now on, time lets them in
    assert not lane.enter(small)
    assert clock.pending == 1
    await clock.run_for(5)
    lane.leave(large)
    assert (small.stage, clock.pending) == ("waiting", 1)
    await clock.run_for(4.9)
    assert small.stage == "waiting"
    await clock.run_for(0.1)
    assert (small.stage, clock.pending) == ("admitted", 0)
    await clock.run_for(60)
    assert lane.statistics().in_flight == 2
