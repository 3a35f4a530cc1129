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
from aiotokengate.types import Citation, Delta
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
    cut = reply_of(tool(), piece("{}"), text("同时"), stop())
    assert [(call.arguments, call.complete) for call in cut.tool_calls] == [("{}", True)]


def test_a_delta_without_an_index_is_of_the_newest_block() -> None:
    events = [
        start("text", text=""),
        text("甲"),
        start("text", 1, text=""),
        text("乙", None),
        *END,
    ]
    blocks = [{"type": "text", "text": "甲"}, {"type": "text", "text": "乙"}]
    assert native_of(*events, *END) == blocks


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
    for cut in range(1, len(body), 23):
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


# --- each event, each field ---------------------------------------------------------------------


def kept_by(*events: object) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """Return what was told as unknown, and the fields that the reply has kept."""
    log = read(*events).transcript
    told = [log.delta(at) for at in range(len(log))]
    return [(one.type, one.data) for one in told if isinstance(one, UnknownDelta)], log.extra


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"type": "message_start", "message": {}, "x": 1}, "message_start.x"),
        ({"type": "message_start", "message": {"x": 1}}, "message_start.message.x"),
        ({**text("好"), "x": 1}, "content_block_delta.x"),
        (delta("text_delta", text="好", x=1), "content_block_delta.delta.x"),
        (delta("text_delta", text="", x=1), "content_block_delta.delta.x"),
        ({**stop(), "x": 1}, "content_block_stop.x"),
        ({"type": "message_delta", "delta": {}, "x": 1}, "message_delta.x"),
        ({"type": "message_delta", "delta": {"x": 1}}, "message_delta.delta.x"),
        ({"type": "message_stop", "x": 1}, "message_stop.x"),
        ({"type": "message", "content": [], "x": 1}, "message.x"),
    ],
    ids=str,
)
def test_a_new_field_is_told_by_its_path(event: Event, path: str) -> None:
    assert kept_by(event) == ([(path, 1)], {"x": 1})


@pytest.mark.parametrize(
    "name", ["container", "context_management", "input_transformations", "diagnostics"]
)
def test_fields_for_the_next_request_are_kept_and_not_told(name: str) -> None:
    begun = {"type": "message_start", "message": {name: {"甲": 1}}}
    assert kept_by(begun) == ([], {name: {"甲": 1}})


def test_fields_with_a_name_of_their_own_are_neither() -> None:
    named = ["id", "type", "role", "model", "content", "usage", "delta", "message", "index"]
    ends = ["stop_reason", "stop_sequence", "stop_details"]
    whole = {"type": "message", "x": None, **dict.fromkeys((*named[2:], *ends), "值")}
    assert kept_by(whole) == ([], {})
    assert kept_by({"type": "message_start", **whole, "message": whole}) == ([], {})


def test_fields_that_come_again_are_told_where_they_differ() -> None:
    def mood(value: object) -> Event:
        return {"type": "message_delta", "mood": value}

    assert kept_by(mood(0), mood(0), mood(1), mood(True), mood(True), mood("")) == (
        [("message_delta.mood", 0), ("message_delta.mood", 1), ("message_delta.mood", True)],
        {"mood": True},
    )


def test_a_field_that_changes_between_spliced_events_has_its_last_value() -> None:
    first, other = {**text("一"), "mood": 1}, {**text("二"), "mood": 2}
    decoder = MessagesDecoder(Transcript())
    decoder.feed_from([orjson.dumps(one) for one in (*[first] * 4, other, first)], 0)
    assert decoder.splicer.hits == 1
    assert decoder.transcript.extra == {"mood": 1}
    assert decoder.transcript.text(0, 1) == "一一一一二一"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": {"usage": {"output_tokens": 7}}},
        {"type": "message_delta", "usage": {"output_tokens": 7}},
        {"type": "message_delta", "delta": {"usage": {"output_tokens": 7}}},
        {"type": "message_stop", "usage": {"output_tokens": 7}},
        {"type": "message", "content": [], "usage": {"output_tokens": 7}},
    ],
    ids=str,
)
def test_counts_are_read_wherever_they_stand(event: Event) -> None:
    assert reply_of(text("好"), event).usage.completion_tokens == 7


