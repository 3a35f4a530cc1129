"""The pool: which lane a call has, what it will cost, and whom the pool serves."""

import asyncio
import gc
import logging
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from aiotokengate import CallerError, Limits, Pool, QueueFull
from aiotokengate._policy.estimate import CallSize
from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.pool import mask
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


# --- wrong use ----------------------------------------------------------------------------------


def test_a_model_that_is_none(pool: Pool) -> None:
    """Lanes are found by name."""
    with pytest.raises(CallerError, match="expected the name of a model, got int"):
        pool.slot(5)  # type: ignore[arg-type]


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


# --- whom it serves, and until when -------------------------------------------------------------


async def test_a_pool_that_is_closed_lets_nobody_wait(pool: Pool, clock: VirtualClock) -> None:
    """Whoever waits is told, whoever comes later too; and a second time is no harm."""
    async with pool.slot(MODEL):
        waiting = asyncio.ensure_future(pool.slot(MODEL).__aenter__())
        await clock.settle()
        pool.close_in_its_loop()
        pool.close()
        with pytest.raises(CallerError, match="this Pool is closed"):
            await waiting
    with pytest.raises(CallerError, match="this Pool is closed, make a new one"):
        pool.slot(MODEL)
    assert pool.statistics().lanes == ()
    assert clock.pending == 0


async def test_another_running_loop_is_refused_and_may_close(pool: Pool) -> None:
    """What waits is its own loop's, which closes the pool when it has time."""

    async def elsewhere() -> None:
        assert not pool.serves(asyncio.get_running_loop())
        with pytest.raises(CallerError, match="this Pool serves another running event loop"):
            pool.slot(MODEL)
        pool.close_in_its_loop()

    async with pool.slot(MODEL):
        await asyncio.to_thread(asyncio.run, elsewhere())
        await asyncio.sleep(0)
        with pytest.raises(CallerError, match="closed"):
            pool.check_open()


def test_the_next_loop_finds_what_was_used_and_no_calls(clock: VirtualClock) -> None:
    """A program may call ``asyncio.run`` again; what was in flight has died with the loop."""
    pool = Pool(Limits(requests_per_minute=100, learn=False), clock=clock)

    async def left() -> None:
        (await pool.slot(MODEL).__aenter__()).answered()

    async def found() -> LaneStatistics:
        async with pool.slot("another"):
            return lane(pool)

    asyncio.run(left())
    now = asyncio.run(found())
    assert (now.in_flight, now.requests_left) == (1, 98)


def test_one_that_can_be_looked_at(tmp_path: Path) -> None:
    """The socket is there from the first call until the end, however soon that comes."""
    path = Path(os.path.relpath(tmp_path / "s"))

    async def use_and_close() -> bool:
        pool = Pool(ONE, monitor=path)
        async with pool.slot(MODEL):
            there = stat.S_ISSOCK(os.lstat(path).st_mode)
        pool.close()
        return there

    assert asyncio.run(use_and_close())
    assert not path.exists()


# --- what a call will cost ----------------------------------------------------------------------


async def test_a_tokenizer_of_ones_own(clock: VirtualClock) -> None:
    """It is given the model and the text, and asked only where tokens count."""
    asked: list[tuple[str, str]] = []

    def count(model: str, text: str) -> int:
        asked.append((model, text))
        return 70

    limits = {"q*": Limits(tokens_per_minute=600, charge="max_tokens"), "*": Limits(learn=False)}
    pool = Pool(limits, count_tokens=count, clock=clock)
    async with pool.slot("other", prompt="你好"):
        assert asked == []
    async with pool.slot(MODEL, prompt="你好", max_tokens=30):
        assert asked == [(MODEL, "你好")]
        assert pool.statistics().lanes[-1].tokens_left == 500


async def test_what_calls_have_cost_is_learned(clock: VirtualClock) -> None:
    """A prompt of the same length counts as much as the gateway said of the last one."""
    pool = Pool(Limits(tokens_per_minute=10**6), clock=clock)
    place = pool.lane(MODEL)
    size = CallSize(None, None, lambda: 100, lambda: ("",))
    before = pool.ticket(place, MODEL, size)
    pool.learn(MODEL, before, 300, 50)
    after = pool.ticket(place, MODEL, size)
    assert (before.estimate, after.estimate) == (100, 100)
    assert pool.prompt_tokens(MODEL, after) > 100


async def test_tokens_are_measured_when_they_begin_to_count(clock: VirtualClock) -> None:
    """Where a limit is only learned, nobody reads a prompt before it is known."""
    pool = Pool(clock=clock)
    ticket = pool.ticket(pool.lane(MODEL), MODEL, CallSize(None, 30, lambda: 9, lambda: ("",)))
    assert (ticket.estimate, ticket.tokens) == (0, 0)
    assert ticket.measure is not None
    ticket.measure(ticket)
    assert ticket.estimate == 9
    assert ticket.tokens > 9


async def test_weights_are_those_of_users(clock: VirtualClock) -> None:
    """Who has none has one; bulk is marked as such."""
    pool = Pool(ONE, weights={"vip": 3}, clock=clock)
    place, size = pool.lane(MODEL), CallSize(0, None, lambda: 0, lambda: ())
    vip = pool.ticket(place, MODEL, size, "bulk", "vip")
    other = pool.ticket(place, MODEL, size, "interactive", "other")
    assert (vip.fair_key, vip.weight, vip.bulk) == ("vip", 3, True)
    assert (other.fair_key, other.weight, other.bulk) == ("other", 1, False)


async def test_a_queue_that_is_full(clock: VirtualClock) -> None:
    """As many as may wait; asked of the lane, so that each has its own queue."""
    pool = Pool(ONE, max_waiting=0, clock=clock)
    place = pool.lane(MODEL)
    pool.check_queue(place)
    assert place.enter(Ticket())
    assert not place.enter(Ticket())
    with pytest.raises(QueueFull, match="at most 0 waiting calls"):
        pool.check_queue(place)


# --- statistics ---------------------------------------------------------------------------------


async def test_what_statistics_tell(clock: VirtualClock) -> None:
    """Patterns that no call had yet, and keys that are set aside, for a while."""
    pool = Pool({"q*": ONE, "gpt*": ONE}, clock=clock)
    async with pool.slot(MODEL, key=KEY):
        assert pool.statistics().unused == ("gpt*",)
        pool.note_aside(mask(KEY), "", "wrong key")
        assert lane(pool).set_aside == "wrong key"
        pool.note_aside(mask(KEY), "", None)
        assert lane(pool).set_aside is None
