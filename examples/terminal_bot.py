"""A bot that edits its message in bursts, as chat platforms want it. / 分批编辑消息的机器人.

Here the "message" is one line of the terminal; on a real platform ``edit`` calls its API.
"""

import asyncio
import sys

from aiotokengate import StreamInterrupted, TokenGate


class Message:
    """A message that can be edited, like those of a chat platform."""

    def __init__(self) -> None:
        self.text = ""

    def edit(self, text: str) -> None:
        """Replace the whole text."""
        self.text = text
        print(f"✎ {text!r}", flush=True)


async def answer(gate: TokenGate, prompt: str) -> None:
    """Send a message, then edit it while the model thinks and answers."""
    message = Message()
    message.edit("🤔 …")
    async with gate.chat("qwen3.6-max-preview", prompt) as stream:
        try:
            async for thoughts in stream.reasoning.snapshots(every=1.0):
                message.edit(f"🤔 {len(thoughts)} …")
            text = ""
            async for burst in stream.answer.bursts(every=0.8):
                text += burst
                message.edit(text)
        except StreamInterrupted as error:
            message.edit(f"{error.partial.answer} ⚠️ 中断 / interrupted")


async def main() -> None:
    async with TokenGate() as gate:
        for line in sys.stdin:
            if line.strip():
                await answer(gate, line.strip())


asyncio.run(main())
