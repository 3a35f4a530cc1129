"""A reply written once more as a Chat Completions stream: what its reader needs is in it."""

import json
from typing import Any

import orjson

from aiotokengate import (
    AnswerDelta,
    CitationDelta,
    CommentaryDelta,
    FinishDelta,
    MediaDelta,
    ReasoningDelta,
    RefusalDelta,
    ToolCallDelta,
    UnknownDelta,
    UsageDelta,
)
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.relay import Relay
from aiotokengate._wire.transcript import ANSWER, REASONING, TEXTS, Transcript
from aiotokengate.types import Citation, Media, Usage


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason, **more}
    return orjson.dumps({"id": "c1", "model": "m", "created": 7, "choices": [choice]})


def call(index: int, **fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **fields}]}


def relayed(*frames: bytes) -> list[dict[str, Any]]:
    """Decode frames, and write them again; return the choices of the events."""
    decoder = ChatCompletionsDecoder(DIALECTS["openai-compatible"], Transcript())
    for frame in frames:
        decoder.feed(frame)
    decoder.end()
    log = decoder.transcript
    text = b"".join(map(Relay(log).write, [log.delta(at) for at in range(len(log))]))
    events = [orjson.loads(line[6:]) for line in text.split(b"\n\n") if line]
    return [event["choices"][0] for event in events if event["choices"]]


