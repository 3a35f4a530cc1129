"""LangChain's client of OpenAI's protocol."""

from __future__ import annotations

from langchain_openai import ChatOpenAI

from clients import MODEL, PROMPT

__all__ = ["LangChain"]


class LangChain:
    """A chat model, streamed or invoked."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address
        self._models: dict[str, ChatOpenAI] = {}

    def _model(self, answer: str) -> ChatOpenAI:
        model = self._models.get(answer)
        if model is None:
            base_url = f"{self._address}/{answer}/v1"
            model = self._models[answer] = ChatOpenAI(
                model=MODEL, base_url=base_url, api_key="sk-bench", stream_usage=True
            )
        return model

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its chunks."""
        count = 0
        async for _ in self._model(answer).astream(PROMPT):
            count += 1
        return count

    async def call(self, answer: str) -> int:
        """Make a call whose reply is streamed."""
        return await self.stream(answer)

    async def plain(self, answer: str) -> int:
        """Make a call whose reply is not."""
        return len((await self._model(answer).ainvoke(PROMPT)).content)

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        chunks = [chunk.content async for chunk in self._model(answer).astream(PROMPT)]
        return "".join(map(str, chunks))

    async def close(self) -> None:
        """Leave the connections to the end of the process."""
