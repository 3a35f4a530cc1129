"""What the session does of a reply that is empty, damaged, paused, or slow to say anything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    FinishDelta,
    ReasoningDelta,
    Reply,
    ResponseInvalid,
    Retry,
    ServerFailed,
    StreamInterrupted,
    TimedOut,
    Timeout,
    TokenGate,
    UsageDelta,
    WireError,
)
from aiotokengate._stream.receiver import HELD_OPEN
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply
from aiotokengate.testing._clock import VirtualClock

MODEL = "yun-1"
CLAUDE = "claude-opus-4-6"
DONE = b"data: [DONE]\n\n"
BROKEN = b"data: {oops\n\n"


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + orjson.dumps({"id": "c", "choices": [choice], **more}) + b"\n\n"


def event(name: str, **fields: Any) -> bytes:
    data = orjson.dumps({"type": name, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)


STOP = chunk({}, "stop") + DONE
GOOD = Raw(body=chunk({"content": "好👋"}) + STOP)
EMPTY = Raw(body=STOP)
THOUGHTS = Raw(body=chunk({"reasoning_content": "想🤔"}) + STOP)
EMPTY_TOO = Retry(attempts=3, empty=True)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def timed(gateway: FakeGateway, clock: VirtualClock) -> AsyncIterator[TokenGate]:
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url, clock=clock) as gate:
        yield gate


async def finished(clock: VirtualClock, call: Awaitable[Any], step: float = 1) -> Any:
    """Await a call while virtual time runs; return its error, if it raises one."""
    task = asyncio.ensure_future(call)
    while not task.done():
        await clock.run_for(step)
    return task.exception() or task.result()


# --- empty replies ------------------------------------------------------------------------------


async def test_an_empty_reply_is_told(gateway: FakeGateway, gate: TokenGate) -> None:
    """By itself it is a reply, and its notes say that there is nothing in it."""
    gateway.script(EMPTY)
    reply = await gate.chat(MODEL, "嗨")
    assert (reply.status, reply.empty, reply.finish_reason) == ("complete", True, "stop")
    assert reply.notes == ("empty: finished with 'stop' and nothing to show",)


@pytest.mark.parametrize("useless", [EMPTY, THOUGHTS], ids=["empty", "thoughts"])
async def test_an_empty_reply_is_tried_again_where_asked(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock, useless: Raw
) -> None:
    """An awaited call has shown nothing, so that thoughts alone may be tried again, too."""
    gateway.script(useless, GOOD)
    reply = await finished(clock, timed.chat(MODEL, "嗨", retry=EMPTY_TOO))
    assert (reply.answer, reply.empty, reply.reasoning) == ("好👋", False, "")
    assert [attempt.error for attempt in reply.attempts] == ["WireError", None]


async def test_the_last_of_empty_replies_is_the_reply(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """There is nothing better to have."""
    gateway.script(EMPTY, EMPTY, THOUGHTS)
    reply = await finished(clock, timed.chat(MODEL, "嗨", retry=EMPTY_TOO))
    assert isinstance(reply, Reply)
    assert (reply.empty, reply.reasoning) == (True, "想🤔")
    assert [attempt.error for attempt in reply.attempts] == ["WireError", "WireError", None]


async def test_thoughts_that_were_shown_are_not_taken_back(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Whoever iterates has seen them."""
    gateway.script(THOUGHTS, GOOD)
    deltas = [delta async for delta in gate.chat(MODEL, "嗨", retry=EMPTY_TOO)]
    assert deltas[0] == ReasoningDelta("想🤔")
    assert len(gateway.requests) == 1


MALFORMED = Raw(
    body=b'data: {"candidates":[{"index":0,"finishReason":"MALFORMED_FUNCTION_CALL"}]}\n\n'
)


@pytest.mark.parametrize(("retry", "requests"), [(Retry(attempts=3), 1), (EMPTY_TOO, 3)])
async def test_what_the_model_wrote_wrongly(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock, retry: Retry, requests: int
) -> None:
    """It would write the same again, mostly: only whoever asks for it tries again."""
    gateway.script(*[MALFORMED] * 3)
    call = timed.chat("gemini-3.1-pro-preview", "嗨", protocol="gemini", retry=retry)
    error = await finished(clock, call)
    assert isinstance(error, WireError)
    assert (error.code, error.status) == ("MALFORMED_FUNCTION_CALL", None)
    assert len(gateway.requests) == requests


