"""How a body is taken: who waits, what ends it, and what an end leaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from math import inf
from typing import Any, cast

import pytest

from aiotokengate import (
    CallerError,
    ResponseInvalid,
    ServerFailed,
    StreamInterrupted,
    TimedOut,
    TokenGate,
    TransportError,
    WireError,
)
from aiotokengate._policy.timeouts import Timeout
from aiotokengate._stream.call import ChatStream
from aiotokengate._stream.receiver import HELD_OPEN, Guard, Receiver, raise_if
from aiotokengate._wire.pack import BLOCK
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from aiotokengate.types import Attempt
from tests.support.common import receiver_over
from tests.support.raw_server import Wire, serving

CHUNK = 'data: {"choices":[{"index":0,"delta":{"content":"好"}}]}\n\n'.encode()
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'{"error":{"message":"down","code":500}}'
BROKEN = ConnectionResetError("gone")


async def test_a_reader_that_waits_can_be_cancelled() -> None:
    """Of two, one may go without harm."""
    clock = VirtualClock()
    receiver = receiver_over([Pause(1), CHUNK, FINISH, DONE], clock=clock)
    waiting = asyncio.ensure_future(receiver.wait())
    parked = asyncio.ensure_future(receiver.wait())
    await clock.run_for(0)
    parked.cancel()
    await clock.run_for(2)
    await waiting
    assert parked.cancelled()
    await receiver.drain()
    assert receiver.reply().answer == "好"


async def test_who_waits_is_woken_by_content_alone() -> None:
    """By all of it at once, and not by a keep-alive."""
    clock = VirtualClock()
    receiver = receiver_over([Pause(1), b": PING\n\n", Pause(1), CHUNK], clock=clock)
    readers = [asyncio.ensure_future(receiver.wait()) for _ in range(3)]
    await clock.run_for(0.5)
    assert not any(reader.done() for reader in readers)
    await clock.run_for(1)
    assert not any(reader.done() for reader in readers)
    await clock.run_for(0.5)
    assert all(reader.done() for reader in readers)
    assert len(receiver.log) == 1


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
    assert body_of(receiver).state == "closed"


async def test_stopped_while_somebody_reads() -> None:
    """A reader that waits for the network comes back when the stream is stopped."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, Pause(1000)], clock=clock)
    await receiver.wait()
    reader = asyncio.ensure_future(receiver.wait())
    await clock.run_for(0)
    receiver.stop()
    await reader
    receiver.stop()
    assert (receiver.status, receiver.reply().answer) == ("stopped", "好")


async def test_stopped_after_the_finish_is_complete() -> None:
    """Whoever leaves between the finish and the usage has a whole reply."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK + FINISH, Pause(1000)], clock=clock)
    await receiver.wait()
    receiver.stop()
    assert (receiver.status, receiver.reply().finish_reason) == ("complete", "stop")


async def test_stopped_where_every_chunk_claims_to_be_the_last() -> None:
    """Claims that were followed by text say nothing of what is still to come."""
    claim = CHUNK.replace(b'"}}]}', b'"},"finish_reason":"stop"}]}')
    receiver = receiver_over([claim, claim, Pause(1000)], clock=VirtualClock())
    await receiver.wait()
    await receiver.wait()
    receiver.stop()
    reply = receiver.reply()
    assert (receiver.status, reply.answer, reply.finish_reason) == ("stopped", "好好", None)
    assert reply.choices[0].status == "stopped"


async def test_bytes_after_the_end_are_nobodys() -> None:
    """What a read brings after the stream was stopped changes nothing."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, CHUNK], clock=clock)
    await receiver.wait()
    reader = asyncio.ensure_future(receiver.wait())
    receiver.stop()
    await reader
    assert receiver.reply().answer == "好"


async def test_what_comes_after_the_end_changes_nothing() -> None:
    """More of the body, its end, or a break of a connection that nobody reads any more."""
    receiver = receiver_over([CHUNK, Pause(inf)])
    await receiver.prime()
    receiver.stop()
    receiver.data(CHUNK)
    receiver.end()
    receiver.failed(BROKEN)
    assert (receiver.status, receiver.error, receiver.reply().answer) == ("stopped", None, "好")


