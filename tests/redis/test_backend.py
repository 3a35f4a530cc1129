"""Lanes that several share through a real Redis, and what becomes of them without it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.limits import Limits
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.holding import Hold
from aiotokengate._pool.pool import Pool
from aiotokengate._pool.slots import Slot
from aiotokengate._redis.lane import RedisLane
from aiotokengate.errors import CallerError, ConnectFailed, QueueFull, TimedOut
from aiotokengate.redis import RedisBackend, statistics
from aiotokengate.testing import VirtualClock
from tests.support.common import without_slow_steps
from tests.support.redis_server import RedisServer

MODEL = "qwen3.6-plus"
PREFIXES = count()
SHORT = 0.5
"""Seconds of a lease, where a test lets one run out."""


@pytest.fixture(scope="module")
def shared() -> Iterator[RedisServer]:
    """Yield a server that nobody stops."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Return a prefix that no other test has."""
    return f"test{next(PREFIXES)}"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Yield a server that the test may stop."""
    with RedisServer() as server:
        yield server


Open = Callable[..., Pool]


@pytest.fixture
async def open_pool(shared: RedisServer, prefix: str) -> AsyncIterator[Open]:
    """Make pools that share a Redis, as processes would; each has connections of its own."""
    async with AsyncExitStack() as stack:

        def make(limits: Limits, server: Any = None, **settings: Any) -> Pool:
            backend = RedisBackend(server or shared.url, prefix=prefix, **settings)
            stack.push_async_callback(backend.aclose)
            return Pool(limits, backend=backend)

        yield make


async def until(is_so: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait until something is so; pytest's time limit ends what never is."""
    while True:
        found = is_so()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0)


async def lane_of(url: str, prefix: str) -> LaneStatistics:
    (lane,) = await statistics(url, prefix=prefix)
    return lane


async def until_lane(url: str, prefix: str, **expected: int) -> None:
    async def is_so() -> bool:
        lanes = await statistics(url, prefix=prefix)
        return any(all(getattr(lane, k) == v for k, v in expected.items()) for lane in lanes)

    await until(is_so)


