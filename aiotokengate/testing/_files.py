"""Files that the fake gateway has to give: small ones that are valid, huge ones made on the way.

A file is a head that says what it is, and as many bytes of a pattern as are wanted; the pattern
depends on the place alone, so that any part of a file can be made without the rest, and a download
that was put together wrongly does not look right.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import attrs
from aiohttp import web

__all__ = ["Blob", "midi", "mp3", "mp4", "png", "serve", "wav"]

PIECE = 1024 * 1024
_PATTERN = bytes(range(251)) * (PIECE // 251 + 2)
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@attrs.frozen
class Blob:
    """A file of any size.

    Attributes:
        mime: its type.
        head: how it begins.
        size: bytes in all; what follows the head is the pattern.
    """

    mime: str
    head: bytes = attrs.field(repr=False)
    size: int

    def part(self, start: int, stop: int) -> bytes:
        """Return the bytes from one place up to another, at most a megabyte of them."""
        stop = min(stop, self.size, start + PIECE)
        begin = self.head[start:stop]
        start = max(start, len(self.head))
        offset = start % 251
        return begin + _PATTERN[offset : offset + max(0, stop - start)]

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the same in pieces, whatever its length."""
        while start < stop:
            piece = self.part(start, stop)
            start += len(piece)
            yield piece

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join(self.pieces(0, self.size))


def mp4(size: int = 2_000) -> Blob:
    """Return an MP4: a ``ftyp`` box, and a ``mdat`` box with 64 bits for its size."""
    brand = b"isom\x00\x00\x02\x00isomiso2mp41"
    first = struct.pack(">I4s", 8 + len(brand), b"ftyp") + brand
    size = max(size, len(first) + 16)
    return Blob("video/mp4", first + struct.pack(">I4sQ", 1, b"mdat", size - len(first)), size)


def wav(size: int = 2_044) -> Blob:
    """Return a WAV of noise: 16 bits, one channel, 16 kHz."""
    data = max(0, size - 44)
    form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    head = b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt " + form
    return Blob("audio/wav", head + b"data" + struct.pack("<I", data), 44 + data)


def mp3(size: int = 2_085) -> Blob:
    """Return what begins as an MP3 does: a frame of 128 kbit/s."""
    return Blob("audio/mpeg", b"\xff\xfb\x90\x64" + bytes(413), max(size, 417))


def midi() -> Blob:
    """Return a MIDI file with one note."""
    track = b"\x00\x90\x3c\x40\x60\x80\x3c\x00\x00\xff\x2f\x00"
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96)
    data = head + b"MTrk" + struct.pack(">I", len(track)) + track
    return Blob("audio/midi", data, len(data))


def png() -> Blob:
    """Return a picture of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    boxes = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\x00\xff\x80\x00")), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in boxes)
    return Blob("image/png", data, len(data))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


async def serve(
    request: web.Request, blob: Blob, headers: dict[str, str], *, cut: int | None = None
) -> web.StreamResponse:
    """Send a file, or the part of it that is asked for.

    Args:
        request: whose ``Range`` is honoured.
        blob: the file.
        headers: to be added.
        cut: after so many bytes the connection is reset, None sends them all.
    """
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    start = int(found[1]) if found else 0
    stop = min(blob.size, int(found[2]) + 1) if found and found[2] else blob.size
    if found and start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{blob.size}"})
    response = web.StreamResponse(status=206 if found else 200, headers=headers)
    response.content_type = blob.mime
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if found:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
    await response.prepare(request)
    end = stop if cut is None else min(stop, start + cut)
    for piece in blob.pieces(start, end):
        await response.write(piece)
    if end < stop and request.transport is not None:
        request.transport.abort()
        return response
    await response.write_eof()
    return response
