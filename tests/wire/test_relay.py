"""A reply written once more as a Chat Completions stream: what its reader needs is in it."""

import json
from typing import Any

import orjson

from aiotokengate import AnswerDelta, CommentaryDelta, FinishDelta, UnknownDelta
from aiotokengate._wire.chat_completions import ChatCompletionsDecoder
from aiotokengate._wire.dialects import DIALECTS
from aiotokengate._wire.messages_reply import MessagesDecoder
from aiotokengate._wire.relay import Relay
from aiotokengate._wire.transcript import ANSWER, REASONING, TEXTS, Transcript


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
