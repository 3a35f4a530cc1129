"""Speech and transcription: the real client, the real gateway."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from aiotokengate import (
    BadRequest,
    CallerError,
    ServerFailed,
    StatusError,
    TokenGate,
    TransportError,
    WireError,
)
from aiotokengate._wire.media import transcription_of
from aiotokengate.testing import FakeGateway, Raw
from tests.support.media import JSON, PAGE, REFUSED, names_in, pieces, typed


def test_nothing_to_be_said(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected text as a text, got an empty one"):
        gate.audio.speak("tts-1-hd", " ", voice="alloy")


async def test_speech(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    speak = gate.audio.speak
    data = await speak("tts-1-hd", "你好 👋", voice="alloy")
    assert data.startswith(b"\xff\xfb")
    assert b"".join([piece async for piece in speak("tts-1-hd", "你好 👋", voice="alloy")]) == data
    path = await speak("tts-1-hd", "你好 👋", voice="alloy").save(tmp_path / "好.mp3")
    assert path.read_bytes() == data
    async with speak("tts-1-hd", "你好 👋", voice="alloy") as speech:
        assert speech.content_type == "audio/mpeg"
        assert await speech.read() == data
    wave = await speak("Qwen3-TTS-12Hz-1.7B-CustomVoice", "你好", language="Chinese")
    assert wave.startswith(b"RIFF")
    assert gateway.requests[-1].json == {
        "model": "Qwen3-TTS-12Hz-1.7B-CustomVoice",
        "input": "你好",
        "language": "Chinese",
    }


async def test_speech_in_events(gate: TokenGate, tmp_path: Path) -> None:
    options: Any = {"voice": "alloy", "response_format": "wav"}
    whole = await gate.audio.speak("tts-1-hd", "你好 👋", **options)
    events = {**options, "stream_format": "sse"}
    assert await gate.audio.speak("tts-1-hd", "你好 👋", **events) == whole
    got = [piece async for piece in gate.audio.speak("tts-1-hd", "你好 👋", **events)]
    assert (b"".join(got), len(got) > 1) == (whole, True)
    path = await gate.audio.speak("tts-1-hd", "你好 👋", **events).save(tmp_path / "a.wav")
    assert path.read_bytes() == whole


async def test_speech_that_is_refused(gateway: FakeGateway, gate: TokenGate) -> None:
    with pytest.raises(BadRequest, match="Unsupported speaker: nobody"):
        await gate.audio.speak("tts-1-hd", "你好", voice="nobody")
    with pytest.raises(CallerError, match="expected text as a text, got an empty one"):
        gate.audio.speak("tts-1-hd", " ")
    events = b'data: [DONE]\n\ndata: {"error":{"message":"broken"}}\n\n'
    gateway.script(Raw(body=events), path="/v1/audio/speech")
    with pytest.raises(StatusError, match="broken"):
        await gate.audio.speak("tts-1-hd", "你好", voice="alloy")


WHOLE = b'data: {"type":"speech.audio.done"}\n\n'


ABC = b'data: {"type":"speech.audio.delta","audio":"YWJj"}\n\n'


@pytest.mark.parametrize(
    ("body", "kind", "error", "message"),
    [
        (PAGE, "text/html", WireError, "expected a sound, got an answer of type text/html"),
        (REFUSED, "application/json", BadRequest, "no such voice"),
        (b'{"text": "x"}', "application/json", WireError, "expected a sound"),
        (REFUSED, "text/event-stream", BadRequest, "no such voice"),
        (b": PING\n\n" + REFUSED, "text/event-stream", BadRequest, "no such voice"),
        (ABC + REFUSED, "text/event-stream", BadRequest, "no such voice"),
        (ABC, "text/event-stream", TransportError, "ended before the sound was whole"),
        (ABC + b"data: x\n\n" + WHOLE, "text/event-stream", WireError, "expected events in JSON"),
        (b"[1, 2", "text/event-stream", WireError, "neither events nor JSON"),
        (
            b'data: {"type":"speech.audio.error","message":"broken"}\n\n' + WHOLE,
            "text/event-stream",
            ServerFailed,
            "broken",
        ),
    ],
)
async def test_no_sound_is_an_error(
    gateway: FakeGateway,
    gate: TokenGate,
    tmp_path: Path,
    body: bytes,
    kind: str,
    error: type[Exception],
    message: str,
) -> None:
    """Whichever way it is read, what is no sound, or not all of it, is not passed off as one."""
    gateway.script(*[Raw(body=body, headers=typed(kind))] * 3, path="/v1/audio/speech")
    with pytest.raises(error, match=message):
        await gate.audio.speak("tts-1-hd", "你好", voice="alloy")
    with pytest.raises(error, match=message):
        [piece async for piece in gate.audio.speak("tts-1-hd", "你好", voice="alloy")]
    with pytest.raises(error, match=message):
        await gate.audio.speak("tts-1-hd", "你好", voice="alloy").save(tmp_path / "a.mp3")
    assert names_in(tmp_path) == []


PROMPT = "一只不该出现在日志里的猫 🐈"


ECHO = orjson.dumps({"error": {"message": f"refused: {PROMPT}", "code": 400}})


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/images/generations", b"data: " + ECHO + b"\n\n", "text/event-stream"),
        ("/v1/audio/speech", b"data: " + ECHO + b"\n\n", "text/event-stream"),
        ("/v1/audio/speech", ECHO, "application/json"),
        ("/v1/audio/transcriptions", ECHO, "application/json"),
        ("/v1/videos", ECHO, "application/json"),
    ],
)
async def test_a_prompt_is_not_in_an_error_on_200(
    gateway: FakeGateway, gate: TokenGate, path: str, body: bytes, kind: str
) -> None:
    gateway.script(Raw(body=body, headers=typed(kind)), path=path)
    with pytest.raises(BadRequest, match="refused") as caught:
        match path.rpartition("/")[2]:
            case "generations":
                [sketch async for sketch in gate.images.generate("gpt-image-2", PROMPT)]
            case "speech":
                await gate.audio.speak("tts-1-hd", PROMPT, voice="alloy")
            case "transcriptions":
                await gate.audio.transcribe("whisper-1", b"RIFF", prompt=PROMPT)
            case _:
                await gate.videos.create("wan-t2v", PROMPT)
    assert PROMPT not in f"{caught.value} {caught.value!r}"


async def test_transcription(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    listen = gate.audio.transcribe
    (tmp_path / "录音.wav").write_bytes(b"RIFF" * 10)
    heard = await listen("whisper-1", tmp_path / "录音.wav", language="zh")
    assert (heard.text, heard.duration) == ("听到了 40 bytes 🎧", 2)
    verbose = await listen(
        "whisper-1", b"RIFF", response_format="verbose_json", timestamps=["word"]
    )
    assert (verbose.language, verbose.duration) == ("chinese", 1.5)
    assert verbose.segments[0].text == verbose.text == "听到了 4 bytes 🎧"
    assert (verbose.words[1].text, verbose.words[1].start) == ("4", 0.1)
    assert (await listen("whisper-1", pieces(), response_format="text")).text.startswith("听到了")
    assert "-->" in (await listen("whisper-1", b"RIFF", response_format="srt")).text
    assert (await listen("whisper-1", b"RIFF", response_format="vtt")).text.startswith("WEBVTT")
    task = asyncio.create_task(listen("whisper-1", b"RIFF"))
    assert (await task).text == "听到了 4 bytes 🎧"


@pytest.mark.parametrize("asked", ["json", "text", "srt"])
async def test_transcripts_under_another_type(
    gateway: FakeGateway, gate: TokenGate, asked: Any
) -> None:
    """Types can't be relied on: what the answer is shows in itself."""
    path = "/v1/audio/transcriptions"
    gateway.script(
        Raw(body='{"text": "你好"}'.encode(), headers=typed("text/plain")),
        Raw(body=REFUSED, headers=typed("text/plain")),
        Raw(body=PAGE, headers=typed("text/html")),
        Raw(body=b"hello", headers=typed("application/json")),
        path=path,
    )
    assert (
        await gate.audio.transcribe("whisper-1", b"RIFF", response_format=asked)
    ).text == "你好"
    with pytest.raises(BadRequest, match="no such voice"):
        await gate.audio.transcribe("whisper-1", b"RIFF", response_format=asked)
    with pytest.raises(WireError, match="expected a transcription, got 34 bytes"):
        await gate.audio.transcribe("whisper-1", b"RIFF", response_format=asked)
    if asked == "json":
        with pytest.raises(WireError, match="expected a transcription, got 5 bytes"):
            await gate.audio.transcribe("whisper-1", b"RIFF")
    else:
        heard = await gate.audio.transcribe("whisper-1", b"RIFF", response_format=asked)
        assert heard.text == "hello"


