"""Real exchanges, recorded: the same bytes, at their times, and without keys."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from aiotokengate import (
    BadRequest,
    RateLimited,
    StreamInterrupted,
    TokenGate,
    Unanswered,
)
from aiotokengate.testing import (
    Call,
    FakeGateway,
    Gate,
    Raw,
    Recorder,
    Recording,
    ScriptedReply,
)
from tests.support.recordings import KEY, MODEL, ONCE, deltas, said


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway(api_key=KEY) as gateway:
        yield gateway


async def test_recorded_and_replayed(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "exchanges.json"
    gateway.script(
        ScriptedReply(reasoning="想一想", answer="你好！😊"),
        ScriptedReply(tool_calls=[Call("weather", {"city": "北京"})]),
        Raw(body=f"data: [DONE] {KEY}\n\n".encode()).drip(7),
        Raw(status=429, body=b""),
    )
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        first = await deltas(gate)
        second = await deltas(gate, stream=False)
        with pytest.raises(StreamInterrupted):
            await deltas(gate, retry=ONCE)
        with pytest.raises(RateLimited):
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
            with pytest.raises(StreamInterrupted):
                await deltas(gate, retry=ONCE)
            with pytest.raises(RateLimited):
                await deltas(gate, retry=ONCE)
            assert await deltas(gate, "claude-opus-4-6", reasoning="high") == third
            again = await gate.embed("text-embedding-3-small", "你好", dimensions=4)
            assert again[0] == found[0]
            with pytest.raises(BadRequest):
                await gate.request("GET", "../nowhere?key=x")


async def test_how_long_it_took_is_recorded(tmp_path: Path) -> None:
    time = 100.0

    async def sleep(seconds: float) -> None:
        nonlocal time
        time += seconds

    hold = Gate()
    begin, end = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', said("b").encode()
    file = tmp_path / "a.json"
    async with (
        FakeGateway(sleep=sleep, api_key=KEY) as gateway,
        Recorder(file, base_url=gateway.base_url, now=lambda: time) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        gateway.script(Raw(body=[begin, hold, end], wait=2.0))
        async with gate.chat(MODEL, "嗨") as stream:
            tokens = aiter(stream.answer)
            assert await anext(tokens) == "a"
            time += 0.5
            hold.release()
            assert await anext(tokens) == "b"
    (one,) = Recording.load(file).exchanges
    assert (one.wait, one.writes) == (2.0, [(0.0, begin), (0.5, end)])


async def test_what_came_before_a_cut_is_kept(gateway: FakeGateway, tmp_path: Path) -> None:
    """Bytes and the end arrive together, and the bytes are recorded and handed on."""
    file = tmp_path / "a.json"
    chunk = 'data: {"choices":[{"delta":{"content":"半句"}}]}\n\n'.encode()
    gateway.script(Raw(body=[chunk] * 200, end="close"))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        with pytest.raises(StreamInterrupted) as raised:
            await gate.chat(MODEL, "嗨")
    (one,) = Recording.load(file).exchanges
    assert one.cut
    body = b"".join(data for _, data in one.writes)
    assert body == chunk * 200
    assert raised.value.partial.answer == "半句" * 200


async def test_a_connection_that_breaks_before_an_answer(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    gateway.script(Raw(status=None, body=b"", end="close"))
    lines: list[str] = []
    async with (
        Recorder(file, base_url=gateway.base_url, log=lines.append) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url, retry=ONCE) as gate,
    ):
        with pytest.raises(Unanswered):
            await gate.chat(MODEL, "嗨")
        assert (await gate.chat(MODEL, "你好")).answer
    assert lines == [
        "POST /chat/completions no answer: ServerDisconnectedError",
        "POST /chat/completions 200",
    ]
    first, second = Recording.load(file).exchanges
    assert (first.status, first.writes, first.cut) == (None, [], True)
    assert (second.status, second.cut) == (200, False)
    gateway.replay(file)
    async with TokenGate(api_key=KEY, base_url=gateway.base_url, retry=ONCE) as gate:
        with pytest.raises(Unanswered):
            await gate.chat(MODEL, "嗨")


async def test_a_client_that_leaves(gateway: FakeGateway, tmp_path: Path) -> None:
    """The gateway is left, too, and what came up to then is there."""
    file = tmp_path / "a.json"
    gateway.script(ScriptedReply(answer=["一", Gate(), "二"]))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        async with gate.chat("glm-5.1", "数数 🔢") as stream:
            assert await anext(aiter(stream.answer)) == "一"
        await gateway.wait_disconnected()
    (one,) = Recording.load(file).exchanges
    assert one.cut
    assert "一" in b"".join(data for _, data in one.writes).decode()


async def test_compressed_answers_are_recorded_as_text(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    packed = gzip.compress(said("好 🗜️").encode())
    headers = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    gateway.script(Raw(body=packed, headers=headers))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        assert (await gate.chat(MODEL, "嗨")).answer == "好 🗜️"
    assert "好 🗜️" in file.read_text("utf-8")


async def test_bytes_of_media(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    sound = bytes(range(256)) * 3
    raw = Raw(body=sound, headers={"Content-Type": "audio/mpeg"})
    gateway.script(raw, path="/v1/audio/speech")
    asked = {"model": "tts-1-hd", "input": "你好 🔊"}
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        first = await gate.request("POST", "/audio/speech", json=asked)
    gateway.replay(file)
    async with TokenGate(api_key=KEY, base_url=gateway.base_url) as gate:
        again = await gate.request("POST", "/audio/speech", json=asked)
    assert first == again == sound


async def test_only_while_it_runs(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.json", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(RuntimeError, match="expected a recorder that is running"):
        _ = recorder.base_url
    with pytest.raises(ValueError, match="expected base_url to begin with http"):
        Recorder(tmp_path / "a.json", base_url="wan.vnet.com/v1")


async def test_what_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with Recorder(tmp_path / "no" / "a.json", base_url="http://127.0.0.1:1/v1"):
            pass


async def test_a_port_that_is_taken(gateway: FakeGateway, tmp_path: Path) -> None:
    port = int(gateway.base_url.rpartition(":")[2].removesuffix("/v1"))
    with pytest.raises(OSError, match="address already in use"):
        async with Recorder(tmp_path / "a.json", base_url=gateway.base_url, port=port):
            pass


async def test_a_refusal_of_the_gateway_passes_through(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        with pytest.raises(BadRequest):
            await gate.chat(MODEL, "嗨", extra_body={"n": 200})
    assert Recording.load(file).exchanges[0].status == 400
