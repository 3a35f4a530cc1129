"""Chat Completions, frame by frame: what the recorded exchanges do not show."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiotokengate import CallerError, Reply, Usage
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder, encode_chat, media_of
from aiotokengate._wire.dialects import DIALECTS, Dialect
from aiotokengate._wire.fold import fold
from aiotokengate._wire.framing import Framing
from aiotokengate._wire.pack import BLOCK
from aiotokengate._wire.problems import find_problem
from aiotokengate._wire.question import Question
from aiotokengate._wire.relay import Relay
from aiotokengate._wire.transcript import ANSWER, REASONING, Transcript
from aiotokengate.catalogue import CATALOGUE
from aiotokengate.types import (
    AnswerDelta,
    Citation,
    CitationDelta,
    Delta,
    FinishDelta,
    Media,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCall,
    ToolCallDelta,
    UnknownDelta,
    UsageDelta,
)
from tests.support.common import About

PLAIN = DIALECTS["openai-compatible"]


def chunk(
    delta: object, reason: object = None, index: object = 0, **more: object
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "model": "m", "created": 7, "choices": [choice]} | more


def read(*frames: object, dialect: Dialect = PLAIN, expected: int = 1) -> ChatCompletionsDecoder:
    """Decode frames, given as JSON values or as the bytes of an event."""
    decoder = ChatCompletionsDecoder(dialect, Transcript(expected))
    framing = Framing(decoder, {})
    for frame in frames:
        data = frame if isinstance(frame, bytes) else orjson.dumps(frame)
        decoder.feed(data)
        if isinstance(decoder.suspect, bytes | list):
            suspect, decoder.suspect = decoder.suspect, None
            framing._judge(suspect, data)
    decoder.end()
    return decoder


def deltas(decoder: ChatCompletionsDecoder) -> list[Delta]:
    log = decoder.transcript
    return [log.delta(at) for at in range(len(log))]


def said(*frames: object, dialect: Dialect = PLAIN) -> list[Delta]:
    return deltas(read(*frames, dialect=dialect))


def reply_of(*frames: object, dialect: Dialect = PLAIN, expected: int = 1) -> Reply:
    log = read(*frames, dialect=dialect, expected=expected).transcript
    return fold(log, dialect, About("complete" if log.complete else "interrupted"))


# --- the request --------------------------------------------------------------------------------


def encoded(
    messages: list[dict[str, Any]], params: Any = None, *, stream: bool = False, extra: Any = ()
) -> bytes:
    return encode_chat(Question("m", messages, params or {}, stream, extra_body=extra)).body


def test_a_streamed_request_asks_for_the_usage() -> None:
    """Gateways that see no wish for usage may swallow the last chunk."""
    body = encoded([{"role": "user", "content": "你好 👋"}], stream=True)
    assert (
        body
        == (
            '{"model":"m","messages":[{"role":"user","content":"你好 👋"}],'
            '"stream":true,"stream_options":{"include_usage":true}}'
        ).encode()
    )


def test_a_plain_request_says_nothing_of_streams() -> None:
    """Some models cannot stream, and some gateways refuse options without a stream."""
    body = orjson.loads(encoded([], {"max_tokens": 5}))
    assert body == {"model": "m", "messages": [], "max_tokens": 5}


def test_what_is_none_is_not_sent_and_what_is_extra_goes_over_all() -> None:
    """The last word is the call's own extra body; null in it is meant."""
    extra: list[dict[str, Any]] = [{"a": 1, "b": 2}, {"b": None, "temperature": 0.5}]
    params = {"temperature": 1, "seed": None}
    body = orjson.loads(encoded([], params, extra=extra))
    assert body == {"model": "m", "messages": [], "temperature": 0.5, "a": 1, "b": None}


def test_what_is_not_json_is_named_by_its_path() -> None:
    """The error says where, and never what."""
    messages = [{"role": "user", "content": "秘密\ud83d"}]
    with pytest.raises(
        CallerError, match=r"^messages\[0\]\.content holds a lone surrogate"
    ) as raised:
        encoded(messages, stream=True)
    assert "秘密" not in str(raised.value)


def test_what_another_protocol_wants_back_is_not_sent() -> None:
    """The history may have been made over Messages; the rest of it stays."""
    turn = {
        "role": "assistant",
        "content": "嗨",
        "native": {"protocol": "messages", "content": []},
    }
    body = orjson.loads(encoded([turn]))
    assert body["messages"] == [{"role": "assistant", "content": "嗨"}]


def test_a_history_without_natives_is_sent_as_it_is() -> None:
    """Another turn's may have one; then all go without."""
    asked = {"role": "user", "content": "嗨"}
    turn = {"role": "assistant", "content": "你好", "native": None, "name": "甲"}
    body = orjson.loads(encoded([asked, turn, asked]))
    kept = {"role": "assistant", "content": "你好", "name": "甲"}
    assert body["messages"] == [asked, kept, asked]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("options", [{"include_usage": False, "x": 1}, None, "x"], ids=repr)
def test_options_of_a_stream_in_the_extra_body(options: object, stream: bool) -> None:
    """Whatever else they say, the usage is asked for; what is no object is the caller's."""
    sent = encode_chat(Question("m", [], {}, stream, extra_body=[{"stream_options": options}]))
    asked = stream and isinstance(options, dict)
    expected = {"include_usage": True, "x": 1} if asked else options
    assert orjson.loads(sent.body)["stream_options"] == expected
    assert (sent.path, sent.headers, sent.notes) == ("/chat/completions", {}, ())


@pytest.mark.parametrize(
    ("params", "budget"),
    [
        ({"max_tokens": 2_000, "max_completion_tokens": None}, 1_600),
        ({"max_tokens": 2_000, "max_completion_tokens": 4_000}, 3_200),
        ({"max_completion_tokens": 3_000}, 2_400),
        ({}, 5_000),
    ],
    ids=repr,
)
def test_thinking_leaves_room_for_the_reply(params: dict[str, Any], budget: int) -> None:
    """Whichever parameter says how much there is; fields that are there are merged."""
    row = CATALOGUE.find("claude-sonnet-4.5")
    question = Question("m", [], {"reasoning": {"x": 1}, **params}, False, 5_000, row)
    sent = encode_chat(question)
    assert orjson.loads(sent.body)["reasoning"] == {"x": 1, "max_tokens": budget}
    rounded = f"reasoning=5000: rounded to {budget} tokens"
    assert sent.notes == (() if budget == 5_000 else (rounded,))


# --- frames that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"  ", b"\n", b": PING", b" : ping"], ids=repr)
def test_data_without_a_frame(data: bytes) -> None:
    """Blank data, and comments wrapped in data, are nothing."""
    decoder = read(data)
    assert (deltas(decoder), decoder.transcript.skipped, decoder.done) == ([], 0, False)


@pytest.mark.parametrize("data", [b"[DONE]", b" [DONE]", b"[DONE]\n", b"[DONE] bye"], ids=repr)
def test_the_end_of_the_stream(data: bytes) -> None:
    """``[DONE]`` is known by its beginning."""
    decoder = read(data)
    assert (decoder.done, decoder.transcript.skipped) == (True, 0)


FRAMES = [b"{", b"done", b"[1]", b'"x"', b"1", b"null", b"true", b"\xff", b"[" * 9999]


@pytest.mark.parametrize("data", FRAMES, ids=lambda data: repr(data[:9]))
def test_a_frame_that_is_no_object(data: bytes) -> None:
    """It is counted and passed over, and the rest of the stream is read."""
    decoder = read(chunk({"content": "甲"}), data, chunk({"content": "乙"}))
    assert deltas(decoder) == [AnswerDelta("甲"), AnswerDelta("乙")]
    assert decoder.transcript.skipped == 1


ODD: list[Any] = [None, {}, [], "", "x", 1, True, ["content"], [{}]]
ODD_CHOICES = [*ODD, [None], [[]], [1], [{"index": 0}]]
ODD_CHOICES += [[{"delta": odd}] for odd in ODD] + [[{"message": odd}] for odd in ODD]


@pytest.mark.parametrize("choices", ODD_CHOICES, ids=repr)
def test_choices_of_unexpected_types(choices: object) -> None:
    """They hold nothing, and do no harm to the chunks around them."""
    frames = [chunk({"content": "甲"}), {"choices": choices}, chunk({"content": "乙"}, "stop")]
    assert said(*frames) == [AnswerDelta("甲"), AnswerDelta("乙"), FinishDelta(0, "stop")]


@pytest.mark.parametrize("value", [1, 1.5, True, {"a": 1}], ids=repr)
@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
def test_text_of_unexpected_types(field: str, value: object) -> None:
    """It is no delta, and is kept as it came."""
    frames = [chunk({"content": "甲"}), chunk({field: value}), chunk({}, "stop")]
    reply = reply_of(*frames)
    assert (reply.answer, reply.reasoning) == ("甲", "")
    assert reply.choices[0].extra == {field: value}


def test_the_first_field_with_text_counts() -> None:
    """A field of another type, or an empty one, leaves it to the next."""
    assert said(chunk({"reasoning_content": {"a": 1}, "reasoning": "想"})) == [
        ReasoningDelta("想")
    ]
    assert said(chunk({"reasoning_content": "", "reasoning": "想"})) == [ReasoningDelta("想")]


@pytest.mark.parametrize("index", [None, "0", -1, 1.0, [], {}], ids=repr)
def test_an_index_that_is_none(index: object) -> None:
    """A choice without a usable index is the first."""
    assert said(chunk({"content": "甲"}, index=index)) == [AnswerDelta("甲")]


@pytest.mark.parametrize("index", [1, 127, 13106], ids=repr)
def test_an_index_of_its_own(index: int) -> None:
    """An index is the vendor's, with or without those before it."""
    frames = [chunk({"content": "甲"}, index=index), chunk({}, "stop", index=index)]
    assert said(*frames) == [AnswerDelta("甲", index), FinishDelta(index, "stop")]


