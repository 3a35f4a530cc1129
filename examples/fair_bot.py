"""A bot whose users take turns, however many questions one of them sends. / 用户轮流得到回答."""

import asyncio

from aiotokengate import Limits, Pool, TokenGate

MODEL = "qwen3.6-plus"
LIMITS = Limits(concurrency=2)  # small, so that one can watch the turns


async def answer(gate: TokenGate, user: str, question: str) -> None:
    """Answer one question; the pool decides when."""
    reply = await gate.chat(MODEL, question, fair_key=user, deadline=120)
    print(f"{user} ← {reply.answer.splitlines()[0]}")


async def main() -> None:
    async with TokenGate(pool=Pool(LIMITS)) as gate, asyncio.TaskGroup() as group:
        for number in range(1, 9):
            group.create_task(answer(gate, "小多", f"第 {number} 个问题 🙋"))
        group.create_task(answer(gate, "小少", "我只有一个问题 👋"))


asyncio.run(main())
