"""Anthropic's Messages: what is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CallerError
from aiotokengate._wire.messages import encode_messages
from aiotokengate._wire.question import Question
from aiotokengate.catalogue import CATALOGUE
from tests.wire.test_messages_reply import BLOCKS, EVENTS, MODEL, folded, read

OLD = "claude-sonnet-4.5"


def encoded(messages: list[Any], model: str = MODEL, **more: Any) -> Any:
    reasoning, extra = more.pop("reasoning", None), more.pop("extra_body", ())
    row = CATALOGUE.find(model)
    question = Question(model, messages, more, reasoning=reasoning, row=row, extra_body=extra)
    return encode_messages(question)


def body(messages: list[Any], model: str = MODEL, **more: Any) -> Any:
    return orjson.loads(encoded(messages, model, **more).body)


def test_a_text_alone_is_sent_as_it_is() -> None:
    turns: list[Any] = [
        {"role": "system", "content": [{"type": "text", "text": "简短"}]},
        {"role": "user", "content": "你好 👋"},
        {"role": "assistant", "content": "好 🌱"},
        {"role": "user", "content": [{"type": "text", "text": "再说"}]},
    ]
    sent = body(turns)
    assert sent["system"] == "简短"
    assert [turn["content"] for turn in sent["messages"]] == ["你好 👋", "好 🌱", "再说"]


@pytest.mark.parametrize("native", [True, False])
def test_a_text_of_white_space_alone_does_not_go_back(native: bool) -> None:
    """Claude writes one before a call, and Anthropic refuses it."""
    blank, use = {"type": "text", "text": "\n\n"}, {"type": "tool_use", "id": "c", "name": "f"}
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    turn: dict[str, Any] = {"role": "assistant", "content": "\n\n", "tool_calls": [call]}
    if native:
        turn["native"] = {"protocol": "messages", "content": [blank, use | {"input": {}}]}
    messages = [{"role": "user", "content": "好 🙂"}, turn]
    assert body(messages)["messages"][1]["content"] == [use | {"input": {}}]


def test_what_is_more_than_text_is_sent_as_blocks() -> None:
    cached = {"type": "text", "text": "你好 👋", "cache_control": {"type": "ephemeral"}}
    turns: list[Any] = [
        {"role": "system", "content": [cached]},
        {"role": "user", "content": [cached]},
        {"role": "user", "content": "嗨"},
    ]
    sent = body(turns)
    assert sent["system"] == [cached]
    assert sent["messages"][0]["content"] == [cached, {"type": "text", "text": "嗨"}]


def test_a_tool_keeps_what_anthropic_knows() -> None:
    more = {
        "strict": True,
        "defer_loading": True,
        "eager_input_streaming": True,
        "allowed_callers": ["direct"],
        "input_examples": [{"城市": "北京"}],
    }
    function = {"name": "f", "parameters": {"type": "object"}}
    inside = {"type": "function", "function": {**function, **more}}
    beside = {"type": "function", "function": function, **more, "cache_control": {"type": "a"}}
    first, second = body([{"role": "user", "content": "嗨"}], tools=[inside, beside])["tools"]
    plain = {"name": "f", "input_schema": {"type": "object"}}
    assert first == {**plain, **more}
    assert second == {**plain, **more, "cache_control": {"type": "a"}}


@pytest.mark.parametrize(("top_p", "kept"), [(0.5, False), (0.95, True), (1, True)])
def test_a_small_top_p_is_refused_while_thinking(top_p: float, kept: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_048}
    sent = encoded([{"role": "user", "content": "嗨"}], top_p=top_p, thinking=thinking)
    assert ("top_p" in orjson.loads(sent.body)) is kept
    assert bool(sent.notes) is not kept


def test_a_whole_request() -> None:
    messages = [
        {"role": "system", "content": "简短"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "看 👀", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                {"type": "image_url", "image_url": "https://a.example/b.png"},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
                {"type": "file", "file": {"file_id": "f1"}},
            ],
        },
        {"role": "user", "content": "快"},
    ]
    tool = {
        "type": "function",
        "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
    }
    result = encoded(
        messages,
        max_tokens=100,
        temperature=0.5,
        top_p=None,
        stop="完",
        seed=3,
        user="u",
        tools=[tool, {"type": "web_search_20250305", "name": "web_search"}],
        parallel_tool_calls=False,
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_schema", "json_schema": {"schema": {"a": 1}}},
        extra_body=({"service_tier": "auto"}, None),
    )
    assert result.path == "/messages"
    assert result.headers == {"anthropic-version": "2023-06-01"}
    assert result.notes == ("parameter 'seed' is not part of this protocol and was left out",)
    assert orjson.loads(result.body) == {
        "model": MODEL,
        "max_tokens": 100,
        "system": "简短",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "看 👀", "cache_control": {"type": "ephemeral"}},
                    {
                        "type": "image",
                        "source": {
                            "type": "base64",
                            "media_type": "image/png",
                            "data": "iVBO",
                        },
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
                    {
                        "type": "document",
                        "source": {
                            "type": "base64",
                            "media_type": "application/pdf",
                            "data": "JVBE",
                        },
                    },
                    {"type": "document", "source": {"type": "file", "file_id": "f1"}},
                    {"type": "text", "text": "快"},
                ],
            }
        ],
        "stream": True,
        "temperature": 0.5,
        "stop_sequences": ["完"],
        "metadata": {"user_id": "u"},
        "tools": [
            {"name": "f", "description": "d", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}},
        "service_tier": "auto",
    }


def test_blocks_go_back_as_they_came() -> None:
    turn = folded(read(*EVENTS)).message()
    results = [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "晴 ☀️"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": [{"type": "text", "text": "雨"}]},
    ]
    sent = body([{"role": "user", "content": "天气？"}, turn, *results])["messages"]
    assert sent[1] == {"role": "assistant", "content": BLOCKS}
    assert sent[2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "晴 ☀️"},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_2",
                "content": [{"type": "text", "text": "雨"}],
            },
        ],
    }


def test_a_turn_of_another_protocol_is_said_anew() -> None:
    function = {"name": "f", "arguments": '{"a": 1}'}
    turn = {
        "role": "assistant",
        "content": None,
        "reasoning_content": "想",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
        "native": {"protocol": "gemini", "content": [{"text": "x"}]},
    }
    sent = body([{"role": "user", "content": "嗨"}, turn])["messages"]
    assert sent[1]["content"] == [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]


@pytest.mark.parametrize(
    ("model", "reasoning", "most", "fields"),
    [
        (OLD, "low", 40_000, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        (OLD, 5000, None, {"thinking": {"type": "enabled", "budget_tokens": 5000}}),
        (OLD, 5000, 2000, {"thinking": {"type": "enabled", "budget_tokens": 1600}}),
        (OLD, "high", 1000, {}),
        (OLD, "off", None, {"thinking": {"type": "disabled"}}),
        (
            MODEL,
            "medium",
            None,
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "medium"},
            },
        ),
        (MODEL, 3000, 40_000, {"thinking": {"type": "enabled", "budget_tokens": 3000}}),
        (
            "claude-opus-4-7",
            3000,
            40_000,
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "low"},
            },
        ),
    ],
)
def test_thinking(model: str, reasoning: Any, most: int | None, fields: dict[str, Any]) -> None:
    sent = body([{"role": "user", "content": "嗨"}], model, reasoning=reasoning, max_tokens=most)
    assert {key: sent[key] for key in ("thinking", "output_config") if key in sent} == fields
    assert sent["max_tokens"] == most or 32_000


def test_while_thinking_there_is_no_temperature() -> None:
    result = encoded([{"role": "user", "content": "嗨"}], reasoning="low", temperature=0.2)
    assert "temperature" not in orjson.loads(result.body)
    assert result.notes == ("parameter 'temperature' is refused while thinking and was left out",)


def test_choices_and_efforts() -> None:
    messages = [{"role": "user", "content": "嗨"}]
    assert body(messages, tool_choice="required")["tool_choice"] == {"type": "any"}
    own = {"type": "tool", "name": "f"}
    assert body(messages, tool_choice=own)["tool_choice"] == own
    assert body(messages, parallel_tool_calls=True).get("tool_choice") is None
    assert body(messages, reasoning_effort="max")["output_config"] == {"effort": "max"}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "user", "content": [{"type": "input_audio"}]},
            r"messages\[0\].content\[0\] as text, image_url or file over Messages",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {}}]},
            r"expected messages\[0\].content\[0\] to have an address, got NoneType",
        ),
        ({"role": "user", "content": [7]}, r"messages\[0\].content\[0\] as a content part"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]},
            r"expected JSON as arguments of a tool call in messages\[0\]",
        ),
    ],
)
def test_what_cannot_be_said_is_named(message: dict[str, Any], error: str) -> None:
    with pytest.raises(CallerError, match=error):
        body([message])


def test_there_is_one_choice() -> None:
    with pytest.raises(CallerError, match="expected n=1 over Anthropic's Messages, got 2"):
        body([{"role": "user", "content": "嗨"}], n=2)