async def test_nothing_at_all_and_a_break() -> None:
    """Before the first entry the error is the transport's own."""
    receiver = receiver_over([BROKEN])
    with pytest.raises(TransportError, match="gone"):
        await receiver.prime()


async def test_streams_that_began_together_do_not_pack_together() -> None:
    """Else a thousand of them, one text after the other, would make each other wait."""
    many = 16
    receivers = [receiver_over([Pause(inf)]) for _ in range(many)]
    packed = [0] * many
    most = 0
    for _ in range(4 * BLOCK):
        for receiver in receivers:
            receiver.data(CHUNK)
        before, packed = packed, [receiver.log.base for receiver in receivers]
        most = max(most, sum(now > then for then, now in zip(before, packed, strict=True)))
    assert most == 1
    assert min(packed) >= 2 * BLOCK


# --- who reads, and what a reply leaves ---------------------------------------------------------


class Reader:
    """A position in the transcript."""

    def __init__(self) -> None:
        self.at = 0


async def test_what_all_have_read_is_dropped() -> None:
    """Where nothing is to be retained; the slowest reader decides, as long as it lives."""
    forgetful = receiver_over([Pause(inf)], retain=False)
    fast, slow = Reader(), Reader()
    forgetful.follow(fast)
    forgetful.follow(slow)
    fast.at, slow.at = 6 * BLOCK, 2 * BLOCK
    while len(forgetful.log) < 6 * BLOCK:
        forgetful.data(CHUNK)
    assert forgetful.log.first == 2 * BLOCK
    del slow
    while len(forgetful.log) < 10 * BLOCK:
        forgetful.data(CHUNK)
    assert forgetful.log.first == 6 * BLOCK
    del fast
    while len(forgetful.log) < 12 * BLOCK:
        forgetful.data(CHUNK)
    assert forgetful.log.first == 6 * BLOCK  # whoever comes now gets what is there


async def test_all_is_kept_where_it_is_to_be_retained() -> None:
    receiver = receiver_over([Pause(inf)])
    reader = Reader()
    receiver.follow(reader)
    reader.at = 4 * BLOCK
    while len(receiver.log) < 4 * BLOCK:
        receiver.data(CHUNK)
    assert (receiver.log.first, receiver.log.base >= 2 * BLOCK) == (0, True)


# --- how far it reads ahead ---------------------------------------------------------------------

MANY = 1000


async def ahead_of(*readers: Reader, wait: bool = False, entries: int = MANY) -> Receiver:
    """Return a receiver that may read 300 bytes ahead, once it has come as far as it does."""
    receiver = receiver_over([*[CHUNK] * entries, Pause(inf)])
    receiver._settings.read_ahead = 300
    for reader in readers:
        receiver.follow(reader)
    waiting = asyncio.ensure_future(receiver.drain()) if wait else None
    for _ in range(10 * entries):
        await asyncio.sleep(0)
    receiver.stop()
    if waiting is not None:
        await waiting
    return receiver


async def test_a_slow_reader_holds_the_sender_up() -> None:
    """Of several the one that is furthest counts; a look is not taken at every read."""
    behind, further = Reader(), Reader()
    assert 100 < len((await ahead_of(behind)).log) < 130
    further.at = 500
    assert 600 < len((await ahead_of(behind, further)).log) < 640


async def test_the_end_is_waited_for_as_long_as_the_sender_waits_for_us() -> None:
    """A reply that has finished, and whose usage can't come yet, is not given up."""
    clock = VirtualClock()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":7}}\n\n'
    receiver = receiver_over([CHUNK * 9 + FINISH, usage, DONE], clock=clock, read_ahead=8)
    reader = Reader()
    receiver.follow(reader)
    await clock.run_for(1000)
    assert not receiver.ended
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(1)
    await reading
    assert (receiver.status, receiver.reply().notes) == ("complete", ())
    assert receiver.reply().usage.completion_tokens == 7


