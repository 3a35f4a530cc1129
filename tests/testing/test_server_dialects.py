"""The dialects of servers and bridges: what each sends for the same reply."""

from typing import Any

import pytest

from aiotokengate.testing import Call, ScriptedReply
from tests.support.bare_client import SAID, Client, choices
from tests.support.dialects import (
    CALLED,
    A,
    called_in,
    deltas_of,
    detail,
    plain_message,
    tool_pieces,
    usage_place,
)

DELTAS: dict[str, list[Any]] = {
    "WanWu/Deepseek-Auto": [
        {**A, "content": ""},
        {"reasoning": "想"},
        {"reasoning": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "dialect/vllm-0.10": [
        {**A, "content": ""},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "dialect/vllm-0.11": [
        {**A, "content": ""},
        {"reasoning": "想", "reasoning_content": "想"},
        {"reasoning": "想", "reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
    ],
    "minimax2.7": [
        {**A, "content": ""},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "claude-opus-4-7": [
        {"content": "", "role": "assistant"},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"reasoning_content": "\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "gemini-3-flash-preview": [
        {"content": "", "role": "assistant"},
        {"reasoning_content": "想"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/openrouter": [
        {**A, "content": "", "reasoning": "想", "reasoning_details": [detail("想")]},
        {**A, "content": "", "reasoning": "想", "reasoning_details": [detail("想")]},
        {**A, "content": "好", "reasoning": None, "reasoning_details": []},
        {**A, "content": "😊", "reasoning": None, "reasoning_details": []},
        {**A, "content": "", "reasoning": None, "reasoning_details": []},
        {**A, "content": "", "reasoning": None, "reasoning_details": []},
    ],
    "dialect/think-in-content": [
        {**A, "content": None},
        {"content": "<think>\n"},
        {"content": "想"},
        {"content": "想"},
        {"content": "\n</think>\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/tag-swallowed": [
        {**A, "content": None},
        {"content": "想"},
        {"content": "想"},
        {"content": "</thi"},
        {"content": "nk>\n\n"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "dialect/gemini-compat": [
        {**A, "content": None},
        {"content": "<thought>"},
        {"content": "想", "extra_content": {"google": {"thought": True}}},
        {"content": "想", "extra_content": {"google": {"thought": True}}},
        {"content": "</thought>"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
}


@pytest.mark.parametrize("model", DELTAS)
async def test_each_dialect_shapes_its_deltas(client: Client, model: str) -> None:
    assert await deltas_of(client, model) == DELTAS[model]


USAGE_PLACES: dict[str, str] = {
    "WanWu/GLM-Auto": "alone",
    "minimax2.7": "alone",
    "claude-sonnet-4.5": "alone",
    "gemini-3.1-pro-preview": "alone",
    "dialect/openrouter": "beside a dummy choice",
}


@pytest.mark.parametrize("model", USAGE_PLACES)
async def test_usage_comes_last_and_where_the_dialect_puts_it(client: Client, model: str) -> None:
    assert await usage_place(client, model) == USAGE_PLACES[model]


PLAIN: dict[str, Any] = {
    "minimax2.7": {**A, "content": "好😊", "reasoning_content": "想想", "tool_calls": None},
    "claude-opus-4-7": {**A, "content": "好😊", "reasoning_content": "想想"},
    "dialect/think-in-content": {**A, "content": "<think>\n想想\n</think>\n好😊"},
    "dialect/tag-swallowed": {**A, "content": "想想</think>\n\n好😊"},
    "dialect/openrouter": {
        **A,
        "content": "好😊",
        "refusal": None,
        "reasoning": "想想",
        "reasoning_details": [detail("想想")],
    },
    "WanWu/Deepseek-Auto": {
        **A,
        "content": "好😊",
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": [],
        "reasoning": "想想",
    },
}


@pytest.mark.parametrize("model", PLAIN)
async def test_each_dialect_shapes_its_plain_message(client: Client, model: str) -> None:
    assert await plain_message(client, model) == PLAIN[model]


TOOL_PIECES: dict[str, list[Any]] = {
    "minimax2.7": [
        {"id": "call_1", "index": 0, "type": "function"},
        {"id": None, "index": 0, "type": "function"},
        {"id": None, "index": 0, "type": "function"},
    ],
    "claude-opus-4-7": [
        {"index": 1, "id": "call_1", "type": "function"},
        {"index": 1, "type": "function"},
        {"index": 1, "type": "function"},
    ],
    "gemini-3-flash-preview": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0, "id": "", "type": None},
    ],
    "dialect/openrouter": [{"index": None, "id": "call_1", "type": "function"}],
}


@pytest.mark.parametrize("model", TOOL_PIECES)
async def test_each_dialect_shapes_its_tool_calls(client: Client, model: str) -> None:
    assert await called_in(client, model) == TOOL_PIECES[model]


async def test_sglang_of_old_sends_every_key(client: Client) -> None:
    client.gateway.script(SAID)
    deltas = [choice["delta"] for choice in choices(await client.frames(model="deepseek3.2"))]
    empty = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
    texts = [{"reasoning_content": "想"}] * 2 + [{"content": "好"}, {"content": "😊"}, {}]
    assert deltas == [{**empty, **text} for text in [{**A, "content": ""}, *texts]]


async def test_claude_counts_its_calls_by_block(client: Client) -> None:
    calls = [Call("a"), Call("b")]
    client.gateway.script(ScriptedReply(reasoning="想", answer="查", tool_calls=calls))
    pieces = tool_pieces(await client.frames(model="claude-opus-4-7"))
    assert [piece["index"] for piece in pieces if piece.get("id")] == [2, 3]


async def test_gemini_compat_calls_have_no_index(client: Client) -> None:
    client.gateway.script(CALLED)
    pieces = tool_pieces(await client.frames(model="dialect/gemini-compat"))
    assert [("index" in piece, "extra_content" in piece) for piece in pieces] == [(False, True)]
