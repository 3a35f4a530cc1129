"""A bot's history: recorded turn by turn, trimmed, stored, checked."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import Mapping
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import (
    CallerError,
    ResponseInvalid,
    Retry,
    ServerFailed,
    StreamInterrupted,
    Timeout,
    TokenGate,
)
from aiotokengate._resources.conversation import Conversation
from aiotokengate.testing import Call, FakeGateway, Gate, Raw, ScriptedReply

MODEL = "qwen3.6-plus"
TOOL = {
    "type": "function",
    "function": {"name": "天气", "parameters": {"type": "object", "properties": {}}},
}


@attrs.frozen
class City:
    """What an answer may have to be."""

    name: str


async def test_turns_are_recorded(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(reasoning="想", answer="你好！😊"),
        ScriptedReply(answer="再见 👋"),
        ScriptedReply(answer="嗯"),
    )
    talk = gate.conversation(MODEL, system="简短", temperature=0.5)
    assert (await talk.say("在吗？")).answer == "你好！😊"
    async with talk.say("再说一遍", temperature=1) as stream:
        assert await stream.answer.text() == "再见 👋"
    assert "".join([d.text async for d in talk.say("？") if hasattr(d, "text")]) == "嗯"
    assert [(message["role"], message["content"]) for message in talk.messages] == [
        ("user", "在吗？"),
        ("assistant", "你好！😊"),
        ("user", "再说一遍"),
        ("assistant", "再见 👋"),
        ("user", "？"),
        ("assistant", "嗯"),
    ]
    bodies = [request.json for request in gateway.requests]
    assert [body["temperature"] for body in bodies] == [0.5, 1, 0.5]
    assert bodies[1]["messages"][0] == {"role": "system", "content": "简短"}
    assert len(bodies[2]["messages"]) == 6
    assert repr(talk) == f"<Conversation {MODEL} 6 messages>"


async def test_a_turn_that_is_not_whole_leaves_no_trace(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    talk = gate.conversation(MODEL)
    gateway.script(ScriptedReply(answer=["半", "句"], finish_reason="", done=False))
    with pytest.raises(StreamInterrupted) as raised:
        await talk.say("一")
    assert raised.value.partial.answer == "半句"
    gateway.script(*[Raw(status=500, body=b"{}")] * 3)
    with pytest.raises(ServerFailed):
        await talk.say("二", retry=None)
    hold = Gate()
    gateway.script(ScriptedReply(answer=["三", hold, "四"]))
    async with talk.say("三") as stream:
        stream.stop()
    gateway.script(ScriptedReply(answer=["五", Gate(), "六"]))

    async def whole() -> None:
        await talk.say("五")

    task = asyncio.create_task(whole())
    await gateway.wait_requests(6)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert talk.messages == []
    assert (await talk.say("好")).answer
    assert len(talk.messages) == 2


async def test_a_reply_that_says_nothing_leaves_no_trace(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    """An empty turn of the assistant would be refused from then on."""
    talk = gate.conversation(MODEL)
    gateway.script(ScriptedReply(reasoning="想了又想 💭", finish_reason="length"))
    reply = await talk.say("证明黎曼猜想")
    assert (reply.status, reply.reasoning, reply.answer) == ("complete", "想了又想 💭", "")
    assert talk.messages == []


async def test_an_answer_that_does_not_fit_its_type_leaves_no_trace(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    talk = gate.conversation(MODEL, response_type=City)
    gateway.script(ScriptedReply(answer="北京"), ScriptedReply(answer='{"name": "北京 🏯"}'))
    with pytest.raises(ResponseInvalid):
        await talk.say("首都？")
    assert talk.messages == []
    assert (await talk.say("首都？")).parsed == City("北京 🏯")
    assert [message["content"] for message in talk.messages] == ["首都？", '{"name": "北京 🏯"}']


async def test_a_partial_reply_is_kept_where_that_is_wanted(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    talk = gate.conversation("glm-5.1", keep_partial=True)
    gateway.script(ScriptedReply(reasoning="想", answer=["一", Gate(), "二"]))
    async with talk.say("数数") as stream:
        assert await anext(aiter(stream.answer)) == "一"
        stream.stop()
    gateway.script(ScriptedReply(answer=["半", "句 ✂️"], finish_reason="", done=False))
    with pytest.raises(StreamInterrupted):
        await talk.say("继续")
    # Nothing of it was read: nothing is there to be kept.
    gateway.script(ScriptedReply(reasoning=["想", Gate()]))
    async with talk.say("再继续") as stream:
        stream.stop()
    assert talk.messages == [
        {"role": "user", "content": "数数"},
        {"role": "assistant", "content": "一"},
        {"role": "user", "content": "继续"},
        {"role": "assistant", "content": "半句 ✂️"},
    ]
    again = gate.conversation(stored=talk.to_json())
    assert again.keep_partial
    assert again.messages == talk.messages


async def test_a_stream_that_is_dropped_ends_its_turn(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    talk = gate.conversation("glm-5.1")
    gateway.script(ScriptedReply(answer=["一", Gate()]), ScriptedReply(answer="好 🌱"))
    async for _ in talk.say("数数"):
        break
    assert (await talk.say("在吗？")).answer == "好 🌱"
    assert [message["content"] for message in talk.messages] == ["在吗？", "好 🌱"]


async def test_one_turn_at_a_time(gateway: FakeGateway, gate: TokenGate) -> None:
    hold = Gate()
    gateway.script(ScriptedReply(answer=["一", hold, "二"]), ScriptedReply(answer="三"))
    talk = gate.conversation(MODEL)
    async with talk.say("一") as stream:
        with pytest.raises(CallerError, match="one at a time"):
            await talk.say("二")
        hold.open()
        await stream.reply()
    assert (await talk.say("二")).answer == "三"


@pytest.mark.parametrize("stream", [True, False])
async def test_streamed_or_not(gateway: FakeGateway, gate: TokenGate, stream: bool) -> None:
    gateway.script(ScriptedReply(answer="你好 👋"))
    talk = gate.conversation(MODEL, stream=stream)
    async with talk.say("在吗？") as arriving:
        assert await arriving.answer.text() == "你好 👋"
        assert [message["content"] for message in talk.messages] == ["在吗？", "你好 👋"]
    assert len(talk.messages) == 2


async def test_stored_and_gone_on_with(gateway: FakeGateway, gate: TokenGate) -> None:
    talk = gate.conversation("claude-opus-4-6", system="简短", max_tokens_kept=5_000)
    gateway.script(ScriptedReply(reasoning="想", answer="好 🌱"))
    await talk.say("你好", reasoning="low")
    stored = talk.to_json()
    assert gateway.api_key not in stored
    again = gate.conversation(stored=stored)
    assert (again.model, again.system, again.max_tokens_kept) == (
        "claude-opus-4-6",
        "简短",
        5_000,
    )
    await again.say("继续")
    sent = gateway.requests[1].json["messages"]
    # Its thinking goes back signed, as Anthropic wants it.
    assert sent[1]["content"][0]["signature"]
    assert orjson.loads(again.to_json())["messages"][1]["content"] == "好 🌱"


STORED = '{"version":1,"model":"m","system":"","max_tokens_kept":null,"messages":%s}'


@pytest.mark.parametrize(
    "stored",
    [
        *("", "{}", "[]", '{"version": 2}', '{"version": 1}'),
        *(STORED % messages for messages in ('"你好"', "[1]", "[{}]", '[{"role":1}]', "1")),
    ],
)
def test_what_was_not_stored(gate: TokenGate, stored: str) -> None:
    with pytest.raises(CallerError, match="expected"):
        gate.conversation(stored=stored)


async def body_of(gateway: FakeGateway, talk: Conversation) -> Mapping[str, Any]:
    """Return what a turn asks with, beside the messages."""
    await talk.say("继续 🌱")
    body = gateway.requests[-1].json
    return {name: value for name, value in body.items() if name != "messages"}


async def test_options_come_back(gateway: FakeGateway, gate: TokenGate) -> None:
    talk = gate.conversation(
        MODEL,
        temperature=0.25,
        max_tokens=77,
        stop=("停", "🛑"),
        reasoning="low",
        deadline=60,
        priority="bulk",
        fair_key="小明",
        extra_body={"深": {"a": [1, None]}},
        extra_headers={"X-Team": "a"},
        tools=[TOOL],
    )
    asked = await body_of(gateway, talk)
    again = gate.conversation(stored=talk.to_json())
    assert await body_of(gateway, again) == asked
    assert asked["temperature"] == 0.25
    assert asked["tools"] == [TOOL]
    assert gateway.requests[-1].headers["X-Team"] == "a"
    assert orjson.loads(again.to_json())["options"] == orjson.loads(talk.to_json())["options"]


async def test_the_new_options_go_over_the_stored_ones(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    talk = gate.conversation(MODEL, system="旧", temperature=0.25, max_tokens=77)
    nothing: Any = None
    again = gate.conversation(stored=talk.to_json(), temperature=0.5, max_tokens=nothing)
    asked = await body_of(gateway, again)
    assert asked["temperature"] == 0.5
    assert "max_tokens" not in asked
    other = gate.conversation(
        "glm-5.1", system="新", max_tokens_kept=900, keep_partial=True, stored=talk.to_json()
    )
    assert (other.model, other.system, other.max_tokens_kept) == ("glm-5.1", "新", 900)
    assert other.keep_partial
    with pytest.raises(CallerError, match="max_tokens_kept as a whole number"):
        gate.conversation(stored=talk.to_json(), max_tokens_kept=0)


@pytest.mark.parametrize(
    ("timeout", "retry"),
    [
        (Timeout(connect=1, stall=None, total=9.5), Retry(attempts=7, max_wait=1.5, empty=True)),
        (Timeout(total=math.inf), Retry(max_wait=math.inf)),
        (Timeout(), Retry()),
    ],
)
def test_clocks_come_back(gate: TokenGate, timeout: Timeout, retry: Retry) -> None:
    talk = gate.conversation(MODEL, timeout=timeout, retry=retry)
    again = gate.conversation(stored=talk.to_json())
    assert again._options == {"timeout": timeout, "retry": retry}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "stop": st.text(st.characters(codec="utf-8")),
            "max_tokens": st.integers(1, 2**53),
            "extra_body": st.dictionaries(
                st.text(st.characters(codec="utf-8")),
                st.none() | st.booleans() | st.lists(st.text(st.characters(codec="utf-8"))),
            ),
            "deadline": st.floats(0.001, 1e9),
            "stream": st.booleans(),
        },
    )
)
def test_what_json_can_hold_comes_back(options: Any) -> None:
    gate = TokenGate(api_key="sk-test", base_url="http://127.0.0.1:1/v1")
    talk = gate.conversation(MODEL, **options)
    assert gate.conversation(stored=talk.to_json())._options == options


def weather(city: str) -> str:
    """Say what the weather is."""
    return city


def test_what_json_cannot_hold_is_left_out(gate: TokenGate) -> None:
    talk = gate.conversation(
        MODEL,
        tools=[TOOL, weather],
        response_type=City,
        deadline=math.inf,
        metadata={"at": object()},
        temperature=0.5,
        extra_headers={"Authorization": "Bearer sk-secret", "X-Api-Key": "sk-secret", "X-A": "a"},
    )
    stored = talk.to_json()
    assert "sk-secret" not in stored
    assert orjson.loads(stored)["options"] == {
        "temperature": 0.5,
        "extra_headers": {"X-A": "a"},
    }


@pytest.mark.parametrize("secret", ["Bearer abcdefgh", "Basic abcdefgh", "sk-abcdefgh"])
def test_headers_that_look_like_keys_are_left_out(gate: TokenGate, secret: str) -> None:
    talk = gate.conversation(MODEL, extra_headers={"X-Upstream": secret, "X-A": "a"})
    assert secret not in talk.to_json()
    assert orjson.loads(talk.to_json())["options"] == {"extra_headers": {"X-A": "a"}}


@pytest.mark.parametrize("name", ["api_key", "apiKey", "aws_secret", "AccessToken", "upstream"])
def test_fields_that_look_like_keys_are_left_out(gate: TokenGate, name: str) -> None:
    secret = "sk-abcdefgh" if name == "upstream" else "猫 🐈"
    extra = {name: secret, "max_token_s": 5, "prompt_cache_key": "k"}
    options = orjson.loads(gate.conversation(MODEL, extra_body=extra).to_json())["options"]
    assert options == {"extra_body": {"max_token_s": 5, "prompt_cache_key": "k"}}


def test_texts_of_before_options_were_stored(gate: TokenGate) -> None:
    for old in (
        STORED % "[]",
        STORED.replace('"messages"', '"keep_partial":true,"messages"') % "[]",
    ):
        assert gate.conversation(stored=old, temperature=0.5)._options == {"temperature": 0.5}


@pytest.mark.parametrize(
    "options",
    [
        *("1", '"你好"', "[1]", '{"timeout": 3}', '{"retry": {"attempt": 1}}', '{"retry": []}'),
        *('{"temprature": 1}', '{"timeout": {"total": -1}}', '{"extra_body": [1]}'),
    ],
)
def test_options_that_were_not_stored(gate: TokenGate, options: str) -> None:
    stored = STORED.replace('"messages"', f'"options":{options},"messages"') % "[]"
    with pytest.raises(CallerError):
        gate.conversation(stored=stored)


@pytest.mark.parametrize(
    "wrong", [("model", 3), ("system", ["你好"]), ("messages", [{"role": 1}])]
)
def test_parts_that_were_not_stored(gate: TokenGate, wrong: tuple[str, object]) -> None:
    fields = orjson.loads(gate.conversation(MODEL).to_json()) | dict([wrong])
    with pytest.raises(CallerError, match=r"expected what to_json\(\) gave"):
        gate.conversation(stored=orjson.dumps(fields).decode())


async def test_tools(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(
        ScriptedReply(tool_calls=[Call("f", {}, id="a"), Call("g", {}, id="b")]),
        ScriptedReply(answer="好"),
    )
    talk = gate.conversation(MODEL)
    await talk.say("去")
    with pytest.raises(CallerError, match=r"give their results with answer_tools\(\) first"):
        await talk.say("算了")
    with pytest.raises(CallerError, match="expected the result of 'a' as a text, got dict"):
        talk.answer_tools({"a": {}, "b": "2"})  # type: ignore[dict-item]
    with pytest.raises(CallerError, match=r"results for the tool calls \['a', 'b'\], got \['a'\]"):
        talk.answer_tools({"a": "1"})
    reply = await talk.answer_tools({"b": "2", "a": "1"})
    assert reply.answer == "好"
    assert [message["role"] for message in talk.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]
    assert [message["tool_call_id"] for message in talk.messages[2:4]] == ["a", "b"]


async def test_the_oldest_turns_are_forgotten(gateway: FakeGateway, gate: TokenGate) -> None:
    gateway.script(ScriptedReply(tool_calls=[Call("f", {}, id="a")]))
    talk = gate.conversation(MODEL, max_tokens_kept=200)
    await talk.say("长" * 300)
    await talk.answer_tools({"a": "1"})
    await talk.say("短")
    # The first turn is forgotten whole, its call together with its result.
    assert [message["role"] for message in gateway.requests[-1].json["messages"]] == ["user"]
    assert talk.messages[0]["content"] == "短"
    await talk.say("又")
    talk.trim(1)
    assert [message["role"] for message in talk.messages] == ["user", "assistant"]


def test_wrong_arguments(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected a model, or a stored conversation"):
        gate.conversation()
    with pytest.raises(CallerError, match="expected max_tokens_kept as a whole number"):
        gate.conversation(MODEL, max_tokens_kept=0)
    talk = gate.conversation(MODEL)
    with pytest.raises(CallerError, match="text or content parts to say, got an empty str"):
        talk.say("")
    with pytest.raises(CallerError, match="text or content parts to say, got bytes"):
        talk.say("你好".encode())  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="expected tokens as a whole number from 1 up, got 0"):
        talk.trim(0)


async def test_a_text_that_is_none_is_named(gate: TokenGate) -> None:
    talk = gate.conversation(MODEL, max_tokens_kept=100)
    with pytest.raises(CallerError, match="lone surrogate"):
        await talk.say("\ud83d")
    assert talk.messages == []


async def test_images_are_said_and_counted(gateway: FakeGateway, gate: TokenGate) -> None:
    """A picture counts as such, and not by its bytes."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    talk = gate.conversation(MODEL, max_tokens_kept=5_000)
    await talk.say([{"type": "text", "text": "这是什么？ 🐈"}, picture])
    await talk.say("再看看")
    assert len(talk.messages) == 4
    assert gateway.requests[-1].json["messages"][0]["content"][1] == picture


