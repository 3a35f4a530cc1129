"""Slots: whoever is cancelled, whenever, nothing is lost and nobody waits in vain."""

import asyncio
import copy
from typing import Any

import pytest

from aiotokengate import CallerError, Limits, Pool, QueueFull, TimedOut
from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.holding import Hold
from aiotokengate._pool.slots import Slot, wait_for_turn
from aiotokengate.testing import VirtualClock

MODEL = "qwen3.6-plus"
ONE = Limits(concurrency=1, learn=False)


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
def pool(clock: VirtualClock) -> Pool:
    """Return a pool with one place."""
    return Pool(ONE, clock=clock)


def lane(pool: Pool) -> LaneStatistics:
    """Return what its only lane is doing."""
    (only,) = pool.statistics().lanes
    return only


async def hold(pool: Pool) -> Slot:
    """Take the place."""
    return await pool.slot(MODEL).__aenter__()


async def use(pool: Pool, done: list[int], number: int) -> None:
    """Take a place and give it back in the next turn."""
    async with pool.slot(MODEL):
        await asyncio.sleep(0)
        done.append(number)


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("released", range(8))
async def test_cancelled_at_every_turn(pool: Pool, turns: int, released: int) -> None:
    """In the turn in which it is admitted, before, and after: the next one goes on."""
    held = await hold(pool)
    done: list[int] = []
    victim, last = (asyncio.ensure_future(use(pool, done, number)) for number in (1, 2))
    for turn in range(8):
        if turn == released:
            held.settle()
        if turn == turns:
            victim.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(victim, last, return_exceptions=True)
    assert last.exception() is None
    assert done[-1] == 2
    assert (lane(pool).in_flight, lane(pool).waiting) == (0, 0)


async def test_cancelled_again_and_again(pool: Pool) -> None:
    """A second cancellation finds nothing left to give back."""
    held = await hold(pool)
    waiting = asyncio.ensure_future(hold(pool))
    await asyncio.sleep(0)
    waiting.cancel()
    waiting.cancel()
    held.settle()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert (lane(pool).in_flight, lane(pool).waiting) == (0, 0)


async def test_a_deadline_in_the_turn_of_admission(pool: Pool, clock: VirtualClock) -> None:
    """Whichever comes first counts, and a place is never kept by one who gave up."""
    for first in ("deadline", "place"):
        held = await hold(pool)
        waiting = asyncio.ensure_future(pool.slot(MODEL, deadline=5).__aenter__())
        await clock.settle()
        if first == "deadline":
            clock.advance(5)
            held.settle()
            with pytest.raises(TimedOut, match="5"):
                await waiting
        else:
            held.settle()
            clock.advance(5)
            (await waiting).settle()
        assert (lane(pool).in_flight, lane(pool).waiting) == (0, 0)
    assert clock.pending == 0


