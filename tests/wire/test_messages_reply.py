"""Messages by their blocks: what an index means, whose delta it is, which calls go back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from aiotokengate import (
    AnswerDelta,
    CitationDelta,
    FinishDelta,
    ReasoningDelta,
    Reply,
    ToolCallDelta,
    UnknownDelta,
)
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.fold import fold
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.problems import find_problem
from aiotokengate._wire.sse import SSEDecoder
from aiotokengate._wire.transcript import Transcript
from aiotokengate.types import Delta
from tests.support.common import About

Event = dict[str, Any]


def read(*events: object, end: bool = True) -> MessagesDecoder:
    decoder = MessagesDecoder(Transcript(asked="claude"))
    for event in events:
        decoder.feed(event if isinstance(event, bytes) else orjson.dumps(event))
    if end:
        decoder.end()
    return decoder


def reply_of(*events: object) -> Reply:
    log = read(*events).transcript
    return fold(log, DIALECTS["claude"], About("complete" if log.complete else "interrupted"))


def native_of(*events: object) -> Any:
    native = reply_of(*events).choices[0].native
    return None if native is None else native["content"]


def deltas(*events: object) -> list[Delta]:
    log = read(*events).transcript
    return [log.delta(at) for at in range(len(log))]


def start(kind: str, index: object = 0, **fields: object) -> Event:
    block = {"type": kind, **fields}
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(kind: str, index: object = 0, **fields: object) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def text(said: str, index: object = 0) -> Event:
    return delta("text_delta", index, text=said)


def thought(said: str, index: object = 0) -> Event:
    return delta("thinking_delta", index, thinking=said)


def piece(said: object, index: object = 0) -> Event:
    return delta("input_json_delta", index, partial_json=said)


def stop(index: object = 0) -> Event:
    return {"type": "content_block_stop", "index": index}


def tool(call_id: object = "t1", index: object = 0, **fields: object) -> Event:
    return start("tool_use", index, id=call_id, name="查", **{"input": {}, **fields})


END: list[Event] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
CALLED: list[Event] = [
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
    {"type": "message_stop"},
]

# --- whose delta it is --------------------------------------------------------------------------


def test_one_index_for_all() -> None:
    events = [
        start("thinking", thinking=""),
        thought("想一下"),
        delta("signature_delta", signature="S"),
        stop(),
        start("text", text=""),
        text("好 🌦️"),
        stop(),
        tool(),
        piece('{"q":"天"}'),
        stop(),
        *CALLED,
    ]
    assert native_of(*events) == [
        {"type": "thinking", "thinking": "想一下", "signature": "S"},
        {"type": "text", "text": "好 🌦️"},
        {"type": "tool_use", "id": "t1", "name": "查", "input": {"q": "天"}},
    ]


def test_an_index_as_text_and_none_at_all() -> None:
    events = [start("text", "0", text=""), text("甲", 0), start("thinking", None), *END]
    events.insert(3, thought("乙", None))
    assert native_of(*events) == [
        {"type": "text", "text": "甲"},
        {"type": "thinking", "thinking": "乙"},
    ]


def test_a_delta_of_another_type_begins_a_block_of_ours() -> None:
    events = [
        start("text", text=""),
        thought("嗯"),
        text("好"),
        thought("再想"),
        delta("signature_delta", signature="S"),
        text("的", 7),
        *END,
    ]
    reply = reply_of(*events)
    assert (reply.reasoning, reply.answer) == ("嗯再想", "好的")
    assert native_of(*events) == [
        {"type": "thinking", "thinking": "嗯"},
        {"type": "text", "text": "好"},
        {"type": "thinking", "thinking": "再想", "signature": "S"},
        {"type": "text", "text": "的"},
    ]


def test_a_signature_finds_its_thinking_and_replaces_an_earlier_one() -> None:
    late = [start("thinking", thinking=""), thought("嗯"), text("好"), *END]
    late.insert(3, delta("signature_delta", signature="S"))
    assert native_of(*late)[0] == {"type": "thinking", "thinking": "嗯", "signature": "S"}
    twice = [start("thinking", thinking="", signature="A"), thought("嗯"), *END]
    twice[2:2] = [delta("signature_delta", signature=one) for one in ("B", "C", "")]
    assert native_of(*twice) == [{"type": "thinking", "thinking": "嗯", "signature": "C"}]


def test_a_thought_without_text_or_signature_does_not_go_back() -> None:
    assert native_of(start("thinking", thinking="", signature=""), text("好"), *END) == [
        {"type": "text", "text": "好"}
    ]
    signed = delta("signature_delta", signature="S")
    assert native_of(start("thinking", thinking="", signature=""), signed, *END) == [
        {"type": "thinking", "thinking": "", "signature": "S"}
    ]


def test_a_block_ours_does_not_hide_the_end_of_a_call() -> None:
    reply = reply_of(tool(), piece("{}"), text("同时"), stop(), *CALLED)
    assert [(call.arguments, call.complete) for call in reply.tool_calls] == [("{}", True)]


# --- what a call is -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "pieces", "arguments"),
    [
        ({"x": 5}, ['{"x":', "5}"], '{"x":5}'),
        ({"x": 5}, ['{"x": 6}'], '{"x": 6}'),
        ({"x": 5}, [], '{"x":5}'),
        ({"x": 5}, ["", "{}"], '{"x":5}'),
        ({"x": 5}, ['{"x":'], '{"x":5}'),
        ('{"x":5}', [], '{"x":5}'),
        ({}, [], "{}"),
        (None, [""], "{}"),
        ({}, [{"x": "晴"}], '{"x":"晴"}'),
    ],
)
def test_an_input_in_the_start_and_in_deltas(
    given: Any, pieces: list[Any], arguments: str
) -> None:
    events = [tool(input=given), *map(piece, pieces), stop(), *CALLED]
    (call,) = reply_of(*events).tool_calls
    assert (call.arguments, call.complete) == (arguments, True)
    told = [one.arguments for one in deltas(*events) if isinstance(one, ToolCallDelta)]
    assert "".join(told) == arguments
    (block,) = native_of(*events)
    assert block == {
        "type": "tool_use",
        "id": "t1",
        "name": "查",
        "input": orjson.loads(arguments),
    }


def test_an_input_that_nothing_closed() -> None:
    (call,) = reply_of(tool(input={"x": 5}), *CALLED).tool_calls
    assert (call.arguments, call.complete) == ('{"x":5}', True)
    (cut,) = reply_of(tool(input={"x": 5})).tool_calls
    assert not cut.complete
    assert native_of(tool(input={"x": 5})) is None


def test_pieces_that_contradict_the_start_are_not_run() -> None:
    (call,) = reply_of(tool(input={"x": 5}), piece('{"y":'), stop(), *CALLED).tool_calls
    assert not call.complete
    assert native_of(tool(input={"x": 5}), piece('{"y":'), stop(), *CALLED) is None


def test_two_blocks_of_one_id_and_calls_without_any() -> None:
    events: list[Event] = []
    for index, call_id in enumerate(("同", "同", "", 7)):
        events += [tool(call_id, index), piece(f'{{"n":{index}}}', index), stop(index)]
    calls = reply_of(*events, *CALLED).tool_calls
    assert [call.parse() for call in calls] == [{"n": number} for number in range(4)]
    assert calls[0].id == "同"
    assert len({call.id for call in calls}) == 4
    assert [block["id"] for block in native_of(*events, *CALLED)] == [call.id for call in calls]


def test_pieces_under_another_index_go_on_with_the_newest_call() -> None:
    (call,) = reply_of(tool(), piece('{"q":', 3), piece("1}", 4), *CALLED).tool_calls
    assert call.parse() == {"q": 1}
    (lost,) = [one for one in deltas(piece("{}")) if isinstance(one, UnknownDelta)]
    assert (lost.protocol, lost.type) == ("messages", "input_json_delta")


def test_an_input_of_a_tool_of_the_server_is_no_call() -> None:
    events = [
        start("server_tool_use", id="s1", name="web_search", input={}),
        piece('{"query":'),
        piece('"花期"}'),
        stop(),
        start("web_search_tool_result", 1, tool_use_id="s1", content=[{"url": "u"}]),
        stop(1),
        *END,
    ]
    reply = reply_of(*events)
    assert (reply.tool_calls, reply.choices[0].unknown) == ((), ())
    assert native_of(*events) == [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "花期"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]},
    ]
    assert read(*events).transcript.signs == 8


# --- what is kept -------------------------------------------------------------------------------


def test_a_summary_of_earlier_turns_has_both_its_fields() -> None:
    events = [
        start("compaction", content=None, encrypted_content=None),
        delta("compaction_delta", content="聊了旅行", encrypted_content="E"),
        delta("compaction_delta", content=None, encrypted_content=None),
        delta("signature_delta", signature="S"),
        stop(),
        {"type": "message_delta", "delta": {"stop_reason": "compaction"}},
        {"type": "message_stop"},
    ]
    assert native_of(*events) == [
        {
            "type": "compaction",
            "content": "聊了旅行",
            "encrypted_content": "E",
            "signature": "S",
        }
    ]
    reply = reply_of(*events)
    assert (reply.answer, reply.choices[0].status) == ("", "paused")
    assert native_of(delta("compaction_delta", content="聊"), *END) == [
        {"type": "compaction", "content": "聊"}
    ]


def test_what_the_message_says_beside_its_blocks() -> None:
    message = {"id": "m", "model": "c", "container": None, "diagnostics": {"cache": "甲"}}
    claim = {"stop_reason": "refusal", "container": {"id": "c1"}}
    claim["stop_details"] = {"category": "cyber", "explanation": "不行"}
    events = [
        {"type": "message_start", "message": message},
        text("好"),
        {"type": "message_delta", "delta": claim, "context_management": {"edits": [1]}},
        {"type": "message_delta", "delta": {"container": None}, "context_management": {}},
        {"type": "message_stop"},
    ]
    reply = reply_of(*events)
    assert reply.extra == {
        "diagnostics": {"cache": "甲"},
        "container": {"id": "c1"},
        "context_management": {"edits": [1]},
    }
    assert reply.choices[0].extra["stop_details"]["category"] == "cyber"
    assert reply.choices[0].unknown == ()
    assert read(*events).transcript.choices[0].details_of_end == "不行"


def test_what_no_table_knows_is_told_and_kept() -> None:
    events = [
        {"type": "message_start", "message": {"model": "c", "mood": "好"}},
        start("future_block", payload={"a": 1}),
        delta("future_delta", x="甲"),
        {"type": "future_event", "y": "乙"},
        {**text("嗨", 1), "hint": 1},
        {**text("！", 1), "hint": 1},
        {"type": "content_block_delta", "index": 1, "delta": "?"},
        *END,
    ]
    found = [(one.type, one.data) for one in reply_of(*events).choices[0].unknown]
    assert found == [
        ("message_start.message.mood", "好"),
        ("future_block", {"type": "future_block", "payload": {"a": 1}}),
        ("future_delta", {"type": "future_delta", "x": "甲"}),
        ("future_event", {"type": "future_event", "y": "乙"}),
        ("content_block_delta.hint", 1),
        ("content_block_delta", events[6]),
    ]
    assert native_of(*events)[0] == {"type": "future_block", "payload": {"a": 1}}


def test_what_stands_at_the_end_of_a_block_is_kept() -> None:
    stopped = {"type": "content_block_stop", "index": 0, "new": "新"}
    reply = reply_of(start("text"), text("好"), stopped, *END)
    assert reply.extra["new"] == "新"


def test_sources_of_documents_are_told_each() -> None:
    cited = [
        {"type": "char_location", "cited_text": one, "document_title": "书"} for one in "甲乙甲"
    ]
    events = [start("text", text=""), text("据书"), *END]
    events[2:2] = [delta("citations_delta", citation=one) for one in cited]
    reply = reply_of(*events)
    assert [(one.title, one.extra["cited_text"]) for one in reply.citations] == [
        ("书", "甲"),
        ("书", "乙"),
    ]
    assert native_of(*events)[0]["citations"] == cited


# --- signs of life, ends and counts -------------------------------------------------------------


def test_thoughts_without_text_are_signs_of_life_and_counted() -> None:
    events = [start("thinking", thinking=""), *[thought("")] * 2, {"type": "ping"}]
    events += [delta("thinking_delta", thinking="", estimated_tokens=50)] * 3
    decoder = read(*events)
    assert decoder.transcript.signs == 6
    assert len(decoder.transcript) == 0
    assert decoder.transcript.choices[0].extra == {"estimated_tokens": 150}


def test_empty_pieces_are_signs_of_life_though_spliced() -> None:
    decoder = MessagesDecoder(Transcript())
    events = [orjson.dumps(one) for one in (text("一"), text("二"), text("三"), *[text("")] * 3)]
    decoder.feed_from(events, 0)
    assert decoder.splicer.hits == 4
    assert decoder.transcript.signs == 3


def test_a_claim_is_no_end() -> None:
    early = [text("一"), END[0], text("二")]
    decoder = read(*early, end=False)
    assert not decoder.done
    assert decoder.transcript.text(0, 1) == "一二"
    assert read(*early, *END).done
    assert reply_of(*early, *END).status == "complete"


def test_a_claim_before_all_counts_at_the_end_alone() -> None:
    """Bridges send it first; only the protocol's own end says that it was no mistake."""
    early = [END[0], text("一")]
    assert reply_of(*early, END[1]).status == "complete"
    assert reply_of(*early).status == "interrupted"