async def test_a_broken_off_reply_before_its_first_delta_is_tried_again(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    gateway.script(Raw(body=chunk({}, "network_error") + DONE), GOOD)
    reply = await finished(clock, timed.chat(MODEL, "嗨"))
    assert reply.answer == "好👋"
    (failed, _) = reply.attempts
    assert (failed.error, failed.code, failed.status) == ("ServerFailed", "network_error", None)


# --- damaged frames -----------------------------------------------------------------------------


@pytest.mark.parametrize("of_call", [False, True], ids=["of the session", "of the call"])
async def test_strict_before_the_first_delta(
    gateway: FakeGateway, clock: VirtualClock, of_call: bool
) -> None:
    """A frame that can't be read is tried again like a broken connection."""
    options: dict[str, Any] = {"strict": True} if of_call else {}
    settings: Any = {"api_key": gateway.api_key, "base_url": gateway.base_url, "clock": clock}
    async with TokenGate(**settings, strict=not of_call) as gate:
        gateway.script(Raw(body=BROKEN + chunk({"content": "半"}) + STOP), GOOD)
        reply = await finished(clock, gate.chat(MODEL, "嗨", **options))
        assert reply.answer == "好👋"
        assert [attempt.error for attempt in reply.attempts] == ["WireError", None]


async def test_strict_after_the_first_delta(gateway: FakeGateway, gate: TokenGate) -> None:
    """Then nothing is tried again; what came is kept."""
    gateway.script(Raw(body=chunk({"content": "半"}) + BROKEN + STOP))
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODEL, "嗨", strict=True)
    assert isinstance(raised.value.__cause__, WireError)
    assert raised.value.partial.answer == "半"


async def test_the_call_has_the_last_word_on_strict(gateway: FakeGateway) -> None:
    """A call may be more patient than its session."""
    settings: Any = {"api_key": gateway.api_key, "base_url": gateway.base_url}
    async with TokenGate(**settings, strict=True) as gate:
        gateway.script(Raw(body=chunk({"content": "好"}) + BROKEN + STOP))
        reply = await gate.chat(MODEL, "嗨", strict=False)
    assert (reply.answer, reply.skipped) == ("好", 1)
    assert reply.notes == ("frames skipped: 1 not readable as JSON objects",)


