"""The fake gateway, driven by a bare HTTP client: its bytes, its counts, its faults."""

import asyncio
import gc
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import aiohttp
import orjson
import pytest
import trustme
from aiohttp import web

from aiotokengate import testing
from aiotokengate.testing import (
    Call,
    FakeGateway,
    Gate,
    KeepAlive,
    Pace,
    Pause,
    Raw,
    ScriptedReply,
    Signal,
    Text,
    Thought,
    faults,
)
from aiotokengate.testing._media import MEDIA_MODELS
from aiotokengate.testing._models import JOB_MODELS, LATER, MODELS

pytest_plugins = ["pytester"]

GREETING = [{"role": "user", "content": "你好"}]
DONE = "data: [DONE]"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "unit": {"type": "string", "enum": ["摄氏", "华氏"]},
                "place": {"type": "object", "properties": {"exact": {"type": "boolean"}}},
            },
        },
    },
}


class Client:
    """A bare HTTP client of one gateway."""

    def __init__(self, gateway: FakeGateway, http: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.http = http

    def post(self, **body: Any) -> Any:
        body = {"model": "qwen3.6-max-preview", "messages": GREETING, **body}
        return self.http.post(self.url("/chat/completions"), json=body)

    def url(self, path: str) -> str:
        return f"{self.gateway.base_url}{path}"

    async def stream(self, **body: Any) -> list[str]:
        async with self.post(stream=True, **body) as response:
            assert response.status == 200, await response.text()
            text: str = await response.text()
        return text.removesuffix("\n\n").split("\n\n")

    async def frames(self, **body: Any) -> list[Any]:
        *events, done = await self.stream(**body)
        assert done == DONE
        return [orjson.loads(event.removeprefix("data: ")) for event in events]

    async def plain(self, **body: Any) -> Any:
        async with self.post(**body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def error(self, **body: Any) -> tuple[int, Any]:
        async with self.post(**body) as response:
            return response.status, (await response.json())["error"]


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.api_key}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        yield Client(gateway, http)


def choices(frames: list[Any]) -> list[Any]:
    return [choice for frame in frames for choice in frame["choices"]]


def joined(frames: list[Any], field: str, index: int = 0) -> str:
    ours = [choice for choice in choices(frames) if choice["index"] == index]
    return "".join(choice.get("delta", {}).get(field) or "" for choice in ours)


def reasons(frames: list[Any]) -> list[str]:
    found = (choice.get("finish_reason") for choice in choices(frames))
    return [reason for reason in found if reason]


# --- the greeting of the gateway's own page -----------------------------------------------------


async def test_greeting_has_the_counts_of_the_real_exchange(client: Client) -> None:
    frames = await client.frames(stream_options={"include_usage": True})
    *_, last = frames
    assert last["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 218,
        "total_tokens": 229,
        "completion_tokens_details": {"reasoning_tokens": 205},
        "prompt_tokens_details": {},
    }
    thoughts = [c for c in choices(frames) if c["delta"].get("reasoning_content")]
    answers = [c for c in choices(frames) if c["delta"].get("content")]
    assert (len(thoughts), len(answers)) == (205, 13)
    assert "😊" in joined(frames, "content")


async def test_greeting_has_the_field_order_of_the_real_exchange(client: Client) -> None:
    plain = await client.plain()
    order = ["choices", "object", "usage", "created", "system_fingerprint", "model", "id"]
    assert list(plain) == order
    assert list(plain["choices"][0]["message"]) == ["role", "content", "reasoning_content"]
    assert all(list(frame) == order for frame in await client.frames())


async def test_plain_and_streamed_greeting_say_the_same(client: Client) -> None:
    message = (await client.plain())["choices"][0]["message"]
    frames = await client.frames()
    assert message["content"] == joined(frames, "content")
    assert message["reasoning_content"] == joined(frames, "reasoning_content")


async def test_greeting_has_a_uuid_of_its_own_each_time(client: Client) -> None:
    first, second = (await client.plain())["id"], (await client.plain())["id"]
    assert first != second
    assert [len(part) for part in first.split("-")] == [8, 8, 4, 4, 4, 12]


# --- dialects -----------------------------------------------------------------------------------

SAID = ScriptedReply(reasoning=["想", "想"], answer=["好", "😊"])
A = {"role": "assistant"}


def detail(text: str) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}


