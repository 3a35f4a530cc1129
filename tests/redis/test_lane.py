"""A lane that several share through a real Redis, and its share of the limits without it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.holding import Hold
from aiotokengate._pool.pool import Pool
from aiotokengate._redis.lane import RedisLane
from aiotokengate.errors import CallerError, QueueFull, TimedOut
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.testing import VirtualClock
from tests.support.redis_pools import (
    MODEL,
    SHORT,
    Held,
    Open,
    hold,
    lane_of,
    one_call,
    until,
    until_lane,
)
from tests.support.redis_server import RedisServer, free_port


async def test_two_processes_share_the_number_in_flight(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    limits = Limits(concurrency=3)
    one, other = open_pool(limits), open_pool(limits)
    held = [await hold(pool) for pool in (one, other, one)]
    fourth = Held(other.slot(MODEL))
    await until_lane(shared.url, prefix, in_flight=3, waiting=1)
    assert not fourth.going.is_set()
    await held[0].end()
    await fourth.going.wait()
    for each in (*held[1:], fourth):
        await each.end()
    await until_lane(shared.url, prefix, in_flight=0, waiting=0, admitted=4)


async def test_the_order_is_that_of_arrival_whoever_asks(open_pool: Open) -> None:
    limits = Limits(concurrency=1)
    pools = [open_pool(limits) for _ in range(3)]
    first = await hold(pools[0])
    order: list[int] = []

    async def call(number: int) -> None:
        async with pools[number % 3].slot(MODEL):
            order.append(number)

    calls = []
    for number in range(9):
        calls.append(asyncio.create_task(call(number)))
        lane = pools[number % 3].lane(MODEL)
        await until(lambda lane=lane, number=number: lane.statistics().waiting == number + 1)  # type: ignore[misc]
    await first.end()
    await asyncio.gather(*calls)
    assert order == list(range(9))


async def test_users_take_turns_across_processes(open_pool: Open) -> None:
    limits = Limits(concurrency=1)
    busy, calm = open_pool(limits), open_pool(limits)
    first = await hold(busy)
    order: list[str] = []

    async def call(pool: Pool, user: str) -> None:
        async with pool.slot(MODEL, fair_key=user):
            order.append(user)

    many = [asyncio.create_task(call(busy, "小明")) for _ in range(6)]
    await until(lambda: busy.lane(MODEL).statistics().waiting == 6)
    late = [asyncio.create_task(call(calm, "小红 🧧")) for _ in range(2)]
    await until(lambda: calm.lane(MODEL).statistics().waiting == 8)
    await first.end()
    await asyncio.gather(*many, *late)
    assert order.index("小红 🧧") <= 1
    assert order[:4].count("小红 🧧") == 2


async def test_a_refusal_holds_all_processes(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    limits = Limits(requests_per_minute=100)
    one, other = open_pool(limits), open_pool(limits)
    async with one.slot(MODEL) as slot:
        assert slot.refuse(retry_after=500) >= 500
    await until_lane(shared.url, prefix, refused=1)
    held = Held(other.slot(MODEL, deadline=1000))
    await until(lambda: other.lane(MODEL).statistics().waiting == 1)
    waiting = held.slot.waiting
    assert waiting is not None
    assert waiting.because == "hold"
    assert waiting.eta == pytest.approx(500, rel=0.1)
    held.task.cancel()
    await asyncio.wait([held.task])


async def test_a_deadline_and_a_full_queue_give_the_place_up(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    limits = Limits(concurrency=1)
    pool = open_pool(limits)
    first = await hold(pool)
    with pytest.raises(TimedOut):
        await one_call(pool, deadline=0.05)
    await until_lane(shared.url, prefix, in_flight=1, waiting=0)
    await first.end()


async def test_more_than_may_wait_are_refused(shared: RedisServer, prefix: str) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    pool = Pool(Limits(concurrency=1), backend=backend, max_waiting=1)
    first = await hold(pool)
    second = Held(pool.slot(MODEL))
    await until(lambda: pool.lane(MODEL).statistics().waiting == 1)
    with pytest.raises(QueueFull):
        await one_call(pool)
    await first.end()
    await second.going.wait()
    await second.end()
    await backend.aclose()


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_cancelled_wherever_it_stands_a_call_leaves_nothing(
    open_pool: Open, shared: RedisServer, prefix: str, turns: int
) -> None:
    limits = Limits(concurrency=1, tokens_per_minute=1000)
    one, other = open_pool(limits), open_pool(limits)
    first = await hold(one)
    second = asyncio.create_task(one_call(other, tokens=10))
    for turn in range(turns):
        if turn == turns // 2:
            first.leave.set()
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    await first.end()
    await one_call(other, tokens=10)
    await until_lane(shared.url, prefix, in_flight=0, waiting=0)


async def test_what_is_left_at_the_end_is_idle_and_vanishes(
    shared: RedisServer, prefix: str
) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    pool = Pool(Limits(concurrency=2, requests_per_minute=100), backend=backend)
    await asyncio.gather(*(one_call(pool, fair_key=f"用户{n % 3}") for n in range(20)))
    await backend.aclose()
    async with Redis.from_url(shared.url, protocol=2) as client:
        keys = await client.keys(f"{prefix}:*")
        assert keys == [f"{prefix}:{{*|}}:state".encode()]
        assert 0 < await client.ttl(keys[0]) <= 11 * 60


async def test_round_trips_are_few(open_pool: Open) -> None:
    pool = open_pool(Limits(requests_per_minute=1000, tokens_per_minute=10**6))
    backend = pool._backend
    assert isinstance(backend, RedisBackend)
    for _ in range(20):
        await one_call(pool, tokens=100)
    assert backend.round_trips - backend.renewals <= 40


async def test_users_names_stay_here(open_pool: Open, shared: RedisServer, prefix: str) -> None:
    pool = open_pool(Limits(concurrency=1))
    first = await hold(pool)
    second = Held(pool.slot(MODEL, fair_key="wang@example.com"))
    await until_lane(shared.url, prefix, waiting=1)
    async with Redis.from_url(shared.url, protocol=2) as client:
        for key in await client.keys(f"{prefix}:*"):
            assert b"wang" not in (await client.dump(key) or b"")
    await first.end()
    await second.going.wait()
    await second.end()


async def test_another_layout_is_an_error_that_names_both(
    open_pool: Open, shared: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = open_pool(Limits(concurrency=2))
    async with Redis.from_url(shared.url, protocol=2) as client:
        await client.set(f"{prefix}:{{*|}}:state", b"what somebody else keeps")
        with pytest.raises(CallerError, match=r"expected layout 1 .* found something else"):
            await one_call(pool)
        await one_call(open_pool(Limits(concurrency=2), share=1.0))
        with pytest.raises(CallerError, match=r"expected layout 1 .* found something else"):
            await one_call(pool)
        with pytest.raises(CallerError, match=r"expected layout 1 .* found something else"):
            await statistics(shared.url, prefix=prefix)
        # As cmsgpack writes {"layout": "0"}.
        await client.set(f"{prefix}:{{*|}}:state", b"\x81\xa6layout\xa10")
        with pytest.raises(CallerError, match=r"expected layout 1 .* found 0"):
            await statistics(shared.url, prefix=prefix)
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


async def test_a_lane_that_is_new_while_redis_is_away(server: RedisServer, prefix: str) -> None:
    """It has the share of one of so many processes as the other lanes were found to have."""
    limits = {"glm*": Limits(concurrency=8), "*": Limits(concurrency=8)}
    backends = [RedisBackend(server.url, prefix=prefix) for _ in range(2)]
    pools = [Pool(limits, backend=backend) for backend in backends]
    for pool in (*pools, *pools):
        await one_call(pool)
    server.kill()
    held = [await hold(pools[0], model="glm-5") for _ in range(4)]
    fifth = Held(pools[0].slot("glm-5"))
    await until(lambda: pools[0].statistics().waiting == 1)
    for each in (*held, fifth):
        await each.end()
    for backend in backends:
        await backend.aclose()


async def test_a_nested_call_is_told_here_too(open_pool: Open) -> None:
    """Where all places of all processes are held by the task itself."""
    pool = open_pool(Limits(concurrency=1))
    lane = pool.lane(MODEL)
    ticket = Ticket()
    ticket.wake = (woken := asyncio.Event()).set
    lane.enter(ticket)
    await woken.wait()
    hold_of_it = Hold(pool.holds, lane, stream=True)
    hold_of_it.touch()
    with pytest.raises(CallerError, match="would wait for itself"):
        await one_call(pool)
    hold_of_it.release()
    lane.settle(ticket)


async def within_a_second(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    await until(is_so)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("limits", [Limits(concurrency=9), Limits(tokens_per_minute=9_000)])
async def test_what_one_pool_does_is_soon_in_the_others_statistics(
    open_pool: Open, limits: Limits
) -> None:
    """Though that one is idle, and also where nobody waits for what comes free."""
    busy, idle = open_pool(limits), open_pool(limits)
    for pool in (busy, idle):
        await one_call(pool, tokens=1)
    held = [await hold(busy, tokens=100) for _ in range(4)]
    await within_a_second(lambda: idle.statistics().in_flight == 4)
    for each in held:
        await each.end()
    await within_a_second(lambda: idle.statistics().in_flight == 0)


async def test_a_restart_without_data_loses_no_call(server: RedisServer, prefix: str) -> None:
    limits = Limits(concurrency=4)
    backends = [RedisBackend(server.url, prefix=prefix, lease=SHORT) for _ in range(2)]
    pools = [Pool(limits, backend=backend) for backend in backends]
    held = [await hold(pools[number % 2]) for number in range(4)]
    waiting = [Held(pools[number % 2].slot(MODEL)) for number in range(4)]
    await until_lane(server.url, prefix, in_flight=4, waiting=4)
    server.kill()
    ended = asyncio.create_task(held[0].end())
    await ended
    server.start()
    await until_lane(server.url, prefix, in_flight=4, waiting=3)
    for each in (*held[1:], *waiting):
        each.leave.set()
    await asyncio.gather(*(each.task for each in (*held, *waiting)))
    await until_lane(server.url, prefix, in_flight=0, waiting=0)
    for backend in backends:
        await backend.aclose()


async def test_what_was_used_without_redis_counts_afterwards(
    server: RedisServer, prefix: str
) -> None:
    backend = RedisBackend(server.url, prefix=prefix, lease=SHORT, share=1.0)
    server.kill()
    pool = Pool(Limits(tokens_per_minute=1000), backend=backend)
    await one_call(pool, tokens=300)
    await one_call(pool, tokens=400)
    server.start()
    await until_lane(server.url, prefix, admitted=2)
    left = (await lane_of(server.url, prefix)).tokens_left
    assert left is not None
    assert left < 400
    await backend.aclose()


async def test_a_share_does_all_that_a_lane_does(prefix: str) -> None:
    nowhere = RedisServer()
    backend = RedisBackend(nowhere.url, prefix=prefix, share=1.0)
    limits = Limits(concurrency=2, tokens_per_minute=60_000, charge="usage", learn=False)
    pool = Pool(limits, backend=backend)
    lane = pool.lane(MODEL)
    async with pool.slot(MODEL, tokens=59_000) as slot:
        slot.answered()
        slot.true_up(60_000)
        assert lane.statistics().tokens_left == pytest.approx(0, abs=100)
        assert lane.wait(Ticket(tokens=600)) == pytest.approx(0.6, abs=0.3)
    # What is refilled in a moment is waited for.
    await one_call(pool, tokens=20)
    async with pool.slot(MODEL, tokens=1) as slot:
        slot.refund()
    async with pool.slot(MODEL, tokens=1) as slot:
        assert slot.refuse(retry_after=0.05) == pytest.approx(0.05, abs=0.05)
    held = [await hold(pool, tokens=1), await hold(pool, tokens=1)]
    third = Held(pool.slot(MODEL, tokens=1))
    await until(lambda: lane.queued() == 1)
    waiting = third.slot.waiting
    assert waiting is not None
    assert waiting.position == 1
    third.task.cancel()
    await asyncio.wait([third.task])
    for each in held:
        await each.end()
    found = pool.statistics()
    assert (found.waiting, found.in_flight, found.refused) == (0, 0, 1)
    await backend.aclose()
    nowhere.__exit__()


async def test_what_changes_while_redis_is_asked_again_is_told(
    server: RedisServer, prefix: str
) -> None:
    server.pause()
    backend = RedisBackend(server.url, prefix=prefix, timeout=0.5, lease=SHORT, share=1.0)
    pool = Pool(Limits(concurrency=4, tokens_per_minute=10_000, charge="usage"), backend=backend)
    lane = pool.lane(MODEL)
    assert isinstance(lane, RedisLane)
    held = [await hold(pool, tokens=100) for _ in range(2)]
    slot = pool.slot(MODEL, tokens=1000)
    await slot.__aenter__()
    refunded = pool.slot(MODEL, tokens=1000)
    await refunded.__aenter__()
    await until(lambda: lane._local_share is not None and bool(lane._local_share.adopted))
    held[0].slot.settle(150)
    refunded.refund()
    slot.answered()
    late = await hold(pool, tokens=100)
    server.resume()
    await until_lane(server.url, prefix, in_flight=3)
    left = (await lane_of(server.url, prefix)).tokens_left
    assert left == pytest.approx(10_000 - 150 - 1000 - 100 - 100, abs=200)
    slot.settle(1000)
    for each in (held[0], held[1], late):
        each.leave.set()
        await asyncio.wait([each.task])
    await until_lane(server.url, prefix, in_flight=0)
    await backend.aclose()


async def test_more_tokens_than_expected_are_reserved_as_they_come(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    pool = open_pool(Limits(tokens_per_minute=10_000, charge="usage"))
    lane = pool.lane(MODEL)
    assert lane.counts_tokens
    async with pool.slot(MODEL, tokens=100) as slot:
        for tokens in range(100, 5001, 100):
            slot.true_up(tokens)

        async def is_told() -> bool:
            left = (await lane_of(shared.url, prefix)).tokens_left
            return left is not None and left <= 5000

        await until(is_told)
        assert lane.wait(Ticket(tokens=6000)) == pytest.approx(6, abs=2)
        slot.settle(2000)
    await until_lane(shared.url, prefix, in_flight=0)
    left = (await lane_of(shared.url, prefix)).tokens_left
    assert left == pytest.approx(8000, abs=300)


async def test_no_room_at_the_gateway_gives_the_place_back(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    pool = open_pool(Limits(concurrency=1))
    lane = pool.lane(MODEL)
    ticket = Ticket()
    assert not lane.enter(ticket)
    await until(lambda: ticket.stage == "admitted")
    lane.crowd(ticket)
    await until_lane(shared.url, prefix, in_flight=0)


async def test_a_pause_longer_than_the_lease_is_no_loss(shared: RedisServer, prefix: str) -> None:
    clock = VirtualClock()
    backend = RedisBackend(shared.url, prefix=prefix, clock=clock)
    pool = Pool(Limits(requests_per_minute=60), backend=backend, clock=clock)
    for pause in (0, 29, 3600):
        await clock.run_for(pause)
        await one_call(pool)
    await backend.aclose()
    assert (await lane_of(shared.url, prefix)).admitted == 3


# --- ends ---------------------------------------------------------------------------------------


async def going(lane: RedisLane, **settings: Any) -> Ticket:
    """Return a call that was let in."""
    ticket = Ticket(**settings)
    ticket.wake = (woken := asyncio.Event()).set
    if not lane.enter(ticket):
        await woken.wait()
    assert ticket.stage == "admitted"
    return ticket


@pytest.fixture(params=["redis", "share"])
async def lane(
    request: pytest.FixtureRequest, shared: RedisServer, prefix: str
) -> AsyncIterator[RedisLane]:
    """Return a lane in Redis, or one that goes on without it."""
    nowhere = f"redis://127.0.0.1:{free_port()}"
    where = shared.url if request.param == "redis" else nowhere
    backend = RedisBackend(where, prefix=prefix, share=1.0, chance=lambda: 0.0)
    limits = Limits(concurrency=2, tokens_per_minute=6_000, charge="usage", learn=False)
    yield RedisLane(backend, "qwen*", "", limits)
    await backend.aclose()


async def until_known(lane: RedisLane, **expected: int) -> None:
    """Wait until a lane's own statistics say so."""
    await until(lambda: all(getattr(lane.statistics(), k) == v for k, v in expected.items()))