@pytest.mark.parametrize("index", [13107, 16384, 2**31, 2**63], ids=repr)
def test_an_index_of_any_size(index: int) -> None:
    """A choice that nobody asked for breaks nothing: it is the first."""
    frames = [chunk({"content": "甲"}, index=index), chunk({}, "stop", index=index)]
    assert said(*frames) == [AnswerDelta("甲"), FinishDelta(0, "stop")]


@pytest.mark.parametrize("index", [13106, 13107, 16384], ids=repr)
def test_choices_of_any_index_are_packed(index: int) -> None:
    """A long reply of theirs, too."""
    log = read(*[chunk({"content": "甲"}, index=index)] * (3 * BLOCK)).transcript
    log.pack()
    assert log.text(min(log.choices), ANSWER) == "甲" * 3 * BLOCK


def test_more_choices_than_anybody_asks_for() -> None:
    """The rest is the first one's; what costs time for each choice stays bounded."""
    frames = [chunk({"content": "甲"}, index=index) for index in range(1000)]
    log = read(*frames).transcript
    assert len(log.choices) == 256
    assert log.text(0, ANSWER) == "甲" * 745


@pytest.mark.parametrize("reason", [None, "", "null"], ids=repr)
def test_a_finish_reason_that_is_none(reason: object) -> None:
    """Vendors write nothing in several ways."""
    assert said(chunk({"content": "甲"}, reason)) == [AnswerDelta("甲")]


@pytest.mark.parametrize("reason", ["stop", "sensitive", "wound_up", 7], ids=repr)
def test_finish_reasons_are_open(reason: object) -> None:
    """A vendor's own word is kept as it is, and the last one stands."""
    frames = [chunk({}, "first"), chunk({"content": ""}, None), chunk({}, reason)]
    assert said(*frames) == [FinishDelta(0, str(reason))]


def test_a_word_that_means_broken_off_is_no_finish() -> None:
    """DeepSeek's reference calls it an interruption."""
    assert said(chunk({"content": "甲"}, "insufficient_system_resource")) == [AnswerDelta("甲")]


TEXT_FIELDS = ["content", "reasoning", "reasoning_content", "reasoning_details", "refusal"]
DELTA_FIELDS = [*TEXT_FIELDS, "tool_calls", "function_call", "images", "annotations", "role"]
NAMES = [
    "choices",
    "delta",
    "message",
    "index",
    "finish_reason",
    "logprobs",
    "usage",
    "error",
    "x",
]
NAMES += [
    "function",
    "name",
    "arguments",
    "id",
    "text",
    "image_url",
    "url",
    "url_citation",
    "link",
]
NAMES += ["prompt_tokens", "completion_tokens_details", "citations", "web_search", "model"]
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "<think>", "</think>", "stop", "你好", "call_1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*DELTA_FIELDS, *NAMES]), inner, max_size=5)
    ),
    max_leaves=20,
)
odd_deltas = st.dictionaries(
    st.sampled_from(DELTA_FIELDS),
    json_values | st.lists(st.dictionaries(st.sampled_from(["index", "id", "type"]), json_values)),
)
odd_frames = st.one_of(
    json_values,
    st.builds(lambda choice: {"choices": [choice]}, json_values),
    st.builds(lambda delta: {"choices": [{"index": 0, "delta": delta}]}, odd_deltas),
    st.builds(lambda message: {"choices": [{"message": message}]}, odd_deltas),
    st.builds(lambda usage: {"choices": [], "usage": usage}, json_values),
)


@settings(max_examples=30)
@given(st.lists(odd_frames, max_size=4))
@example([{"choices": [{"delta": [], "content": None}]}])
def test_no_frame_breaks_the_decoder(frames: list[object]) -> None:
    """Whatever JSON a vendor sends, there is a reply, and it can be sent on."""
    usual = [chunk({"content": "甲"}), chunk({"reasoning_content": "想"})]
    decoder = read(*usual, *frames, *usual)
    log = decoder.transcript
    fold(log, PLAIN, About("interrupted")).message()
    assert b"".join(map(Relay(log).write, deltas(decoder))).endswith(b"\n\n")
    assert log.text(0, 1).startswith("甲")


# --- what a reply is known by -------------------------------------------------------------------


def test_identity_comes_from_the_first_chunk() -> None:
    """The usage chunk that a gateway makes up has an id, or none, of its own."""
    reply = reply_of(
        chunk({"content": "甲"}), {"id": "", "model": "other", "created": 9, "choices": []}
    )
    assert (reply.id, reply.model) == ("c1", "m")


def test_identity_of_unexpected_types() -> None:
    """A number is no name."""
    log = read({"id": 1, "model": ["m"], "created": "now", "choices": []}).transcript
    assert (log.id, log.model, log.created) == ("", "", 0)


def test_a_name_may_come_late() -> None:
    """The first id stands, and what comes with the model's name."""
    log = read(
        {"id": "a", "choices": [], "created": 1},
        {"id": "b", "choices": [], "model": "m", "created": 2},
        {"id": "c", "choices": [], "model": "n", "created": 3},
    ).transcript
    assert (log.id, log.model, log.created) == ("a", "m", 2)
    log = read({"choices": [], "model": "m", "created": True}).transcript
    assert log.created == 0


USUAL = {
    "id": "c1",
    "object": "chat.completion.chunk",
    "created": 7,
    "model": "m",
    "usage": {},
    "system_fingerprint": "fp",
    "obfuscation": "x",
}


def test_usual_fields_are_nothing_beside_the_text() -> None:
    choice = {"index": 0, "finish_reason": None, "logprobs": None, "message": None}
    delta = {"role": "assistant", "content": "甲", "reasoning_content": "", "reasoning": None}
    reply = reply_of({**USUAL, "choices": [{**choice, "delta": delta}]})
    assert (reply.answer, reply.extra, reply.choices[0].extra) == ("甲", {}, {})


OF_CHUNKS = [
    *("service_tier", "moderation", "citations", "web_search", "search_results", "provider"),
    *("request_id", "x_groq", "prompt_filter_results", "p", "base_resp", "timings"),
    *("input_sensitive", "input_sensitive_type", "output_sensitive", "output_sensitive_type"),
    *("output_sensitive_int", "prompt_token_ids", "prompt_logprobs", "kv_transfer_params"),
    *("metadata", "nonce", "cost", "code", "message", "msg", "success", "type", "status"),
    *("related_questions", "images", "num_sources_used", "sla_metrics", "stats", "warnings"),
]
OF_CHOICES = [
    *("native_finish_reason", "stop_reason", "matched_stop", "token_ids", "error", "usage"),
    *("content_filter_results", "content_filter_result", "content_filter_offsets"),
    *("hidden_states", "routed_experts", "finish_details", "text"),
]
OF_DELTAS = ["name", "audio_content", "extra_content"]


def test_fields_of_vendors_are_kept_and_no_news() -> None:
    """One by one, each in its place."""
    for name in OF_CHUNKS:
        reply = reply_of(chunk({"content": "甲"}, **{name: "x"}))
        assert (reply.extra, reply.choices[0].extra) == ({name: "x"}, {}), name
    for name in OF_CHOICES:
        frame = chunk({"content": "甲"})
        frame["choices"][0][name] = "x"
        reply = reply_of(frame)
        assert (reply.extra, reply.choices[0].extra) == ({}, {name: "x"}), name
    for name in OF_DELTAS:
        reply = reply_of(chunk({"content": "甲", name: "x"}))
        assert (reply.extra, reply.choices[0].extra) == ({}, {name: "x"}), name
    assert reply_of(chunk({"content": "甲"}, error="x")).extra == {}


def test_fields_that_nobody_knows_are_told() -> None:
    """Once, and again when their value is another one; null and what is empty say nothing."""
    frames: list[Any] = [
        {"choices": [{"index": 1, "delta": {"new": value}, "odd": value}], "more": value}
        for value in (1, 1, True, None, "二")
    ]
    frames += [{"choices": [], "more": "二", "last": [0]}]
    found = said(*frames)
    assert found == [
        UnknownDelta(choice, "chat", path, value)
        for value in (1, True, "二")
        for choice, path in [(1, "choices.delta.new"), (1, "choices.odd"), (0, "more")]
    ] + [UnknownDelta(0, "chat", "last", [0])]
    log = read(*frames).transcript
    assert log.choices[1].extra == {"new": "二", "odd": "二"}
    assert log.extra == {"more": "二", "last": [0]}


def test_fields_before_any_choice_are_no_news() -> None:
    """A frame without choices may be anything; it is kept."""
    frame = {"more": 1}
    assert said(frame) == []
    assert read(frame).transcript.extra == {"more": 1}
    assert said(chunk({"content": "甲"}), frame)[1:] == [UnknownDelta(0, "chat", "more", 1)]


def test_a_usage_beside_the_choices_or_within_one() -> None:
    """Moonshot has it there."""
    counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    frame = chunk({"content": "甲"})
    frame["choices"][0]["usage"] = counts
    for reply in (reply_of(frame), reply_of(chunk({"content": "甲"}, usage=counts))):
        assert reply.usage == Usage(3, 4, 0, 0, 7, extra=counts)
    assert reply_of(chunk({"content": "甲"}, usage=[1])).usage.estimated


def test_a_finish_in_gemini_s_spelling() -> None:
    frame = {"choices": [{"index": 0, "delta": {"content": "甲"}, "finishReason": "STOP"}]}
    assert said(frame) == [AnswerDelta("甲"), FinishDelta(0, "STOP")]


def test_unknown_fields_are_kept() -> None:
    """Of the chunks, of the choices and of the deltas: the last value that was one."""
    first = chunk({"content": "甲", "audio_content": "x"}, provider="p", nothing=None)
    second = chunk({"content": "乙"}, provider="q")
    second["choices"][0] |= {"native_finish_reason": "x", "matched_stop": None}
    reply = reply_of(first, second)
    assert reply.extra == {"provider": "q"}
    assert reply.choices[0].extra == {"audio_content": "x", "native_finish_reason": "x"}


