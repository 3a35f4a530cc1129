"""The clock that tests move."""

import asyncio
import math

import pytest

from aiotokengate import CallerError
from aiotokengate.testing._clock import VirtualClock


def test_time_stands_still() -> None:
    """Nothing moves the clock but the test."""
    clock = VirtualClock(start=100)
    assert clock.now() == 100
    clock.advance(0.5)
    assert (clock.now(), repr(clock)) == (100.5, "<VirtualClock 100.5 s, 0 pending>")


def test_timers_run_in_order_at_their_own_time() -> None:
    """What is due first runs first, whatever was scheduled first; equal times keep their order."""
    clock = VirtualClock()
    ran: list[tuple[str, float]] = []
    for name, delay in (("c", 3), ("a", 1), ("b", 2), ("b again", 2)):
        clock.call_later(delay, lambda name=name: ran.append((name, clock.now())))  # type: ignore[misc]
    clock.advance(2.5)
    assert ran == [("a", 1), ("b", 2), ("b again", 2)]
    assert (clock.pending, clock.now()) == (1, 2.5)


def test_a_timer_that_makes_a_timer() -> None:
    """A tick that schedules the next one runs as often as it would have."""
    clock = VirtualClock()
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_later(0.25, tick)

    clock.call_later(0.25, tick)
    clock.advance(1)
    assert ticks == [0.25, 0.5, 0.75, 1.0]


def test_a_cancelled_timer_does_not_run() -> None:
    """Calling a timer off takes it out; doing so twice, or too late, is harmless."""
    clock = VirtualClock()
    ran: list[str] = []
    first = clock.call_later(1, lambda: ran.append("first"))
    second = clock.call_later(1, lambda: ran.append("second"))
    first.cancel()
    assert clock.pending == 1
    clock.advance(2)
    second.cancel()
    assert (ran, clock.pending) == (["second"], 0)


def test_a_delay_that_has_passed_runs_at_once() -> None:
    """A negative delay is due now, and not in the past."""
    clock = VirtualClock(start=5)
    ran: list[float] = []
    clock.call_later(-1, lambda: ran.append(clock.now()))
    clock.advance(0)
    assert ran == [5]


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_time_runs_forward(seconds: float) -> None:
    """Moving backwards, or for ever, is refused."""
    with pytest.raises(CallerError, match=f"0 or more seconds, got {seconds!r}"):
        VirtualClock().advance(seconds)


async def test_sleepers_wake_in_order() -> None:
    """Sleeping tasks go on when their moment comes, and may sleep again within one run."""
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *delays: float) -> None:
        for delay in delays:
            await clock.sleep(delay)
            woken.append((name, clock.now()))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("slow", 2, 2))
        group.create_task(sleeper("quick", 1, 0, 1.5))
        await clock.run_for(4)
    assert woken == [("quick", 1), ("quick", 1), ("slow", 2), ("quick", 2.5), ("slow", 4)]


async def test_a_sleep_that_is_not_over() -> None:
    """A sleeper that the clock has not reached sleeps on; cancelled, it leaves no timer."""
    clock = VirtualClock()
    task = asyncio.ensure_future(clock.sleep(10))
    await clock.run_for(9.75)
    assert (task.done(), clock.pending) == (False, 1)
    task.cancel()
    await clock.settle()
    assert (task.cancelled(), clock.pending) == (True, 0)


async def test_an_hour_passes_at_once() -> None:
    """A clock that ticks every minute costs sixty turns, not an hour."""
    clock = VirtualClock()
    task = asyncio.ensure_future(clock.sleep(3600))
    await clock.run_for(3600)
    assert task.done()
    assert clock.now() == 3600