@pytest.mark.parametrize("way", ["settle", "refund", "crowd", "refuse"])
async def test_every_end_gives_the_place_back_once(lane: RedisLane, way: str) -> None:
    """Whatever is said of a call that is over changes nothing."""
    calls = [await going(lane, tokens=10, late=True) for _ in range(2)]
    await until_known(lane, in_flight=2)
    waiting = Ticket(tokens=10, late=True)
    waiting.wake = (woken := asyncio.Event()).set
    assert not lane.enter(waiting)
    await until_known(lane, waiting=1)
    assert lane.blocked_by(waiting) == 2
    assert (lane.queued(), lane.waiting(waiting).position) == (1, 1)
    if way == "refuse":
        assert lane.refuse(calls[0], 0.01, crowded=False, hinted=True) == pytest.approx(0.01)
    else:
        getattr(lane, way)(calls[0])
    await woken.wait()
    for over in (calls[0], Ticket()):
        lane.settle(over)
        lane.refund(over)
        lane.crowd(over)
        lane.leave(over)
        lane.answered(over)
        lane.true_up(over, 5_000)
        assert lane.refuse(over, 2.0, crowded=False) == 2
        assert lane.refuse(over, None, crowded=False) == 0
    assert (calls[0].stage, waiting.stage) == ("settled", "admitted")
    lane.settle(calls[1])
    lane.settle(waiting)
    await until_known(lane, in_flight=0, waiting=0, admitted=3, refused=int(way == "refuse"))
    left = lane.statistics().tokens_left
    assert left is not None
    assert 5_960 < left <= 6_000


