"""Calls that would wait for themselves are told so; those that others can let in wait, and go."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from aiotokengate import CallerError, Endpoint, Limits, Pool, TokenGate
from aiotokengate._policy.lanes import Ticket
from aiotokengate._pool.backend import LocalBackend
from aiotokengate._pool.holding import Hold, Wait, _here
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply, VirtualClock, VirtualTimer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiotokengate import ChatStream
    from aiotokengate._pool.backend import BackendLane

MODEL = "qwen3.6-plus"
KEYS = ("sk-" + "a" * 45, "sk-" + "b" * 45)
ITSELF = "would wait for itself"
SECRET = "绝密的问题 🎹"


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock that the test moves."""
    return VirtualClock()


@pytest.fixture
async def keyed() -> AsyncIterator[FakeGateway]:
    """Return a gateway that takes any key."""
    async with FakeGateway(any_key=True) as gateway:
        yield gateway


def opened(gateway: FakeGateway, pool: Pool, **settings: Any) -> TokenGate:
    if "endpoints" not in settings:
        settings["api_key"] = gateway.api_key
    return TokenGate(base_url=gateway.base_url, pool=pool, clock=pool.clock, **settings)


@pytest.fixture
async def gate(gateway: FakeGateway, clock: VirtualClock) -> AsyncIterator[TokenGate]:
    """Return a session whose lane has one place."""
    pool = Pool(Limits(concurrency=1, learn=False), clock=clock)
    async with opened(gateway, pool) as gate:
        yield gate


def half(turnstile: Gate | None = None) -> ScriptedReply:
    """Return a reply that waits in its middle."""
    return ScriptedReply(answer=["好", turnstile or Gate(), "的"])


async def turns(number: int = 20) -> None:
    """Let the loop turn some times."""
    for _ in range(number):
        await asyncio.sleep(0)


def waiting(gate: TokenGate) -> int:
    return gate.pool.statistics().waiting


# --- told ---------------------------------------------------------------------------------------


async def iterated(gate: TokenGate, nested: Any) -> None:
    async for _ in gate.chat(MODEL, "外"):
        await nested()
        return


async def entered(gate: TokenGate, nested: Any) -> None:
    async with gate.chat(MODEL, "外") as stream:
        async for _ in stream.answer:
            await nested()
            return


async def entered_for_bursts(gate: TokenGate, nested: Any) -> None:
    async with gate.chat(MODEL, "外") as stream:
        async for _ in stream.answer.snapshots(every=0):
            await nested()
            return


OUTER = [iterated, entered, entered_for_bursts]


async def awaited(gate: TokenGate) -> None:
    await gate.chat(MODEL, SECRET)


async def in_a_loop(gate: TokenGate) -> None:
    async for _ in gate.chat(MODEL, SECRET):
        pass


async def in_a_block(gate: TokenGate) -> None:
    async with gate.chat(MODEL, SECRET):
        pass


async def in_a_slot(gate: TokenGate) -> None:
    (route,) = gate._sender.admission.routes.all
    async with gate.pool.slot(MODEL, key=route.key):
        pass


async def in_a_task(gate: TokenGate) -> None:
    await asyncio.create_task(awaited(gate))


async def with_a_time_limit(gate: TokenGate) -> None:
    await asyncio.wait_for(asyncio.ensure_future(in_a_loop(gate)), 60)


async def gathered(gate: TokenGate) -> None:
    await asyncio.gather(awaited(gate), asyncio.sleep(0))


async def shielded(gate: TokenGate) -> None:
    await asyncio.shield(awaited(gate))


async def in_a_group(gate: TokenGate) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(awaited(gate))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


INNER = [
    *(awaited, in_a_loop, in_a_block, in_a_slot),
    *(in_a_task, with_a_time_limit, gathered, shielded, in_a_group),
]


