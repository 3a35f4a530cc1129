"""The pool: which lane a call has, what it will cost, and whom the pool serves."""

import asyncio
import logging
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiotokengate import CallerError, Limits, Pool, QueueFull, TimedOut
from aiotokengate._policy.estimate import CallSize
from aiotokengate._policy.lanes import Ticket
from aiotokengate._policy.statistics import LaneStatistics
from aiotokengate._pool.pool import mask
from aiotokengate.testing import VirtualClock

MODEL = "qwen3.6-plus"
KEY = "sk-a-key-of-the-account-that-nobody-may-see"
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


# --- which lane a call has ----------------------------------------------------------------------


async def test_models_and_their_lanes(clock: VirtualClock) -> None:
    """The first pattern that matches counts; a key has lanes of its own."""
    given = {"qwen3.?-*": ONE, "qwen*": Limits(concurrency=2, learn=False), "GPT*": ONE}
    pool = Pool(given, clock=clock)
    first = pool.lane(MODEL)
    assert first.limits is given["qwen3.?-*"]
    assert first is pool.lane(MODEL) is pool.lane("qwen3.5-max") is pool.lane("qwen3.5-max", "")
    assert pool.lane("qwen2").limits is given["qwen*"]
    assert first is not pool.lane(MODEL, "k") is pool.lane("qwen3.5-max", "k")
    for alone in ("gpt-5", "deepseek-v4"):
        assert pool.lane(alone).limits == Limits()
    names = [(each.pattern, each.key) for each in pool.statistics().lanes]
    assert names == [
        *(("qwen3.?-*", ""), ("qwen*", ""), ("qwen3.?-*", "k")),
        *(("gpt-5", ""), ("deepseek-v4", "")),
    ]
    assert pool.statistics().unused == ("GPT*",)


async def test_one_limit_is_for_all_models_together(clock: VirtualClock) -> None:
    pool = Pool(ONE, clock=clock)
    assert pool.lane("a").limits is ONE
    assert pool.lane("b") is pool.lane("a")
    assert [each.pattern for each in pool.statistics().lanes] == ["*"]


async def test_a_thousand_lanes_are_kept(clock: VirtualClock) -> None:
    """With one more, all go that are idle and of no pattern that was given; who waits stays."""
    pool = Pool({"given": ONE}, clock=clock)
    pool.lane("given")
    crowded = pool.lane("crowded")
    crowded.refuse(ticket := Ticket(), None, crowded=True)
    while crowded.enter(ticket):
        ticket = Ticket()
    for number in range(998):
        pool.lane(f"名字 {number}")
    assert len(pool.statistics().lanes) == 1_000
    first = pool.lane("名字 0")
    assert first is pool.lane("名字 0")
    pool.lane("one more")
    kept = [each.pattern for each in pool.statistics().lanes]
    assert kept == ["given", "crowded", "one more"]
    assert pool.lane("名字 0") is not first


# --- keys, loops, processes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", ""),
        ("密钥", "…#a71860"),
        ("abcdefghijklmnopqrs", "…#b5e23c"),
        ("abcdefghijklmnopqrst", "abc…qrst#907084"),
    ],
)
def test_the_name_of_a_key(key: str, shown: str) -> None:
    """The same in every process, so that they share what it may do; BLAKE2s of three bytes."""
    assert mask(key) == shown


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


async def test_sizes_of_models_are_bounded(pool: Pool) -> None:
    """What is learned of a thousand models is kept, and not of each name ever asked for."""
    ticket = Ticket(estimate=100)
    pool.learn(MODEL, ticket, 300, 50)
    for number in range(999):
        pool.learn(f"模型-{number}", ticket, 200, 50)
    assert pool.prompt_tokens(MODEL, ticket) == 300
    pool.learn("one more", ticket, 200, 50)
    assert pool.prompt_tokens(MODEL, ticket) == 100
    assert pool.prompt_tokens("one more", ticket) == 200


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