DELTAS: dict[str, list[Any]] = {
    "qwen3.6-plus": [
        {"content": None, "role": "assistant", "reasoning_content": ""},
        {"content": None, "reasoning_content": "想"},
        {"content": None, "reasoning_content": "想"},
        {"content": "好", "reasoning_content": None},
        {"content": "😊", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ],
    "deepseek-v4-pro": [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "想"},
        {"content": None, "reasoning_content": "想"},
        {"content": "好", "reasoning_content": None},
        {"content": "😊", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ],
    "glm-4.7": [
        {**A, "reasoning_content": "想"},
        {**A, "reasoning_content": "想"},
        {**A, "content": "好"},
        {**A, "content": "😊"},
        {**A, "content": ""},
    ],
    "grok-code-fast-1": [
        {"reasoning_content": "想", "role": "assistant"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "grok-4-1-fast-reasoning": [
        {"content": "好", "role": "assistant"},
        {"content": "😊"},
        {},
    ],
    "gpt-5": [{**A, "content": None}, {"content": "好"}, {"content": "😊"}, {}],
    "WanWu/Deepseek-Auto": [
        {**A, "content": ""},
        {"reasoning": "想"},
        {"reasoning": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "dialect/vllm-0.10": [
        {**A, "content": ""},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "dialect/vllm-0.11": [
        {**A, "content": ""},
        {"reasoning": "想", "reasoning_content": "想"},
        {"reasoning": "想", "reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "minimax2.7": [
        {**A, "content": ""},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "claude-opus-4-7": [
        {"content": "", "role": "assistant"},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"reasoning_content": "\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "gemini-3-flash-preview": [
        {"content": "", "role": "assistant"},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/openrouter": [
        {**A, "content": "", "reasoning": "想", "reasoning_details": [detail("想")]},
        {**A, "content": "", "reasoning": "想", "reasoning_details": [detail("想")]},
        {**A, "content": "好", "reasoning": None, "reasoning_details": []},
        {**A, "content": "😊", "reasoning": None, "reasoning_details": []},
        {**A, "content": "", "reasoning": None, "reasoning_details": []},
        {**A, "content": "", "reasoning": None, "reasoning_details": []},
    ],
    "dialect/think-in-content": [
        {**A, "content": None},
        {"content": "<think>\n"},
        {"content": "想"},
        {"content": "想"},
        {"content": "\n</think>\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/tag-swallowed": [
        {**A, "content": None},
        {"content": "想"},
        {"content": "想"},
        {"content": "</thi"},
        {"content": "nk>\n\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/gemini-compat": [
        {**A, "content": None},
        {"content": "<thought>"},
        {"content": "想", "extra_content": {"google": {"thought": True}}},
        {"content": "想", "extra_content": {"google": {"thought": True}}},
        {"content": "</thought>"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "a model that nobody knows": [
        {**A, "content": None},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
}


@pytest.mark.parametrize("model", DELTAS)
async def test_each_dialect_shapes_its_deltas(client: Client, model: str) -> None:
    client.gateway.script(SAID)
    frames = await client.frames(model=model)
    assert [choice["delta"] for choice in choices(frames)] == DELTAS[model]
    assert reasons(frames) == ["stop"]
    assert {frame["model"] for frame in frames} == {model}


async def test_sglang_of_old_sends_every_key(client: Client) -> None:
    client.gateway.script(SAID)
    deltas = [choice["delta"] for choice in choices(await client.frames(model="deepseek3.2"))]
    empty = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
    texts = [{"reasoning_content": "想"}] * 2 + [{"content": "好"}, {"content": "😊"}, {}]
    assert deltas == [{**empty, **text} for text in [{**A, "content": ""}, *texts]]


async def test_minimax_cuts_its_tags_and_repeats_everything_at_the_end(client: Client) -> None:
    client.gateway.script(SAID)
    *frames, last = await client.frames(model="minimax2.5")
    pieces = [choice["delta"]["content"] for choice in choices(frames)]
    assert pieces == ["<th", "ink>\n", "想", "想", "\n</thi", "nk>\n\n", "好", "😊", ""]
    assert [choice["delta"]["role"] for choice in choices(frames)] == ["assistant"] + [""] * 8
    assert all(frame["usage"]["total_tokens"] == 0 for frame in frames)
    assert last["object"] == "chat.completion"
    assert last["choices"][0]["message"]["content"] == "".join(pieces)
    assert last["usage"]["completion_tokens"] == 4


async def test_minimax_splits_when_asked(client: Client) -> None:
    client.gateway.script(SAID)
    *frames, last = await client.frames(model="minimax2.5", reasoning_split=True)
    details = [choice["delta"].get("reasoning_details") for choice in choices(frames)]
    assert [rows[0]["text"] for rows in details if rows] == ["想", "想"]
    assert last["choices"][0]["message"]["content"] == "好😊"
    client.gateway.script(SAID)
    plain = await client.plain(model="minimax2.5", reasoning_split=True)
    message = plain["choices"][0]["message"]
    assert (message["content"], message["reasoning_details"][0]["text"]) == ("好😊", "想想")


USAGE_PLACES = {
    "qwen3.6-plus": "alone",
    "deepseek-v4-pro": "with the finish",
    "glm-5.1": "with the finish",
    "grok-code-fast-1": "alone",
    "gpt-5": "alone",
    "WanWu/GLM-Auto": "alone",
    "minimax2.7": "alone",
    "claude-sonnet-4.5": "alone",
    "gemini-3.1-pro-preview": "alone",
    "dialect/openrouter": "beside a dummy choice",
}


@pytest.mark.parametrize("model", USAGE_PLACES)
async def test_usage_comes_last_and_where_the_dialect_puts_it(client: Client, model: str) -> None:
    client.gateway.script(SAID)
    *early, last = await client.frames(model=model)
    assert not any(frame.get("usage") for frame in early)
    assert last["usage"]["prompt_tokens"] == 9
    ends = [choice.get("finish_reason") for choice in last["choices"]]
    places = {"alone": [], "with the finish": ["stop"], "beside a dummy choice": [None]}
    assert ends == places[USAGE_PLACES[model]]


async def test_xai_counts_reasoning_beside_completion(client: Client) -> None:
    client.gateway.script(SAID)
    usage = (await client.plain(model="grok-4-1-fast-reasoning"))["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 2)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2
    assert usage["total_tokens"] == 13


PLAIN: dict[str, Any] = {
    "qwen3.6-plus": {**A, "content": "好😊", "reasoning_content": "想想"},
    "deepseek-v4-pro": {**A, "content": "好😊", "reasoning_content": "想想"},
    "glm-4.7": {**A, "content": "好😊", "reasoning_content": "想想"},
    "grok-code-fast-1": {**A, "content": "好😊", "reasoning_content": "想想"},
    "gpt-5": {**A, "content": "好😊"},
    "minimax2.7": {**A, "content": "好😊", "reasoning_content": "想想", "tool_calls": None},
    "claude-opus-4-7": {**A, "content": "好😊", "reasoning_content": "想想"},
    "dialect/think-in-content": {**A, "content": "<think>\n想想\n</think>\n好😊"},
    "dialect/tag-swallowed": {**A, "content": "想想</think>\n\n好😊"},
    "minimax2.5": {
        **A,
        "content": "<think>\n想想\n</think>\n\n好😊",
        "name": "MiniMax AI",
        "audio_content": "",
    },
    "dialect/openrouter": {
        **A,
        "content": "好😊",
        "refusal": None,
        "reasoning": "想想",
        "reasoning_details": [detail("想想")],
    },
    "WanWu/Deepseek-Auto": {
        **A,
        "content": "好😊",
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": [],
        "reasoning": "想想",
    },
}


@pytest.mark.parametrize("model", PLAIN)
async def test_each_dialect_shapes_its_plain_message(client: Client, model: str) -> None:
    client.gateway.script(SAID)
    choice = (await client.plain(model=model))["choices"][0]
    assert choice["message"] == PLAIN[model]
    assert choice["finish_reason"] == "stop"


async def test_interleaved_thinking_keeps_its_order(client: Client) -> None:
    parts: list[Thought | Text] = [
        Thought(["一"]),
        Text(["二"]),
        Thought(["三"]),
        Text(["四"]),
    ]
    client.gateway.script(ScriptedReply(parts=parts))
    found = choices(await client.frames(model="glm-4.7"))
    said = [delta for choice in found if len(delta := choice["delta"]) > 1 and any(delta.values())]
    kinds = [key for delta in said for key in delta if key != "role" and delta[key]]
    assert kinds == ["reasoning_content", "content", "reasoning_content", "content"]


async def test_openai_pads_its_chunks_unless_told_not_to(client: Client) -> None:
    padded = await client.frames(model="gpt-5")
    bare = await client.frames(model="gpt-5", stream_options={"include_obfuscation": False})
    assert all("obfuscation" in frame for frame in padded)
    assert not any("obfuscation" in frame for frame in bare)


# --- tool calls ---------------------------------------------------------------------------------

CALLED = ScriptedReply(tool_calls=[Call("weather", '{"city":"北京"}', id="call_1")])

TOOL_PIECES: dict[str, list[Any]] = {
    "gpt-5": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0},
        {"index": 0},
    ],
    "qwen3.6-plus": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
    ],
    "glm-4.7": [{"id": "call_1", "index": 0, "type": "function"}],
    "grok-code-fast-1": [{"id": "call_1", "index": 0, "type": "function"}],
    "minimax2.7": [
        {"id": "call_1", "index": 0, "type": "function"},
        {"id": None, "index": 0, "type": "function"},
        {"id": None, "index": 0, "type": "function"},
    ],
    "claude-opus-4-7": [
        {"index": 1, "id": "call_1", "type": "function"},
        {"index": 1, "type": "function"},
        {"index": 1, "type": "function"},
    ],
    "gemini-3-flash-preview": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0, "id": "", "type": None},
    ],
    "dialect/openrouter": [{"index": None, "id": "call_1", "type": "function"}],
}


def tool_pieces(frames: list[Any]) -> list[Any]:
    deltas = [choice["delta"] for choice in choices(frames)]
    return [piece for delta in deltas for piece in delta.get("tool_calls") or ()]


@pytest.mark.parametrize("model", TOOL_PIECES)
async def test_each_dialect_shapes_its_tool_calls(client: Client, model: str) -> None:
    client.gateway.script(CALLED)
    frames = await client.frames(model=model)
    pieces = tool_pieces(frames)
    functions = [piece.pop("function") for piece in pieces]
    assert pieces == TOOL_PIECES[model]
    assert "".join([piece.get("arguments", "") for piece in functions]) == '{"city":"北京"}'
    assert functions[0]["name"] == "weather"
    assert reasons(frames) == ["tool_calls"]


async def test_minimax_repeats_its_calls_at_the_end(client: Client) -> None:
    client.gateway.script(CALLED)
    *frames, last = await client.frames(model="minimax2.5")
    (piece,) = tool_pieces(frames)
    (again,) = last["choices"][0]["message"]["tool_calls"]
    assert piece == {**again, "index": 0}


async def test_claude_counts_its_calls_by_block(client: Client) -> None:
    calls = [Call("a"), Call("b")]
    client.gateway.script(ScriptedReply(reasoning="想", answer="查", tool_calls=calls))
    pieces = tool_pieces(await client.frames(model="claude-opus-4-7"))
    assert [piece["index"] for piece in pieces if piece.get("id")] == [2, 3]


async def test_gemini_compat_calls_have_no_index(client: Client) -> None:
    client.gateway.script(CALLED)
    pieces = tool_pieces(await client.frames(model="dialect/gemini-compat"))
    assert [("index" in piece, "extra_content" in piece) for piece in pieces] == [(False, True)]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "weather 北京"}]},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
    ],
)
async def test_a_wanted_tool_is_called(client: Client, body: dict[str, Any]) -> None:
    choice = (await client.plain(tools=[WEATHER], **body))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    prompt = body.get("messages", GREETING)[-1]["content"]
    arguments = orjson.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"city": prompt, "days": 1, "unit": "摄氏", "place": {"exact": True}}


@pytest.mark.parametrize("body", [{"tool_choice": "none"}, {"tool_choice": "auto"}, {}])
async def test_no_tool_is_called_unasked(client: Client, body: dict[str, Any]) -> None:
    choice = (await client.plain(tools=[WEATHER], **body))["choices"][0]
    assert choice["finish_reason"] == "stop"


async def test_a_tool_result_is_put_into_words(client: Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴，25 度"},
    ]
    message = (await client.plain(messages=messages, tools=[WEATHER]))["choices"][0]["message"]
    assert "晴，25 度" in message["content"]
    assert "tool_calls" not in message


# --- the gateway's own answers ------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["讲讲 {花括号} 😀", "Tell me about {braces} 😀"])
async def test_a_question_is_thought_about_and_given_back(client: Client, prompt: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    first, second = await client.plain(messages=messages), await client.plain(messages=messages)
    message = first["choices"][0]["message"]
    assert prompt in message["content"]
    assert prompt in message["reasoning_content"]
    assert all(part in message["content"] for part in ("- **", "```python", "🚀"))
    assert message == second["choices"][0]["message"]


# Some answer over Responses only; `test_refusals.py` has them.
OVER_CHAT = sorted(
    name for name in (*MODELS, *LATER) if not name.endswith("-pro") or not name.startswith("gpt-")
)


@pytest.mark.parametrize("model", [name for name in OVER_CHAT if "codex" not in name])
async def test_every_model_answers_streamed_as_plain(client: Client, model: str) -> None:
    frames = await client.frames(model=model)
    plain = (await client.plain(model=model))["choices"][0]["message"]
    assert joined(frames, "content") == (plain["content"] or "")
    assert reasons(frames)[0] == "stop"


@pytest.mark.parametrize(
    ("model", "body", "thinks"),
    [
        ("qwen3.6-plus", {}, True),
        ("qwen3.6-plus", {"enable_thinking": False}, False),
        ("qwen3.6-plus", {"chat_template_kwargs": {"enable_thinking": False}}, False),
        ("deepseek-v4-pro", {}, True),
        ("deepseek-v4-pro", {"thinking": {"type": "disabled"}}, False),
        ("deepseek3.2", {}, False),
        ("deepseek3.2", {"chat_template_kwargs": {"thinking": True}}, True),
        ("WanWu/Deepseek-Auto", {}, False),
        ("WanWu/Deepseek-Auto", {"enable_thinking": True}, True),
        ("WanWu/Deepseek-Auto", {"reasoning_effort": "low"}, True),
        ("WanWu/GLM-Auto", {}, True),
        ("WanWu/GLM-Auto", {"chat_template_kwargs": {"enable_thinking": False}}, False),
        ("glm-5.1", {"thinking": {"type": "enabled"}}, True),
        ("glm-5.1", {"thinking": {"type": "disabled"}}, False),
        ("minimax2.7", {"enable_thinking": False}, True),
        ("claude-opus-4-6", {}, False),
        ("claude-opus-4-6", {"reasoning": {"max_tokens": 2048}}, True),
        ("claude-opus-4-6", {"thinking": {"type": "enabled"}}, False),
        ("claude-opus-4-6-thinking", {}, True),
        ("gemini-3-flash-preview", {}, False),
        (
            "gemini-3-flash-preview",
            {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            True,
        ),
    ],
)
async def test_thinking_is_asked_for_the_model_s_way(
    client: Client, model: str, body: dict[str, Any], *, thinks: bool
) -> None:
    frames = await client.frames(model=model, **body)
    shown = joined(frames, "reasoning_content") + joined(frames, "reasoning")
    assert bool(shown) is thinks


async def test_hidden_thinking_is_counted_by_effort(client: Client) -> None:
    thinking = (await client.plain(model="gpt-5"))["usage"]
    silent = (await client.plain(model="gpt-5", reasoning_effort="minimal"))["usage"]
    assert thinking["completion_tokens_details"]["reasoning_tokens"] == 205
    assert silent["completion_tokens_details"]["reasoning_tokens"] == 0


async def test_gemini_delivers_the_first_piece_of_its_answer_as_thought(client: Client) -> None:
    model = "gemini-3-flash-preview-thinking"
    message = (await client.plain(model=model))["choices"][0]["message"]
    assert "你好！😊" in message["reasoning_content"]
    assert "你好！😊" not in message["content"]


@pytest.mark.parametrize(("limit", "thoughts", "answers"), [(5, 5, 0), (207, 205, 2)])
async def test_max_tokens_cuts_also_inside_the_thinking(
    client: Client, limit: int, thoughts: int, answers: int
) -> None:
    frames = await client.frames(max_tokens=limit)
    texts = [choice["delta"] for choice in choices(frames)]
    assert len([text for text in texts if text.get("reasoning_content")]) == thoughts
    assert len([text for text in texts if text.get("content")]) == answers
    assert reasons(frames) == ["length"]
    assert frames[-1]["usage"]["completion_tokens"] == limit


async def test_max_tokens_that_suffice_change_nothing(client: Client) -> None:
    assert reasons(await client.frames(max_tokens=218)) == ["stop"]
    assert reasons(await client.frames(max_completion_tokens=217)) == ["length"]


@pytest.mark.parametrize("stop", ["高兴", ["nowhere", "见到", "高兴"]])
async def test_stop_ends_the_answer_before_its_text(client: Client, stop: Any) -> None:
    frames = await client.frames(stop=stop)
    assert joined(frames, "content") == "你好！😊 很"
    assert reasons(frames) == ["stop"]


async def test_choices_take_turns(client: Client) -> None:
    frames = await client.frames(n=2)
    order = [choice["index"] for choice in choices(frames)]
    assert order == [0, 1] * (len(order) // 2)
    assert joined(frames, "content", 0) == joined(frames, "content", 1)
    assert reasons(frames) == ["stop", "stop"]
    assert frames[-1]["usage"]["completion_tokens"] == 2 * 218
    assert [row["index"] for row in (await client.plain(n=2))["choices"]] == [0, 1]


@pytest.mark.parametrize(("model", "finishes"), [("qwen3.6-plus", ["stop"]), ("glm-4.7", [])])
async def test_include_usage_false_swallows_the_last_chunk(
    client: Client, model: str, finishes: list[str]
) -> None:
    frames = await client.frames(model=model, stream_options={"include_usage": False})
    assert not any(frame.get("usage") for frame in frames)
    assert reasons(frames) == finishes


# --- keys, paths and refusals -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        (None, "no token provided"),
        ("Bearer ", "no token provided"),
        ("Basic abc", "no token provided"),
        ("Bearer sk-wrong", "invalid token"),
        ("bearer sk-wrong", "invalid token"),
    ],
)
async def test_a_wrong_key_is_refused_as_new_api_does(
    gateway: FakeGateway, authorization: str | None, text: str
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    url = f"{gateway.base_url}/chat/completions"
    async with aiohttp.ClientSession() as http, http.post(url, headers=headers) as response:
        error = (await response.json())["error"]
        request_id = response.headers["X-Oneapi-Request-Id"]
    assert response.status == 401
    assert error["type"] == "new_api_error"
    assert set(error) == {"message", "type"}
    assert text in error["message"]
    assert error["message"].endswith(f"(request id: {request_id})")
    assert request_id == gateway.requests[0].request_id


async def test_any_key_is_good_if_it_looks_like_one() -> None:
    async with FakeGateway(any_key=True) as gateway, aiohttp.ClientSession() as http:
        for key, status in (("sk-anything", 200), ("anything", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            async with http.get(f"{gateway.base_url}/models", headers=headers) as response:
                assert response.status == status


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "gpt-7"}, 503, "model_not_found"),
        ({"model": "Qwen3.6-max-preview"}, 503, "model_not_found"),
        ({"model": ""}, 400, "invalid_request"),
        ({"model": None}, 400, "invalid_request"),
        ({"messages": []}, 400, "invalid_request"),
        ({"messages": "你好"}, 400, "invalid_request"),
        ({"messages": ["你好"]}, 400, "invalid_request"),
        ({"messages": [{"content": "你好"}]}, 400, "invalid_request"),
        ({"max_tokens": 0}, 400, "invalid_request"),
        ({"max_tokens": "many"}, 400, "invalid_request"),
        ({"n": True}, 400, "invalid_request"),
        ({"n": 10**9}, 400, "invalid_request"),
        ({"stop": 5}, 400, "invalid_request"),
        ({"tools": {}}, 400, "invalid_request"),
        ({"stream_options": "usage"}, 400, "invalid_request"),
    ],
)
async def test_bad_requests_are_refused(
    client: Client, body: dict[str, Any], status: int, code: str
) -> None:
    got, error = await client.error(**body)
    assert (got, error["code"], error["type"]) == (status, code, "new_api_error")
    assert "你好" not in error["message"]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"text"', b'{"model":"\\ud83d"}', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(client: Client, raw: bytes) -> None:
    async with client.http.post(client.url("/chat/completions"), data=raw) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "invalid_request"


async def test_a_prompt_longer_than_the_model_s_context_is_refused(client: Client) -> None:
    messages = [{"role": "user", "content": "长" * 16_384}]
    status, error = await client.error(model="Qwen3-VL-8B-Instruct", messages=messages)
    assert (status, error["code"]) == (400, "context_length_exceeded")
    assert "16393 tokens" in error["message"]


async def test_an_unknown_path_is_the_gateway_s_404(client: Client) -> None:
    async with client.http.post(client.url("/nothing")) as response:
        error = (await response.json())["error"]
    assert response.status == 404
    assert error == {
        "message": "Invalid URL (POST /v1/nothing)",
        "type": "invalid_request_error",
        "param": "",
        "code": "",
    }
    async with client.http.get(client.url("/chat/completions")) as response:
        assert response.status == 404


async def test_models_are_listed_by_their_exact_names(client: Client) -> None:
    async with client.http.get(client.url("/models")) as response:
        listed = await response.json()
    assert listed["object"] == "list"
    assert [row["id"] for row in listed["data"]] == [*MODELS, *MEDIA_MODELS, *JOB_MODELS]
    async with client.http.get(client.url("/models/WanWu/Deepseek-Auto")) as response:
        assert (await response.json())["id"] == "WanWu/Deepseek-Auto"
    async with client.http.get(client.url("/models/gpt-7")) as response:
        assert response.status == 404


async def test_every_response_says_who_sent_it(client: Client) -> None:
    for path in ("/models", "/nothing"):
        async with client.http.get(client.url(path)) as response:
            assert response.headers["X-New-Api-Version"]
            assert response.headers["X-Oneapi-Request-Id"]
    async with client.post(stream=True) as response:
        assert response.headers["X-Oneapi-Request-Id"] == client.gateway.requests[-1].request_id
        assert response.headers["X-Accel-Buffering"] == "no"


# --- what a test sees and scripts ---------------------------------------------------------------


async def test_requests_are_recorded_without_showing_what_is_secret(client: Client) -> None:
    await client.plain(temperature=0.5)
    (request,) = client.gateway.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.json["temperature"] == 0.5
    assert request.headers["authorization"] == f"Bearer {client.gateway.api_key}"
    assert client.gateway.api_key not in repr(request)
    assert "你好" not in repr(request)
    assert client.gateway.api_key not in repr(client.gateway)


async def test_only_the_last_requests_are_kept() -> None:
    async with FakeGateway(keep_requests=2) as gateway, aiohttp.ClientSession() as http:
        for query in ("a", "b", "c"):
            async with http.get(f"{gateway.base_url}/models?{query}"):
                pass
        assert [request.query for request in gateway.requests] == ["b", "c"]


async def test_scripts_are_served_once_and_in_order(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="一"), ScriptedReply(answer="二"))
    client.gateway.script(ScriptedReply(answer="三"))
    texts = [(await client.plain())["choices"][0]["message"]["content"] for _ in range(4)]
    assert texts[:3] == ["一", "二", "三"]
    assert texts[3].startswith("你好！😊")


async def test_scripts_can_be_forgotten(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="一"))
    client.gateway.unscript()
    assert (await client.plain())["usage"]["total_tokens"] == 229


async def test_a_script_for_another_path_waits_for_it(client: Client) -> None:
    client.gateway.script(faults.status_error(500), path="/v1/models")
    assert (await client.plain())["usage"]["total_tokens"] == 229
    async with client.http.get(client.url("/models")) as response:
        assert response.status == 500


async def test_a_scripted_reply_takes_its_usage_and_finish_as_given(client: Client) -> None:
    usage = {"total_tokens": 3}
    client.gateway.script(ScriptedReply(answer="好", usage=usage, finish_reason="sensitive"))
    frames = await client.frames(model="glm-4.7")
    assert reasons(frames) == ["sensitive"]
    assert frames[-1]["usage"] == usage


async def test_a_scripted_reply_speaks_as_the_model_it_names(client: Client) -> None:
    client.gateway.script(ScriptedReply(reasoning="想", model="WanWu/GLM-Auto"))
    assert joined(await client.frames(), "reasoning") == "想"


async def test_a_scripted_reply_without_done_just_ends(client: Client) -> None:
    client.gateway.script(ScriptedReply(answer="好", done=False))
    assert DONE not in await client.stream()


async def test_a_tuple_holds_a_reply_for_each_choice(client: Client) -> None:
    client.gateway.script((ScriptedReply(answer="甲"), ScriptedReply(answer="乙")))
    frames = await client.frames(n=2)
    assert (joined(frames, "content", 0), joined(frames, "content", 1)) == ("甲", "乙")


async def test_a_function_answers_as_it_likes(client: Client) -> None:
    async def teapot(request: web.Request) -> web.StreamResponse:
        return web.json_response({"path": request.path}, status=418)

    client.gateway.script(teapot)
    async with client.post() as response:
        assert (response.status, await response.json()) == (418, {"path": "/v1/chat/completions"})
        assert response.headers["X-Oneapi-Request-Id"]


async def test_what_is_no_script_is_refused_at_once(gateway: FakeGateway) -> None:
    with pytest.raises(TypeError, match=r"expected a ScriptedReply.* got str"):
        gateway.script("你好")  # type: ignore[arg-type]


async def test_a_gate_holds_each_token_until_the_test_lets_it_pass(client: Client) -> None:
    gate = Gate()
    client.gateway.script(ScriptedReply(answer=["一", gate, "二", gate, "三"]))
    async with client.post(stream=True) as response:
        seen = b""
        for number, text in enumerate("一二", 1):
            await gate.reached(number)
            while text.encode() not in seen:
                seen += await response.content.readany()
            assert "一二三"[number].encode() not in seen
            gate.release()
        assert "三" in (await response.content.read()).decode()


async def test_the_gate_of_a_reply_stands_before_every_delta(client: Client) -> None:
    gate = Gate()
    client.gateway.script(ScriptedReply(reasoning="想想", answer="好的", gate=gate))
    async with asyncio.TaskGroup() as group:
        reply = group.create_task(client.frames())
        for number in range(1, 5):
            await gate.reached(number)
            assert not reply.done()
            gate.release()
    assert joined(reply.result(), "content") == "好的"


async def test_raw_bytes_arrive_as_they_are(client: Client) -> None:
    writes = [b"data: {\n\n", b"", "半个字：".encode()[:-1], b"\r\r\n"]
    client.gateway.script(Raw(202, writes, {"content-type": "text/plain", "X-Own": "1"}))
    async with client.post() as response:
        assert await response.read() == b"".join(writes)
        assert (response.status, response.headers["X-Own"]) == (202, "1")
        assert response.headers["Content-Type"] == "text/plain"


async def test_raw_writes_leave_one_by_one(client: Client) -> None:
    gate = Gate()
    client.gateway.script(Raw(body=[b"a", gate, b"b"]).drip())
    async with client.post() as response:
        assert await response.content.readany() == b"a"
        gate.release()
        assert await response.content.readany() == b"b"


async def test_a_whole_raw_answer_leaves_the_connection_usable(client: Client) -> None:
    client.gateway.script(Raw(body=b"1"), Raw(body=b"2", headers={"Content-Length": "1"}))
    for _ in range(3):
        async with client.post() as response:
            await response.read()
    assert {request.connection for request in client.gateway.requests} == {1}
    assert client.gateway.connections == 1


async def asking_socket(gateway: FakeGateway) -> socket.socket:
    """Ask for a chat completion over a bare socket."""
    loop = asyncio.get_running_loop()
    host, _, port = gateway.base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {gateway.api_key}\r\n"
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, (host, int(port)))
    await loop.sock_sendall(sock, f"{head}Host: {host}\r\n\r\n".encode())
    return sock


async def received(gateway: FakeGateway) -> tuple[bytes, bool]:
    """Ask; return the bytes that came, and whether a reset ended them."""
    loop = asyncio.get_running_loop()
    data = b""
    with await asking_socket(gateway) as sock:
        try:
            while piece := await loop.sock_recv(sock, 65536):
                data += piece
        except ConnectionResetError:
            return data, True
    return data, False


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_cut_is_made_after_exactly_its_bytes(
    gateway: FakeGateway, end: Literal["close", "reset"]
) -> None:
    whole = Raw(None, [b"data: 1\n\n", b"data: 2\n\n"])
    data = b"data: 1\n\ndata: 2\n\n"
    for after in range(len(data) + 1):
        gateway.script(whole.cut(after, end))
        assert await received(gateway) == (data[:after], end == "reset")
    assert all(request.finished for request in gateway.requests)
    await gateway.wait_connections(0)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_cut_leaves_the_chunked_body_without_its_end(
    gateway: FakeGateway, end: Literal["close", "reset"]
) -> None:
    gateway.script(Raw(body=b"0123").cut(2, end))
    data, was_reset = await received(gateway)
    assert data.endswith(b"\r\n\r\n2\r\n01\r\n")
    assert was_reset is (end == "reset")


async def test_a_cut_delivers_what_came_before_it(client: Client) -> None:
    client.gateway.script(Raw(body=b"0123456789").cut(4, "close"))
    async with client.post() as response:
        assert await response.content.readany() == b"0123"


async def test_bytes_without_http_are_just_bytes(client: Client) -> None:
    client.gateway.script(Raw(None, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
    async with client.post() as response:
        assert await response.text() == "hi"
    await client.gateway.wait_connections(0)


async def test_half_a_head_and_a_reset_are_connection_errors(client: Client) -> None:
    client.gateway.script(Raw(None, b"HTTP/1.1 20", end="close"), faults.reset())
    for _ in range(2):
        with pytest.raises((aiohttp.ClientConnectionError, ConnectionError)):
            await client.post()


async def test_a_client_that_leaves_is_noticed_and_the_reply_ends(client: Client) -> None:
    gate = Gate()
    client.gateway.script(ScriptedReply(answer=["一", gate, "二"]))
    async with client.post(stream=True) as response:
        await gate.reached()
        response.close()
        await client.gateway.wait_disconnected()
    (request,) = client.gateway.requests
    assert request.disconnected
    assert not request.finished
    await client.gateway.wait_connections(0)


async def test_a_client_that_leaves_a_hanging_server_is_noticed(client: Client) -> None:
    client.gateway.script(faults.silence())
    asking = asyncio.ensure_future(client.stream())
    request = await client.gateway.wait_requests(1)
    asking.cancel()
    await request.disconnected.wait()


async def test_a_client_that_leaves_after_the_end_was_served(client: Client) -> None:
    response = await client.post(stream=True)
    await client.gateway.requests[0].finished.wait()
    response.close()
    await client.http.close()
    await client.gateway.wait_connections(0)
    assert not client.gateway.requests[0].disconnected


@pytest.mark.parametrize("stream", [True, False])
async def test_clients_that_leave_at_any_time_leave_no_trace(
    client: Client, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    gate = Gate()
    answer = [piece for _ in range(10) for piece in ("字" * 50_000, gate)]
    for moment in range(1, 11):
        client.gateway.script(ScriptedReply(answer=answer))
        gate.release(moment - 1)
        asking = asyncio.ensure_future(client.stream() if stream else client.plain())
        await gate.reached(moment * (moment + 1) // 2)
        asking.cancel()
        await client.gateway.wait_disconnected()
    await client.gateway.wait_connections(0)
    assert caplog.records == []


async def test_a_write_that_fails_first_is_a_client_that_left(gateway: FakeGateway) -> None:
    gate = Gate()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await gate.passed()
        await response.write(b"too late")
        return response

    gateway.script(answer)
    sock = await asking_socket(gateway)
    await gate.reached()
    sock.close()
    # The write is due before the event loop says that the connection is lost.
    gate.release()
    await gateway.wait_disconnected()
    assert not gateway.requests[0].finished


async def test_a_gate_forgets_a_client_that_left(client: Client) -> None:
    gate = Gate()
    client.gateway.script(*[ScriptedReply(answer="好", gate=gate)] * 2)
    asking = asyncio.ensure_future(client.stream())
    await gate.reached()
    asking.cancel()
    await client.gateway.wait_disconnected()
    again = asyncio.ensure_future(client.frames())
    await gate.reached(2)
    gate.release()
    assert joined(await again, "content") == "好"


async def test_a_slow_reader_holds_the_gateway_back(client: Client) -> None:
    gate = Gate()
    gate.open()
    big = b"x" * 1_000_000
    client.gateway.script(Raw(body=[piece for _ in range(40) for piece in (big, gate)]))
    async with client.post() as response:
        await gate.reached(1)
        assert not client.gateway.requests[0].finished
        assert len(await response.read()) == 40 * len(big)
    await gate.reached(40)


async def test_stopping_ends_whatever_goes_on() -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as http:
        async with FakeGateway(any_key=True) as gateway:
            headers = {"Authorization": "Bearer sk-1"}
            gateway.script(faults.silence(), faults.silent_stream(after=2))
            url = f"{gateway.base_url}/chat/completions"
            silent = asyncio.ensure_future(http.post(url, headers=headers))
            await gateway.wait_requests(1)
            started = await http.post(url, headers=headers, json={})
        with pytest.raises(aiohttp.ClientError):
            await silent
        with pytest.raises(aiohttp.ClientError):
            await started.read()
    assert gateway.connections == 0
    assert asyncio.all_tasks() == before


async def test_a_gateway_can_run_again_and_stop_twice(gateway: FakeGateway) -> None:
    with pytest.raises(RuntimeError, match="isn't running yet"):
        await gateway.start()
    await gateway.stop()
    with pytest.raises(RuntimeError, match="expected a running gateway"):
        _ = gateway.base_url
    assert "not running" in repr(gateway)
    await gateway.stop()
    await gateway.start()
    assert gateway.base_url in repr(gateway)


async def test_a_port_that_is_taken_is_an_error(gateway: FakeGateway) -> None:
    port = int(gateway.base_url.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        await FakeGateway(port=port).start()
    with pytest.raises(OSError, match="address already in use"):
        FakeGateway(port=port).__enter__()


async def test_it_speaks_tls() -> None:
    authority = trustme.CA()
    server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with FakeGateway(ssl=server) as gateway, aiohttp.ClientSession() as http:
        assert gateway.base_url.startswith("https://127.0.0.1:")
        async with http.get(f"{gateway.base_url}/models", ssl=trusting) as response:
            assert response.status == 401


# --- in a thread --------------------------------------------------------------------------------


async def test_it_runs_in_a_thread_and_is_waited_for_from_elsewhere() -> None:
    with FakeGateway() as gateway:
        gate = Gate()
        gateway.script(ScriptedReply(answer=["一", gate, "二"]), faults.silence())
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as http:
            client = Client(gateway, http)
            reply = asyncio.ensure_future(client.frames())
            await gate.reached()
            gate.release()
            assert joined(await reply, "content") == "一二"
            silent = asyncio.ensure_future(client.frames())
            await gateway.wait_requests(2)
            silent.cancel()
            await gateway.wait_disconnected()
        await gateway.wait_connections(0)
    assert "fake-gateway" not in [thread.name for thread in threading.enumerate()]


def test_a_thread_can_wait_without_a_loop() -> None:
    gate, happened = Gate(), Signal()
    assert not happened.wait_blocking(timeout=0)
    assert not gate.reached_blocking(timeout=0)
    arriving = threading.Thread(target=asyncio.run, args=(_pass(gate, happened),))
    arriving.start()
    assert gate.reached_blocking()
    assert "not set" in repr(happened)
    gate.open()
    assert happened.wait_blocking()
    assert gate.reached_blocking()
    arriving.join()


async def _pass(gate: Gate, happened: Signal) -> None:
    await gate.passed()
    happened.set()


async def test_a_waiter_that_gave_up_is_forgotten() -> None:
    happened = Signal()
    waiting = asyncio.ensure_future(happened.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    happened.set()
    assert happened


def test_a_loop_that_ended_while_waiting_is_left_in_peace() -> None:
    happened = Signal()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(happened.wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    happened.set()
    assert not waiting.done()
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]
    del waiting
    gc.collect()


# --- time ---------------------------------------------------------------------------------------


class Sleeps:
    """A clock in the test's hand: every sleep waits until the test ends it."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((seconds, future))
        await future

    async def next(self) -> tuple[float, asyncio.Future[None]]:
        return await self._asked.get()


async def test_the_pace_is_first_token_then_so_many_a_second() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    pace = Pace(first_token=0.5, tokens_per_second=50)
    async with FakeGateway(pace=pace, sleep=sleep) as gateway, aiohttp.ClientSession() as http:
        gateway.script(ScriptedReply(reasoning="想想", answer="好", tool_calls=[Call("f")]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        async with http.post(
            f"{gateway.base_url}/chat/completions", headers=headers, json={"stream": True}
        ) as response:
            await response.read()
    assert waited == [0.5, 0.02, 0.02, 0.02]


def test_jitter_stays_in_its_bounds_and_repeats_with_its_seed() -> None:
    pace = Pace(first_token=1, tokens_per_second=10, jitter=0.5, seed=7)
    first, again = ([next(waits) for _ in range(500)] for waits in (pace.waits(), pace.waits()))
    assert first == again
    assert 0.5 <= first[0] <= 1.5
    assert all(0.05 <= wait <= 0.15 for wait in first[1:])
    assert len(set(first)) > 100


@pytest.mark.parametrize(
    "wrong", [{"first_token": -1}, {"tokens_per_second": 0}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_an_impossible_pace_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Pace(**wrong)
    with pytest.raises(ValueError, match="every"):
        KeepAlive(0)


@pytest.mark.parametrize(
    ("stream", "comment"), [(True, b": PING\n\n"), (False, b"\n")], ids=["stream", "plain"]
)
async def test_silence_is_filled_with_keep_alives(*, stream: bool, comment: bytes) -> None:
    sleeps = Sleeps()
    async with (
        FakeGateway(keep_alive=KeepAlive(every=4), sleep=sleeps) as gateway,
        aiohttp.ClientSession() as http,
    ):
        gateway.script(ScriptedReply(parts=[Pause(10), Text("好")]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        url = f"{gateway.base_url}/chat/completions"
        asking = asyncio.ensure_future(http.post(url, headers=headers, json={"stream": stream}))
        pauses = dict([await sleeps.next(), await sleeps.next()])
        assert set(pauses) == {4, 10}
        pauses[4].set_result(None)
        response = await asking
        if stream:
            await response.content.readuntil(b"\n\n")
        assert await response.content.readany() == comment
        assert (await sleeps.next())[0] == 4
        pauses[10].set_result(None)
        assert "好" in (await response.content.read()).decode()


async def test_a_gate_too_is_filled_with_keep_alives() -> None:
    sleeps, gate = Sleeps(), Gate()
    async with (
        FakeGateway(keep_alive=KeepAlive(4, "keep-alive"), sleep=sleeps) as gateway,
        aiohttp.ClientSession() as http,
    ):
        gateway.script(ScriptedReply(parts=[gate, Text("好")], model="glm-4.7"))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        url = f"{gateway.base_url}/chat/completions"
        asking = asyncio.ensure_future(http.post(url, headers=headers, json={"stream": True}))
        (await sleeps.next())[1].set_result(None)
        response = await asking
        assert await response.content.readany() == b": keep-alive\n\n"
        gate.open()
        assert (await response.text()).endswith(f"{DONE}\n\n")


# --- faults -------------------------------------------------------------------------------------


async def test_written_bytes_are_those_of_the_gateway(client: Client) -> None:
    client.gateway.script(SAID, faults.written(SAID), SAID, faults.written(SAID, stream=False))
    assert [choice["delta"] for choice in choices(await client.frames())] == DELTAS["qwen3.6-plus"]
    assert [choice["delta"] for choice in choices(await client.frames())] == DELTAS["qwen3.6-plus"]
    ours, same = await client.plain(), await client.plain()
    assert ours["choices"] == same["choices"]


@pytest.mark.parametrize("shape", sorted(faults.ERROR_BODIES))
async def test_status_errors_come_in_every_shape(client: Client, shape: str) -> None:
    client.gateway.script(faults.status_error(429, "太快了", shape=shape))
    async with client.post() as response:
        assert response.status == 429
        assert "太快了" in await response.text()
        assert orjson.loads(await response.read())


FAULTS: dict[str, tuple[Raw, int, str, bytes, bytes]] = {
    "empty 429": (faults.empty_429(), 429, "text/plain", b"", b""),
    "html": (faults.html_502(), 502, "text/html", b"<html>", b"</html>\r\n"),
    "wrong label": (
        faults.wrong_content_type(),
        503,
        "text/event-stream; charset=utf-8",
        b'{"error":',
        b"}}",
    ),
    "late error": (faults.error_after_ping(), 200, "", b': PING\n\n{"error":', b"502}}"),
    "bare error": (faults.bare_error(), 200, "", b"data: {", b"502}}"),
    "error event": (faults.error_event(), 200, "", b"data: {", b"500}}\n\ndata: [DONE]\n\n"),
    "error event, no done": (faults.error_event(done=False), 200, "", b"data: {", b"500}}\n\n"),
    "queue full": (faults.queue_full(), 200, "", b'data: {"error":', b"data: [DONE]\n\n"),
    "unfinished": (faults.unfinished(), 200, "", b"data: {", b"data: [DONE]\n\n"),
    "only usage": (faults.only_usage(), 200, "", b'data: {"id":""', b"data: [DONE]\n\n"),
    "no done": (faults.without_done(), 200, "", b"data: {", b"}\n\n"),
    "trailing": (faults.trailing_bytes(), 200, "", b"data: {", b'data: {"late":1}'),
    "plain": (
        faults.plain_instead(),
        200,
        "application/json; charset=utf-8",
        b'{"choices":',
        b"}",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_looks_as_it_does_in_the_field(client: Client, fault: str) -> None:
    raw, status, kind, start, end = FAULTS[fault]
    client.gateway.script(raw)
    async with client.post(stream=True) as response:
        body = await response.read()
    assert response.status == status
    assert response.headers["Content-Type"] == (kind or "text/event-stream")
    assert body.startswith(start)
    assert body.endswith(end)


async def test_unfinished_replies_have_no_finish_reason(client: Client) -> None:
    client.gateway.script(faults.unfinished(after=4))
    frames = await client.frames()
    assert len(frames) == 4
    assert reasons(frames) == []


# --- the pytest plugin and the command ----------------------------------------------------------


def test_the_plugin_gives_a_running_gateway_to_plain_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import urllib.error
        import urllib.request

        import pytest

        def test_it(fake_gateway):
            with pytest.raises(urllib.error.HTTPError, match="401") as caught:
                urllib.request.urlopen(fake_gateway.base_url + "/models")
            caught.value.close()
            assert len(fake_gateway.requests) == 1

        def test_each_test_has_its_own(fake_gateway):
            assert fake_gateway.requests == []
    """)
    # Installed, the plugin is there by itself under the name of its entry point.
    plugin: tuple[str, ...] = ("-p", "no:aiotokengate", "-p", "no:asyncio")
    plugin += ("-p", "aiotokengate.testing._pytest_plugin")
    pytester.runpytest_inprocess(*plugin).assert_outcomes(passed=2)


def test_the_plugin_costs_no_web_server() -> None:
    code = "import sys, aiotokengate.testing._pytest_plugin; print('aiohttp.web' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(testing, name) is not None for name in testing.__all__)
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = testing.Nothing  # type: ignore[attr-defined]


COMMAND = (
    sys.executable,
    "-X",
    "dev",
    "-W",
    "error",
    "-c",
    "import sys; from aiotokengate._cli.gateway import main; sys.exit(main(sys.argv[1:]))",
)


@pytest.fixture
def command() -> Iterator[subprocess.Popen[str]]:
    options = ("--port", "0", "--pace", "fast", "--keep-alive", "5", "--quiet")
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def ready_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http://127.0.0.1:")
    assert line.endswith("/v1\n")
    return line.removeprefix("listening on ").strip()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    """How unreliable a gateway is, is a share."""
    with pytest.raises(ValueError, match="expected unreliable as a share from 0 to 1"):
        FakeGateway(unreliable=share)


async def unreliable_outcomes() -> list[str]:
    """Ask an unreliable gateway a hundred times, and say how each answer ended."""
    seen = []
    async with FakeGateway(unreliable=0.5) as gateway, aiohttp.ClientSession() as http:
        url = f"{gateway.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        body = {"model": "glm-5.1", "stream": True, "messages": GREETING}
        for _ in range(100):
            try:
                async with http.post(url, json=body, headers=headers) as response:
                    text = await response.text()
            except aiohttp.ClientError as error:
                seen.append(type(error).__name__)
            else:
                seen.append("whole" if text.endswith(f"{DONE}\n\n") else str(response.status))
    return seen


async def test_an_unreliable_gateway_fails_as_often_as_it_was_told() -> None:
    """A quarter gets no answer, a quarter of the others a part of one; every time the same."""
    seen = await unreliable_outcomes()
    counts = {word: seen.count(word) for word in seen}
    assert 45 <= counts.pop("whole") <= 70
    assert {"429", "503", "500", "ClientPayloadError", "ServerDisconnectedError"} <= {*counts}
    assert await unreliable_outcomes() == seen


async def test_the_command_serves_any_key(command: subprocess.Popen[str]) -> None:
    url = f"{await asyncio.to_thread(ready_address, command)}/chat/completions"
    body = {"model": "glm-5.1", "stream": True, "messages": GREETING}
    headers = {"Authorization": "Bearer sk-anything"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(url, json=body) as response,
    ):
        assert (await response.text()).endswith(f"{DONE}\n\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_command_ends_cleanly(
    command: subprocess.Popen[str], number: signal.Signals, status: int
) -> None:
    ready_address(command)
    command.send_signal(number)
    assert command.communicate() == ("", "")
    assert command.returncode == status


def run_command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)


def test_a_port_in_use_is_one_clear_line(command: subprocess.Popen[str]) -> None:
    port = ready_address(command).removesuffix("/v1").rpartition(":")[2]
    done = run_command("--port", port)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "aiotokengate gateway: cannot listen on / 无法监听"
        f" 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--port", "65536"), "expected a port from 0 to 65535, got '65536'"),
        (("--port", "-1"), "expected a port from 0 to 65535, got '-1'"),
        (("--api-key", ""), "expected printable ASCII characters without spaces"),
        (("--api-key", "密钥"), "expected printable ASCII characters without spaces"),
        (("--keep-alive", "nan"), "expected seconds above 0, got 'nan'"),
        (("--unreliable", "1.5"), "expected a share from 0 to 1, got '1.5'"),
        (("--pace", "slow"), "choose from"),
    ],
)
def test_wrong_options_are_explained(options: tuple[str, ...], text: str) -> None:
    done = run_command(*options)
    assert done.returncode == 2
    assert text in done.stderr


def test_the_help_is_in_both_languages() -> None:
    text = run_command("--help").stdout
    assert "Stop with Ctrl-C" in text
    assert "按 Ctrl-C 停止" in text


async def test_the_log_says_what_was_served_and_nothing_secret() -> None:
    lines: list[str] = []
    async with FakeGateway(log=lines.append) as gateway, aiohttp.ClientSession() as http:
        gate = Gate()
        gateway.script(ScriptedReply(answer=["一", gate]))
        headers = {"Authorization": f"Bearer {gateway.api_key}"}
        client = Client(gateway, http)
        async with http.get(client.url("/models"), headers=headers) as response:
            await response.read()
        asking = asyncio.ensure_future(
            http.post(client.url("/chat/completions"), headers=headers, json={"stream": True})
        )
        await gate.reached()
        (await asking).close()
        await gateway.wait_disconnected()
    assert lines == ["GET /v1/models 200", "POST /v1/chat/completions client left"]


async def test_many_may_knock_at_once(gateway: FakeGateway) -> None:
    """Nobody is let in before this test waits for something, and yet nobody is sent away."""
    address = ("127.0.0.1", int(gateway.base_url.rpartition(":")[2].partition("/")[0]))
    knocking = [
        socket.create_connection(address, timeout=5) for _ in range(min(300, socket.SOMAXCONN))
    ]
    for each in knocking:
        each.close()