def test_padding_and_fingerprints_are_not() -> None:
    """They are in every chunk and mean nothing."""
    assert reply_of(chunk({"content": "甲"}, obfuscation="x", system_fingerprint="y")).extra == {}


def test_logprobs_are_joined() -> None:
    """They come parallel to the text, or in chunks of their own, or in a form of another time."""
    entries = [{"token": "甲", "logprob": -0.1}, {"token": "乙", "logprob": -0.2}]
    frames = [chunk({"content": "甲乙"}), chunk({}), chunk({}), chunk({"content": "丙"})]
    frames[0]["choices"][0]["logprobs"] = {"content": entries[:1]}
    frames[1]["choices"][0]["logprobs"] = {"content": entries[1:]}
    frames[2]["choices"][0]["logprobs"] = {"tokens": ["丙"]}
    frames[3]["choices"][0]["logprobs"] = {"content": None}
    reply = reply_of(*frames)
    assert reply.choices[0].logprobs == (*entries, {"tokens": ["丙"]}, {"content": None})
    assert reply.answer == "甲乙丙"


def with_logprobs(logprobs: object, **delta: object) -> dict[str, Any]:
    frame = chunk(delta)
    frame["choices"][0]["logprobs"] = logprobs
    return frame


def test_logprobs_of_what_is_no_answer() -> None:
    """Those of refusals and thoughts are kept under their names."""
    frames = [
        with_logprobs({"content": [1], "refusal": [2], "reasoning_content": [], "x": 5}),
        with_logprobs({"content": [], "refusal": [3], "reasoning_content": [4]}),
    ]
    (choice,) = reply_of(*frames).choices
    assert choice.logprobs == (1,)
    assert choice.extra == {"logprobs": {"refusal": [2, 3], "reasoning_content": [4]}}


def test_logprobs_of_unexpected_types() -> None:
    """They hold nothing, or take the place of what is none."""
    frames = [with_logprobs("x"), with_logprobs([1]), with_logprobs({"refusal": [2]})]
    (choice,) = reply_of(*frames).choices
    assert (choice.logprobs, choice.extra) == (({"refusal": [2]},), {})
    more = with_logprobs({"content": [], "refusal": [2]})
    for odd, kept in [("x", [2]), ({"refusal": 7}, 7)]:
        (choice,) = reply_of(chunk({"logprobs": odd}), more).choices
        assert choice.extra["logprobs"] == {"refusal": kept}


def test_several_choices() -> None:
    """Each has its text, its reason and its splitter; fewer than asked for is a remark."""
    frames = [
        chunk({"content": "<think>想"}, index=1),
        chunk({"content": "甲"}),
        chunk({"content": "</think>乙"}, index=1),
        chunk({}, "stop"),
        chunk({}, "length", index=1),
    ]
    reply = reply_of(*frames, expected=3)
    told = [(c.index, c.reasoning, c.answer, c.finish_reason, c.status) for c in reply.choices]
    assert told == [(0, "", "甲", "stop", "complete"), (1, "想", "乙", "length", "complete")]
    assert reply.notes == ("fewer choices: 3 asked for, 2 came",)


# --- halves of characters -----------------------------------------------------------------------

HALVES = {
    "a pair over two deltas": (["\ud83d", "\udc4b"], ["👋"]),
    "a pair after text": (["a\ud83d", "\udc4bb"], ["a", "👋b"]),
    "a first half alone": (["a\ud83d", "b"], ["a", "\ufffdb"]),
    "a second half alone": (["a\udc4b"], ["a\ufffd"]),
    "a first half at the end": (["a\ud83d"], ["a", "\ufffd"]),
    "two first halves": (["\ud83d\ud83d", "\udc4b"], ["\ufffd", "👋"]),
}


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@pytest.mark.parametrize("case", HALVES)
def test_halves_of_characters(case: str, field: str) -> None:
    """Tokens may end inside a character: halves are joined, and a lone one is replaced."""
    texts, expected = HALVES[case]
    frames = [f'{{"choices":[{{"delta":{{"{field}":{ascii_json(text)}}}}}]}}' for text in texts]
    kind = AnswerDelta if field == "content" else ReasoningDelta
    assert said(*[frame.encode() for frame in frames]) == [kind(text) for text in expected]


def ascii_json(text: str) -> str:
    """Write each UTF-16 unit as an escape, as vendors do."""
    units = text.encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return '"' + "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs) + '"'


def test_halves_of_two_choices_are_not_mixed() -> None:
    """Each text waits for its own other half, also across whole characters of another."""
    frames = [
        b'{"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}',
        b'{"choices":[{"index":1,"delta":{"content":"\\ud83e","reasoning":"\\ud83d"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":"\\udc4b"},"finish_reason":"stop"}]}',
        b'{"choices":[{"index":1,"delta":{"reasoning":"\\udc4c"}}]}',
        b'{"choices":[{"index":1,"delta":{"content":"\\udd14"},"finish_reason":"stop"}]}',
    ]
    log = read(*frames).transcript
    assert (log.text(0, 1), log.text(1, 1), log.text(1, 0)) == ("👋", "🤔", "👌")


HALVED = {
    "a refusal": {"refusal": "\ud83d"},
    "a call's name": {
        "tool_calls": [{"id": "c", "function": {"name": "\ud83d", "arguments": "{}"}}]
    },
    "a call's id": {
        "tool_calls": [{"id": "\ud83d", "function": {"name": "f", "arguments": "{}"}}]
    },
    "arguments": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '"\ud83d"'}}]},
    "an object": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": ["\ud83d"]}}]},
    "an address": {"annotations": [{"url_citation": {"url": "\ud83d"}}]},
    "an image": {"images": [{"image_url": {"url": "\ud83d"}}]},
    "details": {"reasoning_details": [{"text": "\ud83d", "index": 0}]},
}


@pytest.mark.parametrize("where", HALVED)
def test_halves_in_everything_else(where: str) -> None:
    """A lone half anywhere breaks nothing that is made of the reply."""
    frames = [chunk(HALVED[where], name="\ud83d"), chunk({}, "stop")]
    decoder = read(*[json.dumps(frame).encode() for frame in frames])
    reply = fold(decoder.transcript, PLAIN, About("complete"))
    relay = Relay(decoder.transcript)
    assert b"".join(map(relay.write, deltas(decoder))).endswith(b"\n\n")
    assert orjson.dumps(reply.message())


HALVES_OF: dict[str, Callable[[str], dict[str, Any]]] = {
    "refusal": lambda half: {"refusal": half},
    "text": lambda half: {"reasoning_details": [{"text": half}]},
    "thinking": lambda half: {"thinking_blocks": [{"type": "thinking", "thinking": half}]},
    "part": lambda half: {"content": [{"type": "text", "text": half}]},
}


@pytest.mark.parametrize("name", HALVES_OF)
def test_halves_of_every_text(name: str) -> None:
    """A pair over two chunks is joined, wherever text comes in pieces."""
    frames = [chunk(HALVES_OF[name](half)) for half in ("一\ud83d", "\udc4b二")]
    reply = reply_of(*[json.dumps(frame).encode() for frame in frames], chunk({}, "stop"))
    (choice,) = reply.choices
    assert choice.answer + choice.reasoning + choice.refusal == "一👋二"


def test_halves_in_arguments() -> None:
    """Arguments are text that comes in tokens, too: a pair over two pieces is joined."""
    pieces = [piece('"\ud83d', "a", "f", index=0), piece('\udc4b"', index=0)]
    frames = [chunk({"tool_calls": [one]}) for one in pieces]
    reply = reply_of(*[json.dumps(frame).encode() for frame in frames], chunk({}, "stop"))
    assert reply.tool_calls[0].parse() == "👋"


def test_numbers_that_json_has_not() -> None:
    """NaN and Infinity are read where they do no harm."""
    logprobs = b'"logprobs":{"content":[{"logprob":-Infinity}]}'
    usage = b'{"choices":[],"usage":{"prompt_tokens":NaN,"completion_tokens":2}}'
    reply = reply_of(b'{"choices":[{"delta":{"content":"a"},%s}]}' % logprobs, usage)
    assert reply.answer == "a"
    assert reply.choices[0].logprobs == ({"logprob": float("-inf")},)
    assert reply.usage.completion_tokens == 2


# --- reasoning ----------------------------------------------------------------------------------


def test_a_field_switches_the_tags_off() -> None:
    """Once a field has carried reasoning, a tag in the content is the answer's."""
    frames = [chunk({"reasoning_content": "想"}), chunk({"content": "<think>标签</think>"})]
    assert said(*frames) == [ReasoningDelta("想"), AnswerDelta("<think>标签</think>")]


def test_what_was_held_comes_before_the_field() -> None:
    """Content that might have been a tag was none, and came first."""
    frames = [chunk({"content": "<thi"}), chunk({"reasoning": "想"}), chunk({"content": "答"})]
    assert said(*frames) == [AnswerDelta("<thi"), ReasoningDelta("想"), AnswerDelta("答")]


@pytest.mark.parametrize("held", ["\n\n", "<th"], ids=repr)
def test_what_was_held_comes_before_a_tool_call(held: str) -> None:
    """Text that came before a call is told before it."""
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    got = said(chunk({"content": held}), chunk(call), chunk({}, "tool_calls"))
    assert got[:2] == [AnswerDelta(held), ToolCallDelta(0, 0, "c", "f", "")]


def test_thinking_goes_on_inline_to_the_end() -> None:
    """A stream that ends inside thinking gives out what was held, and says so."""
    log = read(chunk({"content": "<think>想</thi"})).transcript
    assert deltas(read(chunk({"content": "<think>想</thi"}))) == [
        ReasoningDelta("想"),
        ReasoningDelta("</thi"),
    ]
    assert fold(log, PLAIN, About("interrupted")).notes == (
        "thinking cut short: the reply ended inside the reasoning",
    )


