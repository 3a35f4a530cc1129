"""Real exchanges, recorded and replayed: the same bytes, cut at the same places, without keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from aiotokengate import (
    BadRequest,
    RateLimited,
    Retry,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate.testing import (
    Call,
    FakeGateway,
    Raw,
    Recorder,
    Recording,
    ScriptedReply,
)

MODEL = "deepseek-v4-pro"
ONCE = Retry(attempts=1)
KEY = "sk-a-very-secret-key-0123456789"


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway(api_key=KEY) as gateway:
        yield gateway


async def deltas(gate: TokenGate, model: str = MODEL, **options: Any) -> list[Any]:
    return [delta async for delta in gate.chat(model, "在吗？ 🤔", **options)]


async def test_recorded_and_replayed(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "exchanges.json"
    gateway.script(
        ScriptedReply(reasoning="想一想", answer="你好！😊"),
        ScriptedReply(tool_calls=[Call("weather", {"city": "北京"})]),
        Raw(status=429, body=b""),
        Raw(body=f"data: [DONE] {KEY}\n\n".encode()).drip(7),
    )
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        first = await deltas(gate)
        second = await deltas(gate, stream=False)
        with pytest.raises(RateLimited):
            await deltas(gate, retry=ONCE)
        with pytest.raises(StreamInterrupted):
            await deltas(gate, retry=ONCE)
        third = await deltas(gate, "claude-opus-4-6", reasoning="high")
        found = await gate.embed("text-embedding-3-small", "你好", dimensions=4)
        with pytest.raises(BadRequest):
            await gate.request("GET", "../nowhere?key=" + KEY)
    text = file.read_text("utf-8")
    assert KEY not in text
    assert "very-secret" not in text
    assert "在吗？ 🤔" in text
    assert repr(recorder).endswith("7 exchanges>")

    async with FakeGateway(any_key=True) as other:
        other.replay(file)
        async with TokenGate(api_key="sk-other", base_url=other.base_url) as gate:
            assert await deltas(gate) == first
            assert await deltas(gate, stream=False) == second
            with pytest.raises(RateLimited):
                await deltas(gate, retry=ONCE)
            with pytest.raises(StreamInterrupted):
                await deltas(gate, retry=ONCE)
            assert await deltas(gate, "claude-opus-4-6", reasoning="high") == third
            again = await gate.embed("text-embedding-3-small", "你好", dimensions=4)
            assert again[0] == found[0]
            with pytest.raises(BadRequest):
                await gate.request("GET", "../nowhere?key=x")
            with pytest.raises(Exception, match="holds no POST /chat/completions here"):
                await deltas(gate, retry=ONCE)


async def test_characters_cut_between_writes_are_cut_there_again(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    body = 'data: {"choices":[{"delta":{"content":"你好 😊"},"finish_reason":"stop"}]}\n\n'
    gateway.script(Raw(body=body.encode()).drip(1))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        assert (await gate.chat(MODEL, "嗨")).answer == "你好 😊"
    (exchange,) = Recording.load(file).exchanges
    assert b"".join(data for _, data in exchange.writes) == body.encode()
    assert exchange == recorder.recording.exchanges[0]


async def test_a_cut_is_replayed_as_a_cut(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    chunk = b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'
    gateway.script(Raw(body=chunk, end="reset"))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        with pytest.raises(StreamInterrupted):
            await gate.chat(MODEL, "嗨")
    assert Recording.load(file).exchanges[0].cut
    gateway.replay(file)
    async with TokenGate(api_key=KEY, base_url=gateway.base_url) as gate:
        with pytest.raises(StreamInterrupted) as raised:
            await gate.chat(MODEL, "嗨")
    assert raised.value.partial.answer == "half"


async def test_in_the_recorded_rhythm(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    body = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    writes = [[0.5, body.decode()], [0.25, "data: [DONE]\n\n"]]
    exchange = {
        "method": "POST",
        "path": "/chat/completions",
        "request": "",
        "status": 200,
        "headers": {"Content-Type": "text/event-stream"},
        "writes": writes,
        "cut": False,
    }
    file = tmp_path / "a.json"
    file.write_bytes(orjson.dumps({"version": 1, "exchanges": [exchange]}))
    async with FakeGateway(sleep=sleep) as gateway:
        gateway.replay(file, rhythm=True)
        async with TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate:
            assert (await gate.chat(MODEL, "嗨")).answer == "a"
    assert slept == [0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a recording in"),
        ("[]", "expected a recording in"),
        ('{"version": 9}', "expected a recording of version 1, got 9"),
        ('{"version": 1, "exchanges": [{}]}', "KeyError: 'method'"),
    ],
)
async def test_files_that_are_none(
    gateway: FakeGateway, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        gateway.replay(file)


async def test_only_while_it_runs(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.json", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(RuntimeError, match="expected a recorder that is running"):
        _ = recorder.base_url


async def test_a_refusal_of_the_gateway_passes_through(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        with pytest.raises(BadRequest):
            await gate.chat(MODEL, "嗨", n=200)
    assert Recording.load(file).exchanges[0].status == 400