async def test_one_that_is_held_open_is_given_up_after_a_pause_too() -> None:
    clock = VirtualClock()
    receiver = receiver_over([CHUNK * 9 + FINISH, Pause(inf)], clock=clock, read_ahead=8)
    reader = Reader()
    receiver.follow(reader)
    await clock.run_for(1000)
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(1.9)
    assert not receiver.ended
    await clock.run_for(0.2)
    await reading
    assert (receiver.status, receiver.reply().notes) == ("complete", (HELD_OPEN,))


async def test_who_waits_for_all_is_no_slow_reader() -> None:
    assert len((await ahead_of(Reader(), wait=True)).log) == MANY


async def test_a_view_that_nobody_opened_counts_for_nothing() -> None:
    assert len((await ahead_of()).log) == MANY


async def test_a_server_can_send_no_more_than_somebody_reads() -> None:
    """But for what kernels keep; and once it is read, all of it comes."""
    text, count, sent = "🙂" * 4_000, 4_000, 0
    event = f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}\n\n'.encode()

    async def reply(wire: Wire) -> bytes:
        nonlocal sent
        wire.writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for sent in range(1, count + 1):  # noqa: B007 - read by the test
            wire.writer.write(event)
            await wire.writer.drain()
        wire.later(wire.close)
        return FINISH + DONE

    async with (
        serving(reply) as server,
        TokenGate(api_key="sk-test", base_url=f"{server.root}/v1", read_ahead=1 << 16) as gate,
        gate.chat("qwen3.6-max-preview", "写一部长篇小说 📖") as stream,
    ):
        answer = aiter(stream.answer)
        assert await anext(answer) == text
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            for _ in range(1000):
                await asyncio.sleep(0)
        assert sent < count // 2
        assert sum([len(piece) async for piece in answer]) == (count - 1) * len(text)


async def test_prime_waits_for_the_first_entry() -> None:
    receiver = receiver_over([b": PING\n\n", CHUNK, FINISH, DONE])
    await receiver.prime()
    assert (len(receiver.log), receiver.ended) == (1, False)


async def test_prime_raises_what_came_in_place_of_a_reply() -> None:
    """As itself, with the id of the answer, unless the error knows a better one."""
    receiver = receiver_over([b"data: " + ERROR + b"\n\n"], request_id="r1")
    with pytest.raises(ServerFailed, match="down") as caught:
        await receiver.prime()
    assert (caught.value.request_id, receiver.status) == ("r1", "interrupted")
    own = ServerFailed("down", status=500, request_id="r2")
    receiver = receiver_over([own], request_id="r1")
    with pytest.raises(ServerFailed) as caught:
        await receiver.prime()
    assert (caught.value is own, own.request_id) == (True, "r2")
    receiver.note_attempts(MADE)
    assert own.attempts == MADE


async def test_prime_leaves_a_cut_to_the_readers() -> None:
    """Once there is content, no other attempt is allowed."""
    receiver = receiver_over([CHUNK + b"data: " + ERROR + b"\n\n"])
    await receiver.prime()
    assert (receiver.ended, receiver.status) == (True, "interrupted")
    assert isinstance(receiver.error, StreamInterrupted)


async def test_what_its_settings_say_of_the_frames() -> None:
    """How many bytes they may have, whether each must be readable, what no note may echo."""
    receiver = receiver_over([CHUNK, CHUNK], max_reply_bytes=2 * len(CHUNK) - 1)
    await receiver.drain()
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, WireError)
    assert "max_reply_bytes" in receiver.error.message
    receiver = receiver_over([CHUNK, b"data: {oops\n\n", FINISH + DONE], strict=True)
    await receiver.drain()
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, WireError)
    quoting = ConnectionResetError("gone: a secret prompt of mine")
    receiver = receiver_over(
        [CHUNK + FINISH, quoting], secrets=lambda: ["a secret prompt of mine"]
    )
    await receiver.drain()
    assert receiver.log.notes == ["error after the finish: the connection broke: gone: […]"]


async def test_a_reply_is_made_once() -> None:
    """Before the end it is made anew, of what has come by then."""
    receiver = receiver_over([CHUNK, FINISH + DONE], prompt_tokens=lambda: 7)
    await receiver.wait()
    first = receiver.reply()
    assert (first.answer, first.status) == ("好", "interrupted")
    assert receiver.reply() is not first
    await receiver.drain()
    whole = receiver.reply()
    assert (whole.status, whole.usage.prompt_tokens) == ("complete", 7)
    assert receiver.reply() is whole
    receiver.note_attempts(MADE)
    assert receiver.reply() is not whole


