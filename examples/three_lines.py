"""The shortest program: ask, and print the answer. / 最短的程序：提问并打印回答."""

import asyncio

from aiotokengate import TokenGate


async def main() -> None:
    async with TokenGate() as gate:
        reply = await gate.chat("qwen3.6-max-preview", "你好")
        print(reply.answer)


asyncio.run(main())