def test_a_length_spent_on_thinking_is_told() -> None:
    """Where the reasoning has a field, the finish reason shows it."""
    reply = reply_of(chunk({"reasoning_content": "想"}), chunk({}, "length"))
    assert reply.notes == ("thinking cut short: the reply ended inside the reasoning",)
    assert reply_of(chunk({"content": "答"}), chunk({}, "length")).notes == ()


@pytest.mark.parametrize("name", ["text", "content", "thinking", "reasoning"])
def test_thoughts_in_an_object(name: str) -> None:
    """Relays write them under several names; the first that is text counts."""
    assert said(chunk({"reasoning": {"text": "", "x": 1, name: "想"}})) == [ReasoningDelta("想")]
    assert said(chunk({"reasoning": {"other": "想"}})) == []


def test_thoughts_in_a_second_field_are_not_said_again() -> None:
    frames = [chunk({"reasoning_content": "想", "reasoning": "想", "reasoning_text": "想"})]
    assert said(*frames) == [ReasoningDelta("想")]
    reply = reply_of(*frames)
    assert (reply.choices[0].reasoning_field, reply.unknown) == ("reasoning_content", ())


def thinking_block(text: object, **more: object) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, **more}


def test_thinking_blocks() -> None:
    """LiteLLM's: a signature closes one, and what is no thinking stands for itself."""
    blocks = [
        *(thinking_block("想"), thinking_block("好"), thinking_block("", signature="S")),
        *(thinking_block("再"), {"type": "redacted_thinking", "data": "x"}),
        *({"type": "redacted_thinking", "data": "y"}, thinking_block("想")),
    ]
    frames = [chunk({"thinking_blocks": [block]}) for block in blocks]
    reply = reply_of(*frames, chunk({"thinking_blocks": [7, thinking_block("完")]}))
    assert reply.reasoning == "想好再想完"
    kept = [
        *(thinking_block("想好", signature="S"), thinking_block("再")),
        *({"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "y"}),
        thinking_block("想完"),
    ]
    assert reply.choices[0].extra == {"thinking_blocks": kept}
    assert reply.choices[0].reasoning_field == "thinking_blocks"
    assert reply.message()["thinking_blocks"] == kept
    assert "native" in reply.message()


def test_thinking_blocks_beside_a_field() -> None:
    """They are kept, and not read."""
    frame = chunk({"reasoning_content": "想", "thinking_blocks": [thinking_block("想")]})
    reply = reply_of(frame, frame)
    assert (reply.reasoning, reply.choices[0].reasoning_field) == ("想想", "reasoning_content")
    assert reply.choices[0].extra == {"thinking_blocks": [thinking_block("想想")]}


@pytest.mark.parametrize("odd", ["x", {"a": 1}, [[]], [7], 7], ids=repr)
def test_thinking_blocks_that_are_none(odd: object) -> None:
    frames = [chunk({"thinking_blocks": odd}), chunk({"content": "答"})]
    assert said(*frames) == [AnswerDelta("答")]


def test_several_thinking_blocks_at_once() -> None:
    frame = chunk({"thinking_blocks": [thinking_block("想"), thinking_block("好"), "!"]})
    assert said(frame) == [ReasoningDelta("想好!")]


def test_thoughts_as_parts_of_the_content() -> None:
    """Mistral's: they go back as a part, with its signature."""
    thought = [{"type": "text", "text": "想"}, "一", 7]
    frames = [
        chunk({"content": [{"type": "thinking", "thinking": thought, "closed": None}]}),
        chunk({"content": [{"thinking": "想", "signature": "S", "closed": True}]}),
        chunk({"content": [{"type": "thinking"}, {"type": "text", "text": "答"}]}),
    ]
    reply = reply_of(*frames)
    assert (reply.reasoning, reply.answer) == ("想一想", "答")
    part = {"type": "thinking", "signature": "S", "closed": True}
    assert reply.choices[0].extra == {"thinking_part": part}
    assert reply.choices[0].reasoning_field == "thinking_part"
    assert reply.message()["content"] == [
        {**part, "thinking": [{"type": "text", "text": "想一想"}]},
        {"type": "text", "text": "答"},
    ]
    alone = reply_of(chunk({"content": [{"thinking": "想", "signature": "S"}]})).choices[0]
    assert alone.extra == {"thinking_part": {"type": "thinking", "signature": "S"}}
    odd = reply_of(chunk({"thinking_part": 7}), *frames).choices[0]
    assert (odd.reasoning, odd.extra["thinking_part"]) == ("想一想", 7)


@pytest.mark.parametrize(
    ("texts", "sides", "inline"),
    [
        (["[THINK]想[/THINK]答"], ("想", "答"), "[THINK]想[/THINK]"),
        (["◁th", "ink▷想◁/think▷", "答"], ("想", "答"), "◁think▷想◁/think▷"),
        ([" \n", "<think>", "想</think>\n\n答", "案"], ("想", "答案"), " \n<think>想</think>\n\n"),
        (["<think>想"], ("想", ""), "<think>想"),
        (["答<think>", "想</think>"], ("", "答<think>想</think>"), ""),
        (["答", "<think>想</think>"], ("", "答<think>想</think>"), ""),
        ([" 答", "<think>想</think>"], ("", " 答<think>想</think>"), ""),
        (["<b>答</b>"], ("", "<b>答</b>"), ""),
    ],
    ids=repr,
)
def test_what_stood_before_the_answer_is_kept_as_it_was(
    texts: list[str], sides: tuple[str, str], inline: str
) -> None:
    """Tags included, for the next turn."""
    reply = reply_of(*[chunk({"content": text}) for text in texts], chunk({}, "stop"))
    assert (reply.reasoning, reply.answer, reply.choices[0].inline) == (*sides, inline)
    cut = ("thinking cut short: the reply ended inside the reasoning",)
    assert reply.notes == (cut if texts == ["<think>想"] else ())


def test_an_opening_tag_that_is_assumed() -> None:
    """Until a closing one comes, all is thinking."""
    dialect = DIALECTS["open-thinking"]
    frames = [chunk({"content": text}) for text in ("想", "想</th", "ink>\n\n答", "案")]
    reply = reply_of(*frames, dialect=dialect)
    assert (reply.reasoning, reply.answer) == ("想想", "答案")
    assert reply.choices[0].inline == "想想</think>\n\n"


def test_a_closing_tag_that_was_left_over_after_a_field() -> None:
    """It is dropped from the answer, once; the tags were not the answer's."""
    frames = [chunk({"reasoning": text}) for text in ("想", "好")]
    frames += [chunk({"content": text}) for text in ("\n</thi", "nk>\n\n答", "</think>")]
    reply = reply_of(*frames)
    assert (reply.reasoning, reply.answer, reply.choices[0].inline) == ("想好", "答</think>", "")
    again = reply_of(*frames, chunk({"reasoning": "再"}), chunk({"content": "</think>吧"}))
    assert (again.reasoning, again.answer) == ("想好再", "答</think></think>吧")


def test_details_do_not_let_out_what_is_held() -> None:
    """They were looked at before the text."""
    hidden = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}
    frames = [chunk({"content": "<thi"}), chunk(hidden), chunk({"content": "nk>想</think>答"})]
    assert said(*frames) == [ReasoningDelta("想"), AnswerDelta("答")]


@pytest.mark.parametrize(
    ("texts", "reasoning"),
    [
        (["想", "想一", "想一想"], "想一想"),
        (["想", "一", "想"], "想一想"),
        (["想", "想"], "想想"),
        (["想", "想一", "再"], "想一再"),
        (["想", "一", "想一"], "想一想一"),
        (["", "想", "想一"], "想一"),
        (["想", "", "想一"], "想一"),
        (["想", "想一", "", "想一想"], "想一想"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("retain", [True, False])
def test_details_grow_or_hold_all_so_far(texts: list[str], reasoning: str, retain: bool) -> None:
    """The second text of an entry shows which."""
    log = Transcript(retain=retain)
    decoder = ChatCompletionsDecoder(PLAIN, log)
    for text in texts:
        decoder.take(detailed({"type": "reasoning.text", "text": text}))
    decoder.end()
    assert log.text(0, REASONING) == reasoning
    details = [detail.whole() for detail in log.choice(0).details.values()]
    assert details == ([{"type": "reasoning.text", "text": reasoning}] if retain else [])


def detailed(*entries: object) -> dict[str, Any]:
    return chunk({"reasoning_details": list(entries)})


def test_details_with_a_summary() -> None:
    """OpenRouter's other kind of entry has its text under another name."""
    frames = [
        detailed({"type": "reasoning.summary", "summary": text, "index": 0}) for text in "想好"
    ]
    assert said(*frames) == [ReasoningDelta("想"), ReasoningDelta("好")]
    assert reply_of(*frames).message()["reasoning_details"] == [
        {"type": "reasoning.summary", "index": 0, "summary": "想好"}
    ]


def test_details_that_hide_their_text() -> None:
    """Encrypted entries are no delta, and go back as they came; the last signature counts."""
    frames = [
        detailed({"type": "reasoning.text", "text": "想", "index": 0, "signature": None}),
        detailed({"type": "reasoning.text", "text": "", "index": 0, "signature": "a"}),
        detailed({"type": "reasoning.text", "index": 0, "signature": "b"}),
        detailed({"type": "reasoning.encrypted", "data": "x", "index": 1}),
    ]
    assert said(*frames) == [ReasoningDelta("想")]
    assert reply_of(*frames).message()["reasoning_details"] == [
        {"type": "reasoning.text", "index": 0, "signature": "b", "text": "想"},
        {"type": "reasoning.encrypted", "data": "x", "index": 1},
    ]


def test_details_so_far_that_begin_anew() -> None:
    """A second thought, in an entry of its own or in the same one, is not taken for the first."""
    texts = [(0, "想"), (0, "想好"), (1, "再"), (1, "再想")]
    frames = [
        detailed({"type": "reasoning.text", "text": text, "index": at}) for at, text in texts
    ]
    reply = reply_of(*frames)
    assert reply.reasoning == "想好再想"
    same = [detailed({"type": "reasoning.text", "text": text, "index": 0}) for _, text in texts]
    assert reply_of(*same).reasoning == "想好再想"


@pytest.mark.parametrize("odd", [None, "x", 1, [None], ["x"], [[]], {}], ids=repr)
def test_details_that_are_none(odd: object) -> None:
    """Details of another form are passed over."""
    assert said(chunk({"reasoning_details": odd}), chunk({"content": "答"})) == [AnswerDelta("答")]


@pytest.mark.parametrize("index", [None, "a", [], {}], ids=repr)
def test_details_with_an_index_of_any_type(index: object) -> None:
    """An index is a number by habit only."""
    entry = {"type": "reasoning.text", "text": "想", "index": index}
    assert said(detailed(entry)) == [ReasoningDelta("想")]


def test_a_field_comes_before_the_details() -> None:
    """Text in a field is not said again by the details, also if they come in another chunk."""
    both = chunk({"reasoning": "想", "reasoning_details": [{"text": "想", "index": 0}]})
    assert said(both, both) == [ReasoningDelta("想"), ReasoningDelta("想")]


def test_a_dialect_without_details() -> None:
    """Where the table says so, they are kept and not read."""
    dialect = Dialect("mine", details=False)
    frames = [detailed({"type": "reasoning.text", "text": "想", "index": 0})]
    assert said(*frames, dialect=dialect) == []
    assert "reasoning_details" in reply_of(*frames, dialect=dialect).message()


def test_a_dialect_says_what_goes_back() -> None:
    """The reasoning goes back under the name that the vendor reads, or that it came in."""
    frame = chunk({"reasoning": "想"})
    assert reply_of(frame).message()["reasoning"] == "想"
    assert reply_of(frame, dialect=DIALECTS["qwen"]).message()["reasoning_content"] == "想"


# --- whole messages -----------------------------------------------------------------------------


def whole(reason: str | None = "stop", **message: object) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}


def test_a_whole_message() -> None:
    """A plain answer is one delta of each kind."""
    function = {"name": "f", "arguments": '{"a":1}'}
    calls = [{"id": "c", "type": "function", "function": function}]
    assert said(whole("tool_calls", content="答", reasoning_content="想", tool_calls=calls)) == [
        ReasoningDelta("想"),
        AnswerDelta("答"),
        ToolCallDelta(0, 0, "c", "f", '{"a":1}'),
        FinishDelta(0, "tool_calls"),
    ]


@pytest.mark.parametrize(
    ("content", "sides"),
    [
        ("<think>\n想\n</think>\n\n答", ("想\n", "答")),
        ("想\n</think>\n\n答", ("想", "答")),
        ("想\n</thought>\n答", ("想", "答")),
        ("写 </think> 就行", ("", "写 </think> 就行")),
        ("先 <think> 后\n</think>\n就行", ("", "先 <think> 后\n</think>\n就行")),
        (None, ("", "")),
    ],
    ids=["tags", "no opening tag", "another word", "in a line", "both in the answer", "null"],
)
def test_a_whole_message_with_tags(content: str | None, sides: tuple[str, str]) -> None:
    """A closing tag on a line of its own tells that the opening one was swallowed."""
    reply = reply_of(whole(content=content))
    assert (reply.reasoning.rstrip("\n"), reply.answer) == (sides[0].rstrip("\n"), sides[1])


@pytest.mark.parametrize("tag", PLAIN.tags)
def test_a_whole_message_without_an_opening_tag(tag: str) -> None:
    """It goes back whole."""
    reply = reply_of(whole(content=f"想\n</{tag}>\n答"))
    assert (reply.reasoning, reply.answer) == ("想\n", "答")
    assert reply.message()["content"] == f"<{tag}>想\n</{tag}>\n答"


def test_an_assumed_opening_tag_is_not_restored() -> None:
    reply = reply_of(whole(content="想\n</think>\n答"), dialect=DIALECTS["open-thinking"])
    assert reply.message()["content"] == "想\n</think>\n答"


def test_a_message_beside_a_delta_is_none() -> None:
    choice = {"index": 0, "delta": {"content": "甲"}, "message": {"content": "乙"}}
    assert said({"choices": [choice]}) == [AnswerDelta("甲")]
    assert said({"choices": [choice | {"delta": []}]}) == []
    assert said({"choices": [choice | {"delta": None}]}) == [AnswerDelta("乙")]


def test_a_last_frame_after_its_deltas() -> None:
    """It repeats them, and gives only its finish and its usage; another choice's are its own."""
    for delta in ({"content": "答"}, {"reasoning": "想"}):
        frames = [chunk(delta), whole(content="答案", reasoning="想想")]
        assert said(*frames)[1:] == [FinishDelta(0, "stop")]
    frames = [chunk({"content": "乙"}, index=1), whole(content="甲")]
    assert said(*frames)[:2] == [AnswerDelta("乙", 1), AnswerDelta("甲")]


def test_calls_of_a_whole_message_that_are_none() -> None:
    calls = [7, {"function": {"name": "f", "arguments": "{}"}}]
    made = reply_of(whole(content="答", tool_calls=calls))
    assert [call.name for call in made.tool_calls] == ["f"]
    assert reply_of(whole(content="答", tool_calls={"a": 1})).answer == "答"


def test_a_whole_message_that_quotes_a_closing_tag() -> None:
    """Where the reasoning has a field of its own, the answer is left as it is."""
    reply = reply_of(whole(content="这样写：\n</think>\n就行", reasoning_content="想"))
    assert (reply.reasoning, reply.answer) == ("想", "这样写：\n</think>\n就行")


def test_a_vendor_without_tags() -> None:
    """Where the table says never, not even a lone closing tag is looked for."""
    frame = whole(content="x\n</think>\ny")
    assert reply_of(frame, dialect=DIALECTS["openai"]).answer == "x\n</think>\ny"


def test_a_last_frame_without_deltas_before() -> None:
    """MiniMax's last frame counts where nothing was streamed before it."""
    frames = [chunk({"role": "assistant", "content": ""}), whole(content="<think>想</think>答")]
    assert said(*frames) == [ReasoningDelta("想"), AnswerDelta("答"), FinishDelta(0, "stop")]


def test_a_last_frame_after_a_call() -> None:
    """A call that was streamed is not made twice."""
    calls = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]
    reply = reply_of(chunk({"tool_calls": calls}), whole("tool_calls", tool_calls=calls))
    assert [call.id for call in reply.tool_calls] == ["c"]


@pytest.mark.parametrize("names", [{}, {"id": "c"}, {"id": "c", "index": 0}], ids=str)
def test_each_entry_of_a_whole_message_is_a_call(names: dict[str, Any]) -> None:
    """Whatever they are named: equal entries are equal calls, and not one said twice."""
    calls = [{**names, "function": {"name": "f", "arguments": '{"a":1}'}}] * 2
    made = reply_of(whole("tool_calls", tool_calls=calls)).tool_calls
    assert [call.parse() for call in made] == [{"a": 1}, {"a": 1}]
    assert len({call.id for call in made}) == len(made)


def test_a_refusal_goes_back_as_text() -> None:
    """Else the turn would be empty, which vendors refuse."""
    assert reply_of(chunk({"refusal": "不行"}), chunk({}, "stop")).message()["content"] == "不行"


def test_a_relay_tells_the_audio_of_a_choice() -> None:
    decoder = read(
        chunk({"audio": {"id": "au", "data": "QUI=", "transcript": "你"}}),
        chunk({"audio": {"data": "Qw==", "transcript": "好"}}),
        chunk({}, "stop"),
    )
    relay = Relay(decoder.transcript)
    told = b"".join(map(relay.write, deltas(decoder)))
    (frame,) = (orjson.loads(line[6:]) for line in told.split(b"\n\n") if line)
    audio = {"id": "au", "data": "QUJD", "transcript": "你好"}
    assert frame["choices"][0]["delta"] == {"role": "assistant", "audio": audio}


def test_a_field_within_a_function_is_told() -> None:
    """A null says nothing; the fields beside the function are the call's own extra."""
    function = {"name": "f", "arguments": "{}", "new": "新", "none": None}
    reply = reply_of(chunk({"tool_calls": [{"index": 0, "id": "c", "function": function}]}))
    (unknown,) = reply.choices[0].unknown
    assert (unknown.type, unknown.data) == ("tool_calls.function", {"new": "新"})


def test_a_field_within_a_custom_call_is_told() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "好", "new": "\ud83d"}}
    reply = reply_of(json.dumps(chunk({"tool_calls": [call]})).encode(), chunk({}, "stop"))
    assert reply.tool_calls == (ToolCall("c", "f", "好", kind="custom"),)
    assert reply.unknown == (UnknownDelta(0, "chat", "tool_calls.custom", {"new": "\ufffd"}),)


