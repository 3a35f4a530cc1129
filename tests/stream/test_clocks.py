"""The watch: each clock is looked at when it may have run out, and not before."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from aiotokengate import StreamInterrupted, TimedOut
from aiotokengate._stream.clocks import FAR, TICK, Watch, limited, run_out
from aiotokengate._stream.download import Download, DownloadSettings
from aiotokengate.clock import Timer
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from tests.support.common import receiver_over

CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"好"}}]}\n\n'.encode()
COMMENT = b": PING\n\n"
STALL = 120.0


class Watched:
    """Something whose clock runs out at a time, and which counts how often it is looked at."""

    def __init__(self, at: float, then: Callable[[], object] = lambda: None) -> None:
        self.due_tick = 0
        self.looks: list[float] = []
        self._at = at
        self._then = then

    def tick(self, now: float) -> float:
        self.looks.append(now)
        self._then()
        return self._at


async def test_nobody_is_looked_at_more_often_than_needed() -> None:
    """Of a thousand with hours to go each is looked at once, and then once a minute."""
    clock = VirtualClock()
    watch = Watch(clock)
    many = [Watched(36_000.0) for _ in range(1_000)]
    for each in many:
        watch.add(each)
    await clock.run_for(3 * FAR)
    assert {(*each.looks,) for each in many} == {(0.25, 60.5, 120.75)}
    assert {*watch.watched()} == {*many}


@pytest.mark.parametrize(
    ("at", "looks"),
    [
        (0.1, [0.25, 0.5, 0.75, 1.0]),
        (0.25, [0.25, 0.5, 0.75, 1.0, 1.25]),
        (1.0, [0.25, 1.25, 1.5, 1.75, 2.0]),
        (7.3, [0.25, 7.5, 7.75, 8.0, 8.25]),
        (61.0, [0.25, 60.5, 61.25, 61.5, 61.75, 62.0]),
    ],
)
async def test_a_clock_is_looked_at_soon_after_it_may_have_run_out(
    at: float, looks: list[float]
) -> None:
    """And at every tick from then on, for one who does not end by that."""
    clock = VirtualClock(start=1_000.0)
    watch = Watch(clock)
    each = Watched(1_000.0 + at)
    watch.add(each)
    await clock.run_for(at + 1)
    assert [look - 1_000.0 for look in each.looks] == looks


async def test_who_comes_later_is_looked_at_with_the_next_tick() -> None:
    clock = VirtualClock()
    watch = Watch(clock)
    one, other = Watched(inf), Watched(inf)
    watch.add(one)
    await clock.run_for(0.6)
    watch.add(other)
    await clock.run_for(0.3)
    assert (one.looks, other.looks) == ([0.25], [0.75])
    watch.discard(one)
    watch.discard(one)
    assert [*watch.watched()] == [other]


async def test_what_was_called_off_is_not_looked_at() -> None:
    clock = VirtualClock()
    watch = Watch(clock)
    short, long = Watched(100.0), Watched(100.0)
    watch.add(short)
    watch.discard(short)
    assert [*watch.watched()] == []
    watch.add(long)
    await clock.run_for(1)
    watch.discard(long)
    await clock.run_for(200)
    assert (short.looks, long.looks) == ([], [TICK])
    assert clock.pending == 0


async def test_one_that_ends_another_while_it_is_looked_at() -> None:
    """Whichever of two is looked at first, the other is not, and is not kept."""
    clock = VirtualClock()
    watch = Watch(clock)
    pair: list[Watched] = []
    pair += [
        Watched(1.0, lambda: watch.discard(pair[1])),
        Watched(1.0, lambda: watch.discard(pair[0])),
    ]
    for each in pair:
        watch.add(each)
    await clock.run_for(5)
    assert sorted(bool(each.looks) for each in pair) == [False, True]
    assert len([*watch.watched()]) == 1


class Moved:
    """A clock that a test moves by itself, as when something blocks the loop."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.due: list[Callable[[], object]] = []

    def now(self) -> float:
        return self.time

    def call_later(self, _: float, callback: Callable[[], object]) -> Timer:
        self.due = [callback]
        return VirtualClock().call_later(0, callback)

    async def sleep(self, _: float) -> None:
        raise NotImplementedError

    def tick(self, seconds: float) -> None:
        self.time += seconds
        self.due.pop()()


async def test_a_blocked_loop_is_not_silence() -> None:
    """What arrived meanwhile is read before anybody is looked at, but that is waited for once."""
    clock = Moved(100.0)
    watch = Watch(clock)
    each = Watched(inf)
    watch.add(each)
    clock.tick(TICK)
    looks = [*each.looks]
    clock.tick(FAR)  # the loop was blocked for a minute
    assert each.looks == looks
    clock.tick(TICK)
    assert len(each.looks) == len(looks) + 1
    for _ in range(3):  # and so it is all the time
        clock.tick(2 * FAR)
    assert len(each.looks) == len(looks) + 2


