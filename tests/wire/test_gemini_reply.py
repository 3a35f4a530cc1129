"""Gemini, as it and its bridges really send: calls in parts, ends that are none, what is kept."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CitationDelta,
    FinishDelta,
    MediaDelta,
    ReasoningDelta,
    Reply,
    ToolCallDelta,
    UnknownDelta,
)
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.gemini_reply import GeminiDecoder
from aiotokengate._wire.problems import find_problem
from aiotokengate._wire.transcript import Transcript
from aiotokengate.types import Delta
from tests.support.common import About

Chunk = dict[str, Any]


def read(*chunks: object, end: bool = True) -> GeminiDecoder:
    decoder = GeminiDecoder(Transcript())
    for chunk in chunks:
        decoder.feed(chunk if isinstance(chunk, bytes) else orjson.dumps(chunk))
    if end:
        decoder.end()
    return decoder


def reply_of(*chunks: object) -> Reply:
    log = read(*chunks).transcript
    return fold(log, DIALECTS["gemini"], About("complete" if log.complete else "interrupted"))


def native_of(*chunks: object) -> Any:
    native = reply_of(*chunks).choices[0].native
    return None if native is None else native["content"]


def deltas(*chunks: object) -> list[Delta]:
    log = read(*chunks).transcript
    return [log.delta(at) for at in range(len(log))]


def said(*parts: object, **more: object) -> Chunk:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **more}]}


def call(**fields: object) -> Chunk:
    return {"functionCall": fields}


STOP = said(finishReason="STOP")

# --- calls --------------------------------------------------------------------------------------


def test_calls_with_and_without_an_id() -> None:
    chunks = [
        said(call(name="查", id="fk-1", args={"n": 1}), call(name="查", args={"n": 2})),
        said(call(name="现在"), finishReason="STOP"),
    ]
    reply = reply_of(*chunks)
    assert [one.parse() for one in reply.tool_calls] == [{"n": 1}, {"n": 2}, {}]
    assert reply.tool_calls[0].id == "fk-1"
    assert len({one.id for one in reply.tool_calls}) == 3
    assert reply.finish_reason == "tool_calls"
    assert native_of(*chunks) == [
        call(name="查", id="fk-1", args={"n": 1}),
        call(name="查", args={"n": 2}),
        call(name="现在"),
    ]


def test_a_known_id_again_is_the_same_call_or_another_one() -> None:
    chunks = [said(call(name="查", id="同", args={"n": n})) for n in (1, 1, 2)]
    reply = reply_of(*chunks, STOP)
    assert [one.parse() for one in reply.tool_calls] == [{"n": 1}, {"n": 2}]
    ids = [part["functionCall"]["id"] for part in native_of(*chunks, STOP)]
    assert ids == [one.id for one in reply.tool_calls]
    assert ids[0] == "同" != ids[1]


def arg(path: str, **value: object) -> Chunk:
    return {"jsonPath": path, **value}


IN_PARTS = [
    said({**call(name="订", id="fk-1", willContinue=True), "thoughtSignature": "S"}),
    said(
        call(partialArgs=[arg("$.城", stringValue="哈尔", willContinue=True)], willContinue=True)
    ),
    said(call(partialArgs=[arg("$.城", stringValue="滨 🌸")], willContinue=True)),
    said(call(partialArgs=[arg("$.日[0]", numberValue=3), arg("$.急", boolValue=True)])),
]
ARGS = {"城": "哈尔滨 🌸", "日": [3], "急": True}


@pytest.mark.parametrize("last", [said(call()), said(call(willContinue=False)), STOP])
def test_a_call_in_parts_is_told_and_sent_back_once(last: Chunk) -> None:
    chunks = [*IN_PARTS, last, STOP]
    (one,) = reply_of(*chunks).tool_calls
    assert (one.id, one.name, one.complete, one.parse()) == ("fk-1", "订", True, ARGS)
    assert one.extra == {"extra_content": {"google": {"thought_signature": "S"}}}
    told = [one.arguments for one in deltas(*chunks) if isinstance(one, ToolCallDelta)]
    assert orjson.loads("".join(told)) == ARGS
    assert native_of(*chunks) == [
        {**call(name="订", id="fk-1", args=ARGS), "thoughtSignature": "S"}
    ]


def test_a_call_in_parts_that_was_cut_is_not_run() -> None:
    (one,) = reply_of(*IN_PARTS).tool_calls
    assert not one.complete
    assert native_of(*IN_PARTS) is None
    (spoken,) = reply_of(*IN_PARTS, said({"text": "…"})).tool_calls
    assert not spoken.complete


def test_several_calls_in_parts() -> None:
    chunks = [
        said(
            call(name="甲", id="1", willContinue=True), call(name="乙", id="2", willContinue=True)
        ),
        said(call(id="1", partialArgs=[arg("$.n", numberValue=1)], willContinue=True)),
        said(call(id="2", partialArgs=[arg("$.n", numberValue=2)], willContinue=True)),
        said(call(id="1"), call()),
        said(call(name="丙", willContinue=True)),
        said(call(name="丁", args={"n": 4})),
        STOP,
    ]
    calls = reply_of(*chunks).tool_calls
    assert [(one.name, one.parse()) for one in calls] == [
        ("甲", {"n": 1}),
        ("乙", {"n": 2}),
        ("丙", {}),
        ("丁", {"n": 4}),
    ]
    assert all(one.complete for one in calls)


def test_parts_of_no_call_are_told_as_unknown() -> None:
    stray = said(call(partialArgs=[arg("$.n", numberValue=1)]), call())
    found = [one for one in deltas(stray, STOP) if isinstance(one, UnknownDelta)]
    assert [one.type for one in found] == ["candidates.content.parts.functionCall"] * 2
    assert native_of(stray, STOP) is None


def test_a_path_that_leads_nowhere_makes_the_call_incomplete() -> None:
    bad = said(call(partialArgs=[arg("$..x", numberValue=1)], willContinue=False))
    (one,) = reply_of(IN_PARTS[0], bad, STOP).tool_calls
    assert not one.complete


# --- ends ---------------------------------------------------------------------------------------


def test_only_the_body_ends() -> None:
    decoder = read(STOP, said({"text": "一"}, finishReason="STOP"), end=False)
    assert not decoder.done
    assert reply_of(
        STOP, said({"text": "一"}), said({"text": "二"}, finishReason="STOP")
    ).answer == ("一二")


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "6*7"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42"}},
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {}}},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {}}},
    ],
)
def test_a_stop_right_after_a_tool_of_the_server_settles_nothing(part: Chunk) -> None:
    before = [said({"text": "算一下"}), said(part, finishReason="STOP")]
    log = read(*before, end=False).transcript
    assert not log.settled
    assert log.signs == 1
    assert read(*before, said({"text": "42"}, finishReason="STOP"), end=False).transcript.settled
    assert reply_of(*before).status == "complete"
    assert native_of(*before) == [{"text": "算一下"}, part]


def test_to_be_continued_needs_a_token() -> None:
    token = said({"text": "上"}, continuationToken="tok")
    paused = reply_of(token, said(finishReason="CONTINUATION"))
    assert (paused.choices[0].status, paused.choices[0].extra["continuationToken"]) == (
        "paused",
        "tok",
    )
    cut = reply_of(said({"text": "上"}, finishReason="CONTINUATION"))
    assert (cut.status, cut.finish_reason) == ("complete", "length")


def test_a_call_after_the_claim_makes_it_one_of_calls() -> None:
    reply = reply_of(
        said({"text": "好"}, finishReason="STOP"), said(call(name="查", args={"n": 1}))
    )
    assert (reply.finish_reason, len(reply.tool_calls)) == ("tool_calls", 1)


def test_what_stands_beside_the_finish() -> None:
    log = read(said({"text": "…"}, finishReason="SAFETY", finishMessage="不行")).transcript
    assert log.text(0, 1) == "…"
    assert log.choices[0].details_of_end == "不行"


# --- what is kept -------------------------------------------------------------------------------


def test_grounding_of_several_chunks_is_joined() -> None:
    web = {"web": {"uri": "https://a.example", "title": "甲"}}
    others = [
        {"maps": {"uri": "https://m.example", "placeId": "p"}},
        {"retrievedContext": {"uri": "gs://b/c", "text": "段"}},
        {"image": {"sourceUri": "https://i.example", "imageUri": "https://i.example/1.png"}},
    ]
    chunks = [
        said({"text": "花"}, groundingMetadata={"groundingChunks": [web]}),
        said(
            groundingMetadata={
                "groundingChunks": [web, *others],
                "searchEntryPoint": {"renderedContent": "<div>"},
                "groundingSupports": [{"a": 1}],
            }
        ),
        said(
            groundingMetadata={
                "groundingChunks": [],
                "searchEntryPoint": {},
                "groundingSupports": [{"b": 2}],
            },
            finishReason="STOP",
        ),
    ]
    reply = reply_of(*chunks)
    assert reply.choices[0].extra["groundingMetadata"] == {
        "groundingChunks": [web, *others],
        "searchEntryPoint": {"renderedContent": "<div>"},
        "groundingSupports": [{"a": 1}, {"b": 2}],
    }
    assert [one.url for one in reply.citations] == [
        "https://a.example",
        "https://m.example",
        "gs://b/c",
        "https://i.example",
    ]


def test_quotes_are_sources_too() -> None:
    quote = {"uri": "https://q.example", "license": "mit", "startIndex": 0, "endIndex": 6}
    reply = reply_of(said({"text": "码"}, citationMetadata={"citations": [quote]}), STOP)
    (cited,) = reply.citations
    assert (cited.url, cited.extra["license"], cited.start) == ("https://q.example", "mit", None)
    assert reply.choices[0].extra["citationMetadata"] == {"citations": [quote]}


def test_log_probabilities_of_all_chunks() -> None:
    results = [{"chosenCandidates": [{"token": one}]} for one in ("是", "的")]
    chunks = [said({"text": "x"}, logprobsResult=one) for one in (*results, {})]
    assert reply_of(*chunks, STOP).choices[0].logprobs == tuple(results)


def test_fields_with_a_name_and_without() -> None:
    chunk = said({"text": "好"}, safetyRatings=[{"a": 1}], tokenCount=3, mood="喜")
    chunk |= {"modelStatus": {"modelStage": "STABLE"}, "createTime": "t", "later": "后"}
    reply = reply_of(chunk, chunk, said(safetyRatings=[], finishReason="STOP"))
    assert reply.extra == {
        "modelStatus": {"modelStage": "STABLE"},
        "createTime": "t",
        "later": "后",
    }
    assert reply.choices[0].extra["safetyRatings"] == [{"a": 1}]
    found = [(one.type, one.data) for one in reply.choices[0].unknown]
    assert found == [("candidates.mood", "喜"), ("later", "后")]


def test_signatures_stay_on_the_part_that_they_came_on() -> None:
    parts: list[Chunk] = [
        {"text": "想", "thought": True},
        {"text": "一", "thought": True},
        {"text": "好", "thoughtSignature": "A"},
        {"text": "的"},
        {"text": "！"},
        {"text": ""},
        {"text": "", "thoughtSignature": "B"},
    ]
    assert native_of(*[said(part) for part in parts], STOP) == [
        {"text": "想一", "thought": True},
        {"text": "好", "thoughtSignature": "A"},
        {"text": "的！"},
        {"text": "", "thoughtSignature": "B"},
    ]


def test_base64_of_the_alphabet_for_addresses() -> None:
    part = {"inlineData": {"mimeType": "audio/l16", "data": "-_-_"}}
    reply = reply_of(said(part), STOP)
    assert reply.media[0].data == b"\xfb\xff\xbf"
    assert native_of(said(part), STOP) == [part]


def test_what_tools_read_is_counted_with_the_prompt_and_zeros_count_nothing() -> None:
    counts = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 22,
    }
    later = {"promptTokenCount": 0, "candidatesTokenCount": 6, "totalTokenCount": 24}
    chunks = [{**said({"text": "好"}), "usageMetadata": one} for one in (counts, later)]
    usage = reply_of(*chunks, STOP).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens) == (15, 9, 3)
    assert usage.total_tokens == 24


def test_an_error_beside_content_or_amid_a_list_is_left_for_judgement() -> None:
    error = {"error": {"code": 503, "message": "忙"}}
    assert read({**said({"text": "好"}), **error}).suspect == {**said({"text": "好"}), **error}
    decoder = GeminiDecoder(Transcript())
    decoder.take([said({"text": "一"}), error, said({"text": "二"})])
    assert decoder.suspect == [error, said({"text": "二"})]


def test_a_character_cut_over_two_chunks() -> None:
    cut = [
        rb'{"candidates":[{"content":{"parts":[{"text":"a\ud83c"}]}}]}',
        rb'{"candidates":[{"content":{"parts":[{"text":"\udf38"}]}}]}',
    ]
    assert reply_of(*cut, STOP).answer == "a🌸"
    assert native_of(*cut, STOP) == [{"text": "a🌸"}]
    assert native_of(cut[0], STOP) == [{"text": "a\ufffd"}]


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


def chunk(*parts: object, **more: object) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **more}]}


# --- a whole exchange ---------------------------------------------------------------------------


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


# --- odd chunks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [b"7", b"[]", b"[1]", b"[{},7]"])
def test_what_may_be_an_error_is_left_for_judgement(frame: bytes) -> None:
    assert read(frame).suspect is not None


@pytest.mark.parametrize(
    ("chunk", "name"),
    [
        (said({"mood": "gay"}), "candidates.content.parts.mood"),
        (said({"functionCall": {"args": {}}}), "candidates.content.parts.functionCall"),
        (said(call(name="f", mood="gay")), "candidates.content.parts.functionCall.mood"),
        (said(mood="gay"), "candidates.mood"),
        ({"candidates": [{"content": {"parts": [], "mood": "gay"}}]}, "candidates.content.mood"),
    ],
)
def test_fields_that_nobody_knows_are_told(chunk: Chunk, name: str) -> None:
    assert name in [one.type for one in deltas(chunk, STOP) if isinstance(one, UnknownDelta)]


def test_a_finish_word_that_is_none_ends_nothing() -> None:
    log = read(said({"text": "好"}, finishReason="FINISH_REASON_UNSPECIFIED")).transcript
    assert not log.complete


def test_a_call_in_parts_may_have_arguments_of_its_own() -> None:
    """A later part may bring all of them, or nothing but the end."""
    begun = call(name="f", id="c", willContinue=True)
    whole = call(id="c", args={"x": 1}, willContinue=False)
    (first,) = reply_of(said(begun), said(whole), STOP).tool_calls
    assert first.parse() == {"x": 1}
    (second,) = reply_of(said(begun), said(call(id="c")), STOP).tool_calls
    assert second.parse() == {}


def test_a_call_that_nothing_has_ended_is_cut_with_its_reply() -> None:
    begun = call(name="f", willContinue=True, partialArgs=[arg("$.城", stringValue="哈尔滨")])
    whole = reply_of(said(begun), STOP).tool_calls[0]
    assert whole.parse() == {"城": "哈尔滨"}
    cut = reply_of(said(begun), said(finishReason="MAX_TOKENS")).tool_calls[0]
    assert cut.arguments == '{"城":"哈尔滨'


def test_sources_without_an_address_are_none() -> None:
    cited = {"citations": [{"title": "x"}, 7, {"uri": "https://a.example"}]}
    seen = deltas(said({"text": "好"}, citationMetadata=cited), STOP)
    (source,) = [one.citation for one in seen if isinstance(one, CitationDelta)]
    assert source.url == "https://a.example"


def test_a_reply_whose_text_is_not_retained_is_told_all_the_same() -> None:
    decoder = GeminiDecoder(Transcript(retain=False))
    for one in (said({"text": "好"}), STOP):
        decoder.feed(orjson.dumps(one))
    decoder.end()
    assert decoder.transcript.choices[0].native is None
    assert decoder.transcript.complete


# --- what is known ------------------------------------------------------------------------------


def unknown_of(*chunks: object) -> list[tuple[str, object]]:
    return [(one.type, one.data) for one in deltas(*chunks) if isinstance(one, UnknownDelta)]


def test_fields_that_are_known_are_not_told() -> None:
    part_fields = (
        *("text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall"),
        *("functionResponse", "videoMetadata", "mediaResolution", "partMetadata"),
        *("audioTranscription", "mediaProcessing", "speechMetadata", "documentMetadata"),
        *("spreadsheetMetadata", "audioMetadata", "executableCode", "codeExecutionResult"),
        *("toolCall", "toolResponse"),
    )
    for field in part_fields:
        value = {"name": "f"} if field == "functionCall" else {"a": 1}
        assert unknown_of(said({field: value}), STOP) == []
    whole = call(id="c", name="f", args={}, partialArgs=[], willContinue=False)
    assert unknown_of(said(whole), STOP) == []
    assert unknown_of({**STOP, "modelVersion": "m", "responseId": "r", "usageMetadata": {}}) == []


def test_fields_without_a_name_are_kept() -> None:
    beside: dict[str, Any] = {
        "groundingMetadata": {"a": 1},
        "citationMetadata": {"a": 1},
        "urlContextMetadata": {"a": 1},
        "safetyRatings": [1],
        "avgLogprobs": -0.5,
        "tokenCount": 3,
        "finishMessage": "m",
        "continuationToken": "t",
    }
    of_all = {"promptFeedback": {"a": 1}, "modelStatus": {"a": 2}, "createTime": "t"}
    chunk = {**said({"text": "好"}, index=0, logprobsResult={"a": 1}, **beside), **of_all}
    reply = reply_of(chunk, STOP)
    assert reply.choices[0].extra == {**beside, "finish_reason": "STOP"}
    assert reply.extra == of_all
    assert reply.choices[0].unknown == ()
    assert (reply.model, reply.id) == ("", "")


def test_fields_without_a_name_that_stand_alone_are_kept() -> None:
    """They come in chunks of their own, too; what is no chunk of Gemini's is not kept."""
    for name in ("promptFeedback", "modelStatus", "createTime"):
        assert reply_of({name: [1]}, STOP).extra == {name: [1]}
    for name in ("candidates", "usageMetadata", "modelVersion", "responseId"):
        assert reply_of({name: [], "later": 1}, STOP).extra == {"later": 1}
    assert reply_of({"odd": 1}, STOP).extra == {}


