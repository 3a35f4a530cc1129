"""Embeddings, images and audio: the real client, the real gateway, and others' client."""

from __future__ import annotations

import asyncio
import math
import sys
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
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
from aiotokengate._resources.embeddings import Split
from aiotokengate._resources.images import ImageCall, Sketch
from aiotokengate._wire.media import image_event, images_of, transcription_of, vectors_of
from aiotokengate.testing import FakeGateway, Raw
from aiotokengate.testing._files import png

JSON = {"Content-Type": "application/json"}
SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def answer(value: Any) -> Raw:
    return Raw(body=orjson.dumps(value), headers=JSON)


# --- embeddings ---------------------------------------------------------------------------------


async def test_vectors(gateway: FakeGateway, gate: TokenGate) -> None:
    found = await gate.embed(LARGE, ["你好 👋", "hello", "你好 👋"], dimensions=8)
    assert (len(found), found.model) == (3, LARGE)
    assert found[0] == found[2] != found[1]
    assert isinstance(found[0], array)
    assert math.isclose(sum(number * number for number in found[0]), 1, rel_tol=1e-5)
    assert found.usage.total_tokens > 0
    assert gateway.requests[0].json["encoding_format"] == "base64"
    assert len((await gate.embed(SMALL, "一个"))[0]) == 1536
    assert len(await gate.embed(SMALL, [1, 2, 3])) == 1
    assert len(await gate.embed(SMALL, (text for text in ("a", "b")))) == 2


async def test_ten_thousand_inputs_come_back_in_order(
    gateway: FakeGateway, gate: TokenGate
) -> None:
    texts = [f"第 {number} 句" for number in range(10_000)]
    found = await gate.embed(SMALL, texts, dimensions=4)
    assert len(found) == 10_000
    assert len(gateway.requests) >= 5
    for place in (0, 2_047, 2_048, 5_000, 9_999):
        assert found[place] == (await gate.embed(SMALL, texts[place], dimensions=4))[0]
    assert len({vector.tobytes() for vector in found}) == 10_000
    backwards = await gate.embed(SMALL, texts[::-1], dimensions=4)
    assert list(backwards)[::-1] == list(found)


async def test_a_part_that_fails_is_named(gateway: FakeGateway, gate: TokenGate) -> None:
    bad = Raw(status=400, body=b'{"error":{"message":"no"}}', headers=JSON)
    gateway.script(bad, path="/v1/embeddings")
    with pytest.raises(BadRequest) as raised:
        await gate.embed(SMALL, ["a", "b", "c"], split=Split(inputs=2, at_once=1))
    assert raised.value.__notes__ == ["of the inputs 0 to 1"]
    assert gate.pool.statistics().in_flight == 0


async def test_numbers_in_place_of_base64(gateway: FakeGateway, gate: TokenGate) -> None:
    row = {"embedding": [0.5, -1], "index": 0}
    gateway.script(answer({"data": [row]}), path="/v1/embeddings")
    assert list((await gate.embed(SMALL, "a"))[0]) == [0.5, -1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "expected 1 vectors under 'data', got something else"),
        ({"data": []}, "expected 1 vectors under 'data', got 0 of them"),
        ({"data": [7]}, r"expected an object as data\[0\], got int"),
        ({"data": [{"index": 3, "embedding": [1]}]}, "the indexes 0 to 0"),
        ({"data": [{"embedding": None}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": ["x"]}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": "!"}]}, "expected base64"),
        ({"data": [{"embedding": "AAA="}]}, "whole 32-bit floats"),
        ({"data": [{"embedding": [10**400]}]}, r"a list of numbers as data\[0\].embedding"),
        ({"data": [{"embedding": ""}]}, "vectors of one length"),
    ],
)
def test_vectors_that_are_none(body: Any, message: str) -> None:
    with pytest.raises(WireError, match=message):
        vectors_of(body, 1)


