"""The clocks of an attempt, up to its first content: which runs out, when, and whose it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from aiotokengate import TimedOut, Timeout
from aiotokengate._calls.attempt_clock import AttemptClock
from aiotokengate._calls.request import CallPolicy
from aiotokengate._http.connections import Progress
from aiotokengate._policy.retry import Retry
from aiotokengate._stream.clocks import TICK, Watch
from aiotokengate.testing import Pause
from tests.support.common import receiver_over
from tests.support.turns import admission_of, turn_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiotokengate._calls.admission import Turn
    from aiotokengate._calls.attempt_clock import Limit
    from aiotokengate.testing import VirtualClock
    from aiotokengate.testing._scripted_body import Step

SIGN = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{}}]}}]}\n\n'
"""A call that says nothing yet."""

COMMENT = b": PING\n\n"
BEGAN = 100.0


async def silence() -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()


class Attempt:
    """An attempt of a call that began at 100, and its clock."""

    def __init__(self, clock: VirtualClock, deadline: float | None = None, **timeout: Any) -> None:
        limits = {"first_event": None, "stall": None, "total": None, **timeout}
        policy = CallPolicy(Timeout(**limits), Retry(), deadline=deadline)
        clock.advance(BEGAN - clock.now())
        self.clock = clock
        self.watch = Watch(clock)
        self.turn: Turn = turn_of(admission_of(clock))
        self.attempt_clock = AttemptClock(clock, self.watch, policy, self.turn)

    def begin(
        self, attempt: Callable[[], Awaitable[Any]] = silence, started: float = 0.0
    ) -> asyncio.Task[Any]:
        """Make an attempt, in a task of its own."""
        return asyncio.create_task(self.attempt_clock.bound(attempt, started))

    async def end(self, task: asyncio.Task[Any], within: float = 1_000.0) -> tuple[Any, ...]:
        """Let time run until it is over; give which clock ran out, its setting, and when."""
        while not task.done() and self.clock.now() < BEGAN + within:
            await self.clock.run_for(TICK)
        error = task.exception() if task.done() else None
        assert isinstance(error, TimedOut), error
        assert [*self.watch.watched()] == []
        return error.phase, error.seconds, self.clock.now() - BEGAN


async def later(clock: VirtualClock, seconds: float) -> str:
    """Return a text after a while."""
    await clock.sleep(seconds)
    return "好"


@pytest.mark.parametrize(
    ("deadline", "total", "started", "limit"),
    [
        (None, None, 3.0, None),
        (30.0, None, 3.0, (30.0, "deadline", 30.0)),
        (None, 20.0, 3.0, (23.0, "total", 20.0)),
        (30.0, 20.0, 3.0, (23.0, "total", 20.0)),
        (30.0, 20.0, 11.0, (30.0, "deadline", 30.0)),
    ],
)
async def test_what_ends_the_whole_reply(
    clock: VirtualClock,
    deadline: float | None,
    total: float | None,
    started: float,
    limit: Limit | None,
) -> None:
    """The total of this attempt, or the deadline of all, whichever comes first."""
    made = Attempt(clock, deadline, total=total)
    assert made.attempt_clock.limit is None
    task = made.begin(lambda: later(clock, 0), started)
    assert await task == "好"
    assert made.attempt_clock.limit == limit
    assert [*made.watch.watched()] == []


async def test_what_is_left_of_the_deadline(clock: VirtualClock) -> None:
    made = Attempt(clock, 30.0)
    assert made.attempt_clock.began == BEGAN
    assert made.attempt_clock.left() == 30.0
    clock.advance(12.0)
    assert made.attempt_clock.left() == 18.0
    clock.advance(20.0)
    assert made.attempt_clock.left() == -2.0


async def test_without_a_deadline_nothing_is_said_to_be_left(clock: VirtualClock) -> None:
    assert Attempt(clock).attempt_clock.left() is None


async def test_without_a_limit_nothing_is_looked_at(clock: VirtualClock) -> None:
    made = Attempt(clock)
    task = made.begin(lambda: later(clock, 5_000))
    await clock.run_for(4_999)
    assert (clock.pending, [*made.watch.watched()]) == (1, [])
    await clock.run_for(1)
    assert await task == "好"


@pytest.mark.parametrize(
    ("deadline", "timeouts", "started", "found"),
    [
        (30.0, {}, 3.0, ("deadline", 30.0, 30.0)),
        (None, {"total": 20.0}, 3.0, ("total", 20.0, 23.0)),
        (None, {"first_event": 10.0}, 3.0, ("first_event", 10.0, 13.0)),
        (30.0, {"first_event": 10.0}, 3.0, ("first_event", 10.0, 13.0)),
        (12.0, {"first_event": 10.0}, 3.0, ("deadline", 12.0, 12.0)),
        (30.0, {"first_event": 10.0, "total": 9.0}, 3.0, ("total", 9.0, 12.0)),
        (None, {"first_event": 10.0, "total": 10.0}, 3.0, ("total", 10.0, 13.0)),
    ],
)
async def test_which_clock_runs_out_first(
    clock: VirtualClock,
    deadline: float | None,
    timeouts: dict[str, float],
    started: float,
    found: tuple[str, float, float],
) -> None:
    """And not before its time; its name and its setting are told."""
    made = Attempt(clock, deadline, **timeouts)
    clock.advance(started)
    task = made.begin(started=started)
    phase, seconds, at = await made.end(task)
    assert (phase, seconds) == found[:2]
    assert 0 <= at - found[2] <= 2 * TICK
    assert clock.pending == 0


@pytest.mark.parametrize(("sent", "phase"), [(None, "first_event"), (True, "first_event")])
async def test_silence_after_the_request_has_left(
    clock: VirtualClock, sent: bool | None, phase: str
) -> None:
    """Where that is not known, it is taken to have left."""
    made = Attempt(clock, first_event=10.0)
    if sent is not None:
        made.turn.progress = Progress()
        made.turn.progress.sent = sent
    assert (await made.end(made.begin()))[:2] == (phase, 10.0)


@pytest.mark.parametrize(
    ("deadline", "timeouts", "found"),
    [
        (None, {"first_event": 10.0}, ("connect", 10.0)),
        (20.0, {"first_event": 10.0}, ("connect", 10.0)),
        (9.0, {"first_event": 10.0}, ("deadline", 9.0)),
        (None, {"total": 10.0}, ("total", 10.0)),
    ],
)
async def test_silence_while_it_was_still_connecting(
    clock: VirtualClock,
    deadline: float | None,
    timeouts: dict[str, float],
    found: tuple[str, float],
) -> None:
    """The first content would have had to be there by then, but there is no connection even."""
    made = Attempt(clock, deadline, **timeouts)
    made.turn.progress = Progress()
    assert (await made.end(made.begin()))[:2] == found


# --- a reply that shows signs of life -----------------------------------------------------------


async def primed(clock: VirtualClock, steps: list[Step], **limits: Any) -> tuple[Any, ...]:
    """Read a reply up to its first content; give which clock ran out, its setting, and when."""
    made = Attempt(clock, **limits)
    receiver = made.attempt_clock.priming = receiver_over([*steps, Pause(9_000)], clock=clock)
    return await made.end(made.begin(receiver.prime))


@pytest.mark.parametrize(
    ("steps", "limits", "found"),
    [
        ([COMMENT], {}, ("first_event", 10.0, 10.0)),
        ([Pause(2), SIGN], {}, ("stall", 30.0, 32.0)),
        ([Pause(2), SIGN, Pause(29), SIGN], {}, ("stall", 30.0, 61.0)),
        ([Pause(2), SIGN, Pause(29), COMMENT], {}, ("stall", 30.0, 32.0)),
        ([Pause(11), SIGN], {}, ("first_event", 10.0, 10.0)),
        ([SIGN], {"stall": 5.0}, ("stall", 5.0, 10.0)),
        ([SIGN], {"deadline": 20.0}, ("deadline", 20.0, 20.0)),
        ([SIGN], {"total": 25.0}, ("total", 25.0, 25.0)),
        ([SIGN], {"total": 25.0, "stall": None}, ("total", 25.0, 25.0)),
        ([SIGN], {"deadline": 45.0}, ("stall", 30.0, 30.0)),
    ],
)
async def test_who_is_at_work_is_ended_by_silence_alone(
    clock: VirtualClock,
    steps: list[Step],
    limits: dict[str, Any],
    found: tuple[str, float, float],
) -> None:
    """No content within ten seconds is too late; but not where typed events come meanwhile."""
    phase, seconds, at = await primed(
        clock, steps, **{"first_event": 10.0, "stall": 30.0, **limits}
    )
    assert (phase, seconds) == found[:2]
    assert 0 <= at - found[2] <= 2 * TICK


async def test_who_is_at_work_may_be_silent_where_no_clock_says_how_long(
    clock: VirtualClock,
) -> None:
    made = Attempt(clock, first_event=10.0)
    receiver = made.attempt_clock.priming = receiver_over([SIGN, Pause(9_000)], clock=clock)
    task = made.begin(receiver.prime)
    await clock.run_for(150)
    assert not task.done()
    assert [*made.watch.watched()] == [made.attempt_clock]
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [*made.watch.watched()] == []


# --- cancellations ------------------------------------------------------------------------------


async def test_a_time_out_leaves_its_task_as_it_was(clock: VirtualClock) -> None:
    """It is not left cancelled, so that others' clocks work on, and the next attempt's."""
    made = Attempt(clock, first_event=10.0)

    async def ask() -> int:
        for started in (0.0, 11.0):
            with pytest.raises(TimedOut) as raised:
                await made.attempt_clock.bound(silence, started)
            assert raised.value.__suppress_context__ or raised.value.__context__ is None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):  # takes a cancellation for its own, if it is the only
                await silence()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    asking = asyncio.create_task(ask())
    await clock.run_for(22)
    assert await asking == 0


@pytest.mark.parametrize("first", ["clock", "caller"])
async def test_a_cancellation_in_the_moment_of_a_time_out_is_kept(
    clock: VirtualClock, first: str
) -> None:
    """Ours is taken back, and nobody else's: before or after it in the same turn."""
    made = Attempt(clock, first_event=10.0)
    task = made.begin()
    await clock.run_for(9.9)
    if first == "caller":
        task.cancel()
    clock.advance(1)
    if first == "clock":
        task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert [*made.watch.watched()] == []


