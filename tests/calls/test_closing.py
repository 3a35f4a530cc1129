"""The end of a session: who waits is refused, what streams is ended, and nothing more is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aiotokengate import CallerError, Limits, Pool, Reply
from aiotokengate._calls.closing import Calls, end_all
from aiotokengate._stream.clocks import Watch
from aiotokengate.testing import (
    FakeGateway,
    Gate,
    JobPlan,
    Raw,
    VirtualClock,
    faults,
)
from tests.support.common import receiver_over
from tests.support.ending import (
    CLOSED,
    ONE,
    all_refused,
    begun,
    half,
    opened,
    outcomes,
    turns,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "qwen3.6-plus"
QUESTIONS = ("一", "二 🎹", "三")

pytestmark = pytest.mark.filterwarnings("ignore:a stream was still open:ResourceWarning")


SOUND = "/v1/files/1"


def sound(turnstile: Gate) -> Raw:
    """Return a file that waits in its middle."""
    return Raw(body=[b"ID3", turnstile, b"sound"], headers={"Content-Type": "audio/mpeg"})


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


# --- who waits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [False, True])
async def test_who_waits_is_refused_and_nothing_is_sent(
    gateway: FakeGateway, *, own: bool
) -> None:
    """The places that ending streams sets free are for nobody of the session."""
    gateway.script(*[half(Gate())] * 400)  # more than a slow start lets in at once
    gate = opened(gateway, clock=VirtualClock()) if own else opened(gateway, pool=Pool(ONE))
    tasks = begun(*(gate.chat(MODEL, f"第 {number} 问") for number in range(400 if own else 40)))
    await gateway.wait_requests(1)
    await until(lambda: len(gateway.requests) == gate.pool.statistics().in_flight)
    sent = len(gateway.requests)
    waiting = gate.pool.statistics().waiting
    assert waiting
    await gate.close()
    found = await outcomes(tasks)
    assert len(gateway.requests) == sent
    assert sum(isinstance(each, CallerError) for each in found) >= waiting
    assert all(isinstance(each, Reply) or all_refused([each]) for each in found)
    now = gate.pool.statistics()
    assert (now.in_flight, now.waiting) == (0, 0)
    assert sum(lane.admitted for lane in now.lanes) == (0 if own else 1)  # a closed pool has none
    await gateway.wait_connections(0)


async def test_others_of_a_shared_pool_go_on(gateway: FakeGateway) -> None:
    """A pool that was given is not closed with a session, nor are those of another turned away."""
    pool, turnstile = Pool(ONE), Gate()
    gateway.script(half(turnstile))
    ending, other = opened(gateway, pool=pool), opened(gateway, pool=pool)
    async with ending.chat(MODEL, "一") as stream:
        refused, going = begun(ending.chat(MODEL, "二"), other.chat(MODEL, "三"))
        await turns()
        await ending.close()
        assert (await stream.reply()).status == "stopped"
    assert (await going).status == "complete"
    assert all_refused(await outcomes([refused]))
    assert [request.json["messages"][0]["content"] for request in gateway.requests] == ["一", "三"]
    await other.close()


# --- what is on its way -------------------------------------------------------------------------


async def test_downloads_are_ended_with_an_error(gateway: FakeGateway, tmp_path: Path) -> None:
    """A file that is being written is not taken for whole, and leaves nothing."""
    gateway.script(sound(Gate()), sound(Gate()), path=SOUND)
    gate = opened(gateway)
    async with gate.request("GET", "/files/1") as saved, gate.request("GET", "/files/1") as read:
        assert await anext(aiter(read)) == b"ID3"
        (saving,) = begun(saved.save(tmp_path / "歌.mp3"))
        await until(lambda: names(tmp_path))
        await gate.close()
        assert all_refused(await outcomes([saving]))
        with pytest.raises(CallerError, match=CLOSED):
            await read.read()
    assert names(tmp_path) == []
    assert len(gateway.requests) == 2


async def test_jobs_are_not_waited_for_any_more(clock: VirtualClock) -> None:
    """Who waits for news is told how to come back, and who comes later as well."""
    async with FakeGateway(now=clock.now) as gateway:
        gateway.jobs.plan = JobPlan(seconds=600)
        gate = opened(gateway, clock=clock)
        jobs = [await gate.videos.create("wan-t2v", "一只猫 🎹").submit() for _ in range(2)]
        (waiting,) = begun(jobs[0].result())
        await clock.run_for(30)
        sent = len(gateway.requests)
        await gate.close()
        (error,) = await outcomes([waiting])
        assert all_refused([error])
        assert error.__notes__ == [
            f"the job goes on: come back to it with gate.job({jobs[0].id!r})"
        ]
        with pytest.raises(CallerError, match=CLOSED):
            await jobs[1]
        assert len(gateway.requests) == sent


# --- drain --------------------------------------------------------------------------------------


async def test_what_runs_may_end_by_itself(gateway: FakeGateway, clock: VirtualClock) -> None:
    """Within the time that is given; who waits is refused as ever, and so is who comes."""
    turnstile = Gate()
    gateway.script(half(turnstile), half(turnstile))
    gate = opened(gateway, pool=Pool(Limits(concurrency=2, learn=False)), clock=clock)
    running = begun(gate.chat(MODEL, "一"), gate.chat(MODEL, "二"))
    await gateway.wait_requests(2)
    waiting = begun(gate.chat(MODEL, "三"))
    await turns()
    (closing,) = begun(gate.close(drain=30))
    assert all_refused(await outcomes(waiting))
    with pytest.raises(CallerError, match=CLOSED):
        gate.chat(MODEL, "四")
    await clock.run_for(29)
    assert not closing.done()
    turnstile.open()
    await closing
    assert [reply.answer for reply in await outcomes(running)] == ["好的", "好的"]
    assert len(gateway.requests) == 2
    assert clock.pending == 0


async def test_what_is_not_over_in_time_is_ended(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    """As if no time had been given."""
    gateway.script(half(Gate()), faults.silence())
    gate = opened(gateway, clock=clock)
    async with gate.chat(MODEL, "一") as stream:
        (silent,) = begun(gate.chat(MODEL, "二"))
        await gateway.wait_requests(2)
        (closing,) = begun(gate.close(drain=5))
        await clock.run_for(4.9)
        assert not closing.done()
        assert not silent.done()
        await clock.run_for(0.2)
        await closing
        assert (await stream.reply()).status == "stopped"
    assert all_refused(await outcomes([silent]))


async def test_downloads_may_end_as_well(gateway: FakeGateway, tmp_path: Path) -> None:
    """A file that is being written is whole afterwards."""
    turnstile = Gate()
    gateway.script(sound(turnstile), path=SOUND)
    gate = opened(gateway)
    async with gate.request("GET", "/files/1") as download:
        (saving,) = begun(download.save(tmp_path / "歌.mp3"))
        (closing,) = begun(gate.close(drain=30))
        await turns()
        turnstile.open()
        assert (await saving).read_bytes() == b"ID3sound"
        await closing


async def test_closing_twice_ends_the_waiting(gateway: FakeGateway, clock: VirtualClock) -> None:
    """Who has no more patience closes again; who is cancelled leaves nothing open."""
    for how in ("close", "cancel"):
        gateway.script(half(Gate()))
        gate = opened(gateway, clock=clock)
        async with gate.chat(MODEL, how) as stream:
            (closing,) = begun(gate.close(drain=30))
            await turns()
            await gate.close() if how == "close" else closing.cancel()
            await outcomes([closing])
            assert repr(stream).startswith("<ChatStream qwen3.6-plus stopped")
    await gateway.wait_connections(0)
    assert clock.pending == 0


async def test_where_nothing_runs_nothing_is_waited_for(
    gateway: FakeGateway, clock: VirtualClock
) -> None:
    gate = opened(gateway, clock=clock)
    await gate.chat(MODEL, "一")
    await gate.close(drain=30)
    assert clock.now() == 0


async def test_two_may_wait_for_the_same_end(gateway: FakeGateway, clock: VirtualClock) -> None:
    """Each for as long as it has patience; after that it is the end for both."""
    turnstile = Gate()
    gateway.script(half(turnstile))
    gate = opened(gateway, clock=clock)
    (running,) = begun(gate.chat(MODEL, "一"))
    await gateway.wait_requests()
    patient, other = begun(gate.close(drain=30), gate.close(drain=40))
    await clock.run_for(29)
    assert not patient.done()
    turnstile.open()
    await asyncio.gather(patient, other)
    assert (await running).answer == "好的"
    assert clock.pending == 0
    calls = Calls()
    assert not calls.busy
    call = Held()
    calls.begin(call)
    for seconds in (2, 3):  # and once more after the first has run out
        (draining,) = begun(calls.drain(clock, seconds))
        await clock.run_for(seconds - 0.1)
        assert not draining.done()
        await clock.run_for(0.1)
        await draining
        assert calls.busy
    calls.call_off(waiting_only=True)
    calls.call_off(waiting_only=False)
    assert call.called_off == [True, False]
    calls.end(call)
    calls.end(call)
    assert not calls.busy


class Held:
    """A call that runs on, whatever it is told."""

    def __init__(self) -> None:
        self.called_off: list[bool] = []

    def call_off(self, *, waiting_only: bool) -> None:
        """Note how it was called off."""
        self.called_off.append(waiting_only)


async def test_what_streams_is_warned_of_where_it_was_opened(clock: VirtualClock) -> None:
    """Where that is known; what is downloaded is ended with an error; no clock runs on."""
    watch = Watch(clock)
    known, other, waiting = receiver_over([]), receiver_over([]), Fetched()
    known.opened_at = "bot.py, line 7"
    for each in (known, other, waiting, Looked()):
        watch.add(each)
    error = CallerError("m")
    with pytest.warns(ResourceWarning) as found:
        end_all(watch, error)
    said = "a stream was still open when its TokenGate was closed"
    assert sorted(str(each.message) for each in found) == [
        said,
        f"{said}; it was opened at:\nbot.py, line 7",
    ]
    assert (known.status, other.status, waiting.error) == ("stopped", "stopped", error)
    assert clock.pending == 0


async def test_the_warning_names_the_line_that_closed_the_session(gateway: FakeGateway) -> None:
    gateway.script(half(Gate()))
    gate = opened(gateway)
    async with gate.chat(MODEL, "一") as stream:
        with pytest.warns(ResourceWarning, match="a stream was still open") as found:
            await gate.close()
        assert [each.filename for each in found] == [__file__]
        assert (await stream.reply()).status == "stopped"


class Looked:
    """Something with clocks alone."""

    due_tick = 0

    def tick(self, now: float) -> float:
        """Have time."""
        return now + 1


class Fetched(Looked):
    """Something that is told how it ends."""

    error: Any = None

    def end(self, error: Any = None) -> None:
        """End."""
        self.error = error


async def test_leaving_the_block_drains_nothing(gateway: FakeGateway) -> None:
    """``async with`` ends as ``close()`` does."""
    gateway.script(faults.silence())
    async with opened(gateway) as gate:
        (asking,) = begun(gate.chat(MODEL, "你好"))
        await gateway.wait_requests()
    assert all_refused(await outcomes([asking]))


@pytest.mark.parametrize("drain", [-1, "5", True, float("nan"), float("inf")])
async def test_a_drain_that_is_no_time(gateway: FakeGateway, drain: Any) -> None:
    """It is refused, and nothing is closed."""
    async with opened(gateway) as gate:
        with pytest.raises(CallerError, match="expected drain in seconds from 0 up, got"):
            await gate.close(drain=drain)
        assert (await gate.chat(MODEL, "还在吗？")).status == "complete"


# --- a pool that is closed ----------------------------------------------------------------------


async def test_a_closed_pool_ends_the_waiting_of_its_sessions(gateway: FakeGateway) -> None:
    """Whoever waits in it is told, and a slot made before can't be entered."""
    pool = Pool(ONE)
    gateway.script(half(Gate()))
    async with opened(gateway, pool=pool) as gate, gate.chat(MODEL, "一") as stream:
        (waiting,) = begun(gate.chat(MODEL, "二"))
        slot = pool.slot(MODEL)
        await turns()
        pool.close()
        with pytest.raises(CallerError, match="this Pool is closed"):
            await waiting
        with pytest.raises(CallerError, match="this Pool is closed"):
            async with slot:
                pass
        stream.stop()
