"""Google's generateContent: what is sent, what comes, what goes back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CallerError,
    CitationDelta,
    FinishDelta,
    MediaDelta,
    ReasoningDelta,
    Reply,
)
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.gemini import encode_gemini
from aiotokengate._wire.gemini_reply import GeminiDecoder
from aiotokengate._wire.problems import find_problem
from aiotokengate._wire.question import Question
from aiotokengate._wire.transcript import Transcript
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.types import Delta
from tests.support.common import About

MODEL = "gemini-3.1-pro-preview"
PIXEL = "iVBORw0KGgo="

# The shape of a recorded exchange: a thought, a call with its signature, usage on every chunk.
STREAM: list[dict[str, Any]] = [
    {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [{"text": "**看地图** 🗺️", "thought": True}],
                },
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 54,
            "totalTokenCount": 118,
            "thoughtsTokenCount": 64,
        },
        "modelVersion": MODEL,
        "responseId": "r1",
    },
    {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {
                            "functionCall": {"name": "weather", "args": {"city": "北京"}},
                            "thoughtSignature": "Eu0D",
                        }
                    ]
                },
                "finishReason": "STOP",
                "finishMessage": "done",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 65,
            "candidatesTokenCount": 16,
            "thoughtsTokenCount": 94,
            "totalTokenCount": 175,
        },
        "modelVersion": MODEL,
        "responseId": "r1",
    },
]


def read(*frames: object) -> GeminiDecoder:
    decoder = GeminiDecoder(Transcript())
    for frame in frames:
        decoder.feed(frame if isinstance(frame, bytes) else orjson.dumps(frame))
    decoder.end()
    return decoder


def deltas(*frames: object) -> list[Delta]:
    log = read(*frames).transcript
    return [log.delta(at) for at in range(len(log))]


def reply_of(*frames: object) -> Reply:
    log = read(*frames).transcript
    return fold(log, DIALECTS["gemini"], About("complete" if log.complete else "interrupted"))


def chunk(*parts: object, **more: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **more}]}


def body(messages: list[dict[str, Any]], *, stream: bool = True, **params: object) -> Any:
    row = CATALOGUE.find(MODEL)
    return orjson.loads(encode_gemini(Question(MODEL, messages, params, stream, row=row)).body)


def test_an_empty_turn_is_left_out() -> None:
    """As a reply that finished without a word leaves one; Google refuses it."""
    asked, again = {"role": "user", "content": "问 🙂"}, {"role": "user", "content": "再问"}
    empty = {"role": "assistant", "content": ""}
    texts = [{"text": "问 🙂"}, {"text": "再问"}]
    assert body([asked, empty, again])["contents"] == [{"role": "user", "parts": texts}]


# --- the reply ----------------------------------------------------------------------------------


def test_a_thought_and_a_call_with_its_signature() -> None:
    reply = reply_of(*STREAM)
    assert reply.reasoning == "**看地图** 🗺️"
    (call,) = reply.tool_calls
    assert (call.name, call.parse()) == ("weather", {"city": "北京"})
    assert call.extra == {"extra_content": {"google": {"thought_signature": "Eu0D"}}}
    assert (reply.finish_reason, reply.status, reply.model) == ("tool_calls", "complete", MODEL)
    usage = reply.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens) == (65, 110, 94)
    assert usage.total_tokens == 175


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


def test_text_in_pieces_is_one_part_and_a_signature_stays_where_it_came() -> None:
    frames = [
        chunk({"text": "你"}),
        chunk({"text": "好"}, {}, {"thoughtSignature": "s1", "text": ""}),
        chunk({"text": "！"}, finishReason="STOP"),
    ]
    choice = reply_of(*frames).choices[0]
    assert choice.answer == "你好！"
    assert choice.native is not None
    assert choice.native["content"] == [
        {"text": "你好"},
        {"text": "", "thoughtSignature": "s1"},
        {"text": "！"},
    ]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_finish_reasons(word: str, reason: str) -> None:
    reply = reply_of(chunk({"text": "嗯"}, finishReason=word))
    assert reply.finish_reason == reason
    assert reply.choices[0].extra == {"finish_reason": word}


def test_media_and_sources() -> None:
    source = {"groundingChunks": [{"web": {"uri": "https://a.example", "title": "甲"}}]}
    data = {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    file = {"fileData": {"fileUri": "https://b.example/v.mp4", "mimeType": "video/mp4"}}
    seen = deltas(chunk(data, file, groundingMetadata=source, finishReason="STOP"))
    shown = [delta.media for delta in seen if isinstance(delta, MediaDelta)]
    assert [(media.kind, media.mime) for media in shown] == [
        ("image", "image/png"),
        ("video", "video/mp4"),
    ]
    assert shown[0].data == b"\x89PNG\r\n\x1a\n"
    (cited,) = [delta.citation for delta in seen if isinstance(delta, CitationDelta)]
    assert (cited.url, cited.title) == ("https://a.example", "甲")


def test_several_candidates() -> None:
    two = {
        "candidates": [
            {"index": 0, "content": {"parts": [{"text": "甲"}]}, "finishReason": "STOP"},
            {"index": 1, "content": {"parts": [{"text": "乙"}]}, "finishReason": "STOP"},
        ]
    }
    assert deltas(two) == [
        AnswerDelta("甲", 0),
        AnswerDelta("乙", 1),
        FinishDelta(0, "stop"),
        FinishDelta(1, "stop"),
    ]


def test_an_array_in_place_of_a_stream() -> None:
    decoder = GeminiDecoder(Transcript())
    decoder.take(STREAM)
    decoder.end()
    assert decoder.transcript.complete
    assert decoder.transcript.delta(0) == ReasoningDelta("**看地图** 🗺️")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}, "no"),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "the prompt was blocked: SAFETY"),
    ],
)
def test_errors_are_left_for_judgement(frame: dict[str, Any], message: str) -> None:
    suspect = read(frame).suspect
    problem = find_problem(suspect)
    assert problem is not None
    assert problem.message == message


@pytest.mark.parametrize(
    "frame",
    [
        *(b"", b" ", b"[DONE]", b"{", b"7", b'"x"', b"null"),
        {},
        {"candidates": None},
        {"candidates": [None, 7, {"content": None}, {"content": {"parts": [None, 7]}}]},
        {"candidates": [{"index": "x", "content": {"parts": [{"text": 7}]}}]},
        {"usageMetadata": {"promptTokenCount": "x"}},
        chunk({"functionCall": {"name": None}}, {"inlineData": {}}, {"fileData": {}}),
    ],
    ids=repr,
)
def test_nothing_on_the_wire_raises(frame: object) -> None:
    decoder = read(frame, chunk({"text": "好"}, finishReason="STOP"))
    assert decoder.transcript.text(0, 1) == "好"


def test_halves_of_a_pair_are_mended() -> None:
    decoder = read(rb'{"candidates":[{"content":{"parts":[{"text":"a\ud83d"}]}}]}')
    assert decoder.transcript.text(0, 1) == "a\ufffd"


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