def test_a_field_that_nobody_knows_is_told_where_it_changes() -> None:
    chunks = [
        {**said(mood=mood), "candidates": [{"content": {"mood": mood}, "tone": mood}]}
        for mood in (1, 1, None, 2, "")
    ]
    paths = ("candidates.content.mood", "candidates.tone")
    assert unknown_of(*chunks, STOP) == [(path, mood) for mood in (1, 2, "") for path in paths]
    extra = reply_of(*chunks, STOP).choices[0].extra
    assert (extra["mood"], extra["tone"]) == (2, 2)


def test_a_field_within_a_part_is_told_each_time() -> None:
    strange = {"functionCall": {"name": "f", "args": {}, "why": 1}, "mood": 2}
    assert unknown_of(said(strange), STOP) == [
        ("candidates.content.parts.functionCall.why", 1),
        ("candidates.content.parts.mood", 2),
    ]


def test_the_first_model_and_id_count() -> None:
    chunks = [{**said({"text": "好"}), "modelVersion": m, "responseId": m} for m in (5, "m", "n")]
    reply = reply_of(*chunks, STOP)
    assert (reply.model, reply.id) == ("m", "m")


# --- growing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["groundingMetadata", "citationMetadata", "urlContextMetadata"])
@pytest.mark.parametrize(
    ("old", "new", "whole"),
    [
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"a": [1, 2, 1, 3]}),
        ({"a": []}, {"a": [1]}, {"a": [1]}),
        ({"a": [1]}, {"a": []}, {"a": [1]}),
        ({"a": 1}, {"a": 2, "b": 0}, {"a": 2, "b": 0}),
        ({"a": 1}, {"a": 0}, {"a": 1}),
        ({"a": ""}, {"a": 0}, {"a": 0}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1]}, {}, {"a": [1]}),
        ({"a": [1]}, None, {"a": [1]}),
        ({"a": [1]}, [2], [2]),
        ([1], {"a": [2]}, {"a": [2]}),
    ],
)
def test_metadata_that_grows(name: str, old: object, new: object, whole: object) -> None:
    extra = reply_of(said(**{name: old}), said(**{name: new}), STOP).choices[0].extra
    assert extra[name] == whole