def counted(*usages: object) -> dict[str, int]:
    begun = {"type": "message_start", "message": {"usage": usages[0]}}
    more = [{"type": "message_delta", "delta": {}, "usage": usage} for usage in usages[1:]]
    usage = reply_of(begun, text("好"), *more, *END).usage
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return {name: getattr(usage, name) for name in names if getattr(usage, name)}


@pytest.mark.parametrize(
    ("usages", "counts"),
    [
        (
            [
                {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 100},
                {"input_tokens": 0, "output_tokens": 15, "cache_read_input_tokens": 0},
            ],
            {"prompt_tokens": 125, "completion_tokens": 15, "cached_tokens": 100},
        ),
        (
            [{"input_tokens": 0}, {"input_tokens": 31, "output_tokens": 3}, {"output_tokens": 9}],
            {"prompt_tokens": 31, "completion_tokens": 9},
        ),
        (
            [
                {"input_tokens": 3, "output_tokens": 1},
                {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}},
                {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 0}},
            ],
            {"prompt_tokens": 3, "completion_tokens": 50, "reasoning_tokens": 30},
        ),
    ],
)
def test_a_zero_never_replaces_a_count(usages: list[Any], counts: dict[str, int]) -> None:
    assert counted(*usages) == counts


# --- whole messages, and damaged texts ----------------------------------------------------------


