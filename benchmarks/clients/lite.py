"""LiteLLM's own call, as its README shows it."""

from __future__ import annotations

from typing import Any

import litellm

from clients import MODEL, PROMPT

__all__ = ["LiteLLM"]

_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class LiteLLM:
    """``acompletion``."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address

    def _ask(self, answer: str, **more: Any) -> Any:
        return litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=[{"role": "user", "content": PROMPT}],
            base_url=f"{self._address}/{answer}/v1",
            api_key="sk-bench",
            **more,
        )

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count = 0
        async for _ in await self._ask(answer, **_STREAMED):
            count += 1
        return count

    async def call(self, answer: str) -> int:
        """Make a call whose reply is streamed."""
        return await self.stream(answer)

    async def plain(self, answer: str) -> int:
        """Make a call whose reply is not."""
        return len((await self._ask(answer)).choices)

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        pieces: list[str] = []
        async for chunk in await self._ask(answer, **_STREAMED):
            pieces += [choice.delta.content or "" for choice in chunk.choices]
        return "".join(pieces)

    async def close(self) -> None:
        """Leave the connections to the end of the process."""
