"""Images: the real client, the real gateway."""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import orjson
import pytest

from aiotokengate import (
    BadRequest,
    CallerError,
    StatusError,
    TokenGate,
    TransportError,
    WireError,
)
from aiotokengate._resources.images import ImageCall, Sketch
from aiotokengate.testing import FakeGateway, Raw
from aiotokengate.testing._files import png
from tests.support.media import PAGE, REFUSED, answer, names_in, pieces, typed


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


async def test_without_pillow(gate: TokenGate, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = await gate.images.generate("qwen-image", "猫")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(CallerError, match="pip install pillow"):
        await image.pil()
