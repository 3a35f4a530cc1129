"""OpenAI's Responses: what is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CallerError
from aiotokengate._wire.question import Question
from aiotokengate._wire.responses import encode_responses
from aiotokengate.catalogue import CATALOGUE
from tests.wire.test_responses_reply import CALL, EVENTS, MODEL, REASONING, folded, read


def encoded(messages: list[Any], **more: Any) -> Any:
    reasoning, extra = more.pop("reasoning", None), more.pop("extra_body", ())
    row = CATALOGUE.find(MODEL)
    question = Question(MODEL, messages, more, reasoning=reasoning, row=row, extra_body=extra)
    return encode_responses(question)


def body(messages: list[Any], **more: Any) -> Any:
    return orjson.loads(encoded(messages, **more).body)


def test_a_whole_request() -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    result = encoded(
        [
            {"role": "system", "content": "简短"},
            {"role": "developer", "content": "友好"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "看 👀"},
                    {"type": "image_url", "image_url": {"url": "https://a.b/c", "detail": "low"}},
                    {"type": "file", "file": {"file_id": "f1"}},
                    {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}},
                ],
            },
            {"role": "assistant", "content": "好"},
            {"role": "system", "content": "更短"},
        ],
        max_tokens=100,
        top_p=0.5,
        seed=3,
        tools=[{"type": "function", "function": function}],
        web_search_options={"search_context_size": "low"},
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        verbosity="low",
        logprobs=True,
        reasoning="high",
        extra_body=({"reasoning": {"summary": "detailed"}},),
    )
    assert (result.path, result.headers) == ("/responses", {})
    assert result.notes == ("parameter 'seed' is not part of this protocol and was left out",)
    assert orjson.loads(result.body) == {
        "model": MODEL,
        "instructions": "简短\n\n友好",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "看 👀"},
                    {"type": "input_image", "image_url": "https://a.b/c", "detail": "low"},
                    {"type": "input_file", "file_id": "f1"},
                    {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "output_text", "text": "好"}]},
            {"role": "developer", "content": [{"type": "input_text", "text": "更短"}]},
        ],
        "store": False,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
        "max_output_tokens": 100,
        "top_p": 0.5,
        "tools": [
            {"type": "function", "strict": False, **function},
            {"type": "web_search", "search_context_size": "low"},
        ],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {}},
            "verbosity": "low",
        },
        "reasoning": {"effort": "high", "summary": "detailed"},
    }


def test_items_go_back_as_they_came() -> None:
    turn = folded(read(*EVENTS)).message()
    result = {"role": "tool", "tool_call_id": "call_1", "content": "晴 ☀️"}
    sent = body([{"role": "user", "content": "天气？"}, turn, result])["input"]
    assert sent[1:] == [
        REASONING,
        CALL,
        {"type": "function_call_output", "call_id": "call_1", "output": "晴 ☀️"},
    ]


def test_a_turn_of_another_protocol_is_said_anew() -> None:
    function = {"name": "f", "arguments": ""}
    turn = {
        "role": "assistant",
        "content": "嗯",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
        "native": {"protocol": "messages", "content": []},
    }
    assert body([{"role": "user", "content": "嗨"}, turn], tool_choice="auto")["input"][1:] == [
        {"role": "assistant", "content": [{"type": "output_text", "text": "嗯"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "user", "content": [{"type": "video_url"}]},
            r"messages\[0\].content\[0\] as text, image_url, input_audio or file",
        ),
        ({"role": "user", "content": [7]}, r"messages\[0\].content\[0\] as a content part"),
    ],
)
def test_what_cannot_be_said_is_named(message: dict[str, Any], error: str) -> None:
    with pytest.raises(CallerError, match=error):
        body([message])


def test_there_is_one_choice() -> None:
    with pytest.raises(CallerError, match="expected n=1 over OpenAI's Responses, got 2"):
        body([{"role": "user", "content": "嗨"}], n=2)


def test_efforts() -> None:
    messages = [{"role": "user", "content": "嗨"}]
    assert body(messages, reasoning_effort="low")["reasoning"] == {"effort": "low"}
    assert body(messages, reasoning="off")["reasoning"] == {"effort": "none"}
    rounded = encoded(messages, reasoning="max")
    assert orjson.loads(rounded.body)["reasoning"] == {"effort": "xhigh", "summary": "auto"}
    assert rounded.notes == ("reasoning='max': rounded to the effort 'xhigh'",)


def test_what_a_gateway_may_add_is_kept() -> None:
    """The caller's own fields go over the body; a text as a part is one of the input."""
    user = {"role": "user", "content": ["嗨", {"type": "text", "text": "👋"}]}
    sent = body([user], logprobs=False, verbosity="low", extra_body=({"truncation": "auto"},))
    assert sent["input"][0]["content"] == [
        {"type": "input_text", "text": "嗨"},
        {"type": "input_text", "text": "👋"},
    ]
    assert (sent["truncation"], sent["text"]) == ("auto", {"verbosity": "low"})
    assert sent["include"] == ["reasoning.encrypted_content"]


def test_a_call_of_free_text_goes_back() -> None:
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "猫"}}
    turn = {"role": "assistant", "content": "", "tool_calls": [custom]}
    sent = orjson.loads(encode_responses(Question("m", [turn], stream=False)).body)
    assert sent["input"] == [
        {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "猫"}
    ]
    assert "stream" not in sent
