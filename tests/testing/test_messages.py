"""The anthropic package against the fake gateway: what it can read, we have shaped right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import pytest
from anthropic import beta_async_tool
from pydantic import BaseModel

from aiotokengate.testing import Call, FakeGateway, ScriptedReply
from aiotokengate.testing._messages import _thinking

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


# --- counting, forms, versions, keys ------------------------------------------------------------


async def test_tokens_are_counted(client: anthropic.AsyncAnthropic) -> None:
    counted = await client.messages.count_tokens(model=MODEL, messages=asked("你好"))
    message = await client.messages.create(model=MODEL, max_tokens=4000, messages=asked("你好"))
    assert counted.input_tokens == message.usage.input_tokens == 11
    longer = await client.beta.messages.count_tokens(
        model=MODEL, system="请简短", messages=asked("你好"), tools=TOOLS
    )
    assert longer.input_tokens == 14
    with pytest.raises(anthropic.APIStatusError, match="no available channel"):
        await client.messages.count_tokens(model="nobody", messages=asked())


class City(BaseModel):
    """What is asked for."""

    name: str
    people: int


@pytest.mark.parametrize("prompt", ["哪里？🏯", "Where? 🏯"])
async def test_a_type_is_parsed(client: anthropic.AsyncAnthropic, prompt: str) -> None:
    options: Any = {"model": "claude-sonnet-4-6", "max_tokens": 4000, "messages": asked(prompt)}
    message = await client.messages.parse(output_format=City, **options)
    assert message.parsed_output == City(name=prompt, people=1)
    async with client.messages.stream(output_format=City, **options) as stream:
        whole = await stream.get_final_message()
    assert whole.parsed_output == City(name=prompt, people=1)


OLD: Any = {"extra_headers": {"anthropic-version": "2023-06-01"}}


async def test_versions(client: anthropic.AsyncAnthropic, gateway: FakeGateway) -> None:
    options: Any = {"model": MODEL, "max_tokens": 4000, "messages": asked()}
    create: Any = client.messages.create
    sampling: Any = {"extra_body": {"temperature": 1}}
    await create(**options)
    assert gateway.requests[-1].headers["anthropic-version"] == "2026-10-21"
    with pytest.raises(anthropic.BadRequestError, match="temperature: may not be set"):
        await create(**options, **sampling)
    await create(**options, **sampling, **OLD)
    unknown: Any = {"extra_headers": {"anthropic-version": "2024-01-01"}}
    with pytest.raises(anthropic.BadRequestError, match="not a valid version"):
        await create(**options, **unknown)


@pytest.mark.parametrize(
    ("role", "block", "message"),
    [
        (
            "assistant",
            {
                "type": "document",
                "source": {"type": "text", "data": "文", "media_type": "text/plain"},
            },
            "'document' may not stand",
        ),
        (
            "user",
            {"type": "text", "text": "嗨", "citations": [{"type": "char_location"}]},
            "'citations' may not stand",
        ),
    ],
)
async def test_what_the_new_version_no_longer_takes(
    client: anthropic.AsyncAnthropic, role: str, block: Any, message: str
) -> None:
    messages: Any = [*asked(), {"role": role, "content": [block]}, *asked()]
    options: Any = {"model": MODEL, "max_tokens": 4000, "messages": messages}
    with pytest.raises(anthropic.BadRequestError, match=message):
        await client.messages.create(**options)
    await client.messages.create(**options, **OLD)


@pytest.mark.parametrize("way", ["Authorization", "x-api-key"])
async def test_a_key_is_taken_either_way(
    gateway: FakeGateway, client: anthropic.AsyncAnthropic, way: str
) -> None:
    await client.messages.create(model=MODEL, max_tokens=4000, messages=asked())
    assert gateway.requests[-1].headers["Authorization"] == f"Bearer {gateway.api_key}"
    assert "x-api-key" not in gateway.requests[-1].headers
    key = gateway.api_key if way == "x-api-key" else f"Bearer {gateway.api_key}"
    body = {"model": MODEL, "max_tokens": 4000, "messages": asked()}
    async with aiohttp.ClientSession(headers={way: key}) as http:
        async with http.post(f"{gateway.base_url}/messages", json=body) as response:
            assert response.status == 200
        async with http.post(f"{gateway.base_url}/messages/count_tokens", json=body) as response:
            assert (await response.json())["input_tokens"] > 0


# --- tools that run by themselves, threads ------------------------------------------------------


def new_tool() -> tuple[Any, list[str]]:
    """Return a tool, and the cities that it will be asked about."""
    cities: list[str] = []

    @beta_async_tool
    async def weather(city: str) -> str:
        """Look up the weather of a city."""
        cities.append(city)
        return f"{city}：晴 ☀️"

    return weather, cities


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("prompt", ["weather 北京？🌦️", "The weather in Beijing? 🌦️"])
async def test_the_tool_runner(
    gateway: FakeGateway,
    client: anthropic.AsyncAnthropic,
    prompt: str,
    stream: bool,
    threaded: bool,
) -> None:
    tool, cities = new_tool()
    without: Any = {} if threaded else {"thread": False}
    runner: Any = client.beta.messages.tool_runner(
        model=MODEL,
        max_tokens=4000,
        messages=asked(prompt),
        tools=[tool],
        stream=stream,
        thinking=THINKING,
        system="简短",
        **without,
    )
    last = await runner.until_done()
    assert cities == [prompt]
    assert f"{prompt}：晴 ☀️" in "".join(b.text for b in last.content if b.type == "text")
    first, second = (request.json for request in gateway.requests)
    if threaded:
        assert first["thread"] == {"type": "create"}
        assert second["thread"]["type"] == "continue"
        assert [turn["role"] for turn in second["messages"]] == ["user"]
        assert "tools" not in second
        assert "system" not in second
    else:
        assert len(second["messages"]) == 3


async def test_a_thread_over_several_turns(client: anthropic.AsyncAnthropic) -> None:
    thread = client.beta.messages.thread(model=MODEL, max_tokens=4000, system="简短 ✂️")
    first = await thread.send(*asked())
    counts = [first.usage.input_tokens]
    for text in ("第一 🥇", "second 🥈"):
        message = await thread.send(*asked(text))
        assert text in "".join(b.text for b in message.content if b.type == "text")
        counts.append(message.usage.input_tokens)
    assert counts == sorted(set(counts))  # the server holds more from turn to turn


BETA = "message-threads-2026-08-12"


async def test_what_a_thread_may_not_be_asked(client: anthropic.AsyncAnthropic) -> None:
    options: Any = {"model": MODEL, "max_tokens": 4000, "messages": asked(), "betas": [BETA]}
    create: Any = client.beta.messages.create
    first = await create(**options, system="简短", thread={"type": "create"})
    more: Any = {"type": "continue", "previous_message_id": first.id}
    with pytest.raises(anthropic.BadRequestError, match="system: may not be set"):
        await create(**options, system="长", thread=more)
    with pytest.raises(anthropic.BadRequestError, match="Extra inputs"):
        await create(**{**options, "betas": []}, thread=more)
    second = await create(**options, thread=more)
    assert second.usage.input_tokens > first.usage.input_tokens
    for name, code in (
        (first.id, "thread_already_continued"),
        ("msg_nobody", "thread_not_found"),
    ):
        lost = {"type": "continue", "previous_message_id": name}
        with pytest.raises(anthropic.APIStatusError) as raised:
            await create(**options, thread=lost)
        error: Any = raised.value.body
        assert error["error"]["details"]["error_code"] == code


async def test_a_lost_thread_is_told_again_from_its_beginning(
    client: anthropic.AsyncAnthropic,
) -> None:
    thread = client.beta.messages.thread(model=MODEL, max_tokens=4000)
    first = await thread.send(*asked())
    lost: Any = {"type": "continue", "previous_message_id": first.id}
    # Somebody else goes on from the same message: the client has to send everything again.
    await client.beta.messages.create(
        model=MODEL, max_tokens=4000, messages=asked(), thread=lost, betas=[BETA]
    )
    again = await thread.send(*asked("还在吗？🙋"))
    assert "还在吗？🙋" in "".join(b.text for b in again.content if b.type == "text")


async def test_a_forced_tool_is_called(client: anthropic.AsyncAnthropic) -> None:
    message = await client.messages.create(
        model=MODEL,
        max_tokens=4000,
        messages=asked(),
        tools=TOOLS,
        tool_choice={"type": "tool", "name": "weather"},
    )
    assert [block.type for block in message.content][-1] == "tool_use"
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("model", "said", "thinking"),
    [
        (MODEL, None, {}),
        (MODEL, THINKING, THINKING),
        ("claude-opus-4-7-thinking", None, {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-4.5-thinking", None, {"type": "enabled", "budget_tokens": 3200}),
        ("claude-sonnet-4.5-thinking", {"type": "disabled"}, {"type": "disabled"}),
    ],
)
def test_a_name_may_ask_for_thinking(model: str, said: Any, thinking: Any) -> None:
    assert _thinking({"model": model, "thinking": said, "max_tokens": 4000}) == thinking