async def test_a_loop_that_is_blocked_from_the_beginning() -> None:
    """Also the first look is put off, but not where it is late by a tick."""
    for late, looks in ((TICK, 1), (1.1 * TICK, 0)):
        clock = Moved(0.0)
        watch = Watch(clock)
        each = Watched(inf)
        watch.add(each)
        clock.tick(TICK + late)
        assert len(each.looks) == looks
        clock.tick(TICK)
        assert len(each.looks) == 1
        watch.stop()
        watch.stop()


async def test_a_clock_that_begins_anywhere() -> None:
    clock = VirtualClock(start=-2.0)
    watch = Watch(clock)
    each = Watched(-0.1)
    watch.add(each)
    await clock.run_for(2.5)
    assert any(-0.1 <= look <= -0.1 + 2 * TICK for look in each.looks)


async def test_a_look_that_fails_is_told_and_harms_no_other() -> None:
    """Else nobody's clock would run out any more."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: told.append(found))
    clock = VirtualClock()
    watch = Watch(clock)

    def fail() -> None:
        raise KeyError(1)

    bad, good = Watched(0.0, fail), Watched(0.0)
    assert bad.due_tick == 0
    watch.add(bad)
    watch.add(good)
    await clock.run_for(4 * TICK)
    assert [(found["message"], repr(found["exception"])) for found in told] == [
        ("the end of a call failed", "KeyError(1)")
    ]
    assert bad.due_tick == 0
    assert (len(bad.looks), len(good.looks)) == (1, 4)
    assert [*watch.watched()] == [good]


async def test_it_stops_when_nothing_is_left() -> None:
    clock = VirtualClock()
    watch = Watch(clock)
    each = Watched(5.0)
    watch.add(each)
    await clock.run_for(1)
    assert clock.pending == 1
    watch.discard(each)
    await clock.run_for(1)
    assert clock.pending == 0
    watch.add(each)
    assert clock.pending == 1
    watch.stop()
    assert clock.pending == 0
    watch.add(Watched(5.0))
    assert clock.pending == 1


@pytest.mark.parametrize(
    ("limit", "stall", "waited", "found"),
    [
        (None, None, 1e9, (None, float("inf"))),
        ((5.0, "total", 5.0), None, 0.0, (None, 15.0)),
        ((5.0, "total", 5.0), 2.0, 0.5, (None, 13.5)),
        ((1.0, "total", 1.0), 2.0, 0.5, ("total", float("inf"))),
        ((5.0, "deadline", 5.0), 2.0, 2.0, ("stall", float("inf"))),
        ((5.0, "total", 5.0), 9.0, 0.5, (None, 15.0)),
        ((2.0, "deadline", 2.5), None, 0.0, ("deadline", float("inf"))),
        ((2.5, "total", 2.5), None, 0.0, (None, 12.5)),
        (None, 2.0, 1.5, (None, 12.5)),
    ],
)
def test_which_clock_has_run_out(
    limit: object, stall: float | None, waited: float, found: tuple[str | None, float]
) -> None:
    """The call began at 10, and now it is 12."""
    error, again = run_out(limit, 10.0, stall, waited, 12.0)  # type: ignore[arg-type]
    assert (error.phase if error else None, again) == found


def test_the_setting_that_was_too_short_is_named() -> None:
    error, _ = run_out((1.0, "total", 1.5), 10.0, 2.0, 9.0, 12.0)
    assert str(error) == str(TimedOut("total", 1.5))
    error, _ = run_out(None, 10.0, 2.0, 9.0, 12.0)
    assert str(error) == str(TimedOut("stall", 2.0))


# --- a block ------------------------------------------------------------------------------------


async def test_a_block_that_takes_too_long() -> None:
    clock = VirtualClock()

    async def use(seconds: float) -> float:
        async with limited(clock, 3.0):
            await clock.sleep(seconds)
        return clock.now()

    short, long = (asyncio.ensure_future(use(seconds)) for seconds in (2.5, 3.5))
    await clock.run_for(10)
    assert await short == 2.5
    with pytest.raises(TimeoutError):
        await long
    assert clock.pending == 0


async def test_a_block_that_raises_or_is_cancelled() -> None:
    clock = VirtualClock()
    with pytest.raises(ZeroDivisionError):
        async with limited(clock, 3.0):
            raise ZeroDivisionError

    async def use() -> None:
        async with limited(clock, 3.0):
            await clock.sleep(9.0)

    task = asyncio.ensure_future(use())
    await clock.run_for(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.pending == 0


# --- the stall of a stream ----------------------------------------------------------------------


async def test_keep_alives_do_not_put_off_a_stall() -> None:
    clock = VirtualClock()
    silence: list[Step] = [Pause(30), COMMENT]
    receiver = receiver_over([CHUNK, *silence * 10, CHUNK], clock=clock)
    Watch(clock).add(receiver)
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(STALL - 1)
    assert not receiver.ended
    await clock.run_for(1 + 2 * TICK)
    await reading
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, TimedOut)


async def test_content_sets_the_clock_back() -> None:
    """Keep-alives between pieces of content are silence, but only since the last piece."""
    clock = VirtualClock()
    steady: list[Step] = [Pause(STALL / 2), COMMENT, Pause(STALL / 2 - 1), CHUNK]
    receiver = receiver_over([CHUNK, *steady * 2, Pause(10 * STALL), CHUNK], clock=clock)
    Watch(clock).add(receiver)
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(2 * (STALL - 1) + STALL - 2)
    assert (receiver.ended, len(receiver.log)) == (False, 3)
    await clock.run_for(2 + 2 * TICK)
    await reading
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, TimedOut)
    assert receiver.error.__cause__.phase == "stall"


async def test_bytes_set_the_clock_of_a_download_back() -> None:
    """Also where it is read in short turns, each of which is called off."""
    clock = VirtualClock()
    settings = DownloadSettings(clock=clock, began=0.0, limit=None, stall=STALL, most=1 << 20)
    more: list[Step] = [Pause(STALL - 20), b"b"]
    download = Download(ScriptedBody([b"a", *more * 4], clock=clock), settings, 200, {}, None)
    download.watched(Watch(clock), lambda _: None)
    pieces, found = aiter(download), b""
    while len(found) < 5:
        turn = asyncio.ensure_future(anext(pieces))
        await clock.run_for(50.0)
        turn.cancel()
        (piece,) = await asyncio.gather(turn, return_exceptions=True)
        assert isinstance(piece, bytes | asyncio.CancelledError)
        found += piece if isinstance(piece, bytes) else b""
    assert found == b"abbbb"


async def test_waiting_in_short_turns_is_waiting() -> None:
    """A reader that gives up every second, and comes back, meets the stall as well."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, Pause(10 * STALL), CHUNK], clock=clock)
    Watch(clock).add(receiver)
    await receiver.wait()
    for _ in range(int(STALL) + 2):
        turn = asyncio.ensure_future(receiver.wait(None, 1.0))
        await clock.run_for(1.0)
        await turn
    assert receiver.ended
    assert isinstance(receiver.error, StreamInterrupted)