def test_a_message_without_its_type_and_one_of_plain_text() -> None:
    whole = {"role": "assistant", "content": "你好", "stop_reason": "end_turn"}
    assert reply_of(whole).answer == "你好"
    assert reply_of({**whole, "type": "message"}).answer == "你好"


def test_a_summary_brings_what_no_delta_brought() -> None:
    blocks = [
        {"type": "thinking", "thinking": "想"},
        {"type": "text", "text": "好"},
        {"type": "tool_use", "id": "t1", "name": "查", "input": {"n": 1}},
    ]
    whole = {"type": "message", "content": blocks, "stop_reason": "tool_use"}
    reply = reply_of(start("thinking", thinking=""), thought("想"), whole)
    assert (reply.reasoning, reply.answer) == ("想", "好")
    assert [call.parse() for call in reply.tool_calls] == [{"n": 1}]


def test_blocks_that_a_beginning_brings_count_where_none_follow() -> None:
    message = {"content": [{"type": "text", "text": "先"}]}
    begun = {"type": "message_start", "message": message}
    assert reply_of(begun, *END).answer == "先"
    assert reply_of(begun, text("后"), *END).answer == "后"


def test_a_character_cut_over_two_events() -> None:
    cut = [
        rb'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\ud83c"}}',
        rb'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\udf38"}}',
    ]
    assert reply_of(*cut, *END).answer == "a🌸"
    assert native_of(*cut, *END) == [{"type": "text", "text": "a🌸"}]
    assert native_of(cut[0], *END) == [{"type": "text", "text": "a\ufffd"}]


