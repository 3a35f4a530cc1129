"""httpx-sse with the standard library's JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from httpx_sse import aconnect_sse

from clients import MODEL, PROMPT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meter import Tap

__all__ = ["HttpxSse"]

_BODY = {
    "model": MODEL,
    "messages": [{"role": "user", "content": PROMPT}],
    "stream": True,
    "stream_options": {"include_usage": True},
}


class HttpxSse:
    """As its README shows it."""

    def __init__(self, address: str) -> None:
        """Open a client that waits as long as the others."""
        self._address = address
        limits = httpx.Limits(max_connections=None)
        headers = {"Authorization": "Bearer sk-bench"}
        timeout = httpx.Timeout(600)
        self._client = httpx.AsyncClient(
            headers=headers, timeout=timeout, limits=limits, trust_env=False
        )

    def _connect(self, answer: str) -> Any:
        url = f"{self._address}/{answer}/v1/chat/completions"
        return aconnect_sse(self._client, "POST", url, json=_BODY)

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count = 0
        async with self._connect(answer) as source:
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    json.loads(event.data)
                    count += 1
        return count

    async def _texts(self, answer: str) -> AsyncIterator[str]:
        async with self._connect(answer) as source:
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    for choice in json.loads(event.data)["choices"]:
                        yield choice["delta"]["content"] or ""

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        return "".join([text async for text in self._texts(answer)])

    async def follow(self, answer: str, tap: Tap) -> None:
        """Read a streamed reply, and hand over each text."""
        async with self._connect(answer) as source:
            async for event in source.aiter_sse():
                if event.data != "[DONE]":
                    for choice in json.loads(event.data)["choices"]:
                        if text := choice["delta"]["content"]:
                            tap.take(text)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
