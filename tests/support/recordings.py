"""What is asked and said in recordings."""

from __future__ import annotations

from typing import Any

import orjson

from aiotokengate import (
    Retry,
    TokenGate,
)

MODEL = "deepseek-v4-pro"


ONCE = Retry(attempts=1)


KEY = "sk-a-very-secret-key-0123456789"


async def deltas(gate: TokenGate, model: str = MODEL, **options: Any) -> list[Any]:
    return [delta async for delta in gate.chat(model, "在吗？ 🤔", **options)]


def said(text: str) -> str:
    """Return a whole stream that says so."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
    return f"data: {orjson.dumps({'choices': [choice]}).decode()}\n\ndata: [DONE]\n\n"