def test_other_fields_are_replaced_by_what_is_not_empty() -> None:
    chunks = [said(safetyRatings=ratings) for ratings in ([{"a": 1}], [{"b": 1}], [])]
    assert reply_of(*chunks, STOP).choices[0].extra["safetyRatings"] == [{"b": 1}]
    assert reply_of(said(tokenCount=0), STOP).choices[0].extra["tokenCount"] == 0


# --- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "native"),
    [
        ([{"text": ""}], None),
        ([{"text": "", "thought": True}], None),
        ([{"text": "", "thought": False, "mood": 1}], [{"text": "", "thought": False, "mood": 1}]),
        ([{"text": "a"}, {"text": "b", "thought": False}], [{"text": "ab"}]),
        (
            [{"text": "a"}, {"text": "b", "thought": True}],
            [{"text": "a"}, {"text": "b", "thought": True}],
        ),
        ([{"text": "a"}, {"text": "b", "mood": 1}], [{"text": "a"}, {"text": "b", "mood": 1}]),
        ([{"text": 5}, {"text": "a"}], [{"text": 5}, {"text": "a"}]),
        ([{"thought": True}, {"thought": True}], [{"thought": True}, {"thought": True}]),
    ],
)
def test_which_parts_go_back(parts: list[Chunk], native: list[Chunk] | None) -> None:
    assert native_of(*[said(part) for part in parts], STOP) == native