async def test_what_a_pool_is_doing_at_a_glance(pool: Pool, clock: VirtualClock) -> None:
    assert repr(pool) == "<Pool 0 lanes, 0 in flight, 0 waiting>"
    async with pool.slot(MODEL):
        waiting = asyncio.ensure_future(pool.slot(MODEL).__aenter__())
        await clock.settle()
        assert repr(pool) == "<Pool 1 lanes, 1 in flight, 1 waiting>"
        waiting.cancel()


def test_the_next_loop_holds_nothing(clock: VirtualClock) -> None:
    """Nor does it serve the one before, once that has ended."""
    pool = Pool(ONE, clock=clock)

    async def use() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        assert pool.serves(loop)
        await pool.slot(MODEL).__aenter__()
        assert (len(pool.holds), lane(pool).in_flight) == (1, 1)
        return loop

    first = asyncio.run(use())
    second = asyncio.run(use())
    assert pool.serves(first)
    assert pool.serves(second)

    async def close() -> None:
        pool.close_in_its_loop()
        with pytest.raises(CallerError, match="this Pool is closed"):
            pool.lane("another")

    asyncio.run(close())


async def test_a_pool_that_nobody_has_used_may_close(pool: Pool) -> None:
    pool.close_in_its_loop()
    with pytest.raises(CallerError, match="this Pool is closed"):
        pool.check_open()


async def test_a_pool_that_closes_ends_only_what_waits(pool: Pool, clock: VirtualClock) -> None:
    """Who was let in this moment goes on."""
    held = await pool.slot(MODEL).__aenter__()
    tasks = [asyncio.ensure_future(pool.slot(MODEL).__aenter__()) for _ in range(2)]
    await clock.settle()
    held.settle()
    pool.close()
    assert repr(await tasks[0]) == "<Slot admitted, 0 tokens>"
    with pytest.raises(CallerError, match="this Pool is closed"):
        await tasks[1]
    assert not pool.waiting


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


@pytest.mark.parametrize(
    ("charge", "most", "late", "tokens"),
    [
        (None, None, True, 1_009),
        (None, 30, False, 39),
        (None, 5_000, False, 5_009),
        ("usage", 30, True, 39),
        ("usage", 5_000, True, 1_009),
        ("usage", None, True, 1_009),
        ("max_tokens", 30, False, 39),
        ("max_tokens", 5_000, False, 5_009),
        ("max_tokens", None, False, 1_009),
    ],
)
async def test_what_a_call_is_expected_to_cost(
    clock: VirtualClock, charge: Any, most: int | None, late: bool, tokens: float
) -> None:
    """Its prompt, and what is charged of its reply: all that it may have, or what is usual."""
    pool = Pool(Limits(tokens_per_minute=10**6, charge=charge), clock=clock)
    size = CallSize(None, most, lambda: 9, lambda: ("",))
    ticket = pool.ticket(pool.lane(MODEL), MODEL, size)
    assert (ticket.late, ticket.estimate, ticket.tokens) == (late, 9, tokens)
    assert ticket.measure is None
    said = pool.ticket(pool.lane(MODEL), MODEL, CallSize(7, most, lambda: 9, lambda: ("",)))
    assert (said.late, said.tokens, said.estimate) == (late, 7, 0)


async def test_a_slot_passes_on_what_is_said_of_it(clock: VirtualClock) -> None:
    """Its prompt may be a text or bytes; who gives none has none."""
    counted: list[str] = []

    def count(_model: str, text: str) -> int:
        counted.append(text)
        return len(text)

    limits = {"q*": Limits(tokens_per_minute=600), "*": ONE}
    pool = Pool(limits, count_tokens=count, weights={"vip": 3}, clock=clock)
    prompts: tuple[str | bytes, ...] = ("你好", "你好".encode(), b"\xff")
    slots = [pool.slot(MODEL, prompt=prompt, max_tokens=5) for prompt in prompts]
    assert counted == ["你好", "你好", "\ufffd"]
    assert [repr(slot) for slot in slots] == [
        *("<Slot new, 7 tokens>", "<Slot new, 7 tokens>", "<Slot new, 6 tokens>")
    ]
    assert repr(pool.slot(MODEL, tokens=12.5)) == "<Slot new, 12.5 tokens>"
    assert repr(pool.slot()) == "<Slot new, 0 tokens>"
    async with pool.slot("m"):
        order = [
            *(("bulk", None), ("interactive", "甲"), ("interactive", "甲")),
            *(("interactive", "vip"), ("interactive", "vip")),
        ]
        slots = [
            pool.slot("m", tokens=1, priority=priority, fair_key=user)  # type: ignore[arg-type]
            for priority, user in order
        ]
        tasks = [asyncio.ensure_future(slot.__aenter__()) for slot in slots]
        await clock.settle()
        places = [slot.waiting.position for slot in slots if slot.waiting]
        assert places == [5, 1, 4, 2, 3]
        for task in tasks:
            task.cancel()


