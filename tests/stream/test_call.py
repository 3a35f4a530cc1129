"""The three ways of use, and every way of reading a stream, against the fake gateway."""

import asyncio
import copy
import gc
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    FinishDelta,
    ReasoningDelta,
    ServerFailed,
    StreamInterrupted,
    TokenGate,
    UsageDelta,
)
from aiotokengate._stream.call import ChatCall, ChatStream
from aiotokengate._stream.receiver import Guard, Receiver
from aiotokengate._wire.pack import BLOCK
from aiotokengate.testing import Call, FakeGateway, Gate, Raw, ScriptedReply, VirtualClock
from aiotokengate.testing._script import Pause
from aiotokengate.testing._scripted_body import ScriptedBody, Step
from tests.support.common import receiver_over

MODEL = "qwen3.6-max-preview"
THOUGHTS = ["想", "一想", "……🤔"]
PIECES = ["你", "好", "！👋🏽"]
FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SCRIPT = ScriptedReply(reasoning=THOUGHTS, answer=PIECES)


async def collected(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


async def test_awaiting_gives_the_whole_reply(gateway: FakeGateway, gate: TokenGate) -> None:
    """Awaiting a call gives everything at once."""
    gateway.script(SCRIPT)
    reply = await gate.chat(MODEL, "在吗？")
    assert (reply.reasoning, reply.answer) == ("".join(THOUGHTS), "".join(PIECES))
    assert (reply.status, reply.finish_reason) == ("complete", "stop")
    assert reply.request_id == gateway.requests[0].request_id
    assert [attempt.error for attempt in reply.attempts] == [None]


async def test_iterating_gives_typed_deltas(gateway: FakeGateway, gate: TokenGate) -> None:
    """Iterating a call gives reasoning, then answer, then the finish and the usage."""
    gateway.script(SCRIPT)
    deltas = [delta async for delta in gate.chat(MODEL, "在吗？")]
    texts = [ReasoningDelta(text) for text in THOUGHTS] + [AnswerDelta(text) for text in PIECES]
    assert deltas[:6] == texts
    assert deltas[6] == FinishDelta(0, "stop")
    assert isinstance(deltas[7], UsageDelta)
    assert len(deltas) == 8


async def test_entering_gives_a_stream_with_two_sides(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Reading the reasoning to its end and then the answer loses nothing."""
    gateway.script(SCRIPT)
    async with gate.chat(MODEL, "在吗？") as stream:
        assert [thought async for thought in stream.reasoning] == THOUGHTS
        assert [token async for token in stream.answer] == PIECES
        assert (await stream.reply()).answer == "".join(PIECES)
        assert stream.request_id == gateway.requests[0].request_id
        assert "X-Oneapi-Request-Id" in stream.headers


async def test_a_finished_stream_gives_its_connection_back(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """After ``[DONE]`` the same socket serves the next call, for each way of use."""
    await gate.chat(MODEL, "一")
    async for _ in gate.chat(MODEL, "二"):
        pass
    async with gate.chat(MODEL, "三") as stream:
        await stream.answer.text()
        await stream.reply()
    await gate.chat(MODEL, "四", stream=False)
    assert [request.connection for request in gateway.requests] == [1, 1, 1, 1]


async def test_side_by_side(gateway: FakeGateway, gate: TokenGate) -> None:
    """Two tasks read the two sides of one stream."""
    gateway.script(SCRIPT)
    async with gate.chat(MODEL, "在吗？") as stream, asyncio.TaskGroup() as group:
        thoughts = group.create_task(collected(aiter(stream.reasoning)))
        tokens = group.create_task(collected(aiter(stream.answer)))
    assert (thoughts.result(), tokens.result()) == (THOUGHTS, PIECES)


async def test_answer_only_late_and_twice(gateway: FakeGateway, gate: TokenGate) -> None:
    """A side that nobody reads costs nothing, and can still be read afterwards, and again."""
    gateway.script(SCRIPT)
    async with gate.chat(MODEL, "在吗？") as stream:
        assert await stream.answer.text() == "".join(PIECES)
        assert await stream.reasoning.text() == "".join(THOUGHTS)
        assert await stream.answer.text() == "".join(PIECES)
        assert len([delta async for delta in stream]) == 8
    assert await stream.reasoning.text() == "".join(THOUGHTS)


async def test_reasoning_first_delays_no_answer(gateway: FakeGateway, gate: TokenGate) -> None:
    """The gateway sends token n+1 only after token n was received."""
    turn = Gate()
    gateway.script(
        ScriptedReply(reasoning=["想", turn, "完"], answer=[turn, "一", turn, "二", turn, "三"])
    )
    async with gate.chat(MODEL, "数数") as stream:
        thoughts = aiter(stream.reasoning)
        assert await anext(thoughts) == "想"
        turn.release()
        assert await anext(thoughts) == "完"
        turn.release()
        with pytest.raises(StopAsyncIteration):
            await anext(thoughts)
        tokens = aiter(stream.answer)
        for expected in "一二三":
            assert await anext(tokens) == expected
            turn.release()
        assert (await stream.reply()).answer == "一二三"


async def test_a_cancelled_reader_loses_nothing(gateway: FakeGateway, gate: TokenGate) -> None:
    """Another reader takes over when the one that was reading is cancelled."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二", "三"]))
    async with gate.chat(MODEL, "数数") as stream:
        first = asyncio.ensure_future(collected(aiter(stream.answer)))
        second = asyncio.ensure_future(collected(aiter(stream.answer)))
        await turn.reached()
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        turn.release()
        assert await second == ["一", "二", "三"]