def test_the_form_from_before_tools() -> None:
    """One call without an id, in pieces."""
    frames = [
        chunk({"function_call": {"name": "f", "arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ":1}"}}, "function_call"),
    ]
    assert reply_of(*frames).tool_calls == (ToolCall("call_0", "f", '{"a":1}'),)


# --- who signed it ------------------------------------------------------------------------------

SIGNED: dict[str, dict[str, Any]] = {
    "details": {"reasoning_details": [{"type": "reasoning.text", "text": "想", "signature": "S"}]},
    "encrypted": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "S"}]},
    "blocks": {"thinking_blocks": [{"type": "thinking", "thinking": "想", "signature": "S"}]},
    "parts": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "想"}]}]},
    "calls": {
        "tool_calls": [
            {
                "id": "c",
                "function": {"name": "f", "arguments": "{}"},
                "extra_content": {"google": {"thought_signature": "S"}},
            }
        ]
    },
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_is_signed_names_its_model(name: str) -> None:
    """So that it stays behind when the history goes to another one."""
    native = reply_of(chunk(SIGNED[name]), chunk({}, "stop")).message()["native"]
    assert native == {"protocol": "chat", "content": [], "asked": "", "model": "m"}


def test_who_signed_is_asked_of_every_choice() -> None:
    log = Transcript(2, asked="claude")
    decoder = ChatCompletionsDecoder(PLAIN, log)
    for index in (0, 1):
        decoder.take(chunk({"content": "答", **SIGNED["details"]}, index=index))
    decoder.take(chunk({"content": "答"}, index=2))
    decoder.end()
    native = {"protocol": "chat", "content": [], "asked": "claude", "model": "m"}
    assert [log.choice(index).native for index in range(3)] == [native, native, None]


