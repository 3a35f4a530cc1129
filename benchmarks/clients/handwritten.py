"""The loop that most people write first: line by line, with the standard library's JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clients.bare import Bytes

if TYPE_CHECKING:
    from meter import Tap

__all__ = ["Handwritten"]


class Handwritten(Bytes):
    """``async for line in response.content``."""

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count = 0
        async with self._post(answer) as response:
            async for line in response.content:
                if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                    json.loads(line[6:])
                    count += 1
        return count

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        pieces: list[str] = []
        async with self._post(answer) as response:
            async for line in response.content:
                if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                    choices = json.loads(line[6:])["choices"]
                    pieces += [choice["delta"]["content"] or "" for choice in choices]
        return "".join(pieces)

    async def follow(self, answer: str, tap: Tap) -> None:
        """Read a streamed reply, and hand over each text."""
        async with self._post(answer) as response:
            async for line in response.content:
                if line.startswith(b"data: ") and line != b"data: [DONE]\n":
                    for choice in json.loads(line[6:])["choices"]:
                        if text := choice["delta"]["content"]:
                            tap.take(text)