async def test_a_timed_out_reader_can_go_on(gateway: FakeGateway, gate: TokenGate) -> None:
    """``wait_for(anext(...))`` may run out any number of times; nothing is lost or sent twice."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=[turn, "一", turn, "二"]))
    deltas = aiter(gate.chat(MODEL, "数数"))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(deltas), 0.001)
    await turn.reached()
    turn.release()
    assert await anext(deltas) == AnswerDelta("一")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(deltas), 0.001)
    turn.release()
    assert await anext(deltas) == AnswerDelta("二")
    assert len(gateway.requests) == 1


async def test_a_break_lets_the_server_go(gateway: FakeGateway, gate: TokenGate) -> None:
    """A bare ``break`` closes the connection, without a warning."""
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    async for delta in gate.chat(MODEL, "数数"):
        assert delta == AnswerDelta("一")
        break
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)


async def test_an_exception_in_the_body_lets_the_server_go(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Leaving ``async with`` by an exception closes the connection, and the exception passes."""
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    with pytest.raises(ZeroDivisionError):
        async with gate.chat(MODEL, "数数") as stream:
            async for _ in stream.answer:
                raise ZeroDivisionError
    await gateway.requests[0].disconnected.wait()
    await gateway.wait_connections(0)


async def test_leaving_early_keeps_what_came(gateway: FakeGateway, gate: TokenGate) -> None:
    """After the block, the reply is what had come, and says that it was stopped."""
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        assert await anext(aiter(stream.answer)) == "一"
    reply = await stream.reply()
    assert (reply.answer, reply.status, reply.finish_reason) == ("一", "stopped", None)
    assert reply.usage.estimated
    assert [piece async for piece in stream.answer] == ["一"]


