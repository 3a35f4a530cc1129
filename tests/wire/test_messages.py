"""Anthropic's Messages: what is sent, what comes, what goes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    CitationDelta,
    FinishDelta,
    ReasoningDelta,
    Reply,
)
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.messages import encode_messages
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.problems import find_problem
from aiotokengate._wire.question import Question
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.types import Delta
from tests.support.common import About

MODEL = "claude-opus-4-6"
OLD = "claude-sonnet-4.5"

# The shape of a recorded exchange: a ping, a signed thought, a redacted one, text, a call.
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 424,
                "cache_creation_input_tokens": 10,
                "cache_read_input_tokens": 100,
                "output_tokens": 5,
                "service_tier": "standard",
            },
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {"type": "ping"},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "用户想"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "知道 🌦️"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "EtYD"},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "redacted_thinking", "data": "c2VjcmV0"},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "text", "text": ""},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "text_delta", "text": "我查一下。"},
    },
    {"type": "content_block_stop", "index": 2},
    {
        "type": "content_block_start",
        "index": 3,
        "content_block": {
            "type": "tool_use",
            "id": "toolu_1",
            "name": "weather",
            "input": {},
            "caller": {"type": "direct"},
        },
    },
    {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "input_json_delta", "partial_json": ""},
    },
    {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "input_json_delta", "partial_json": '{"city": "北'},
    },
    {
        "type": "content_block_delta",
        "index": 3,
        "delta": {"type": "input_json_delta", "partial_json": '京"}'},
    },
    {"type": "content_block_stop", "index": 3},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 119},
    },
    {"type": "message_stop"},
]
BLOCKS = [
    {"type": "thinking", "thinking": "用户想知道 🌦️", "signature": "EtYD"},
    {"type": "redacted_thinking", "data": "c2VjcmV0"},
    {"type": "text", "text": "我查一下。"},
    {
        "type": "tool_use",
        "id": "toolu_1",
        "name": "weather",
        "input": {"city": "北京"},
        "caller": {"type": "direct"},
    },
]


def read(*frames: object) -> MessagesDecoder:
    decoder = MessagesDecoder(Transcript())
    for frame in frames:
        decoder.feed(frame if isinstance(frame, bytes) else orjson.dumps(frame))
    decoder.end()
    return decoder


def folded(decoder: MessagesDecoder) -> Reply:
    log = decoder.transcript
    status = "complete" if log.complete else "interrupted"
    return fold(log, DIALECTS["claude"], About(status))  # type: ignore[arg-type]


def deltas(*frames: object) -> list[Delta]:
    log = read(*frames).transcript
    return [log.delta(at) for at in range(len(log))]


def text_block(*pieces: str, begin: str = "") -> list[dict[str, Any]]:
    block = {"type": "text", "text": begin}
    return [
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece},
            }
            for piece in pieces
        ),
    ]


def ending(reason: str) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}}


# --- the reply ----------------------------------------------------------------------------------


def check_recorded(decoder: MessagesDecoder) -> None:
    reply = folded(decoder)
    assert (reply.reasoning, reply.answer) == ("用户想知道 🌦️", "我查一下。")
    (call,) = reply.tool_calls
    assert (call.id, call.name, call.parse()) == ("toolu_1", "weather", {"city": "北京"})
    assert (reply.finish_reason, reply.status) == ("tool_calls", "complete")
    assert (reply.id, reply.model) == ("msg_1", MODEL)
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (534, 119, 100)
    assert usage.total_tokens == 653
    native = {"protocol": "messages", "content": BLOCKS, "asked": "", "model": MODEL}
    assert reply.choices[0].native == native
    assert decoder.done


def test_a_recorded_exchange() -> None:
    check_recorded(read(*EVENTS))


def test_the_same_cut_anywhere() -> None:
    body = b"".join(
        f"event: {event['type']}\ndata: ".encode() + orjson.dumps(event) + b"\n\n"
        for event in EVENTS
    )
    for cut in range(1, len(body)):
        sse, decoder = SSEDecoder(), MessagesDecoder(Transcript())
        for part in (body[:cut], body[cut:]):
            for event in sse.feed(part):
                decoder.feed(event.data)
        decoder.end()
        assert len(decoder.transcript) == 8
    check_recorded(decoder)


def test_a_plain_message() -> None:
    start = EVENTS[0]["message"]
    whole = {**start, "content": BLOCKS, "stop_reason": "tool_use", "container": {"id": "c"}}
    whole["usage"] = {**start["usage"], "output_tokens": 119}
    decoder = read(whole)
    decoder.done = True
    check_recorded(decoder)
    assert decoder.transcript.extra == {"container": {"id": "c"}}


def test_a_summary_after_the_deltas_repeats_nothing() -> None:
    """MiniMax ends its stream with the whole message, and may begin a block with its text."""
    whole = {
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": "你好"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    reply = folded(read(*text_block("好", begin="你"), whole))
    assert (reply.answer, reply.finish_reason, reply.usage.total_tokens) == ("你好", "stop", 5)
    assert reply.message()["native"]["content"] == [{"type": "text", "text": "你好"}]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        ("model_context_window_exceeded", "length"),
    ],
)
def test_stop_reasons(word: str, reason: str) -> None:
    reply = folded(read(*text_block("嗯"), ending(word)))
    assert reply.finish_reason == reason
    assert reply.choices[0].extra == {"stop_reason": word}


def test_sources() -> None:
    citation = {
        "type": "web_search_result_location",
        "url": "https://a.example",
        "title": "甲",
        "cited_text": "…",
    }
    cited = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "citations_delta", "citation": citation},
    }
    decoder = read(*text_block("据说"), cited, ending("end_turn"))
    (found,) = folded(decoder).citations
    assert (found.url, found.title, found.extra["cited_text"]) == ("https://a.example", "甲", "…")
    native = folded(decoder).choices[0].native
    assert native is not None
    assert native["content"][0]["citations"] == [citation]
    assert [type(delta) for delta in deltas(*text_block("据说"), cited)] == [
        AnswerDelta,
        CitationDelta,
    ]


def test_what_nobody_knows_is_kept() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    asked = {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "input_json_delta", "partial_json": '{"q": "天气"}'},
    }
    found = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    odd = {"type": "content_block_delta", "index": 1, "delta": {"type": "odd_delta", "x": 1}}
    reply = folded(
        read(
            {"type": "content_block_start", "index": 0, "content_block": search},
            asked,
            {"type": "content_block_start", "index": 1, "content_block": found},
            odd,
            {"type": "some_day", "x": 1},
            ending("end_turn"),
        )
    )
    assert reply.tool_calls == ()
    assert [(one.type, one.data) for one in reply.choices[0].unknown] == [
        ("odd_delta", {"type": "odd_delta", "x": 1}),
        ("some_day", {"type": "some_day", "x": 1}),
    ]
    assert reply.message()["native"]["content"] == [{**search, "input": {"q": "天气"}}, found]


@pytest.mark.parametrize(("delta", "text"), [("你好", "你好"), ("，世界 🌏", "你好，世界 🌏")])
def test_what_a_block_begins_with_is_not_repeated(delta: str, text: str) -> None:
    """MiniMax may put the first piece into the beginning of a block, and send it again."""
    reply = folded(
        read(
            *text_block(delta, begin="你好"),
            {"type": "content_block_stop", "index": 0},
            ending("end_turn"),
        )
    )
    assert reply.answer == text
    assert reply.message()["native"]["content"] == [{"type": "text", "text": text}]


def test_half_a_call_does_not_go_back() -> None:
    reply = folded(read(*EVENTS[:15], ending("max_tokens")))
    assert not reply.tool_calls[0].complete
    assert reply.message()["native"]["content"] == BLOCKS[:3]
    assert "tool_calls" not in reply.message()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "Overloaded",
        ),
        ({"error": {"message": "渠道", "type": "new_api_error"}}, "渠道"),
    ],
)
def test_errors_are_left_for_judgement(frame: dict[str, Any], message: str) -> None:
    decoder = read(*text_block("你"), frame)
    problem = find_problem(decoder.suspect)
    assert problem is not None
    assert problem.message == message


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", b" ", b"{", b"7", b"null", b"[DONE]"),
        {},
        {"type": 7},
        {"type": "message_start", "message": None},
        {"type": "content_block_start", "content_block": None},
        {"type": "content_block_start", "index": "x", "content_block": {"type": "tool_use"}},
        {"type": "content_block_delta", "delta": None},
        {"type": "content_block_delta", "index": None, "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "thinking_delta"}},
        {"type": "message_delta", "delta": None, "usage": 7},
        {"type": "message_delta", "delta": {"stop_reason": 7}},
        {"type": "message", "content": None},
        {"type": "content_block_start", "content_block": {"type": "text", "citations": 7}},
        b'{"type":"content_block_start","content_block":{"type":"tool_use","input":{"n":%d}}}'
        % 10**400,
    ],
    ids=repr,
)
def test_nothing_on_the_wire_raises(frame: object) -> None:
    decoder = read(frame, *text_block("好"), ending("end_turn"))
    assert decoder.transcript.text(0, 1) == "好"
    assert decoder.transcript.complete


def test_halves_of_a_pair_are_mended() -> None:
    data = rb'{"type":"content_block_delta","delta":{"type":"text_delta","text":"a\ud83d"}}'
    decoder = read(data, ending("end_turn"))
    assert decoder.transcript.text(0, 1) == "a\ufffd"
    assert folded(decoder).message()["native"]["content"] == [{"type": "text", "text": "a\ufffd"}]


def test_a_stream_without_its_beginning() -> None:
    frames = [
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "想"}},
        ending("end_turn"),
    ]
    assert deltas(*frames) == [ReasoningDelta("想"), FinishDelta(0, "stop")]


# --- the request --------------------------------------------------------------------------------


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