def test_counts_have_the_common_names_beside_their_own() -> None:
    told = {
        "input_tokens": 1,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 100,
        "output_tokens": 1000,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    decoder = read({"type": "message_stop", "usage": told})
    assert decoder.transcript.counts == {
        **told,
        "prompt_tokens": 111,
        "completion_tokens": 1000,
        "total_tokens": 1111,
        "prompt_tokens_details": {"cached_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    details = {"thinking_tokens": 30, "reasoning_tokens": 40}
    both = {"output_tokens": 50, "output_tokens_details": details}
    assert reply_of({"type": "message_stop", "usage": both}).usage.reasoning_tokens == 30
    odd = {"output_tokens": 50, "output_tokens_details": [30]}
    assert reply_of({"type": "message_stop", "usage": odd}).usage.reasoning_tokens == 0


def test_the_first_name_and_id_stand() -> None:
    heads = [{"id": None, "model": 7}, {"id": "一", "model": "甲"}, {"id": "二", "model": "乙"}]
    reply = reply_of(*[{"type": "message_start", "message": head} for head in heads])
    assert (reply.id, reply.model) == ("一", "甲")


def test_what_a_message_says_of_its_end_stays_with_the_choice() -> None:
    ends = {"stop_reason": "refusal", "stop_sequence": "。", "stop_details": {"explanation": 7}}
    said = read({"type": "message_delta", "delta": {**ends, "mood": None}})
    choice = said.transcript.choices[0]
    assert (choice.extra, choice.details_of_end) == (ends, "")
    assert (choice.finish_reason, choice.ending, choice.word) == (
        "content_filter",
        "filtered",
        "refusal",
    )
    begun = read({"type": "message_start", "message": {**ends, "stop_sequence": None}})
    del ends["stop_sequence"]
    assert begun.transcript.choices[0].extra == ends
    assert begun.transcript.choices[0].finish_reason is None
    unsaid = {**ends, "stop_reason": None}
    assert read({"type": "message_start", "message": unsaid}).transcript.choices == {}
    empty = {"stop_reason": None, "stop_sequence": None}
    assert read({"type": "message_delta", "delta": empty}).transcript.choices == {}
    plain = {"type": "message_delta", "delta": {**ends, "stop_details": "不行"}}
    assert read(plain).transcript.choices[0].details_of_end == ""


def test_a_word_that_is_none_ends_nothing() -> None:
    for word in ("", "null", 7):
        event = {"type": "message_delta", "delta": {"stop_reason": word}}
        assert read(text("好"), event).transcript.claimed == 0


@pytest.mark.parametrize(
    ("event", "signs"),
    [
        ({"type": "message_start", "message": {}}, 1),
        ({"type": "message_start", "message": 7}, 0),
        (start("text", text=""), 1),
        (start("text", text="好"), 0),
        (tool(), 0),
        (stop(), 1),
        (text("好"), 0),
        (text(""), 1),
        (delta("text_delta"), 1),
        (delta("text_delta", text=7), 1),
        (delta("signature_delta", signature="S"), 1),
        (delta("signature_delta"), 0),
        (delta("citations_delta", citation={"url": "u"}), 0),
        (delta("compaction_delta", content="聊"), 1),
        (delta("odd"), 0),
        (END[0], 1),
        (END[1], 1),
        ({"type": "news"}, 0),
        ({"type": "ping"}, 0),
    ],
    ids=str,
)
def test_an_event_without_an_entry_is_a_sign_of_life(event: Event, signs: int) -> None:
    decoder = read(event, end=False)
    assert decoder.transcript.signs == signs


# --- each kind of block -------------------------------------------------------------------------

RESULTS = [
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_tool_result",
]
OTHERS = ["redacted_thinking", "container_upload", "mcp_tool_listing", "compaction", "fallback"]


@pytest.mark.parametrize("kind", [*RESULTS, *OTHERS])
def test_blocks_that_are_known_go_back_as_they_came(kind: str) -> None:
    """None of them takes an input: a piece of one is of the newest tool, or of nobody's."""
    events = [start(kind, data="数"), piece("{}"), *END]
    assert native_of(*events) == [{"type": kind, "data": "数"}]
    assert kept_by(*events)[0] == [
        ("input_json_delta", {"type": "input_json_delta", "partial_json": "{}"})
    ]


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use", "some_day_use"])
def test_inputs_that_are_not_for_us(kind: str) -> None:
    pieces = [piece('{"问":'), piece(""), piece('"花"}'), piece(None)]
    events = [start(kind, name="找", input={}), start("text", 1, text=""), *pieces, stop(), *END]
    assert native_of(*events) == [{"type": kind, "name": "找", "input": {"问": "花"}}]
    objects = [start(kind, input={}), piece({"问": "花"}), *END]
    assert native_of(*objects) == [{"type": kind, "input": {"问": "花"}}]
    half = [start(kind, input={"旧": 1}), piece('{"问":'), *END]
    assert native_of(*half) == [{"type": kind, "input": {"旧": 1}}]


@pytest.mark.parametrize("kind", RESULTS)
def test_a_claim_between_a_tool_and_the_answer_counts_for_nothing(kind: str) -> None:
    """A bridge claims the end before the answer; what came before the tool ran is none."""
    events = [text("我查查"), start(kind, 1, content=[]), END[0], text("花开", 2)]
    assert reply_of(*events).status == "interrupted"
    assert reply_of(*events, END[1]).status == "complete"
    assert reply_of(*[one for one in events if one["type"] != "content_block_start"]).status == (
        "complete"
    )


def test_what_a_block_begins_with_is_said() -> None:
    cited = [{"url": "http://127.0.0.1/甲", "title": "甲"}, 7]
    events = [start("thinking", thinking="想"), start("text", 1, text="好", citations=cited), *END]
    assert deltas(*events) == [
        ReasoningDelta("想"),
        AnswerDelta("好"),
        CitationDelta(Citation("http://127.0.0.1/甲", "甲"), 0),
        FinishDelta(0, "stop"),
    ]
    assert native_of(*events) == [
        {"type": "thinking", "thinking": "想"},
        {"type": "text", "text": "好", "citations": cited[:1]},
    ]


def test_a_text_like_the_beginning_counts_once_it_is_not_the_first() -> None:
    assert reply_of(start("text", text="哈"), text("哈"), text("哈"), *END).answer == "哈哈"
    assert reply_of(start("text", text="哈"), text("嘿"), text("哈"), *END).answer == "哈嘿哈"


def test_text_is_told_and_not_kept_where_nothing_is_retained() -> None:
    decoder = MessagesDecoder(Transcript(retain=False))
    for event in (start("text", text=""), text("好"), *END):
        decoder.feed(orjson.dumps(event))
    decoder.end()
    assert [block.pieces for block in decoder._blocks] == [{}]


# --- sources ------------------------------------------------------------------------------------


def test_a_source_has_its_address_its_title_and_the_rest() -> None:
    place = {"type": "page_location", "document_index": 0, "cited_text": "花"}
    given = [
        {**place, "url": "u", "title": "题", "document_title": "书"},
        {**place, "title": None, "document_title": "书"},
        place,
        place,
    ]
    events = [text("据"), *[delta("citations_delta", citation=one) for one in given]]
    assert deltas(*events)[1:] == [
        CitationDelta(Citation("u", "题", extra=place), 0),
        CitationDelta(Citation("", "书", extra=place), 0),
        CitationDelta(Citation("", None, extra=place), 0),
    ]
    assert native_of(*events) == [{"type": "text", "text": "据", "citations": given}]
    assert [one.url for one in reply_of(*events).citations] == ["u", "", ""]


# --- summaries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("begun", "pieces", "whole"),
    [
        (None, ["聊了", "旅行"], "聊了旅行"),
        ("", ["聊了", "聊了旅行"], "聊了旅行"),
        ("聊", ["聊了", "旅行", "聊了旅行。", "再见"], "聊了旅行。再见"),
        ("聊了", ["聊了"], "聊了"),
        ("聊了", ["旅行", "聊了旅行"], "聊了旅行"),
        ("聊了", ["旅行", "旅行"], "聊了旅行旅行"),
        ("聊了", ["聊"], "聊了聊"),
        ("聊了", ["旅行社"], "聊了旅行社"),
        ("聊", ["了", "天天", "聊了天"], "聊了天天聊了天"),
    ],
)
def test_a_summary_in_pieces_and_whole_again(
    begun: str | None, pieces: list[str], whole: str
) -> None:
    events = [start("compaction", content=begun)]
    events += [delta("compaction_delta", content=one) for one in pieces]
    assert native_of(*events, *END) == [{"type": "compaction", "content": whole}]


# --- signatures ---------------------------------------------------------------------------------


def test_a_signature_after_a_call_is_of_the_thought_before_it() -> None:
    signed = delta("signature_delta", signature="S")
    events = [start("thinking", thinking="想"), tool(), piece("{}"), signed, stop(), *CALLED]
    assert native_of(*events)[0] == {"type": "thinking", "thinking": "想", "signature": "S"}


def test_a_signature_passes_thoughts_that_are_signed() -> None:
    thoughts = [start("thinking", n, thinking=f"想{n}") for n in range(3)]
    thoughts[2]["content_block"]["signature"] = "有"
    events = [*thoughts, text("好", 3), delta("signature_delta", 3, signature="S"), *END]
    assert [block.get("signature") for block in native_of(*events)] == [None, "S", "有", None]


def test_a_signature_of_a_call_that_no_thought_led_to_stays_there() -> None:
    events = [tool(), piece("{}"), delta("signature_delta", signature="S"), stop(), *CALLED]
    assert native_of(*events) == [
        {"type": "tool_use", "id": "t1", "name": "查", "input": {}, "signature": "S"}
    ]


@pytest.mark.parametrize(("between", "found"), [(15, True), (16, False)])
def test_a_thought_is_looked_for_among_the_newest_blocks(between: int, *, found: bool) -> None:
    texts = [start("text", n + 1, text="好") for n in range(between)]
    signed = delta("signature_delta", between, signature="S")
    blocks = native_of(start("thinking", thinking="想"), *texts, signed, *END)
    assert ("signature" in blocks[0]) is found
    assert len(blocks) == between + 1 + (not found)


def test_an_empty_signature_is_one_where_there_is_none_yet() -> None:
    empty = delta("signature_delta", signature="")
    assert native_of(thought("想"), empty, *END) == [
        {"type": "thinking", "thinking": "想", "signature": ""}
    ]


# --- whole messages -----------------------------------------------------------------------------


def test_a_summary_of_a_call_that_came_says_it_once() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "查", "input": {"n": 1}}
    blocks = [call, {**call, "id": "t2"}, {"type": "server_tool_use", "id": "s", "input": {}}]
    whole = {"type": "message", "content": blocks, "stop_reason": "tool_use"}
    reply = reply_of(tool(input={"n": 1}), stop(), whole)
    assert [(one.id, one.parse()) for one in reply.tool_calls] == [
        ("t1", {"n": 1}),
        ("t2", {"n": 1}),
    ]
    assert native_of(tool(input={"n": 1}), stop(), whole) == blocks[:2]
    assert native_of(start("text", text=""), whole) == blocks


def test_whole_messages_are_read_up_to_a_number() -> None:
    whole = {"type": "message", "content": "好", "stop_reason": "end_turn"}
    assert kept_by(*[whole] * 16) == ([], {})
    assert kept_by(*[whole] * 17) == ([("message", whole)], {})


def test_a_message_without_its_type_has_a_role_and_a_content() -> None:
    for odd in (
        {"role": "assistant"},
        {"role": "user", "content": "好"},
        {"role": "assistant", "content": 7},
    ):
        assert read(odd).suspect == odd
    assert read({"role": "assistant", "content": []}).suspect is None


def test_a_whole_message_without_anything_is_a_choice() -> None:
    assert list(read({"type": "message"}).transcript.choices) == [0]


# --- what is spliced, and what is not -----------------------------------------------------------


def test_pieces_that_are_spliced_go_to_their_blocks() -> None:
    events = [start("thinking", thinking=""), *map(thought, "一二三四"), stop()]
    events += [start("text", text=""), *map(text, "甲乙丙丁"), stop(), *END]
    decoder = MessagesDecoder(Transcript())
    at, suspect = decoder.feed_from([orjson.dumps(one) for one in events], 0)
    decoder.end()
    assert (at, suspect) == (len(events), None)
    assert decoder.splicer.hits > 4
    assert decoder.transcript.choices[0].native == {
        "protocol": "messages",
        "content": [
            {"type": "thinking", "thinking": "一二三四"},
            {"type": "text", "text": "甲乙丙丁"},
        ],
        "asked": "",
        "model": "",
    }


def test_estimates_of_thought_are_not_spliced() -> None:
    events = [delta("thinking_delta", thinking="想", estimated_tokens=1)] * 4
    decoder = MessagesDecoder(Transcript())
    decoder.feed_from([orjson.dumps(one) for one in events], 0)
    assert decoder.splicer.hits == 0
    assert decoder.transcript.choices[0].extra == {"estimated_tokens": 4}


@pytest.mark.parametrize(
    ("count", "extra", "kept"),
    [
        (0, {"estimated_tokens": 0}, {}),
        (2**40 - 1, {"estimated_tokens": 2**40 - 1}, {}),
        (2**40, {}, {"estimated_tokens": 2**40}),
        (-1, {}, {"estimated_tokens": -1}),
        (True, {}, {"estimated_tokens": True}),
        (None, {}, {}),
    ],
)
def test_an_estimate_is_a_number_within_reason(
    count: object, extra: dict[str, Any], kept: dict[str, Any]
) -> None:
    log = read(delta("thinking_delta", thinking="想", estimated_tokens=count)).transcript
    assert (log.choices[0].extra, log.extra) == (extra, kept)


def test_halves_of_characters_are_mended_in_all_that_is_kept() -> None:
    broken = (
        rb'{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":"\ud83d"}}'
    )
    begun = rb'{"type":"content_block_start","index":0,"content_block":%s}'
    begun %= rb'{"type":"text","text":"","x":"\ud83d"}'
    field = rb'{"type":"message_stop","mood":"\ud83d"}'
    decoder = read(begun, text("好"), broken, field)
    assert decoder.transcript.choices[0].extra["stop_sequence"] == "\ufffd"
    assert decoder.transcript.extra == {"mood": "\ufffd"}
    native = decoder.transcript.choices[0].native
    assert native is not None
    assert native["content"] == [{"type": "text", "text": "好", "x": "\ufffd"}]


# --- how a call ends ----------------------------------------------------------------------------


def test_an_end_without_an_index_is_of_the_newest_block() -> None:
    calls = reply_of(tool("t1", 0), tool("t2", 1), stop(None), {"type": "message_stop"}).tool_calls
    assert [(call.id, call.complete) for call in calls] == [("t1", False), ("t2", True)]


def test_an_end_of_nothing_and_one_that_comes_twice() -> None:
    events = [stop(), stop(5), tool(), piece('{"n":1}'), stop(), stop(), *CALLED]
    (call,) = reply_of(*events).tool_calls
    assert (call.arguments, call.complete) == ('{"n":1}', True)
    assert kept_by(*events) == ([], {})


def test_an_input_nested_too_deeply_to_be_written_is_not_run() -> None:
    deep: Any = {}
    for _ in range(2000):
        deep = {"n": deep}
    decoder = MessagesDecoder(Transcript())
    for event in (tool(input=deep), stop(), *CALLED):
        decoder.take_frame(event)
    decoder.end()
    (call,) = decoder.transcript.tool_calls(decoder.transcript.choices[0])
    assert (call.arguments, call.complete) == ("", False)


def test_a_call_begins_with_its_id_and_name() -> None:
    assert deltas(tool(), piece('{"n":'), piece("1}"), stop(), *CALLED) == [
        ToolCallDelta(0, 0, "t1", "查", ""),
        ToolCallDelta(0, 0, "", "", '{"n":'),
        ToolCallDelta(0, 0, "", "", "1}"),
        FinishDelta(0, "tool_calls"),
    ]


def test_texts_that_are_no_deltas_are_not_spliced() -> None:
    """Whatever type their event has, or none."""
    assert reply_of(thought("想"), {"role": "assistant", "content": "好"}).answer == "好"
    assert reply_of(*[start("text", text="好")] * 4).answer == "好好好好"


def test_characters_are_joined_in_thoughts_and_inputs() -> None:
    thoughts = [
        rb'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a\ud83c"}}',
        rb'{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"\udf38"}}',
    ]
    assert reply_of(*thoughts, *END).reasoning == "a🌸"
    piece_of = (
        rb'{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":%s}}'
    )
    inputs = [piece_of % rb'"{\"n\":\"\ud83c"', piece_of % rb'"\udf38\"}"']
    (call,) = reply_of(tool(), *inputs, stop(), *CALLED).tool_calls
    assert call.parse() == {"n": "🌸"}