class Held:
    """A call that goes until it is let go."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.going = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.slot:
            self.going.set()
            self.slot.answered()
            await self.leave.wait()

    async def end(self) -> None:
        self.leave.set()
        await self.task


async def hold(pool: Pool, model: str = MODEL, **settings: Any) -> Held:
    held = Held(pool.slot(model, **settings))
    await held.going.wait()
    return held


async def one_call(pool: Pool, **settings: Any) -> None:
    async with pool.slot(MODEL, **settings) as slot:
        slot.answered()


# --- calls --------------------------------------------------------------------------------------


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


# --- what is told and counted -------------------------------------------------------------------


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


async def test_messages_that_were_lost_are_made_up_for(
    open_pool: Open, shared: RedisServer, prefix: str
) -> None:
    limits = Limits(concurrency=1)
    one, other = open_pool(limits), open_pool(limits, lease=SHORT)
    first = await hold(one)
    second = Held(other.slot(MODEL))
    await until_lane(shared.url, prefix, waiting=1)
    async with Redis.from_url(shared.url, protocol=2) as client:
        await client.client_kill_filter(_type="pubsub")
        await first.end()
        await until_lane(shared.url, prefix, in_flight=1, waiting=0)
    await second.going.wait()
    await second.end()


async def test_a_forgotten_script_is_loaded_again(open_pool: Open, shared: RedisServer) -> None:
    pool = open_pool(Limits(concurrency=1))
    async with Redis.from_url(shared.url, protocol=2) as client:
        first = await hold(pool)
        await client.script_flush()
        second = Held(pool.slot(MODEL))
        await first.end()
        await second.going.wait()
        await client.script_flush()
        await second.end()
        await one_call(pool)


async def test_learned_lanes_are_each_process_own(open_pool: Open) -> None:
    pool = open_pool(Limits())
    await one_call(pool)
    backend = pool._backend
    assert isinstance(backend, RedisBackend)
    assert backend.round_trips == 0
    assert pool.statistics().lanes[0].admitted == 1


# --- other servers ------------------------------------------------------------------------------


async def test_a_cluster(prefix: str) -> None:
    with RedisServer(cluster=True) as server:
        client = RedisCluster(host="127.0.0.1", port=server.port)
        backends = [RedisBackend(client, prefix=prefix) for _ in range(2)]
        limits = Limits(concurrency=1, requests_per_minute=600)
        one, other = (Pool({"qwen*": limits}, backend=backend) for backend in backends)
        first = await hold(one)
        second = Held(other.slot(MODEL))
        await until(lambda: other.lane(MODEL).statistics().waiting == 1)
        await first.end()
        await second.going.wait()
        (lane,) = await statistics(client, prefix=prefix)
        assert (lane.pattern, lane.in_flight, lane.waiting) == ("qwen*", 1, 0)
        await second.end()
        for backend in backends:
            await backend.aclose()
        await client.aclose()


async def test_a_client_of_ones_own(open_pool: Open, shared: RedisServer, prefix: str) -> None:
    async with Redis.from_url(shared.url, decode_responses=True) as client:
        pool = open_pool(Limits(concurrency=1), client)
        await one_call(pool)
    await until_lane(shared.url, prefix, admitted=1, in_flight=0)


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


async def test_no_redis_at_the_start_is_a_share_and_a_warning(
    prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer()
    url = f"redis://user:secret@127.0.0.1:{server.port}/0"
    backend = RedisBackend(url, prefix=prefix, share=0.5, lease=SHORT)
    pool = Pool(Limits(concurrency=4), backend=backend)
    held = [await hold(pool), await hold(pool)]
    third = Held(pool.slot(MODEL))
    await until(lambda: pool.statistics().waiting == 1)
    assert not third.going.is_set()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert f"127.0.0.1:{server.port}" in warnings[0]
    assert "secret" not in caplog.text + repr(backend)
    await held[0].end()
    await third.going.wait()
    await held[1].end()
    await third.end()
    await backend.aclose()
    server.__exit__()


# --- at the start -------------------------------------------------------------------------------


def as_user(server: RedisServer, user: str, password: str = "") -> str:
    return server.url.replace("redis://", f"redis://{user}:{password}@")


async def set_up(server: RedisServer, *command: str) -> None:
    async with Redis.from_url(server.url, protocol=2) as client:
        await client.execute_command(*command)  # type: ignore[no-untyped-call]


ALL = ("on", ">right", "~*", "+@all")

REFUSALS = {
    "a wrong password": (ALL, "wr0ng-p4ss", "AuthenticationError"),
    "no right to run scripts": ((*ALL, "-eval", "-evalsha"), "right", "no permissions"),
    "no right to the keys": (("on", ">right", "~other:*", "&*", "+@all"), "right", "NOPERM|keys"),
    "no right to the channels": ((*ALL, "resetchannels"), "right", "channel"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_redis_that_refuses_at_the_start(
    server: RedisServer,
    prefix: str,
    refusal: tuple[tuple[str, ...], str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each call says so, and none goes with the limits for itself; with a share they do."""
    rules, password, words = refusal
    await set_up(server, "ACL", "SETUSER", "bot", *rules)
    url = as_user(server, "bot", password)
    backend = RedisBackend(url, prefix=prefix)
    pool = Pool(Limits(concurrency=4), backend=backend)
    for _ in range(2):
        with pytest.raises(CallerError, match=words) as caught:
            await one_call(pool)
        said = str(caught.value)
        assert f"127.0.0.1:{server.port} refuses" in said
        assert "share=0.5" in said
        assert "提示" in said
    assert (pool.statistics().waiting, pool.statistics().in_flight) == (0, 0)
    shared = RedisBackend(url, prefix=prefix, share=0.25)
    held = await hold(other := Pool(Limits(concurrency=4), backend=shared))
    second = Held(other.slot(MODEL))
    await until(lambda: other.statistics().waiting == 1)
    await held.end()
    await second.going.wait()
    await second.end()
    if password != "right":
        with pytest.raises(CallerError, match="refuses to be asked at") as caught:
            await statistics(url, prefix=prefix)
        assert password not in said + str(caught.value) + caplog.text
    for each in (backend, shared):
        await each.aclose()


async def test_a_redis_that_is_full_at_the_start(server: RedisServer, prefix: str) -> None:
    await set_up(server, "CONFIG", "SET", "maxmemory", "1")
    backend = RedisBackend(server.url, prefix=prefix)
    pool = Pool(Limits(requests_per_minute=60), backend=backend)
    with pytest.raises(CallerError, match="OOM"):
        await one_call(pool)
    await set_up(server, "CONFIG", "SET", "maxmemory", "0")
    await one_call(pool)
    await backend.aclose()


