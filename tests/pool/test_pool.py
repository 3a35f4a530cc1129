"""Slots: whoever is cancelled, whenever, nothing is lost and nobody waits in vain."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest

from aiotokengate import CallerError, Limits, Pool, QueueFull, TimedOut
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.pool import mask
from aiotokengate._pool.slots import Slot
from aiotokengate.testing import VirtualClock

MODEL = "qwen3.6-plus"
KEY = "sk-a-key-of-the-account-that-nobody-may-see"
ONE = Limits(concurrency=1, learn=False)
BYTES = 100
"""Of memory, on an average, for each name of a model that was asked for once."""


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


async def test_thousands_cancelled_while_thousands_go(pool: Pool) -> None:
    """Every third one leaves; all others have their turn, in order."""
    held = await hold(pool)
    done: list[int] = []
    tasks = [asyncio.ensure_future(use(pool, done, number)) for number in range(3_000)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    held.settle()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [number for number in range(3_000) if number % 3]
    assert (lane(pool).in_flight, lane(pool).waiting) == (0, 0)


async def test_ten_thousand_slots(clock: VirtualClock) -> None:
    """On a virtual clock, at exactly the pace that is allowed."""
    pool = Pool(Limits(requests_per_minute=600), clock=clock)

    async def one() -> None:
        async with pool.slot(MODEL) as slot:
            slot.answered()

    tasks = asyncio.gather(*[one() for _ in range(2_000)])
    while not tasks.done():
        await clock.run_for(1)
    assert 140 <= clock.now() <= 142
    assert lane(pool).admitted == 2_000


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


# --- wrong use ----------------------------------------------------------------------------------


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


def test_a_model_that_is_none(pool: Pool) -> None:
    """Lanes are found by name."""
    with pytest.raises(CallerError, match="expected the name of a model, got int"):
        pool.slot(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("tokens", [-1, float("nan"), float("inf"), True, "3"])
async def test_amounts(pool: Pool, tokens: Any) -> None:
    """Tokens are numbers from 0 up."""
    with pytest.raises(CallerError, match="expected a number from 0 up"):
        pool.slot(MODEL, tokens=tokens)
    async with pool.slot(MODEL) as slot:
        for action in (slot.settle, slot.true_up, slot.refuse):
            with pytest.raises(CallerError, match="expected a number from 0 up"):
                action(tokens)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(deadline=0), "expected deadline in seconds above 0, got 0"),
        (dict(deadline=True), "expected deadline in seconds above 0, got True"),
        (dict(priority="soon"), "expected priority 'interactive' or 'bulk', got 'soon'"),
        (dict(fair_key=3), "expected fair_key as str, got int"),
    ],
)
async def test_arguments(pool: Pool, arguments: dict[str, Any], message: str) -> None:
    """Each is named, with what was expected."""
    with pytest.raises(CallerError, match=message):
        pool.slot(MODEL, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(limits={"": Limits()}), "expected a pattern of model names such as 'qwen"),
        (dict(limits={3: Limits()}), "expected Limits, or a dict of patterns to Limits, got 3"),
        (dict(limits={"qwen*": 300}), "got 'qwen.': int"),
        (dict(limits=300), "expected Limits, or a dict of patterns to Limits"),
        (dict(max_waiting=-1), "expected max_waiting as a whole number from 0 up, got -1"),
        (dict(max_waiting=2.5), "expected max_waiting as a whole number from 0 up, got 2.5"),
        (dict(weights={"vip": 0}), "expected weights above 0, got 0 for 'vip'"),
        (dict(weights={"vip": True}), "expected weights above 0, got True for 'vip'"),
    ],
)
def test_settings(arguments: dict[str, Any], message: str) -> None:
    """A pool says at once what is wrong with it."""
    with pytest.raises(CallerError, match=message):
        Pool(**arguments)


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


async def test_a_tokenizer_that_breaks(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The size is estimated, and the log does not show the prompt."""

    def broken(_model: str, text: str) -> int:
        raise ValueError(text)

    limits = Limits(tokens_per_minute=6_000, charge="max_tokens")
    pool = Pool(limits, count_tokens=broken, clock=clock)
    with caplog.at_level(logging.DEBUG):
        async with pool.slot(MODEL, prompt="很秘密的提示", max_tokens=100):
            left = lane(pool).tokens_left
    assert left is not None
    assert 5_870 < left < 5_900
    assert "count_tokens raised ValueError" in caplog.text
    assert "很秘密的提示" not in caplog.text