def test_what_is_not_signed_names_nobody() -> None:
    details = [{"type": "reasoning.text", "text": "想"}]
    reply = reply_of(chunk({"reasoning_details": details}), chunk({}, "stop"))
    assert "native" not in reply.message()


# --- tool calls ---------------------------------------------------------------------------------

UNSET = object()


def piece(
    arguments: object = "", id_: object = UNSET, name: object = UNSET, **more: object
) -> Any:
    function = {"arguments": arguments} | ({} if name is UNSET else {"name": name})
    return {"function": function} | ({} if id_ is UNSET else {"id": id_}) | more


def calls_of(*pieces: object, reason: str = "tool_calls") -> list[tuple[str, str, str]]:
    frames = [chunk({"tool_calls": [one]}) for one in pieces]
    reply = reply_of(*frames, chunk({}, reason))
    return [(call.id, call.name, call.arguments) for call in reply.tool_calls]


ASSEMBLIES = {
    "by index": (
        [
            piece("{", "a", "f", index=0),
            piece("[", "b", "g", index=1),
            piece("}", index=0),
            piece("]", index=1),
        ],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "in order of appearance": (
        [piece("1", "a", "f", index=5), piece("2", "b", "g", index=2)],
        [("a", "f", "1"), ("b", "g", "2")],
    ),
    "by an id that is known, though renumbered": (
        [piece("{", "a", "f", index=0), piece("}", "a", index=1)],
        [("a", "f", "{}")],
    ),
    "an index used again for another call": (
        [piece("{}", "a", "f", index=0), piece("[]", "b", "g", index=0)],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "an index with a new id and no name goes on": (
        [piece("{", "a", "f", index=0), piece("}", "b", index=0)],
        [("a", "f", "{}")],
    ),
    "an id that comes late": (
        [piece("{", None, "f", index=0), piece("}", "a", index=0)],
        [("a", "f", "{}")],
    ),
    "without index by id": (
        [piece("{", "a", "f"), piece("[", "b", "g"), piece("}", "a"), piece("]", "b")],
        [("a", "f", "{}"), ("b", "g", "[]")],
    ),
    "without index or id by name": (
        [piece("{", name="f"), piece("}"), piece("[", name="g"), piece("]")],
        [("call_0", "f", "{}"), ("call_1", "g", "[]")],
    ),
    "without anything": ([piece("{"), piece("}")], [("call_0", "", "{}")]),
    "the same name again": (
        [piece("{", "a", "f", index=0), piece("}", "", "f", index=0)],
        [("a", "f", "{}")],
    ),
    "nulls and blanks change nothing": (
        [
            piece("{", "a", "f", index=0),
            piece(None, None, None, index=0),
            piece("}", "", "", index=0),
        ],
        [("a", "f", "{}")],
    ),
    "no function at all": (
        [piece("{}", "a", "f", index=0), {"index": 0}, {"index": 0, "function": None}],
        [("a", "f", "{}")],
    ),
    "an index that is text": ([piece("{}", "a", "f", index="0")], [("a", "f", "{}")]),
    "arguments as a list": ([piece([1, "二"], "a", "f", index=0)], [("a", "f", '[1,"二"]')]),
    "arguments as an empty object": ([piece({}, "a", "f", index=0)], [("a", "f", "{}")]),
    "an odd id": ([piece("{}", "functions.f:0", "f")], [("functions.f:0", "f", "{}")]),
    "pieces that are none": ([None, "x", 1, piece("{}", "a", "f")], [("a", "f", "{}")]),
}


@pytest.mark.parametrize("case", ASSEMBLIES)
def test_calls_are_put_together(case: str) -> None:
    """Which piece belongs to which call, whatever its vendor leaves out."""
    pieces, expected = ASSEMBLIES[case]
    assert calls_of(*pieces) == expected


def test_two_calls_in_one_delta() -> None:
    """An array of whole calls is as many calls."""
    frame = chunk({"tool_calls": [piece('{"a":1}', "a", "f"), piece("[]", "b", "g")]})
    assert said(frame) == [
        ToolCallDelta(0, 0, "a", "f", '{"a":1}'),
        ToolCallDelta(0, 1, "b", "g", "[]"),
    ]


def test_what_a_vendor_adds_to_a_call() -> None:
    """It is kept with the call, and goes back with it."""
    extra = {"extra_content": {"google": {"thought_signature": "x"}}, "nothing": None}
    reply = reply_of(chunk({"tool_calls": [piece("{}", "a", "f", **extra)]}), chunk({}, "stop"))
    kept = {"extra_content": extra["extra_content"]}
    assert reply.tool_calls[0].extra == kept
    assert reply.message()["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, **kept}
    ]


@pytest.mark.parametrize(
    ("arguments", "reason", "complete"),
    [
        ("{}", "tool_calls", True),
        ("", "tool_calls", True),
        (" ", "stop", True),
        ("", "length", False),
        ('{"a":', "length", False),
        ('{"a":1}', "length", True),
        ("{}", None, False),
    ],
)
def test_a_call_that_must_not_be_run(arguments: str, reason: str | None, complete: bool) -> None:
    """A call is complete once its choice has finished and its arguments are whole."""
    reply = reply_of(chunk({"tool_calls": [piece(arguments, "a", "f")]}), chunk({}, reason))
    assert reply.tool_calls[0].complete is complete
    assert ("tool_calls" in reply.message()) is complete


# --- beside the text ----------------------------------------------------------------------------


def test_sources_are_given_once() -> None:
    """Some vendors repeat the whole list in every chunk."""
    first, second = "https://example.com/一", "https://example.com/二"
    frames = [
        chunk({"content": "甲"}, citations=[first]),
        chunk({"content": "乙"}, citations=[first, second]),
    ]
    got = [delta for delta in said(*frames) if isinstance(delta, CitationDelta)]
    assert got == [CitationDelta(Citation(first)), CitationDelta(Citation(second))]


def test_search_results_are_sources() -> None:
    """GLM gives what it found beside the choices, under names of its own."""
    found = [{"title": "新闻", "link": "https://example.com/a", "media": "报"}, {"title": "无"}, 7]
    reply = reply_of(chunk({"content": "甲"}, web_search=found))
    assert reply.citations == (Citation("https://example.com/a", "新闻", extra={"media": "报"}),)
    assert reply.extra["web_search"] == found


def test_citations_of_another_form_are_kept() -> None:
    """What has no address is no source, and not lost."""
    odd = {"type": "file_citation", "file": "x"}
    frame = chunk({"annotations": [odd, {"url_citation": "x"}]}, citations="x", web_search={})
    reply = reply_of(frame)
    assert reply.citations == ()
    assert reply.choices[0].extra == {"annotations": [odd, {"url_citation": "x"}]}


def test_a_citation_with_its_span() -> None:
    """The span counts characters of the answer; the rest is kept."""
    inner = {
        "url": "https://example.com",
        "title": "t",
        "start_index": 1,
        "end_index": 3,
        "content": "c",
    }
    frame = chunk({"annotations": [{"type": "url_citation", "url_citation": inner}]})
    assert said(frame) == [
        CitationDelta(Citation("https://example.com", "t", 1, 3, {"content": "c"}))
    ]


@pytest.mark.parametrize(
    ("item", "citation"),
    [
        ("https://a", Citation("https://a")),
        ({"url": "https://a", "title": "题"}, Citation("https://a", "题")),
        ({"url": 7, "link": "https://b"}, Citation("https://b")),
        ({"url": "https://a", "link": "https://b"}, Citation("https://a")),
        (
            {"link": "https://b", "start_index": 1, "end_index": 2, "icon": "x"},
            Citation("https://b", None, 1, 2, {"icon": "x"}),
        ),
        ({"title": "题"}, None),
        (7, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("key", ["citations", "web_search"])
def test_a_source_beside_the_choices(key: str, item: object, citation: Citation | None) -> None:
    """An address, or an object with one; sources are those of the first choice."""
    expected = [] if citation is None else [CitationDelta(citation)]
    assert said(chunk({"content": "甲"}, **{key: [item]}))[1:] == expected
    assert said(chunk({"content": "甲"}, index=1, **{key: [item]}))[1:] == []


def test_images_of_another_form_are_kept() -> None:
    """One alone is no list; what has no address is a part that nobody knows."""
    assert said(chunk({"images": {"image_url": IMAGE}})) == [
        MediaDelta(Media("image", IMAGE, "image/webp"))
    ]
    odd = [{"image_url": {"url": 7}}, {"url": IMAGE}, IMAGE]
    (choice,) = reply_of(chunk({"images": odd})).choices
    assert (choice.media, choice.extra) == ((), {"parts": odd})
    (choice,) = reply_of(chunk({"parts": "x"}), chunk({"images": odd})).choices
    assert choice.extra == {"parts": ["x", *odd]}


def test_parts_of_content() -> None:
    """Texts, empty or not, tags among them; a refusal; and what nobody knows."""
    parts: list[Any] = [
        "",
        "<think>",
        {"type": "text", "text": ""},
        {"type": "text", "text": "想</think>"},
    ]
    parts += ["答", {"type": "refusal", "refusal": "不"}, {"type": "refusal", "refusal": 7}]
    parts += [7, {"x": 1}, {"type": 5, "y": 2}]
    decoder = read(chunk({"content": parts}))
    assert deltas(decoder) == [
        *(ReasoningDelta("想"), AnswerDelta("答"), RefusalDelta("不")),
        *(UnknownDelta(0, "chat", "content.?", odd) for odd in parts[-2:]),
    ]
    assert decoder.transcript.choice(0).extra == {"parts": parts[-3:]}


def test_a_spoken_answer() -> None:
    """What is no object is nothing."""
    frames = [chunk({"audio": {"id": "au", "transcript": "你"}}), chunk({"audio": 7})]
    assert reply_of(*frames).choices[0].extra == {"audio": {"id": "au", "transcript": "你"}}


IMAGE = "data:image/webp;base64,AA=="


@pytest.mark.parametrize(
    "part",
    [{"type": "image_url", "image_url": {"url": IMAGE}}, {"image_url": IMAGE}],
    ids=["object", "string"],
)
@pytest.mark.parametrize("field", ["images", "content"])
def test_images_beside_the_text(field: str, part: object) -> None:
    """Images come in a list of their own, or as parts of the content."""
    assert said(chunk({field: [part]})) == [MediaDelta(Media("image", IMAGE, "image/webp"))]


def test_parts_of_another_form_are_kept() -> None:
    """A part that nobody knows is not lost, and the text around it is read."""
    parts = [{"type": "text", "text": "甲"}, {"type": "odd"}, "乙", {"image_url": 7}]
    reply = reply_of(chunk({"content": parts}))
    assert (reply.answer, reply.media) == ("甲乙", ())
    assert reply.choices[0].extra["parts"] == [{"type": "odd"}, {"image_url": 7}]
    assert reply.unknown == (UnknownDelta(0, "chat", "content.odd", {"type": "odd"}),)


@pytest.mark.parametrize(
    "delta",
    [
        '{"content":[{"type":"text","text":""}]}',
        '{"tool_calls":[{"function":{"arguments":{"a":1e999,"b":123456789012345678901234}}}]}',
        '{"tool_calls":[{"function":{"arguments":%s}}]}' % ("[" * 500 + "]" * 500),
        r'{"content":"\ud83d","x":%s}' % ("[" * 700 + "]" * 700),
    ],
    ids=["empty part", "numbers", "deep arguments", "deep, with half a pair"],
)
def test_odd_deltas_raise_nothing(delta: str) -> None:
    data = f'{{"choices":[{{"index":0,"delta":{delta}}}]}}'.encode()
    said_ = said(data, {"choices": [{"index": 0, "delta": {"content": "好"}}]})
    texts = [delta.text for delta in said_ if isinstance(delta, AnswerDelta)]
    assert texts[-1].endswith("好")


@pytest.mark.parametrize(
    ("url", "kind", "mime"),
    [
        ("https://example.com/a.png", "image", None),
        ("data:video/mp4;base64,AA==", "video", "video/mp4"),
        ("data:;base64,AA==", "image", None),
        ("data:,x", "image", None),
    ],
)
def test_what_an_address_is(url: str, kind: str, mime: str | None) -> None:
    """The type is in the address, or it is taken for an image."""
    medium = media_of(url)
    assert (medium.kind, medium.mime or None, medium.url) == (kind, mime, url)


@pytest.mark.parametrize("refusal", [1, ["x"], {"a": 1}], ids=repr)
def test_a_refusal_of_another_type(refusal: object) -> None:
    """Only text is a refusal."""
    assert said(chunk({"refusal": refusal}), chunk({"refusal": "不"}))[-1] == RefusalDelta("不")


def test_fields_come_in_the_order_of_the_wire() -> None:
    """What one delta holds beside its text comes as it was written, in every run of Python."""
    fields = {
        "refusal": "不",
        "images": [{"image_url": IMAGE}],
        "annotations": [{"url_citation": {"url": "https://example.com"}}],
        "tool_calls": [piece('{"a":1}', "a", "f")],
    }
    kinds = [RefusalDelta, MediaDelta, CitationDelta, ToolCallDelta]
    assert [type(delta) for delta in said(chunk(fields))] == kinds
    turned = dict(reversed(fields.items()))
    assert [type(delta) for delta in said(chunk(turned))] == kinds[::-1]


@pytest.mark.parametrize(
    ("name", "odd"), [("annotations", "x"), ("parts", "x"), ("content", 7)], ids=["a", "b", "c"]
)
def test_extras_of_one_name_from_two_places(name: str, odd: object) -> None:
    """A choice and its delta may both have a field of a name, of different types."""
    first = chunk({"content": "甲"})
    first["choices"][0][name] = odd
    later = [chunk({"annotations": [{"type": "odd"}]}), chunk({"content": [{"type": "odd"}]})]
    assert reply_of(first, *later, chunk({"content": "乙"})).answer == "甲乙"


# --- errors in the stream -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        {"error": {"message": "x"}},
        {"error": "x", "choices": []},
        {"base_resp": {"status_code": 1}, "choices": [{"delta": {}}]},
        {"object": "error", "message": "x"},
        {"code": 500},
    ],
    ids=str,
)
def test_what_may_be_an_error_is_left_to_be_judged(frame: object) -> None:
    """The decoder does not raise: the frame is put where the caller looks."""
    assert read(frame).suspect == frame


@pytest.mark.parametrize("name", ["error", "base_resp", "error_code", "error_msg", "success"])
def test_a_field_that_may_be_an_error(name: str) -> None:
    """Also beside a text."""
    frame = chunk({"content": "甲"}, **{name: "x"})
    decoder = read(frame)
    assert (decoder.suspect, deltas(decoder)[0]) == (frame, AnswerDelta("甲"))
    assert read(chunk({"content": "甲"}, code="x", message="y")).suspect is None


def test_an_error_within_a_choice() -> None:
    frame = chunk({"content": "甲"}, "error")
    frame["choices"][0]["error"] = {"message": "x"}
    assert read(frame).suspect == {"error": {"message": "x"}}


@pytest.mark.parametrize("frame", [chunk({}), {"choices": []}, {"choices": None}], ids=str)
def test_what_is_no_error(frame: object) -> None:
    """A usual frame is not suspected, or is found to be without fault."""
    assert find_problem(read(frame).suspect) is None


# --- the short path and the long one ------------------------------------------------------------

SHAPES: list[dict[str, Any]] = [
    *({"content": content} for content in ("", None, "甲", "<think>", ["x"])),
    *({"reasoning_content": "想"}, {"reasoning": "r", "reasoning_content": "r"}, {"reasoning": 1}),
    *({"content": "乙", "reasoning_content": None}, {"content": "z", "reasoning": "A"}, {}),
    *({"role": "a"}, {"refusal": "不"}, {"tool_calls": [piece("{}", "a", "f")]}),
]
shapes = st.sampled_from(SHAPES)
frames = st.builds(
    chunk,
    shapes,
    st.sampled_from([None, None, None, "stop"]),
    st.sampled_from([0, 0, 0, 1]),
    obfuscation=st.sampled_from(["x", "y"]),
)


@settings(max_examples=50)
@given(st.lists(frames, max_size=12), st.sampled_from(sorted(DIALECTS)), st.randoms())
def test_both_paths_give_the_same(
    stream: list[dict[str, Any]], name: str, chance: random.Random
) -> None:
    """Bytes that take the short path, and the same frames on the long one, say the same."""
    mixed = [dict(chance.sample(sorted(frame.items()), len(frame))) for frame in stream]
    short = read(*mixed, dialect=DIALECTS[name])
    long = ChatCompletionsDecoder(DIALECTS[name], Transcript())
    for frame in mixed:
        long.take(frame)
    long.end()
    assert deltas(short) == deltas(long)
    about = About("stopped")
    assert fold(short.transcript, PLAIN, about) == fold(long.transcript, PLAIN, about)


# --- cost ---------------------------------------------------------------------------------------

COSTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "text": lambda _: chunk({"content": "字"}),
    "thinking between tags": lambda _: chunk({"content": "<think>"}),
    "white space at the beginning": lambda _: chunk({"content": " " * 30}),
    "halves of characters": lambda _: chunk({"content": "\ud83d"}),
    "details": lambda _: chunk({"reasoning_details": [{"text": "想", "index": 0}]}),
    "sources": lambda n: chunk({"annotations": [{"url_citation": {"url": f"u{n}"}}]}),
    "calls": lambda n: chunk({"tool_calls": [piece("", f"c{n}", "f")]}),
    "pieces of a call": lambda _: chunk({"tool_calls": [piece("字", index=0)]}),
    "fields of any name": lambda n: chunk({"content": "字", f"x{n}": n}),
    "images": lambda n: chunk({"images": [{"image_url": f"u{n}"}]}),
}


def seconds(frame: Callable[[int], dict[str, Any]], count: int) -> float:
    """Measure the CPU time of decoding so many frames."""
    frames = [json.dumps(frame(number)).encode() for number in range(count)]
    decoder = ChatCompletionsDecoder(PLAIN, Transcript())
    began = time.process_time()
    for data in frames:
        decoder.feed(data)
    decoder.end()
    return time.process_time() - began


@pytest.mark.unmeasured
@pytest.mark.parametrize("shape", COSTS)
def test_cost_grows_with_the_frames(shape: str) -> None:
    """Eight times the frames cost eight times the CPU time, not sixty-four; the best of three."""
    frame = COSTS[shape]
    assert any(seconds(frame, 8_000) / seconds(frame, 1_000) <= 12 for _ in range(3))


# --- there and back -----------------------------------------------------------------------------

EVERY_DELTA: list[Delta] = [
    ReasoningDelta("想👋"),
    AnswerDelta("答"),
    ReasoningDelta("再想"),
    AnswerDelta("甲", 1),
    RefusalDelta("不"),
    ToolCallDelta(0, 0, "a", "f", ""),
    ToolCallDelta(0, 0, "", "", '{"城市":'),
    ToolCallDelta(0, 1, "b", "g", '{"x":1}'),
    ToolCallDelta(0, 0, "", "", '"北京"}'),
    MediaDelta(Media("image", IMAGE, "image/webp")),
    CitationDelta(Citation("https://example.com", "题", 1, 2, {"content": "c"})),
    FinishDelta(0, "tool_calls"),
    FinishDelta(1, "stop"),
]


def test_every_delta_there_and_back() -> None:
    """A stream that is sent on says what the first one said."""
    log = read(chunk({"content": "x"})).transcript
    relay = Relay(log)
    again = read(*[relay.write(delta).removeprefix(b"data: ") for delta in EVERY_DELTA])
    assert deltas(again) == EVERY_DELTA
    assert (again.transcript.id, again.transcript.model, again.transcript.created) == (
        "c1",
        "m",
        7,
    )


def test_the_usage_there_and_back() -> None:
    """The counts are sent on in OpenAI's words."""
    counts = Usage(11, 218, 205, 3, 229)
    (again,) = said(Relay(Transcript()).write(UsageDelta(counts)).removeprefix(b"data: "))
    assert isinstance(again, UsageDelta)
    told = (again.usage.prompt_tokens, again.usage.completion_tokens, again.usage.reasoning_tokens)
    assert (*told, again.usage.cached_tokens, again.usage.total_tokens) == (11, 218, 205, 3, 229)


def test_a_call_without_an_id_is_given_one() -> None:
    """Whoever stands behind us needs an id to answer to, the one that the reply has."""
    decoder = read(chunk({"tool_calls": [piece('{"a":1}', "", "f")]}), chunk({}, "tool_calls"))
    sent = b"".join(map(Relay(decoder.transcript).write, deltas(decoder)))
    first = orjson.loads(sent.partition(b"\n\n")[0].removeprefix(b"data: "))
    (call,) = first["choices"][0]["delta"]["tool_calls"]
    reply = fold(decoder.transcript, PLAIN, About("complete"))
    assert (call["id"], call["function"]["name"]) == (reply.tool_calls[0].id, "f") != ("", "f")


# --- chunks that differ in their text alone -----------------------------------------------------


def streamed(deltas_: list[dict[str, Any]], dialect: Dialect = PLAIN) -> ChatCompletionsDecoder:
    """Decode a stream of such chunks as it is decoded in earnest: many at once, spliced."""
    frames = [
        orjson.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 7,
                "model": "m",
                "choices": [{"index": 0, "delta": one, "finish_reason": None}],
            }
        )
        for one in deltas_
    ]
    decoder = ChatCompletionsDecoder(dialect, Transcript())
    assert decoder.feed_from(frames, 0) == (len(frames), None)
    decoder.end()
    return decoder