def test_what_goes_back_says_whose_it_is() -> None:
    native = reply_of({**said({"text": "好"}), "modelVersion": "m"}, STOP).choices[0].native
    assert native == {
        "protocol": "gemini",
        "content": [{"text": "好"}],
        "asked": "",
        "model": "m",
    }


def test_only_a_thought_is_reasoning() -> None:
    reply = reply_of(said({"text": "想", "thought": True}, {"text": "说", "thought": 1}), STOP)
    assert (reply.reasoning, reply.answer) == ("想", "说")


def media_of(part: Chunk) -> list[tuple[str, str, str | None]]:
    found = [one.media for one in deltas(said(part), STOP) if isinstance(one, MediaDelta)]
    return [(media.kind, media.url, media.mime) for media in found]


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"inlineData": {}}, ("image", "data:image/png;base64,", "image/png")),
        (
            {"inlineData": {"mimeType": "audio/l16", "data": "a-_b"}},
            ("audio", "data:audio/l16;base64,a+/b", "audio/l16"),
        ),
        ({"fileData": {}}, ("file", "", None)),
        (
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}},
            ("video", "gs://b/v", "video/mp4"),
        ),
    ],
)
def test_media_that_a_part_has(part: Chunk, media: tuple[str, str, str | None]) -> None:
    assert media_of(part) == [media]
    assert media_of({"inlineData": 7, "fileData": "x"}) == []


