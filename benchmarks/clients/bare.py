"""What anybody would write with aiohttp and orjson, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from clients import MODEL, PROMPT

if TYPE_CHECKING:
    from meter import Tap

__all__ = ["Bare", "Bytes"]

_HEADERS = {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"}


class Bytes:
    """Reads the bytes, and does nothing with them."""

    def __init__(self, address: str) -> None:
        """Note where the server is; the session is opened by the first call."""
        self._address = address
        self._opened: aiohttp.ClientSession | None = None
        ask = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
        self._plain = orjson.dumps(ask)
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        self._streamed = orjson.dumps(ask | streamed)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=600)
            timeout = aiohttp.ClientTimeout(total=None)
            self._opened = aiohttp.ClientSession(
                connector=connector, headers=_HEADERS, timeout=timeout
            )
        return self._opened

    def _post(self, answer: str) -> Any:
        url = f"{self._address}/{answer}/v1/chat/completions"
        return self._session.post(url, data=self._streamed)

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its bytes."""
        count = 0
        async with self._post(answer) as response:
            async for data in response.content.iter_any():
                count += len(data)
        return count

    async def text(self, answer: str) -> str:
        """Return nothing: the text is not looked at."""
        del answer
        return ""

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()


class Bare(Bytes):
    """Splits the bytes, and parses each event."""

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count, tail = 0, b""
        async with self._post(answer) as response:
            async for data in response.content.iter_any():
                *events, tail = (tail + data).split(b"\n\n")
                for event in events:
                    text = event[6:]
                    if text != b"[DONE]":
                        orjson.loads(text)
                        count += 1
        return count

    async def stream_named(self, answer: str) -> int:
        """Read a reply whose events have names, as those of Responses and Messages; count them."""
        count, tail = 0, b""
        async with self._post(answer) as response:
            async for data in response.content.iter_any():
                *events, tail = (tail + data).split(b"\n\n")
                for event in events:
                    orjson.loads(event[event.index(b"\ndata: ") + 7 :])
                    count += 1
        return count

    async def call(self, answer: str) -> int:
        """Make a call whose reply is streamed."""
        return await self.stream(answer)

    async def plain(self, answer: str) -> int:
        """Make a call whose reply is not."""
        url = f"{self._address}/{answer}/v1/chat/completions"
        async with self._session.post(url, data=self._plain) as response:
            return len(orjson.loads(await response.read())["choices"])

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply, if it is of Chat Completions."""
        if ".qwen." not in answer:
            return ""
        pieces: list[str] = []
        async with self._post(answer) as response:
            events = (await response.read()).split(b"\n\n")
            for event in events[:-2]:
                choices = orjson.loads(event[6:])["choices"]
                pieces += [choice["delta"]["content"] or "" for choice in choices]
        return "".join(pieces)

    async def follow(self, answer: str, tap: Tap) -> None:
        """Read a streamed reply, and hand over each text."""
        tail = b""
        async with self._post(answer) as response:
            async for data in response.content.iter_any():
                *events, tail = (tail + data).split(b"\n\n")
                for event in events:
                    text = event[6:]
                    if text != b"[DONE]":
                        for choice in orjson.loads(text)["choices"]:
                            delta = choice["delta"]
                            piece = delta["content"] or delta["reasoning_content"]
                            if piece:
                                tap.take(piece)

    async def hold(self, answer: str, texts: int) -> tuple[object, asyncio.Future[Any]]:
        """Read so many texts, and wait for more."""
        response = await self._post(answer)
        count, tail = -1, b""  # the first chunk has no text
        while count < texts:
            *events, tail = (tail + await response.content.readany()).split(b"\n\n")
            for event in events:
                orjson.loads(event[6:])
            count += len(events)
        return response, asyncio.ensure_future(response.content.readany())
