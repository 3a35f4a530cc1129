"""The ``openai`` package's Responses against the fake gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from aiotokengate.testing import Call, FakeGateway, ScriptedReply

MODEL = "gpt-5.3-codex"
TOOLS: Any = [
    {
        "type": "function",
        "name": "weather",
        "strict": False,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]
STATELESS: Any = {"store": False, "include": ["reasoning.encrypted_content"]}


class City(BaseModel):
    """What is asked for."""

    name: str


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0
    ) as client:
        yield client


async def test_a_response(gateway: FakeGateway, client: AsyncOpenAI) -> None:
    gateway.script(ScriptedReply(reasoning="想一想", answer="你好！😊"))
    response = await client.responses.create(
        model=MODEL, input="在吗？", reasoning={"effort": "high", "summary": "auto"}
    )
    assert response.output_text == "你好！😊"
    assert response.status == "completed"
    thought = response.output[0]
    assert thought.type == "reasoning"
    assert thought.summary[0].text == "想一想"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0


async def test_the_stream_helper_folds_the_same(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    gateway.script(ScriptedReply(reasoning="想 🤔", answer="你好，世界！"))
    texts, thoughts = [], []
    async with client.responses.stream(
        model=MODEL, input="在吗？", reasoning={"summary": "auto"}
    ) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                texts.append(event.delta)
            elif event.type == "response.reasoning_summary_text.delta":
                thoughts.append(event.delta)
        whole = await stream.get_final_response()
    assert ("".join(texts), "".join(thoughts)) == ("你好，世界！", "想 🤔")
    assert whole.output_text == "你好，世界！"


async def test_tools_over_two_turns(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    gateway.script(
        ScriptedReply(reasoning="查一下", tool_calls=[Call("weather", {"city": "北京"})])
    )
    history: list[Any] = [{"role": "user", "content": "北京天气？ 🌦️"}]
    first = await client.responses.create(model=MODEL, input=history, tools=TOOLS, **STATELESS)
    thought, call = first.output
    assert call.type == "function_call"
    assert call.arguments == '{"city":"北京"}'
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "晴 ☀️"}
    items = [item.model_dump(exclude_none=True) for item in (thought, call)]
    second = await client.responses.create(
        model=MODEL, input=[*history, *items, result], tools=TOOLS, **STATELESS
    )
    assert "晴 ☀️" in second.output_text
    # Without its reasoning the call is refused, and so is a result without its call.
    for lost in ([items[1], result], [result]):
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(model=MODEL, input=[*history, *lost], **STATELESS)


async def test_a_type_is_parsed(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    gateway.script(ScriptedReply(answer='{"name": "北京 🏯"}'))
    response = await client.responses.parse(model=MODEL, input="哪里？", text_format=City)
    assert response.output_parsed == City(name="北京 🏯")


@pytest.mark.parametrize("prompt", ["哪里？🏯", "Where? 🏯"])
async def test_a_type_is_parsed_unscripted(client: AsyncOpenAI, prompt: str) -> None:
    response = await client.responses.parse(model=MODEL, input=prompt, text_format=City)
    assert response.output_parsed == City(name=prompt)
    async with client.responses.stream(model=MODEL, input=prompt, text_format=City) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == City(name=prompt)
    text: Any = {"format": {"type": "json_object"}}
    plain = await client.responses.create(model=MODEL, input=prompt, text=text)
    assert json.loads(plain.output_text) == {"answer": prompt}


async def first_turn(client: AsyncOpenAI, *, stream: bool) -> Any:
    """Return a response that thought, and calls a tool."""
    asked: Any = {"model": MODEL, "input": "weather 北京？🌦️", "tools": TOOLS}
    asked["reasoning"] = {"effort": "high"}
    if not stream:
        return await client.responses.create(**asked)
    async with client.responses.stream(**asked) as events:
        return await events.get_final_response()


@pytest.mark.parametrize("stream", [False, True])
async def test_stored_items_are_named_by_their_ids(client: AsyncOpenAI, stream: bool) -> None:
    response = await first_turn(client, stream=stream)
    thought, call = response.output
    assert thought.id != call.id
    named: list[Any] = [{"type": "item_reference", "id": item.id} for item in (thought, call)]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "晴 ☀️"}
    question: Any = {"role": "user", "content": "weather 北京？🌦️"}
    answer = await client.responses.create(model=MODEL, input=[question, *named, result])
    assert "晴 ☀️" in answer.output_text
    # The type may be left out; and the answer's own message was stored, too.
    bare: list[Any] = [{"id": answer.output[-1].id}, {"role": "user", "content": "谢谢 🙏"}]
    assert "谢谢 🙏" in (await client.responses.create(model=MODEL, input=bare)).output_text
    # The call alone lost its reasoning.
    with pytest.raises(openai.BadRequestError, match="without its required 'reasoning' item"):
        await client.responses.create(model=MODEL, input=[question, named[1], result])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_is_gone_on_from(client: AsyncOpenAI, stream: bool) -> None:
    response = await first_turn(client, stream=stream)
    call = response.output[-1]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "晴 ☀️"}
    second = await client.responses.create(
        model=MODEL, input=[result], previous_response_id=response.id
    )
    assert "晴 ☀️" in second.output_text
    third = await client.responses.create(
        model=MODEL, input="谢谢 🙏", previous_response_id=second.id
    )
    assert "谢谢 🙏" in third.output_text
    assert third.usage is not None
    assert second.usage is not None
    assert third.usage.input_tokens > second.usage.input_tokens


async def test_what_is_not_stored_is_not_found(client: AsyncOpenAI) -> None:
    lost = await client.responses.create(model=MODEL, input="你好 👋", store=False)
    for name in (lost.output[-1].id, "msg_nobody"):
        reference: Any = {"type": "item_reference", "id": name}
        with pytest.raises(openai.NotFoundError, match=f"Item with id '{name}' not found"):
            await client.responses.create(model=MODEL, input=[reference])
    with pytest.raises(openai.BadRequestError) as raised:
        await client.responses.create(model=MODEL, input="嗨", previous_response_id=lost.id)
    assert raised.value.code == "previous_response_not_found"


async def test_tokens_are_counted(client: AsyncOpenAI) -> None:
    counted = await client.responses.input_tokens.count(model=MODEL, input="你好")
    response = await client.responses.create(model=MODEL, input="你好")
    assert response.usage is not None
    assert counted.input_tokens == response.usage.input_tokens == 11


async def test_what_is_cut_says_so(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model=MODEL, input="你好 👋", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_errors(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    with pytest.raises(openai.InternalServerError):
        await client.responses.create(model="nobody", input="嗨")
    gateway.revoke(gateway.api_key)
    with pytest.raises(openai.AuthenticationError):
        await client.responses.create(model=MODEL, input="嗨")
