"""Anthropic's own client, with the transport it comes with and with aiohttp's."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic, DefaultAioHttpClient

from clients import PROMPT

__all__ = ["Anthropic", "AnthropicAiohttp"]

_ASK: dict[str, Any] = {
    "model": "claude-opus-4-6",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": PROMPT}],
    "stream": True,
}


class Anthropic:
    """As it comes."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address
        self._clients: dict[str, AsyncAnthropic] = {}

    def _client(self, answer: str) -> AsyncAnthropic:
        client = self._clients.get(answer)
        if client is None:
            client = self._clients[answer] = self._made(f"{self._address}/{answer}")
        return client

    def _made(self, base_url: str) -> AsyncAnthropic:
        return AsyncAnthropic(base_url=base_url, api_key="sk-bench")

    async def stream_named(self, answer: str) -> int:
        """Read a reply in Messages; count its events."""
        count = 0
        async for _ in await self._client(answer).messages.create(**_ASK):
            count += 1
        return count

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        events = await self._client(answer).messages.create(**_ASK)
        deltas = [event.delta async for event in events if event.type == "content_block_delta"]
        return "".join([delta.text for delta in deltas if delta.type == "text_delta"])

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()


class AnthropicAiohttp(Anthropic):
    """With the other of its transports."""

    def _made(self, base_url: str) -> AsyncAnthropic:
        client = DefaultAioHttpClient()
        return AsyncAnthropic(base_url=base_url, api_key="sk-bench", http_client=client)
