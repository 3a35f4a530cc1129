"""pydantic-ai's client of OpenAI's protocol, without an agent around it."""

from __future__ import annotations

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from clients import MODEL, PROMPT

__all__ = ["PydanticAI"]


class PydanticAI:
    """A model, asked directly."""

    def __init__(self, address: str) -> None:
        """Note where the server is."""
        self._address = address
        self._models: dict[str, OpenAIChatModel] = {}

    def _model(self, answer: str) -> OpenAIChatModel:
        model = self._models.get(answer)
        if model is None:
            base_url = f"{self._address}/{answer}/v1"
            provider = OpenAIProvider(base_url=base_url, api_key="sk-bench")
            model = self._models[answer] = OpenAIChatModel(MODEL, provider=provider)
        return model

    async def stream(self, answer: str) -> int:
        """Read a streamed reply; count its events."""
        count = 0
        asked = [ModelRequest.user_text_prompt(PROMPT)]
        async with model_request_stream(self._model(answer), asked) as events:
            async for _ in events:
                count += 1
        return count

    async def call(self, answer: str) -> int:
        """Make a call whose reply is streamed."""
        return await self.stream(answer)

    async def plain(self, answer: str) -> int:
        """Make a call whose reply is not."""
        asked = [ModelRequest.user_text_prompt(PROMPT)]
        return len((await model_request(self._model(answer), asked)).parts)

    async def text(self, answer: str) -> str:
        """Return the answer of a streamed reply."""
        asked = [ModelRequest.user_text_prompt(PROMPT)]
        async with model_request_stream(self._model(answer), asked) as events:
            async for _ in events:
                pass
        return events.get().text or ""

    async def close(self) -> None:
        """Leave the connections to the end of the process."""
