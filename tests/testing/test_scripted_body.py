"""The body without a socket."""

import asyncio
import math

import pytest

from aiotokengate import TimedOut, TransportError
from aiotokengate.testing import Pause
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._scripted_body import ScriptedBody, Step


async def test_pieces_come_as_they_are() -> None:
    """Each piece is one read, then b"" for ever."""
    body = ScriptedBody([b"\xe4\xbd", b"\xa0"])
    assert not body.at_end()
    assert [await body.read() for _ in range(4)] == [b"\xe4\xbd", b"\xa0", b"", b""]
    assert (body.at_end(), body.reads, body.state) == (True, 4, "open")


class Kept:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def data(self, data: bytes) -> None:
        self.told.append(data)

    def end(self) -> None:
        self.told.append("end")

    def failed(self, error: Exception) -> None:
        self.told.append(error)


@pytest.mark.parametrize("gone", [None, ConnectionResetError("gone")])
async def test_it_feeds_a_sink_step_by_step(gone: Exception | None) -> None:
    """Each step in a turn of its own, silence as long as the clock says, and then its end."""
    clock, sink = VirtualClock(), Kept()
    steps: list[Step] = [b"\xe4\xbd", Pause(5), b"\xa0"]
    steps += [gone, b"!"] if gone else []
    body = ScriptedBody(steps, clock=clock)
    body.feed(sink)
    await clock.run_for(4)
    assert sink.told == [b"\xe4\xbd"]
    await clock.run_for(2)
    assert sink.told[1:] == ([b"\xa0", b"!", gone] if gone else [b"\xa0", "end"])


@pytest.mark.parametrize("state", ["closed", "released"])
async def test_it_feeds_nobody_once_it_is_let_go(state: str) -> None:
    clock, sink = VirtualClock(), Kept()
    body = ScriptedBody([b"a", Pause(5), b"b"], clock=clock)
    body.feed(sink)
    await clock.run_for(1)
    body.close() if state == "closed" else body.release()
    await clock.run_for(9)
    assert (sink.told, body.state) == ([b"a"], state)


async def test_a_break_keeps_what_had_arrived() -> None:
    """An error is raised by every read from then on; the bytes after it can be salvaged."""
    gone = ConnectionResetError("gone")
    body = ScriptedBody([b"a", gone, b"b", b"c"])
    assert await body.read() == b"a"
    for _ in range(2):
        with pytest.raises(ConnectionResetError, match="gone"):
            await body.read()
    assert body.salvage() == b"bc"
    error = body.explain(gone)
    assert (type(error), str(error), error.__cause__) == (
        TransportError,
        "the connection broke: gone",
        gone,
    )


def test_an_error_of_the_library_needs_no_words() -> None:
    """A transport error that a test scripts stays itself."""
    error = TimedOut("stall", 3)
    assert ScriptedBody([error]).explain(error) is error


def test_a_mistake_is_raised_again() -> None:
    """It is no failure of a network."""
    mistake = KeyError("x")
    with pytest.raises(KeyError) as caught:
        ScriptedBody([mistake]).explain(mistake)
    assert caught.value is mistake


def test_what_its_head_said() -> None:
    body = ScriptedBody([], headers={"Server": "猫 🐈"}, request_id="r1")
    assert (body.headers, body.request_id, body.salvage()) == ({"Server": "猫 🐈"}, "r1", b"")
    assert (ScriptedBody([]).headers, ScriptedBody([]).request_id) == ({}, None)


async def test_it_can_be_closed_before_and_after_a_read() -> None:
    body = ScriptedBody([Pause(1), b"a", b"b"], clock=(clock := VirtualClock()))
    reader = asyncio.ensure_future(body.read())
    await clock.run_for(1)
    assert await reader == b"a"
    for _ in range(2):
        body.close()
    unread = ScriptedBody([b"a"])
    unread.close()
    for closed in (body, unread):
        with pytest.raises(ConnectionResetError):
            await closed.read()


async def test_silence_lasts_as_long_as_the_clock_says() -> None:
    """A pause ends at its moment, also when its reader was cancelled and another one came."""
    clock = VirtualClock()
    body = ScriptedBody([Pause(3), b"a"], clock=clock)
    first = asyncio.ensure_future(body.read())
    await clock.run_for(2)
    first.cancel()
    await clock.settle()
    second = asyncio.ensure_future(body.read())
    await clock.run_for(0.9)
    assert not second.done()
    await clock.run_for(0.1)
    assert second.result() == b"a"
    assert clock.pending == 0


async def test_closing_ends_a_pending_read() -> None:
    """Whoever waits for a closed connection is told, and whoever asks later as well."""
    body = ScriptedBody([Pause(math.inf)])
    reader = asyncio.ensure_future(body.read())
    await asyncio.sleep(0)
    body.close()
    with pytest.raises(ConnectionResetError, match="the body was closed"):
        await reader
    with pytest.raises(ConnectionResetError, match="the body was closed"):
        await body.read()
    assert body.state == "closed"


async def test_a_pause_that_ends_while_the_body_is_closed() -> None:
    """Whichever comes first decides."""
    clock = VirtualClock()
    body = ScriptedBody([Pause(3), b"a"], clock=clock)
    reader = asyncio.ensure_future(body.read())
    await clock.settle()
    body.close()
    clock.advance(3)
    with pytest.raises(ConnectionResetError, match="the body was closed"):
        await reader


def test_releasing_is_noted() -> None:
    """A reader that is content leaves the connection to others."""
    body = ScriptedBody([])
    body.release()
    assert body.state == "released"