MODEL = "claude-opus-4-6"

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


def folded(decoder: MessagesDecoder) -> Reply:
    log = decoder.transcript
    status = "complete" if log.complete else "interrupted"
    return fold(log, DIALECTS["claude"], About(status))  # type: ignore[arg-type]


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


# --- a whole exchange ---------------------------------------------------------------------------


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
    native = {"protocol": "messages", "content": BLOCKS, "asked": "claude", "model": MODEL}
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
        sse, decoder = SSEDecoder(), MessagesDecoder(Transcript(asked="claude"))
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


# --- odd events ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ({"type": "content_block_start", "index": 0, "content_block": 7}, "content_block_start"),
        ({"type": "content_block_delta", "index": 0, "delta": None}, "content_block_delta"),
        ({"type": "message_start", "message": "x"}, "message_start"),
        ({"type": "news", "x": 1}, "news"),
        (delta("text_delta", text=["x"]), "text_delta"),
        (delta("input_json_delta", partial_json="{}"), "input_json_delta"),
        (delta("signature_delta", signature=7), "signature_delta"),
        (delta("citations_delta", citation=None), "citations_delta"),
        (delta("a_new_delta"), "a_new_delta"),
        ({"type": "content_block_delta", "delta": {"type": 7}}, "?"),
    ],
    ids=str,
)
def test_what_is_not_understood_is_told_as_it_came(event: Event, name: str) -> None:
    """And nothing else is: the reply goes on."""
    seen = deltas(event, text("好"), *END)
    assert [one.type for one in seen if isinstance(one, UnknownDelta)] == [name]
    assert AnswerDelta("好") in seen


