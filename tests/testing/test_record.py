"""Real exchanges, recorded and replayed: the same bytes, cut at the same places, without keys."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate import (
    BadRequest,
    RateLimited,
    Retry,
    StatusError,
    StreamInterrupted,
    TokenGate,
    Unanswered,
)
from aiotokengate._cli.gateway import main
from aiotokengate.testing import (
    Call,
    FakeGateway,
    Gate,
    Raw,
    Recorder,
    Recording,
    ScriptedReply,
)
from aiotokengate.testing._masking import Secrets
from aiotokengate.testing._recording import Exchange

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


def said(text: str) -> str:
    """Return a whole stream that says so."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    return f"data: {orjson.dumps({'choices': [choice]}).decode()}\n\ndata: [DONE]\n\n"


# --- bytes and cuts -----------------------------------------------------------------------------


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


# --- keys ---------------------------------------------------------------------------------------


async def test_the_key_reaches_the_gateway_and_not_the_file(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "a.json"
    echo = f"bad key {KEY} 🔑, see ?key={KEY}&alt=sse".encode()
    headers = {"Content-Type": "text/plain", "Location": f"/a?key={KEY}", "Set-Cookie": "a=b"}
    async with (
        Recorder(file, base_url=gateway.base_url) as recorder,
        aiohttp.ClientSession() as session,
    ):
        address = recorder.base_url.removesuffix("/v1")
        for given, query in (
            ({"x-api-key": KEY}, ""),
            ({"x-goog-api-key": KEY}, ""),
            ({"Authorization": f"Bearer {KEY}"}, ""),
            ({}, f"?key={KEY}&alt=sse"),
        ):
            gateway.script(Raw(body=echo, headers=headers).drip(9), path="/v1beta/a%2Fb 你")
            place = f"{address}/v1beta/a%252Fb%20%E4%BD%A0{query}"
            async with session.post(place, headers=given, json={"key": KEY}) as answer:
                assert (answer.status, await answer.read()) == (200, echo)
    text = file.read_text("utf-8")
    assert KEY.removeprefix("sk-") not in text
    recorded = Recording.load(file).exchanges
    paths = [one.path for one in recorded]
    assert paths == ["../v1beta/a%2Fb 你"] * 3 + ["../v1beta/a%2Fb 你?key=***&alt=sse"]
    for one in recorded:
        body = b"".join(data for _, data in one.writes)
        assert len(body) == len(echo)
        assert b"very-secret" not in body


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("sk-abcdefgh12345678", "sk-****************"),
        ('"sk-proj-abcd_1234"', '"sk-**************"'),
        ("AIza" + "b" * 35, "AIza" + "*" * 35),
        ("https://a.example/?key=abcdefghijklmnop&b", "https://a.example/?key=****************&b"),
        # What only resembles a key stays: a replay says what was said.
        ("risk-free-1234567", "risk-free-1234567"),
        ("sk-learn-contrib", "sk-learn-contrib"),
        ("task-12345678", "task-12345678"),
        ("https://a.example/?key=city", "https://a.example/?key=city"),
        ("你好 😊", "你好 😊"),
    ],
)
def test_what_looks_like_a_key(text: str, masked: str) -> None:
    assert Secrets().hidden(text.encode()) == masked.encode()


def test_keys_of_another_form() -> None:
    secrets = Secrets()
    secrets.note({"Authorization": "Bearer 0123456789abcdef"}, "")
    secrets.note({"x-api-key": "EMPTY"}, "api_key=fedcba98")
    assert secrets.hidden(b"0123456789abcdef EMPTY fedcba98") == b"**************** EMPTY ********"


# --- replay -------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match="expected base_url to begin with http"):
        Recorder(tmp_path / "a.json", base_url="wan.vnet.com/v1")


async def test_what_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with Recorder(tmp_path / "no" / "a.json", base_url="http://127.0.0.1:1/v1"):
            pass


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


# --- the command --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def command(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the command; return the process and its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-m", "aiotokengate", "gateway"),
        *("--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        yield process, line.removeprefix("listening on ").strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_the_command_records_and_replays(gateway: FakeGateway, tmp_path: Path) -> None:
    file = tmp_path / "exchanges.json"
    gateway.script(ScriptedReply(reasoning="想", answer="好 📼"))
    async with command("--record", str(file), "--to", gateway.base_url) as (process, address):
        async with TokenGate(api_key=KEY, base_url=address) as gate:
            first = await deltas(gate)
        process.send_signal(signal.SIGINT)
        _, told = await process.communicate()
        assert process.returncode == 130
    lines = told.decode().splitlines()
    assert lines[2:] == [
        "POST /chat/completions 200",
        f"recorded 1 exchanges in {file} / 已录制 1 次请求",
    ]
    assert KEY not in file.read_text("utf-8")
    async with command("--replay", str(file), "--quiet") as (process, address):
        async with TokenGate(api_key="sk-any", base_url=address, retry=ONCE) as gate:
            assert await deltas(gate) == first
            with pytest.raises(StatusError, match=r"but nothing more.*code not_recorded"):
                await deltas(gate)
        process.terminate()
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record", "a"], "--record and --to go together"),
        (["--to", "http://127.0.0.1/v1"], "--record 与 --to 必须同时使用"),
        (["--record", "a", "--to", "wan.vnet.com"], "begins with http:// or https://"),
        (["--record", "a", "--to", "http://a", "--replay", "b"], "expected --record or --replay"),
        (["--rhythm"], "--rhythm is for --replay"),
        (["--record", "a", "--to", "http://a", "--api-key", "sk-a"], "without a key or limits"),
        (["--record", "a", "--to", "http://a", "--concurrency", "1"], "without a key or limits"),
    ],
)
def test_options_that_do_not_go_together(
    capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(options)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_trouble_with_files_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing, wrong = tmp_path / "no" / "a.json", tmp_path / "a.json"
    wrong.write_text("{}")
    assert main(["--port", "0", "--replay", str(missing)]) == 1
    assert main(["--port", "0", "--record", str(missing), "--to", "http://127.0.0.1:1/v1"]) == 1
    assert main(["--port", "0", "--replay", str(wrong)]) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    trouble = f"cannot use the file / 无法使用文件 {missing}: No such file or directory"
    assert first == second == f"aiotokengate gateway: {trouble}"
    assert third.startswith(f"aiotokengate gateway: expected a recording in '{wrong}'")