def pieces(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [piece for one in choices for piece in one["delta"].get("tool_calls", ())]


def test_the_first_frame_has_the_role() -> None:
    first, second, last = relayed(chunk({"content": "好"}), chunk({"content": "👋"}, "stop"))
    assert first["delta"] == {"role": "assistant", "content": "好"}
    assert second["delta"] == {"content": "👋"}
    assert (last["delta"], last["finish_reason"]) == ({}, "stop")


def test_the_pieces_of_a_call_wait_for_its_id() -> None:
    """Clients look for it in the first piece; it must not be another one later."""
    function = {"name": "查", "arguments": '{"x"'}
    first, second = pieces(
        relayed(
            chunk(call(0, function=function)),
            chunk(call(0, id="late", function={"arguments": ": 1"})),
            chunk(call(0, function={"arguments": "}"})),
            chunk({}, "tool_calls"),
        )
    )
    assert first == {
        "index": 0,
        "id": "late",
        "type": "function",
        "function": {"name": "查", "arguments": '{"x": 1'},
    }
    assert second == {"index": 0, "function": {"arguments": "}"}}


def test_a_call_without_an_id_gets_one_before_its_first_piece() -> None:
    (piece,) = pieces(
        relayed(chunk(call(0, function={"name": "f", "arguments": '{"x": 1}'})), chunk({}, "stop"))
    )
    assert piece["id"] == "call_0"
    assert piece["function"] == {"name": "f", "arguments": '{"x": 1}'}


def test_the_rest_of_a_name() -> None:
    """A reader that joins names has the whole one at the end."""
    told = pieces(
        relayed(
            chunk(call(0, id="a", function={"name": "look", "arguments": ""})),
            chunk(call(0, function={"name": "_up", "arguments": ""})),
            chunk(call(0, function={"arguments": '{"x": 1}'})),
            chunk({}, "tool_calls"),
        )
    )
    assert "".join(piece["function"].get("name", "") for piece in told) == "look_up"


def test_what_a_vendor_wants_back_goes_along() -> None:
    """Signatures with their calls, also late ones; details and blocks with the finish."""
    signed = {"google": {"thought_signature": "SIG"}}
    function = {"name": "f", "arguments": '{"x": 1}'}
    detail = {"type": "reasoning.encrypted", "data": "ENC", "index": 0}
    choices = relayed(
        chunk({"reasoning_details": [detail]}),
        chunk(call(0, id="a", function=function, extra_content=signed)),
        chunk(call(1, id="b", function=function)),
        chunk(call(1, late_sign="L")),
        chunk({}, "tool_calls"),
    )
    told = pieces(choices)
    assert [piece.get("extra_content") for piece in told] == [signed, None]
    assert told[-1]["late_sign"] == "L"
    assert choices[-1]["delta"]["reasoning_details"] == [detail]
    assert choices[-1]["finish_reason"] == "tool_calls"


def test_a_signature_that_comes_when_its_call_was_sent() -> None:
    """It follows before the finish, with the index of its call alone."""
    decoder = ChatCompletionsDecoder(DIALECTS["openai-compatible"], Transcript())
    log, sent = decoder.transcript, 0
    relay, events = Relay(decoder.transcript), b""
    function = {"name": "f", "arguments": '{"x": 1}'}
    frames = [
        chunk(call(0, id="a", function=function)),
        chunk(call(0, sign="S")),
        chunk({}, "stop"),
    ]
    for frame in frames:
        decoder.feed(frame)
        events += b"".join(relay.write(log.delta(at)) for at in range(sent, len(log)))
        sent = len(log)
    decoder.end()
    events += b"".join(relay.write(log.delta(at)) for at in range(sent, len(log)))
    told = [orjson.loads(line[6:])["choices"][0] for line in events.split(b"\n\n") if line]
    first, second = pieces(told)
    assert (first["id"], first.get("sign")) == ("a", None)
    assert second == {"index": 0, "function": {"arguments": ""}, "sign": "S"}
    assert told[-1]["finish_reason"] == "stop"


def test_log_probabilities_go_along() -> None:
    """Each once, with the next frame of their choice."""
    one = {"content": [{"token": "好", "logprob": -0.25}]}
    choices = relayed(chunk({"content": "好"}, None, logprobs=one), chunk({}, "stop"))
    assert [choice.get("logprobs") for choice in choices] == [one, None]


def test_what_has_no_place_in_this_form() -> None:
    relay = Relay(Transcript())
    assert relay.write(CommentaryDelta("先看看")) == b""
    assert relay.write(UnknownDelta(0, "chat", "x", {})) == b""


def events_of(decoder: Any, frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Decode frames, and write them again; return the events."""
    for frame in frames:
        decoder.take(frame)
    decoder.end()
    log = decoder.transcript
    text = b"".join(map(Relay(log).write, [log.delta(at) for at in range(len(log))]))
    return [orjson.loads(line[6:]) for line in text.split(b"\n\n") if line]


def test_every_kind_of_delta_has_its_field() -> None:
    written = events_of(
        ChatCompletionsDecoder(DIALECTS["openai-compatible"], Transcript()),
        [
            orjson.loads(chunk({"reasoning_content": "想"})),
            orjson.loads(chunk({"content": "好"})),
            orjson.loads(chunk({"refusal": "不"})),
            orjson.loads(chunk({"images": [{"image_url": {"url": "https://e.com/a.png"}}]})),
            orjson.loads(chunk({"annotations": [{"url_citation": {"url": "https://e.com"}}]})),
            orjson.loads(chunk({}, "stop")),
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        ],
    )
    deltas = [event["choices"][0]["delta"] for event in written if event["choices"]]
    texts = ("reasoning_content", "content", "refusal")
    assert [delta[name] for name, delta in zip(texts, deltas, strict=False)] == ["想", "好", "不"]
    assert deltas[3]["images"][0]["image_url"]["url"] == "https://e.com/a.png"
    assert deltas[4]["annotations"][0]["url_citation"]["url"] == "https://e.com"
    (usage,) = [event["usage"] for event in written if not event["choices"]]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (3, 2, 5)


def test_what_is_known_as_a_whole_comes_with_the_finish() -> None:
    """Reasoning details, and audio; signed thoughts as LiteLLM passes them on."""
    detail = {"type": "reasoning.text", "text": "想", "index": 0, "signature": "S"}
    blocks = [{"type": "thinking", "thinking": "想", "signature": "S"}]
    chat = ChatCompletionsDecoder(DIALECTS["openai-compatible"], Transcript())
    *_, last = events_of(
        chat,
        [
            orjson.loads(chunk({"reasoning_details": [detail], "thinking_blocks": blocks})),
            orjson.loads(chunk({"content": "好", "audio": {"id": "a", "data": "AAEC"}})),
            orjson.loads(chunk({}, "stop")),
        ],
    )
    delta = last["choices"][0]["delta"]
    assert [part["signature"] for part in delta["reasoning_details"]] == ["S"]
    assert delta["thinking_blocks"] == blocks
    assert delta["audio"] == {"id": "a", "data": "AAEC"}


def test_signed_blocks_of_messages_come_with_the_finish() -> None:
    thought = {"type": "thinking", "thinking": "想", "signature": "S"}
    content = [thought, {"type": "text", "text": "好"}]
    whole = {"type": "message", "id": "m", "content": content, "stop_reason": "end_turn"}
    *_, last = events_of(MessagesDecoder(Transcript()), [whole])
    assert last["choices"][0]["delta"]["thinking_blocks"] == [thought]


def test_numbers_that_orjson_does_not_write_go_along() -> None:
    decoder = ChatCompletionsDecoder(DIALECTS["openai-compatible"], Transcript())
    function = {"name": "f", "arguments": "{}"}
    delta = call(0, id="c", function=function, sign=2**70)
    decoder.take({"choices": [{"index": 0, "delta": delta}]})
    log = decoder.transcript
    (piece,) = pieces([json.loads(Relay(log).write(log.delta(0))[6:])["choices"][0]])
    assert piece["sign"] == 2**70


def test_a_finish_of_a_choice_that_said_nothing() -> None:
    event = orjson.loads(Relay(Transcript()).write(FinishDelta(3, "stop"))[6:])
    assert event["choices"] == [
        {"index": 3, "delta": {"role": "assistant"}, "finish_reason": "stop"}
    ]


def test_the_first_text_of_the_first_choice_may_be_late() -> None:
    """Its role is told once, and not with each text after it."""
    short, long = Relay(Transcript(2)), Relay(Transcript(2))
    other = AnswerDelta("先", 1)
    assert short.write(other) == long.write(other)
    for text in ("一", "二 🙂", "三"):
        assert short.write_text(ANSWER, text) == long.write(AnswerDelta(text))


def test_a_text_alone_is_written_as_its_delta_is() -> None:
    """Whatever the reply's head says by then, and whatever else is news with a text."""
    log = Transcript()
    for step in ("", "id", "model", "created", "logprobs"):
        if step == "logprobs":
            log.choice(0).logprobs.append({"token": "好"})
        elif step:
            setattr(log, step, 7 if step == "created" else f"another {step}")
        for kind, text in ((REASONING, '想"\n🙂'), (ANSWER, "好"), (ANSWER, "")):
            short, long = Relay(log), Relay(log)
            for begun in range(3):
                got = short.write_text(kind, text)
                assert got == long.write(TEXTS[kind](text)), (step, begun)
    kept, other = Relay(log), Relay(log)
    log.choice(0).logprobs.clear()
    for place, step in enumerate(("id", "id", "model", "id")):
        setattr(log, step, f"{step} {place}")
        assert kept.write_text(ANSWER, "好") == other.write(AnswerDelta("好"))


# --- whole events -------------------------------------------------------------------------------


def written(log: Transcript, *deltas: Any) -> list[dict[str, Any]]:
    """Write deltas one after the other; return the events."""
    relay = Relay(log)
    events = [line for delta in deltas for line in relay.write(delta).split(b"\n\n") if line]
    assert all(event.startswith(b"data: ") for event in events)
    return [orjson.loads(event[6:]) for event in events]


def choices_of(log: Transcript, *deltas: Any) -> list[dict[str, Any]]:
    return [event["choices"][0] for event in written(log, *deltas)]


def piece_of(arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": 0, "function": {"arguments": arguments, **more}}


def test_an_event_has_the_head_of_the_reply() -> None:
    log = Transcript()
    log.id, log.model, log.created = "c1", "模", 7
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "模"}
    usage = Usage(11, 5, 3, 2, 16)
    assert Relay(log).write(UsageDelta(usage)).endswith(b"}\n\n")
    assert written(log, AnswerDelta("好", 1), AnswerDelta("吗", 1), UsageDelta(usage)) == [
        {
            **head,
            "choices": [
                {
                    "index": 1,
                    "delta": {"role": "assistant", "content": "好"},
                    "finish_reason": None,
                }
            ],
        },
        {**head, "choices": [{"index": 1, "delta": {"content": "吗"}, "finish_reason": None}]},
        {
            **head,
            "choices": [],
            "usage": {
                "prompt_tokens": 11,
                "completion_tokens": 5,
                "total_tokens": 16,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
        },
    ]


def test_each_delta_has_its_field() -> None:
    cited = Citation("u", "题", 1, 2, {"x": 1})
    told = choices_of(
        Transcript(),
        AnswerDelta("好"),
        ReasoningDelta("想"),
        RefusalDelta("不"),
        MediaDelta(Media("image", "data:,", None)),
        CitationDelta(cited),
    )
    citation = {"url": "u", "title": "题", "start_index": 1, "end_index": 2, "x": 1}
    assert [one["delta"] for one in told[1:]] == [
        {"reasoning_content": "想"},
        {"refusal": "不"},
        {"images": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
        {"annotations": [{"type": "url_citation", "url_citation": citation}]},
    ]


def test_choices_take_turns() -> None:
    """Each has a role once, its own calls, and its own log probabilities."""
    log = Transcript(2)
    for index in (0, 1):
        log.choice(index).logprobs = [{"token": str(index)}]
    told = choices_of(
        log,
        AnswerDelta("甲"),
        ToolCallDelta(1, 0, "b", "g", ""),
        ToolCallDelta(0, 0, "a", "f", "{}"),
        AnswerDelta("乙", 1),
        ToolCallDelta(1, 0, "", "", "{}"),
    )
    assert [one["delta"].get("role") for one in told] == ["assistant", "assistant", *[None] * 3]
    assert [one.get("logprobs") for one in told] == [
        {"content": [{"token": "0"}]},
        {"content": [{"token": "1"}]},
        *[None] * 3,
    ]
    begun = {"id": "b", "type": "function"}
    assert pieces(told) == [
        {**piece_of("", name="g"), **begun},
        {**piece_of("{}", name="f"), **begun, "id": "a"},
        piece_of("{}"),
    ]
    log.choice(1).logprobs.append({"token": "新"})
    log.choice(0).logprobs += [{"token": "一"}, {"token": "二"}]
    relay = Relay(log)
    relay.write(AnswerDelta("甲"))
    log.choice(0).logprobs.append({"token": "三"})
    last = orjson.loads(relay.write(AnswerDelta("乙"))[6:])
    assert last["choices"][0]["logprobs"] == {"content": [{"token": "三"}]}


def test_a_call_waits_for_its_id_and_its_name() -> None:
    log = Transcript()
    first = ToolCallDelta(0, 0, "", "查", '{"a"')
    told = choices_of(log, first, ToolCallDelta(0, 0, "late", "天", ":"), AnswerDelta("好"))
    assert pieces(told) == [{**piece_of('{"a":', name="查天"), "id": "late", "type": "function"}]
    unnamed = ToolCallDelta(0, 0, "a", "", "{")
    assert choices_of(log, unnamed) == []
    told = choices_of(log, unnamed, ToolCallDelta(0, 0, "b", "f", "}"))
    assert pieces(told)[0]["id"] == "a"
    told = choices_of(
        log,
        ToolCallDelta(0, 0, "a", "f", ""),
        ToolCallDelta(0, 0, "", "oo", ""),
        ToolCallDelta(0, 0, "", "", "{}"),
    )
    assert pieces(told)[1:] == [piece_of("", name="oo"), piece_of("{}")]


def test_a_call_that_is_never_certain_is_sent_with_the_finish() -> None:
    told = choices_of(
        Transcript(),
        ToolCallDelta(0, 0, "a", "", "{"),
        ToolCallDelta(0, 1, "b", "g", "{}"),
        ToolCallDelta(1, 0, "c", "", ""),
        FinishDelta(0, "tool_calls"),
    )
    begun = {"type": "function"}
    assert pieces(told) == [
        {"index": 1, "id": "b", **begun, "function": {"arguments": "{}", "name": "g"}},
        {"index": 0, "id": "a", **begun, "function": {"arguments": "{", "name": ""}},
    ]
    assert told[-1] == {"index": 0, "delta": {}, "finish_reason": "tool_calls"}


def test_fields_beside_a_call_go_along_once() -> None:
    """The new ones with the next piece, or with the finish."""
    log = Transcript()
    state = log.choice(0)
    for key in "ab":
        log.begin_call(state, key, key, "f")
    one, two = state.calls.all
    one.extra.update({"x": 1, "y": 2})
    relay = Relay(log)

    def sent(delta: Any) -> list[dict[str, Any]]:
        lines = [line for line in relay.write(delta).split(b"\n\n") if line]
        return pieces([orjson.loads(line[6:])["choices"][0] for line in lines])

    begun = {"id": "a", "type": "function"}
    assert sent(ToolCallDelta(0, 0, "a", "f", "")) == [
        {**piece_of("", name="f"), **begun, "x": 1, "y": 2}
    ]
    one.extra["z"] = 3
    assert sent(ToolCallDelta(0, 0, "", "", "{}")) == [{**piece_of("{}"), "z": 3}]
    assert sent(ToolCallDelta(0, 0, "", "", " ")) == [piece_of(" ")]
    assert sent(ToolCallDelta(0, 1, "b", "f", "{}"))[0]["index"] == 1
    two.extra["w"] = 4
    assert sent(FinishDelta(0, "tool_calls")) == [{**piece_of(""), "index": 1, "w": 4}]
    assert sent(FinishDelta(0, "tool_calls")) == []
    assert sent(ToolCallDelta(0, 2, "c", "f", ""))[0]["id"] == "c"


def test_signed_thoughts_go_along_whoever_signed_them() -> None:
    log = Transcript()
    state = log.choice(0)
    blocks = [{"type": "thinking"}, {"type": "text"}, {"type": "redacted_thinking"}, "?"]
    state.extra["thinking_blocks"] = ("自",)

    def kept() -> Any:
        return choices_of(log, FinishDelta(0, "stop"))[0]["delta"].get("thinking_blocks")

    assert kept() == ["自"]
    state.native = {"protocol": "responses", "content": blocks}
    assert kept() == ["自"]
    state.native = {"protocol": "messages", "content": blocks}
    assert kept() == [blocks[0], blocks[2]]
    state.native = {"protocol": "messages", "content": [blocks[1]]}
    assert kept() is None


def test_half_a_character_is_written_as_a_question_mark() -> None:
    line = Relay(Transcript()).write(AnswerDelta("a\ud83d"))
    assert b'"content":"a?"' in line or b'"content": "a?"' in line
