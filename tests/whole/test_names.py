"""Which row a name finds: the newest way for what is new, the old one for what is listed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate.catalogue import CATALOGUE, Model


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("claude-opus-4.7", "claude-*-4-7*"),
        ("claude-opus-4-7", "claude-*-4-7*"),
        ("Claude-Opus-4-7", "claude-*-4-7*"),
        ("anthropic/claude-opus-4.7", "claude-*-4-7*"),
        ("openrouter/anthropic/claude-opus-4.7:free", "claude-*-4-7*"),
        ("claude-opus-4-7@20260416", "claude-*-4-7*"),
        ("claude-opus-4-8[1m]", "claude-*-4-8*"),
        ("claude-opus-4-7-thinking", "claude-*-4-7*"),
        ("claude-opus-4-20250514", "claude-*-4"),
        ("claude-sonnet-4-0", "claude-*-4-0"),
        ("claude-opus-4-1-20250805", "claude-*-4-1"),
        ("claude-sonnet-4-5-20250929", "claude-*-4-5*"),
        ("claude-opus-4-5-20251101-thinking", "claude-opus-4-5*"),
        ("claude-3.7-sonnet-latest", "claude-3-7*"),
        ("claude-3-5-haiku-20241022", "claude-3-5*"),
        ("claude-opus-5-5-20261020", "claude-opus-5-5"),
        ("claude-sonnet-5.5", "claude-sonnet-5-5"),
        ("claude-mythos-preview", "claude-mythos-preview"),
        ("claude-fable-5-2", "claude-*"),
        ("claude-novella-7", "claude-*"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("openai/gpt-5.4-2026-03-05", "gpt-5.4*"),
        ("gpt-5-4-mini", "gpt-5.4-mini*"),
        ("gpt-5.5-pro-2026-04-23", "gpt-5.5-pro*"),
        ("GPT-5.2", "gpt-5.2*"),
        ("gpt-5-chat-latest", "gpt-5-chat*"),
        ("gpt-5.2-chat-latest", "gpt-5?[123]-chat*"),
        ("gpt-4o-2024-08-06", "gpt-4*"),
        ("gpt-6.2-astra", "gpt-*"),
        ("gpt-9", "gpt-*"),
        ("gemini-3-flash-preview", "gemini-3-flash*"),
        ("gemini-2.5-flash-preview-09-2025", "gemini-2.5*"),
        ("google/gemini-2.5-pro", "gemini-2.5-pro*"),
        ("gemini-flash-latest", "gemini-*"),
        ("grok-4.1-fast-non-reasoning", "grok-*non-reasoning*"),
        ("grok-4-1-fast-reasoning", "grok-4-1*"),
        ("grok-4-0709", "grok-4"),
        ("grok-latest", "grok-latest"),
        ("grok-8", "grok-*"),
        ("DeepSeek-V4-Pro", "deepseek*"),
        ("deepseek/deepseek-r1-0528:free", "*deepseek-r1*"),
        ("deepSeek-chat", "deepseek*"),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", "*qwen3*-thinking*"),
        ("Qwen3.6-Plus", "qwen3.6*"),
        ("zai/GLM-5.1", "glm-5?[01]*"),
        ("glm-5.2", "glm-5.2*"),
        ("GLM-5.3-Flash", "glm-5?[3-9]*"),
        ("glm-7", "glm-*"),
        ("MiniMax-M2.5", "minimax-m[12]*"),
        ("minimax2.7", "minimax[12]*"),
        ("MiniMax-M3", "minimax-m3"),
        ("MiniMax-M3.1-Flash", "minimax*"),
        # The operator's own, which have a slash of their own.
        ("WanWu/Deepseek-Auto", "WanWu/Deepseek*"),
        ("wanwu/GLM-Auto", "WanWu/*"),
        ("小微同学", "*"),
        ("", "*"),
        ("/", "*"),
        ("-latest", "*"),
    ],
)
def test_a_name_finds_its_row(name: str, pattern: str) -> None:
    assert CATALOGUE.find(name).pattern == pattern


@pytest.mark.parametrize(
    ("names", "protocol", "way", "refuses", "off"),
    [
        ("claude-3-5-haiku claude-2.1", "messages", "none", (), "yes"),
        ("claude-sonnet-4 claude-haiku-4.5", "messages", "claude_budget", (), "yes"),
        ("claude-opus-4-6 claude-sonnet-4.6", "messages", "claude_either", (), "yes"),
        (
            "claude-opus-4-7 claude-opus-4-8 claude-sonnet-5 claude-opus-5 claude-haiku-5-5",
            *("messages", "claude_adaptive", ("sampling",), "yes"),
        ),
        (
            "claude-fable-5 claude-mythos-5 claude-mythos-preview",
            *("messages", "claude_adaptive", ("sampling",), "no"),
        ),
        (
            "claude-sonnet-5-5",
            *("messages", "claude_adaptive", ("sampling", "forced_tool"), "between_tools"),
        ),
        (
            "claude-opus-5-5 claude-fable-5-1 claude-mythos-5-1 claude-fable-5-2 claude-new-6",
            *("messages", "claude_adaptive", ("sampling", "forced_tool"), "no"),
        ),
        (
            "gpt-5-pro gpt-5.4-pro gpt-5.5-pro gpt-7-pro gpt-5-codex gpt-6-cyber gpt-6-rosalind",
            *("responses", "effort", (), "no"),
        ),
        (
            "gpt-rosalind-research gpt-6.2-astra-law gpt-daybreak-1 gpt-8-computer-use o3-pro",
            *("responses", "effort", (), "no"),
        ),
        ("gpt-5.3-codex", "responses", "effort", (), "yes"),
        (
            "o3-deep-research o4-mini-deep-research gpt-6-deep-research",
            *("responses", "effort", ("schema", "forced_tool"), "no"),
        ),
        ("gpt-5.1 gpt-5.2 gpt-5.4 gpt-5.5 gpt-5.6-luna gpt-6-sol", "chat", "effort", (), "yes"),
        ("gpt-5 gpt-5-mini gpt-5.2-chat-latest gpt-6-astra gpt-9", "chat", "effort", (), "no"),
        ("gpt-5-chat-latest gpt-4o chatgpt-4o-latest", "chat", "none", (), "yes"),
        ("gemini-2.5-flash gemini-2.5-flash-lite", "chat", "gemini_chat", (), "yes"),
        ("gemini-2.5-pro gemini-3-pro gemini-3.5-flash", "chat", "gemini_chat", (), "no"),
        (
            "gemini-3.5-flash-lite gemini-3.6-flash gemini-3.8-flash gemini-4-argon gemini-6",
            *("chat", "gemini_chat", ("sampling",), "no"),
        ),
        ("gemini-3-pro-image-preview", "chat", "always", (), "no"),
        ("grok-4.3", "chat", "effort", (), "yes"),
        ("grok-4.5 grok-4.7 grok-9", "chat", "effort", (), "no"),
        ("grok-4.20-multi-agent", "responses", "by_name", (), "yes"),
        ("deepseek-v4-flash deepseek-v9", "chat", "deepseek", ("n", "schema"), "yes"),
        ("glm-4.7 glm-5.1", "chat", "glm", ("stops", "schema"), "yes"),
        ("glm-5.3 glm-6", "chat", "effort", ("stops", "schema"), "no"),
        ("qwen3.8-max qwen9", "chat", "enable_thinking", (), "yes"),
        ("minimax2.5", "chat", "always", (), "no"),
        ("minimax-m3.1-flash minimax-m5", "chat", "effort", ("forced_tool",), "no"),
    ],
)
def test_what_is_known_of_a_model(
    names: str, protocol: str, way: str, refuses: tuple[str, ...], off: str
) -> None:
    for name in names.split():
        row = CATALOGUE.find(name)
        asked = row.native_thinking if row.family == "Anthropic" else row.thinking
        assert (row.protocol, asked, row.refuses, row.off) == (protocol, way, refuses, off), name


def test_functions_go_over_responses_from_5_4_on() -> None:
    apart = [CATALOGUE.find(name).tools_protocol for name in ("gpt-5.4", "gpt-6-astra", "gpt-9")]
    assert apart == ["responses"] * 3
    assert CATALOGUE.find("gpt-5.2").tools_protocol is None


@given(st.text(max_size=30))
def test_any_name_finds_something(name: str) -> None:
    assert isinstance(CATALOGUE.find(name), Model)


def test_each_row_has_its_source_and_date() -> None:
    assert all(row.source and row.as_of >= "2026-11" for row in CATALOGUE.rows)


def test_no_row_is_hidden_by_one_before_it() -> None:
    """A row that no name can reach is one too many."""
    for place, row in enumerate(CATALOGUE.rows):
        name = re.sub(r"\[(.).*?\]", r"\1", row.pattern.replace("*", "").replace("?", "."))
        found = CATALOGUE.find(name)
        assert found is row or CATALOGUE.rows.index(found) > place, (row.pattern, found.pattern)
