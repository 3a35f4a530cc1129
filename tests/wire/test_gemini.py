"""Google's generateContent: what is sent."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import CallerError
from aiotokengate._wire.gemini import encode_gemini
from aiotokengate._wire.question import Question
from aiotokengate.catalogue import CATALOGUE
from tests.wire.test_gemini_reply import MODEL, PIXEL, STREAM, reply_of


def body(messages: list[dict[str, Any]], *, stream: bool = True, **params: object) -> Any:
    row = CATALOGUE.find(MODEL)
    return orjson.loads(encode_gemini(Question(MODEL, messages, params, stream, row=row)).body)


def test_an_empty_turn_is_left_out() -> None:
    """As a reply that finished without a word leaves one; Google refuses it."""
    asked, again = {"role": "user", "content": "问 🙂"}, {"role": "user", "content": "再问"}
    empty = {"role": "assistant", "content": ""}
    texts = [{"text": "问 🙂"}, {"text": "再问"}]
    assert body([asked, empty, again])["contents"] == [{"role": "user", "parts": texts}]


# --- the request --------------------------------------------------------------------------------


def test_a_whole_request() -> None:
    question = Question(
        MODEL,
        [
            {"role": "system", "content": "简短"},
            {"role": "developer", "content": [{"type": "text", "text": "友好"}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "看 👀"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/png;base64,{PIXEL}"},
                    },
                    {"type": "image_url", "image_url": "https://a.example/b.png"},
                    {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}},
                ],
            },
            {"role": "user", "content": "快"},
        ],
        {
            "max_tokens": 2000,
            "temperature": 0.5,
            "top_p": None,
            "stop": "完",
            "n": 1,
            "seed": 3,
            "user": "u",
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"a": 1}}},
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": {}, "strict": 1},
                },
                {"googleSearch": {}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "modalities": ["text", "image"],
        },
        reasoning=512,
        row=CATALOGUE.find(MODEL),
        extra_body=({"generationConfig": {"imageConfig": {"aspectRatio": "1:1"}}}, None),
    )
    encoded = encode_gemini(question)
    assert encoded.path == f"../v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    assert encoded.notes == (
        "parameter 'user' is not part of this protocol and was left out",
        "reasoning=512: a budget is not taken here, asked for 'low'",
    )
    assert orjson.loads(encoded.body) == {
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "看 👀"},
                    {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                    {"fileData": {"fileUri": "https://a.example/b.png"}},
                    {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
                    {"text": "快"},
                ],
            }
        ],
        "systemInstruction": {"parts": [{"text": "简短"}, {"text": "友好"}]},
        "generationConfig": {
            "maxOutputTokens": 2000,
            "temperature": 0.5,
            "stopSequences": ["完"],
            "candidateCount": 1,
            "seed": 3,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"a": 1},
            "responseModalities": ["TEXT", "IMAGE"],
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"},
            "imageConfig": {"aspectRatio": "1:1"},
        },
        "tools": [
            {"functionDeclarations": [{"name": "f", "description": "d", "parameters": {}}]},
            {"googleSearch": {}},
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
    }


@pytest.mark.parametrize(
    ("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")]
)
def test_tool_choices(choice: str, mode: str) -> None:
    sent = body([{"role": "user", "content": "嗨"}], tool_choice=choice)
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


def test_a_history_of_another_protocol() -> None:
    """Its calls are said anew, with a signature where one came along."""
    extra = {"extra_content": {"google": {"thought_signature": "s"}}}
    function = {"name": "f", "arguments": '{"a": 1}'}
    call = {"id": "c", "type": "function", "function": function, **extra}
    turn = {
        "role": "assistant",
        "content": "好",
        "tool_calls": [call],
        "native": {"protocol": "messages", "content": [{"type": "text"}]},
    }
    sent = body([{"role": "user", "content": "嗨"}, turn], stream=False)
    assert sent["contents"][1]["parts"] == [
        {"text": "好"},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
    ]


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            {"role": "tool", "tool_call_id": "x", "content": "1"},
            r"expected messages\[0\] to answer a tool call before it, there is none of 'x'",
        ),
        (
            {"role": "user", "content": [{"type": "hologram"}]},
            r"expected messages\[0\].content\[0\] as text, image_url, .* got 'hologram'",
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


def test_all_of_it_goes_back_part_by_part() -> None:
    turn = reply_of(*STREAM).message()
    history = [
        {"role": "user", "content": "北京天气？"},
        turn,
        {"role": "tool", "tool_call_id": "call_0", "content": '{"°C": 21}'},
        {"role": "tool", "tool_call_id": "call_0", "content": "晴 ☀️"},
    ]
    sent = body(history)["contents"]
    assert [one["role"] for one in sent] == ["user", "model", "user"]
    assert sent[1]["parts"] == [
        {"text": "**看地图** 🗺️", "thought": True},
        {
            "functionCall": {"name": "weather", "args": {"city": "北京"}},
            "thoughtSignature": "Eu0D",
        },
    ]
    assert sent[2]["parts"] == [
        {"functionResponse": {"name": "weather", "response": {"°C": 21}}},
        {"functionResponse": {"name": "weather", "response": {"result": "晴 ☀️"}}},
    ]


# --- parameters ---------------------------------------------------------------------------------

ASKED: list[dict[str, Any]] = [{"role": "user", "content": "嗨"}]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("max_tokens", "maxOutputTokens"),
        ("max_completion_tokens", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("top_k", "topK"),
        ("n", "candidateCount"),
        ("seed", "seed"),
        ("presence_penalty", "presencePenalty"),
        ("frequency_penalty", "frequencyPenalty"),
        ("logprobs", "responseLogprobs"),
        ("top_logprobs", "logprobs"),
    ],
)
def test_every_parameter_that_keeps_its_value(name: str, sent: str) -> None:
    contents = [{"role": "user", "parts": [{"text": "嗨"}]}]
    given: dict[str, Any] = {name: 3}
    assert body(ASKED, **given) == {"contents": contents, "generationConfig": {sent: 3}}


def test_what_need_not_be_said() -> None:
    question = Question(MODEL, ASKED, {"stream_options": {"include_usage": True}}, stream=False)
    encoded = encode_gemini(question)
    assert (encoded.path, encoded.notes) == (f"../v1beta/models/{MODEL}:generateContent", ())
    assert orjson.loads(encoded.body) == {
        "contents": [{"role": "user", "parts": [{"text": "嗨"}]}]
    }


@pytest.mark.parametrize(
    ("wanted", "config"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"responseMimeType": "application/json"}),
        (
            {"type": "json_schema", "json_schema": {"name": "s"}},
            {"responseMimeType": "application/json", "responseJsonSchema": None},
        ),
        (
            {"type": "json_schema"},
            {"responseMimeType": "application/json", "responseJsonSchema": None},
        ),
    ],
)
def test_forms_of_an_answer(wanted: dict[str, Any], config: dict[str, Any] | None) -> None:
    assert body(ASKED, response_format=wanted).get("generationConfig") == config


def test_tools_of_one_kind_alone() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    assert body(ASKED, tools=[{"googleSearch": {}}])["tools"] == [{"googleSearch": {}}]
    declared = {"functionDeclarations": [{"name": "f"}]}
    assert body(ASKED, tools=[function])["tools"] == [declared]


def test_other_choices_and_stop_words() -> None:
    sent = body(ASKED, tool_choice="validated", stop=["完", "止"])
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
    assert sent["generationConfig"] == {"stopSequences": ["完", "止"]}
    nobody = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [None]}}
    assert body(ASKED, tool_choice={"type": "any"})["toolConfig"] == nobody


# --- messages -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        ({"type": "text"}, {"text": ""}),
        ({"type": "input_audio"}, {"inlineData": {"mimeType": "audio/wav", "data": ""}}),
        (
            {"type": "input_audio", "input_audio": {"format": "mp3", "data": "SUQz"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "SUQz"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://e.cn/v.mp4"}},
            {"fileData": {"fileUri": "https://e.cn/v.mp4"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        ),
    ],
)
def test_every_part_of_a_message(part: dict[str, Any], sent: dict[str, Any]) -> None:
    assert body([{"role": "user", "content": [part]}])["contents"][0]["parts"] == [sent]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": 7},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "refusal", "refusal": "https://e.cn"},
        {"type": ["text"]},
    ],
)
def test_parts_that_cannot_be_said(part: dict[str, Any]) -> None:
    said = r"as text, image_url, input_audio, video_url or file, got "
    with pytest.raises(CallerError, match=rf"messages\[1\].content\[0\] {said}"):
        body([*ASKED, {"role": "user", "content": [part]}])


def test_results_are_sent_by_name_and_by_the_id_that_google_gave() -> None:
    calls: list[Any] = [
        {"id": "ours", "type": "function", "function": {"name": "甲", "arguments": ""}},
        {"id": "theirs", "type": "function", "function": {"name": "乙", "arguments": "{}"}},
    ]
    content: list[Any] = [
        {"functionCall": {"name": "甲", "args": {}}},
        {"functionCall": {"id": "theirs", "name": "乙", "args": {}}},
        *({"text": "…"}, {"functionCall": 7}, {"functionCall": {"id": 5}}, "odd"),
    ]
    turn = {
        "role": "assistant",
        "tool_calls": calls,
        "native": {"protocol": "gemini", "content": content},
    }
    results = [
        {"role": "tool", "tool_call_id": "theirs", "content": "[1]"},
        {"role": "tool", "tool_call_id": "ours", "content": "晴"},
        {"role": "tool", "tool_call_id": "x", "name": "丙", "content": '{"a": 1}'},
    ]
    sent = body([*ASKED, turn, *results])["contents"]
    assert sent[1] == {"role": "model", "parts": content}
    assert sent[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"id": "theirs", "name": "乙", "response": {"result": [1]}}},
            {"functionResponse": {"name": "甲", "response": {"result": "晴"}}},
            {"functionResponse": {"name": "丙", "response": {"a": 1}}},
        ],
    }


def test_calls_that_say_little() -> None:
    """Without a signature, or without a function even."""
    calls: list[Any] = [
        {"id": "c", "function": {"name": "f"}, "extra_content": None},
        {"id": "d", "extra_content": {"google": {"thought_signature": ""}}},
    ]
    turn = {"role": "assistant", "content": None, "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": "d", "content": "1"}
    sent = body([*ASKED, turn, result])["contents"]
    assert sent[1]["parts"] == [
        {"functionCall": {"name": "f", "args": {}}},
        {"functionCall": {"name": None, "args": {}}},
    ]
    assert sent[2]["parts"] == [{"functionResponse": {"name": "None", "response": {"result": 1}}}]