@pytest.mark.parametrize("inner", INNER, ids=lambda use: use.__name__)
@pytest.mark.parametrize("outer", OUTER, ids=lambda use: use.__name__)
async def test_a_call_inside_a_stream_of_its_task(
    gateway: FakeGateway, gate: TokenGate, outer: Any, inner: Any
) -> None:
    """It is told at once, without any time passing, and nothing of it is left."""
    gateway.script(half())
    with pytest.raises(CallerError, match=ITSELF) as caught:
        await outer(gate, lambda: inner(gate))
    assert "Limits(concurrency=...)" in str(caught.value)
    assert "提示" in str(caught.value)
    assert SECRET not in str(caught.value)
    caught.value.__traceback__ = None
    assert len(gateway.requests) == 1
    await turns()
    now = gate.pool.statistics()
    assert (now.in_flight, now.waiting) == (0, 0)
    assert (await gate.chat(MODEL, "再来")).status == "complete"


async def test_the_stream_goes_on_afterwards(gateway: FakeGateway, gate: TokenGate) -> None:
    """Who was told can read on, and then go."""
    turnstile = Gate()
    gateway.script(half(turnstile))
    async with gate.chat(MODEL, "外") as stream:
        async for _ in stream.answer:
            with pytest.raises(CallerError, match=ITSELF):
                await gate.chat(MODEL, "内")
            break
        turnstile.open()
        assert await stream.answer.text() == "好的"
        assert (await gate.chat(MODEL, "内")).status == "complete"


async def test_a_download_holds_its_place_as_well(gateway: FakeGateway, gate: TokenGate) -> None:
    """Whatever is read in pieces does."""
    gateway.script(Raw(body=[b"ID3", Gate(), b"sound"]), path="/v1/files/1")
    async with gate.request("POST", "/files/1", json={}) as download:
        async for _ in download:
            with pytest.raises(CallerError, match=ITSELF):
                await gate.request("POST", "/files/1", json={})
            break


