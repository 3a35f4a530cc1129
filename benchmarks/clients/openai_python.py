"""openai-python, with the transport it comes with and with aiohttp's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai import AsyncOpenAI, DefaultAioHttpClient

from clients import MODEL, PROMPT

if TYPE_CHECKING:
    from meter import Tap

__all__ = ["OpenAI", "OpenAIAiohttp"]

_ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class OpenAI:
    """As it comes."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address
        self._clients: dict[str, AsyncOpenAI] = {}

    def _client(self, answer: str) -> AsyncOpenAI:
        client = self._clients.get(answer)
        if client is None:
            client = self._clients[answer] = self._made(f"{self._address}/{answer}/v1")
        return client

    def _made(self, base_url: str) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=base_url, api_key="sk-bench")

    async def _open(self, answer: str) -> Any:
        return await self._client(answer).chat.completions.create(**_ASK, **_STREAMED)

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count = 0
        async for _ in await self._open(answer):
            count += 1
        return count

    async def stream_named(self, answer: str) -> int:
        """Read a reply in Responses; count its events."""
        count = 0
        responses = self._client(answer).responses
        events = await responses.create(model="gpt-5.3-codex", input=PROMPT, stream=True)
        async for _ in events:
            count += 1
        return count

    async def call(self, answer: str) -> int:
        """Make a call whose reply is streamed."""
        return await self.stream(answer)

    async def plain(self, answer: str) -> int:
        """Make a call whose reply is not."""
        reply = await self._client(answer).chat.completions.create(**_ASK)
        return len(reply.choices)

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        if ".responses." in answer:
            return await self._responses_text(answer)
        pieces: list[str] = []
        async for chunk in await self._open(answer):
            pieces += [choice.delta.content or "" for choice in chunk.choices]
        return "".join(pieces)

    async def _responses_text(self, answer: str) -> str:
        responses = self._client(answer).responses
        events = await responses.create(model="gpt-5.3-codex", input=PROMPT, stream=True)
        return "".join([e.delta async for e in events if e.type == "response.output_text.delta"])

    async def follow(self, answer: str, tap: Tap) -> None:
        """Read a streamed reply, and hand over each text."""
        async for chunk in await self._open(answer):
            for choice in chunk.choices:
                if choice.delta.content:
                    tap.take(choice.delta.content)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.close()


class OpenAIAiohttp(OpenAI):
    """With the faster of its transports."""

    def _made(self, base_url: str) -> AsyncOpenAI:
        client = DefaultAioHttpClient()
        return AsyncOpenAI(base_url=base_url, api_key="sk-bench", http_client=client)
