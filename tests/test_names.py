"""Which row a name finds: the newest way for what is new, the old one for what is listed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiotokengate.catalogue import CATALOGUE, UNKNOWN, Catalogue, Model, bare_name


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
        ("claude-sonnet-4-0", "claude-*-4-[01]"),
        ("claude-opus-4-1-20250805", "claude-*-4-[01]"),
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


def test_rows_of_ones_own_come_first_and_as_they_are_written() -> None:
    rows = (
        Model("House/GPT-5.4-2026-03-05", "House", "qwen"),
        Model("My.Claude-*", "House", "glm"),
        Model("gpt-5.*", "House"),
    )
    own = CATALOGUE.extended(*rows)
    assert own.find("house/gpt-5-4-2026-03-05") is rows[0]
    assert own.find("House/GPT-5.4-2026-03-05") is rows[0]
    assert own.find("my.claude-x") is rows[1]
    assert own.find("gpt-5.7") is rows[2]
    assert own.find("gpt-4o").family == "OpenAI"


def test_it_is_looked_up_once() -> None:
    catalogue = Catalogue((Model("a*", "A"),))
    assert catalogue.find("abc") is catalogue.find("abc")
    for number in range(3_000):
        catalogue.find(f"b{number}")
    assert catalogue.find("b2999") is UNKNOWN
    assert len(catalogue._found) <= 1_024  # what users type does not fill the memory


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-5.5", "openai/gpt-5-5-2026-04-23", True),
        ("Claude-Opus-4.7", "claude-opus-4-7@20260416", True),
        ("claude-opus-4-7", "claude-opus-4-8", False),
        ("gemini-3-flash-preview", "gemini-3-flash", True),
        ("claude-opus-4-7", "claude-opus-4-7-v1:0", True),
        ("glm-4.7", "glm-47", False),
    ],
)
def test_two_names_of_one_model(one: str, other: str, same: bool) -> None:
    assert (bare_name(one) == bare_name(other)) is same


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