def test_a_vector_that_was_cut() -> None:
    """Base64 that ends early may be good base64."""
    body = {"data": [{"embedding": "AAAAAAAAAAAAAAAA"}, {"embedding": "AAAAAA=="}]}
    with pytest.raises(WireError, match="vectors of one length"):
        vectors_of(body, 2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "expected at least one input, got none"),
        (7, "expected inputs as a text or several, got int"),
        (["a", ""], r"expected inputs\[1\] as a text or a list of tokens, got an empty one"),
        (["a", 7], r"expected inputs\[1\] as a text or a list of tokens, got int"),
        ("", r"inputs\[0\]"),
    ],
)
async def test_inputs_that_are_none(gate: TokenGate, inputs: Any, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        await gate.embed(SMALL, inputs)


async def test_without_numpy(gate: TokenGate, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await gate.embed(SMALL, ["a", "b"], dimensions=3)
    assert found.numpy().shape == (2, 3)
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(CallerError, match="pip install numpy"):
        found.numpy()


# --- images -------------------------------------------------------------------------------------


async def test_images(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    images = await gate.images.generate("gpt-image-2", "一只橘猫 🐈", n=2, size="1024x1024")
    assert len(images) == 2
    assert (images[0].data, images[0].mime) == (png().whole(), "image/png")
    assert images[0].revised_prompt == "一只橘猫 🐈"
    assert images.usage.total_tokens == 210
    path = await images[0].save(tmp_path / "猫.png")
    assert path.read_bytes() == png().whole()
    assert (await images[1].pil()).size == (1, 1)
    assert "橘猫" not in repr(images[0])


@pytest.mark.parametrize("size", [-1, 0, "3", 100_000])
async def test_a_size_that_vectors_cannot_have(gate: TokenGate, size: Any) -> None:
    with pytest.raises(BadRequest, match="Invalid value for 'dimensions'"):
        await gate.embed("text-embedding-3-small", "你好 👋", dimensions=size)


async def test_a_split_that_is_none(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match=r"expected Split\(inputs=...\) of 1 or more, got 0"):
        Split(inputs=0)
    with pytest.raises(CallerError, match=r"expected split=Split\(inputs=...\), got int"):
        await gate.embed(SMALL, "你好", split=500)  # type: ignore[arg-type]


async def test_where_things_are_saved(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    """Directories are made, as for a job's files; one in the place of the file is refused."""
    (image,) = await gate.images.generate("gpt-image-2", "一只橘猫 🐈")
    assert (await image.save(tmp_path / "图 🐈" / "猫.png")).read_bytes() == image.data
    sound = await gate.audio.speak("tts-1-hd", "早", voice="alloy").save(
        tmp_path / "音" / "早.mp3"
    )
    assert sound.stat().st_size
    sent = len(gateway.requests)
    with pytest.raises(CallerError, match="expected the path of a file, got the directory"):
        await image.save(tmp_path)
    with pytest.raises(CallerError, match="expected the path of a file, got the directory"):
        await gate.audio.speak("tts-1-hd", "早", voice="alloy").save(tmp_path)
    assert len(gateway.requests) == sent


def test_an_edit_has_one_face(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match=r"no face= here, only generate\(\) has it"):
        gate.images.edit("qwen-image-edit", "戴帽子 🎩", b"png", face="dashscope")  # type: ignore[call-arg]


def test_nothing_to_be_said(gate: TokenGate) -> None:
    with pytest.raises(CallerError, match="expected text as a text, got an empty one"):
        gate.audio.speak("tts-1-hd", " ", voice="alloy")


async def test_sketches(gateway: FakeGateway, gate: TokenGate) -> None:
    call = gate.images.generate("gpt-image-2", "一只橘猫 🐈", partial_images=2)
    sketches = [sketch async for sketch in call]
    assert [sketch.number for sketch in sketches] == [0, 1, None]
    assert sketches[-1].image.data == png().whole()
    assert gateway.requests[0].json["stream"] is True
    with pytest.raises(CallerError, match="a call can be used once"):
        await call
    # A model that does not stream gives its images at once.
    body = {"data": [{"url": f"{gateway.base_url}/x.png", "b64_json": ""}]}
    gateway.script(answer(body), path="/v1/images/generations")
    (only,) = [sketch async for sketch in gate.images.generate("qwen-image", "猫")]
    assert isinstance(only, Sketch)
    assert only.image.data is None


async def test_an_image_that_stands_elsewhere(
    gateway: FakeGateway, gate: TokenGate, tmp_path: Path
) -> None:
    address = f"{gateway.base_url}/x.png"
    gateway.script(answer({"data": [{"url": address}]}), path="/v1/images/generations")
    gateway.script(
        Raw(body=png().whole(), headers={"Content-Type": "image/png"}), path="/v1/x.png"
    )
    (image,) = await gate.images.generate("qwen-image", "猫")
    assert (image.data, image.url) == (None, address)
    path = await image.save(tmp_path / "a.png")
    assert path.read_bytes() == png().whole()
    assert image.mime == "image/png"


async def test_dashscopes_face(gateway: FakeGateway, gate: TokenGate) -> None:
    (image,) = await gate.images.generate("qwen-image", "猫", face="dashscope", n=1)
    assert image.data == png().whole()
    sent = gateway.requests[0].json
    assert sent["input"]["messages"][0]["content"] == [{"text": "猫"}]
    assert sent["parameters"] == {"n": 1}


async def pieces() -> AsyncIterator[bytes]:
    data = png().whole()
    yield data[:10]
    yield data[10:]


async def test_edits(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    (tmp_path / "图.png").write_bytes(png().whole())
    (one,) = await gate.images.edit(
        "qwen-image-edit", "加一顶帽子 🎩", tmp_path / "图.png", seed=7
    )
    assert one.data == png().whole()
    assert b'name="seed"' in gateway.requests[0].body
    several: Any = [png().whole(), pieces()]
    assert len(await gate.images.edit("gpt-image-2", "合", several, mask=png().whole(), n=2)) == 2
    assert gateway.requests[1].body.count(b'name="image[]"') == 2
    call = gate.images.edit("gpt-image-2", "改", png().whole(), partial_images=1)
    assert [sketch.number async for sketch in call] == [0, None]


async def test_images_that_are_refused(gateway: FakeGateway, gate: TokenGate) -> None:
    with pytest.raises(BadRequest, match="response_format"):
        await gate.images.generate("gpt-image-2", "猫", response_format="b64_json")
    with pytest.raises(CallerError, match="expected prompt as a text"):
        gate.images.generate("gpt-image-2", "")
    with pytest.raises(CallerError, match="expected face 'openai' or 'dashscope'"):
        gate.images.generate("gpt-image-2", "猫", face="x")  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="deadline"):
        gate.images.generate("gpt-image-2", "猫", deadline=-1)
    gateway.script(answer([]), answer({"data": []}), path="/v1/images/generations")
    with pytest.raises(WireError, match="expected images, got a JSON list"):
        await gate.images.generate("qwen-image", "猫")
    with pytest.raises(WireError, match="expected images under 'data' or 'output', got data"):
        await gate.images.generate("qwen-image", "猫")


async def test_an_error_among_the_sketches(gateway: FakeGateway, gate: TokenGate) -> None:
    events = b'data: x\n\ndata: [DONE]\n\ndata: {"error":{"message":"broken"}}\n\n'
    gateway.script(Raw(body=events), path="/v1/images/generations")
    with pytest.raises(StatusError, match="broken"):
        [sketch async for sketch in gate.images.generate("gpt-image-2", "猫")]


async def collect(call: ImageCall, seen: list[Sketch]) -> None:
    async for found in call:
        seen += [found]


async def test_sketches_in_another_form(gateway: FakeGateway, gate: TokenGate) -> None:
    """A whole answer under the type of a stream is one; sketches without an end are none."""
    picture = b64encode(png().whole()).decode()
    whole = orjson.dumps({"created": 1, "data": [{"b64_json": picture, "url": None}]})
    part = {"type": "image_generation.partial_image", "partial_image_index": 0}
    sketch = b"data: " + orjson.dumps({**part, "b64_json": picture}) + b"\n\n"
    gateway.script(
        *(Raw(body=body, headers=typed("text/event-stream")) for body in (whole, sketch, REFUSED)),
        Raw(body=sketch + REFUSED, headers=typed("text/event-stream")),
        path="/v1/images/generations",
    )
    (last,) = [found async for found in gate.images.generate("gpt-image-2", "猫")]
    assert (last.image.data, last.number) == (png().whole(), None)
    seen: list[Sketch] = []
    with pytest.raises(TransportError, match="ended before the image was whole"):
        await collect(gate.images.generate("gpt-image-2", "猫"), seen)
    assert [found.number for found in seen] == [0]
    for _ in range(2):
        with pytest.raises(BadRequest, match="no such voice"):
            await collect(gate.images.generate("gpt-image-2", "猫"), seen)


async def test_a_page_is_no_image(gateway: FakeGateway, gate: TokenGate, tmp_path: Path) -> None:
    address = f"{gateway.base_url.removesuffix('/v1')}/files/cat.png"
    gateway.script(answer({"data": [{"url": address}]}), path="/v1/images/generations")
    gateway.script(Raw(body=PAGE, headers=typed("text/html")), path="/files/cat.png")
    (image,) = await gate.images.generate("qwen-image", "猫")
    with pytest.raises(WireError, match="expected an image, got an answer of type text/html"):
        await image.save(tmp_path / "cat.png")
    assert names_in(tmp_path) == []


def test_base64_in_lines() -> None:
    text = b64encode(png().whole()).decode()
    (image,) = images_of({"data": [{"b64_json": f"{text[:76]}\n{text[76:]}\n"}]})
    assert image.data == png().whole()


def test_forms_of_images() -> None:
    data = "data:image/webp;base64,UklG"
    (image,) = images_of({"data": [{"url": data, "b64_json": None, "revised_prompt": None}, {}]})
    assert (image.data, image.mime) == (b"RIF", "image/webp")
    assert image_event({"type": "ping"}) is None
    assert image_event(7) is None


async def test_without_pillow(gate: TokenGate, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = await gate.images.generate("qwen-image", "猫")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(CallerError, match="pip install pillow"):
        await image.pil()


# --- speech -------------------------------------------------------------------------------------


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


PAGE = b"<html><body>Bad luck</body></html>"
WHOLE = b'data: {"type":"speech.audio.done"}\n\n'
ABC = b'data: {"type":"speech.audio.delta","audio":"YWJj"}\n\n'
REFUSED = b'{"error":{"message":"no such voice","code":400}}'


def typed(kind: str) -> dict[str, str]:
    return {"Content-Type": kind}


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


# --- transcription ------------------------------------------------------------------------------


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


# --- large --------------------------------------------------------------------------------------

SIZE = 2 * 1024**3

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
async def test_two_gigabytes_are_uploaded_without_being_held(tmp_path: Path, kind: str) -> None:
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


# --- others' client -----------------------------------------------------------------------------


async def test_the_openai_package(gateway: FakeGateway, tmp_path: Path) -> None:
    async with openai.AsyncOpenAI(
        api_key=gateway.api_key, base_url=gateway.base_url, max_retries=0
    ) as client:
        found = await client.embeddings.create(model=SMALL, input=["你好", "b"], dimensions=8)
        assert sorted(row.index for row in found.data) == [0, 1]
        assert len(found.data[0].embedding) == 8
        images = await client.images.generate(model="gpt-image-2", prompt="猫 🐈", n=2)
        assert images.data is not None
        assert len(images.data) == 2
        edited = await client.images.edit(
            model="gpt-image-2", image=("a.png", png().whole()), prompt="帽子"
        )
        assert edited.data is not None
        speech = await client.audio.speech.create(model="tts-1-hd", input="你好", voice="alloy")
        assert speech.content.startswith(b"\xff\xfb")
        heard = await client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", b"RIFF"), response_format="verbose_json"
        )
        assert heard.text == "听到了 4 bytes 🎧"
        with pytest.raises(openai.BadRequestError):
            await client.embeddings.create(model=SMALL, input=["a"] * 2_049)
