"""Reasoning and answer side by side, each read by its own task. / 思考与回答并行读取."""

import asyncio
import sys

from aiotokengate import TextStream, TokenGate


async def panel(title: str, text: TextStream) -> None:
    """Print a stream line by line under its title."""
    async for line in text.lines():
        print(f"{title:>6} | {line}", flush=True)


async def main(prompt: str) -> None:
    async with (
        TokenGate() as gate,
        gate.chat("qwen3.6-max-preview", prompt) as stream,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(panel("think", stream.reasoning))
        group.create_task(panel("answer", stream.answer))


asyncio.run(main(" ".join(sys.argv[1:]) or "你好"))