async def test_one_that_was_cancelled_before_can_still_time_out(clock: VirtualClock) -> None:
    """A cancellation that its task has swallowed is none of ours."""
    made = Attempt(clock, first_event=10.0)

    async def ask() -> int:
        try:
            await silence()
        except asyncio.CancelledError:
            with pytest.raises(TimedOut):
                await made.attempt_clock.bound(silence, 0.0)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    asking = asyncio.create_task(ask())
    await clock.settle()
    asking.cancel()
    await clock.run_for(11)
    assert await asking == 1


async def test_what_it_comes_to_is_passed_on(clock: VirtualClock) -> None:
    """A result, and an error; and no clock is looked at afterwards."""
    made = Attempt(clock, 30.0, first_event=10.0)

    async def fail() -> None:
        await clock.sleep(1)
        raise ZeroDivisionError

    task = made.begin(lambda: later(clock, 9.9))
    await clock.run_for(10)
    assert await task == "好"
    failing = made.begin(fail, 10.0)
    await clock.run_for(1)
    with pytest.raises(ZeroDivisionError):
        await failing
    assert [*made.watch.watched()] == []


async def test_when_it_is_over_no_clock_ends_anything(clock: VirtualClock) -> None:
    made = Attempt(clock, first_event=10.0)
    assert await made.attempt_clock.bound(lambda: later(clock, 0), 0.0) == "好"
    assert made.attempt_clock.tick(10_000.0) == BEGAN + 10
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_moment_at_which_a_clock_runs_out(clock: VirtualClock) -> None:
    """At its second and not before; of two in the same one, it is that of the whole reply."""
    for limits, phase in (({"total": 10.0}, "total"), ({}, "first_event")):
        made = Attempt(clock, first_event=10.0, **limits)
        task = made.begin()
        await clock.settle()
        assert made.attempt_clock.tick(BEGAN + 9.999) == BEGAN + 10
        await clock.settle()
        assert not task.done()
        made.attempt_clock.tick(BEGAN + 10)
        await asyncio.wait([task])
        error = task.exception()
        assert isinstance(error, TimedOut)
        assert (error.phase, error.seconds) == (phase, 10.0)
        made.watch.stop()
