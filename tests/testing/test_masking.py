"""Keys are masked before anything of an exchange is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from aiotokengate.testing import (
    FakeGateway,
    Raw,
    Recorder,
    Recording,
)
from aiotokengate.testing._masking import Secrets
from tests.support.recordings import KEY


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with FakeGateway(api_key=KEY) as gateway:
        yield gateway


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