ENDS: dict[str, tuple[list[Step], str, str]] = {
    "done": ([CHUNK, FINISH + DONE], "complete", "released"),
    "finished": ([CHUNK, FINISH], "complete", "released"),
    "broken after the finish": ([CHUNK, FINISH, BROKEN], "complete", "closed"),
    "cut": ([CHUNK], "interrupted", "closed"),
    "broken": ([CHUNK, BROKEN], "interrupted", "closed"),
    "refused": ([b"data: " + ERROR + b"\n\n"], "interrupted", "closed"),
    "broken before": ([BROKEN], "interrupted", "closed"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_an_end_is_told_once_and_leaves_the_connection(case: str) -> None:
    """One that may serve again is released, any other is closed."""
    steps, status, state = ENDS[case]
    clock = VirtualClock(start=100.0)
    receiver = receiver_over([Pause(3.0), *steps], clock=clock, began=98.0)
    told: list[Receiver] = []
    receiver.on_end = told.append
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(10)
    await reading
    receiver.stop()
    receiver.abandon()
    assert (receiver.status, told, receiver.ended) == (status, [receiver], True)
    assert (body_of(receiver).state, receiver.timeline.done) == (state, 5.0)
    assert clock.pending == 0
    await receiver.wait()
    assert receiver.status == status


def body_of(receiver: Receiver) -> ScriptedBody:
    assert isinstance(receiver._body, ScriptedBody)
    return receiver._body


async def test_a_stop_closes_the_connection() -> None:
    receiver = receiver_over([CHUNK, CHUNK])
    told: list[str] = []
    receiver.on_end = lambda ended: told.append(ended.status)
    await receiver.wait()
    receiver.stop()
    receiver.stop()
    assert (told, body_of(receiver).state, receiver.error) == (["stopped"], "closed", None)
    assert receiver.reply().choices[0].status == "stopped"


async def test_a_stop_after_the_finish_leaves_it_to_serve_again() -> None:
    receiver = receiver_over([CHUNK + FINISH, DONE])
    await receiver.wait()
    receiver.stop()
    assert (receiver.status, body_of(receiver).state) == ("complete", "released")


def test_a_reader_that_goes_after_its_loop_stops_nothing() -> None:
    async def opened() -> Receiver:
        return receiver_over([CHUNK])

    receiver = asyncio.run(opened())
    receiver.abandon()
    assert not receiver.ended


async def test_attempts_are_on_the_reply_and_on_the_error() -> None:
    receiver = receiver_over([CHUNK, BROKEN])
    await receiver.drain()
    receiver.note_attempts(MADE)
    assert receiver.reply().attempts == MADE
    assert isinstance(receiver.error, StreamInterrupted)
    assert receiver.error.attempts == receiver.error.partial.attempts == MADE
    whole = receiver_over([CHUNK + FINISH + DONE])
    await whole.drain()
    whole.note_attempts(MADE)
    assert whole.reply().attempts == MADE


MADE = (Attempt("m", 0.0, 1.0),)


async def test_the_last_guard_stops_it() -> None:
    receiver = receiver_over([CHUNK, CHUNK])
    guards = [Guard(receiver)] * 2
    await receiver.wait()
    del guards[0]
    assert not receiver.ended
    guards.clear()
    assert receiver.status == "stopped"
    receiver.abandon()


async def test_the_last_guard_goes_in_another_thread() -> None:
    receiver = receiver_over([CHUNK, CHUNK])
    guards = [Guard(receiver)]
    await asyncio.to_thread(guards.clear)
    await asyncio.sleep(0)
    assert receiver.status == "stopped"


async def test_another_loop() -> None:
    receiver = receiver_over([CHUNK])
    with pytest.raises(CallerError, match="in the event loop that opened it"):
        await asyncio.to_thread(asyncio.run, receiver.wait())


async def test_a_limit_of_the_whole_call() -> None:
    """The watch looks at the clock, and a reader that waits is woken with the error."""
    clock = VirtualClock()
    receiver = receiver_over([CHUNK, Pause(1000)], clock=clock, limit=(5.0, "total", 5.0))
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(1)
    assert receiver.tick(clock.now()) == 5.0
    await clock.run_for(5)
    receiver.tick(clock.now())
    await reading
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, TimedOut)
    assert receiver.error.__cause__.phase == "total"


async def test_when_its_clocks_are_looked_at_next() -> None:
    """A stall is the silence of the wire since the last content, whoever reads."""
    clock = VirtualClock()
    steps: list[Step] = [CHUNK, Pause(20), b": PING\n\n", Pause(20), CHUNK, Pause(inf)]
    receiver = receiver_over(steps, clock=clock, timeout=Timeout(stall=50.0))
    await receiver.wait()
    await clock.run_for(7)
    assert receiver.tick(clock.now()) == 50.0
    await clock.run_for(20)
    assert receiver.tick(clock.now()) == 50.0  # a keep-alive is no content
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(20)
    assert receiver.tick(clock.now()) == 90.0
    await clock.run_for(42)
    assert (receiver.tick(clock.now()), receiver.ended) == (90.0, False)
    await clock.run_for(1)
    assert receiver.tick(clock.now()) == inf
    await reading
    assert isinstance(receiver.error, StreamInterrupted)
    assert isinstance(receiver.error.__cause__, TimedOut)
    assert (receiver.error.__cause__.phase, receiver.timeline.done) == ("stall", 90.0)


async def test_waiting_for_some_time() -> None:
    clock = VirtualClock()
    receiver = receiver_over([Pause(10), CHUNK], clock=clock)
    turn = asyncio.ensure_future(receiver.wait(None, 1.0))
    await clock.run_for(2)
    await turn
    assert len(receiver.log) == 0
    turn = asyncio.ensure_future(receiver.wait(None, 60.0))
    await clock.run_for(10)
    await turn
    assert len(receiver.log) == 1


async def test_the_value_of_an_answer() -> None:
    receiver = receiver_over([CHUNK + FINISH + DONE], parse=len)
    await receiver.drain()
    assert (receiver.reply().parsed, receiver.error) == (1, None)
    receiver.note_attempts(MADE)
    assert (receiver.reply().parsed, receiver.reply().attempts) == (1, MADE)


async def test_an_answer_without_the_value_that_it_should_have() -> None:
    """It is whole, and an error; of half an answer nobody asks."""
    receiver = receiver_over([CHUNK + FINISH + DONE], parse=int)
    await receiver.drain()
    assert isinstance(receiver.error, ResponseInvalid)
    assert (receiver.status, receiver.reply().parsed) == ("complete", None)
    assert receiver.error.reply == receiver.reply()
    receiver = receiver_over([CHUNK], parse=int)
    await receiver.drain()
    assert isinstance(receiver.error, StreamInterrupted)
    receiver = receiver_over([CHUNK, CHUNK], parse=int)
    await receiver.wait()
    receiver.stop()
    assert receiver.error is None


async def test_a_mistake_of_ours_is_no_break_of_the_network() -> None:
    """It meets whoever reads as it is, wherever it was made."""
    receiver = receiver_over([KeyError("x")])
    with pytest.raises(KeyError):
        await receiver.prime()
    assert receiver.status == "interrupted"
    receiver = receiver_over([CHUNK, Pause(inf)])
    await receiver.prime()
    receiver._framing = None  # type: ignore[assignment]
    receiver.data(CHUNK)
    with pytest.raises(AttributeError):
        raise_if(receiver.error)


@pytest.mark.parametrize("last", [FINISH + DONE, FINISH, CHUNK])
async def test_a_mistake_at_the_end_leaves_no_callback(last: bytes) -> None:
    """Aiohttp would take it for a broken answer; whoever waits is woken, and meets it."""

    def fails(_: Receiver) -> None:
        raise LookupError

    receiver = receiver_over([CHUNK, last])
    receiver.on_end = fails
    await receiver.drain()
    assert receiver.ended
    if receiver.status == "complete":
        with pytest.raises(LookupError):
            raise_if(receiver.error)
    else:  # what ended it says more
        assert isinstance(receiver.error, StreamInterrupted)
    assert body_of(receiver).state == "closed"


# --- who is woken, and by what ------------------------------------------------------------------


class Counting:
    """A place in a pool that counts how often somebody begins to wait, or follows."""

    def __init__(self) -> None:
        self.count = 0

    def touch(self) -> None:
        self.count += 1


async def waits(read: Callable[[ChatStream], Awaitable[object]]) -> int:
    """Return how often a reader waits, for 40 thoughts and 40 pieces of answer in 20 seconds."""
    clock, place = VirtualClock(), Counting()
    thought = CHUNK.replace(b"content", b"reasoning_content")
    steps = [step for piece in [*[thought] * 40, *[CHUNK] * 40] for step in (Pause(0.25), piece)]
    receiver = receiver_over([*steps, FINISH + DONE], clock=clock)
    receiver.hold = cast("Any", place)
    reading = asyncio.ensure_future(read(ChatStream(receiver, Guard(receiver))))
    await clock.run_for(30)
    await reading
    return place.count


async def each(items: AsyncIterator[object]) -> None:
    async for _ in items:
        pass


async def test_a_reader_is_woken_by_what_it_waits_for_alone() -> None:
    """Once for a whole reply; never by thoughts for the answer; at intervals for bursts."""
    follows = 1
    assert await waits(lambda stream: stream.reply()) == 1
    assert await waits(lambda stream: each(aiter(stream))) == follows + 80 + 1
    assert await waits(lambda stream: each(aiter(stream.answer))) == follows + 40 + 1
    assert await waits(lambda stream: each(aiter(stream.reasoning))) == follows + 40 + 1
    assert await waits(lambda stream: each(stream.answer.bursts(0.8))) <= follows + 2 * 13 + 2
    assert await waits(lambda stream: each(stream.tool_calls)) == 1


THOUGHT = CHUNK.replace(b"content", b"reasoning_content")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([Pause(1), THOUGHT, Pause(1), CHUNK, FINISH, DONE], (1.0, 2.0, 2.0)),
        ([Pause(1), CHUNK, Pause(1), THOUGHT, FINISH, DONE], (None, 1.0, 2.0)),
        ([Pause(1), THOUGHT, Pause(1), THOUGHT, FINISH, DONE], (1.0, None, 2.0)),
        ([Pause(1), THOUGHT + CHUNK, Pause(1), THOUGHT, CHUNK, FINISH, DONE], (1.0, 1.0, 2.0)),
        ([Pause(1), FINISH, DONE], (None, None, 1.0)),
    ],
)
async def test_when_the_first_thinking_and_answer_came(
    steps: list[Step], expected: tuple[float | None, ...]
) -> None:
    """Thinking that comes after the answer is not the first."""
    clock = VirtualClock(start=7.0)
    receiver = receiver_over(steps, clock=clock)
    assert receiver.alive_at is None
    reading = asyncio.ensure_future(receiver.drain())
    await clock.run_for(3)
    await reading
    timeline = receiver.timeline
    assert (timeline.first_reasoning, timeline.first_answer, timeline.done) == expected
    assert receiver.alive_at == (9.0 if len(receiver.log.items) > 1 else 7.0)


class Place:
    """A place in a pool, which counts how often somebody reads; and a reader of nothing."""

    touched = at = 0

    def touch(self) -> None:
        self.touched += 1


async def test_its_place_learns_that_it_is_read() -> None:
    place: Any = Place()
    receiver = receiver_over([CHUNK])
    receiver.hold = place
    receiver.follow(place)
    await receiver.wait()
    assert place.touched == 2


def test_another_loop_of_the_same_thread() -> None:
    """It is told as soon as there is something to wait for."""

    async def opened() -> tuple[Receiver, asyncio.Future[None]]:
        receiver = receiver_over([Pause(inf)])
        waiting = asyncio.ensure_future(receiver.wait())
        await asyncio.sleep(0)
        return receiver, waiting

    with asyncio.Runner() as first, asyncio.Runner() as second:
        receiver, waiting = first.run(opened())
        with pytest.raises(CallerError, match="read in the event loop that opened it"):
            second.run(receiver.wait())
        assert not waiting.done()