def test_without_a_loop(pool: Pool) -> None:
    """A slot is of a running loop."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        pool.slot(MODEL)


# --- keys, loops, processes ---------------------------------------------------------------------


async def test_no_key_is_shown(pool: Pool) -> None:
    """A few signs of a long key at most, and always the same."""
    async with pool.slot(MODEL, key=KEY) as slot:
        shown = f"{pool!r} {slot!r} {pool.statistics()!r}"
    assert KEY not in shown
    assert lane(pool).key == mask(KEY) == mask(KEY)
    assert mask(KEY).startswith("sk-…-see#")
    assert mask("sk-short") != mask("sk-other")
    assert "short" not in mask("sk-short")
    assert mask("") == ""


FORKED = """
import asyncio, os
from aiotokengate import Limits, Pool
pool = Pool(Limits(concurrency=1, requests_per_minute=10))

async def child():
    async with pool.slot("m"):
        (lane,) = pool.statistics().lanes
        assert lane.in_flight == 1, lane
        assert 7 <= lane.requests_left < 9, lane

async def parent():
    async with pool.slot("m"):
        pid = os.fork()
        if pid == 0:
            asyncio.events._set_running_loop(None)
            asyncio.set_event_loop(None)
            asyncio.run(child())
            os._exit(0)
        _, code = os.waitpid(pid, 0)
        assert code == 0, code
        assert pool.statistics().in_flight == 1
    assert pool.statistics().in_flight == 0

asyncio.run(parent())
"""


def test_a_forked_child_counts_for_itself() -> None:
    """What its parent holds is not its own; what was used stays used."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


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


async def test_sizes_of_models_are_bounded(clock: VirtualClock) -> None:
    """What is learned of models is not kept for each name that anybody has ever asked for."""
    pool = Pool({"*": Limits(tokens_per_minute=10**12)}, clock=clock)

    async def ask(first: int, last: int) -> int:
        for number in range(first, last):
            async with pool.slot(f"模型-{number}", prompt="你好", max_tokens=10):
                pass
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = await ask(0, 1500)
        assert await ask(1500, 4500) - before < 3000 * BYTES
    finally:
        tracemalloc.stop()


async def test_a_call_that_failed_is_charged_what_its_limit_says(clock: VirtualClock) -> None:
    """Where max_tokens are charged, all that was reserved counts, and not what was used."""
    pool = Pool(Limits(tokens_per_minute=1_000, charge="max_tokens"), clock=clock)
    with pytest.raises(ZeroDivisionError):
        async with pool.slot(MODEL, tokens=500) as slot:
            slot.true_up(600)
            raise ZeroDivisionError
    assert lane(pool).tokens_left == 500


async def test_lanes_that_are_in_use_are_kept(clock: VirtualClock) -> None:
    """However many names come: what goes, and what was learned, is not forgotten."""
    pool = Pool(clock=clock)
    async with pool.slot("refused") as slot:
        slot.refuse(retry_after=0.5)
    async with pool.slot("going"):
        for number in range(1_100):
            async with pool.slot(f"名字 {number}"):
                pass
        kept = {each.pattern: each for each in pool.statistics().lanes}
        assert len(kept) < 1_000
        assert kept["going"].in_flight == 1
        assert kept["refused"].refused == 1


async def test_names_of_one_lane_are_not_kept_for_ever(clock: VirtualClock) -> None:
    pool = Pool(Limits(learn=False), clock=clock)
    for number in range(2_100):
        async with pool.slot(f"名字 {number} 🎹"):
            pass
    assert len(pool.statistics().lanes) == 1
    assert len(pool._by_model) <= 1_000
