"""Every protocol gives the same reply to the same question, and takes it back."""

from __future__ import annotations

from typing import Any

import pytest

from aiotokengate import (
    BadRequest,
    CallerError,
    ModelNotFound,
    RateLimited,
    Retry,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate.testing import Call, FakeGateway, RateLimit, Raw, ScriptedReply

MODELS = {
    "gemini": "gemini-3.1-pro-preview",
    "messages": "claude-opus-4-6",
    "responses": "gpt-5.4-pro",
}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
ONCE = Retry(attempts=1)


@pytest.fixture(params=MODELS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_and_answer(
    gateway: FakeGateway, gate: TokenGate, protocol: Any, stream: bool
) -> None:
    gateway.script(ScriptedReply(reasoning="想一想 🤔", answer="你好！😊"))
    model = MODELS[protocol]
    reply = await gate.chat(
        model, "在吗？", protocol=protocol, stream=stream, reasoning="high", max_tokens=40_000
    )
    assert (reply.reasoning, reply.answer) == ("想一想 🤔", "你好！😊")
    assert (reply.finish_reason, reply.status, reply.model) == ("stop", "complete", model)
    assert reply.usage.completion_tokens > 0
    if protocol != "messages":  # Anthropic does not count thoughts by themselves
        assert reply.usage.reasoning_tokens > 0
    assert not reply.usage.estimated


async def test_the_gateways_own_words(gate: TokenGate, protocol: Any) -> None:
    """Not scripted: thinking only where it was asked for, the same answer as over chat."""
    model = MODELS[protocol]
    question = "用一句话介绍北京 🏯"
    # Not the same model everywhere: gpt-5.4-pro answers over Responses only.
    plain = await gate.chat(model.removesuffix("-pro"), question, protocol="chat")
    reply = await gate.chat(
        model, question, protocol=protocol, reasoning="medium", max_tokens=40_000
    )
    assert reply.answer == plain.answer
    assert reply.reasoning
    short = await gate.chat(model, question, protocol=protocol, max_tokens=5)
    assert short.finish_reason == "length"
    stopped = await gate.chat(model, question, protocol=protocol, stop="**")
    if protocol == "responses":
        note = "parameter 'stop' is not part of this protocol and was left out"
        assert (stopped.answer, stopped.notes) == (plain.answer, (note,))
    else:
        assert stopped.answer == plain.answer.partition("**")[0]


async def test_two_turns_with_tools(gateway: FakeGateway, gate: TokenGate, protocol: Any) -> None:
    gateway.script(
        ScriptedReply(reasoning="查一下", tool_calls=[Call("weather", {"city": "北京"}, id="c1")])
    )
    history: list[Any] = [{"role": "user", "content": "北京天气？"}]
    options: dict[str, Any] = {"protocol": protocol, "tools": TOOLS, "max_tokens": 40_000}
    # Claude wants its thinking back where that has a budget, and not where it is adaptive.
    options["reasoning"] = 4_096 if protocol == "messages" else "high"
    first = await gate.chat(MODELS[protocol], history, **options)
    (call,) = first.tool_calls
    assert (call.name, call.parse(), first.finish_reason) == (
        "weather",
        {"city": "北京"},
        "tool_calls",
    )
    result = {"role": "tool", "tool_call_id": call.id, "content": "晴 ☀️"}
    history += [first.message(), result]
    second = await gate.chat(MODELS[protocol], history, **options)
    assert "晴 ☀️" in second.answer
    # Without what the vendor wants back of its own turn it is refused.
    stripped = {key: value for key, value in first.message().items() if key != "native"}
    for lost in stripped["tool_calls"]:
        lost.pop("extra_content", None)
    broken = [history[0], stripped, result]
    with pytest.raises(BadRequest):
        await gate.chat(MODELS[protocol], broken, **options)


async def test_errors(gateway: FakeGateway, gate: TokenGate, protocol: Any) -> None:
    with pytest.raises(ModelNotFound):
        await gate.chat("no-such-model", "嗨", protocol=protocol, retry=ONCE)
    gateway.limits = RateLimit(requests_per_minute=1)
    await gate.chat(MODELS[protocol], "嗨", protocol=protocol)
    with pytest.raises(RateLimited):
        await gate.chat(MODELS[protocol], "嗨", protocol=protocol, retry=ONCE)


async def test_a_cut_is_an_interruption(
    gateway: FakeGateway, gate: TokenGate, protocol: Any
) -> None:
    gateway.script(ScriptedReply(answer=["你好，", "世界"], finish_reason="", done=False))
    with pytest.raises(StreamInterrupted) as raised:
        await gate.chat(MODELS[protocol], "嗨", protocol=protocol)
    assert raised.value.partial.answer == "你好，世界"


async def test_no_json_at_all(gateway: FakeGateway, gate: TokenGate, protocol: Any) -> None:
    gateway.script(Raw(body=b"<html>502 Bad Gateway</html>"))
    with pytest.raises(Exception, match="HTML page"):
        await gate.chat(MODELS[protocol], "嗨", protocol=protocol, retry=ONCE)


async def test_a_protocol_that_is_none(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="got 'grpc'"):
        gate.chat("gpt-5", "嗨", protocol="grpc")  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["claude-opus-4.5-thinking", "claude-opus-4-7-thinking"])
async def test_a_name_that_asks_for_thinking(gate: TokenGate, model: str) -> None:
    """The gateway reads the name on Messages as on Chat Completions; what is said goes over it."""
    assert (await gate.chat(model, "你好")).reasoning.startswith("用户")
    assert (await gate.chat(model, "你好", reasoning="off")).reasoning == ""
