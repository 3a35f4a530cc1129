"""How a body is pulled: who waits, what ends it, and what an end leaves."""

import asyncio

import pytest

from aiotokengate import ServerFailed, StreamInterrupted, TransportError
from aiotokengate._stream.receiver import HELD_OPEN
from aiotokengate._wire.pack import BLOCK
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from tests.support.common import receiver_over

CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"好"}}]}\n\n'.encode()
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'{"error":{"message":"down","code":500}}'
BROKEN = ConnectionResetError("gone")


async def test_a_parked_reader_can_be_cancelled() -> None:
    """Of two readers one pulls and one waits; the one that waits may go without harm."""
    clock = VirtualClock()
    receiver = receiver_over([Pause(1), CHUNK, FINISH, DONE], clock=clock)
    pulling = asyncio.ensure_future(receiver.pull())
    parked = asyncio.ensure_future(receiver.pull())
    await clock.run_for(0)
    parked.cancel()
    await clock.run_for(2)
    await pulling
    assert parked.cancelled()
    await receiver.drain()
    assert receiver.reply().answer == "好"


@pytest.mark.parametrize("lines", [ERROR, ERROR + b"\n" + ERROR], ids=["one", "two"])
async def test_bare_error_lines(lines: bytes) -> None:
    """An error without ``data:`` in mid-stream interrupts, however often it is said."""
    receiver = receiver_over([CHUNK, lines + b"\n\n", CHUNK])
    await receiver.drain()
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, ServerFailed)
    assert receiver.reply().answer == "好"


async def test_a_bare_line_that_is_no_json() -> None:
    """It is passed over, and told."""
    receiver = receiver_over([CHUNK, b"{oops\n\n", FINISH, DONE])
    await receiver.drain()
    assert receiver.status == "complete"
    assert receiver.reply().notes == ("frames skipped: 1 not readable as JSON objects",)


async def test_a_whole_reply_as_a_bare_line() -> None:
    """After a keep-alive a plain completion may follow without ``data:``."""
    whole = b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
    receiver = receiver_over([b": PING\n\n", whole])
    await receiver.drain()
    assert (receiver.status, receiver.reply().answer) == ("complete", "a")


async def test_an_error_in_the_unterminated_last_event() -> None:
    """The last event counts also where its blank line is missing."""
    receiver = receiver_over([CHUNK, b"data: " + ERROR])
    await receiver.drain()
    assert isinstance(receiver.error, StreamInterrupted)
    assert receiver.error.status == 500


async def test_what_had_arrived_may_be_the_end() -> None:
    """A connection that breaks after its last byte was sent has broken nothing."""
    receiver = receiver_over([CHUNK, BROKEN, FINISH + DONE])
    await receiver.drain()
    assert (receiver.status, receiver.error) == ("complete", None)


async def test_a_break_while_waiting_for_the_usage() -> None:
    """After the finish there is nothing to interrupt; the reply tells what happened."""
    receiver = receiver_over([CHUNK + FINISH, BROKEN])
    await receiver.drain()
    assert receiver.status == "complete"
    assert receiver.reply().notes == ("error after the finish: the connection broke: gone",)


async def test_the_wait_for_the_end_is_counted_anew() -> None:
    """Whatever a choice says after its finish gives the protocol's own end its time again."""
    clock = VirtualClock()
    late: list[Step] = [Pause(1.5), CHUNK + FINISH]
    receiver = receiver_over([CHUNK + FINISH, *late * 3, Pause(1.5), DONE], clock=clock)
    draining = asyncio.ensure_future(receiver.drain())
    await clock.run_for(7)
    await draining
    assert (receiver.status, receiver.reply().notes) == ("complete", ())
    assert len(receiver.reply().answer) == 4


async def test_a_stream_that_is_held_open_is_closed_here() -> None:
    """Two seconds after its finish, with a note, and not kept for its last bytes."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK + FINISH, Pause(1000), DONE], clock=clock)
    draining = asyncio.ensure_future(receiver.drain())
    await clock.run_for(1.9)
    assert not receiver.ended
    await clock.run_for(0.2)
    await draining
    assert (receiver.status, receiver.reply().notes) == ("complete", (HELD_OPEN,))
    assert isinstance(receiver._body, ScriptedBody)
    assert receiver._body.state == "closed"


async def test_stopped_while_somebody_reads() -> None:
    """A reader that waits for the network comes back when the stream is stopped."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, Pause(1000)], clock=clock)
    await receiver.pull()
    reader = asyncio.ensure_future(receiver.pull())
    await clock.run_for(0)
    receiver.stop()
    await reader
    receiver.stop()
    assert (receiver.status, receiver.reply().answer) == ("stopped", "好")


async def test_stopped_after_the_finish_is_complete() -> None:
    """Whoever leaves between the finish and the usage has a whole reply."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK + FINISH, Pause(1000)], clock=clock)
    await receiver.pull()
    receiver.stop()
    assert (receiver.status, receiver.reply().finish_reason) == ("complete", "stop")


async def test_stopped_where_every_chunk_claims_to_be_the_last() -> None:
    """Claims that were followed by text say nothing of what is still to come."""
    claim = CHUNK.replace(b'"}}]}', b'"},"finish_reason":"stop"}]}')
    receiver = receiver_over([claim, claim, Pause(1000)], clock=VirtualClock())
    await receiver.pull()
    await receiver.pull()
    receiver.stop()
    reply = receiver.reply()
    assert (receiver.status, reply.answer, reply.finish_reason) == ("stopped", "好好", None)
    assert reply.choices[0].status == "stopped"


async def test_bytes_after_the_end_are_nobodys() -> None:
    """What a read brings after the stream was stopped changes nothing."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, CHUNK], clock=clock)
    await receiver.pull()
    reader = asyncio.ensure_future(receiver.pull())
    receiver.stop()
    await reader
    assert receiver.reply().answer == "好"


async def test_nothing_at_all_and_a_break() -> None:
    """Before the first entry the error is the transport's own."""
    receiver = receiver_over([BROKEN])
    with pytest.raises(TransportError, match="gone"):
        await receiver.prime()


async def test_streams_that_began_together_do_not_pack_together() -> None:
    """Else a thousand of them, one text after the other, would make each other wait."""
    receivers = [receiver_over([CHUNK] * 4 * BLOCK) for _ in range(BLOCK)]
    packed = [0] * BLOCK
    most = 0
    for _ in range(4 * BLOCK):
        for receiver in receivers:
            await receiver.pull()
        before, packed = packed, [receiver.log.base for receiver in receivers]
        most = max(most, sum(now > then for then, now in zip(before, packed, strict=True)))
    assert most == 1
    assert min(packed) >= 2 * BLOCK
