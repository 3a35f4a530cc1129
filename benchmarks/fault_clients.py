"""One client under fault: reads what to ask from standard input, and says what its user is told.

    python benchmarks/fault_clients.py NAME

Each line that comes is a JSON object: ``what`` ("chat", "chats" or "image"), ``address`` (ends in
``/v1``) and ``key``.  Each is answered by a line with ``error`` (the class, or null), ``said``
(what it says) and ``text`` (what came, also when there was an error).  Each client has the
settings that it comes with, but for a time-out of two seconds wherever it has one, so that
a wait for ever shows soon.  Only one library is imported: each runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

SECONDS = 2.0
PATIENCE = 25.0
"""Seconds after which a call counts as one that hangs."""

PROMPT = "给我讲一个关于斑马鱼的故事 🐟, and keep my PIN 4711 a secret."
CHATS = 40

Told = dict[str, Any]


class NoSuchCall(Exception):
    """The library has no method for what is asked."""


class Ours:
    """aiotokengate."""

    model = "qwen3.6-plus"

    def __init__(self, address: str, key: str) -> None:
        """Open a session."""
        from aiotokengate import TokenGate
        from aiotokengate._policy.timeouts import Timeout

        clocks = Timeout(connect=SECONDS, first_event=SECONDS, stall=SECONDS, after_finish=0.5)
        self.gate = TokenGate(api_key=key, base_url=address, timeout=clocks)

    async def chat(self, pieces: list[str]) -> None:
        """Read a streamed reply."""
        async with self.gate.chat(self.model, PROMPT) as stream:
            async for text in stream.answer:
                pieces.append(text)  # noqa: PERF401 - what came before an error counts
            await stream.reply()

    async def image(self) -> None:
        """Make an image."""
        await self.gate.images.generate("gpt-image-1", PROMPT)

    async def close(self) -> None:
        """Close the session."""
        await self.gate.close()


class OpenAI:
    """openai-python."""

    model = "qwen3.6-plus"

    def __init__(self, address: str, key: str) -> None:
        """Open a client."""
        from openai import AsyncOpenAI

        self.client = AsyncOpenAI(api_key=key, base_url=address, timeout=SECONDS)

    async def chat(self, pieces: list[str]) -> None:
        """Read a streamed reply."""
        stream = await self.client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]

    async def image(self) -> None:
        """Make an image."""
        await self.client.images.generate(model="gpt-image-1", prompt=PROMPT)

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


class Anthropic:
    """anthropic, which has no images."""

    model = "claude-opus-4-6"

    def __init__(self, address: str, key: str) -> None:
        """Open a client."""
        from anthropic import AsyncAnthropic

        base = address.removesuffix("/v1")
        self.client = AsyncAnthropic(api_key=key, base_url=base, timeout=SECONDS)

    async def chat(self, pieces: list[str]) -> None:
        """Read a streamed reply."""
        ask: Any = {"model": self.model, "messages": [{"role": "user", "content": PROMPT}]}
        async with self.client.messages.stream(**ask, max_tokens=500) as stream:
            async for text in stream.text_stream:
                pieces.append(text)  # noqa: PERF401
            await stream.get_final_message()

    async def image(self) -> None:
        """Say that there is none."""
        raise NoSuchCall

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()


class LiteLLM:
    """LiteLLM, as one calls it."""

    model = "openai/qwen3.6-plus"

    def __init__(self, address: str, key: str) -> None:
        """Note where the gateway is."""
        import litellm

        litellm.suppress_debug_info = True
        self.litellm = litellm
        self.way: Any = {"api_base": address, "api_key": key, "timeout": SECONDS}

    async def chat(self, pieces: list[str]) -> None:
        """Read a streamed reply."""
        stream: Any = await self.litellm.acompletion(
            model=self.model,
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
            **self.way,
        )
        async for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]

    async def image(self) -> None:
        """Make an image."""
        await self.litellm.aimage_generation(model="openai/gpt-image-1", prompt=PROMPT, **self.way)

    async def close(self) -> None:
        """Nothing of it is ours to close."""


CLIENTS: dict[str, type[Any]] = {
    "aiotokengate": Ours,
    "openai": OpenAI,
    "anthropic": Anthropic,
    "litellm": LiteLLM,
}


async def asked(client: Any, what: str, pieces: list[str]) -> int:
    """Make the calls; return how many failed of those that are many."""
    if what == "image":
        await client.image()
    elif what == "chat":
        await client.chat(pieces)
    else:
        return await failures(client)
    return 0


async def failures(client: Any) -> int:
    """Make many chats, one after another; return how many of them failed."""
    failed = 0
    for _ in range(CHATS):
        try:
            await client.chat([])
        except Exception:
            failed += 1
    return failed


async def told(kind: type[Any], order: dict[str, str]) -> Told:
    """Ask once, and return what a user of the library sees."""
    pieces: list[str] = []
    client = kind(order["address"], order["key"])
    error, said, failed = None, "", 0
    try:
        async with asyncio.timeout(PATIENCE) as patience:
            failed = await asked(client, order["what"], pieces)
    except Exception as problem:
        hangs = patience.expired()
        error = "hangs" if hangs else type(problem).__name__
        said = f"{problem}\n{problem!r}"
    await client.close()
    return {"error": error, "said": said, "text": "".join(pieces), "failed": failed}


async def serve(name: str) -> None:
    """Answer line by line until there is none."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    out = sys.stdout
    sys.stdout = sys.stderr  # LiteLLM prints advice
    while line := await lines.readline():
        answer = await told(CLIENTS[name], json.loads(line))
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