async def test_a_lane_that_learns_holds_for_a_second_at_least(
    shared: RedisServer, prefix: str
) -> None:
    """But for a wait that the gateway named."""
    backend = RedisBackend(shared.url, prefix=prefix)
    lane = RedisLane(backend, "*", "", Limits(concurrency=9))
    holds = [
        lane.refuse(await going(lane), None, crowded=False),
        lane.refuse(Ticket(), 3.0, crowded=False),
        lane.refuse(Ticket(), 0.5, crowded=False),
        lane.refuse(Ticket(), 0.5, crowded=False, hinted=True),
    ]
    assert holds == [1, 3, 1, 0.5]
    await backend.aclose()


async def test_who_was_refused_comes_again(lane: RedisLane) -> None:
    first, second = [await going(lane) for _ in range(2)]
    others = [Ticket() for _ in range(3)]
    for other in others:
        assert not lane.enter(other)
    await until_known(lane, waiting=3)
    lane.refuse(first, 0.01, crowded=False, hinted=True)
    assert not lane.enter(first)
    lane.settle(second)
    left = {first, *others}
    while left:
        await until(lambda: "admitted" in {one.stage for one in left})
        for ticket in [one for one in left if one.stage == "admitted"]:
            lane.settle(ticket)
            left.remove(ticket)
    await until_known(lane, in_flight=0, waiting=0, refused=1)


