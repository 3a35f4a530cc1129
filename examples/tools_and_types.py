"""A model that calls functions, then answers in a type of ours. / 先调用函数，再按类型作答."""

import asyncio
import sys

import attrs

from aiotokengate import AnswerDelta, TokenGate
from aiotokengate.tools import ToolOutcome

MODEL = "qwen3.6-max-preview"


@attrs.define
class Trip:
    """A day out. / 一日游."""

    city: str
    bring: list[str]


async def weather(city: str) -> str:
    """Look up the weather of a city. / 查询天气.

    Args:
        city: 城市的名字
    """
    return f"{city}：小雨，16 度 🌧️"


async def main(question: str) -> None:
    async with TokenGate() as gate:
        run = gate.run_tools(MODEL, question, [weather])
        async for step in run:
            match step:
                case ToolOutcome(call=call, text=text):
                    print(f"🔧 {call.name}: {text}")
                case AnswerDelta(text=text):
                    print(text, end="", flush=True)
        print()
        history = [*(await run).messages, {"role": "user", "content": "列出要带的东西 🎒"}]
        reply = await gate.chat(MODEL, history, response_type=Trip)
        print(reply.parsed)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "明天去北京，请用 weather 查天气。"))
