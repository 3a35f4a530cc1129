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


# --- each parameter -----------------------------------------------------------------------------

HI = [{"role": "user", "content": "嗨 👋"}]


def changed(**given: Any) -> dict[str, Any]:
    """Return what parameters put into the body, and hold that nothing is noted."""
    result = encoded(HI, **given)
    assert result.notes == ()
    sent: dict[str, Any] = orjson.loads(result.body)
    plain = body(HI)
    return {key: value for key, value in sent.items() if plain.get(key) != value}


def test_a_request_without_parameters() -> None:
    plain = {
        "model": "m",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "嗨 👋"}]}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert orjson.loads(encode_responses(Question("m", HI, stream=False)).body) == plain
    assert orjson.loads(encode_responses(Question("m", HI)).body) == {
        **plain,
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }


@pytest.mark.parametrize(
    "name",
    [
        *("temperature", "top_p", "parallel_tool_calls", "user", "metadata", "service_tier"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs"),
        *("store", "reasoning"),
    ],
)
def test_parameters_that_stay_as_they_are(name: str) -> None:
    question = Question("m", HI, {name: {"a": 1}})
    assert orjson.loads(encode_responses(question).body)[name] == {"a": 1}


SEARCH = {"type": "web_search", "a": 1}


@pytest.mark.parametrize(
    ("given", "put"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_output_tokens": 6}),
        ({"n": 1, "stream_options": {"include_usage": True}}, {}),
        ({"tools": [{"type": "x", "function": "?"}]}, {"tools": [{"type": "x", "function": "?"}]}),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            {"tools": [{"type": "function", "strict": True, "name": "f"}]},
        ),
        ({"web_search_options": {"a": 1}}, {"tools": [SEARCH]}),
        (
            {"web_search_options": {"a": 1}, "tools": [{"type": "x"}]},
            {"tools": [SEARCH, {"type": "x"}]},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "x"}}, {"tool_choice": {"type": "x"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": {"type": "function", "name": "f"}},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
        ),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        (
            {"logprobs": True, "top_logprobs": 3},
            {
                "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
                "top_logprobs": 3,
            },
        ),
        ({"logprobs": False}, {}),
        ({"extra_body": ({"x": 1}, None)}, {"x": 1}),
    ],
)
def test_parameters_that_take_another_form(given: dict[str, Any], put: dict[str, Any]) -> None:
    assert changed(**given) == put


# --- each message -------------------------------------------------------------------------------


def items(*messages: Any) -> tuple[Any, list[Any]]:
    sent = body(list(messages))
    return sent.get("instructions"), sent["input"]


def test_what_the_system_says_first_are_the_instructions() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "一"}]}
    said = {"role": "developer", "content": [{"type": "input_text", "text": "二"}]}
    user = {"role": "user", "content": [{"type": "input_text", "text": "嗨 👋"}]}
    assert items(system, *HI, {"role": "system", "content": "二"}) == ("一", [user, said])
    assert items(*HI, {"role": "developer", "content": "二"}) == (None, [user, said])
    assert items({"role": "system", "content": ""}, *HI) == (None, [user])


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "text"}, {"type": "input_text", "text": ""}),
        ({"type": "image_url", "image_url": "u"}, {"type": "input_image", "image_url": "u"}),
        ({"type": "image_url"}, {"type": "input_image", "image_url": None}),
        (
            {"type": "image_url", "image_url": {"url": "u", "detail": "high", "x": 1}},
            {"type": "input_image", "image_url": "u", "detail": "high"},
        ),
        ({"type": "file", "file": {"file_id": "f"}}, {"type": "input_file", "file_id": "f"}),
        ({"type": "file"}, {"type": "input_file"}),
        ({"type": "input_file", "x": 1}, {"type": "input_file", "x": 1}),
    ],
)
def test_parts(part: dict[str, Any], sent: dict[str, Any]) -> None:
    assert items({"role": "user", "content": [part]}) == (
        None,
        [{"role": "user", "content": [sent]}],
    )


def test_a_part_that_cannot_be_said_is_named_by_its_place() -> None:
    with pytest.raises(CallerError) as raised:
        body([*HI, {"role": "user", "content": ["好", {"type": "video_url"}]}])
    assert str(raised.value) == (
        "expected messages[1].content[1] as text, image_url, input_audio or file, got 'video_url'"
    )


def test_calls_are_items_and_their_results_have_their_forms() -> None:
    calls = [
        {"id": "a", "custom": {"name": "f", "input": None}},
        {"id": "b", "function": {"name": "g", "arguments": None}},
        {"id": "c", "custom": "?"},
    ]
    results = [{"role": "tool", "tool_call_id": name, "content": "晴"} for name in ("a", "b", 7)]
    _, sent = items({"role": "assistant", "content": None, "tool_calls": calls}, *results)
    assert sent == [
        {"type": "custom_tool_call", "call_id": "a", "name": "f", "input": ""},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": "{}"},
        {"type": "function_call", "call_id": "c", "name": None, "arguments": "{}"},
        {"type": "custom_tool_call_output", "call_id": "a", "output": "晴"},
        {"type": "function_call_output", "call_id": "b", "output": "晴"},
        {"type": "function_call_output", "call_id": 7, "output": "晴"},
    ]


def test_pictures_of_a_result_are_parts_of_an_input() -> None:
    picture = {"type": "image_url", "image_url": {"url": "u"}}
    result = {"role": "tool", "tool_call_id": "a", "content": ["看", picture]}
    assert items(result)[1][0]["output"] == [
        {"type": "input_text", "text": "看"},
        {"type": "input_image", "image_url": "u"},
    ]
