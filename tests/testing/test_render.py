"""Replies as they are written: choices by turns, the last chunk, gates."""

import asyncio

import orjson
import pytest

from aiotokengate.testing import (
    Call,
    Gate,
    Pause,
    ScriptedReply,
    Text,
    Thought,
)
from aiotokengate.testing._dialects import DONE, Exchange, Producer
from aiotokengate.testing._render import Beat, render_plain, render_stream
from tests.support.bare_client import (
    Client,
    choices,
    joined,
    reasons,
)


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


def test_a_plain_reply_waits_as_a_streamed_one_does() -> None:
    gate = Gate()
    reply = ScriptedReply(parts=[Text(["好", gate, "的"]), Pause(2.0), Call("f")])
    dialect = Producer(Exchange(serial=1, created=0, model="m"))
    steps = list(render_plain(dialect, (reply,), {"total_tokens": 1}))
    waits, body = steps[:-1], steps[-1]
    assert waits == [Beat(), gate, Beat(), Pause(2.0), Beat()]
    assert isinstance(body, bytes)
    (choice,) = orjson.loads(body)["choices"]
    assert choice["message"]["content"] == "好的"
    assert choice["finish_reason"] == "tool_calls"


def test_a_stream_need_not_say_that_it_is_done() -> None:
    dialect = Producer(Exchange(serial=1, created=0, model="m"))
    for done in (True, False):
        reply = ScriptedReply(answer="好", done=done)
        *_, last = render_stream(dialect, (reply,), {})
        assert (last == DONE) is done
