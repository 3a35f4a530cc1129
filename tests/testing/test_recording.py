"""A file of exchanges: how bytes are written, and how they are replayed."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import (
    StatusError,
    StreamInterrupted,
    TokenGate,
)
from aiotokengate.testing import (
    FakeGateway,
    Gate,
    Raw,
    Recorder,
    Recording,
    ScriptedReply,
)
from aiotokengate.testing._recording import Exchange
from tests.support.recordings import KEY, MODEL, ONCE, deltas, said


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway(api_key=KEY) as gateway:
        yield gateway


def exchange(**fields: Any) -> dict[str, Any]:
    """Return an exchange as it stands in a file."""
    return {
        "method": "POST",
        "path": "/chat/completions",
        "request": "",
        "status": 200,
        "wait": 0,
        "headers": {"Content-Type": "text/event-stream"},
        "writes": [],
        "cut": False,
        **fields,
    }


def written(file: Path, *exchanges: dict[str, Any]) -> Path:
    file.write_bytes(orjson.dumps({"version": 1, "exchanges": exchanges}))
    return file


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

    body = said("好")
    one = exchange(wait=2.0, writes=[[0.5, body[:20]], [0, body[20:30]], [0.25, body[30:]]])
    file = written(tmp_path / "a.json", one, one)
    async with (
        FakeGateway(sleep=sleep) as gateway,
        TokenGate(api_key=gateway.api_key, base_url=gateway.base_url) as gate,
    ):
        gateway.replay(file, rhythm=True)
        assert (await gate.chat(MODEL, "嗨")).answer == "好"
        assert slept == [2.0, 0.5, 0.25]
        gateway.replay(file)
        assert (await gate.chat(MODEL, "嗨")).answer == "好"
        assert slept == [2.0, 0.5, 0.25]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("你好 😊".encode(), "你好 😊"),
        (b"", ""),
        ("你好".encode()[:-1], ["你", {"base64": "5aU="}]),
        ("你好".encode()[1:], [{"base64": "vaA="}, "好"]),
        ("😊好😊".encode()[3:-1], [{"base64": "ig=="}, "好", {"base64": "8J+Y"}]),
        ("好".encode()[:1], [{"base64": "5Q=="}]),
        ("好".encode()[1:], [{"base64": "pb0="}]),
        (b"\xff\xd8\xff\xe0", {"base64": "/9j/4A=="}),
        (b"\x80\x80\x80\x80ok", {"base64": "gICAgG9r"}),
        (b'{"a": "\xff"}', {"base64": "eyJhIjogIv8ifQ=="}),
    ],
)
def test_how_bytes_are_written(tmp_path: Path, data: bytes, text: Any) -> None:
    file = tmp_path / "a.json"
    one = Exchange("POST", "/a", b"", 200, {}, [(0.5, data)])
    Recording((one,)).save(file)
    assert orjson.loads(file.read_bytes())["exchanges"][0]["writes"] == [[0.5, text]]
    assert Recording.load(file).exchanges == (one,)


@given(st.lists(st.binary() | st.text().map(str.encode)))
def test_bytes_survive(pieces: list[bytes]) -> None:
    one = Exchange("POST", "/a", b"", 200, {}, [(0.0, piece) for piece in pieces])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.json"
        Recording((one,)).save(file)
        assert Recording.load(file).exchanges == (one,)


async def test_order_is_that_of_the_requests(gateway: FakeGateway, tmp_path: Path) -> None:
    """Also where the first answer is the last to end; each is found by its question."""
    file = tmp_path / "a.json"
    hold = Gate()
    gateway.script(ScriptedReply(answer=["一", hold]), ScriptedReply(answer="二"))
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
    ):
        first = asyncio.create_task(gate.chat("glm-5.1", "第一"))
        await gateway.wait_requests()
        assert (await gate.chat("glm-5.1", "第二")).answer == "二"
        hold.release()
        assert (await first).answer == "一"
    recorded = Recording.load(file).exchanges
    assert ["第一" in one.request.decode() for one in recorded] == [True, False]
    gateway.replay(file)
    async with TokenGate(api_key=KEY, base_url=gateway.base_url) as gate:
        assert (await gate.chat("glm-5.1", "第二")).answer == "二"
        assert (await gate.chat("glm-5.1", "第一")).answer == "一"
    gateway.replay(file)
    async with TokenGate(api_key=KEY, base_url=gateway.base_url) as gate:
        # A question that was not recorded takes the next answer.
        assert (await gate.chat("glm-5.1", "换个问法")).answer == "一"
        assert (await gate.chat("glm-5.1", "再换一个")).answer == "二"


async def test_what_is_not_in_the_recording(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.replay(written(tmp_path / "a.json", exchange(path="/embeddings")))
    async with TokenGate(api_key=KEY, base_url=gateway.base_url, retry=ONCE) as gate:
        with pytest.raises(
            StatusError, match="holds no POST /chat/completions here, but POST /embeddings"
        ):
            await gate.chat(MODEL, "嗨")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a recording in"),
        ("[]", "expected a recording in"),
        ('{"version": 9}', "expected a recording of version 1, got 9"),
        ('{"version": 1, "exchanges": [{}]}', "KeyError: 'writes'"),
    ],
)
async def test_files_that_are_none(
    gateway: FakeGateway, tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        gateway.replay(file)


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


@pytest.mark.parametrize("before", [None, 0o644, 0o666, 0o600])
async def test_it_is_its_owners_alone(
    gateway: FakeGateway, tmp_path: Path, before: int | None
) -> None:
    """From its first moment on, whatever the umask, and if it was everybody's before."""
    file = tmp_path / "录制.json"
    if before is not None:
        file.write_text("x" * 100_000)
        file.chmod(before)
    umask = os.umask(0)
    try:
        async with (
            Recorder(file, base_url=f" {gateway.base_url}\ufeff") as recorder,
            TokenGate(api_key=KEY, base_url=recorder.base_url) as gate,
        ):
            assert mode_of(file) == 0o600
            await deltas(gate)
    finally:
        os.umask(umask)
    assert mode_of(file) == 0o600
    assert len(Recording.load(file).exchanges) == 1
    file.chmod(0o644)
    Recording().save(file)
    assert mode_of(file) == 0o600
    assert Recording.load(file).exchanges == ()


def test_what_is_no_file_keeps_its_mode(tmp_path: Path) -> None:
    """A recording may go into a pipe; one that is a link's goes where that leads."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o622)
    pipe.chmod(0o622)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    Recording().save(pipe)
    assert orjson.loads(os.read(reading, 1000)) == {"version": 1, "exchanges": []}
    os.close(reading)
    assert mode_of(pipe) == 0o622
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(file)
    Recording().save(link)
    assert link.is_symlink()
    assert mode_of(file) == 0o600