async def test_transcriptions_that_are_none(gateway: FakeGateway, gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected response_format as one of json"):
        gate.audio.transcribe("whisper-1", b"", response_format="mp3")  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="there is none at"):
        gate.audio.transcribe("whisper-1", "none.wav")
    with pytest.raises(WireError, match="expected a transcription with 'text'"):
        transcription_of({"words": []})
    gateway.script(
        *[Raw(status=500, body=b"{}", headers=JSON)] * 2, path="/v1/audio/transcriptions"
    )
    with pytest.raises(ServerFailed) as raised:
        await gate.audio.transcribe("whisper-1", pieces())
    assert "can be read once" in raised.value.__notes__[0]


SIZE = 512 * 1024**2


_UPLOADS = """
import asyncio, resource, sys
from aiotokengate import TokenGate

async def pieces(size):
    piece = bytes(1024 * 1024)
    for _ in range(size // len(piece)):
        yield piece

async def main(url, path, size):
    async with TokenGate(api_key="sk-x", base_url=url) as gate:
        await gate.audio.transcribe("whisper-1", b"RIFF")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        file = pieces(size) if path == "-" else path
        heard = await gate.audio.transcribe("whisper-1", file)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(heard.text, (after - before) // 1024)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


async def count_bytes(request: web.Request) -> web.Response:
    """Answer how many bytes came, without keeping any."""
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    return web.json_response({"text": str(size)})


@pytest.mark.parametrize("kind", ["stream", "file"])
async def test_half_a_gigabyte_is_uploaded_without_being_held(tmp_path: Path, kind: str) -> None:
    """The memory of the process that sends them grows by less than 100 MB."""
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(SIZE)  # of nothing, which takes no room on the disk
    app = web.Application()
    app.router.add_post("/v1/audio/transcriptions", count_bytes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        # A program of its own, so that only the client's memory is measured.
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _UPLOADS, f"http://{host}:{port}/v1"),
            *("-" if kind == "stream" else str(path), str(SIZE)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await child.communicate()
    finally:
        await runner.cleanup()
    sent, grown = map(int, output.split())
    assert SIZE < sent < SIZE + 2_000
    assert grown < 100
