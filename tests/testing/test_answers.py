"""What the fake models say by themselves: greetings, questions, tools, limits."""

from typing import Any

import orjson
import pytest

from aiotokengate.testing import Call, ScriptedReply, Text
from aiotokengate.testing._answers import billed, compose, counts, read_usage
from aiotokengate.testing._chat_request import ChatRequest, read_chat
from aiotokengate.testing._tokens import count_tokens
from tests.support.bare_client import GREETING, WEATHER, Client, choices, joined, reasons


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


@pytest.mark.parametrize("prompt", ["讲讲 {花括号} 😀", "Tell me about {braces} 😀"])
async def test_a_question_is_thought_about_and_given_back(client: Client, prompt: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    first, second = await client.plain(messages=messages), await client.plain(messages=messages)
    message = first["choices"][0]["message"]
    assert prompt in message["content"]
    assert prompt in message["reasoning_content"]
    assert all(part in message["content"] for part in ("- **", "```python", "🚀"))
    assert message == second["choices"][0]["message"]


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


def chat_request(**body: Any) -> ChatRequest:
    return read_chat({"model": "gpt-5", "messages": GREETING, **body})


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"type": "json_object"}, {"answer": "Hello"}),
        ({"type": "json_schema", "json_schema": {"schema": {"const": 7}}}, 7),
        ({"type": "json_schema"}, "Hello"),
    ],
)
def test_json_is_what_is_wanted(wanted: dict[str, Any], value: Any) -> None:
    asked = chat_request(messages=[{"role": "user", "content": "Hello"}], response_format=wanted)
    (reply,) = compose(asked)
    *_, said = reply.all_parts()
    assert isinstance(said, Text)
    assert orjson.loads("".join(map(str, said.text))) == value


def test_what_was_said_is_counted_over_all_choices() -> None:
    said = ScriptedReply(reasoning="想一想", answer=["你", "好"], tool_calls=[Call("f", "{}")])
    counted = counts(9, (said, said))
    assert (counted.prompt, counted.reasoning) == (9, 6)
    assert counted.answer == 2 * (2 + count_tokens("f{}"))


@pytest.mark.parametrize(
    ("usage", "answer"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9}, 6),
        ({"prompt_tokens": 3, "completion_tokens": 4}, 4),
        ({"prompt_tokens": 3, "completion_tokens": "viele"}, 0),
    ],
)
def test_a_usage_is_read_as_it_is_billed(usage: dict[str, Any], answer: int) -> None:
    assert (billed(usage).prompt, billed(usage).answer) == (3, answer)


def test_the_last_counts_of_an_answer_are_found() -> None:
    chunks = b'{"usage":{"prompt_tokens":1}} {"usage":{"prompt_tokens": 2,"completion_tokens":3}}'
    assert read_usage(chunks) == {"prompt_tokens": 2, "completion_tokens": 3}
    assert read_usage(b"nothing") == {}


def test_a_tool_without_a_name_is_none() -> None:
    (reply,) = compose(chat_request(tools=[{"type": "function"}, 7]))
    assert reply.tool_calls == ()