async def test_who_leaves_is_not_let_in(lane: RedisLane) -> None:
    first, second = [await going(lane) for _ in range(2)]
    gone, next_one = Ticket(), Ticket()
    for ticket in (gone, next_one):
        assert not lane.enter(ticket)
    await until_known(lane, waiting=2)
    lane.leave(gone)
    lane.settle(first)
    await until(lambda: next_one.stage == "admitted")
    assert gone.stage == "settled"
    lane.settle(second)
    lane.settle(next_one)
    await until_known(lane, in_flight=0, waiting=0)


async def test_what_was_not_used_of_the_tokens_lets_others_in(lane: RedisLane) -> None:
    """At once, where somebody waits for it."""
    large = await going(lane, tokens=6_000, late=True)
    lane.answered(large)
    assert lane.wait(Ticket(tokens=600)) == pytest.approx(6, abs=1)
    other = Ticket(tokens=3_000, late=True)
    other.wake = (woken := asyncio.Event()).set
    assert not lane.enter(other)
    await until_known(lane, waiting=1)
    lane.settle(large, 100)
    await woken.wait()
    lane.settle(other)
    await until_known(lane, in_flight=0)


@pytest.mark.parametrize("close", [True, False], ids=["closed", "cancelled"])
async def test_a_call_that_was_told_ahead_when_it_may_start(
    shared: RedisServer, prefix: str, close: bool
) -> None:
    """Until then it is let in and does not go; it can be given up like any other."""
    backend = RedisBackend(shared.url, prefix=prefix, ahead=5.0)
    lane = RedisLane(backend, "*", "", Limits(tokens_per_minute=60_000, learn=False))
    first = await going(lane, tokens=60_000)
    lane.answered(first)
    lane.settle(first)
    ahead = Ticket(tokens=4_000)
    assert not lane.enter(ahead)
    await until_lane(shared.url, prefix, in_flight=1, waiting=0, admitted=2)
    assert ahead.stage == "waiting"
    if close:
        lane.stop()
        await backend.aclose()
        await until_lane(shared.url, prefix, in_flight=0, waiting=0)
    else:
        lane.leave(ahead)
        await until_lane(shared.url, prefix, in_flight=0, waiting=0)
        assert ((await lane_of(shared.url, prefix)).tokens_left or -1) >= 0
        await backend.aclose()
    assert ahead.stage == ("waiting" if close else "settled")