async def test_a_slot_waits_until_its_deadline(pool: Pool, clock: VirtualClock) -> None:
    async with pool.slot(MODEL):
        waiting = asyncio.ensure_future(pool.slot(MODEL, deadline=5).__aenter__())
        await clock.run_for(4.9)
        assert not waiting.done()
        await clock.run_for(0.1)
        with pytest.raises(TimedOut, match="deadline"):
            await waiting


@pytest.mark.parametrize(("counted", "tokens"), [(-3, 0), (4.9, 4), (0, 0)])
async def test_a_tokenizer_that_counts_oddly(
    clock: VirtualClock, counted: Any, tokens: float
) -> None:
    """Is believed as far as that can be; it is given the texts line by line."""
    seen: list[str] = []

    def count(_model: str, text: str) -> Any:
        seen.append(text)
        return counted

    pool = Pool(Limits(tokens_per_minute=600), count_tokens=count, clock=clock)
    size = CallSize(None, 0, lambda: 9, lambda: ("你好", "再见"))
    assert pool.ticket(pool.lane(MODEL), MODEL, size).tokens == tokens
    assert seen == ["你好\n再见"]


async def test_a_lane_that_learns_nothing_measures_nothing(pool: Pool) -> None:
    ticket = pool.ticket(pool.lane(MODEL), MODEL, CallSize(None, 30, lambda: 9, lambda: ("",)))
    assert (ticket.measure, ticket.tokens, ticket.estimate) == (None, 0, 0)


async def test_what_calls_have_cost_is_learned(clock: VirtualClock) -> None:
    """A prompt of the same length counts as much as the gateway said of the last one."""
    pool = Pool(Limits(tokens_per_minute=10**6), clock=clock)
    place = pool.lane(MODEL)
    size = CallSize(None, None, lambda: 100, lambda: ("",))
    before = pool.ticket(place, MODEL, size)
    pool.learn(MODEL, before, 300, 50)
    after = pool.ticket(place, MODEL, size)
    assert (before.estimate, after.estimate) == (100, 100)
    assert (before.tokens, after.tokens) == (1_100, 350)
    assert pool.prompt_tokens(MODEL, after) == 300
    assert pool.prompt_tokens("another", after) == 100


async def test_tokens_are_measured_when_they_begin_to_count(clock: VirtualClock) -> None:
    """Where a limit is only learned, nobody reads a prompt before it is known."""
    pool = Pool(clock=clock)
    ticket = pool.ticket(pool.lane(MODEL), MODEL, CallSize(None, 30, lambda: 9, lambda: ("",)))
    assert (ticket.estimate, ticket.tokens) == (0, 0)
    assert ticket.measure is not None
    ticket.measure(ticket)
    assert (ticket.estimate, ticket.tokens) == (9, 39)


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
        pool.note_aside(mask(KEY), "q*", "no such model")
        assert lane(pool).set_aside == "no such model"
        pool.note_aside(mask(KEY), "", "wrong key")
        assert lane(pool).set_aside == "wrong key"  # for whatever model
        pool.note_aside("another", "", "nothing left")
        pool.note_aside(mask(KEY), "gpt*", "nothing left")
        pool.note_aside(mask(KEY), "", None)
        pool.note_aside(mask(KEY), "", None)
        assert lane(pool).set_aside == "no such model"
        pool.note_aside(mask(KEY), "q*", None)
        assert lane(pool).set_aside is None
