"""Every model of the fake gateway, and what switches its thinking on and off."""

from typing import Any

import pytest

from aiotokengate.testing._models import LATER, MODELS
from tests.support.bare_client import Client, joined, reasons

# Some answer over Responses only; `test_refusals.py` has them.
OVER_CHAT = sorted(
    name for name in (*MODELS, *LATER) if not name.endswith("-pro") or not name.startswith("gpt-")
)


@pytest.mark.parametrize("model", [name for name in OVER_CHAT if "codex" not in name])
async def test_every_model_answers_streamed_as_plain(client: Client, model: str) -> None:
    frames = await client.frames(model=model)
    plain = (await client.plain(model=model))["choices"][0]["message"]
    assert joined(frames, "content") == (plain["content"] or "")
    assert reasons(frames)[0] == "stop"


@pytest.mark.parametrize(
    ("model", "body", "thinks"),
    [
        ("qwen3.6-plus", {}, True),
        ("qwen3.6-plus", {"enable_thinking": False}, False),
        ("qwen3.6-plus", {"chat_template_kwargs": {"enable_thinking": False}}, False),
        ("deepseek-v4-pro", {}, True),
        ("deepseek-v4-pro", {"thinking": {"type": "disabled"}}, False),
        ("deepseek3.2", {}, False),
        ("deepseek3.2", {"chat_template_kwargs": {"thinking": True}}, True),
        ("WanWu/Deepseek-Auto", {}, False),
        ("WanWu/Deepseek-Auto", {"enable_thinking": True}, True),
        ("WanWu/Deepseek-Auto", {"reasoning_effort": "low"}, True),
        ("WanWu/GLM-Auto", {}, True),
        ("WanWu/GLM-Auto", {"chat_template_kwargs": {"enable_thinking": False}}, False),
        ("glm-5.1", {"thinking": {"type": "enabled"}}, True),
        ("glm-5.1", {"thinking": {"type": "disabled"}}, False),
        ("minimax2.7", {"enable_thinking": False}, True),
        ("claude-opus-4-6", {}, False),
        ("claude-opus-4-6", {"reasoning": {"max_tokens": 2048}}, True),
        ("claude-opus-4-6", {"thinking": {"type": "enabled"}}, False),
        ("claude-opus-4-6-thinking", {}, True),
        ("gemini-3-flash-preview", {}, False),
        (
            "gemini-3-flash-preview",
            {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}},
            True,
        ),
    ],
)
async def test_thinking_is_asked_for_the_model_s_way(
    client: Client, model: str, body: dict[str, Any], *, thinks: bool
) -> None:
    frames = await client.frames(model=model, **body)
    shown = joined(frames, "reasoning_content") + joined(frames, "reasoning")
    assert bool(shown) is thinks
