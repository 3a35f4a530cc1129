"""The dialects of the vendors' own clouds: what each sends for the same reply."""

from typing import Any

import pytest

from tests.support.bare_client import SAID, Client, choices
from tests.support.dialects import (
    CALLED,
    A,
    called_in,
    deltas_of,
    plain_message,
    tool_pieces,
    usage_place,
)

DELTAS: dict[str, list[Any]] = {
    "qwen3.6-plus": [
        {"content": None, "role": "assistant", "reasoning_content": ""},
        {"content": None, "reasoning_content": "想"},
        {"content": None, "reasoning_content": "想"},
        {"content": "好", "reasoning_content": None},
        {"content": "😊", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ],
    "deepseek-v4-pro": [
        {"role": "assistant", "content": None, "reasoning_content": ""},
        {"content": None, "reasoning_content": "想"},
        {"content": None, "reasoning_content": "想"},
        {"content": "好", "reasoning_content": None},
        {"content": "😊", "reasoning_content": None},
        {"content": "", "reasoning_content": None},
    ],
    "glm-4.7": [
        {**A, "reasoning_content": "想"},
        {**A, "reasoning_content": "想"},
        {**A, "content": "好"},
        {**A, "content": "😊"},
        {**A, "content": ""},
    ],
    "grok-code-fast-1": [
        {"reasoning_content": "想", "role": "assistant"},
        {"reasoning_content": "想"},
        {"content": "好"},
        {"content": "😊"},
        {},
    ],
    "grok-4-1-fast-reasoning": [
        {"content": "好", "role": "assistant"},
        {"content": "😊"},
        {},
    ],
}


@pytest.mark.parametrize("model", DELTAS)
async def test_each_dialect_shapes_its_deltas(client: Client, model: str) -> None:
    assert await deltas_of(client, model) == DELTAS[model]


USAGE_PLACES: dict[str, str] = {
    "qwen3.6-plus": "alone",
    "deepseek-v4-pro": "with the finish",
    "glm-5.1": "with the finish",
    "grok-code-fast-1": "alone",
}


@pytest.mark.parametrize("model", USAGE_PLACES)
async def test_usage_comes_last_and_where_the_dialect_puts_it(client: Client, model: str) -> None:
    assert await usage_place(client, model) == USAGE_PLACES[model]


PLAIN: dict[str, Any] = {
    "qwen3.6-plus": {**A, "content": "好😊", "reasoning_content": "想想"},
    "deepseek-v4-pro": {**A, "content": "好😊", "reasoning_content": "想想"},
    "glm-4.7": {**A, "content": "好😊", "reasoning_content": "想想"},
    "grok-code-fast-1": {**A, "content": "好😊", "reasoning_content": "想想"},
    "minimax2.5": {
        **A,
        "content": "<think>\n想想\n</think>\n\n好😊",
        "name": "MiniMax AI",
        "audio_content": "",
    },
}


@pytest.mark.parametrize("model", PLAIN)
async def test_each_dialect_shapes_its_plain_message(client: Client, model: str) -> None:
    assert await plain_message(client, model) == PLAIN[model]


TOOL_PIECES: dict[str, list[Any]] = {
    "qwen3.6-plus": [
        {"index": 0, "id": "call_1", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
        {"index": 0, "id": "", "type": "function"},
    ],
    "glm-4.7": [{"id": "call_1", "index": 0, "type": "function"}],
    "grok-code-fast-1": [{"id": "call_1", "index": 0, "type": "function"}],
}


@pytest.mark.parametrize("model", TOOL_PIECES)
async def test_each_dialect_shapes_its_tool_calls(client: Client, model: str) -> None:
    assert await called_in(client, model) == TOOL_PIECES[model]


async def test_minimax_cuts_its_tags_and_repeats_everything_at_the_end(client: Client) -> None:
    client.gateway.script(SAID)
    *frames, last = await client.frames(model="minimax2.5")
    pieces = [choice["delta"]["content"] for choice in choices(frames)]
    assert pieces == ["<th", "ink>\n", "想", "想", "\n</thi", "nk>\n\n", "好", "😊", ""]
    assert [choice["delta"]["role"] for choice in choices(frames)] == ["assistant"] + [""] * 8
    assert all(frame["usage"]["total_tokens"] == 0 for frame in frames)
    assert last["object"] == "chat.completion"
    assert last["choices"][0]["message"]["content"] == "".join(pieces)
    assert last["usage"]["completion_tokens"] == 4


async def test_minimax_splits_when_asked(client: Client) -> None:
    client.gateway.script(SAID)
    *frames, last = await client.frames(model="minimax2.5", reasoning_split=True)
    details = [choice["delta"].get("reasoning_details") for choice in choices(frames)]
    assert [rows[0]["text"] for rows in details if rows] == ["想", "想"]
    assert last["choices"][0]["message"]["content"] == "好😊"
    client.gateway.script(SAID)
    plain = await client.plain(model="minimax2.5", reasoning_split=True)
    message = plain["choices"][0]["message"]
    assert (message["content"], message["reasoning_details"][0]["text"]) == ("好😊", "想想")


async def test_xai_counts_reasoning_beside_completion(client: Client) -> None:
    client.gateway.script(SAID)
    usage = (await client.plain(model="grok-4-1-fast-reasoning"))["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 2)
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2
    assert usage["total_tokens"] == 13


async def test_minimax_repeats_its_calls_at_the_end(client: Client) -> None:
    client.gateway.script(CALLED)
    *frames, last = await client.frames(model="minimax2.5")
    (piece,) = tool_pieces(frames)
    (again,) = last["choices"][0]["message"]["tool_calls"]
    assert piece == {**again, "index": 0}
