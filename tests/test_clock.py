"""Real time, as the library asks for it: each test takes no longer than a turn of the loop."""

import asyncio
import time

from aiotokengate.clock import RealClock


def test_it_is_the_clock_that_never_runs_backwards() -> None:
    """Whoever sets the time of the machine does not shorten a deadline."""
    before = time.monotonic()
    assert before <= RealClock().now() <= time.monotonic()


async def test_a_callback_runs_in_the_running_loop_unless_called_off() -> None:
    """The timers are the loop's own."""
    clock, done = RealClock(), asyncio.Event()
    called_off: list[int] = []
    clock.call_later(0, lambda: called_off.append(1)).cancel()
    clock.call_later(0, done.set)
    await done.wait()
    assert called_off == []


async def test_a_sleep_lets_the_others_run_and_returns() -> None:
    """Even one of no length gives up the turn."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(done.set)
    await RealClock().sleep(0)
    assert done.is_set()


async def test_a_sleep_lasts_as_long_as_was_asked() -> None:
    """It is no shorter; a millisecond is enough to tell."""
    clock = RealClock()
    before = clock.now()
    await clock.sleep(0.001)
    assert clock.now() - before >= 0.0009