async def test_a_history_that_was_recorded_would_be_taken(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    for model in ("deepseek-v4-pro", "claude-sonnet-4.5", "glm-5.1", "gpt-5.3-codex"):
        call = Call("weather", {"city": "北京"})
        gateway.script(ScriptedReply(reasoning="查", answer="好的", tool_calls=[call]))
        talk = gate.conversation(model, reasoning="low", max_tokens=9_000)
        reply = await talk.say("天气？ 🌦️")
        await talk.answer_tools({reply.tool_calls[0].id: "晴 ☀️"})
        again = gate.conversation(stored=talk.to_json(), reasoning="low", max_tokens=9_000)
        await again.say("谢谢")
        assert gate.check(model, again.messages[:-1], reasoning="low") == ()


def test_a_copy_goes_on_by_itself(gate: TokenGate) -> None:
    talk = gate.conversation("m", system="简短")
    talk.messages.append({"role": "user", "content": "嗨"})
    for twin in (copy.copy(talk), copy.deepcopy(talk)):
        twin.messages.append({"role": "user", "content": "你好"})
        assert len(twin.messages) == len(talk.messages) + 1
    assert copy.copy(talk).messages[0] is talk.messages[0]
    assert copy.deepcopy([talk, talk])[0].messages[0] is not talk.messages[0]