async def test_stop_ends_waiting_readers(gateway: FakeGateway, gate: TokenGate) -> None:
    """``stop`` keeps the partial reply, and whoever waits comes to an end."""
    turn = Gate()
    gateway.script(ScriptedReply(reasoning="想", answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        tokens = aiter(stream.answer)
        assert await anext(tokens) == "一"
        reader = asyncio.ensure_future(stream.answer.text())
        await asyncio.sleep(0)
        stream.stop()
        assert await reader == "一"
        with pytest.raises(StopAsyncIteration):
            await anext(tokens)
        reply = await stream.reply()
    assert (reply.status, reply.choices[0].status) == ("stopped", "stopped")
    await gateway.requests[0].disconnected.wait()


async def test_relay_as_events(gateway: FakeGateway, gate: TokenGate) -> None:
    """The relayed stream, read by the same client again, gives the same deltas."""
    gateway.script(
        ScriptedReply(reasoning=THOUGHTS, answer=PIECES, tool_calls=[Call("f", {"a": 1})])
    )
    async with gate.chat(MODEL, "转发") as stream:
        events = [event async for event in stream.sse()]
        before = [delta async for delta in stream]
    assert events[-1] == b"data: [DONE]\n\n"
    gateway.script(Raw(body=events))
    after = [delta async for delta in gate.chat(MODEL, "转发")]
    assert after[:-1] == before[:-1]
    last = after[-1], before[-1]
    assert isinstance(last[0], UsageDelta)
    assert isinstance(last[1], UsageDelta)
    assert last[0].usage.completion_tokens == last[1].usage.completion_tokens


async def test_an_interrupted_relay_ends_with_an_error(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Whoever is relayed to learns of the interruption; so does the relay."""
    gateway.script(Raw(body=b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'))
    events = []
    with pytest.raises(StreamInterrupted):
        async with gate.chat(MODEL, "转发") as stream:
            async for event in stream.sse():
                events.append(event)  # noqa: PERF401 - what came before the error is wanted
    assert len(events) == 2
    assert events[1].startswith(b'data: {"error":')


async def test_every_reader_meets_the_same_error(gateway: FakeGateway, gate: TokenGate) -> None:
    """All views give what came, then raise the one error with the partial reply."""
    gateway.script(Raw(body=b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'))
    async with gate.chat(MODEL, "断") as stream:
        errors = []
        for view in (stream, stream.answer, stream.answer.lines(), stream.answer.bursts()):
            got = []
            with pytest.raises(StreamInterrupted) as raised:
                async for item in view:
                    got.append(item)  # noqa: PERF401 - what came before the error is wanted
            assert got in (["a"], [AnswerDelta("a")])
            errors.append(raised.value)
        for wait in (stream.reply, stream.answer.text):
            with pytest.raises(StreamInterrupted) as raised:
                await wait()
            errors.append(raised.value)
        assert all(error is errors[0] for error in errors)
        with pytest.raises(StreamInterrupted):
            await collected(stream.tool_calls)
        with pytest.raises(StreamInterrupted):
            await collected(stream.phases())
    assert errors[0].partial.answer == "a"
    assert errors[0].partial.status == "interrupted"


async def test_a_call_is_a_coroutine_for_asyncio(gateway: FakeGateway, gate: TokenGate) -> None:
    """``create_task``, ``TaskGroup``, ``gather``, ``wait_for`` and ``timeout`` take a call."""
    task = asyncio.create_task(gate.chat(MODEL, "1"))
    async with asyncio.TaskGroup() as group:
        grouped = group.create_task(gate.chat(MODEL, "2"))
    gathered = await asyncio.gather(gate.chat(MODEL, "3"), gate.chat(MODEL, "4"))
    waited = await asyncio.wait_for(gate.chat(MODEL, "5"), 60)
    async with asyncio.timeout(60):
        timed = await gate.chat(MODEL, "6")
    replies = [await task, grouped.result(), *gathered, waited, timed]
    assert all(reply.status == "complete" for reply in replies)
    assert len(gateway.requests) == 6


async def test_an_unused_call_sends_nothing(gateway: FakeGateway, gate: TokenGate) -> None:
    """Nor does one that is closed."""
    call = gate.chat(MODEL, "算了")
    call.close()
    with pytest.raises(CallerError):
        await call
    assert "qwen3.6-max-preview" in repr(call)
    assert "算了" not in repr(call)
    assert gateway.requests == []


async def test_reprs_tell_the_state(gateway: FakeGateway, gate: TokenGate) -> None:
    """A stream says how far it is."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        assert repr(stream) == "<ChatStream qwen3.6-max-preview open after 1 deltas>"
        turn.open()
        await stream.reply()
        assert repr(stream) == "<ChatStream qwen3.6-max-preview complete after 4 deltas>"


async def test_a_stream_belongs_to_its_loop(gateway: FakeGateway, gate: TokenGate) -> None:
    """Reading a stream in another event loop is a clear error."""
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    async with gate.chat(MODEL, "数数") as stream:

        def elsewhere() -> str:
            try:
                return asyncio.run(stream.reply()).answer
            except CallerError as error:
                return error.message

        message = await asyncio.to_thread(elsewhere)
        assert message == "a stream must be read in the event loop that opened it"


def test_so_it_does_in_one_thread(fake_gateway: FakeGateway) -> None:
    """Whether its reader would wait for the network, or for another reader."""
    fake_gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    gate = TokenGate(api_key=fake_gateway.api_key, base_url=fake_gateway.base_url)
    with asyncio.Runner() as one, asyncio.Runner() as other:
        call = gate.chat(MODEL, "数数")
        stream = one.run(call.__aenter__())
        with pytest.raises(CallerError, match="in the event loop that opened it"):
            other.run(stream.reply())
        reading = one.get_loop().create_task(stream.reply())
        one.run(asyncio.sleep(0))
        with pytest.raises(CallerError, match="in the event loop that opened it"):
            other.run(stream.reply())
        reading.cancel()
        one.run(call.__aexit__(None, None, None))
        one.run(gate.close())


# --- without a socket ---------------------------------------------------------------------------


class Opener:
    """Opens receivers, and knows how each was to be opened."""

    def __init__(self, *opened: Receiver | Exception) -> None:
        self.opened = [*opened]
        self.whole: list[bool] = []

    async def __call__(self, *, whole: bool) -> Receiver:
        self.whole.append(whole)
        await asyncio.sleep(0)
        opened = self.opened.pop(0)
        if isinstance(opened, Exception):
            raise opened
        return opened


WHOLE = [FRAME, FINISH]


async def awaited(call: ChatCall) -> None:
    assert (await call).answer == "a"


async def iterated(call: ChatCall) -> None:
    assert await collected(aiter(call)) == [AnswerDelta("a"), FinishDelta(0, "stop")]


async def entered(call: ChatCall) -> None:
    async with call as stream:
        assert await stream.answer.text() == "a"


async def opened(call: ChatCall) -> None:
    await (await call.opened(whole=True)).drain()


WAYS = {"awaited": awaited, "iterated": iterated, "entered": entered, "opened": opened}


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_a_call_is_used_once(first: str, second: str) -> None:
    """A second use, in whichever way, names the first one, and opens nothing."""
    opener = Opener(receiver_over(WHOLE))
    call = ChatCall(opener, MODEL)
    await WAYS[first](call)
    with pytest.raises(CallerError) as caught:
        await WAYS[second](call)
    assert f"a call can be used once; this one is {first} already" in caught.value.message
    assert opener.whole == [first in ("awaited", "opened")]


@pytest.mark.parametrize("way", ["awaited", "iterated", "entered"])
async def test_the_error_of_an_opening_is_raised(way: str) -> None:
    error = ServerFailed("down", status=500)
    with pytest.raises(ServerFailed) as caught:
        await WAYS[way](ChatCall(Opener(error), MODEL))
    assert caught.value is error


async def test_a_block_is_left_with_the_connection_closed() -> None:
    receiver = receiver_over([FRAME, Pause(inf)])
    async with ChatCall(Opener(receiver), MODEL) as stream:
        assert await anext(aiter(stream)) == AnswerDelta("a")
        assert not receiver.ended
    assert receiver.status == "stopped"


async def test_a_call_that_is_awaited_and_cancelled_lets_go() -> None:
    receiver = receiver_over([FRAME, Pause(inf)])
    task = asyncio.ensure_future(ChatCall(Opener(receiver), MODEL))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not receiver.ended
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), receiver.status) == (True, "stopped")


async def test_a_reply_that_came_whole_is_not_read() -> None:
    """As from an opener that has read it already."""
    receiver = receiver_over(WHOLE)
    await receiver.drain()
    reads = reads_of(receiver)
    assert (await ChatCall(Opener(receiver), MODEL)).answer == "a"
    assert reads_of(receiver) == reads


def reads_of(receiver: Receiver) -> int:
    assert isinstance(receiver._body, ScriptedBody)
    return receiver._body.reads


async def test_an_iterated_call_that_is_dropped_before_its_first_step() -> None:
    opener = Opener()
    deltas = aiter(ChatCall(opener, MODEL))
    del deltas
    await asyncio.sleep(0)
    assert opener.whole == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4])
