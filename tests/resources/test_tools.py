"""Functions that a model calls: the turns of a run."""

import asyncio
import threading
from typing import Any

import attrs
import pytest

from aiotokengate import AnswerDelta, CallerError, ReasoningDelta, TokenGate
from aiotokengate._resources.tools import Bounds, ToolOutcome, checked_tools
from aiotokengate.testing import Call, FakeGateway, ScriptedReply
from tests.support.tools import weather

QWEN, GPT, DEEPSEEK = "qwen3.6-plus", "gpt-5.2", "deepseek-v4-pro"


def clock() -> str:
    """Return the time."""
    return f"12:00 {threading.current_thread() is threading.main_thread()}"


def broken(why: str) -> None:
    """Fail."""
    raise ValueError(why)


async def test_a_run(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(
            reasoning="查一下",
            tool_calls=[
                Call("weather", {"city": "北京"}, id="a"),
                Call("clock", {}, id="b"),
                Call("broken", {"why": "坏了 💥"}, id="c"),
                Call("weather", {"city": 7}, id="d"),
                Call("nowhere", {}, id="e"),
            ],
        ),
        ScriptedReply(answer="21 °C ☀️"),
    )
    run = await gate.run_tools(DEEPSEEK, "北京天气？", [weather, clock, broken])
    assert run.reply.answer == "21 °C ☀️"
    assert len(run.replies) == 2
    assert [outcome.text for outcome in run.outcomes] == [
        '{"city":"北京","days":1,"C":21}',
        "12:00 False",
        "Error: ValueError: 坏了 💥",
        "Error in the arguments: Expected `str`, got `int` - at `$.city`",
        "Error: there is no tool 'nowhere', there are: weather, clock, broken",
    ]
    assert isinstance(run.outcomes[2].error, ValueError)
    history = gateway.requests[1].json["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", *["tool"] * 5]
    # DeepSeek refuses the next turn without it.
    assert history[1]["reasoning_content"] == "查一下"
    assert [message["tool_call_id"] for message in history[2:]] == list("abcde")
    assert run.messages[-1]["content"] == "21 °C ☀️"


async def test_a_run_as_it_goes(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(reasoning="想", tool_calls=[Call("clock", {})]),
        ScriptedReply(answer="十二点"),
    )
    run = gate.run_tools(QWEN, "几点？", [clock])
    seen = [step async for step in run]
    kinds = [type(step) for step in seen]
    assert kinds[0] is ReasoningDelta
    place = kinds.index(ToolOutcome)
    assert "".join(s.text for s in seen[place:] if isinstance(s, AnswerDelta)) == "十二点"
    assert run.result is not None
    assert run.result.reply.answer == "十二点"


async def test_rounds_are_bounded(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(*[ScriptedReply(tool_calls=[Call("clock", {})])] * 3)
    run = await gate.run_tools(QWEN, "几点？", [clock], rounds=2)
    assert (len(run.replies), len(run.outcomes)) == (3, 2)
    assert run.reply.tool_calls


async def test_a_call_that_was_cut_never_runs(gateway: FakeGateway, gate: TokenGate) -> None:
    cut = ScriptedReply(tool_calls=[Call("broken", '{"why": "x')], finish_reason="length")
    gateway.script(cut)
    run = await gate.run_tools(QWEN, "？", [broken])
    assert run.outcomes == ()
    assert run.reply.finish_reason == "length"


async def test_calls_run_side_by_side_within_the_bound(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    running = most = 0
    both = asyncio.Event()

    async def pair() -> None:
        """Wait for another."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both.set()
        await both.wait()
        running -= 1

    gateway.script(ScriptedReply(tool_calls=[Call("pair", {})] * 5), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [pair], at_once=2)
    assert (len(run.outcomes), most) == (5, 2)


async def test_a_function_that_hangs_is_bounded_and_a_run_can_be_cancelled(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def hang() -> None:
        """Never return."""
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("hang")

    gateway.script(ScriptedReply(tool_calls=[Call("hang", {})]), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [hang], tool_timeout=0.05)
    assert isinstance(run.outcomes[0].error, TimeoutError)
    assert run.outcomes[0].text == "Error: TimeoutError: it took longer than 0.05 s"
    begun.clear()
    gateway.script(ScriptedReply(tool_calls=[Call("hang", {})]))

    async def whole() -> None:
        await gate.run_tools(QWEN, "？", [hang])

    task = asyncio.create_task(whole())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["hang", "hang"]
    assert gate.pool.statistics().in_flight == 0


async def test_an_error_of_the_function_is_not_one_of_its_arguments(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    async def ask() -> None:
        """Use the library wrongly."""
        await gate.chat("", "你好")

    gateway.script(ScriptedReply(tool_calls=[Call("ask", {})]), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [ask])
    assert run.outcomes[0].text.startswith("Error: CallerError: expected the name of a model")


async def test_wrong_arguments_of_a_run(gate: TokenGate) -> None:
    with pytest.raises(
        CallerError, match="expected tools as a list of functions, got an empty one"
    ):
        gate.run_tools(QWEN, "？", [])
    with pytest.raises(CallerError, match="got 'clock' twice"):
        gate.run_tools(QWEN, "？", [clock, clock])
    with pytest.raises(CallerError, match="expected rounds as a whole number from 1 up, got 0"):
        gate.run_tools(QWEN, "？", [clock], rounds=0)
    with pytest.raises(CallerError, match="expected tool_timeout in seconds above 0"):
        gate.run_tools(QWEN, "？", [clock], tool_timeout=-1)
    with pytest.raises(CallerError, match=r"expected tools\[0\] as a function or a dict, got int"):
        gate.chat(QWEN, "？", tools=[7])  # type: ignore[list-item]


@pytest.mark.parametrize("name", ["rounds", "at_once"])
@pytest.mark.parametrize("odd", [0, -1, True, 1.0, "2", None])
def test_a_bound_is_a_whole_number(name: str, odd: Any) -> None:
    assert attrs.astuple(Bounds(1, 2, None)) == (1, 2, None)
    assert attrs.astuple(Bounds(1, 2, 0.5)) == (1, 2, 0.5)
    with pytest.raises(CallerError, match=f"expected {name} as a whole number from 1 up"):
        Bounds(**{"rounds": 1, "at_once": 1, "seconds": None} | {name: odd})


@pytest.mark.parametrize("tools", [None, "clock", {}, ()])
def test_tools_are_a_list(tools: object) -> None:
    known = checked_tools((clock,))
    assert checked_tools(list(known.values())) == known
    with pytest.raises(CallerError, match="expected tools as a list of functions, got"):
        checked_tools(tools)


async def test_what_was_noted_in_a_run(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(answer="好"))
    call = gate.run_tools(QWEN, "？", [clock])
    assert "run_tools()" in repr(call)
    assert call.result is None
    run = await call
    assert call.result is run
    assert run.notes == run.reply.notes


async def test_a_function_that_is_not_async_may_return_something_to_await(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    def later() -> Any:
        """Return the answer later."""
        return weather("北京")

    gateway.script(ScriptedReply(tool_calls=[Call("later", {})]), ScriptedReply(answer="好"))
    run = await gate.run_tools(QWEN, "？", [later])
    assert run.outcomes[0].result == {"city": "北京", "days": 1, "C": 21}