async def test_a_redis_that_comes_late(server: RedisServer, prefix: str) -> None:
    """Calls fail until it is there, each by itself, and then they go."""
    server.kill()
    backend = RedisBackend(server.url, prefix=prefix)
    pool = Pool(Limits(concurrency=1), backend=backend)
    calls = [one_call(pool) for _ in range(3)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(error, ConnectFailed) for error in errors)
    assert len(set(map(id, errors))) == len(errors)
    assert f"Redis at 127.0.0.1:{server.port} can't be reached" in str(errors[0])
    assert "提示" in str(errors[0])
    for _ in range(40):
        with pytest.raises(ConnectFailed):
            await one_call(pool)
    server.start()
    await one_call(pool)
    await until_lane(server.url, prefix, admitted=1, in_flight=0)
    await backend.aclose()


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


# --- statistics ---------------------------------------------------------------------------------


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


async def test_a_hanging_redis_is_as_good_as_none(server: RedisServer, prefix: str) -> None:
    backend = RedisBackend(server.url, prefix=prefix, timeout=0.2, lease=SHORT)
    pool = Pool(Limits(concurrency=2), backend=backend)
    held = [await hold(pool), await hold(pool)]
    server.pause()
    waiting = Held(pool.slot(MODEL))
    await until(lambda: pool.lane(MODEL).statistics().waiting == 1)
    await held[0].end()
    await waiting.going.wait()
    async with asyncio.timeout(60):
        server.resume()
        await until_lane(server.url, prefix, in_flight=2)
    for each in (held[1], waiting):
        await each.end()
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


async def test_a_pool_that_is_closed_gives_back_what_it_can(
    shared: RedisServer, prefix: str
) -> None:
    backend = RedisBackend(shared.url, prefix=prefix)
    pool = Pool(Limits(concurrency=1), backend=backend)
    held = await hold(pool)
    waiting = Held(pool.slot(MODEL))
    await until_lane(shared.url, prefix, in_flight=1, waiting=1)
    pool.close()
    await asyncio.wait([waiting.task])
    assert isinstance(waiting.task.exception(), CallerError)
    await until_lane(shared.url, prefix, in_flight=0, waiting=0)
    await held.end()


# --- processes ----------------------------------------------------------------------------------


def run_program(program: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_the_extra_the_error_says_what_to_install() -> None:
    ended = run_program("import sys; sys.modules['redis'] = None; import aiotokengate.redis")
    assert "ImportError" in ended.stderr
    assert "pip install 'aiotokengate[redis]'" in ended.stderr
    assert "请执行" in ended.stderr


def test_loops_and_forks_get_connections_of_their_own(shared: RedisServer, prefix: str) -> None:
    program = """
        import asyncio, gc, os
        from aiotokengate._policy.limits import Limits
        from aiotokengate._pool.pool import Pool
        from aiotokengate.redis import RedisBackend

        gc.freeze()  # a sweep of all modules after the fork is a slow callback, which is printed
        backend = RedisBackend(os.environ["URL"], prefix=os.environ["PREFIX"])
        pool = Pool(Limits(concurrency=2), backend=backend)

        async def call():
            async with pool.slot("qwen3.6-plus", tokens=1):
                pass

        asyncio.run(call())
        asyncio.run(call())

        child = os.fork()
        asyncio.run(call())
        if child:
            assert os.waitpid(child, 0)[1] == 0
            print("parent")
    """
    ended = run_program(program, URL=shared.url, PREFIX=prefix)
    assert (ended.stdout, without_slow_steps(ended.stderr)) == ("parent\n", "")
    assert ended.returncode == 0


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "settings", "message"),
    [
        ("http://127.0.0.1", {}, "got the scheme 'http'"),
        ("127.0.0.1:6379", {}, "expected an address"),
        (6379, {}, "got int"),
        ("redis://u:secret@h", {"lease": 0}, "lease"),
        ("redis://h", {"lease": float("inf")}, "lease"),
        ("redis://h", {"share": 1.5}, "share"),
        ("redis://h", {"share": 0}, "share"),
        ("redis://h", {"timeout": True}, "timeout"),
        ("redis://h", {"ahead": -1}, "ahead"),
        ("redis://h", {"prefix": "a{b}"}, "prefix"),
        ("redis://h", {"prefix": ""}, "prefix"),
    ],
)
def test_bad_settings_are_refused(server: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError, match=message) as caught:
        RedisBackend(server, **settings)
    assert "secret" not in str(caught.value)