async def test_an_iterated_call_that_is_dropped_as_it_opens(turns: int) -> None:
    """It is called off, or the receiver that its opening has brought by then is stopped."""
    receiver = receiver_over([FRAME, Pause(inf)])
    opener = Opener(receiver)
    deltas = aiter(ChatCall(opener, MODEL))
    step = asyncio.ensure_future(anext(deltas))
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    step.cancel()
    await asyncio.wait([step])
    del deltas, step
    for _ in range(5):
        await asyncio.sleep(0)
    assert opener.opened == [receiver] or receiver.status == "stopped"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_opening_that_failed_is_dropped_in_silence() -> None:
    """Nobody asks for its error any more."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: told.append(found))
    deltas = aiter(ChatCall(Opener(ServerFailed("down", status=500)), MODEL))
    step = asyncio.ensure_future(anext(deltas))
    await asyncio.sleep(0)
    step.cancel()
    await asyncio.wait([step])
    for _ in range(3):
        await asyncio.sleep(0)
    del deltas, step
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()
    assert told == []


def stream_of(*steps: Step, **more: Any) -> tuple[ChatStream, Receiver]:
    """Return a stream over a body without a socket, and its receiver."""
    receiver = receiver_over(steps, **more)
    return ChatStream(receiver, Guard(receiver)), receiver


async def test_deltas_of_every_kind_and_choice() -> None:
    """Read as they come, late, and again once the beginning was packed."""
    events: list[Any] = [
        {"index": 0, "delta": {"reasoning_content": "想"}},
        {"index": 1, "delta": {"content": "乙"}},
        {"index": 0, "delta": {"content": "甲"}},
        {"index": 1, "delta": {}, "finish_reason": "length"},
        {"index": 0, "delta": {}, "finish_reason": "stop"},
    ]
    frames = [b"data: " + orjson.dumps({"choices": [each]}) + b"\n\n" for each in events]
    expected = [
        ReasoningDelta("想", 0),
        AnswerDelta("乙", 1),
        AnswerDelta("甲", 0),
        FinishDelta(1, "length"),
        FinishDelta(0, "stop"),
    ]
    stream, receiver = stream_of(*frames, b"data: [DONE]\n\n", choices=2)
    assert sorted(map(repr, await collected(aiter(stream)))) == sorted(map(repr, expected))
    seen = await collected(aiter(stream))
    assert seen[:3] == expected[:3]
    receiver.log.pack()
    assert await collected(aiter(stream)) == seen


async def test_a_late_reader_of_what_was_dropped_begins_with_what_is_left() -> None:
    frames = [FRAME.replace(b'"a"', b'"%d "' % number) for number in range(6 * BLOCK)]
    stream, receiver = stream_of(*frames, FINISH, retain=False)
    early = aiter(stream)
    read = [await anext(early) for _ in range(5 * BLOCK)]
    assert read == [AnswerDelta(f"{number} ") for number in range(5 * BLOCK)]
    first = receiver.log.first
    assert 0 < first <= receiver.log.base
    assert await anext(aiter(stream)) == AnswerDelta(f"{first} ")
    late = aiter(stream)
    left = [delta for delta in await collected(late) if isinstance(delta, AnswerDelta)]
    assert left == [AnswerDelta(f"{number} ") for number in range(first, 6 * BLOCK)]
    assert [await anext(early) for _ in range(2)] == [
        AnswerDelta(f"{number} ") for number in (5 * BLOCK, 5 * BLOCK + 1)
    ]


async def test_what_a_relay_writes() -> None:
    """Each event at once, ``[DONE]`` as the last, and then no more."""
    stream, _ = stream_of(FRAME, FINISH)
    events = stream.sse()
    written = [orjson.loads((await anext(events))[6:]) for _ in range(2)]
    choices = [event["choices"][0] for event in written]
    assert [choice["delta"].get("content") for choice in choices] == ["a", None]
    assert [choice["finish_reason"] for choice in choices] == [None, "stop"]
    assert await anext(events) == b"data: [DONE]\n\n"
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(events)


async def test_how_a_relay_tells_of_an_error() -> None:
    """In an event in place of ``[DONE]``; then it is raised, as often as one asks."""
    error = b'data: {"error":{"message":"down","code":"busy"}}\n\n'
    stream, receiver = stream_of(FRAME, error)
    events = stream.sse()
    await anext(events)
    told = await anext(events)
    assert told.endswith(b"}}\n\n")
    assert isinstance(receiver.error, StreamInterrupted)
    message = receiver.error.message
    assert orjson.loads(told[6:]) == {
        "error": {"message": message, "type": "StreamInterrupted", "code": "busy"}
    }
    for _ in range(2):
        with pytest.raises(StreamInterrupted):
            await anext(events)


async def test_what_a_stream_says_of_itself() -> None:
    stream, receiver = stream_of(FRAME, FINISH, request_id="r1")
    assert (stream.headers, stream.request_id) == (receiver.headers, "r1")
    assert repr(stream) == "<ChatStream  open after 0 deltas>"
    await stream.reply()
    assert repr(stream) == f"<ChatStream  complete after {len(receiver.log)} deltas>"
    with pytest.raises(TypeError, match="it is still arriving; its reply can be"):
        copy.copy(stream)


async def test_objects_come_four_times_a_second() -> None:
    """Unless one says how often; the first as soon as there is something."""
    clock = VirtualClock()
    texts = [b'"[1,"', b'"2,"', b'"3,"', b'"4]"']
    steps: list[Step] = []
    for text in texts:
        steps += [FRAME.replace(b'"a"', text), Pause(0.1)]
    stream, _ = stream_of(*steps, FINISH, clock=clock)

    async def read() -> list[tuple[float, str]]:
        return [(clock.now(), str(value)) async for value in stream.objects()]

    reading = asyncio.ensure_future(read())
    await clock.run_for(5)
    assert await reading == [(0.0, "[1]"), (0.25, "[1, 2, 3]"), (0.4, "[1, 2, 3, 4]")]


async def test_a_call_that_is_made_of_another() -> None:
    """It opens that one, and reads its receiver; a block that was never entered frees nothing."""
    receiver = receiver_over([FRAME])

    async def opener(*, whole: bool) -> Receiver:
        assert whole
        return receiver

    call = ChatCall(opener, MODEL)
    assert await call.opened(whole=True) is receiver
    await call.__aexit__(None, None, None)
    assert not receiver.ended


@pytest.mark.parametrize("index", [-1, "0"])
async def test_a_choice_has_a_number(index: object) -> None:
    receiver = receiver_over([FRAME])
    stream = ChatStream(receiver, Guard(receiver))
    with pytest.raises(CallerError, match="expected the number of a choice, from 0 up, got"):
        stream.choice(index)  # type: ignore[arg-type]


async def test_partial_json() -> None:
    receiver = receiver_over(
        [FRAME.replace(b'"a"', b'"[1, {"'), FRAME.replace(b'"a"', b'"}]"'), FINISH]
    )
    seen = [str(value) async for value in ChatStream(receiver, Guard(receiver)).objects(every=0)]
    assert seen[-1] == "[1, {}]"