# --- pauses, loops and messages -----------------------------------------------------------------


async def test_after_a_pause_what_goes_on_is_known(shared: RedisServer, prefix: str) -> None:
    """And who leaves as soon as it has come leaves nothing behind."""
    clock = VirtualClock()
    backend = RedisBackend(shared.url, prefix=prefix, clock=clock)
    lane = RedisLane(backend, "*", "", Limits(concurrency=9))
    first = await going(lane)
    clock.advance(20)
    second = await going(lane)
    await until_lane(shared.url, prefix, in_flight=2, admitted=2)
    for ticket in (first, second):
        lane.settle(ticket)
    clock.advance(1)
    await until_lane(shared.url, prefix, in_flight=0)
    clock.advance(60)
    third = Ticket()
    assert not lane.enter(third)
    lane.leave(third)
    assert lane.queued() == 0
    await going(lane)
    await until_lane(shared.url, prefix, in_flight=1, waiting=0)
    await backend.aclose()
    await until_lane(shared.url, prefix, in_flight=0, waiting=0)


async def test_messages_for_others_change_nothing(shared: RedisServer, prefix: str) -> None:
    """Nor do those for a name that the lane had before."""
    backend = RedisBackend(shared.url, prefix=prefix)
    lane = RedisLane(backend, "*", "", Limits(concurrency=1))
    lane.heard(["nobody.1.0", "-1", "1 0 0"])
    await going(lane)
    second = Ticket()
    assert not lane.enter(second)
    await until_known(lane, waiting=1)
    lane.heard(["nobody.1.0", "-1", "2 0 0"])
    assert second.stage == "waiting"
    name = lane._outbox.name(backend.connection())
    lane.heard([name, "-1", "77 0 0"])
    lane.heard([name, "-1", "2 0 0.5"])
    assert (second.stage, second.start) == ("admitted", 0.5)
    lane.heard([name, "-1", "2 0 9"])
    assert second.start == 0.5
    await backend.aclose()


