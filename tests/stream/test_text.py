"""The views of a reply: its texts in pieces, lines and bursts, its phases, its tool calls."""

import asyncio
from collections.abc import AsyncIterator
from math import inf

import orjson
import pytest

from aiotokengate import CallerError, ChatStream, StreamInterrupted, TokenGate
from aiotokengate._stream.receiver import Guard
from aiotokengate._wire.pack import BLOCK
from aiotokengate.testing import Call, FakeGateway, Gate, ScriptedReply, Text, Thought
from aiotokengate.testing._clock import VirtualClock
from aiotokengate.testing._script import Part, Pause
from aiotokengate.testing._scripted_body import Step
from tests.support.common import receiver_over

MODEL = "qwen3.6-max-preview"


def said(text: str, field: str = "content", reason: str | None = None) -> bytes:
    """Return an event that says a text."""
    choice = {"index": 0, "delta": {field: text}, "finish_reason": reason}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def thought(text: str) -> bytes:
    return said(text, "reasoning_content")


DONE = said("", reason="stop") + b"data: [DONE]\n\n"


def stream_of(*steps: Step, clock: VirtualClock | None = None) -> ChatStream:
    """Return a stream over a body without a socket."""
    receiver = receiver_over(steps, clock=clock)
    return ChatStream(receiver, Guard(receiver))


