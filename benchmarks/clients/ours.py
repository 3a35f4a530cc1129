"""The library that is measured."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from aiotokengate import AnswerDelta, Limits, Pool, ReasoningDelta, TokenGate
from clients import MODEL, PROMPT

if TYPE_CHECKING:
    from meter import Tap

__all__ = ["Ours", "OursAnswer", "OursAwait", "OursBursts", "OursLimited"]

_TEXTS = (ReasoningDelta, AnswerDelta)
_MODELS = {"responses": "gpt-5.3-codex", "messages": "claude-opus-4-6"}


class Ours:
    """The library as it comes: its default pool, no hooks."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address
        self._gates: dict[str, TokenGate] = {}

    def _gate(self, answer: str) -> TokenGate:
        gate = self._gates.get(answer)
        if gate is None:
            gate = self._gates[answer] = self._made(f"{self._address}/{answer}/v1")
        return gate

    def _made(self, base_url: str) -> TokenGate:
        return TokenGate(base_url=base_url, api_key="sk-bench", proxy="")

    async def stream(self, answer: str) -> int:
        """Iterate over a call; count its deltas."""
        count = 0
        async for _ in self._gate(answer).chat(MODEL, PROMPT):
            count += 1
        return count

    async def stream_named(self, answer: str) -> int:
        """Iterate over a call in Responses or Messages; count its deltas."""
        count = 0
        async for _ in self._gate(answer).chat(_MODELS[answer.split(".")[1]], PROMPT):
            count += 1
        return count

    async def views(self, answer: str) -> int:
        """Read the thinking, then the answer; count their pieces."""
        count = 0
        async with self._gate(answer).chat(MODEL, PROMPT) as stream:
            async for _ in stream.reasoning:
                count += 1
            async for _ in stream.answer:
                count += 1
        return count

    async def call(self, answer: str) -> int:
        """Await a call whose reply is streamed."""
        return len((await self._gate(answer).chat(MODEL, PROMPT)).answer)

    async def plain(self, answer: str) -> int:
        """Await a call whose reply is not."""
        return len((await self._gate(answer).chat(MODEL, PROMPT, stream=False)).answer)

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        model = _MODELS.get(answer.split(".")[1], MODEL)
        return (await self._gate(answer).chat(model, PROMPT)).answer

    async def follow(self, answer: str, tap: Tap) -> None:
        """Iterate over a call, and hand over each text."""
        async for delta in self._gate(answer).chat(MODEL, PROMPT):
            if isinstance(delta, _TEXTS):
                tap.take(delta.text)

    async def hold(self, answer: str, texts: int) -> tuple[object, asyncio.Future[Any]]:
        """Read so many deltas, and wait for more."""
        return await self._held(answer, texts)

    async def hold_passing(self, answer: str, texts: int) -> tuple[object, asyncio.Future[Any]]:
        """Do the same, and let the library forget what was read."""
        return await self._held(answer, texts, retain=False)

    async def _held(
        self, answer: str, texts: int, *, retain: bool = True
    ) -> tuple[object, asyncio.Future[Any]]:
        stream = await self._gate(answer).chat(MODEL, PROMPT, retain=retain).__aenter__()
        deltas = aiter(stream)
        for _ in range(texts):
            await anext(deltas)
        return stream, asyncio.ensure_future(anext(deltas))

    async def close(self) -> None:
        """Close the connections."""
        for gate in self._gates.values():
            await gate.close()

    @staticmethod
    def knows(option: str) -> bool:
        """Return whether a call has such an option."""
        return option in inspect.signature(TokenGate.chat).parameters


class OursAwait(Ours):
    """A program that wants the whole reply."""

    blind = True

    async def follow(self, answer: str, tap: Tap) -> None:
        """Await a call."""
        del tap
        await self._gate(answer).chat(MODEL, PROMPT)


class OursAnswer(Ours):
    """A program that shows the answer, and no thinking."""

    blind = True

    async def follow(self, answer: str, tap: Tap) -> None:
        """Iterate over the answer."""
        del tap
        async with self._gate(answer).chat(MODEL, PROMPT) as stream:
            async for _ in stream.answer:
                pass


class OursBursts(Ours):
    """A bot that edits a message."""

    blind = True

    async def follow(self, answer: str, tap: Tap) -> None:
        """Iterate over what came in 0.8 seconds each."""
        del tap
        async with self._gate(answer).chat(MODEL, PROMPT) as stream:
            async for _ in stream.answer.bursts(0.8):
                pass


class OursLimited(Ours):
    """The library with a pool that keeps to limits, wide enough for all that is measured."""

    def _made(self, base_url: str) -> TokenGate:
        pool = Pool(Limits(concurrency=100_000, requests_per_minute=1e9, tokens_per_minute=1e12))
        return TokenGate(base_url=base_url, api_key="sk-bench", proxy="", pool=pool)