async def test_a_stream_that_nobody_reads(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """It may still be handed to somebody, so that its opener is told half a second later."""
    gateway.script(half())
    async with gate.chat(MODEL, "外") as stream:
        asking = asyncio.ensure_future(in_a_task(gate))
        other = asyncio.ensure_future(asyncio.wait({asking}))
        await clock.run_for(10)
        assert not asking.done()  # this task is not known to wait for it
        asking.cancel()
        await other

        async def wait_for_it() -> None:
            await in_a_task(gate)

        moving = asyncio.create_task(clock.run_for(0.4))
        nested = asyncio.create_task(wait_for_it())
        await moving
        assert not nested.done()
        asyncio.get_running_loop().call_soon(clock.advance, 0.2)
        with pytest.raises(CallerError, match=ITSELF):
            await nested
        stream.stop()


async def test_all_places_are_its_own(gateway: FakeGateway, clock: VirtualClock) -> None:
    """Two of two are all; while one of them is another's, there is something to wait for."""
    gateway.script(*[half(Gate())] * 3)
    pool = Pool(Limits(concurrency=2, learn=False), clock=clock)
    async with opened(gateway, pool) as gate, gate.chat(MODEL, "一") as one:
        async for _ in one.answer:
            async with gate.chat(MODEL, "二") as two:
                async for _ in two.answer:
                    with pytest.raises(CallerError, match=ITSELF):
                        await gate.chat(MODEL, "三")
                    break
            break


async def test_tokens_that_the_task_has_reserved_itself(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """They come back when the stream is over, and not with time."""
    gateway.script(half())
    limits = Limits(tokens_per_minute=1_000, charge="usage", learn=False)
    pool = Pool(limits, clock=clock, count_tokens=lambda _model, _text: 700)
    async with opened(gateway, pool) as gate:
        await turns()
        async with gate.chat(MODEL, "外") as stream:
            async for _ in stream.answer:
                with pytest.raises(CallerError, match=ITSELF):
                    await gate.chat(MODEL, "内")
                break


# --- not told -----------------------------------------------------------------------------------


async def test_another_task_reads_the_stream(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """It will end by that; also where the reader takes its time, and came late."""
    turnstile, go = Gate(), asyncio.Event()
    gateway.script(half(turnstile))

    async def read(stream: ChatStream) -> None:
        await clock.sleep(0.3)
        async for _ in stream.answer:
            await go.wait()

    async with gate.chat(MODEL, "外") as stream:
        reading = asyncio.create_task(read(stream))
        moving = asyncio.create_task(clock.run_for(60))
        moving.add_done_callback(lambda _: go.set())
        moving.add_done_callback(lambda _: turnstile.open())
        assert (await gate.chat(MODEL, "内")).status == "complete"
        assert clock.now() >= 60
        await asyncio.gather(reading, moving)


async def test_a_child_waits_while_its_parent_reads(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """A task that was started inside a stream goes when the stream is over."""
    turnstile = Gate()
    gateway.script(half(turnstile))
    async with gate.chat(MODEL, "外") as stream:
        texts = aiter(stream.answer)
        await anext(texts)
        child = asyncio.create_task(awaited(gate))
        done, _ = await asyncio.wait({child}, timeout=0)
        assert not done
        await clock.run_for(60)
        assert waiting(gate) == 1
        turnstile.open()
        assert [text async for text in texts] == ["的"]
        await child


async def test_only_the_first_of_several_is_waited_for(
    gateway: FakeGateway, gate: TokenGate, clock: VirtualClock
) -> None:
    """The parent goes on reading with whatever comes first."""
    turnstile = Gate()
    gateway.script(half(turnstile))
    async with gate.chat(MODEL, "外") as stream:
        texts = aiter(stream.answer)
        await anext(texts)
        child = asyncio.create_task(awaited(gate))
        timer = asyncio.create_task(clock.sleep(30))
        moving = asyncio.create_task(clock.run_for(30))
        done, _ = await asyncio.wait({child, timer}, return_when=asyncio.FIRST_COMPLETED)
        assert done == {timer}
        turnstile.open()
        assert [text async for text in texts] == ["的"]
        await asyncio.gather(child, moving)


async def test_a_call_of_another_task_is_in_the_way(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """Its reply is read to the end by the library, so the place comes free."""
    turnstile = Gate()
    gateway.script(half(turnstile), half())
    pool = Pool(Limits(concurrency=2, learn=False), clock=clock)
    async with opened(gateway, pool) as gate:
        other = asyncio.create_task(awaited(gate))
        await gateway.wait_requests(1)
        async with gate.chat(MODEL, "外") as stream:
            async for _ in stream.answer:
                moving = asyncio.create_task(clock.run_for(20))
                moving.add_done_callback(lambda _: turnstile.open())
                assert (await gate.chat(MODEL, "内")).status == "complete"
                break
        await asyncio.gather(other, moving)


async def test_a_reader_that_has_ended_is_no_reader(gateway: FakeGateway, gate: TokenGate) -> None:
    """Then the stream is its opener's again."""
    gateway.script(half())
    async with gate.chat(MODEL, "外") as stream:

        async def first() -> str:
            return await anext(aiter(stream.answer))

        reading = asyncio.create_task(first())
        assert await reading == "好"
        async for _ in stream.answer:
            with pytest.raises(CallerError, match=ITSELF):
                await gate.chat(MODEL, "内")
            break
        assert reading.done()


async def test_the_lane_of_another_key_can_take_it(
    keyed: FakeGateway, clock: VirtualClock
) -> None:
    """Before anybody is told, every key is tried; then the task holds the places of all."""
    turnstile = Gate()
    keyed.script(half(turnstile), half(turnstile), half(turnstile))
    pool = Pool(Limits(concurrency=1, learn=False), clock=clock)
    keys = [Endpoint(api_key=key) for key in KEYS]
    async with opened(keyed, pool, endpoints=keys) as gate, gate.chat(MODEL, "一") as one:
        await anext(aiter(one.answer))
        other = asyncio.create_task(awaited(gate))  # takes the other key
        await keyed.wait_requests(2)
        moving = asyncio.create_task(clock.run_for(20))
        moving.add_done_callback(lambda _: turnstile.open())
        async with gate.chat(MODEL, "二") as two:
            await anext(aiter(two.answer))
        await asyncio.gather(other, moving)
    used = {request.headers["Authorization"] for request in keyed.requests}
    assert len(used) == 2
    assert keyed.requests[0].headers["Authorization"] != keyed.requests[2].headers["Authorization"]


async def test_the_places_of_all_keys_are_its_own(keyed: FakeGateway, clock: VirtualClock) -> None:
    """Then there is nobody to wait for."""
    keyed.script(half(), half())
    pool = Pool(Limits(concurrency=1, learn=False), clock=clock)
    keys = [Endpoint(api_key=key) for key in KEYS]
    async with (
        opened(keyed, pool, endpoints=keys) as gate,
        gate.chat(MODEL, "一") as one,
        gate.chat(MODEL, "二") as two,
    ):
        for stream in (one, two):
            async for _ in stream.answer:
                break
        with pytest.raises(CallerError, match=ITSELF):
            await gate.chat(MODEL, "三")
        assert pool.statistics().waiting == 0


async def test_after_the_reply_the_place_is_free(gate: TokenGate) -> None:
    """Also inside the block, and for as many calls as one likes; gate.map holds no place."""
    async with gate.chat(MODEL, "外") as stream:
        await stream.reply()
        assert (await gate.chat(MODEL, "内")).status == "complete"
    async for outcome in gate.map([{"model": MODEL, "messages": "你好"}] * 3):
        assert outcome.reply is not None
        assert (await gate.chat(MODEL, "内")).status == "complete"


# --- rings --------------------------------------------------------------------------------------


Caught = list[warnings.WarningMessage]


async def cross(gate: TokenGate, first: str, second: str, both: asyncio.Barrier) -> None:
    """Open a stream of one model, and ask another when all have done so."""
    async with gate.chat(first, SECRET) as stream:
        async for _ in stream.answer:
            await both.wait()
            await gate.chat(second, SECRET)
            return


def rings(found: Caught) -> list[str]:
    return [str(each.message) for each in found if issubclass(each.category, RuntimeWarning)]


async def test_tasks_that_wait_for_each_other_are_warned_of(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """After five seconds, once for each ring, without a word of the prompt; they wait on."""
    gateway.script(half(), half())
    one = Limits(concurrency=1, learn=False)
    pool = Pool({"glm*": one, "*": one}, clock=clock)
    both = asyncio.Barrier(2)
    async with opened(gateway, pool) as gate:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            tasks = [
                asyncio.create_task(cross(gate, MODEL, "glm-5", both)),
                asyncio.create_task(asyncio.wait_for(cross(gate, "glm-5", MODEL, both), 600)),
            ]
            await gateway.wait_requests(2)
            await turns(50)
            await clock.run_for(4.8)
            assert rings(found) == []
            await clock.run_for(0.6)
            (said,) = rings(found)
            await clock.run_for(60)
            assert len(rings(found)) == 1
        assert "wait for each other" in said
        assert "提示" in said
        assert SECRET not in said
        assert waiting(gate) == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_ring_that_has_a_way_out_is_none(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """Where one place of the lane is held by somebody who does not wait, all will go on."""
    turnstile = Gate()
    gateway.script(half(), half(), half(turnstile))
    pool = Pool(Limits(concurrency=3, learn=False), clock=clock)
    both = asyncio.Barrier(2)
    async with opened(gateway, pool) as gate:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            tasks = [asyncio.create_task(cross(gate, MODEL, MODEL, both)) for _ in range(2)]
            await gateway.wait_requests(2)
            async with gate.chat(MODEL, "第三") as stream:
                await turns(50)
                await clock.run_for(30)
                assert rings(found) == []
                turnstile.open()
                await stream.reply()
            await asyncio.gather(*tasks)


async def test_a_slot_that_waits_for_a_slot(clock: VirtualClock) -> None:
    """A place for another client may be given back by anybody, so that is a warning too."""
    pool = Pool(Limits(concurrency=1, learn=False), clock=clock)

    async def nested() -> None:
        async with pool.slot(MODEL), pool.slot(MODEL):
            pass

    waits = asyncio.create_task(nested())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        await clock.run_for(4)
        assert rings(found) == []
        await clock.run_for(2)
        assert len(rings(found)) == 1
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    assert pool.statistics().in_flight == 0


async def test_a_slot_that_another_task_uses(clock: VirtualClock) -> None:
    """Who takes places and hands them to workers is not warned of."""
    pool = Pool(Limits(concurrency=1, learn=False), clock=clock)
    done = asyncio.Event()

    async def work(slot: Any) -> None:
        slot.answered()
        await done.wait()
        slot.settle(5)

    async def hand_out() -> None:
        for _ in range(2):
            slot = pool.slot(MODEL)
            await slot.__aenter__()
            workers.append(asyncio.create_task(work(slot)))

    workers: list[asyncio.Task[None]] = []
    handing = asyncio.create_task(hand_out())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        await clock.run_for(30)
        assert rings(found) == []
    done.set()
    await handing
    await asyncio.gather(*workers)


# --- one hold, and one wait ---------------------------------------------------------------------


class Noting(VirtualClock):
    """A clock that notes for how long it is asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def call_later(self, seconds: float, callback: Callable[[], object]) -> VirtualTimer:
        """Note it, and do as any other."""
        self.asked.append(round(seconds, 9))
        return super().call_later(seconds, callback)


class Crowd:
    """A lane with some places, and who holds them."""

    def __init__(self, places: int = 1) -> None:
        self.clock = Noting()
        self.lane = LocalBackend(self.clock).lane("m", "", Limits(concurrency=places, learn=False))
        self.holds: dict[BackendLane, set[Hold]] = {}
        self.given_up: list[float] = []

    def hold(self, *, stream: bool = True) -> Hold:
        """Take a place."""
        assert self.lane.enter(Ticket())
        return Hold(self.holds, self.lane, stream=stream)

    def wait(self) -> Wait | None:
        """Wait for a place, and note when that is given up."""
        ticket = Ticket()
        assert not self.lane.enter(ticket)
        return Wait.begin(self.holds, self.lane, ticket, self.clock, self._note)

    def _note(self) -> None:
        self.given_up.append(self.clock.now())


async def test_who_holds_a_place() -> None:
    """Who opened it and who has read it, as long as they live; and it is given back once."""
    crowd, until = Crowd(), asyncio.Event()
    hold, me = crowd.hold(), asyncio.current_task()
    assert me is not None

    async def read() -> None:
        for _ in range(2):
            hold.touch()
        await until.wait()

    one, two = (asyncio.create_task(read()) for _ in range(2))
    assert hold.is_held_by({me})
    assert not hold.is_held_by({one})
    assert not hold.is_read_by({me, one})
    await asyncio.sleep(0)
    groups = ({me}, {me, one}, {one, two}, {me, one, two})
    assert [hold.is_held_by(each) for each in groups] == [False, False, False, True]
    assert hold.is_read_by({one, me})
    assert not hold.is_read_by({me})
    until.set()
    await asyncio.gather(one, two)
    assert hold.is_held_by({me})
    hold.touch()
    assert hold.is_read_by({me})
    assert (crowd.holds, _here().holds) == ({crowd.lane: {hold}}, 1)
    for _ in range(2):
        hold.release()
        assert (crowd.holds, _here().holds) == ({}, 0)


async def test_places_of_one_lane_are_held_together() -> None:
    crowd = Crowd(2)
    one, two = crowd.hold(), crowd.hold(stream=False)
    assert (crowd.holds, one.stream, two.stream) == ({crowd.lane: {one, two}}, True, False)
    for _ in range(2):
        one.release()
        assert (crowd.holds, _here().holds) == ({crowd.lane: {two}}, 1)
    two.release()
    assert crowd.holds == {}


async def test_a_hold_whose_tasks_are_gone_is_nobodys() -> None:
    """Then somebody unknown may free it."""

    async def opened() -> Hold:
        hold = Crowd().hold()
        hold.touch()
        return hold

    task = asyncio.create_task(opened())
    hold = await task
    assert not hold.is_held_by({task, *asyncio.all_tasks()})
    hold.release()


def test_a_hold_outside_of_any_loop_is_touched_by_nobody() -> None:
    async def opened() -> Hold:
        return Crowd().hold()

    hold = asyncio.run(opened())
    hold.touch()
    assert not hold.is_held_by(set())
    hold.release()


async def test_where_nobody_holds_anything_no_wait_is_looked_at() -> None:
    crowd = Crowd()
    assert crowd.lane.enter(Ticket())
    assert crowd.wait() is None
    assert crowd.clock.asked == []


async def test_who_reads_its_own_stream_is_told_after_some_turns() -> None:
    """Four: tasks that were just made begin to read meanwhile."""
    crowd = Crowd()
    hold = crowd.hold()
    hold.touch()
    wait = crowd.wait()
    assert wait is not None
    for _ in range(3):
        await asyncio.sleep(0)
        assert crowd.given_up == []
    await asyncio.sleep(0)
    assert (crowd.given_up, crowd.clock.asked) == ([0.0], [])
    wait.end()
    hold.release()


async def test_who_has_not_read_its_stream_is_told_after_half_a_second() -> None:
    """Until then it may be handed on."""
    crowd = Crowd()
    hold = crowd.hold()
    wait = crowd.wait()
    assert wait is not None
    await turns()
    crowd.clock.advance(0.499)
    assert crowd.given_up == []
    crowd.clock.advance(0.001)
    assert (crowd.given_up, crowd.clock.asked) == ([0.5], [0.1, 0.4])
    wait.end()
    hold.release()
    assert crowd.clock.pending == 0


@pytest.mark.parametrize("early", [True, False])
async def test_a_wait_that_has_ended_is_not_looked_at(early: bool) -> None:
    crowd = Crowd()
    hold = crowd.hold()
    wait = crowd.wait()
    assert wait is not None
    assert _here().waits == {wait}
    if not early:
        await turns()
    wait.end()
    hold.touch()
    await turns()
    crowd.clock.advance(60)
    assert (crowd.given_up, crowd.clock.asked) == ([], [] if early else [0.1])
    assert not _here().waits
    hold.release()


@pytest.mark.parametrize("by", ["a task", "the library"])
async def test_a_place_that_another_one_frees_is_waited_for(by: str) -> None:
    """A stream that another task has open, or a call in flight that nobody holds."""
    crowd, until = Crowd(2), asyncio.Event()
    holds = [crowd.hold()]

    async def other() -> None:
        if by == "a task":
            holds.append(crowd.hold())
        else:
            assert crowd.lane.enter(Ticket())
        await until.wait()

    task = asyncio.create_task(other())
    await turns()
    wait = crowd.wait()
    assert wait is not None
    await turns()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crowd.clock.advance(20.5)
    assert crowd.given_up == []
    assert crowd.clock.asked == [0.1, 0.4, 4.5, 5.0, 5.0, 5.0, 5.0]
    wait.end()
    until.set()
    await task
    for hold in holds:
        hold.release()


async def test_of_many_who_wait_one_looks_for_rings() -> None:
    """Every five seconds; the others come again in a quarter of one."""
    crowd = Crowd()
    hold = crowd.hold(stream=False)
    first, second = crowd.wait(), crowd.wait()
    assert first is not None
    assert second is not None
    await turns()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        crowd.clock.advance(4.99)
        assert crowd.clock.asked == [0.1, 0.1, 0.4, 0.4, 4.5, 4.5]
        assert rings(found) == []
        crowd.clock.advance(0.01)
        assert crowd.clock.asked[6:] == [5.0, 0.25]
        assert len(rings(found)) == 1
        assert "for 5 s now" in rings(found)[0]
        crowd.clock.advance(0.25)
        assert crowd.clock.asked[8:] == [5.0]
        assert len(rings(found)) == 1
    assert (first.is_old, first.tasks()) == (True, {asyncio.current_task()})
    first.end()
    second.end()
    hold.release()


async def test_a_wait_is_old_when_its_time_has_nearly_come() -> None:
    """Clocks and timers need not agree to the last bit."""
    crowd = Crowd()
    hold = crowd.hold(stream=False)
    wait = crowd.wait()
    assert wait is not None
    for now, old in ((4.89, False), (4.91, True)):
        crowd.clock.advance(now - crowd.clock.now())
        assert wait.is_old is old
    wait.end()
    hold.release()


# --- what is kept -------------------------------------------------------------------------------


async def test_no_task_is_kept_and_no_hold_is_left(gateway: FakeGateway, gate: TokenGate) -> None:
    """A stream knows its readers by weak references, and is forgotten when it is over."""
    gateway.script(half())

    async def read(stream: ChatStream) -> None:
        async for _ in stream.answer:
            return

    async with gate.chat(MODEL, "外") as stream:
        reader = asyncio.create_task(read(stream))
        await reader
        await turns()
        ((hold,),) = gate.pool.holds.values()
        gone = weakref.ref(reader)
        del reader
        gc.collect()
        assert gone() is None
        assert isinstance(hold, Hold)
    assert gate.pool.holds == {}
    async for _ in gate.chat(MODEL, "二"):
        break
    await gate.chat(MODEL, "三")
    async with gate.pool.slot(MODEL) as slot:
        slot.refund()
    assert gate.pool.holds == {}
    assert (_here().holds, len(_here().waits)) == (0, 0)