async def test_hundreds_cancelled_while_hundreds_go(pool: Pool) -> None:
    """Every third one leaves; all others have their turn, in order."""
    held = await hold(pool)
    done: list[int] = []
    tasks = [asyncio.ensure_future(use(pool, done, number)) for number in range(600)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    held.settle()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [number for number in range(600) if number % 3]
    assert (lane(pool).in_flight, lane(pool).waiting) == (0, 0)


async def test_a_thousand_slots(clock: VirtualClock) -> None:
    """On a virtual clock, at exactly the pace that is allowed."""
    pool = Pool(Limits(requests_per_minute=600), clock=clock)

    async def one() -> None:
        async with pool.slot(MODEL) as slot:
            slot.answered()

    tasks = asyncio.gather(*[one() for _ in range(1_000)])
    while not tasks.done():
        await clock.run_for(1)
    assert 40 <= clock.now() <= 42
    assert lane(pool).admitted == 1_000


async def test_who_waits_can_be_asked(pool: Pool, clock: VirtualClock) -> None:
    """At which place, for how long, and for what; and not when it does not wait."""
    held = await hold(pool)
    slots = [pool.slot(MODEL), pool.slot(MODEL)]
    tasks = [asyncio.ensure_future(slot.__aenter__()) for slot in slots]
    await clock.settle()
    places = [slot.waiting for slot in slots]
    assert [place and place.position for place in places] == [1, 2]
    assert {place and place.because for place in places} == {"concurrency"}
    assert held.waiting is None
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert slots[0].waiting is None


async def test_a_slot_is_used_once(pool: Pool) -> None:
    """Entered twice, settled twice, used without being entered: each is said."""
    slot = pool.slot(MODEL)
    for action in (slot.settle, slot.refund, slot.refuse, slot.answered):
        with pytest.raises(CallerError, match="expected a slot that is held, this one is new"):
            action()
    async with slot:
        with pytest.raises(CallerError, match="a slot can be entered once"):
            await slot.__aenter__()
        slot.settle(3)
        for action in (slot.settle, slot.refund, slot.refuse, slot.answered):
            with pytest.raises(CallerError, match="held, this one is settled"):
                action()
    assert lane(pool).in_flight == 0


@pytest.mark.parametrize("tokens", [-1, float("nan"), float("inf"), True, "3"])
async def test_amounts(pool: Pool, tokens: Any) -> None:
    """Tokens are numbers from 0 up."""
    with pytest.raises(CallerError, match="expected a number from 0 up"):
        pool.slot(MODEL, tokens=tokens)
    async with pool.slot(MODEL) as slot:
        for action in (slot.settle, slot.true_up, slot.refuse):
            with pytest.raises(CallerError, match="expected a number from 0 up"):
                action(tokens)


async def test_settled_with_more_than_was_expected(clock: VirtualClock) -> None:
    """What a call really cost counts, and those after it wait for it."""
    pool = Pool(Limits(tokens_per_minute=600), clock=clock)
    async with pool.slot(MODEL, tokens=100) as slot:
        slot.settle(900)
    assert lane(pool).tokens_left == -300
    waiting = asyncio.ensure_future(pool.slot(MODEL, tokens=100).__aenter__())
    await clock.run_for(39)
    assert not waiting.done()
    await clock.run_for(2)
    (await waiting).settle()


async def test_as_many_wait_as_may_and_not_one_more(clock: VirtualClock) -> None:
    """The next one is refused at once and takes nothing; whoever leaves makes room for another."""
    pool = Pool(ONE, max_waiting=2, clock=clock)
    async with pool.slot(MODEL):
        waiting = [asyncio.ensure_future(hold(pool)) for _ in range(2)]
        await clock.settle()
        assert not any(task.done() for task in waiting)
        with pytest.raises(QueueFull, match="at most 2 waiting calls"):
            await asyncio.wait_for(hold(pool), 5)
        assert lane(pool).waiting == 2
        waiting[0].cancel()
        await clock.settle()
        third = asyncio.ensure_future(hold(pool))
        await clock.settle()
        assert not third.done()
        assert lane(pool).waiting == 2
    for task in (waiting[1], third):
        (await task).settle()
    assert (lane(pool).waiting, lane(pool).in_flight) == (0, 0)


async def test_no_room_to_wait(clock: VirtualClock) -> None:
    """With no queue at all, a call goes at once or is refused."""
    pool = Pool(ONE, max_waiting=0, clock=clock)
    async with pool.slot(MODEL):
        with pytest.raises(QueueFull):
            await asyncio.wait_for(hold(pool), 5)
    (await hold(pool)).settle()


@pytest.mark.parametrize(("used", "left"), [(None, 500), (40, 560)])
async def test_a_call_that_failed(clock: VirtualClock, used: int | None, left: int) -> None:
    """What it used is what was said of it; without a word, what was expected."""
    pool = Pool(Limits(tokens_per_minute=600), clock=clock)
    with pytest.raises(ValueError, match="坏了"):
        async with pool.slot(MODEL, tokens=100) as slot:
            if used is not None:
                slot.true_up(used)
            message = "坏了"
            raise ValueError(message)
    assert lane(pool).tokens_left == left


async def test_a_call_that_failed_is_charged_what_its_limit_says(clock: VirtualClock) -> None:
    """Where max_tokens are charged, all that was reserved counts, and not what was used."""
    pool = Pool(Limits(tokens_per_minute=1_000, charge="max_tokens"), clock=clock)
    with pytest.raises(ZeroDivisionError):
        async with pool.slot(MODEL, tokens=500) as slot:
            slot.true_up(600)
            raise ZeroDivisionError
    assert lane(pool).tokens_left == 500


async def test_each_way_to_give_a_place_back(clock: VirtualClock) -> None:
    """Said in the block, it is not said again by leaving it."""
    pool = Pool(Limits(tokens_per_minute=600, concurrency=1, learn=False), clock=clock)
    async with pool.slot(MODEL, tokens=100) as slot:
        slot.refund()
    assert (lane(pool).in_flight, lane(pool).tokens_left) == (0, 600)
    async with pool.slot(MODEL, tokens=100) as slot:
        slot.answered()
        slot.true_up(200)
        slot.settle()
    assert (lane(pool).in_flight, lane(pool).tokens_left) == (0, 400)
    async with pool.slot(MODEL, tokens=100) as slot:
        assert slot.refuse(retry_after=3) == 3
        assert repr(slot) == "<Slot settled, 100 tokens>"
    assert (lane(pool).in_flight, lane(pool).refused) == (0, 1)


async def test_headers_of_an_answer_are_believed(clock: VirtualClock) -> None:
    """They know of those who share the quota and are no part of this program."""
    pool = Pool(Limits(requests_per_minute=100, learn=False), clock=clock)
    async with pool.slot(MODEL) as slot:
        slot.answered({"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "3"})
        left = lane(pool).requests_left
    assert left is not None
    assert left <= 3


async def test_a_slot_that_would_wait_for_its_own_task(pool: Pool, clock: VirtualClock) -> None:
    """Only its own task could free the place, so that it would wait for ever: it is told so."""

    async def inside_a_stream() -> None:
        place = pool.lane(MODEL)
        assert place.enter(Ticket())
        stream = Hold(pool.holds, place, stream=True)
        stream.touch()
        try:
            await hold(pool)
        finally:
            stream.release()

    task = asyncio.ensure_future(inside_a_stream())
    for _ in range(100):
        await clock.run_for(1)
    assert task.done()
    with pytest.raises(CallerError, match="this call would wait for itself"):
        await task
    assert (lane(pool).in_flight, lane(pool).waiting) == (1, 0)


def test_a_slot_is_not_copied(clock: VirtualClock) -> None:
    """Two of one place would give it back twice."""

    async def made() -> Slot:
        return Pool(ONE, clock=clock).slot(MODEL)

    with pytest.raises(TypeError, match="a slot is entered once"):
        copy.copy(asyncio.run(made()))


async def test_a_lane_that_can_not_be_asked(pool: Pool) -> None:
    """What troubles it is raised by whoever waited for it."""
    held = await hold(pool)
    place, ticket = pool.lane(MODEL), Ticket()
    assert not place.enter(ticket)
    waiting = asyncio.ensure_future(wait_for_turn(pool, place, ticket))
    await asyncio.sleep(0)
    ticket.trouble = CallerError("no such lane")
    held.settle()
    with pytest.raises(CallerError, match="no such lane"):
        await waiting


async def test_nothing_is_left_of_a_wait(pool: Pool, clock: VirtualClock) -> None:
    """No timer, and no future that the pool would end."""
    held = await hold(pool)
    waiting = asyncio.ensure_future(pool.slot(MODEL, deadline=5).__aenter__())
    await clock.settle()
    assert (clock.pending, len(pool.waiting)) == (2, 1)  # a deadline, and a look
    held.settle()
    (await waiting).settle()
    assert (clock.pending, pool.waiting, pool.holds) == (0, set(), {})


async def test_a_pool_that_closes_ends_the_wait(pool: Pool, clock: VirtualClock) -> None:
    await hold(pool)
    waiting = asyncio.ensure_future(pool.slot(MODEL, deadline=5).__aenter__())
    await clock.settle()
    pool.close()
    await clock.settle()
    assert waiting.done()
    with pytest.raises(CallerError, match="this Pool is closed"):
        await waiting
    assert (clock.pending, pool.waiting) == (0, set())


async def test_each_end_of_a_slot_lets_go_of_its_hold(pool: Pool) -> None:
    """Once, so that no wait is taken for one for itself."""
    for end in ("settle", "refund", "refuse", "nothing"):
        async with pool.slot(MODEL) as slot:
            ((held,),) = pool.holds.values()
            assert not held.stream
            if end == "refuse":
                assert slot.refuse(0) == 0
            elif end != "nothing":
                getattr(slot, end)()
            assert (len(pool.holds), slot.waiting) == (int(end == "nothing"), None)
        assert pool.holds == {}
    assert (lane(pool).admitted, lane(pool).refused, lane(pool).in_flight) == (4, 1, 0)