async def collected(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


# --- against the fake gateway -------------------------------------------------------------------


async def test_interleaved_thinking(gateway: FakeGateway, gate: TokenGate) -> None:
    """Phases come in order; reasoning is the first one, ``all`` is every one."""
    parts: list[Part] = [Thought(["想"]), Text(["一"]), Thought(["再", "想"]), Text(["二"])]
    gateway.script(ScriptedReply(parts=parts))
    async with gate.chat("glm-5.1", "数数") as stream:
        assert [piece async for piece in stream.reasoning] == ["想"]
        phases = [(phase.kind, await phase.text()) async for phase in stream.phases()]
        assert await stream.reasoning.all().text() == "想再想"
        assert await stream.answer.text() == "一二"
    assert phases == [
        ("reasoning", "想"),
        ("answer", "一"),
        ("reasoning", "再想"),
        ("answer", "二"),
    ]
    reply = await stream.reply()
    assert (reply.reasoning, reply.answer) == ("想再想", "一二")


async def test_phases_that_are_not_read_are_passed_over(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """The next phase comes even when the one before was left unread."""
    gateway.script(
        ScriptedReply(parts=[Thought(["想", "想"]), Text(["一", "一"]), Thought(["再"])])
    )
    async with gate.chat("glm-5.1", "数数") as stream:
        assert [phase.kind async for phase in stream.phases()] == [
            "reasoning",
            "answer",
            "reasoning",
        ]


async def test_reasoning_is_empty_without_thinking(gateway: FakeGateway, gate: TokenGate) -> None:
    """Reading the reasoning of a model that does not think costs only its first token."""
    turn = Gate()
    gateway.script(ScriptedReply(answer=["一", turn, "二"]))
    async with gate.chat(MODEL, "数数") as stream:
        assert [piece async for piece in stream.reasoning] == []
        turn.open()
        assert await stream.answer.text() == "一二"


async def test_tool_calls_come_complete(gateway: FakeGateway, gate: TokenGate) -> None:
    """Each tool call is given whole, with its arguments as JSON text."""
    calls = [Call("weather", {"city": "北京"}), Call("time", {})]
    gateway.script(ScriptedReply(reasoning="想", answer="看看", tool_calls=calls))
    async with gate.chat(MODEL, "天气？", tools=[]) as stream:
        got = [call async for call in stream.tool_calls]
        reply = await stream.reply()
    assert [(call.name, call.parse()) for call in got] == [
        ("weather", {"city": "北京"}),
        ("time", {}),
    ]
    assert all(call.complete for call in got)
    assert tuple(got) == reply.tool_calls
    assert reply.finish_reason == "tool_calls"
    assert [call["function"]["name"] for call in reply.message()["tool_calls"]] == [
        "weather",
        "time",
    ]


async def test_several_choices(gateway: FakeGateway, gate: TokenGate) -> None:
    """Every choice has its own views."""
    first, second = ScriptedReply(reasoning="甲", answer="一"), ScriptedReply(answer="二")
    gateway.script((first, second))
    async with gate.chat("deepseek-v4-flash", "选", n=2) as stream:
        assert await stream.choice(1).answer.text() == "二"
        assert await stream.choice(1).reasoning.text() == ""
        assert await stream.choice(0).reasoning.text() == "甲"
        assert [phase.kind async for phase in stream.choice(1).phases()] == ["answer"]
        reply = await stream.reply()
    assert [choice.answer for choice in reply.choices] == ["一", "二"]


async def test_views_that_cannot_be(gateway: FakeGateway, gate: TokenGate) -> None:
    """A number of a choice, or of seconds, that makes no sense is refused at once."""
    async with gate.chat(MODEL, "给小猫起个名字 🐱") as stream:
        for index in (-1, "0"):
            with pytest.raises(CallerError, match="number of a choice, from 0 up, got"):
                stream.choice(index)  # type: ignore[arg-type]
        for every in (-1, float("nan"), "1", None):
            with pytest.raises(CallerError, match="every= in seconds from 0 up, got"):
                stream.answer.bursts(every=every)  # type: ignore[arg-type]


async def test_lines(gateway: FakeGateway, gate: TokenGate) -> None:
    """Lines are whole, wherever the pieces are cut, and the last one needs no line end."""
    gateway.script(ScriptedReply(answer=["一", "行\n", "\n三", "\n四\n五🙂", "六"]))
    async with gate.chat(MODEL, "几行") as stream:
        assert [line async for line in stream.answer.lines()] == ["一行", "", "三", "四", "五🙂六"]


# --- without a socket ---------------------------------------------------------------------------


async def test_white_space_before_the_thoughts() -> None:
    """Gateways write it; it does not end the reasoning before that has begun."""
    stream = stream_of(said("\n"), thought("想"), said("一"), thought("再"), DONE)
    assert await stream.reasoning.text() == "想"
    assert stream.reasoning.kind == "reasoning"
    assert await stream.reasoning.all().text() == "想再"


async def test_snapshots_and_bursts() -> None:
    """Both come at most once in the interval, also where the stream falls silent."""
    clock = VirtualClock()
    last: list[Step] = [said("三"), Pause(0.5), said("四"), Pause(9), DONE]
    steps: list[Step] = [said("一"), said("二"), Pause(3), *last]
    one, other = stream_of(*steps, clock=clock), stream_of(*steps, clock=clock)
    bursts = asyncio.ensure_future(collected(one.answer.bursts(every=1)))
    snapshots = asyncio.ensure_future(collected(other.answer.snapshots(every=1)))
    await clock.run_for(20)
    assert await bursts == ["一", "二", "三", "四"]
    assert await snapshots == ["一", "一二", "一二三", "一二三四"]


async def test_lines_let_the_loop_have_its_turn() -> None:
    """One event may hold a million of them."""
    stream = stream_of(said("\n" * 2000), DONE)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(others())
    assert await collected(stream.answer.lines()) == [""] * 2000
    assert turns >= 3
    other.cancel()


async def test_many_calls_let_it_as_well() -> None:
    calls = [{"index": n, "id": f"c{n}", "function": {"name": "f"}} for n in range(600)]
    pieces = b'data: {"choices":[{"index":0,"delta":{"tool_calls":%b}}]}\n\n' % orjson.dumps(calls)
    end = said("", reason="tool_calls") + b"data: [DONE]\n\n"
    assert len(await collected(stream_of(pieces, end).tool_calls)) == 600


async def test_objects_as_far_as_they_are_written() -> None:
    """Long JSON is read piece by piece; what follows it is skipped up to the end."""
    text = orjson.dumps(["x" * 100] * 100).decode()
    stream = stream_of(said(text[:6000]), said(f"{text[6000:]} 完"), DONE)
    seen = [len(value) async for value in stream.objects(every=0)]
    assert (len(seen), seen[-1]) == (2, 100)
    assert await collected(stream_of(said("好"), DONE).objects(every=0)) == []


async def test_late_readers_of_what_was_packed() -> None:
    """Phases and texts are found in the packed part of a transcript, too."""
    many = [thought("想")] * 2 * BLOCK + [said("一")] * 2 * BLOCK
    stream = stream_of(*many, DONE)
    await stream.reply()
    phases = [(phase.kind, len(await phase.text())) async for phase in stream.phases()]
    assert phases == [("reasoning", 2 * BLOCK), ("answer", 2 * BLOCK)]
    assert await stream.answer.text() == "一" * 2 * BLOCK


async def test_a_phase_is_read_while_it_comes() -> None:
    clock = VirtualClock()
    stream = stream_of(thought("想"), Pause(1), said("一"), Pause(inf), clock=clock)
    phases = stream.phases()
    first = await anext(phases)
    following = asyncio.ensure_future(anext(phases))
    await clock.run_for(2)
    assert (await following).kind == "answer"
    assert await first.text() == "想"


async def test_a_cut_in_a_phase() -> None:
    stream = stream_of(said("一"), ConnectionResetError("gone"))
    phases = stream.phases()
    await anext(phases)
    with pytest.raises(StreamInterrupted):
        await anext(phases)
