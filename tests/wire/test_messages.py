"""Anthropic's Messages: what is sent."""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import pytest

from aiotokengate import CallerError
from aiotokengate._wire.messages import encode_messages
from aiotokengate._wire.question import Question
from aiotokengate.catalogue import CATALOGUE, UNKNOWN
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
    assert sent["max_tokens"] == (most or CATALOGUE.find(model).most_tokens)


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


# --- each parameter -----------------------------------------------------------------------------

HI = [{"role": "user", "content": "嗨 👋"}]


def changed(**given: Any) -> dict[str, Any]:
    """Return what parameters put into the body, and hold that nothing is noted."""
    result = encoded(HI, OLD, **given)
    assert result.notes == ()
    sent: dict[str, Any] = orjson.loads(result.body)
    plain = body(HI, OLD)
    return {key: value for key, value in sent.items() if plain.get(key) != value}


def test_a_request_without_parameters() -> None:
    row = CATALOGUE.find(OLD)
    assert body(HI, OLD) == {
        "model": OLD,
        "max_tokens": row.most_tokens,
        "messages": [{"role": "user", "content": "嗨 👋"}],
        "stream": True,
    }
    whole = orjson.loads(encode_messages(Question(OLD, HI, stream=False, row=row)).body)
    assert "stream" not in whole
    assert (
        Question("?", HI).row.most_tokens
        == orjson.loads(encode_messages(Question("?", HI)).body)["max_tokens"]
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.5),
        ("top_p", 0.5),
        ("top_k", 5),
        ("metadata", {"a": 1}),
        ("service_tier", "auto"),
        ("thinking", {"type": "disabled"}),
        ("output_config", {"effort": "low"}),
    ],
)
def test_parameters_that_stay_as_they_are(name: str, value: object) -> None:
    assert changed(**{name: value}) == {name: value}


@pytest.mark.parametrize(
    ("given", "put"),
    [
        ({"stop": "完"}, {"stop_sequences": ["完"]}),
        ({"stop": ("完", "了")}, {"stop_sequences": ["完", "了"]}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_tokens": 6}),
        ({"n": 1, "stream_options": {"include_usage": True}}, {}),
        ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
        ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": "some"}, {"tool_choice": {"type": "some"}}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "tool", "name": "f"}},
        ),
        (
            {"tool_choice": {"type": "function", "function": {}}},
            {"tool_choice": {"type": "tool", "name": None}},
        ),
        (
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"parallel_tool_calls": True}, {}),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
        ),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"metadata": {"a": 1}, "user": "u"}, {"metadata": {"a": 1, "user_id": "u"}}),
        ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
        (
            {
                "reasoning_effort": "low",
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}},
            },
            {
                "output_config": {
                    "effort": "low",
                    "format": {"type": "json_schema", "schema": {"a": 1}},
                }
            },
        ),
        (
            {"response_format": {"type": "json_schema"}},
            {"output_config": {"format": {"type": "json_schema", "schema": None}}},
        ),
        ({"response_format": {"type": "json_object"}}, {}),
        ({"extra_body": ({"x": 1}, None, {"max_tokens": 3})}, {"x": 1, "max_tokens": 3}),
    ],
)
def test_parameters_that_take_another_form(given: dict[str, Any], put: dict[str, Any]) -> None:
    assert changed(**given) == put


def test_tools() -> None:
    own = {"type": "web_search_20250305", "name": "web_search"}
    odd = {"type": "function", "function": "f"}
    bare = {"type": "function", "function": {"name": "f", "x": 1}, "y": 2}
    none = {"type": "function", "function": {"name": "f", "parameters": None}, "strict": False}
    empty = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    assert body(HI, tools=[own, odd, bare, none])["tools"] == [
        *(own, odd, empty),
        {**empty, "strict": False},
    ]


def test_what_is_refused_while_thinking_is_left_out_and_noted() -> None:
    def cooled(thinking: Any, **given: Any) -> tuple[list[str], list[str]]:
        result = encoded(HI, OLD, thinking=thinking, **given)
        suffix = "is refused while thinking and was left out"
        for note in result.notes:
            assert note.endswith(suffix)
        names = [note.split("'")[1] for note in result.notes]
        return [name for name in given if name in orjson.loads(result.body)], names

    on = {"type": "enabled", "budget_tokens": 2_048}
    every = {"temperature": 0.0, "top_k": 5, "top_p": 0.9}
    assert cooled(on, **every) == ([], ["temperature", "top_k", "top_p"])
    assert cooled({"type": "disabled"}, **every) == (list(every), [])
    assert cooled("on", **every) == (list(every), [])
    assert cooled({}, **every) == ([], list(every))
    assert cooled(on, top_p=0.95) == (["top_p"], [])
    assert cooled(on, top_p=0.949) == ([], ["top_p"])
    assert cooled(on, top_p="1") == ([], ["top_p"])
    assert cooled(on, temperature=1.5, top_p=1) == (["top_p"], ["temperature"])


