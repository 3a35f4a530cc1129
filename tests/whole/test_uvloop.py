"""On uvloop's event loop everything is as on asyncio's own."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aiotokengate import CallerError, TimedOut, Timeout, TokenGate
from aiotokengate._cli.loop import new_runner
from aiotokengate.testing import FakeGateway, Gate, Raw, ScriptedReply

MODEL = "qwen3.6-max-preview"


async def chatted(gateway: FakeGateway) -> None:
    gateway.script(
        ScriptedReply(reasoning=["想", "一想"], answer=["你好", "😊"]),
        ScriptedReply(answer="好"),
        ScriptedReply(answer=["慢", Gate()]),
    )
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
        async with gate.chat(MODEL, "嗨") as stream:
            assert [text async for text in stream.reasoning] == ["想", "一想"]
            assert [text async for text in stream.answer] == ["你好", "😊"]
        assert (await gate.chat(MODEL, "长" * 100_000, stream=False)).answer == "好"
        async for _ in gate.chat(MODEL, "嗨"):
            break
    assert len({request.connection for request in gateway.requests[:2]}) == 1


async def silent(gateway: FakeGateway) -> None:
    gateway.script(Raw(body=b": \n\n", end="hang"))
    async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
        with pytest.raises(TimedOut):
            await gate.chat(MODEL, "嗨", timeout=Timeout(first_event=0.1))


@pytest.mark.parametrize("use", [chatted, silent])
def test_a_session(
    fake_gateway: FakeGateway, use: Callable[[FakeGateway], Coroutine[Any, Any, None]]
) -> None:
    with new_runner() as runner:
        runner.run(use(fake_gateway))


def test_a_stream_stays_on_its_loop(fake_gateway: FakeGateway) -> None:
    gate = TokenGate(api_key=fake_gateway.api_key, base_url=fake_gateway.base_url)
    fake_gateway.script(ScriptedReply(answer=["慢", Gate()]))
    call = gate.chat(MODEL, "嗨")
    with new_runner() as first, asyncio.Runner() as second:
        stream = first.run(call.__aenter__())
        with pytest.raises(CallerError, match="event loop"):
            second.run(stream.reply())
        first.run(call.__aexit__(None, None, None))
        first.run(gate.close())
