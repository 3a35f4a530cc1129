"""The features of a request that a vendor may refuse, alike in all protocols."""

from typing import Any

import pytest

from aiotokengate.testing._chat_request import ChatRequest, read_chat
from aiotokengate.testing._features import (
    features_of_chat,
    features_of_gemini,
    features_of_messages,
    plain_name,
)


def asked(**body: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "在吗？"}]
    return read_chat({"model": "gpt-5", "messages": messages, **body})


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("anthropic/Claude-Opus-4.7", "claude-opus-4-7"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("claude-opus-4-6-thinking", "claude-opus-4-6"),
    ],
)
def test_a_plain_name_has_no_maker_date_or_ending(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_only_what_changes_something_is_sampling() -> None:
    usual = features_of_chat(asked(temperature=1, top_p=None, logit_bias={}))
    other = features_of_chat(asked(temperature=0, top_k=5), "responses")
    assert (usual.sampling, usual.protocol, usual.configured) == ((), "chat", False)
    assert (other.sampling, other.protocol) == (("temperature", "top_k"), "responses")


def test_thinking_is_read_from_each_protocol() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    chat = features_of_chat(asked(thinking=thinking, reasoning_effort="High"))
    assert (chat.thinking, chat.budget, chat.effort) == ("enabled", 1024, "high")
    body = {"thinking": thinking, "output_config": {"effort": "low"}}
    messages = features_of_messages(asked(), body)
    assert (messages.thinking, messages.budget, messages.effort) == ("enabled", 1024, "low")
    gemini = features_of_gemini(asked(), {}, {"budget": 0, "level": "LOW"})
    assert (gemini.budget, gemini.effort, gemini.configured) == (0, "low", True)
    assert not features_of_gemini(asked(), {}, None).configured


def test_tools_and_the_beginning_of_the_answer_are_seen() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    forced = features_of_chat(asked(tools=[tool], tool_choice="required"))
    assert (forced.tools, forced.forced, forced.prefill) == (True, True, False)
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert features_of_chat(asked(messages=messages)).prefill