def test_tags_are_found_in_spliced_chunks() -> None:
    """Until they don't matter any more; then the text is taken as it is."""
    pieces = ["<thi", "nk>", *"想一想吧好", "</th", "ink>", *"你好啊朋友", "👋"]
    decoder = streamed([{"content": text} for text in pieces])
    reply = fold(decoder.transcript, PLAIN, About("complete"))
    assert (reply.reasoning, reply.answer) == ("想一想吧好", "你好啊朋友👋")
    assert decoder.splicer.hits


@pytest.mark.parametrize("name", ["text", "summary"])
def test_details_are_spliced_whether_they_grow_or_not(name: str) -> None:
    said = ["想", "一", "想", "吧", "好", "的", "呢"]
    grown = ["".join(said[: place + 1]) for place in range(len(said))]
    for texts in (said, grown):
        details = [
            {"reasoning_details": [{"type": f"reasoning.{name}", name: text, "index": 0}]}
            for text in texts
        ]
        decoder = streamed(details)
        reply = fold(decoder.transcript, PLAIN, About("complete"))
        assert reply.reasoning == "想一想吧好的呢"


def test_a_text_that_stands_in_two_fields_is_spliced_once() -> None:
    both = [{"reasoning": text, "reasoning_content": text} for text in "想一想吧好的呢"]
    decoder = streamed([*both, *({"content": text} for text in "你好啊朋友👋")])
    reply = fold(decoder.transcript, PLAIN, About("complete"))
    assert (reply.reasoning, reply.answer) == ("想一想吧好的呢", "你好啊朋友👋")
    assert decoder.splicer.hits