async def test_a_download_in_short_turns_stalls_as_well() -> None:
    clock = VirtualClock()
    settings = DownloadSettings(clock=clock, began=0.0, limit=None, stall=STALL, most=1 << 20)
    body = ScriptedBody([b"a", Pause(10 * STALL), b"b"], clock=clock)
    download = Download(body, settings, 200, {}, None)
    download.watched(Watch(clock), lambda _: None)
    pieces = aiter(download)
    assert await anext(pieces) == b"a"
    error = None
    for _ in range(int(STALL) + 2):
        turn = asyncio.ensure_future(anext(pieces))
        await clock.run_for(1.0)
        turn.cancel()
        error = (await asyncio.gather(turn, return_exceptions=True))[0]
        if isinstance(error, TimedOut):
            break
    assert isinstance(error, TimedOut)
    assert error.phase == "stall"


async def test_a_reader_that_is_busy_does_not_stall() -> None:
    """What the caller takes its time with is not the gateway's silence."""
    clock = VirtualClock()
    silence = Pause(STALL - 10)
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    receiver = receiver_over([CHUNK, silence, CHUNK, silence, CHUNK, end], clock=clock)
    watch = Watch(clock)
    watch.add(receiver)
    receiver.on_end = watch.discard
    await receiver.prime()
    await clock.run_for(10 * STALL)
    assert (receiver.status, receiver.reply().answer) == ("complete", 3 * "好")


async def test_a_paused_connection_does_not_stall() -> None:
    """What stands still because too much waits for the reader is nobody's silence."""
    clock = VirtualClock()
    receiver = receiver_over([Pause(1), *[CHUNK] * 5, Pause(STALL - 10), CHUNK], clock=clock)
    receiver._settings.read_ahead = 8  # three characters of three bytes are more
    Watch(clock).add(receiver)
    reader = Reader()
    receiver.follow(reader)
    await clock.run_for(10 * STALL)
    assert (receiver.ended, len(receiver.log)) == (False, 3)
    reader.at = 3
    turn = asyncio.ensure_future(receiver.wait())
    await clock.run_for(1)
    await turn
    reader.at = 5
    assert (receiver.ended, len(receiver.log)) == (False, 5)
    await clock.run_for(STALL - 12)
    assert not receiver.ended
    await clock.run_for(STALL + 2)
    assert (receiver.ended, len(receiver.log)) == (True, 6)


class Reader:
    """A position in the transcript, of somebody who is busy."""

    at = 0