# --- sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["web", "maps", "retrievedContext", "image"])
@pytest.mark.parametrize(
    ("entry", "cited"),
    [
        ({"uri": "u", "title": "t", "a": 1}, ("u", "t", {"a": 1})),
        (
            {"uri": "", "sourceUri": "s", "imageUri": "i", "title": ""},
            ("s", None, {"sourceUri": "s", "imageUri": "i"}),
        ),
        ({"imageUri": "i", "title": 5}, ("i", None, {"imageUri": "i"})),
        ({"title": "t"}, None),
        ("u", None),
    ],
)
def test_what_an_answer_rests_on(
    kind: str, entry: object, cited: tuple[str, str | None, dict[str, Any]] | None
) -> None:
    metadata = {"groundingChunks": [{kind: entry}, 5]}
    found = [
        (one.citation.url, one.citation.title, one.citation.extra)
        for one in deltas(said(groundingMetadata=metadata), STOP)
        if isinstance(one, CitationDelta)
    ]
    assert found == ([] if cited is None else [cited])


def test_quotes_under_both_names() -> None:
    quotes = {"citations": [{"uri": "a"}], "citationSources": [{"uri": "b"}]}
    reply = reply_of(said(citationMetadata=quotes), STOP)
    assert [one.url for one in reply.citations] == ["a", "b"]
    assert reply_of(said(citationMetadata=[], groundingMetadata=[]), STOP).citations == ()