async def test_nothing_is_parsed_of_a_reply_that_lost_a_frame(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """A whole JSON text may still lack what the frame said."""
    gateway.script(
        Raw(body=chunk({"content": '{"price": 1'}) + BROKEN + chunk({"content": "}"}) + STOP)
    )
    with pytest.raises(ResponseInvalid, match="could not be read: 1"):
        await gate.chat(MODEL, "嗨", response_type=dict[str, int])


async def test_no_tool_of_such_a_reply_runs(gateway: FakeGateway, gate: TokenGate) -> None:
    """A payment of 100 must not become one of 1."""
    paid: list[int] = []

    async def pay(amount: int) -> str:
        paid.append(amount)
        return "ok"

    first = {"index": 0, "id": "c1", "function": {"name": "pay", "arguments": '{"amount": 1'}}
    last = {"index": 0, "function": {"arguments": "}"}}
    body = chunk({"tool_calls": [first]}) + BROKEN + chunk({"tool_calls": [last]})
    gateway.script(Raw(body=body + chunk({}, "tool_calls") + DONE))
    run = await gate.run_tools(MODEL, "付款", [pay])
    assert (paid, run.outcomes) == ([], ())
    assert [call.complete for call in run.reply.tool_calls] == [False]
    assert run.notes == ("frames skipped: 1 not readable as JSON objects",)


# --- when it is over ----------------------------------------------------------------------------


async def test_finish_and_usage_are_told_when_the_reply_is_over(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """Each once, the last claim, whatever came in between."""
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    body = chunk({"content": "一"}, "length", usage=counts) + chunk({"content": "二"}, "stop")
    gateway.script(Raw(body=body + DONE))
    deltas = [delta async for delta in gate.chat(MODEL, "嗨")]
    assert deltas[:3] == [AnswerDelta("一"), AnswerDelta("二"), FinishDelta(0, "stop")]
    assert [type(delta) for delta in deltas[3:]] == [UsageDelta]


async def test_a_gateway_that_never_ends(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """Two seconds after the last word it is closed here, and that is told."""
    turns = [Gate(), Gate()]
    body: list[Any] = [
        chunk({"content": "一"}, "stop"),
        turns[0],
        chunk({"content": "二"}, "stop"),
        turns[1],
    ]
    gateway.script(Raw(body=body, end="hang"))
    task = asyncio.ensure_future(timed.chat(MODEL, "嗨"))
    await turns[0].reached()
    await clock.run_for(1.9)
    turns[0].open()
    await turns[1].reached()
    await clock.run_for(1.9)
    assert not task.done()
    await clock.run_for(0.2)
    reply = await task
    assert (reply.answer, reply.status) == ("一二", "complete")
    assert reply.notes == (HELD_OPEN,)


async def test_the_protocols_end_is_not_waited_on(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """After ``[DONE]`` the reply is there at once, though the connection stays open."""
    gateway.script(Raw(body=chunk({"content": "好"}) + STOP, end="hang"))
    reply = await timed.chat(MODEL, "嗨")
    assert (reply.answer, reply.notes) == ("好", ())
    assert clock.now() == 0


async def test_a_session_that_closes_while_an_answer_drains(gateway: FakeGateway) -> None:
    """What waits for its last bytes is closed with the session, and not by a timer later."""
    gateway.script(Raw(body=chunk({"content": "好"}) + STOP, end="hang"))
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
        async with gate.chat(MODEL, "嗨") as stream:
            assert (await stream.reply()).answer == "好"
        body: Any = stream._receiver._body
        response = body._response
        assert not response.closed
    assert response.closed


# --- clocks -------------------------------------------------------------------------------------

BEGUN = event(
    "message_start",
    message={"id": "m", "type": "message", "role": "assistant", "model": CLAUDE, "content": []},
)
THINKING = event(
    "content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}
)
COUNTED = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": ""})
ENDED = (
    event("content_block_stop", index=0)
    + event("content_block_start", index=1, content_block={"type": "text", "text": "完"})
    + event("content_block_stop", index=1)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9})
    + event("message_stop")
)
PING = event("ping")
CLOCKS = Timeout(first_event=10, stall=20)


async def thinking(gateway: FakeGateway, gate: TokenGate, clock: VirtualClock, beat: bytes) -> Any:
    """Have a model think for 75 s, with one event each 15 s."""
    turns = [Gate() for _ in range(5)]
    beats: list[Any] = [part for turn in turns for part in (turn, beat)]
    gateway.script(Raw(body=[BEGUN + THINKING, *beats, ENDED]))
    task = asyncio.ensure_future(gate.chat(CLAUDE, "嗨", protocol="messages", timeout=CLOCKS))
    for turn in turns:
        reached = asyncio.ensure_future(turn.reached())
        await asyncio.wait((reached, task), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            reached.cancel()
            break
        await clock.run_for(15)
        turn.open()
    return (await asyncio.gather(task, return_exceptions=True))[0]


async def test_typed_events_are_signs_of_life(
    gateway: FakeGateway, timed: TokenGate, clock: VirtualClock
) -> None:
    """Thinking that is withheld goes on for longer than either clock allows for silence."""
    reply = await thinking(gateway, timed, clock, COUNTED)
    assert isinstance(reply, Reply)
    assert reply.answer == "完"


async def test_pings_are_none(gateway: FakeGateway, timed: TokenGate, clock: VirtualClock) -> None:
    """After the first typed event silence is a stall, which pings do not break."""
    error = await thinking(gateway, timed, clock, PING)
    assert isinstance(error, TimedOut)
    assert (error.phase, error.seconds) == ("stall", 20)


# --- pauses -------------------------------------------------------------------------------------


def paused(text: str, reason: str = "pause_turn") -> Raw:
    return Raw(
        body=BEGUN
        + event("content_block_start", index=0, content_block={"type": "text", "text": text})
        + event("content_block_stop", index=0)
        + event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": 2})
        + event("message_stop")
    )


async def test_a_paused_reply(gateway: FakeGateway, gate: TokenGate) -> None:
    """Its message goes back for the vendor to go on."""
    gateway.script(paused("先搜索"))
    reply = await gate.chat(CLAUDE, "嗨", protocol="messages")
    assert (reply.status, reply.answer, reply.finish_reason) == ("paused", "先搜索", "pause_turn")
    assert reply.notes == ("paused by the vendor: send the reply's message back to go on",)
    assert reply.message()["native"]["content"] == [{"type": "text", "text": "先搜索"}]


async def test_a_run_of_tools_goes_on(gateway: FakeGateway, gate: TokenGate) -> None:
    """Each paused turn is sent back as it is, without a word of ours."""

    def nothing() -> None:
        """Do nothing."""

    gateway.script(paused("先"), paused("再"), paused("完👋", "end_turn"))
    run = await gate.run_tools(CLAUDE, "嗨", [nothing], protocol="messages")
    assert [reply.status for reply in run.replies] == ["paused", "paused", "complete"]
    assert run.reply.answer == "完👋"
    roles = [message["role"] for message in gateway.requests[-1].json["messages"]]
    assert roles in (["user", "assistant"], ["user", "assistant", "assistant"])


async def test_a_run_of_tools_does_not_go_on_for_ever(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    def nothing() -> None:
        """Do nothing."""

    gateway.script(*[paused("又")] * 12)
    run = await gate.run_tools(CLAUDE, "嗨", [nothing], protocol="messages")
    assert (run.reply.status, len(run.replies)) == ("paused", 11)


async def test_a_conversation_records_a_paused_turn(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(paused("先"), ScriptedReply(answer="好"))
    talk = gate.conversation(CLAUDE, protocol="messages")
    reply = await talk.say("嗨")
    assert reply.notes == ("paused by the vendor: send the reply's message back to go on",)
    assert [message["role"] for message in talk.messages] == ["user", "assistant"]


async def test_a_broken_off_reply(gateway: FakeGateway, gate: TokenGate) -> None:
    """Its cause says the word, and no status that nobody told."""
    gateway.script(Raw(body=chunk({"content": "半"}) + chunk({}, "abort") + DONE))
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODEL, "嗨")
    error = raised.value
    assert isinstance(error.__cause__, ServerFailed)
    assert (error.code, error.status, error.partial.answer) == ("abort", None, "半")
