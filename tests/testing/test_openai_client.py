"""A client that we did not write: the ``openai`` package against the fake gateway."""

import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from aiotokengate.testing import Call, FakeGateway, ScriptedReply, faults

QWEN = "qwen3.6-max-preview"
MESSAGES: list[Any] = [{"role": "user", "content": "你好"}]
NAMED: list[Any] = [{"role": "user", "content": "weather 北京 ☀️"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
STREAMED = [
    QWEN,
    "deepseek-v4-flash",
    "glm-5.1",
    "grok-code-fast-1",
    "gpt-5",
    "deepseek3.2",
    "minimax2.7",
    "WanWu/GLM-Auto",
    "claude-opus-4-7",
    "gemini-3-flash-preview",
    "dialect/openrouter",
    "dialect/vllm-0.11",
]
CALLING = [QWEN, "deepseek-v4-flash", "glm-5.1", "gpt-5", "minimax2.7", "WanWu/Deepseek-Auto"]


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("model", STREAMED)
async def test_create_streams_the_answer_the_finish_and_the_usage(
    client: AsyncOpenAI, model: str
) -> None:
    stream = await client.chat.completions.create(
        model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices).startswith("你好！😊")
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == 11


async def test_reasoning_content_is_there_beside_the_answer(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=QWEN, messages=MESSAGES, stream=True)
    deltas = [choice.delta async for chunk in stream for choice in chunk.choices]
    thoughts = [getattr(delta, "reasoning_content", None) for delta in deltas]
    assert len([thought for thought in thoughts if thought]) == 205


@pytest.mark.parametrize("model", STREAMED)
async def test_the_stream_helper_folds_the_same_reply(client: AsyncOpenAI, model: str) -> None:
    plain = await client.chat.completions.create(model=model, messages=MESSAGES)
    async with client.chat.completions.stream(model=model, messages=MESSAGES) as stream:
        texts = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == plain.choices[0].message.content
    assert "".join(texts) == final.choices[0].message.content
    assert final.choices[0].finish_reason == plain.choices[0].finish_reason == "stop"


async def test_a_plain_reply_has_the_counts_of_the_real_exchange(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(model=QWEN, messages=MESSAGES)
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == 205
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 218)


async def test_two_choices_stream_side_by_side(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model=QWEN, messages=MESSAGES, n=2) as stream:
        final = await stream.get_final_completion()
    assert len(final.choices) == 2
    assert final.choices[0].message.content == final.choices[1].message.content


@pytest.mark.parametrize("model", CALLING)
async def test_tool_calls_are_assembled(client: AsyncOpenAI, model: str) -> None:
    async with client.chat.completions.stream(
        model=model, messages=NAMED, tools=TOOLS, tool_choice="auto"
    ) as stream:
        final = await stream.get_final_completion()
    (choice,) = final.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == (
        "weather",
        '{"city":"weather 北京 ☀️"}',
    )
    assert call.id.startswith("call_")


async def test_several_tool_calls_keep_apart(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    calls = [Call("weather", {"city": "北京"}), Call("weather", {"city": "上海"})]
    gateway.script(ScriptedReply(tool_calls=calls))
    async with client.chat.completions.stream(
        model="gpt-5", messages=MESSAGES, tools=TOOLS
    ) as stream:
        final = await stream.get_final_completion()
    found = final.choices[0].message.tool_calls
    assert found is not None
    arguments = [call.function.parsed_arguments for call in found]
    assert arguments == [{"city": "北京"}, {"city": "上海"}]


async def test_a_plain_tool_call_is_parsed(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(
        model="deepseek-v4-pro",
        messages=MESSAGES,
        tools=TOOLS,
        tool_choice="required",
        extra_body={"thinking": {"type": "disabled"}},
    )
    calls = reply.choices[0].message.tool_calls
    assert calls is not None
    assert [call.type for call in calls] == ["function"]


async def test_models_are_listed_and_found(client: AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert {QWEN, "WanWu/Deepseek-Auto", "glm-5.1"} <= set(names)
    assert (await client.models.retrieve("WanWu/Deepseek-Auto")).id == "WanWu/Deepseek-Auto"


async def test_a_wrong_key_is_an_authentication_error(gateway: FakeGateway) -> None:
    async with AsyncOpenAI(api_key="sk-wrong", base_url=gateway.base_url, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError, match="invalid token"):
            await client.chat.completions.create(model=QWEN, messages=MESSAGES, stream=True)


async def test_an_unknown_model_is_an_internal_server_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model="gpt-7", messages=MESSAGES)
    assert caught.value.code == "model_not_found"


async def test_no_messages_are_a_bad_request(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="messages is required"):
        await client.chat.completions.create(model=QWEN, messages=[])


async def test_too_many_requests_are_a_rate_limit_error(
    client: AsyncOpenAI, gateway: FakeGateway
) -> None:
    gateway.script(faults.empty_429(), faults.status_error(429))
    for _ in range(2):
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=QWEN, messages=MESSAGES, stream=True)


async def test_a_retried_request_succeeds(gateway: FakeGateway) -> None:
    gateway.script(faults.status_error(429, headers={"retry-after-ms": "1"}))
    async with AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=1
    ) as client:
        reply = await client.chat.completions.create(model=QWEN, messages=MESSAGES)
    assert reply.choices[0].finish_reason == "stop"
    assert len(gateway.requests) == 2


async def test_an_error_event_ends_the_stream(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    gateway.script(faults.error_event())
    stream = await client.chat.completions.create(model=QWEN, messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError, match="the engine stopped"):
        async for _ in stream:
            pass


async def test_a_reset_is_a_connection_error(client: AsyncOpenAI, gateway: FakeGateway) -> None:
    gateway.script(faults.reset())
    with pytest.raises(openai.APIConnectionError):
        await client.chat.completions.create(model=QWEN, messages=MESSAGES)


# --- answers of a form --------------------------------------------------------------------------


class Place(BaseModel):
    """What is asked for: a type that holds its own kind."""

    name: str
    unit: Literal["摄氏", "华氏"]
    near: list["Place"]
    part_of: "Place | None"


def made_up(text: str) -> Place:
    """Return what the fake models make of the type: nested once, then no more."""
    inner = Place(name=text, unit="摄氏", near=[], part_of=None)
    return Place(name=text, unit="摄氏", near=[], part_of=inner)


@pytest.mark.parametrize("model", [QWEN, "gpt-5", "minimax2.7", "claude-sonnet-4.5", "glm-5.1"])
@pytest.mark.parametrize("prompt", ["北京在哪里？🏯", "Where is Beijing? 🏯"])
async def test_a_type_is_parsed(client: AsyncOpenAI, model: str, prompt: str) -> None:
    messages: list[Any] = [{"role": "user", "content": prompt}]
    expected = made_up(prompt)
    reply = await client.chat.completions.parse(
        model=model, messages=messages, response_format=Place
    )
    assert reply.choices[0].message.parsed == expected
    async with client.chat.completions.stream(
        model=model, messages=messages, response_format=Place
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == expected


async def test_a_json_object_is_one(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(
        model=QWEN,
        messages=[{"role": "user", "content": "给我 JSON 📦"}],
        response_format={"type": "json_object"},
    )
    assert json.loads(reply.choices[0].message.content or "") == {"answer": "给我 JSON 📦"}


async def test_a_form_that_is_cut_is_no_answer(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(
            model="deepseek3.2", messages=MESSAGES, response_format=Place, max_tokens=5
        )


async def test_tools_are_parsed(client: AsyncOpenAI) -> None:
    tool = openai.pydantic_function_tool(Place, name="find_place")
    messages: list[Any] = [{"role": "user", "content": "find_place 颐和园 🌸"}]
    reply = await client.chat.completions.parse(model="gpt-5", messages=messages, tools=[tool])
    (call,) = reply.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == made_up("find_place 颐和园 🌸")


# --- moderation, translation, videos ------------------------------------------------------------

NO_MORE_SORA = pytest.mark.filterwarnings("ignore:The Sora API is scheduled")
"""OpenAI ends its videos; the path lives on with others."""


async def test_moderation(client: AsyncOpenAI) -> None:
    judged = await client.moderations.create(input=["你好 😊", "[暴力] 打架", "[violence]"])
    assert [result.flagged for result in judged.results] == [False, True, True]
    assert judged.results[1].categories.violence
    assert judged.results[1].category_scores.violence > judged.results[0].category_scores.violence
    assert judged.model == "omni-moderation-latest"
    picture: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    text: Any = {"type": "text", "text": "看图 🖼️"}
    (both,) = (await client.moderations.create(input=[text, picture])).results
    assert both.category_applied_input_types.violence == ["text", "image"]
    assert both.category_applied_input_types.hate == ["text"]
    with pytest.raises(openai.BadRequestError, match="input"):
        await client.moderations.create(input=[])
    with pytest.raises(openai.InternalServerError, match="no available channel"):
        await client.moderations.create(input="你好", model=QWEN)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_translation_into_english(client: AsyncOpenAI) -> None:
    create: Any = client.audio.translations.create  # any: the package is about to end it
    file = ("录音.mp3", "🎧".encode(), "audio/mpeg")
    plain = await create(file=file, model="whisper-1")
    assert plain.text == "Heard 4 bytes 🎧"
    whole = await create(file=file, model="whisper-1", response_format="verbose_json")
    assert (whole.language, whole.text) == ("english", plain.text)
    assert [segment.text for segment in whole.segments or []] == [plain.text]
    text = await create(file=file, model="whisper-1", response_format="vtt")
    assert text.startswith("WEBVTT")
    with pytest.raises(openai.InternalServerError):
        await create(file=file, model=QWEN)


@NO_MORE_SORA
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_videos_are_listed_page_by_page(client: AsyncOpenAI, order: Any) -> None:
    videos: Any = client.videos
    made = [await videos.create(prompt=f"龙 {n} 🐉", model="wan-t2v") for n in range(5)]
    await videos.delete(made.pop(1).id)
    ids = [video.id for video in (made if order == "asc" else reversed(made))]
    first = await videos.list(limit=2, order=order)
    assert [video.id for video in first.data] == ids[:2]
    found = [video async for video in videos.list(limit=2, order=order)]
    assert [video.id for video in found] == ids
    assert {video.prompt for video in found} == {f"龙 {n} 🐉" for n in (0, 2, 3, 4)}
    assert {video.status for video in found} == {"queued"}  # a list is no asking after them


@NO_MORE_SORA
async def test_a_list_of_nothing_and_after_nobody(client: AsyncOpenAI) -> None:
    videos: Any = client.videos
    assert [video async for video in videos.list()] == []
    with pytest.raises(openai.NotFoundError):
        await videos.list(after="video_nobody")
    with pytest.raises(openai.BadRequestError, match="limit"):
        await videos.list(limit=1_000)