def test_all_counts() -> None:
    usage = {
        "promptTokenCount": 100,
        "toolUsePromptTokenCount": 20,
        "candidatesTokenCount": 3,
        "thoughtsTokenCount": 4,
        "totalTokenCount": 127,
        "cachedContentTokenCount": 50,
    }
    counted = reply_of({**said({"text": "好"}), "usageMetadata": usage}, STOP).usage
    assert (counted.prompt_tokens, counted.completion_tokens) == (120, 7)
    assert counted.total_tokens == 127
    assert (counted.reasoning_tokens, counted.cached_tokens) == (4, 50)


@pytest.mark.parametrize(
    ("frame", "suspect"),
    [
        (
            {"promptFeedback": {"blockReason": "SAFETY"}},
            {
                "error": {
                    "message": "the prompt was blocked: SAFETY",
                    "code": "prompt_blocked",
                    "type": "content_filter",
                }
            },
        ),
        ({"promptFeedback": {"a": 1}}, {"promptFeedback": {"a": 1}}),
        ({"promptFeedback": "SAFETY"}, {"promptFeedback": "SAFETY"}),
        ({**STOP, "promptFeedback": {"blockReason": "SAFETY"}}, None),
        ({**STOP, "error": {}}, None),
    ],
)
def test_a_prompt_that_was_blocked(frame: Chunk, suspect: Chunk | None) -> None:
    assert read(frame, end=False).suspect == suspect