@pytest.mark.parametrize("frame", [b"[1]", b"7", b'{"x":1}', b'{"type":"error","error":{}}'])
def test_what_may_be_an_error_is_left_for_judgement(frame: bytes) -> None:
    assert read(frame).suspect is not None


def test_events_that_vllm_and_others_call_errors() -> None:
    odd = {"type": "x", "object": "error", "message": "no"}
    assert read(odd).suspect == odd
    assert read({"type": "x", "error": "no"}).suspect == {"type": "x", "error": "no"}


def test_nothing_goes_back_of_nothing() -> None:
    assert native_of(start("text", text=""), *END) is None
    assert native_of(*END) is None


def test_a_signature_without_its_thought_begins_one() -> None:
    signed = delta("signature_delta", signature="S")
    assert native_of(signed, *END) == [{"type": "thinking", "thinking": "", "signature": "S"}]
    both = native_of(text("好"), signed, *END)
    assert [block["type"] for block in both] == ["text", "thinking"]


def test_fields_that_come_late_are_kept_and_told_once() -> None:
    """What is empty later does not replace what was there."""
    news = [{"type": "ping"}, text("好"), {**text("👋"), "mood": "gay"}]
    seen = deltas(*news, {**text("!"), "mood": "gay"}, {**text("?"), "mood": ""}, *END)
    (mood,) = [one for one in seen if isinstance(one, UnknownDelta)]
    assert (mood.type, mood.data) == ("content_block_delta.mood", "gay")
    reply = reply_of(*news, *END)
    assert reply.extra["mood"] == "gay"


def test_estimates_of_thought_are_added_up() -> None:
    """One that is no number is kept like any field."""
    counted = [
        {**delta("thinking_delta", thinking="想", estimated_tokens=number)} for number in (3, 4)
    ]
    odd = delta("thinking_delta", thinking="想", estimated_tokens="many")
    reply = reply_of(*counted, odd, *END)
    assert reply.choices[0].extra["estimated_tokens"] == 7
    assert reply.extra["estimated_tokens"] == "many"


def test_more_whole_messages_than_anybody_sends_are_told_as_they_came() -> None:
    whole = {"type": "message", "role": "assistant", "content": [], "stop_reason": "end_turn"}
    names = [one.type for one in deltas(*[whole] * 18) if isinstance(one, UnknownDelta)]
    assert names == ["message"] * 2


def test_a_reply_whose_text_is_not_retained_is_told_all_the_same() -> None:
    decoder = MessagesDecoder(Transcript(retain=False))
    for event in (text("好"), text("👋"), *END):
        decoder.feed(orjson.dumps(event))
    decoder.end()
    assert decoder.transcript.choices[0].native is None
    assert decoder.done