def test_the_next_loop_has_what_is_known_and_none_of_the_calls(
    shared: RedisServer, prefix: str
) -> None:
    """What the last one had in flight is given up, not waited for until its lease is over."""
    backend = RedisBackend(shared.url, prefix=prefix)
    lane = RedisLane(backend, "*", "k", Limits(concurrency=1))
    unused = lane.successor()
    assert (unused.pattern, unused.key, unused.limits) == ("*", "k", lane.limits)

    async def begin(one: RedisLane) -> LaneStatistics:
        await going(one)
        await until_lane(shared.url, prefix, in_flight=1)
        return one.statistics()

    first = asyncio.run(begin(lane))
    after = lane.successor()
    assert (first.in_flight, after.statistics().in_flight) == (1, 0)
    assert asyncio.run(begin(after)).admitted == 2


# --- away, and back -----------------------------------------------------------------------------


async def test_redis_is_tried_until_it_is_back(
    server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All lanes are lost with one word, and come back with one; what they used is told then."""
    caplog.set_level(logging.INFO)
    server.kill()
    backend = RedisBackend(server.url, prefix=prefix, lease=SHORT, share=1.0)
    limits = Limits(tokens_per_minute=1_000, learn=False)
    lanes = [RedisLane(backend, pattern, "", limits) for pattern in ("a", "b")]
    for lane in lanes:
        lane.settle(await going(lane, tokens=300), 250)
    await until(lambda: backend.round_trips >= 6)
    server.start()
    await until_lane(server.url, prefix, pattern="b", admitted=1)
    await until_lane(server.url, prefix, pattern="a", admitted=1)
    for found in await statistics(server.url, prefix=prefix):
        assert (found.tokens_left or 1_000) < 800
    await until(lambda: "is back" in caplog.text)
    said = [record.getMessage() for record in caplog.records if "Redis at" in record.msg]
    assert [each.split(" is ")[1][:4] for each in said] == ["away", "back"]
    for lane in lanes:
        lane.settle(await going(lane, tokens=10))
    await until_lane(server.url, prefix, pattern="a", admitted=2)
    await backend.aclose()


async def test_a_redis_that_comes_back_with_another_layout(
    server: RedisServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The share goes on; whoever comes is told."""
    assert b"+OK" in server.say(f"SET {prefix}:{{a|}}:state other".encode())
    server.pause()
    backend = RedisBackend(server.url, prefix=prefix, lease=0.2, timeout=0.1, share=1.0)
    lane = RedisLane(backend, "a", "", Limits(concurrency=2))
    held = await going(lane)
    server.resume()
    await until(lambda: "expected layout" in caplog.text)
    assert "going on with a local share" in caplog.text
    lane.settle(held)
    assert lane.statistics().in_flight == 0
    with pytest.raises(CallerError, match="expected layout"):
        lane.enter(Ticket())
    assert await lane.come_back()
    await backend.aclose()