# --- each message -------------------------------------------------------------------------------


def test_system_messages_stand_where_the_model_takes_them() -> None:
    turns: list[Any] = [
        {"role": "system", "content": "一"},
        {"role": "developer", "content": "二"},
        {"role": "user", "content": "嗨"},
        {"role": "system", "content": "三"},
        {"role": "assistant", "content": "好"},
    ]

    def sent(where: Any) -> Any:
        row = attrs.evolve(UNKNOWN, system=where)
        made = orjson.loads(encode_messages(Question("m", turns, row=row)).body)
        return made["system"], [(turn["role"], turn["content"]) for turn in made["messages"]]

    first, second, third = ({"type": "text", "text": text} for text in "一二三")
    assert sent("anywhere") == (
        [first, second],
        [("user", "嗨"), ("system", "三"), ("assistant", "好")],
    )
    assert sent(UNKNOWN.system) == ([first, second, third], [("user", "嗨"), ("assistant", "好")])
    assert "system" not in body(HI)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": "http://127.0.0.1/a"},
            ("image", "http://127.0.0.1/a"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a", "detail": "low"}},
            ("image", "http://127.0.0.1/a"),
        ),
        (
            {"type": "file", "file": {"url": "http://127.0.0.1/a"}},
            ("document", "http://127.0.0.1/a"),
        ),
        (
            {
                "type": "file",
                "file": {"file_id": "", "file_data": "http://127.0.0.1/a", "url": "?"},
            },
            ("document", "http://127.0.0.1/a"),
        ),
    ],
)
def test_what_has_an_address(part: dict[str, Any], block: tuple[str, str]) -> None:
    kind, url = block
    cache = {"cache_control": {"type": "ephemeral"}}
    plain = {"type": kind, "source": {"type": "url", "url": url}}
    sent = body([{"role": "user", "content": [part, {**part, **cache}]}])
    assert sent["messages"][0]["content"] == [plain, {**plain, **cache}]


def test_blocks_of_the_vendors_own_form_stay_as_they_are() -> None:
    own = [{"type": "search_result", "x": 1}, {"type": "text", "text": "好", "citations": []}]
    for block in own:
        assert body([{"role": "user", "content": [block]}])["messages"][0]["content"] == [block]
    other = {"type": "note", "text": "好"}
    assert body([{"role": "user", "content": [other]}])["messages"][0]["content"] == [other]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ({"type": "video_url"}, "as text, image_url or file over Messages, got 'video_url'"),
        ({"type": "input_audio"}, "as text, image_url or file over Messages, got 'input_audio'"),
        ({"type": "file", "file": "?"}, "to have an address, got NoneType"),
        ({"type": "file"}, "to have an address, got NoneType"),
        ({"type": "image_url", "image_url": 7}, "to have an address, got int"),
    ],
)
def test_a_part_that_cannot_be_said_is_named_by_its_place(part: Any, error: str) -> None:
    with pytest.raises(CallerError) as raised:
        body([*HI, {"role": "user", "content": ["好", part]}])
    assert str(raised.value) == f"expected messages[1].content[1] {error}"


def test_white_space_alone_is_left_out_of_the_assistants_turns_only() -> None:
    blank = {"type": "text", "text": " \n"}
    thought = {"type": "thinking", "thinking": " ", "signature": "S"}
    native = {"protocol": "messages", "content": [blank, thought, "?", {"type": "text"}]}
    said = [
        {"role": "user", "content": [blank, "好"]},
        {"role": "assistant", "content": [blank, {"type": "image_url", "image_url": "u"}]},
        {"role": "user", "content": "再"},
        {"role": "assistant", "native": native},
    ]
    user, first, _, second = body(said)["messages"]
    assert user["content"] == [blank, {"type": "text", "text": "好"}]
    assert first["content"] == [{"type": "image", "source": {"type": "url", "url": "u"}}]
    assert second["content"] == [thought, "?", {"type": "text"}]


def test_calls_and_results() -> None:
    calls = [
        {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "function": {"name": "g", "arguments": ""}},
        {},
    ]
    said = [
        {"role": "assistant", "content": "查", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": None},
        {"role": "tool", "content": [{"type": "image_url", "image_url": "u"}]},
    ]
    assistant, user = body(said)["messages"]
    assert assistant == {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "查"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            {"type": "tool_use", "id": None, "name": None, "input": {}},
        ],
    }
    image = {"type": "image", "source": {"type": "url", "url": "u"}}
    assert user == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": ""},
            {"type": "tool_result", "tool_use_id": "b", "content": []},
            {"type": "tool_result", "tool_use_id": None, "content": [image]},
        ],
    }