def test_a_request_asks_for_thinking_and_keeps_its_stream_options() -> None:
    question = Question(
        "m", [], stream=True, reasoning="high", extra_body=(None, {"stream_options": {"x": 1}})
    )
    body = orjson.loads(encode_chat(question).body)
    assert body["reasoning_effort"] == "high"
    assert body["stream_options"] == {"x": 1, "include_usage": True}


# What stands beside a text, and whether such chunks are still alike: the index of a chunk, its
# text, and all text so far.
Shape = Callable[[int, str, str], dict[str, Any]]
SPLICED: dict[str, tuple[Shape, bool]] = {
    "an answer": (lambda _, text, __: chunk({"content": text}), True),
    "a thought": (lambda _, text, __: chunk({"reasoning": text}), True),
    "a thought twice": (
        lambda _, text, __: chunk({"reasoning": text, "reasoning_content": text}),
        True,
    ),
    "two thoughts": (
        lambda _, text, __: chunk({"reasoning": f"{text}!", "reasoning_content": text}),
        False,
    ),
    "a thought and an answer": (
        lambda _, text, __: chunk({"reasoning": text, "content": text}),
        False,
    ),
    "another choice": (lambda _, text, __: chunk({"content": text}, index=1), True),
    "what changes in every chunk": (
        lambda at, text, __: chunk(
            {"content": text}, created=at, id=f"c{at}", obfuscation=f"{at}"
        ),
        True,
    ),
    "a word that is none": (lambda _, text, __: chunk({"content": text}, "null"), True),
    "a finish": (lambda _, text, __: chunk({"content": text}, "stop"), False),
    "a running usage": (
        lambda at, text, __: chunk({"content": text}, usage={"completion_tokens": at}),
        False,
    ),
    "a placeholder for a usage": (
        lambda _, text, __: chunk({"content": text}, usage={"completion_tokens": 0}),
        True,
    ),
    "logprobs": (lambda _, text, __: with_logprobs({"content": [text]}, content=text), False),
    "sources": (
        lambda at, text, __: chunk(
            {"content": text, "annotations": [{"url_citation": {"url": f"u{at}"}}]}
        ),
        False,
    ),
    "parts": (lambda _, text, __: chunk({"content": text, "parts": [text]}), False),
    "a refusal": (lambda _, text, __: chunk({"content": text, "refusal": "不"}), False),
    "no name": (lambda _, text, __: chunk({"content": text}, model=""), False),
    "a field of the vendor": (lambda _, text, __: chunk({"content": text}, provider="p"), True),
    "an error that is none": (lambda _, text, __: chunk({"content": text}, error=None), False),
    "a status within": (
        lambda _, text, __: chunk({"content": text}, base_resp={"status_code": 0}),
        False,
    ),
    "details": (
        lambda _, text, __: detailed({"type": "reasoning.text", "text": text, "index": 0}),
        True,
    ),
    "details so far": (
        lambda _, __, whole: detailed({"type": "reasoning.text", "text": whole, "index": 0}),
        True,
    ),
    "details that hold a summary": (
        lambda _, text, __: detailed({"type": "reasoning.summary", "summary": text}),
        True,
    ),
    "details with two texts": (
        lambda _, text, __: detailed({"summary": text, "text": text}),
        False,
    ),
    "two details": (
        lambda _, text, __: detailed({"text": text, "index": 0}, {"text": text, "index": 1}),
        False,
    ),
    "details and a field": (
        lambda _, text, __: chunk({"reasoning": text, "reasoning_details": [{"text": text}]}),
        True,
    ),
    "details so far and a field": (
        lambda _, text, whole: chunk({"reasoning": text, "reasoning_details": [{"text": whole}]}),
        False,
    ),
    "details that say something else": (
        lambda _, text, __: chunk(
            {"reasoning": text, "reasoning_details": [{"text": f"{text}!"}]}
        ),
        False,
    ),
    "a signature that changes": (
        lambda at, text, __: detailed({"text": text, "signature": f"s{at}"}),
        False,
    ),
}


@pytest.mark.parametrize("case", SPLICED)
def test_chunks_that_are_alike_say_the_same_as_each_by_itself(case: str) -> None:
    """Those that differ in more than their text are not taken for alike."""
    shape, spliced = SPLICED[case]
    pieces = ["想", "一下", "再说", "好", "👋", "吧", "嗯嗯", "对", "了"]
    stream = [shape(at, text, "".join(pieces[: at + 1])) for at, text in enumerate(pieces)]
    first = chunk({"role": "assistant", "content": ""}, model=stream[0]["model"])
    stream = [first, *stream, chunk({}, "stop")]
    short = ChatCompletionsDecoder(PLAIN, Transcript())
    events, at = [orjson.dumps(frame) for frame in stream], 0
    while at < len(events):
        at, _ = short.feed_from(events, at)
    short.end()
    long = ChatCompletionsDecoder(PLAIN, Transcript())
    for frame in stream:
        long.take(frame)
    long.end()
    assert deltas(short) == deltas(long)
    about = About("stopped")
    assert fold(short.transcript, PLAIN, about) == fold(long.transcript, PLAIN, about)
    assert bool(short.splicer.hits) is spliced
