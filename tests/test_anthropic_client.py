"""The anthropic package against the fake gateway: what it can read, we have shaped right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from aiotokengate.testing import Call, FakeGateway, ScriptedReply

MODEL = "claude-sonnet-4.5"
THINKING: Any = {"type": "enabled", "budget_tokens": 2048}
TOOLS: Any = [
    {
        "name": "weather",
        "description": "Give the weather.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    address = gateway.base_url.removesuffix("/v1")
    key = gateway.api_key
    async with anthropic.AsyncAnthropic(api_key=key, base_url=address, max_retries=0) as client:
        yield client


def asked(text: str = "你好 👋") -> Any:
    return [{"role": "user", "content": text}]


async def test_a_message(gateway: FakeGateway, client: anthropic.AsyncAnthropic) -> None:
    gateway.script(ScriptedReply(reasoning="想一想", answer="你好！😊"))
    message = await client.messages.create(
        model=MODEL, max_tokens=4000, messages=asked(), thinking=THINKING
    )
    thought, said = message.content
    assert thought.type == "thinking"
    assert thought.thinking == "想一想"
    assert thought.signature
    assert said.type == "text"
    assert said.text == "你好！😊"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


async def test_a_stream(gateway: FakeGateway, client: anthropic.AsyncAnthropic) -> None:
    gateway.script(ScriptedReply(reasoning="想一想 🤔", answer="你好，世界！"))
    thoughts, texts = [], []
    async with client.messages.stream(
        model=MODEL, max_tokens=4000, messages=asked(), thinking=THINKING
    ) as stream:
        async for event in stream:
            if event.type == "thinking":
                thoughts.append(event.thinking)
            elif event.type == "text":
                texts.append(event.text)
        whole = await stream.get_final_message()
    assert ("".join(thoughts), "".join(texts)) == ("想一想 🤔", "你好，世界！")
    assert [block.type for block in whole.content] == ["thinking", "text"]


async def test_tools_over_two_turns(
    gateway: FakeGateway, client: anthropic.AsyncAnthropic
) -> None:
    gateway.script(
        ScriptedReply(reasoning="查一下", tool_calls=[Call("weather", {"city": "北京"})])
    )
    history = asked("北京天气？")
    options: Any = {"model": MODEL, "max_tokens": 4000, "tools": TOOLS, "thinking": THINKING}
    async with client.messages.stream(messages=history, **options) as stream:
        first = await stream.get_final_message()
    assert first.stop_reason == "tool_use"
    thought, use = first.content
    assert use.type == "tool_use"
    assert use.input == {"city": "北京"}
    result: Any = {"type": "tool_result", "tool_use_id": use.id, "content": "晴 ☀️"}
    answer: Any = {"role": "user", "content": [result]}
    turn: Any = {"role": "assistant", "content": [thought, use]}
    second = await client.messages.create(messages=[*history, turn, answer], **options)
    assert "晴 ☀️" in "".join(block.text for block in second.content if block.type == "text")
    # Without its thinking the turn is refused.
    lost: Any = {"role": "assistant", "content": [use]}
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking`"):
        await client.messages.create(messages=[*history, lost, answer], **options)
    with pytest.raises(anthropic.BadRequestError, match="unexpected `tool_use_id`"):
        await client.messages.create(messages=[*history, answer], **options)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "at least 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9000}}, "must be greater than"),
        (
            {
                "thinking": THINKING,
                "extra_body": {"temperature": 0.3},
                "extra_headers": {"anthropic-version": "2023-06-01"},
            },
            "may only be set to 1",
        ),
        ({"model": "claude-opus-4-7", "thinking": THINKING}, "thinking.type.adaptive"),
        (
            {
                "model": "claude-opus-4-6",
                "messages": [*asked(), {"role": "assistant", "content": "你"}],
            },
            "does not support assistant message prefill",
        ),
    ],
)
async def test_what_anthropic_refuses(
    client: anthropic.AsyncAnthropic, wrong: dict[str, Any], message: str
) -> None:
    options: Any = {"model": MODEL, "max_tokens": 4000, "messages": asked(), **wrong}
    with pytest.raises(anthropic.BadRequestError, match=message):
        await client.messages.create(**options)


async def test_keys_and_models(gateway: FakeGateway, client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        await client.messages.create(model="nobody", max_tokens=10, messages=asked())
    assert raised.value.status_code == 503
    gateway.revoke(gateway.api_key)
    with pytest.raises(anthropic.AuthenticationError):
        await client.messages.create(model=MODEL, max_tokens=10, messages=asked())


async def test_the_newest_model_hides_its_thoughts(client: anthropic.AsyncAnthropic) -> None:
    options: Any = {"model": "claude-opus-4-7", "max_tokens": 4000, "messages": asked()}
    adaptive: Any = {"type": "adaptive"}
    create: Any = client.messages.create
    hidden = await create(**options, thinking=adaptive)
    assert hidden.content[0].type == "thinking"
    assert hidden.content[0].thinking == ""
    shown = await create(**options, thinking={**adaptive, "display": "summarized"})
    assert shown.content[0].type == "thinking"
    assert shown.content[0].thinking
