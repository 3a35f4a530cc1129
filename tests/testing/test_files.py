"""Files that the fake gateway makes: small ones that are valid, huge ones part by part."""

import struct
import zlib

import pytest
from aiohttp import web

from aiotokengate.testing import FakeGateway
from aiotokengate.testing._files import PIECE, Blob, midi, mp3, mp4, png, serve, wav
from tests.support.bare_client import Client


@pytest.mark.parametrize(
    ("blob", "start", "mime"),
    [
        (mp4(), b"\0\0\0\x1cftypisom", "video/mp4"),
        (wav(), b"RIFF", "audio/wav"),
        (mp3(), b"\xff\xfb", "audio/mpeg"),
        (midi(), b"MThd", "audio/midi"),
        (png(), b"\x89PNG", "image/png"),
    ],
)
def test_a_file_begins_as_its_kind_does(blob: Blob, start: bytes, mime: str) -> None:
    assert blob.whole().startswith(start)
    assert (len(blob.whole()), blob.mime) == (blob.size, mime)


def test_sizes_that_are_told_inside_are_true() -> None:
    assert struct.unpack_from("<I", wav(1_000).whole(), 4)[0] == 1_000 - 8
    picture = png().whole()
    length = struct.unpack_from(">I", picture, 8)[0]
    assert struct.unpack_from(">I", picture, 16 + length)[0] == zlib.crc32(
        picture[12 : 16 + length]
    )


def test_any_part_is_made_without_the_rest() -> None:
    blob = mp4(3 * PIECE)
    whole = blob.whole()
    for start, stop in ((0, 10), (20, 60), (PIECE - 3, PIECE + 9), (3 * PIECE - 5, 3 * PIECE + 5)):
        assert blob.part(start, stop) == whole[start:stop]
    assert len(blob.part(0, 3 * PIECE)) == PIECE


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("", 200, slice(0, None)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=9999-", 416, slice(0, 0)),
    ],
)
async def test_a_part_is_served_where_one_is_asked_for(
    client: Client, wanted: str, status: int, part: slice
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await serve(request, mp3(), {"X-Own": "1"})

    client.gateway.script(answer, path="/v1/file")
    async with client.http.get(client.url("/file"), headers={"Range": wanted}) as response:
        assert response.status == status
        assert await response.read() == mp3().whole()[part]


async def test_a_file_can_break_off(client: Client, gateway: FakeGateway) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await serve(request, mp3(), {}, cut=100)

    client.gateway.script(answer, path="/v1/file")
    async with client.http.get(client.url("/file")) as response:
        assert await response.content.readexactly(100) == mp3().whole()[:100]
    await gateway.wait_connections(0)
