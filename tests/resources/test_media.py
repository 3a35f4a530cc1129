"""Embeddings, images and audio of the gateway, through others' client."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from aiotokengate.testing import FakeGateway
from aiotokengate.testing._files import png
from tests.support.media import SMALL


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