# --- calls that repeat, and go on ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("again", "calls"),
    [
        ({"name": "查", "args": {"n": 1}}, 1),
        ({"name": "查", "args": {"n": 2}}, 2),
        ({"name": "问", "args": {"n": 1}}, 2),
        ({"name": "查"}, 2),
    ],
)
@pytest.mark.parametrize(
    "first",
    [
        call(id="同", name="查", args={"n": 1}),
        call(
            id="同",
            name="查",
            partialArgs=[{"jsonPath": "$.n", "numberValue": 1}],
            willContinue=False,
        ),
    ],
)
def test_a_call_again(first: Chunk, again: Chunk, calls: int) -> None:
    assert len(reply_of(said(first), said(call(id="同", **again)), STOP).tool_calls) == calls


def test_a_call_again_without_arguments() -> None:
    chunks = [said(call(id="同", name="f")), said(call(id="同", name="f", args={}))]
    (one,) = reply_of(*chunks, STOP).tool_calls
    assert (one.arguments, one.complete) == ("{}", True)


def test_what_comes_with_a_later_part_belongs_to_the_call() -> None:
    chunks = [
        said(call(name="f", willContinue=True)),
        said({**call(willContinue=True), "thoughtSignature": "S", "mood": 0}),
        said(call()),
    ]
    (one,) = reply_of(*chunks, STOP).tool_calls
    assert one.extra == {"extra_content": {"google": {"thought_signature": "S"}}}
    assert native_of(*chunks, STOP) == [{**call(name="f", args={}), "thoughtSignature": "S"}]


def test_a_call_without_an_id_ends_where_another_one_begins() -> None:
    begun = said(call(name="甲", willContinue=True, args={"a": 1}))
    for other in (call(name="乙", args={}), call(name="乙", willContinue=True)):
        log = read(begun, said(other), end=False).transcript
        told = [log.delta(at) for at in range(len(log))]
        arguments = [one.arguments for one in told if isinstance(one, ToolCallDelta)]
        assert '{"a":1}' in arguments


def test_a_call_with_an_id_goes_on_beside_others() -> None:
    chunks = [
        said(call(id="1", name="甲", willContinue=True)),
        said(call(id="2", name="乙", args={"b": 2})),
        said(call(partialArgs=[arg("$.a", numberValue=1)], willContinue=False)),
    ]
    calls = reply_of(*chunks, STOP).tool_calls
    assert [(one.id, one.parse()) for one in calls] == [("1", {"a": 1}), ("2", {"b": 2})]


def test_signs_of_life_of_a_call_in_parts() -> None:
    chunks = [said(call(name="f", willContinue=True)), said(call(willContinue=True))]
    assert read(*chunks, end=False).transcript.signs == 2


def test_arguments_that_are_no_object_are_told_as_they_are() -> None:
    (text,) = reply_of(said(call(name="f", args='{"a":1}')), STOP).tool_calls
    assert (text.arguments, text.complete) == ('{"a":1}', True)
    (broken,) = reply_of(said(call(name="f", args='{"a"')), STOP).tool_calls
    assert not broken.complete


def test_a_finish_of_several_words() -> None:
    for chunks, expected in (
        ([said(call(name="f"), finishReason="STOP")], ("tool_calls", "complete", "STOP")),
        ([said({"text": "a"}, finishReason="STOP")], ("stop", "complete", "STOP")),
        ([said({"text": "a"}, finishReason="MAX_TOKENS")], ("length", "complete", "MAX_TOKENS")),
    ):
        (choice,) = reply_of(*chunks).choices
        found = (choice.finish_reason, choice.status, choice.extra["finish_reason"])
        assert found == expected


def test_a_character_of_an_argument_cut_over_two_chunks() -> None:
    begun = call(name="f", partialArgs=[arg("$.a", stringValue="上", willContinue=True)])
    ended = call(partialArgs=[arg("$.a", stringValue="下")], willContinue=False)
    cut = [
        orjson.dumps(said(begun)).replace("上".encode(), rb"\ud83c"),
        orjson.dumps(said(ended)).replace("下".encode(), rb"\udf38"),
    ]
    (one,) = reply_of(*cut, STOP).tool_calls
    assert one.parse() == {"a": "🌸"}
